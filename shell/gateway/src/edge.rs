//! What a request must be before anybody looks at what it asks for: the right host, the right origin.

use http::header::ORIGIN;
use http::{HeaderMap, StatusCode, Uri};
use remit_identity::host;

/// Which hosts and origins are let in.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    /// Names under which the gateway may be addressed, besides loopback when it listens there: `name` or `name:port`, lower case.
    pub hosts: Vec<String>,
    /// Origins of browsers that may call, such as `https://console.example.com`.
    pub origins: Vec<String>,
    /// Whether the gateway listens on loopback, where `localhost` and the loopback addresses are its names.
    pub loopback: bool,
}

impl Edge {
    /// The status to refuse with, or nothing. A page that had a name rebound to our address shows its own host and origin
    /// (MCP, Streamable HTTP, "Security warning").
    pub fn refuses(&self, uri: &Uri, headers: &HeaderMap) -> Option<StatusCode> {
        let Some(host) = host::named(uri, headers) else { return Some(StatusCode::BAD_REQUEST) };
        if !self.is_ours(&host) {
            return Some(StatusCode::FORBIDDEN);
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        let allowed = match (origins.next(), origins.next()) {
            (None, _) => true,
            (Some(origin), None) => self.may_call(origin.to_str().unwrap_or_default()),
            (Some(_), Some(_)) => false,
        };
        (!allowed).then_some(StatusCode::FORBIDDEN)
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = host::without_port(host);
        (self.loopback && host::is_loopback(name)) || self.hosts.iter().any(|ours| ours == host || ours == name)
    }

    fn may_call(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        if self.origins.contains(&origin) {
            return true;
        }
        let Some((scheme, host)) = origin.split_once("://") else { return false };
        matches!(scheme, "http" | "https") && self.is_ours(host)
    }
}

#[cfg(test)]
mod tests {
    use http::header::HOST;

    use super::*;

    fn refused(edge: &Edge, host: &str, origin: Option<&str>) -> Option<u16> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        edge.refuses(&Uri::from_static("/x"), &headers).map(|status| status.as_u16())
    }

    #[test]
    fn only_our_names_and_origins() {
        let edge =
            Edge { hosts: vec!["remit.example.com".into()], origins: vec!["https://console.example.com".into()], loopback: true };
        assert_eq!(refused(&edge, "127.0.0.1:7480", None), None);
        assert_eq!(refused(&edge, "localhost:7480", Some("http://localhost:3000")), None);
        assert_eq!(refused(&edge, "[::1]:7480", None), None);
        assert_eq!(refused(&edge, "Remit.Example.com", Some("https://console.example.com")), None);
        assert_eq!(refused(&edge, "evil.example.com", None), Some(403));
        assert_eq!(refused(&edge, "127.0.0.1.evil.example.com", None), Some(403));
        assert_eq!(refused(&edge, "127.0.0.1", Some("http://evil.example.com")), Some(403));
        assert_eq!(refused(&edge, "127.0.0.1", Some("null")), Some(403));
        assert_eq!(refused(&Edge::default(), "127.0.0.1", None), Some(403));
    }

    #[test]
    fn one_host_alone() {
        let edge = Edge { loopback: true, ..Edge::default() };
        let mut headers = HeaderMap::new();
        assert!(edge.refuses(&Uri::from_static("/"), &headers).is_some());
        headers.append(HOST, "127.0.0.1".parse().unwrap());
        headers.append(HOST, "evil.example.com".parse().unwrap());
        assert!(edge.refuses(&Uri::from_static("/"), &headers).is_some());
    }
}
