//! The client in a scenario: a Remit with the suite's server registered, a person who consents, and an agent that calls a tool.

use std::{
    env,
    error::Error,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{REMIT, agent::Agent, person};
use crate::{
    Outcome,
    conformance::servers::{Process, field, start},
    say,
};

/// How often a person consents before it is too much for them: one more than any scenario needs.
const CONSENTS_MAX: usize = 3;
/// How long the gateway may take to hear what the server offers.
const HEARD_WITHIN: Duration = Duration::from_secs(15);
/// How often it is asked.
const AGAIN: Duration = Duration::from_millis(50);

const ACCOUNT: &str = "111122223333";
const AGENT: &str = "conformance";
/// Where the suite believes that a client's metadata document is published.
const CLIENT_METADATA: &str = "https://conformance-test.local/client-metadata.json";

/// A Remit that is up.
struct Gateway {
    binary: PathBuf,
    data: PathBuf,
    url: String,
    control: String,
    operator: String,
    _process: Process,
}

/// Plays the client against the suite's server at `url`. True if the call came through.
pub(super) fn client(url: &str) -> Outcome {
    let home = env::temp_dir().join(format!("remit-conformance-client-{}", std::process::id()));
    let played = play(url, &home);
    // Standard error is the suite's to show.
    if let Err(error) = fs::remove_dir_all(&home) {
        say(&format!("`{}`: {error}", home.display()));
    }
    played
}

fn play(url: &str, home: &Path) -> Outcome {
    let scenario = env::var("MCP_CONFORMANCE_SCENARIO")?;
    let config = home.join("config");
    fs::create_dir_all(&config)?;
    let context = env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_else(|_| "null".to_owned());
    let context: Value = serde_json::from_str(&context)?;
    let credential = credential(&scenario, &context, home)?;
    fs::write(config.join("remit.json"), configuration(url, &credential).to_string())?;
    let gateway = up(&config, home.join("data"))?;
    let mut consents = 0;
    loop {
        let status = gateway.heard()?;
        let needed = status.pointer("/connections/0/state").and_then(Value::as_str).is_some_and(|state| state != "connected");
        if needed {
            consents += 1;
            if consents > CONSENTS_MAX || !gateway.consent()? {
                return Ok(false);
            }
            continue;
        }
        let server = status.pointer("/servers/0").cloned().unwrap_or_default();
        if server.get("status").and_then(Value::as_str) != Some("ready") {
            say(&format!("the server is not there: {server}"));
            return Ok(false);
        }
        let through = works(&scenario, &context, &gateway)?;
        // A server that asked for more in the meantime gets it.
        let after = gateway.status()?;
        if through || after.pointer("/connections/0/state").and_then(Value::as_str).is_none_or(|state| state == "connected") {
            return Ok(through);
        }
    }
}

/// What the agent does. True if every call brought a result.
fn works(scenario: &str, context: &Value, gateway: &Gateway) -> Outcome {
    let url = format!("{}/spaces/{AGENT}/mcp", gateway.url);
    // Where the suite looks at what Remit says for itself in 2026-07-28, the agent is one of the session era: then Remit has to. And
    // one that is asked on its session's stream has to have a session.
    let in_session = scenario.starts_with("http-") || scenario.starts_with("elicitation-");
    let mut agent = if in_session { Agent::in_session(&url)? } else { Agent::modern(&url) };
    let tools = agent.tools()?;
    let mut through = true;
    match (context.get("toolCalls").and_then(Value::as_array), scenario) {
        (Some(calls), _) => {
            for call in calls {
                let mut arguments = call.get("arguments").cloned().unwrap_or_else(|| json!({}));
                // The tool's own schema has no null, so that Remit would refuse it: what is null is not provided.
                if let Some(object) = arguments.as_object_mut() {
                    object.retain(|_, value| !value.is_null());
                }
                through &= agent.call(field(call, "name")?, &arguments)?;
            }
        }
        // The schema names what isn't there, on purpose: to have listed it is all.
        (None, "json-schema-ref-no-deref") => {}
        (None, "json-schema-2020-12-preservation") => {
            let echo = tools.iter().find(|tool| tool.pointer("/inputSchema/properties/schema").is_some());
            let focal = tools.iter().find(|tool| tool.pointer("/inputSchema/$schema").is_some());
            let (Some(echo), Some(focal)) = (echo, focal) else { return Err("the tools aren't listed".into()) };
            let arguments = json!({"schema": focal.get("inputSchema")});
            through &= agent.call(field(echo, "name")?, &arguments)?;
        }
        (None, _) => {
            for tool in &tools {
                through &= agent.call(field(tool, "name")?, &sample(tool.get("inputSchema").unwrap_or(&Value::Null)))?;
            }
        }
    }
    Ok(through)
}

/// Arguments that fit a simple schema.
fn sample(schema: &Value) -> Value {
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let value = |property: &Value| match property.get("type").and_then(Value::as_str) {
        Some("number" | "integer") => json!(2),
        Some("boolean") => json!(true),
        Some("object") => json!({}),
        Some("array") => json!([]),
        _ => json!("text"),
    };
    properties.iter().map(|(name, property)| (name.clone(), value(property))).collect::<serde_json::Map<_, _>>().into()
}

/// What Remit is registered with for a scenario.
fn credential(scenario: &str, context: &Value, home: &Path) -> Result<Value, Box<dyn Error>> {
    let text = |key: &str| context.get(key).and_then(Value::as_str);
    if !scenario.starts_with("auth/") {
        return Ok(Value::Null);
    }
    let Some(id) = text("client_id") else {
        let document = (scenario == "auth/basic-cimd").then_some(CLIENT_METADATA);
        return Ok(match document {
            Some(document) => json!({"oauth": {"grant": "authorization_code", "client_metadata_url": document}}),
            None => json!({"oauth": {"grant": "authorization_code"}}),
        });
    };
    let kept = home.join("secret");
    let mut oauth = json!({"client_id": id});
    let member = if text("private_key_pem").is_some() { "private_key" } else { "client_secret" };
    fs::write(&kept, text("private_key_pem").or(text("client_secret")).ok_or("the context holds no secret")?)?;
    fs::set_permissions(&kept, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    if let Some(object) = oauth.as_object_mut() {
        object.insert(member.to_owned(), json!({"file": kept}));
        object.extend(text("signing_algorithm").map(|algorithm| ("algorithm".to_owned(), algorithm.into())));
        if !scenario.starts_with("auth/client-credentials") {
            object.insert("grant".to_owned(), "authorization_code".into());
            object.extend(text("issuer").map(|issuer| ("issuer".to_owned(), issuer.into())));
        }
    }
    Ok(json!({"oauth": oauth}))
}

/// Everything may pass: what fails then is no policy.
fn configuration(url: &str, credential: &Value) -> Value {
    let mut server = json!({"name": "suite", "account": ACCOUNT, "url": url, "network": "loopback"});
    if let (Some(object), false) = (server.as_object_mut(), credential.is_null()) {
        object.insert("credential".to_owned(), credential.clone());
    }
    json!({
        "accounts": [{"id": ACCOUNT, "name": "conformance"}],
        "servers": [server],
        "agents": [{"id": AGENT, "account": ACCOUNT, "owner": "conformance@acme.example", "credentials": ["client_secret"]}],
        "spaces": [{
            "id": AGENT, "account": ACCOUNT, "region": "us-east-1", "agents": [AGENT], "mandate": "DESTRUCTIVE",
            "servers": [{"server": "suite", "tools": "all", "prompts": true, "resources": true, "prefix": false}]
        }],
        "tool_policies": [{"agent": AGENT, "tool": "suite___*", "allowed": true, "max_risk": "critical"}]
    })
}

fn up(config: &Path, data: PathBuf) -> Result<Gateway, Box<dyn Error>> {
    let binary = PathBuf::from(env::var_os(REMIT).ok_or("no binary is named")?);
    let mut command = Command::new(&binary);
    command.args(["up", "--json", "--port", "0", "--control-port", "0", "--anonymous-agent", AGENT]);
    command.arg("--config").arg(config).arg("--data").arg(&data);
    let (process, ready) = start(command)?;
    let operator = fs::read_to_string(data.join("operator.token"))?;
    let (url, control) = (field(&ready, "gateway")?.to_owned(), field(&ready, "control")?.to_owned());
    Ok(Gateway { binary, data, url, control, operator, _process: process })
}

impl Gateway {
    fn status(&self) -> Result<Value, Box<dyn Error>> {
        let authorization = format!("Bearer {}", self.operator.trim());
        let answer = person::ask("GET", &format!("{}/v1/status", self.control), &[("authorization", &authorization)], "")?;
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// How everything stands once the server has answered or failed.
    fn heard(&self) -> Result<Value, Box<dyn Error>> {
        let begun = Instant::now();
        loop {
            let status = self.status()?;
            let connecting = status.pointer("/servers/0/status").and_then(Value::as_str) == Some("connecting");
            if !connecting || begun.elapsed() > HEARD_WITHIN {
                return Ok(status);
            }
            thread::sleep(AGAIN);
        }
    }

    /// Runs `remit connect` and plays the person in front of it. True if the connection stands.
    fn consent(&self) -> Outcome {
        let mut command = Command::new(&self.binary);
        command.args(["connect", &format!("{ACCOUNT}/suite"), "--by", "conformance", "--json", "--data"]).arg(&self.data);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("a child without standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        if let Some(line) = lines.next() {
            let begun: Value = serde_json::from_str(&line?)?;
            person::browse(field(&begun, "authorization_url")?)?;
        }
        for line in lines {
            say(&line?);
        }
        Ok(child.wait()?.success())
    }
}
