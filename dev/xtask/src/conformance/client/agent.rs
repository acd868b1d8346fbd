//! The agent behind Remit: an MCP client of either era, with a person who says yes to every question.

use std::{error::Error, thread};

use serde_json::{Map, Value, json};

use super::person::{Answer, ask, listen};
use crate::{Outcome, say};

/// How often a call may ask back.
const ROUNDS_MAX: usize = 5;

/// An agent.
pub(super) struct Agent {
    url: String,
    /// Its session, in the session era.
    session: Option<String>,
    next_id: u64,
}

impl Agent {
    /// One that speaks 2026-07-28.
    pub(super) fn modern(url: &str) -> Self {
        Self { url: url.to_owned(), session: None, next_id: 1 }
    }

    /// One that speaks 2025-11-25.
    pub(super) fn in_session(url: &str) -> Result<Self, Box<dyn Error>> {
        let mut agent = Self::modern(url);
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}, "clientInfo": {"name": "conformance", "version": "1"}
        });
        let answer = agent.send("initialize", &params, &[])?;
        let session = answer.header("mcp-session-id").ok_or("Remit opened no session")?;
        agent.session = Some(session.to_owned());
        let told = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        agent.post(&told, &[])?;
        agent.hear()?;
        Ok(agent)
    }

    /// Opens the session's own stream, and answers what is asked there for as long as it lasts.
    fn hear(&self) -> Result<(), Box<dyn Error>> {
        let headers = self.session_headers();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let events = listen(&self.url, &headers)?;
        let answering = Self { url: self.url.clone(), session: self.session.clone(), next_id: 1 };
        thread::spawn(move || {
            for event in events {
                let asked: Value = serde_json::from_str(&event).unwrap_or_default();
                if asked.get("method").and_then(Value::as_str) != Some("elicitation/create") {
                    continue;
                }
                let response = json!({"jsonrpc": "2.0", "id": asked.get("id"), "result": answer(&asked)});
                // The scenario's checks say whether the answer arrived.
                let _ = answering.post(&response, &[]);
            }
        });
        Ok(())
    }

    fn session_headers(&self) -> Vec<(&'static str, String)> {
        let session = self.session.iter().map(|session| ("mcp-session-id", session.clone()));
        session.chain([("mcp-protocol-version", "2025-11-25".to_owned())]).collect()
    }

    /// The tools that are offered.
    pub(super) fn tools(&mut self) -> Result<Vec<Value>, Box<dyn Error>> {
        let response = self.request("tools/list", json!({}), None)?;
        Ok(response.pointer("/result/tools").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Calls a tool, and answers what is asked back. True if it brought a result.
    pub(super) fn call(&mut self, tool: &str, arguments: &Value) -> Outcome {
        let mut params = json!({"name": tool, "arguments": arguments});
        for _ in 0..ROUNDS_MAX {
            let response = self.request("tools/call", params.clone(), Some(tool))?;
            let Some(result) = response.get("result") else {
                say(&format!("`{tool}`: {response}"));
                return Ok(false);
            };
            if result.get("resultType").and_then(Value::as_str) != Some("input_required") {
                return Ok(result.get("isError").and_then(Value::as_bool) != Some(true));
            }
            params = json!({"name": tool, "arguments": arguments, "inputResponses": answers(result)});
            if let (Some(object), Some(state)) = (params.as_object_mut(), result.get("requestState")) {
                object.insert("requestState".to_owned(), state.clone());
            }
        }
        Err(format!("`{tool}` asks back without end").into())
    }

    fn request(&mut self, method: &str, mut params: Value, name: Option<&str>) -> Result<Value, Box<dyn Error>> {
        let mut headers = Vec::new();
        if self.session.is_none() {
            let meta = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
                "io.modelcontextprotocol/clientInfo": {"name": "conformance", "version": "1"}
            });
            if let Some(object) = params.as_object_mut() {
                object.insert("_meta".to_owned(), meta);
            }
            headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
            headers.extend(name.map(|name| ("mcp-name", name)));
        }
        let answer = self.send(method, &params, &headers)?;
        // The last event of a stream is the response.
        let mut events = answer.body.lines().filter_map(|line| line.strip_prefix("data:"));
        let text = events.next_back().unwrap_or(&answer.body).trim();
        serde_json::from_str(text).map_err(|_| format!("`{method}` was answered HTTP {} {text}", answer.status).into())
    }

    fn send(&mut self, method: &str, params: &Value, headers: &[(&str, &str)]) -> Result<Answer, Box<dyn Error>> {
        let id = self.next_id;
        self.next_id += 1;
        self.post(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}), headers)
    }

    fn post(&self, body: &Value, headers: &[(&str, &str)]) -> Result<Answer, Box<dyn Error>> {
        let mut all = vec![("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
        all.extend_from_slice(headers);
        let session = if self.session.is_some() { self.session_headers() } else { Vec::new() };
        all.extend(session.iter().map(|(name, value)| (*name, value.as_str())));
        ask("POST", &self.url, &all, &body.to_string())
    }
}

/// Yes to every question that a result asks back.
fn answers(result: &Value) -> Value {
    let questions = result.get("inputRequests").and_then(Value::as_object).cloned().unwrap_or_default();
    questions.iter().map(|(key, question)| (key.clone(), answer(question))).collect::<Map<_, _>>().into()
}

/// Yes, with what the question proposes as its default, and true for what it doesn't.
fn answer(question: &Value) -> Value {
    let properties = question.pointer("/params/requestedSchema/properties").and_then(Value::as_object).cloned();
    let content: Map<String, Value> = properties
        .unwrap_or_default()
        .into_iter()
        .map(|(name, property)| (name, property.get("default").cloned().unwrap_or(Value::Bool(true))))
        .collect();
    json!({"action": "accept", "content": content})
}

#[cfg(test)]
mod tests {
    use super::{answer, answers};
    use serde_json::json;

    #[test]
    fn a_question_is_answered_with_its_defaults() {
        let question =
            json!({"params": {"requestedSchema": {"properties": {"age": {"default": 30}, "sure": {"type": "boolean"}}}}});
        let yes = json!({"action": "accept", "content": {"age": 30, "sure": true}});
        assert_eq!(answer(&question), yes);
        assert_eq!(answers(&json!({"inputRequests": {"one": question}})), json!({"one": yes}));
    }
}
