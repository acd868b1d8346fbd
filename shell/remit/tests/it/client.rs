//! A small HTTP client that sends exactly what it is told to, and MCP of both eras on top of it.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(45);

/// A connection.
pub(crate) trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// How a body ends.
enum Framing {
    Length(usize),
    Chunked,
    Close,
    Done,
}

/// A response whose body is still to be read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    reader: BufReader<Box<dyn Wire>>,
    framing: Framing,
    events: String,
}

/// One server-sent event.
#[derive(Debug, Clone, Default)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

/// Connects to an address of this machine.
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends a request as it is written here and reads the head of the answer.
pub(crate) fn send_raw(mut wire: Box<dyn Wire>, request: &[u8]) -> Answer {
    // A server that refuses early may close while we still write: its answer counts.
    let _ = wire.write_all(request).and_then(|()| wire.flush());
    let mut reader = BufReader::new(wire);
    let mut line = String::new();
    reader.read_line(&mut line).expect("no answer came");
    let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no status in {line:?}")).parse().unwrap();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, reader, framing: Framing::Close, events: String::new() };
    answer.framing = match (answer.header("content-length"), answer.header("transfer-encoding")) {
        (Some(length), _) => Framing::Length(length.parse().unwrap()),
        (None, Some(_)) => Framing::Chunked,
        (None, None) => Framing::Close,
    };
    answer
}

/// Writes a request: `head` is method and path.
pub(crate) fn request_text(head: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{head} HTTP/1.1\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let has = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    if !has("content-length") && !has("transfer-encoding") && !head.starts_with("GET") {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Sends a request on a connection of its own, with the right `Host` unless another is given.
pub(crate) fn send(addr: SocketAddr, head: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let host = addr.to_string();
    let mut all = vec![("host", host.as_str())];
    if headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        all.clear();
    }
    all.extend_from_slice(headers);
    send_raw(Box::new(connect(addr)), &request_text(head, &all, body))
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn chunk(&mut self) -> Option<Vec<u8>> {
        match self.framing {
            Framing::Done => None,
            Framing::Length(length) => {
                let mut bytes = vec![0; length];
                self.reader.read_exact(&mut bytes).expect("the body broke off");
                self.framing = Framing::Done;
                Some(bytes)
            }
            Framing::Close => {
                let mut bytes = Vec::new();
                self.reader.read_to_end(&mut bytes).unwrap();
                self.framing = Framing::Done;
                Some(bytes)
            }
            Framing::Chunked => {
                let mut line = String::new();
                self.reader.read_line(&mut line).expect("nothing came on the stream");
                let length = usize::from_str_radix(line.trim(), 16).ok()?;
                let mut bytes = vec![0; length + 2];
                self.reader.read_exact(&mut bytes).expect("the body broke off");
                bytes.truncate(length);
                if length == 0 {
                    self.framing = Framing::Done;
                    return None;
                }
                Some(bytes)
            }
        }
    }

    /// The whole body of an answer that must have this status.
    #[track_caller]
    pub(crate) fn is(mut self, status: u16) -> String {
        let body = self.body();
        assert_eq!(self.status, status, "{body}");
        body
    }

    /// The whole body.
    pub(crate) fn body(&mut self) -> String {
        let mut all = Vec::new();
        while let Some(bytes) = self.chunk() {
            all.extend(bytes);
        }
        String::from_utf8(all).unwrap()
    }

    /// The next event that has an id or data; `None` at the end of the stream.
    pub(crate) fn event(&mut self) -> Option<Event> {
        let started = Instant::now();
        loop {
            // Comments keep a connection alive: only this says that nothing comes.
            assert!(started.elapsed() < DEADLINE, "nothing came on the stream");
            if let Some((text, rest)) = self.events.split_once("\n\n") {
                let (text, rest) = (text.to_owned(), rest.to_owned());
                self.events = rest;
                let mut event = Event::default();
                let mut data = Vec::new();
                for line in text.lines() {
                    match line.split_once(':') {
                        Some(("id", value)) => event.id = Some(value.trim_start().to_owned()),
                        Some(("data", value)) => data.push(value.strip_prefix(' ').unwrap_or(value).to_owned()),
                        _ => {}
                    }
                }
                event.data = data.join("\n");
                if event.id.is_some() || !event.data.is_empty() {
                    return Some(event);
                }
                continue;
            }
            let bytes = self.chunk()?;
            self.events.push_str(&String::from_utf8(bytes).unwrap());
        }
    }

    /// The next event with data, as JSON.
    pub(crate) fn next(&mut self) -> Value {
        loop {
            let event = self.event().expect("the stream ended");
            if !event.data.is_empty() {
                return json(&event.data);
            }
        }
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"))
    }

    /// The text of the response: the body, or the event that is one.
    pub(crate) fn text(&mut self) -> String {
        if !self.is_stream() {
            return self.body();
        }
        loop {
            let event = self.event().expect("the stream ended without a response");
            let value: Value = serde_json::from_str(&event.data).unwrap_or_default();
            if value.get("result").is_some() || value.get("error").is_some() {
                return event.data;
            }
        }
    }

    /// The response as JSON.
    pub(crate) fn message(&mut self) -> Value {
        let text = self.text();
        json(&text)
    }
}

/// Reads JSON.
pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The headers that 2026-07-28 demands of a request.
pub(crate) fn modern_headers(method: &str, params: &str) -> Vec<(String, String)> {
    let mut headers =
        vec![("mcp-protocol-version".to_owned(), "2026-07-28".to_owned()), ("mcp-method".to_owned(), method.to_owned())];
    let fields: std::collections::HashMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(params).unwrap();
    let key = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        method if method.starts_with("tasks/") => "taskId",
        _ => return headers,
    };
    if let Some(name) = fields.get(key) {
        headers.push(("mcp-name".to_owned(), serde_json::from_str(name.get()).unwrap()));
    }
    headers
}

/// An agent with a token, and how it presents itself.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) addr: SocketAddr,
    pub(crate) path: String,
    pub(crate) token: String,
    /// JSON text.
    pub(crate) capabilities: String,
    /// Further fields of `_meta`, each with a leading comma.
    pub(crate) meta: String,
}

impl Client {
    pub(crate) fn with(&self, capabilities: &str) -> Self {
        Self { capabilities: capabilities.to_owned(), ..self.clone() }
    }

    /// Sends a request of 2026-07-28; `params` is JSON text of an object.
    pub(crate) fn modern(&self, method: &str, params: &str) -> Answer {
        let body = self.modern_body(method, params);
        let headers = modern_headers(method, params);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post(&headers, body.as_bytes())
    }

    pub(crate) fn modern_body(&self, method: &str, params: &str) -> String {
        let inner = params.trim().strip_prefix('{').unwrap();
        let comma = if inner.trim_start().starts_with('}') { "" } else { "," };
        let meta = format!(
            "{{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{}{}}}",
            self.capabilities, self.meta
        );
        format!("{{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"{method}\",\"params\":{{\"_meta\":{meta}{comma}{inner}}}")
    }

    /// Posts a body with the agent's token.
    pub(crate) fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send("POST", headers, body)
    }

    pub(crate) fn send(&self, method: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let token = format!("Bearer {}", self.token);
        let mut all = vec![
            ("authorization", token.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        all.retain(|(name, _)| !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)));
        all.extend_from_slice(headers);
        send(self.addr, &format!("{method} {}", self.path), &all, body)
    }

    /// Calls a tool in 2026-07-28 and answers the whole response.
    pub(crate) fn call(&self, tool: &str, arguments: &str) -> Value {
        self.modern("tools/call", &format!("{{\"name\":\"{tool}\",\"arguments\":{arguments}}}")).message()
    }

    /// The names of the tools that are listed.
    pub(crate) fn tools(&self) -> Vec<String> {
        let listed = self.modern("tools/list", "{}").message();
        names(&listed, "tools", "name")
    }

    /// Opens a session.
    pub(crate) fn session(&self, version: &str) -> Session {
        let params = format!(
            "{{\"protocolVersion\":\"{version}\",\"capabilities\":{},\"clientInfo\":{{\"name\":\"it\",\"version\":\"1\"}}}}",
            self.capabilities
        );
        let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{params}}}");
        let mut answer = self.post(&[], body.as_bytes());
        let id = answer.header("mcp-session-id").map(str::to_owned);
        let message = answer.message();
        let id = id.unwrap_or_else(|| panic!("no session: {} {message}", answer.status));
        let session = Session { client: self.clone(), id, version: version.to_owned() };
        assert_eq!(session.tell("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}"), 202);
        session
    }
}

/// What is named in a list.
pub(crate) fn names(answer: &Value, key: &str, name: &str) -> Vec<String> {
    let list =
        answer.pointer(&format!("/result/{key}")).and_then(Value::as_array).unwrap_or_else(|| panic!("no {key} in {answer}"));
    list.iter().map(|entry| entry[name].as_str().unwrap().to_owned()).collect()
}

/// A session of an older revision.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) id: String,
    pub(crate) version: String,
}

impl Session {
    pub(crate) fn post(&self, body: &str) -> Answer {
        self.client.post(&[("mcp-session-id", &self.id), ("mcp-protocol-version", &self.version)], body.as_bytes())
    }

    /// Sends a request; `params` is JSON text.
    pub(crate) fn request(&self, id: &str, method: &str, params: &str) -> Answer {
        self.post(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{params}}}"))
    }

    pub(crate) fn call(&self, tool: &str, arguments: &str) -> Value {
        self.request("7", "tools/call", &format!("{{\"name\":\"{tool}\",\"arguments\":{arguments}}}")).message()
    }

    /// Sends what has no response; answers the status.
    pub(crate) fn tell(&self, body: &str) -> u16 {
        self.post(body).status
    }

    /// Answers a request of the server.
    pub(crate) fn answer(&self, id: &Value, result: &str) {
        assert_eq!(self.tell(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}")), 202);
    }

    /// Opens the stream of what belongs to no request, or takes one up.
    pub(crate) fn listen(&self, last: Option<&str>) -> Answer {
        let mut headers = vec![("mcp-session-id", self.id.as_str()), ("mcp-protocol-version", self.version.as_str())];
        headers.extend(last.map(|last| ("last-event-id", last)));
        self.client.send("GET", &headers, b"")
    }

    pub(crate) fn end(&self) -> u16 {
        self.client.send("DELETE", &[("mcp-session-id", &self.id)], b"").status
    }
}
