//! Connections to servers that want a person's consent: the gateway's side, and `remit connect`.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use remit_authority::{Progress, RedirectError, UpstreamCredentials};
use remit_gateway::Gateway;
use remit_model::{Credential, ServerKey, Transport};
use serde_json::{Value, json};

use crate::cli::Connect;
use crate::commands::operator;
use crate::explain::parse_server;
use crate::home::Home;
use crate::output::{FAILURE, Failure, Printer, warn};

/// How long one question after an attempt may wait for an answer: so long may it also delay the end of the gateway.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the journal calls it.
const EVENT: &str = "connection";
/// The longest name of who connects, in bytes.
const BY_BYTES_MAX: usize = 256;

/// What went wrong, and whose fault it is.
type Fault = (StatusCode, String);

fn invalid(why: impl Into<String>) -> Fault {
    (StatusCode::BAD_REQUEST, why.into())
}

fn failed(why: impl Into<String>) -> Fault {
    (StatusCode::BAD_GATEWAY, why.into())
}

/// The server of a request, and who makes it.
fn asked(request: &Value) -> Result<(ServerKey, &str), Fault> {
    let text = |key: &str| request.get(key).and_then(Value::as_str).ok_or_else(|| invalid(format!("`{key}` is missing")));
    let server = parse_server(text("server")?).map_err(invalid)?;
    let by = text("by")?;
    if by.is_empty() || by.len() > BY_BYTES_MAX {
        return Err(invalid(format!("`by` has 1 to {BY_BYTES_MAX} bytes")));
    }
    Ok((server, by))
}

/// Begins to connect a server. It is on record before anybody is sent anywhere.
pub(crate) async fn begin(credentials: &UpstreamCredentials, gateway: &Gateway, request: &Value) -> Result<Value, Fault> {
    let (server, by) = asked(request)?;
    match gateway.snapshot().organization.servers.get(&server).map(|server| &server.transport) {
        Some(Transport::Http { credential: Credential::AuthorizationCode(_), .. }) => {}
        Some(_) => {
            let what = "needs nobody's consent: its credential has no `grant: authorization_code`";
            return Err(invalid(format!("the server `{server}` {what}")));
        }
        None => return Err(invalid(format!("no server `{server}` is registered"))),
    }
    let begun = credentials.connect(&server, by).await.map_err(|error| failed(error.to_string()))?;
    let event = json!({
        "state": "requested", "server": server.to_string(), "by": by, "issuer": begun.issuer, "consent_origin": begun.consent_origin,
        "token_origin": begun.token_origin, "client_id": begun.client_id, "scope": begun.scope
    });
    gateway.record(EVENT, event).await.map_err(failed)?;
    Ok(json!({
        "attempt": begun.id, "server": server.to_string(), "authorization_url": begun.authorization_url, "issuer": begun.issuer,
        "consent_origin": begun.consent_origin, "token_origin": begun.token_origin, "server_origin": begun.server_origin,
        "scope": begun.scope, "client_id": begun.client_id, "expires_in_secs": begun.expires_in_secs
    }))
}

/// Forgets a connection, of a server that is registered or no more. It is on record first.
pub(crate) async fn forget(credentials: &UpstreamCredentials, gateway: &Gateway, request: &Value) -> Result<Value, Fault> {
    let (server, by) = asked(request)?;
    let event = json!({"state": "forgotten", "server": server.to_string(), "by": by});
    gateway.record(EVENT, event).await.map_err(failed)?;
    let was = credentials.disconnect(&server).map_err(|error| failed(error.to_string()))?;
    gateway.ask_again(&server);
    Ok(json!({"server": server.to_string(), "forgotten": was}))
}

/// How an attempt goes.
pub(crate) async fn attempt(credentials: &UpstreamCredentials, id: &str) -> Option<Value> {
    Some(match credentials.progress(id, PATIENCE).await? {
        Progress::Waiting => json!({"state": "waiting"}),
        Progress::Connected => json!({"state": "connected"}),
        Progress::Failed(why) => json!({"state": "failed", "detail": why}),
    })
}

/// Takes the answer that a browser brought. A browser that goes away doesn't break off what was begun: a code is good once.
pub(crate) async fn redirected(credentials: Arc<UpstreamCredentials>, gateway: Gateway, query: String) -> Result<String, String> {
    let done = tokio::spawn(async move { settle(&credentials, &gateway, &query).await });
    done.await.map_err(|_| "the answer could not be taken".to_owned())?
}

async fn settle(credentials: &UpstreamCredentials, gateway: &Gateway, query: &str) -> Result<String, String> {
    let consent = match credentials.redirected(query).await {
        Ok(consent) => consent,
        // Anybody can make such a request: it is no event.
        Err(RedirectError::Unknown) => {
            return Err("Nobody waits for this answer: it was taken before, or it comes too late.".to_owned());
        }
        Err(RedirectError::Refused { server, by, why }) => {
            let event = json!({"state": "failed", "server": server.to_string(), "by": by, "why": why});
            let _ = gateway.record(EVENT, event).await;
            warn(&format!("the server `{server}` was not connected: {why}"));
            return Err(format!("Remit is not connected to {server}: {why}."));
        }
    };
    let server = consent.server().clone();
    let event = json!({
        "state": "connected", "server": server.to_string(), "by": consent.by(), "issuer": consent.issuer(),
        "client_id": consent.client_id(), "scope": consent.scope()
    });
    if let Err(why) = gateway.record(EVENT, event).await {
        credentials.abandon(&consent, &why);
        return Err(format!("Remit is not connected to {server}: {why}."));
    }
    let by = consent.by().to_owned();
    if let Err(error) = credentials.establish(consent) {
        // It is on record as connected: what came of it must be, too.
        let event = json!({"state": "failed", "server": server.to_string(), "by": by, "why": error.to_string()});
        let _ = gateway.record(EVENT, event).await;
        warn(&format!("the server `{server}` was not connected: {error}"));
        return Err(format!("Remit could not keep the connection to {server}: {error}."));
    }
    gateway.ask_again(&server);
    Ok(server.to_string())
}

/// Records the connections that ended by themselves: revoked, refused, or moved elsewhere.
pub(crate) async fn record_ended(credentials: &UpstreamCredentials, gateway: &Gateway) {
    for (server, why) in credentials.ended() {
        warn(&why);
        // A journal that has stopped says so elsewhere, and lets nothing through.
        let _ = gateway.record(EVENT, json!({"state": "ended", "server": server.to_string(), "why": why})).await;
    }
}

/// How the connections stand, for whoever operates the gateway.
pub(crate) fn standing(credentials: &UpstreamCredentials) -> Vec<Value> {
    let one = |status: remit_authority::ConnectionStatus| {
        json!({
            "server": status.server.to_string(), "state": status.state.as_str(), "detail": status.detail, "issuer": status.issuer,
            "scope": status.scope, "ends_secs": status.ends_secs, "renewable": status.renewable, "by": status.by,
            "connected_secs": status.connected_secs
        })
    };
    credentials.connections().into_iter().map(one).collect()
}

/// `remit connect`.
pub(crate) async fn connect(options: Connect) -> Result<(), Failure> {
    let printer = Printer::new(options.common.json);
    let server: ServerKey = parse_server(&options.server).map_err(Failure::invalid)?;
    let home = Home::existing(&options.common.data)?;
    let request = json!({"server": server.to_string(), "by": options.by});
    if options.forget {
        let said = operator(&home, Method::POST, "/v1/connections/forget", Some(&request)).await?;
        return printer.line(&said.to_string());
    }
    let begun = operator(&home, Method::POST, "/v1/connections", Some(&request)).await?;
    let text = |key: &str| begun.get(key).and_then(Value::as_str).unwrap_or_default();
    if printer.json {
        printer.line(&begun.to_string())?;
    } else {
        warn(&format!(
            "Open this address in a browser on this machine. Consent only where the browser shows {}; {} then gives the tokens, and Remit shows \
             them to {}. The authorization server is {}.",
            text("consent_origin"),
            text("token_origin"),
            text("server_origin"),
            text("issuer")
        ));
        printer.line(text("authorization_url"))?;
        warn("waiting for the answer; Ctrl-C stops waiting");
    }
    let path = format!("/v1/connections/{}", text("attempt"));
    loop {
        // An attempt that the gateway doesn't know any more is one that came to nothing.
        let now = operator(&home, Method::GET, &path, None).await.map_err(|failure| Failure { code: FAILURE, ..failure })?;
        match now.get("state").and_then(Value::as_str) {
            Some("waiting") => {}
            Some("connected") => {
                return if printer.json {
                    printer.line(&json!({"server": server.to_string(), "state": "connected"}).to_string())
                } else {
                    printer.line(&format!("connected: {server}"))
                };
            }
            _ => {
                let why = now.get("detail").and_then(Value::as_str).unwrap_or("the gateway said nothing of it");
                if printer.json {
                    printer.line(&json!({"server": server.to_string(), "state": "failed", "detail": why}).to_string())?;
                    return Err(Failure::said(FAILURE));
                }
                return Err(Failure::new(format!("`{server}` is not connected: {why}")));
            }
        }
    }
}
