//! Requests of both eras, answered over one world. What differs between the eras stands here, once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use remit_mcp::version::{Version, meta};
use remit_mcp::{Era, ErrorCode, RpcError};
use serde_json::{Value, json};

use crate::UnknownServer;
use crate::arguments::{Arguments, fault};
use crate::state::Seal;
use crate::world::{Answer, Outcome, Question, World, set};

/// How long a list may be kept, in milliseconds.
const TTL_MS: u64 = 60_000;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    pub(crate) era: Era,
    /// Whether it can put a form to its user.
    pub(crate) elicits: bool,
}

impl Client {
    /// A client of the session era with these capabilities.
    pub(crate) fn legacy(capabilities: Option<&Value>) -> Self {
        Self { era: Era::Legacy, elicits: elicits(capabilities) }
    }

    /// The client that a request of 2026-07-28 describes.
    pub(crate) fn modern(params: &Value) -> Result<Self, RpcError> {
        let meta = params.get("_meta");
        let requested = meta.and_then(|all| all.get(meta::PROTOCOL_VERSION)).and_then(Value::as_str).unwrap_or_default();
        if Version::parse(requested).is_none_or(|version| version.era() != Era::Modern) {
            return Err(unsupported(requested));
        }
        let capabilities = meta.and_then(|all| all.get(meta::CLIENT_CAPABILITIES));
        Ok(Self { era: Era::Modern, elicits: elicits(capabilities) })
    }
}

fn elicits(capabilities: Option<&Value>) -> bool {
    capabilities.and_then(|all| all.get("elicitation")).is_some_and(Value::is_object)
}

/// The answer to a revision that isn't spoken.
pub(crate) fn unsupported(requested: &str) -> RpcError {
    let supported: Vec<&str> = Version::ALL.iter().map(|version| version.as_str()).collect();
    let data = json!({ "supported": supported, "requested": requested }).to_string();
    RpcError::new(ErrorCode::UnsupportedVersion, "Unsupported protocol version").data(data)
}

/// A call of the session era that waits for its user.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The request's id: JSON text.
    pub(crate) id: String,
    question: Question,
    tool: String,
    arguments: Value,
}

impl Pending {
    /// The request `elicitation/create` under this id.
    pub(crate) fn ask(&self, id: &str) -> Value {
        json!({ "jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": elicitation(&self.question) })
    }
}

/// What a request comes to.
pub(crate) enum Reply {
    /// Its result.
    Result(Value),
    /// The user is asked first; only in the session era.
    Ask(Pending),
}

/// One sample server.
pub(crate) struct Service {
    name: String,
    about: (&'static str, &'static str),
    tools: Vec<Value>,
    world: Mutex<Box<dyn World>>,
    seal: Option<Seal>,
}

impl Service {
    /// The sample server of this name.
    pub(crate) fn new(name: &str) -> Result<Self, UnknownServer> {
        let world = crate::world(name)?;
        Ok(Self {
            name: name.to_owned(),
            about: world.about(),
            tools: world.tools(),
            world: Mutex::new(world),
            seal: Seal::new(),
        })
    }

    fn world(&self) -> MutexGuard<'_, Box<dyn World>> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request. `id` is the request's, as JSON text.
    pub(crate) fn request(&self, client: Client, id: &str, method: &str, params: &Value) -> Result<Reply, RpcError> {
        let result = match (method, client.era) {
            ("initialize", Era::Legacy) => self.initialize(params),
            ("ping", Era::Legacy) => json!({}),
            ("server/discover", Era::Modern) => self.discover(),
            ("tools/call", _) => return self.tool_call(client, id, params),
            ("prompts/get", _) => self.prompt(params)?,
            ("resources/read", _) => self.resource(client, params)?,
            ("tools/list", _) => json!({ "tools": self.tools }),
            ("prompts/list", _) => json!({ "prompts": self.world().prompts() }),
            ("resources/list", _) => json!({ "resources": self.world().resources() }),
            ("resources/templates/list", _) => json!({ "resourceTemplates": self.world().templates() }),
            _ => return Err(RpcError::new(ErrorCode::MethodNotFound, "Method not found")),
        };
        let cached = method.ends_with("/list") || matches!(method, "resources/read" | "server/discover");
        Ok(Reply::Result(if client.era == Era::Modern { complete(result, cached) } else { result }))
    }

    /// Goes on with a call after its user was asked: the call's result.
    pub(crate) fn resume(&self, pending: &Pending, answer: &Answer) -> Value {
        let outcome = self.world().call(&pending.tool, Arguments::new(Some(&pending.arguments)), Some(answer));
        match outcome {
            Ok(Outcome::Done(text, data)) => done(&text, &data),
            Ok(Outcome::Ask(_)) => failed("the user was asked already"),
            Err(error) => failed(&error),
        }
    }

    fn info(&self) -> Value {
        json!({ "name": format!("acme-{}", self.name), "title": self.about.0, "version": env!("CARGO_PKG_VERSION") })
    }

    fn capabilities(&self) -> Value {
        let world = self.world();
        let mut capabilities = json!({ "tools": {} });
        if !world.prompts().is_empty() {
            set(&mut capabilities, "prompts", json!({}));
        }
        if !world.resources().is_empty() {
            set(&mut capabilities, "resources", json!({}));
        }
        capabilities
    }

    fn initialize(&self, params: &Value) -> Value {
        let requested = params.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
        json!({
            "protocolVersion": Version::negotiate(requested).as_str(),
            "capabilities": self.capabilities(), "serverInfo": self.info(), "instructions": self.about.1,
        })
    }

    fn discover(&self) -> Value {
        let versions: Vec<&str> = Version::ALL.iter().map(|version| version.as_str()).collect();
        json!({
            "supportedVersions": versions, "capabilities": self.capabilities(), "instructions": self.about.1,
            "_meta": { meta::SERVER_INFO: self.info() },
        })
    }

    fn prompt(&self, params: &Value) -> Result<Value, RpcError> {
        let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
        let found = self.world().prompt(name, Arguments::new(params.get("arguments")));
        let (description, text) =
            found.ok_or_else(|| RpcError::new(ErrorCode::InvalidParams, "Unknown prompt, or unfit arguments"))?;
        Ok(json!({ "description": description, "messages": [{ "role": "user", "content": { "type": "text", "text": text } }] }))
    }

    fn resource(&self, client: Client, params: &Value) -> Result<Value, RpcError> {
        let uri = params.get("uri").and_then(Value::as_str).unwrap_or_default();
        let code = if client.era == Era::Modern { ErrorCode::InvalidParams } else { ErrorCode::ResourceNotFound };
        let found = self.world().read(uri);
        let (mime, text) =
            found.ok_or_else(|| RpcError::new(code, "Resource not found").data(json!({ "uri": uri }).to_string()))?;
        Ok(json!({ "contents": [{ "uri": uri, "mimeType": mime, "text": text }] }))
    }

    fn tool_call(&self, client: Client, id: &str, params: &Value) -> Result<Reply, RpcError> {
        let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
        let tool = self.tools.iter().find(|tool| tool.get("name").and_then(Value::as_str) == Some(name));
        let tool = tool.ok_or_else(|| RpcError::new(ErrorCode::InvalidParams, format!("Unknown tool: {name}")))?;
        let arguments = params.get("arguments").cloned().unwrap_or_else(|| json!({}));
        let finish = |result: Value| Reply::Result(if client.era == Era::Modern { complete(result, false) } else { result });
        if let Some(fault) = fault(tool.get("inputSchema").unwrap_or(&Value::Null), Some(&arguments)) {
            return Ok(finish(failed(&fault)));
        }
        let answer = self.answer(client, name, &arguments, params)?;
        let outcome = self.world().call(name, Arguments::new(Some(&arguments)), answer.as_ref());
        match outcome {
            Ok(Outcome::Done(text, data)) => Ok(finish(done(&text, &data))),
            Err(error) => Ok(finish(failed(&error))),
            Ok(Outcome::Ask(_)) if !client.elicits && client.era == Era::Modern => {
                let data = json!({ "requiredCapabilities": { "elicitation": { "form": {} } } }).to_string();
                Err(RpcError::new(ErrorCode::MissingClientCapability, "The user has to confirm this, and the client can't ask")
                    .data(data))
            }
            Ok(Outcome::Ask(_)) if !client.elicits => {
                Ok(finish(failed("the user has to confirm this, and the client can't ask")))
            }
            Ok(Outcome::Ask(question)) if client.era == Era::Legacy => {
                Ok(Reply::Ask(Pending { id: id.to_owned(), question, tool: name.to_owned(), arguments }))
            }
            Ok(Outcome::Ask(question)) => {
                let state = self.seal.as_ref().and_then(|seal| seal.make(name, &arguments));
                let state = state.ok_or_else(|| RpcError::new(ErrorCode::Internal, "No random bytes"))?;
                let request = json!({ "method": "elicitation/create", "params": elicitation(&question) });
                Ok(Reply::Result(
                    json!({ "resultType": "input_required", "inputRequests": { "confirm": request }, "requestState": state }),
                ))
            }
        }
    }

    /// What the user said in an earlier round. A state that isn't good is refused: no answer counts without it.
    fn answer(&self, client: Client, tool: &str, arguments: &Value, params: &Value) -> Result<Option<Answer>, RpcError> {
        let responses = params.get("inputResponses").filter(|_| client.era == Era::Modern);
        let Some(response) = responses.and_then(|responses| responses.get("confirm")) else { return Ok(None) };
        let state = params.get("requestState").and_then(Value::as_str).unwrap_or_default();
        if !self.seal.as_ref().is_some_and(|seal| seal.take(state, tool, arguments)) {
            return Err(RpcError::new(ErrorCode::InvalidParams, "The request state is not good for this call: ask again"));
        }
        Ok(Some(Answer::read(response)))
    }
}

fn elicitation(question: &Question) -> Value {
    json!({ "mode": "form", "message": question.message, "requestedSchema": question.schema })
}

/// A result of 2026-07-28.
fn complete(mut result: Value, cached: bool) -> Value {
    set(&mut result, "resultType", "complete".into());
    if cached {
        set(&mut result, "ttlMs", TTL_MS.into());
        set(&mut result, "cacheScope", "private".into());
    }
    result
}

fn done(text: &str, data: &Value) -> Value {
    json!({ "content": [{ "type": "text", "text": text }], "structuredContent": data, "isError": false })
}

fn failed(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }], "isError": true })
}
