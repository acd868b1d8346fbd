//! `remit servers`: how servers stand in the registry, and who may change it.

use http::{Method, StatusCode};
use remit_gateway::{Gateway, StatusError};
use remit_kernel::registry::Asked;
use remit_model::{Person, RegistryStatus};
use serde_json::{Value, json};

use crate::cli::{Because, Servers, ServersOf};
use crate::commands::operator;
use crate::explain::parse_server;
use crate::home::Home;
use crate::output::{Failure, Printer};
use crate::package;

/// Lists servers, or changes how one stands: what is asked for and the question in, how it stands out.
pub(crate) async fn registry(
    gateway: &Gateway,
    person: &Person,
    what: &str,
    request: Value,
) -> Result<Value, (StatusCode, String)> {
    if what == "list" {
        return Ok(json!({"servers": gateway.servers().iter().map(listed).collect::<Vec<_>>()}));
    }
    if what == "reached" {
        let entry = gateway.record("server_reached", request).await;
        return entry.map(|entry| json!({"entry": entry})).map_err(|why| (StatusCode::SERVICE_UNAVAILABLE, why));
    }
    let text = |key: &str| request.get(key).and_then(Value::as_str);
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let server = parse_server(text("server").unwrap_or_default()).map_err(bad)?;
    let status = match what {
        "submit" => RegistryStatus::PendingApproval,
        _ => RegistryStatus::parse(text("status").unwrap_or_default())
            .ok_or_else(|| bad("`status` is one of APPROVED, REJECTED, DEPRECATED, DRAFT".to_owned()))?,
    };
    let proof = text("proof").unwrap_or_else(|| person.proof.as_str());
    let asked = Asked {
        status,
        registration: text("registration"),
        by: text("by").unwrap_or(&person.id),
        proof,
        reason: text("reason").unwrap_or_default(),
    };
    let standing = gateway.change_status(&server, &asked).await.map_err(|error| match error {
        StatusError::Unknown(why) => (StatusCode::BAD_REQUEST, why),
        StatusError::Refused(why) => (StatusCode::CONFLICT, why),
        StatusError::Away(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    })?;
    Ok(
        json!({"server": server.to_string(), "status": standing.status, "registration": standing.registration, "said": standing.said}),
    )
}

fn listed(server: &remit_gateway::ServerStatus) -> Value {
    let waiting = server.tools.iter().filter(|tool| tool.pin != "intact").count();
    json!({
        "server": server.server, "status": server.registry.status, "registration": server.registry.registration, "said": server.registry.said,
        "answers": server.status, "detail": server.detail, "tools": server.tools.len(), "waiting": waiting,
    })
}

/// `remit servers`.
pub(crate) async fn run(options: ServersOf) -> Result<(), Failure> {
    let ServersOf { common, command } = options;
    let (server, status, because) = match command.unwrap_or(Servers::List(common)) {
        Servers::List(common) => return list(&common).await,
        Servers::Import(options) => return package::import(&options),
        Servers::Verify(options) => return package::verify(&options),
        Servers::Submit { server, because } => (server, None, because),
        Servers::Approve { server, registration, because } => (server, Some(("APPROVED", registration)), because),
        Servers::Reject { server, because } => (server, Some(("REJECTED", None)), because),
        Servers::Deprecate { server, because } => (server, Some(("DEPRECATED", None)), because),
    };
    let Because { common, reason, by } = because;
    let mut asked = json!({"server": server, "reason": reason, "by": by});
    let path = match &status {
        None => "/v1/servers/submit",
        Some((status, registration)) => {
            crate::aws::set(&mut asked, "status", *status);
            if let Some(registration) = registration {
                crate::aws::set(&mut asked, "registration", registration.as_str());
            }
            "/v1/servers/status"
        }
    };
    let told = operator(&Home::existing(&common.data)?, Method::POST, path, Some(&asked)).await?;
    let printer = Printer::new(common.json);
    if printer.json {
        return printer.line(&told.to_string());
    }
    let text = |key: &str| told.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    printer.line(&format!("{} is {}", text("server"), text("status")))
}

async fn list(common: &crate::cli::Common) -> Result<(), Failure> {
    let printer = Printer::new(common.json);
    let told = operator(&Home::existing(&common.data)?, Method::GET, "/v1/servers", None).await?;
    let servers = told.get("servers").and_then(Value::as_array).cloned().unwrap_or_default();
    for server in &servers {
        if printer.json {
            printer.line(&server.to_string())?;
            continue;
        }
        let text = |key: &str| server.get(key).and_then(Value::as_str).unwrap_or_default();
        let count = |key: &str| server.get(key).and_then(Value::as_u64).unwrap_or_default();
        let said = |key: &str| server.pointer(&format!("/said/{key}")).and_then(Value::as_str);
        let by = said("by").map(|by| format!(", by {by}: {}", said("reason").unwrap_or_default())).unwrap_or_default();
        printer.line(&format!(
            "{:16} {}  {}, {} tools, {} wait{by}",
            text("status"),
            text("server"),
            text("answers"),
            count("tools"),
            count("waiting")
        ))?;
    }
    printer.say(&format!("{} servers", servers.len()))
}
