//! Under which names the interface is asked, and from which pages.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Uri};
use remit_identity::host;

/// Where a browser says which kind of page makes a request (Fetch Metadata Request Headers).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The interface's own address.
#[derive(Debug)]
pub(crate) struct Edge {
    address: String,
    secure: bool,
    /// The name in it, with the port if it says one; lower case.
    host: String,
}

impl Edge {
    pub(crate) fn new(address: &str) -> Self {
        let address = address.trim_end_matches('/').to_owned();
        let host = address.split_once("://").map(|(_, rest)| rest.to_ascii_lowercase()).unwrap_or_default();
        Self { secure: address.starts_with("https://"), host, address }
    }

    /// The address that people open.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Whether a request was made to one of our names: the address's own, or any of loopback's. Whoever forwards a port of another machine
    /// comes by those as well, and no page that isn't ours can have them.
    pub(crate) fn is_asked(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Some(host) = host::named(uri, headers).filter(|host| !host.is_empty()) else { return false };
        host == self.host || host::is_loopback(host::without_port(&host))
    }

    /// Whether a browser says that the request was made by a page of ours. A page that tells nobody where it is (`no-referrer`) shows no
    /// origin when it sends a form (Fetch, "Append a request `Origin` header"): then the browser's other word for it decides.
    pub(crate) fn is_own(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(origin), None) => {
                let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
                let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
                let scheme = if self.secure && host == self.host { "https" } else { "http" };
                if origin == "null" {
                    return headers.get(SITE).is_some_and(|site| site.as_bytes() == b"same-origin");
                }
                !host.is_empty() && origin == format!("{scheme}://{host}")
            }
            _ => false,
        }
    }

    /// Whether a browser says that another site makes the request.
    pub(crate) fn is_foreign(headers: &HeaderMap) -> bool {
        headers.get(SITE).is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_our_names() {
        let edge = Edge::new("https://console.example.com/");
        let asked = |host: &str| edge.is_asked(&Uri::from_static("/console"), &headers(&[("host", host)]));
        for ours in ["console.example.com", "Console.Example.COM", "127.0.0.1:7481", "localhost:9", "[::1]:7481"] {
            assert!(asked(ours), "{ours}");
        }
        for other in ["evil.example", "console.example.com.evil.example", "127.0.0.1.evil.example", "0.0.0.0:7481", ""] {
            assert!(!asked(other), "{other}");
        }
        let twice = headers(&[("host", "localhost"), ("host", "evil.example")]);
        assert!(!edge.is_asked(&Uri::from_static("/"), &twice) && !edge.is_asked(&Uri::from_static("/"), &HeaderMap::new()));
    }

    #[test]
    fn only_our_pages() {
        let edge = Edge::new("https://console.example.com");
        let own = |origin: &str, host: &str| edge.is_own(&headers(&[("host", host), ("origin", origin)]));
        assert!(own("https://console.example.com", "console.example.com"));
        assert!(own("http://127.0.0.1:7481", "127.0.0.1:7481"));
        for (origin, host) in [
            ("http://console.example.com", "console.example.com"),
            ("https://evil.example", "console.example.com"),
            ("http://127.0.0.1:9", "127.0.0.1:7481"),
            ("null", "127.0.0.1:7481"),
        ] {
            assert!(!own(origin, host), "{origin}");
        }
        assert!(!edge.is_own(&headers(&[("host", "console.example.com")])), "who says nothing");
        let silent =
            |site: &str| edge.is_own(&headers(&[("host", "console.example.com"), ("origin", "null"), ("sec-fetch-site", site)]));
        assert!(silent("same-origin") && !silent("cross-site") && !silent("same-site") && !silent("none"));
        assert!(Edge::is_foreign(&headers(&[("sec-fetch-site", "cross-site")])));
        assert!(Edge::is_foreign(&headers(&[("sec-fetch-site", "same-site")])));
        assert!(!Edge::is_foreign(&headers(&[("sec-fetch-site", "same-origin")])));
    }
}
