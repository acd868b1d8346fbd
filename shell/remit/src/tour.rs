//! `remit try`: five calls through the real endpoint of a running gateway, each decision with its layers and its journal entry.

use http::Method;
use remit_journal::Reader;
use serde_json::{Value, json};

use crate::cli::Common;
use crate::commands::{agent_token, layers, reach};
use crate::home::{Home, Running};
use crate::output::{FAILURE, Failure, Printer};

/// Who calls.
const AGENT: &str = "agent-support-1";
/// Where.
const SPACE: &str = "support";

/// One stop of the tour.
struct Stop {
    title: &'static str,
    why: &'static str,
    tool: &'static str,
    arguments: Value,
    forged: bool,
    /// The reason that is expected; `None` for a call that goes through.
    expected: Option<&'static str>,
}

fn stops() -> [Stop; 5] {
    let stop = |title, why, tool, arguments, forged, expected| Stop { title, why, tool, arguments, forged, expected };
    [
        stop(
            "an allowed call",
            "the space lists the tool, a row allows it, the arguments fit",
            "helpdesk___search_kb",
            json!({"query": "password"}),
            false,
            None,
        ),
        stop(
            "a tool that the space doesn't list",
            "registered on the server, admitted by nobody here",
            "helpdesk___delete_ticket",
            json!({"ticket_id": "T-1001"}),
            false,
            Some("tool_not_listed"),
        ),
        stop(
            "a risk above the agent's maximum",
            "listed, but this agent's row stops at a lower risk",
            "helpdesk___close_ticket",
            json!({"ticket_id": "T-1001", "resolution": "done"}),
            false,
            Some("risk_exceeds_policy"),
        ),
        stop(
            "a forged token",
            "somebody else's signature under the agent's name",
            "helpdesk___search_kb",
            json!({"query": "password"}),
            true,
            Some("unauthenticated"),
        ),
        stop(
            "an argument that breaks the schema",
            "the pinned schema says what an id looks like",
            "helpdesk___get_ticket",
            json!({"ticket_id": "T-1001; drop table tickets"}),
            false,
            Some("arguments_invalid"),
        ),
    ]
}

/// Takes the tour.
pub(crate) async fn tour(options: &Common) -> Result<(), Failure> {
    let printer = Printer::new(options.json);
    let home = Home::existing(&options.data)?;
    let running = home.running()?;
    let url = format!("{}/spaces/{SPACE}/mcp", running.gateway);
    let token = agent_token(&home, AGENT, SPACE, None, None).await.map_err(|failure| {
        Failure::new(format!(
            "{}: the tour goes through the sample organization, which `remit up` serves without --config",
            failure.message
        ))
    })?;
    printer.say(&format!(
        "{AGENT} has a token for {url}, good for 15 minutes.\nEach call below is one POST of MCP 2026-07-28 to that address."
    ))?;
    let mut surprises = 0;
    for (number, stop) in stops().into_iter().enumerate() {
        let shown = if stop.forged { forged(&token) } else { token.to_string() };
        let answer = call(&running, &url, &shown, number, &stop).await?;
        let found = Found::read(&home, answer)?;
        let unexpected = found.reason.as_deref() != stop.expected;
        surprises += usize::from(unexpected);
        if printer.json {
            printer.line(&json!({"stop": stop.title, "tool": stop.tool, "reason": found.reason, "expected": stop.expected, "answer": found.answer, "journal": found.entries}).to_string())?;
        } else {
            show(printer, number, &stop, &found, unexpected)?;
        }
    }
    printer.say("\nNothing above can be unwritten: `remit verify` proves the whole journal, `remit log --last 10` shows it.")?;
    if surprises == 0 {
        Ok(())
    } else {
        Err(Failure { code: FAILURE, message: format!("{surprises} calls did not go as the tour expects"), quiet: false })
    }
}

/// What came of a call.
struct Found {
    answer: Value,
    status: u16,
    reason: Option<String>,
    /// The layers, from the answer or from the journal.
    layers: Value,
    /// The decision's entry and the outcome's, with their indexes.
    entries: Vec<Value>,
}

impl Found {
    fn read(home: &Home, answer: (u16, Value)) -> Result<Self, Failure> {
        let (status, answer) = answer;
        let denial = answer.pointer("/error/data").or_else(|| answer.pointer("/result/_meta/remit~1denial")).cloned();
        let reason = denial.as_ref().and_then(|denial| denial.get("reason")).and_then(Value::as_str).map(str::to_owned);
        let fault = |error: remit_journal::ReadError| Failure::new(format!("the journal can't be read: {error}"));
        let mut all = Vec::new();
        let mut reader = Reader::open(home.journal(), 0).map_err(fault)?;
        while let Some(entry) = reader.next().map_err(fault)? {
            let value: Value = serde_json::from_slice(&entry.bytes).unwrap_or_default();
            all.push(json!({"index": entry.index, "entry": value}));
        }
        let id = denial.as_ref().and_then(|denial| denial.get("decision_id")).and_then(Value::as_str).map(str::to_owned);
        // An allowed call's answer is the server's own and names no decision: it is the last one.
        let id = id.or_else(|| {
            let last = all.iter().rev().find(|entry| entry.pointer("/entry/type").is_some_and(|kind| kind == "decision"))?;
            last.pointer("/entry/id").and_then(Value::as_str).map(str::to_owned)
        });
        let id = id.unwrap_or_default();
        let of_decision = |entry: &Value| {
            [entry.pointer("/entry/id"), entry.pointer("/entry/decision")].into_iter().flatten().any(|found| found == id.as_str())
        };
        let entries: Vec<Value> = all.into_iter().filter(of_decision).collect();
        let layers = entries.first().and_then(|entry| entry.pointer("/entry/layers")).cloned().unwrap_or_default();
        Ok(Self { answer, status, reason, layers: json!({"layers": layers}), entries })
    }
}

async fn call(running: &Running, url: &str, token: &str, number: usize, stop: &Stop) -> Result<(u16, Value), Failure> {
    let body = json!({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {
        "name": stop.tool, "arguments": stop.arguments,
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "remit-try", "version": env!("CARGO_PKG_VERSION")},
            "io.modelcontextprotocol/clientCapabilities": {}
        }
    }});
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", stop.tool)];
    let (status, answer) = ask_mcp(running, url, token, &headers, body.to_string()).await?;
    let text = String::from_utf8_lossy(&answer);
    // A server may answer as a stream: the response is its last event.
    let json = text.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&text);
    Ok((status, serde_json::from_str(json).unwrap_or_default()))
}

async fn ask_mcp(
    running: &Running,
    url: &str,
    token: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<(u16, bytes::Bytes), Failure> {
    let mut request = http::Request::builder()
        .method(Method::POST)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("authorization", format!("Bearer {token}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request =
        request.body(http_body_util::Full::new(bytes::Bytes::from(body))).map_err(|error| Failure::new(error.to_string()))?;
    let timeout = std::time::Duration::from_secs(30);
    let (tls, network) = reach(running, url)?;
    let response = remit_egress::fetch(url, network, &tls, timeout, request).await;
    let response = response.map_err(|error| Failure::new(error.to_string()))?;
    Ok((response.status().as_u16(), response.into_body()))
}

/// The token with a signature that nobody made.
fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap_or((token, ""));
    let first = if signature.starts_with('A') { "B" } else { "A" };
    format!("{signed}.{first}{}", signature.get(1..).unwrap_or_default())
}

fn show(printer: Printer, number: usize, stop: &Stop, found: &Found, surprised: bool) -> Result<(), Failure> {
    let said = match (&found.reason, found.answer.pointer("/error/message"), found.answer.pointer("/result/content/0/text")) {
        (_, Some(message), _) | (Some(_), None, Some(message)) => message.as_str().unwrap_or_default().to_owned(),
        (_, _, Some(text)) => text.as_str().unwrap_or_default().chars().take(120).collect(),
        _ => found.answer.to_string(),
    };
    let verdict = if found.reason.is_some() { "DENIED" } else { "ALLOWED" };
    printer.line(&format!(
        "\n{}. {}: {} — {}\n   {verdict} (HTTP {}): {}",
        number + 1,
        stop.title,
        stop.tool,
        stop.why,
        found.status,
        said.replace('\n', " ")
    ))?;
    printer.line(&layers(&found.layers))?;
    for entry in &found.entries {
        let index = entry.get("index").and_then(Value::as_u64).unwrap_or_default();
        printer.line(&format!(
            "   journal {}",
            crate::audit::line(index, entry.get("entry").unwrap_or(&Value::Null)).trim_start()
        ))?;
    }
    if surprised {
        printer.line(&format!("   This was expected to be: {}", stop.expected.unwrap_or("allowed")))?;
    }
    Ok(())
}
