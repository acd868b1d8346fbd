//! Standard input and output: one JSON-RPC message a line.

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _, Write};

use bytes::Bytes;
use remit_mcp::error::result_answer;
use remit_mcp::json::Limits;
use remit_mcp::version::meta;
use remit_mcp::{ErrorCode, Kind, Message, RpcError};
use serde_json::Value;

use crate::UnknownServer;
use crate::service::{Client, Pending, Reply, Service};
use crate::world::Answer;

/// The longest line, in bytes.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Serves the sample server of this name on standard input and output until the input ends.
pub fn serve_stdio(name: &str) -> io::Result<()> {
    serve(name, &mut io::stdin().lock(), &mut io::stdout().lock())
}

/// Serves on any input and output.
pub(crate) fn serve(name: &str, input: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<()> {
    let service = Service::new(name).map_err(|error: UnknownServer| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let mut line = Line { service, client: Client::legacy(None), pending: HashMap::new(), asked: 0 };
    let mut text = Vec::new();
    loop {
        text.clear();
        let read = input.take(LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
        if read == 0 {
            return Ok(());
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if let Some(mut answer) = line.message(&Bytes::copy_from_slice(&text)) {
            answer.push(b'\n');
            output.write_all(&answer)?;
            output.flush()?;
        }
    }
}

/// One peer.
struct Line {
    service: Service,
    client: Client,
    pending: HashMap<String, Pending>,
    asked: u64,
}

impl Line {
    fn message(&mut self, text: &Bytes) -> Option<Vec<u8>> {
        let message = match Message::parse(text.clone(), Limits::default()) {
            Ok(message) => message,
            Err(error) => return Some(RpcError::new(ErrorCode::Parse, error.to_string()).answer("null")),
        };
        let params: Value = message.params().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        match message.kind() {
            Kind::Notification => None,
            Kind::Response | Kind::Error => {
                let id: String = serde_json::from_str(message.id()?).ok()?;
                let pending = self.pending.remove(&id)?;
                let answer = if message.kind() == Kind::Response { Answer::read(&params) } else { Answer::Refused };
                Some(result_answer(&pending.id, &self.service.resume(&pending, &answer).to_string()))
            }
            Kind::Request => Some(self.request(&message, &params)),
        }
    }

    fn request(&mut self, message: &Message, params: &Value) -> Vec<u8> {
        let id = message.id().unwrap_or("null");
        let modern = message.method() == "server/discover" || message.meta(meta::PROTOCOL_VERSION).is_some();
        if message.method() == "initialize" {
            self.client = Client::legacy(params.get("capabilities"));
        }
        let client = if modern { Client::modern(params) } else { Ok(self.client) };
        match client.and_then(|client| self.service.request(client, id, message.method(), params)) {
            Ok(Reply::Result(result)) => result_answer(id, &result.to_string()),
            Ok(Reply::Ask(pending)) => {
                self.asked += 1;
                let ask = format!("ask-{}", self.asked);
                let request = pending.ask(&ask).to_string().into_bytes();
                self.pending.insert(ask, pending);
                request
            }
            Err(error) => error.answer(id),
        }
    }
}

#[cfg(test)]
pub(crate) fn dialogue(name: &str, lines: &[Value]) -> Vec<Value> {
    let input = lines.iter().fold(String::new(), |all, line| format!("{all}{line}\n"));
    let mut output = Vec::new();
    serve(name, &mut input.as_bytes(), &mut output).unwrap();
    String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
