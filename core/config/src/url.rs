//! Addresses of servers and issuers.

use std::net::{IpAddr, Ipv6Addr};

use remit_model::Network;

use crate::item::{Item, shown};
use crate::secret::looks_secret;

/// What an address may look like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) network: Network,
    pub(crate) query: bool,
}

/// An address, if it is one that may be used.
pub(crate) fn url(item: &Item<'_>, rules: Rules) -> Option<String> {
    let text = item.text()?;
    match checked(text, rules) {
        Ok(()) => Some(text.to_owned()),
        Err((what, mend)) => {
            item.error(what, mend);
            None
        }
    }
}

pub(crate) fn checked(text: &str, rules: Rules) -> Result<(), (String, String)> {
    let fault = |what: &str, mend: &str| Err((what.to_owned(), mend.to_owned()));
    let Some((scheme @ ("http" | "https"), rest)) = text.split_once("://") else {
        return Err((format!("{} is no http or https address", shown(text)), "write `https://host/path`".to_owned()));
    };
    if text.len() > 2048
        || !text.bytes().all(|byte| byte.is_ascii_graphic())
        || text.contains(['"', '<', '>', '\\', '^', '`', '{', '}'])
    {
        return fault("this address holds characters that an address can't hold", "percent-encode them");
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if authority.contains('@') {
        return fault("this address holds a user or a password", "leave it out and use `credential`");
    }
    if tail.contains('#') {
        return fault("this address holds a fragment", "leave out `#` and what follows");
    }
    if tail.contains('?') && !rules.query {
        return fault("this address holds a query", "leave out `?` and what follows");
    }
    let secret = |pair: &str| pair.split_once('=').is_some_and(|(name, value)| query_secret(name, value));
    if tail.split_once('?').is_some_and(|(_, query)| query.split('&').any(secret)) {
        return fault("this address holds a secret in its query", "use `credential` with `api_key` or `bearer`");
    }
    let Some(host) = host(authority) else {
        return Err((
            format!("`{}` is no host with an optional port", crate::yaml::cut(authority)),
            "write `host` or `host:port`".to_owned(),
        ));
    };
    network(scheme, &host, rules.network)
}

fn query_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    looks_secret(value)
        || (!value.is_empty() && ["token", "key", "secret", "password", "auth"].iter().any(|word| name.contains(word)))
}

/// The host, without its port and in lower case.
fn host(authority: &str) -> Option<String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inner, after) = rest.split_once(']')?;
            inner.parse::<Ipv6Addr>().ok()?;
            (inner, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let host_fits = host.parse::<IpAddr>().is_ok() || (!host.is_empty() && host.len() <= 253 && host.bytes().all(named));
    let port_fits =
        port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0));
    (host_fits && port_fits).then(|| host.to_ascii_lowercase())
}

/// Whether host and scheme suit the network that was declared.
fn network(scheme: &str, host: &str, declared: Network) -> Result<(), (String, String)> {
    let local_name = host == "localhost" || host.ends_with(".localhost");
    let address = host.parse::<IpAddr>().ok();
    let loopback = local_name || address.is_some_and(|address| address.is_loopback());
    let private = address.is_some_and(private);
    if loopback && declared != Network::Loopback {
        return Err((format!("`{host}` is this machine"), "add `network: loopback`".to_owned()));
    }
    if declared == Network::Loopback && !loopback {
        return Err((
            format!("`{host}` is not this machine, and the network is loopback"),
            "leave `network` out, or use 127.0.0.1".to_owned(),
        ));
    }
    if private && declared == Network::Public {
        return Err((format!("`{host}` is an address of a private network"), "add `network: private`".to_owned()));
    }
    if scheme == "http" && declared != Network::Loopback {
        return Err(("http without TLS is only for this machine".to_owned(), "write `https://…`".to_owned()));
    }
    Ok(())
}

/// RFC 1918, RFC 6598, RFC 4193.
fn private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_private() || (v4.octets().first() == Some(&100) && v4.octets().get(1).is_some_and(|b| b & 0xc0 == 64))
        }
        IpAddr::V6(v6) => v6.segments().first().is_some_and(|first| first & 0xfe00 == 0xfc00),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(text: &str, network: Network) -> bool {
        checked(text, Rules { network, query: true }).is_ok()
    }

    #[test]
    fn addresses() {
        assert!(fits("https://mcp.example.com/mcp?x=1", Network::Public));
        assert!(fits("http://127.0.0.1:8080/mcp", Network::Loopback) && fits("http://[::1]:8080/", Network::Loopback));
        assert!(fits("https://10.0.0.1/", Network::Private));
        for text in [
            "http://mcp.example.com/",
            "https://10.0.0.1/",
            "https://100.64.0.1/",
            "https://localhost/",
            "https://[fc00::1]/",
            "ftp://x/",
            "https://",
            "https://a:b@x/",
            "https://x/#y",
            "https://x:0/",
            "https://x:99999/",
            "https://x/?api_key=1",
            "https://x /",
            "https://[::1",
        ] {
            assert!(!fits(text, Network::Public), "{text}");
        }
        assert!(!fits("https://mcp.example.com/", Network::Loopback));
    }
}
