//! The load: keep-alive connections that each send a call, check its answer, and send the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) path: String,
    pub(crate) tool: String,
    pub(crate) token: Option<String>,
    pub(crate) modern: bool,
}

/// What one round gave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Round {
    pub(crate) calls: u64,
    pub(crate) elapsed: Duration,
    pub(crate) latencies_us: Vec<u32>,
}

/// Sends calls over so many connections for so long. Any answer that is not the right one ends the run.
pub(crate) fn round(target: &Target, connections: usize, duration: Duration) -> Result<Round, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let stop = Arc::new(AtomicBool::new(false));
        let mut opened = Vec::new();
        for _ in 0..connections {
            opened.push(Connection::open(target).await?);
        }
        let started = Instant::now();
        let tasks: Vec<_> = opened.into_iter().map(|connection| tokio::spawn(connection.run(Arc::clone(&stop)))).collect();
        tokio::time::sleep(duration).await;
        stop.store(true, Ordering::Relaxed);
        let mut round = Round::default();
        for task in tasks {
            let latencies = task.await.map_err(|error| error.to_string())??;
            round.calls += latencies.len() as u64;
            round.latencies_us.extend(latencies);
        }
        round.elapsed = started.elapsed();
        Ok(round)
    })
}

struct Connection {
    stream: TcpStream,
    target: Target,
    session: Option<String>,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(target: &Target) -> Result<Self, String> {
        let stream = TcpStream::connect(&target.address).await.map_err(|error| error.to_string())?;
        let _ = stream.set_nodelay(true);
        let mut connection = Self { stream, target: target.clone(), session: None, buffer: Vec::with_capacity(16 * 1024) };
        if !target.modern {
            let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
            let (status, head, _) = connection.exchange(initialize, "").await?;
            let session = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("mcp-session-id:").map(|id| id.trim().to_owned()));
            connection.session = Some(session.ok_or_else(|| format!("no session: HTTP {status}"))?);
            connection.exchange(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, "").await?;
        }
        Ok(connection)
    }

    async fn run(mut self, stop: Arc<AtomicBool>) -> Result<Vec<u32>, String> {
        let mut latencies = Vec::with_capacity(1 << 16);
        let tool = self.target.tool.clone();
        let mut number: u64 = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let meta = if self.target.modern {
                r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"}}"#
            } else {
                ""
            };
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"message":"hello {number}, said a client that checks every answer"}}{meta}}}}}"#
            );
            let headers =
                if self.target.modern { format!("Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\n") } else { String::new() };
            let sent = Instant::now();
            let (status, _, answer) = self.exchange(&body, &headers).await?;
            latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
            let right = status == 200
                && answer.contains(&format!("\"id\":{number}"))
                && answer.contains(&format!("hello {number}, said"));
            if !right {
                return Err(format!("a wrong answer: HTTP {status}: {}", answer.chars().take(400).collect::<String>()));
            }
        }
        Ok(latencies)
    }

    async fn exchange(&mut self, body: &str, headers: &str) -> Result<(u16, String, String), String> {
        let version = if self.target.modern { "2026-07-28" } else { "2025-11-25" };
        let token = self.target.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let session = self.session.as_ref().map(|id| format!("Mcp-Session-Id: {id}\r\n")).unwrap_or_default();
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMCP-Protocol-Version: {version}\r\n{token}{session}{headers}Content-Length: {}\r\n\r\n{body}",
            self.target.path,
            self.target.address,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        self.buffer.clear();
        let (head_end, length) = loop {
            if self.stream.read_buf(&mut self.buffer).await.map_err(|error| error.to_string())? == 0 {
                return Err("the connection was closed".to_owned());
            }
            if let Some(found) = head(&self.buffer)? {
                break found;
            }
        };
        while self.buffer.len() < head_end + length {
            if self.stream.read_buf(&mut self.buffer).await.map_err(|error| error.to_string())? == 0 {
                return Err("the connection was closed".to_owned());
            }
        }
        let head = String::from_utf8_lossy(self.buffer.get(..head_end).unwrap_or_default()).into_owned();
        let body = String::from_utf8_lossy(self.buffer.get(head_end..head_end + length).unwrap_or_default()).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok((status, head, body))
    }
}

/// Where the head ends and how long the body is, once the head is whole.
fn head(buffer: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).to_ascii_lowercase();
    if text.contains("transfer-encoding: chunked") {
        return Err("an answer without a length: not what this load expects".to_owned());
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:").and_then(|length| length.trim().parse().ok()));
    Ok(Some((end + 4, length.unwrap_or(0))))
}
