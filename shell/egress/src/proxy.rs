//! A way out for a process that has none: a proxy (HTTP `CONNECT`, RFC 9110 section 9.3.6) to named hosts and no others.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use remit_model::Network;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::stream::permitted;

/// The longest request, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// How long a request may take to come.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// The most connections at once.
const CONNECTIONS_MAX: usize = 64;

/// The hosts that may be reached, and which addresses each may resolve to.
pub type Hosts = BTreeMap<(String, u16), Network>;

/// Serves whoever can reach the listener, until it is dropped; so are its connections then. What goes through stays sealed between the two ends.
pub async fn proxy(listener: TcpListener, hosts: Hosts, connect_timeout: Duration) -> io::Result<()> {
    let hosts = Arc::new(hosts);
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let hosts = Arc::clone(&hosts);
                connections.spawn(async move {
                    // Whichever end breaks off ends it; nobody else needs to know.
                    let _ = serve(stream, &hosts, connect_timeout).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut client: TcpStream, hosts: &Hosts, connect_timeout: Duration) -> io::Result<()> {
    let (head, rest) = match tokio::time::timeout(HEAD_MAX, head(&mut client)).await {
        Ok(read) => read?,
        Err(_) => return refuse(&mut client, "408 Request Timeout", "no request came").await,
    };
    let Some((host, port)) = target(&head) else {
        return refuse(&mut client, "405 Method Not Allowed", "only CONNECT host:port is served").await;
    };
    let Some(network) = hosts.get(&(host.clone(), port)) else {
        return refuse(&mut client, "403 Forbidden", "the profile names no such host").await;
    };
    let connected = tokio::time::timeout(connect_timeout, permitted(&host, port, *network)).await;
    let mut server = match connected {
        Ok(Ok(server)) => server,
        Ok(Err(error)) => return refuse(&mut client, "502 Bad Gateway", &error.to_string()).await,
        Err(_) => return refuse(&mut client, "504 Gateway Timeout", "the host did not answer in time").await,
    };
    client.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n").await?;
    server.write_all(&rest).await?;
    copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}

/// The head of a request, and what came after it.
async fn head(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|part| part == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&read).into_owned(), rest));
        }
        if read.len() > HEAD_BYTES_MAX || client.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// Whom a request wants to reach.
fn target(head: &str) -> Option<(String, u16)> {
    let mut words = head.lines().next()?.split(' ');
    let (method, authority, version) = (words.next()?, words.next()?, words.next()?);
    if method != "CONNECT" || !version.starts_with("HTTP/1.") || words.next().is_some() {
        return None;
    }
    let (host, port) = authority.rsplit_once(':')?;
    Some((host.trim_end_matches('.').to_ascii_lowercase(), port.parse().ok()?))
}

async fn refuse(client: &mut TcpStream, status: &str, why: &str) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{why}",
        why.len()
    );
    client.write_all(answer.as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the proxy answers to a request, with what comes through.
    async fn asked(hosts: Hosts, request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(proxy(listener, hosts, Duration::from_secs(5)));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        served.abort();
        answer
    }

    #[tokio::test]
    async fn named_hosts_are_reached_and_no_others() {
        let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = inside.local_addr().unwrap().port();
        let echo = tokio::spawn(async move {
            while let Ok((mut stream, _)) = inside.accept().await {
                let mut said = [0; 5];
                stream.read_exact(&mut said).await.unwrap();
                stream.write_all(&said).await.unwrap();
            }
        });
        let named = |network| Hosts::from([(("localhost".to_owned(), port), network)]);
        let request = |host: &str| format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}\r\n\r\nhello");
        let through = asked(named(Network::Loopback), &request("LocalHost.")).await;
        assert!(through.starts_with("HTTP/1.1 200 ") && through.ends_with("hello"), "{through}");
        // Named, but inside: a name proves nothing.
        for network in [Network::Public, Network::Private] {
            let refused = asked(named(network), &request("localhost")).await;
            assert!(refused.starts_with("HTTP/1.1 502 "), "{refused}");
        }
        for host in ["127.0.0.1", "[::1]", "localhost.evil.example", "evil.example"] {
            let refused = asked(named(Network::Loopback), &request(host)).await;
            assert!(refused.starts_with("HTTP/1.1 403 "), "{host}: {refused}");
        }
        for request in [
            format!("GET http://localhost:{port}/ HTTP/1.1\r\n\r\n"),
            format!("CONNECT localhost:{port}\r\n\r\n"),
            "CONNECT localhost HTTP/1.1\r\n\r\n".to_owned(),
            format!("CONNECT localhost:{port} HTTP/1.1 x\r\n\r\n"),
        ] {
            let refused = asked(named(Network::Loopback), &request).await;
            assert!(refused.starts_with("HTTP/1.1 405 "), "{request}: {refused}");
        }
        echo.abort();
    }
}
