//! Logs of what left the network, read for MCP servers that agents reached around Remit: VPC flow logs (version 2), Squid's access log, JSON
//! lines. A log that names addresses alone tells of servers that are registered by their address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use remit_model::{Organization, ServerKey, Transport};
use serde_json::Value;

/// The longest line that is read, in bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// The longest path that is told, in characters.
const PATH_CHARS_MAX: usize = 256;
/// The most findings of one log.
pub const FINDINGS_MAX: usize = 1_000;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A registered server, and not from Remit.
    Registered,
    /// One that nobody registered, and that looks like an MCP server.
    Unknown,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "REGISTERED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// A server that was reached around Remit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// What it is.
    pub kind: Kind,
    /// From where.
    pub source: String,
    /// Where to: a name or an address.
    pub host: String,
    /// The path, where the log has one; never its query.
    pub path: String,
    /// The registered server.
    pub server: Option<ServerKey>,
    /// How often.
    pub count: u64,
    /// When first and last, in seconds since the epoch.
    pub first_secs: u64,
    /// When last.
    pub last_secs: u64,
}

/// What a log came to.
#[derive(Debug, Default)]
pub struct Found {
    reached: BTreeMap<(Kind, String, String, String), Reached>,
    /// Lines that say something.
    pub lines: u64,
    /// Lines that couldn't be read, and the number of the first.
    pub unread: (u64, Option<u64>),
    /// Whether there were more findings than are kept.
    pub more: bool,
}

impl Found {
    /// Every finding.
    pub fn reached(&self) -> impl Iterator<Item = &Reached> {
        self.reached.values()
    }
}

/// One line's connection.
struct Flow {
    source: String,
    host: String,
    port: Option<u16>,
    path: String,
    at_secs: u64,
}

/// Who is known: registered hosts, and the addresses that are Remit's.
pub struct Known {
    hosts: BTreeMap<(String, u16), ServerKey>,
    own: Vec<IpAddr>,
}

impl Known {
    /// Of an organization's servers over HTTP.
    pub fn of(organization: &Organization, own: &[IpAddr]) -> Self {
        let hosts = organization.servers.iter().filter_map(|(key, server)| {
            let Transport::Http { url, .. } = &server.transport else { return None };
            let (host, port, _) = address(url)?;
            Some(((host, port?), key.clone()))
        });
        Self { hosts: hosts.collect(), own: own.to_vec() }
    }

    /// Looks at one line.
    pub fn look(&self, number: u64, line: &str, found: &mut Found) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with("version ") {
            return;
        }
        found.lines += 1;
        let flow = if line.len() > LINE_BYTES_MAX { None } else { flow(line) };
        let Some(flow) = flow else {
            found.unread.0 += 1;
            found.unread.1.get_or_insert(number);
            return;
        };
        let Some(mut flow) = flow else { return };
        flow.path = flow.path.chars().take(PATH_CHARS_MAX).collect();
        if flow.source.parse::<IpAddr>().is_ok_and(|source| self.own.contains(&source)) {
            return;
        }
        let of =
            |((host, port), _): &(&(String, u16), &ServerKey)| *host == flow.host && flow.port.is_none_or(|own| own == *port);
        let server = self.hosts.iter().find(of).map(|(_, key)| key.clone());
        let kind = if server.is_some() { Kind::Registered } else { Kind::Unknown };
        if kind == Kind::Unknown && !looks_like_mcp(&flow) {
            return;
        }
        let key = (kind, flow.source.clone(), flow.host.clone(), flow.path.clone());
        if !found.reached.contains_key(&key) && found.reached.len() >= FINDINGS_MAX {
            found.more = true;
            return;
        }
        let Flow { source, host, path, at_secs, .. } = flow;
        let new = Reached { kind, source, host, path, server, count: 0, first_secs: at_secs, last_secs: at_secs };
        let reached = found.reached.entry(key).or_insert(new);
        reached.count += 1;
        reached.first_secs = reached.first_secs.min(at_secs);
        reached.last_secs = reached.last_secs.max(at_secs);
    }
}

/// By its path, or, where the log has none, by its name.
fn looks_like_mcp(flow: &Flow) -> bool {
    let path = flow.path.trim_end_matches('/');
    let by_path = path.ends_with("/mcp")
        || path.ends_with("/sse")
        || path.starts_with("/mcp/")
        || path.contains("/.well-known/oauth-protected-resource");
    by_path || flow.host.split('.').any(|label| label == "mcp" || label.starts_with("mcp-") || label.ends_with("-mcp"))
}

/// Host, port and path of an address.
fn address(url: &str) -> Option<(String, Option<u16>, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let (host, port) = host_port(authority.rsplit('@').next()?)?;
    let usual = if scheme == "http" { 80 } else { 443 };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    Some((host, port.or(Some(usual)), path.to_owned()))
}

fn host_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None if text.matches(':').count() == 1 => text.split_once(':').map(|(host, port)| (host, Some(port)))?,
        None => (text, None),
    };
    let port = port.map(str::parse).transpose().ok()?;
    let fits = !host.is_empty() && host.len() <= 255 && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:_".contains(c));
    fits.then(|| (host.trim_end_matches('.').to_ascii_lowercase(), port))
}

/// What a line says; inner `None`: nothing that was reached. `None`: it can't be read.
#[allow(clippy::option_option, reason = "nothing reached and unreadable are two")]
fn flow(line: &str) -> Option<Option<Flow>> {
    if line.starts_with('{') {
        return json(line).map(Some);
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        // version account interface source destination source-port port protocol packets bytes start end action status
        ["2", _, _, source, host, _, port, protocol, _, _, start, _, action, status] => {
            if *status != "OK" || *action != "ACCEPT" || *protocol != "6" {
                return Some(None);
            }
            let source: IpAddr = source.parse().ok()?;
            let host: IpAddr = host.parse().ok()?;
            let (port, at_secs) = (port.parse().ok()?, start.parse().ok()?);
            Some(Some(Flow {
                source: source.to_string(),
                host: host.to_string(),
                port: Some(port),
                path: String::new(),
                at_secs,
            }))
        }
        // time elapsed client code/status bytes method url …
        [time, _, client, result, _, method, url, ..] if result.contains('/') => {
            let at_secs = time.split('.').next()?.parse().ok()?;
            let source: IpAddr = client.parse().ok()?;
            if result.contains("DENIED") {
                return Some(None);
            }
            let (host, port, path) = if *method == "CONNECT" {
                let (host, port) = host_port(url)?;
                (host, port, String::new())
            } else {
                address(url)?
            };
            Some(Some(Flow { source: source.to_string(), host, port, path, at_secs }))
        }
        _ => None,
    }
}

fn json(line: &str) -> Option<Flow> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |names: &[&str]| names.iter().find_map(|name| value.get(*name).and_then(Value::as_str));
    let source: IpAddr = text(&["source", "source_ip", "src", "srcaddr", "client", "client_ip"])?.parse().ok()?;
    let (host, port, path) = if let Some(url) = text(&["url"]) {
        address(url)?
    } else {
        let (host, port) = host_port(text(&["host", "sni", "destination", "dst", "dstaddr"])?)?;
        let path = text(&["path"]).unwrap_or_default().split(['?', '#']).next().unwrap_or_default().to_owned();
        let said = ["port", "dst_port", "dstport"].iter().find_map(|name| value.get(*name).and_then(Value::as_u64));
        (host, port.or(said.and_then(|port| u16::try_from(port).ok())), path)
    };
    let at = ["time", "timestamp", "ts", "start"].iter().find_map(|name| value.get(*name))?;
    let at_secs = match at {
        Value::String(text) => remit_model::time_ms(text)? / 1000,
        // Whole seconds, whatever stands behind them.
        at => at.to_string().split('.').next()?.parse().ok()?,
    };
    Some(Flow { source: source.to_string(), host, port, path, at_secs })
}
