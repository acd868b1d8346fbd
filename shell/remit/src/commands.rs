//! Commands that ask a running gateway, read its data directory, or look at a configuration.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use remit_egress::EgressError;
use remit_mcp::canonical::hex;
use remit_model::Network;
use remit_sample::{Access, HttpServer};
use rustls::ClientConfig;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::audit;
use crate::cli::{Check, Common, Explain, Log, SampleServer, Schema, Token, Verify};
use crate::home::{Home, Running};
use crate::offline::Offline;
use crate::output::{DENIED, FAILURE, Failure, HELD, INVALID, Printer, warn};
use crate::receipt::{Opening, Trusted};

/// How long a running gateway may take to answer a command.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// One request to a gateway on this machine. One that goes under a key is sent once more if the connection breaks: under its key it is done
/// once.
pub(crate) async fn ask(
    running: &Running,
    url: &str,
    method: Method,
    authorization: Option<&str>,
    key: Option<&str>,
    kind: &str,
    body: impl Into<Bytes>,
) -> Result<(StatusCode, Bytes), Failure> {
    let body = body.into();
    let (tls, network) = reach(running, url)?;
    let mut again = key.is_some();
    loop {
        let mut request = Request::builder().method(method.clone()).header(CONTENT_TYPE, kind);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", format!("\"{key}\""));
        }
        let request = request.body(Full::new(body.clone())).map_err(|error| Failure::new(error.to_string()))?;
        match remit_egress::fetch(url, network, &tls, ANSWER_MAX, request).await {
            Ok(response) => return Ok((response.status(), response.into_body())),
            Err(EgressError::Http { .. }) if again => again = false,
            Err(error) => return Err(Failure::new(format!("{error}: is the gateway up?"))),
        }
    }
}

/// A key for one request that changes something.
pub(crate) fn request_key() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Failure::new("the system has no randomness to give"))?;
    Ok(hex(&bytes))
}

/// How a running gateway is reached from here: what its certificate is known by, and where it is.
pub(crate) fn reach(running: &Running, url: &str) -> Result<(Arc<ClientConfig>, Network), Failure> {
    let tls = match &running.ca {
        None => remit_egress::tls_config(),
        Some(path) => crate::up::trusting(path)?,
    };
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let here = ["127.", "localhost", "[::1]"].iter().any(|name| host.starts_with(name));
    Ok((tls, if here { Network::Loopback } else { Network::Private }))
}

/// One request to the operator's interface.
pub(crate) async fn operator(home: &Home, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let running = home.running()?;
    let token = home.operator_token()?;
    let authorization = Zeroizing::new(format!("Bearer {}", token.as_str()));
    let body = Zeroizing::new(body.map(ToString::to_string).unwrap_or_default().into_bytes());
    let key = if method == Method::POST { Some(request_key()?) } else { None };
    let url = format!("{}{path}", running.control);
    let (status, answer) =
        ask(&running, &url, method, Some(&authorization), key.as_deref(), "application/json", Bytes::from_owner(body)).await?;
    let value: Value = serde_json::from_slice(&answer).unwrap_or_default();
    if status.is_success() {
        return Ok(value);
    }
    let detail = value.get("detail").and_then(Value::as_str).map_or_else(|| value.to_string(), str::to_owned);
    Err(Failure { code: if status.is_client_error() { INVALID } else { FAILURE }, message: detail, quiet: false })
}

/// `remit check`.
pub(crate) fn check(options: &Check) -> Result<(), Failure> {
    let printer = Printer::new(options.json);
    match Offline::read(Some(&options.directory)) {
        Ok(offline) => {
            let warnings = offline.warnings();
            let organization = &offline.source.loaded.organization;
            let digest = &offline.source.digest;
            let invariants = offline.invariants();
            let violated = remit_control::plan::violated(&invariants).len();
            let told = json!({
                "ok": violated == 0, "digest": digest, "faults": [], "warnings": warnings,
                "invariants": invariants, "invariants_violated": violated,
            });
            if options.json {
                printer.line(&told.to_string())?;
                return if violated == 0 { Ok(()) } else { Err(Failure::said(INVALID)) };
            }
            for warning in &warnings {
                printer.line(&warning.to_string())?;
            }
            let invariants = crate::told::invariants(&told);
            if violated > 0 {
                invariants.iter().try_for_each(|line| printer.line(line))?;
                warn(&format!("{violated} invariants violated"));
                return Err(Failure::said(INVALID));
            }
            let locked = offline.lock.map(|lock| format!(", {} tools locked", lock.counts().1)).unwrap_or_default();
            printer.line(&format!(
                "ok: {} accounts, {} servers, {} spaces, {} agents, {} tool policies{locked} ({digest})",
                organization.accounts.len(),
                organization.servers.len(),
                organization.spaces.len(),
                organization.agents.len(),
                organization.tool_policies.len(),
            ))?;
            invariants.iter().try_for_each(|line| printer.line(line))
        }
        Err(refused) => Err(refused.told(printer)?),
    }
}

/// `remit explain`.
pub(crate) async fn explain(options: &Explain) -> Result<(), Failure> {
    let printer = Printer::new(options.common.json);
    let arguments: Value = match &options.args {
        None => Value::Null,
        Some(text) => serde_json::from_str(text).map_err(|error| Failure::invalid(format!("--args is not JSON: {error}")))?,
    };
    let question = json!({"agent": options.agent, "tool": options.tool, "space": options.space, "arguments": arguments, "risk": options.risk});
    let home = Home::existing(&options.common.data)?;
    let decision = operator(&home, Method::POST, "/v1/explain", Some(&question)).await?;
    let code = match decision.get("verdict").and_then(Value::as_str) {
        Some("ALLOW") => None,
        Some("HOLD") => Some(HELD),
        _ => Some(DENIED),
    };
    if printer.json {
        printer.line(&decision.to_string())?;
    } else {
        let text = |key: &str| decision.get(key).and_then(Value::as_str).unwrap_or_default();
        let reason =
            decision.pointer("/denial/sentence").and_then(Value::as_str).map(|why| format!(": {why}")).unwrap_or_default();
        printer.line(&format!(
            "{}{reason}   {} calls {} in {}\n",
            text("verdict"),
            text("agent"),
            text("tool"),
            text("space")
        ))?;
        printer.line(&layers(&decision))?;
        if let Some(arn) = decision.pointer("/acted_as/principal_arn").and_then(Value::as_str) {
            printer.line(&format!("\nacts as {arn}"))?;
        }
        let remedies = decision.get("remedies").and_then(Value::as_array).cloned().unwrap_or_default();
        if !remedies.is_empty() {
            printer.line("\nWhat would have to change for it to be allowed:")?;
        }
        for remedy in remedies {
            let text = |key: &str| remedy.get(key).and_then(Value::as_str).unwrap_or_default();
            let at = remedy.get("at").and_then(Value::as_str).map(|at| format!("  [{at}]")).unwrap_or_default();
            printer.line(&format!("  {:<23} {}{at}\n  {:<23} by {}", text("layer"), text("change"), "", text("by")))?;
        }
    }
    code.map_or(Ok(()), |code| Err(Failure::said(code)))
}

/// The layers of a decision, one a line.
pub(crate) fn layers(decision: &Value) -> String {
    let all = decision.get("layers").and_then(Value::as_array).cloned().unwrap_or_default();
    let line = |layer: &Value| {
        let text = |key: &str| layer.get(key).and_then(Value::as_str).unwrap_or_default();
        let mark = if matches!(text("effect"), "ALLOW" | "NO_IMPACT") { ' ' } else { '✗' };
        let origin = layer.get("origin").and_then(Value::as_str).map(|origin| format!("  [{origin}]")).unwrap_or_default();
        format!("  {mark} {:<23} {:<14} {}{origin}", text("checkType"), text("effect"), text("statement"))
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// `remit log`.
pub(crate) async fn log(options: Log) -> Result<(), Failure> {
    let home = Home::existing(&options.common.data)?;
    if crate::decisions::log(&home, &options).await? {
        return Ok(());
    }
    let fields = [
        ("agent", options.agent),
        ("space", options.space),
        ("tool", options.tool),
        ("user", options.user),
        ("verdict", options.verdict.map(|verdict| verdict.to_ascii_uppercase())),
        ("type", options.kind),
        ("trace_id", options.trace),
    ];
    let fields = fields.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let filter = audit::Filter { fields, decision: options.decision };
    audit::log(&home, &filter, options.from.unwrap_or_default(), options.last, options.follow, Printer::new(options.common.json))
}

/// `remit verify`.
pub(crate) fn verify(options: Verify) -> Result<(), Failure> {
    let printer = Printer::new(options.common.json);
    if let Some(receipt) = &options.receipt {
        let vkey = match options.key {
            Some(key) => key,
            None => audit::vkey(&Home::existing(&options.common.data)?)?,
        };
        let trusted = Trusted::new(&vkey, &options.witness, options.witnesses_min)?;
        let opening = match (&options.arguments, &options.salt) {
            (Some(arguments), Some(salt)) => Some(Opening::read(arguments, salt)?),
            _ => None,
        };
        return trusted.receipt(receipt, options.entry.as_deref(), opening.as_ref(), printer);
    }
    let home = Home::existing(&options.common.data)?;
    let running = home.running().is_ok();
    let mut shown = 0;
    let progress = |done: u64, all: u64| {
        let hundredths = (done * 100).checked_div(all).unwrap_or(100);
        if !printer.json && all > 512 * 1024 * 1024 && hundredths >= shown + 10 {
            shown = hundredths;
            warn(&format!("{hundredths} % of {} MiB", all / (1024 * 1024)));
        }
    };
    let mut proof = audit::verify(&home, options.key.clone(), &options.checkpoint, running, progress)?;
    if !options.witness.is_empty() || options.witnesses_min.is_some() {
        let vkey = options.key.map_or_else(|| audit::vkey(&home), Ok)?;
        let trusted = Trusted::new(&vkey, &options.witness, options.witnesses_min)?;
        let cosigned = [home.cosigned()];
        let kept = if options.checkpoint.is_empty() { &cosigned[..] } else { &options.checkpoint };
        for path in kept {
            let note = std::fs::read_to_string(path).map_err(|error| Failure::io(path, &error))?;
            proof.findings.extend(trusted.cosigned(&note).err().map(|why| format!("`{}`: {why}", path.display())));
        }
    }
    if printer.json {
        printer.line(&serde_json::to_string(&proof).map_err(|error| Failure::new(error.to_string()))?)?;
    } else {
        let state = if proof.findings.is_empty() { "whole" } else { "DAMAGED" };
        printer.line(&format!(
            "{state}: {} entries{} under {} signed checkpoints, root {}\n{} decisions, {} of them allowed, {} outcomes{}",
            proof.entries,
            if proof.erased == 0 { String::new() } else { format!(", {} of them erased as it says,", proof.erased) },
            proof.checkpoints,
            proof.root,
            proof.decisions,
            proof.allowed,
            proof.outcomes,
            if proof.unpaired.is_empty() { String::new() } else { format!(", {} under way", proof.unpaired.len()) }
        ))?;
        for finding in &proof.findings {
            printer.line(&format!("  ✗ {finding}"))?;
        }
    }
    if proof.findings.is_empty() { Ok(()) } else { Err(Failure::said(FAILURE)) }
}

/// An access token for an agent whose secret is kept here.
pub(crate) async fn agent_token(
    home: &Home,
    agent: &str,
    space: &str,
    scope: Option<&str>,
    subject: Option<&str>,
) -> Result<Zeroizing<String>, Failure> {
    let running = home.running()?;
    let secret = home.agent_secret(agent)?;
    let resource = format!("{}/spaces/{space}/mcp", running.gateway);
    let mut form = vec![("client_id", agent), ("client_secret", secret.as_str()), ("resource", resource.as_str())];
    match subject {
        None => form.push(("grant_type", "client_credentials")),
        Some(subject) => form.extend([
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", subject),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ]),
    }
    if let Some(scope) = scope {
        form.push(("scope", scope));
    }
    let body = Zeroizing::new(remit_identity::form::write(form));
    let (status, answer) = ask(
        &running,
        &running.token_endpoint,
        Method::POST,
        None,
        None,
        "application/x-www-form-urlencoded",
        body.as_bytes().to_vec(),
    )
    .await?;
    let value: Value = serde_json::from_slice(&answer).unwrap_or_default();
    match value.get("access_token").and_then(Value::as_str) {
        Some(token) if status.is_success() => Ok(Zeroizing::new(token.to_owned())),
        _ => {
            let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
            Err(Failure {
                code: DENIED,
                message: format!("no token: {} {}", text("error"), text("error_description")),
                quiet: false,
            })
        }
    }
}

/// `remit token`.
pub(crate) async fn token(options: &Token) -> Result<(), Failure> {
    let home = Home::existing(&options.common.data)?;
    let subject = match &options.subject_token {
        None => None,
        Some(path) => Some(Zeroizing::new(std::fs::read_to_string(path).map_err(|error| Failure::io(path, &error))?)),
    };
    let subject = subject.as_ref().map(|text| text.trim());
    let token = agent_token(&home, &options.agent, &options.space, options.scope.as_deref(), subject).await?;
    let printer = Printer::new(options.common.json);
    if printer.json {
        return printer.line(&json!({"access_token": token.as_str(), "token_type": "Bearer"}).to_string());
    }
    printer.line(&token)
}

/// `remit status`.
pub(crate) async fn status(options: &Common) -> Result<(), Failure> {
    let printer = Printer::new(options.json);
    let status = operator(&Home::existing(&options.data)?, Method::GET, "/v1/status", None).await?;
    if printer.json {
        return printer.line(&status.to_string());
    }
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    fn text<'a>(value: &'a Value, key: &str) -> &'a str {
        value.get(key).and_then(Value::as_str).unwrap_or_default()
    }
    let version = status.get("snapshot").cloned().unwrap_or_default();
    printer.line(&format!("{}, snapshot {version}", text(&status, "organization")))?;
    for line in crate::told::standing_of(status.get("configuration")) {
        printer.line(&line)?;
    }
    for line in crate::suspend::standing(status.get("suspended")) {
        printer.line(&line)?;
    }
    printer.line("\nServers")?;
    for server in list(&status, "servers") {
        printer.line(&format!(
            "  {:<32} {:<11} {}",
            text(&server, "server"),
            text(&server, "status"),
            text(&server, "detail")
        ))?;
        for line in crate::sandbox::standing(&server) {
            printer.line(&line)?;
        }
    }
    for connection in list(&status, "connections").iter().filter(|one| text(one, "state") == "scope_needed") {
        printer.line(&format!("  ! {}", text(connection, "detail")))?;
    }
    for space in list(&status, "spaces") {
        printer.line(&format!("\n{}  mandate {}\n{}", text(&space, "space"), text(&space, "mandate"), text(&space, "arn")))?;
        for tool in list(&space, "tools") {
            let pin = if text(&tool, "pin") == "intact" { "" } else { text(&tool, "pin") };
            printer.line(&format!(
                "  {:<40} {:<12} {:<9} {pin}",
                text(&tool, "tool"),
                text(&tool, "class"),
                text(&tool, "risk")
            ))?;
        }
    }
    for finding in list(&status, "findings") {
        printer.line(&format!("\n! {} {}: {}", text(&finding, "server"), text(&finding, "tool"), text(&finding, "fault")))?;
    }
    Ok(())
}

/// `remit schema`.
pub(crate) fn schema(options: &Schema) -> Result<(), Failure> {
    let printer = Printer::new(options.json);
    if let Some(directory) = &options.write {
        std::fs::create_dir_all(directory).map_err(|error| Failure::io(directory, &error))?;
        let mut written = Vec::new();
        for (name, schema) in remit_trial::schema::all() {
            let path = directory.join(name);
            crate::files::write(&path, &format!("{schema:#}\n"))?;
            written.push(path);
        }
        if options.json {
            return printer.line(&json!({"written": written}).to_string());
        }
        return written.iter().try_for_each(|path| printer.line(&path.display().to_string()));
    }
    let schema = match options.which.as_str() {
        "configuration" => remit_config::schema(),
        "cases" => remit_trial::schema::cases(),
        "lock" => remit_trial::schema::lock(),
        other => return Err(Failure::invalid(format!("there is no schema `{other}`: write configuration, cases or lock"))),
    };
    printer.line(&format!("{schema:#}"))
}

/// `remit sample-server`.
pub(crate) fn sample_server(options: &SampleServer) -> Result<(), Failure> {
    let fault = |error: std::io::Error| Failure::invalid(error.to_string());
    if !options.http {
        return remit_sample::serve_stdio(&options.name).map_err(fault);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fault)?;
    runtime.block_on(async {
        let server = HttpServer::bind(&options.name, 0, Access::FirstKey).await.map_err(fault)?;
        let url = server.url().map_err(fault)?;
        Printer::new(true).line(&json!({"url": url}).to_string())?;
        server.serve().await.map_err(fault)
    })
}
