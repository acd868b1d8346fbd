//! The name under which a request was made: what a page that had a name rebound to our address can't choose.

use http::header::HOST;
use http::{HeaderMap, Uri};

/// The one host that a request names, with its port if it says one, in lower case; `None` if it names none, or several. A host that is no
/// text is empty: nobody's name.
pub fn named(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next(), uri.authority()) {
        (Some(host), None, None) => Some(host.to_str().unwrap_or_default().to_ascii_lowercase()),
        (Some(host), None, Some(authority)) => {
            host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()).then(|| authority.as_str().to_ascii_lowercase())
        }
        (None, None, Some(authority)) => Some(authority.as_str().to_ascii_lowercase()),
        _ => None,
    }
}

/// The host without its port; an IPv6 address keeps its brackets.
pub fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => host.get(..colon).unwrap_or(host),
        _ => host,
    }
}

/// Whether a host, without its port, is `localhost` or an address of loopback.
pub fn is_loopback(name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
