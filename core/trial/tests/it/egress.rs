//! Logs of the network: what was reached around Remit is found, in every form, and nothing else is.

use std::net::IpAddr;

use remit_config::{SourceFile, read};
use remit_trial::egress::{FINDINGS_MAX, Found, Known, LINE_BYTES_MAX};

const OWN: &str = "10.0.0.5";
const CONFIG: &str = r#"
accounts: [{ id: "111122223333", name: a }]
servers:
  - { name: tickets, url: "https://tickets.example.com/mcp" }
  - { name: inner, url: "https://10.1.2.3:8080/mcp", network: private }
"#;

fn looked(log: &str) -> Found {
    let files = [SourceFile { path: "a.yaml".to_owned(), text: CONFIG.to_owned() }];
    let organization = read(&files).unwrap().organization;
    let own: IpAddr = OWN.parse().unwrap();
    let (known, mut found) = (Known::of(&organization, &[own]), Found::default());
    for (number, line) in (1..).zip(log.lines()) {
        known.look(number, line, &mut found);
    }
    found
}

/// Kind, source, host, path, server and count of each.
fn told(found: &Found) -> Vec<String> {
    let told = |one: &remit_trial::egress::Reached| {
        let server = one.server.as_ref().map_or("-".to_owned(), |key| key.name.to_string());
        format!(
            "{} {} {}{} {server} {} {}-{}",
            one.kind.as_str(),
            one.source,
            one.host,
            one.path,
            one.count,
            one.first_secs,
            one.last_secs
        )
    };
    found.reached().map(told).collect()
}

#[test]
fn flow_logs_tell_of_servers_that_are_registered_by_their_address() {
    let line = |source: &str, host: &str, port: u16, protocol: u8, start: u64, action: &str| {
        format!("2 111122223333 eni-1 {source} {host} 40000 {port} {protocol} 10 840 {start} {} {action} OK", start + 60)
    };
    let log = [
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
            .to_owned(),
        line("10.0.0.9", "10.1.2.3", 8080, 6, 1_700_000_100, "ACCEPT"),
        line("10.0.0.9", "10.1.2.3", 8080, 6, 1_700_000_000, "ACCEPT"),
        line(OWN, "10.1.2.3", 8080, 6, 1_700_000_000, "ACCEPT"),
        line("10.0.0.9", "10.1.2.3", 22, 6, 1_700_000_000, "ACCEPT"),
        line("10.0.0.9", "10.1.2.3", 8080, 17, 1_700_000_000, "ACCEPT"),
        line("10.0.0.9", "10.1.2.3", 8080, 6, 1_700_000_000, "REJECT"),
        "2 111122223333 eni-1 - - - - - - - 1700000000 1700000060 - NODATA".to_owned(),
    ];
    let found = looked(&log.join("\n"));
    assert_eq!(told(&found), ["REGISTERED 10.0.0.9 10.1.2.3 inner 2 1700000000-1700000100"]);
    assert_eq!((found.lines, found.unread), (7, (0, None)));
}

#[test]
fn a_proxys_log_tells_of_names_and_paths() {
    let log = "\
1700000000.123    95 10.0.0.9 TCP_TUNNEL/200 5120 CONNECT tickets.example.com:443 - HIER_DIRECT/203.0.113.7 -
1700000001.123    95 10.0.0.5 TCP_TUNNEL/200 5120 CONNECT tickets.example.com:443 - HIER_DIRECT/203.0.113.7 -
1700000002.123    95 10.0.0.9 TCP_TUNNEL/200 5120 CONNECT mcp.unknown.example:443 - HIER_DIRECT/203.0.113.8 -
1700000003.123    95 10.0.0.9 TCP_MISS/200 512 POST http://tools.example.org:9000/v1/mcp?key=secret - HIER_DIRECT/203.0.113.9 application/json
1700000004.123    95 10.0.0.9 TCP_MISS/200 512 GET http://news.example.org/mcpherson - HIER_DIRECT/203.0.113.9 text/html
1700000005.123    95 10.0.0.9 TCP_DENIED/403 512 CONNECT mcp.denied.example:443 - HIER_NONE/- -
1700000006.123    95 10.0.0.9 TCP_TUNNEL/200 5120 CONNECT tickets.example.com:8443 - HIER_DIRECT/203.0.113.7 -";
    let found = looked(log);
    let all = [
        "REGISTERED 10.0.0.9 tickets.example.com tickets 1 1700000000-1700000000",
        "UNKNOWN 10.0.0.9 mcp.unknown.example - 1 1700000002-1700000002",
        "UNKNOWN 10.0.0.9 tools.example.org/v1/mcp - 1 1700000003-1700000003",
    ];
    assert_eq!(told(&found), all, "no query is told, what was denied wasn't reached");
}

#[test]
fn lines_of_json_are_read_and_what_cannot_be_is_counted() {
    let log = format!(
        "{}\n{}\n{}\n{}\n{}\n{}\n{}\n",
        r#"{"source":"10.0.0.9","url":"https://TICKETS.example.com/mcp/x?token=1","time":"2026-01-31T12:30:00Z"}"#,
        r#"{"client_ip":"10.0.0.8","host":"a.example","path":"/sse","timestamp":1700000000.7}"#,
        r#"{"src":"10.0.0.8","sni":"www.example.com","dst_port":443,"ts":1700000000}"#,
        r#"{"source":"10.0.0.9","host":"mcp.example"}"#,
        "what is this",
        "x".repeat(LINE_BYTES_MAX + 1),
        r#"{"source":"nobody","host":"mcp.example","time":1}"#,
    );
    let found = looked(&log);
    let all = [
        "REGISTERED 10.0.0.9 tickets.example.com/mcp/x tickets 1 1769862600-1769862600",
        "UNKNOWN 10.0.0.8 a.example/sse - 1 1700000000-1700000000",
    ];
    assert_eq!(told(&found), all);
    assert_eq!((found.lines, found.unread), (7, (4, Some(4))));
    // However many there are, so many are kept, and that there are more is said.
    let many: String =
        (0..=FINDINGS_MAX).map(|n| format!("{{\"source\":\"10.0.0.9\",\"host\":\"mcp.h{n}.example\",\"time\":1}}\n")).collect();
    let found = looked(&many);
    assert_eq!((found.reached().count(), found.more), (FINDINGS_MAX, true));
}
