//! A server behind Remit that does what a test tells it: of either era, well-behaved until a hook takes a request over.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::client::DEADLINE;

/// Which revision a server speaks; it speaks no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    Legacy,
    Modern,
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn top(&self) -> HashMap<String, Box<RawValue>> {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The method; empty in a response.
    pub(crate) fn method(&self) -> String {
        self.json()["method"].as_str().unwrap_or_default().to_owned()
    }

    /// The id as it was written.
    pub(crate) fn id(&self) -> String {
        self.top().get("id").map_or_else(|| "null".to_owned(), |id| id.get().to_owned())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub(crate) fn params(&self) -> Value {
        self.json()["params"].clone()
    }

    /// The arguments as they were written.
    pub(crate) fn arguments(&self) -> String {
        let params = self.top().remove("params");
        let params: HashMap<String, Box<RawValue>> =
            params.and_then(|params| serde_json::from_str(params.get()).ok()).unwrap_or_default();
        params.get("arguments").map_or_else(|| "null".to_owned(), |arguments| arguments.get().to_owned())
    }

    /// Whether this is a call of a tool.
    pub(crate) fn calls(&self, tool: &str) -> bool {
        self.method() == "tools/call" && self.params()["name"] == tool
    }

    /// The answer to this request.
    pub(crate) fn result(&self, result: &str) -> String {
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{result}}}", self.id())
    }
}

/// The connection that a request came on, to answer it.
pub(crate) struct Reply {
    stream: TcpStream,
    /// Whether the connection can serve another request.
    keep: bool,
}

impl Reply {
    /// Writes bytes as they are; the connection ends afterwards.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> bool {
        self.keep = false;
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).is_ok()
    }

    pub(crate) fn answer(&mut self, status: u16, headers: &[(&str, &str)], body: &str) {
        let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let sent = self.stream.write_all(format!("{text}\r\n{body}").as_bytes()).and_then(|()| self.stream.flush());
        self.keep = sent.is_ok();
    }

    pub(crate) fn json(&mut self, body: &str) {
        self.answer(200, &[("content-type", "application/json")], body);
    }

    /// Begins a stream of events; it ends with the connection.
    pub(crate) fn stream(&mut self) {
        self.raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
    }

    /// Writes an event; `false` if nobody is there any more.
    pub(crate) fn event(&mut self, data: &str) -> bool {
        self.raw(format!("data: {data}\n\n").as_bytes())
    }

    /// Waits until the other side hangs up.
    pub(crate) fn hold(&mut self) {
        self.keep = false;
        self.stream.set_read_timeout(None).unwrap();
        let mut byte = [0];
        while matches!(self.stream.read(&mut byte), Ok(1)) {}
    }
}

/// Sees each request first; `true`: it is answered.
pub(crate) type Hook = dyn Fn(&Seen, &mut Reply) -> bool + Send + Sync;

struct Inner {
    era: Era,
    hook: Mutex<Arc<Hook>>,
    seen: Mutex<Vec<Seen>>,
    changed: Condvar,
    sessions: Mutex<HashSet<String>>,
    session_next: AtomicU64,
    /// Streams of what belongs to no request, with the id of the subscription.
    streams: Mutex<Vec<(String, TcpStream)>>,
    connections: Mutex<Vec<TcpStream>>,
    tools: Mutex<Vec<String>>,
    /// What it says of itself to clients.
    instructions: Mutex<Option<String>>,
    page: AtomicUsize,
    stopping: AtomicBool,
}

/// A server.
pub(crate) struct Upstream {
    inner: Arc<Inner>,
    pub(crate) addr: SocketAddr,
}

/// Sees what comes to a server.
pub(crate) struct Watcher(Arc<Inner>);

impl Watcher {
    /// Waits for a request.
    pub(crate) fn wait(&self, what: &str, is_it: impl Fn(&Seen) -> bool) -> Seen {
        let seen = self.0.seen.lock().unwrap();
        let (seen, _) = self.0.changed.wait_timeout_while(seen, DEADLINE, |seen| !seen.iter().any(&is_it)).unwrap();
        seen.iter().find(|seen| is_it(seen)).unwrap_or_else(|| panic!("{what} never came")).clone()
    }
}

/// A tool that only reads and takes any object.
pub(crate) fn tool(name: &str) -> String {
    format!(
        "{{\"name\":\"{name}\",\"description\":\"{name}\",\"inputSchema\":{{\"type\":\"object\"}},\"annotations\":{{\"readOnlyHint\":true}}}}"
    )
}

impl Upstream {
    pub(crate) fn start(era: Era) -> Self {
        Self::start_at(era, 0)
    }

    pub(crate) fn start_at(era: Era, port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let addr = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            era,
            hook: Mutex::new(Arc::new(|_, _| false)),
            seen: Mutex::default(),
            changed: Condvar::new(),
            sessions: Mutex::default(),
            session_next: AtomicU64::new(1),
            streams: Mutex::default(),
            connections: Mutex::default(),
            tools: Mutex::new(vec![tool("echo"), tool("other")]),
            instructions: Mutex::default(),
            page: AtomicUsize::new(usize::MAX),
            stopping: AtomicBool::new(false),
        });
        let shared = Arc::clone(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let _ = stream.set_nodelay(true);
                shared.connections.lock().unwrap().push(stream.try_clone().unwrap());
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.serve(&stream));
            }
        });
        Self { inner, addr }
    }

    /// The registration of this server.
    pub(crate) fn server(&self, name: &str) -> Value {
        json!({"name": name, "url": format!("http://{}/mcp", self.addr), "network": "loopback"})
    }

    /// Takes requests over from now on.
    pub(crate) fn on(&self, hook: impl Fn(&Seen, &mut Reply) -> bool + Send + Sync + 'static) {
        *self.inner.hook.lock().unwrap() = Arc::new(hook);
    }

    pub(crate) fn set_tools(&self, tools: Vec<String>) {
        *self.inner.tools.lock().unwrap() = tools;
    }

    pub(crate) fn set_instructions(&self, text: &str) {
        *self.inner.instructions.lock().unwrap() = Some(text.to_owned());
    }

    /// How many entries a page of its tools holds.
    pub(crate) fn set_page(&self, entries: usize) {
        self.inner.page.store(entries, Ordering::SeqCst);
    }

    /// Forgets every session, as a server does that was started again.
    pub(crate) fn forget_sessions(&self) {
        self.inner.sessions.lock().unwrap().clear();
    }

    /// Forgets what came so far.
    pub(crate) fn forget(&self) {
        self.inner.seen.lock().unwrap().clear();
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    /// Waits for a request.
    pub(crate) fn wait(&self, what: &str, is_it: impl Fn(&Seen) -> bool) -> Seen {
        self.watcher().wait(what, is_it)
    }

    /// Sees what comes, from within a hook.
    pub(crate) fn watcher(&self) -> Watcher {
        Watcher(Arc::clone(&self.inner))
    }

    /// How many calls of tools came.
    pub(crate) fn calls(&self) -> usize {
        self.seen().iter().filter(|seen| seen.method() == "tools/call").count()
    }

    /// Waits until somebody listens to what belongs to no request.
    pub(crate) fn wait_streams(&self, count: usize) {
        crate::gateway::until("a stream", || self.inner.streams.lock().unwrap().len() >= count);
    }

    /// Sends a notification on every such stream; `params` is JSON text.
    pub(crate) fn push(&self, method: &str, params: &str) {
        let mut streams = self.inner.streams.lock().unwrap();
        for (subscription, stream) in streams.iter_mut() {
            let inner = params.trim().strip_prefix('{').unwrap();
            let comma = if inner.trim() == "}" { "" } else { "," };
            let meta = match self.inner.era {
                Era::Modern => format!("\"_meta\":{{\"io.modelcontextprotocol/subscriptionId\":{subscription}}}{comma}"),
                Era::Legacy => String::new(),
            };
            let _ = stream.write_all(
                format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"{method}\",\"params\":{{{meta}{inner}}}\n\n").as_bytes(),
            );
        }
    }

    /// Dies: every connection breaks, the port is free.
    pub(crate) fn stop(&self) {
        if self.inner.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        let _ = TcpStream::connect(self.addr);
        for stream in self.inner.connections.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut head = String::new();
    if reader.read_line(&mut head).ok()? == 0 {
        return None;
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { head: head.trim_end().to_owned(), headers, body: String::from_utf8(body).ok()? })
}

impl Inner {
    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some(seen) = read_request(&mut reader) {
            self.seen.lock().unwrap().push(seen.clone());
            self.changed.notify_all();
            let mut reply = Reply { stream: stream.try_clone().unwrap(), keep: true };
            let hook = Arc::clone(&self.hook.lock().unwrap());
            if !hook(&seen, &mut reply) {
                self.answer(&seen, &mut reply);
            }
            if !reply.keep {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn answer(&self, seen: &Seen, reply: &mut Reply) {
        let method = seen.method();
        if self.era == Era::Legacy && method != "initialize" {
            match seen.header("mcp-session-id") {
                None => {
                    return reply.answer(
                        400,
                        &[("content-type", "application/json")],
                        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"no session\"}}",
                    );
                }
                Some(id) if !self.sessions.lock().unwrap().contains(id) => return reply.answer(404, &[], ""),
                Some(_) => {}
            }
        }
        if seen.head.starts_with("GET") || method == "subscriptions/listen" {
            reply.stream();
            if self.era == Era::Modern {
                let meta = format!("\"_meta\":{{\"io.modelcontextprotocol/subscriptionId\":{}}}", seen.id());
                let wanted = &seen.params()["notifications"];
                reply.event(&format!("{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{{{meta},\"notifications\":{wanted}}}}}"));
            }
            self.streams.lock().unwrap().push((seen.id(), reply.stream.try_clone().unwrap()));
            return reply.hold();
        }
        if seen.head.starts_with("DELETE") || seen.id() == "null" || method.is_empty() {
            return reply.answer(202, &[], "");
        }
        self.request(seen, &method, reply);
    }

    fn request(&self, seen: &Seen, method: &str, reply: &mut Reply) {
        let modern = self.era == Era::Modern;
        let complete = if modern { "\"resultType\":\"complete\"," } else { "" };
        let cached = if modern { ",\"ttlMs\":0,\"cacheScope\":\"private\"" } else { "" };
        let capabilities = "{\"tools\":{\"listChanged\":true},\"prompts\":{\"listChanged\":true},\"resources\":{\"listChanged\":true,\"subscribe\":true},\"logging\":{},\"completions\":{}}";
        let info = "{\"name\":\"scripted\",\"version\":\"1\"}";
        let said = self.instructions.lock().unwrap().as_deref().map(|text| format!(",\"instructions\":{}", json!(text)));
        let said = said.unwrap_or_default();
        let result = match (method, modern) {
            ("initialize", false) => {
                let id = format!("upstream-session-{}", self.session_next.fetch_add(1, Ordering::SeqCst));
                self.sessions.lock().unwrap().insert(id.clone());
                let result =
                    format!("{{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{capabilities},\"serverInfo\":{info}{said}}}");
                return reply.answer(
                    200,
                    &[("content-type", "application/json"), ("mcp-session-id", &id)],
                    &seen.result(&result),
                );
            }
            ("server/discover", true) => {
                format!(
                    "{{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{capabilities}{said},\"_meta\":{{\"io.modelcontextprotocol/serverInfo\":{info}}}{cached}}}"
                )
            }
            ("tools/list", _) => self.tools_page(seen, complete, cached),
            ("tools/call", _) => {
                format!(
                    "{{{complete}\"content\":[{{\"type\":\"text\",\"text\":\"ok\"}}],\"x-given\":{},\"x-unknown\":{{\"b\":1,\"a\":12345678901234567890123}}}}",
                    seen.arguments()
                )
            }
            ("prompts/list", _) => format!("{{{complete}\"prompts\":[{{\"name\":\"greet\",\"x-unknown\":1.10}}]{cached}}}"),
            ("prompts/get", _) => {
                format!("{{{complete}\"messages\":[{{\"role\":\"user\",\"content\":{{\"type\":\"text\",\"text\":\"hello\"}}}}]}}")
            }
            ("resources/list", _) => format!("{{{complete}\"resources\":[{{\"uri\":\"test://one\",\"name\":\"one\"}}]{cached}}}"),
            ("resources/templates/list", _) => format!("{{{complete}\"resourceTemplates\":[]{cached}}}"),
            ("resources/read", _) => {
                format!("{{{complete}\"contents\":[{{\"uri\":\"test://one\",\"text\":\"the one\"}}]{cached}}}")
            }
            ("ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe", false) => "{}".to_owned(),
            _ => {
                let error =
                    format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{{\"code\":-32601,\"message\":\"unknown\"}}}}", seen.id());
                return reply.answer(if modern { 404 } else { 200 }, &[("content-type", "application/json")], &error);
            }
        };
        reply.json(&seen.result(&result));
    }

    fn tools_page(&self, seen: &Seen, complete: &str, cached: &str) -> String {
        let tools = self.tools.lock().unwrap();
        let from: usize = seen.params()["cursor"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
        let to = from.saturating_add(self.page.load(Ordering::SeqCst)).min(tools.len());
        let next = if to < tools.len() { format!(",\"nextCursor\":\"{to}\"") } else { String::new() };
        format!("{{{complete}\"tools\":[{}]{next}{cached}}}", tools[from..to].join(","))
    }
}
