//! One decision asked for, with every layer.

use remit_gateway::Gateway;
use remit_model::{AgentId, Organization, Risk, ServerKey};
use serde_json::{Value, json};

/// A server as questions name it: `ACCOUNT/NAME`.
pub(crate) fn parse_server(text: &str) -> Result<ServerKey, String> {
    let (account, name) = text.split_once('/').ok_or("`server` is written ACCOUNT/NAME")?;
    let account = remit_model::AccountId::new(account).map_err(|error| error.to_string())?;
    let name = remit_model::ServerName::new(name).map_err(|error| error.to_string())?;
    Ok(ServerKey { account, name })
}

/// One decision with every layer, as JSON.
pub(crate) fn explain(gateway: &Gateway, organization: &Organization, question: &Value) -> Result<Value, String> {
    let text = |key: &str| question.get(key).and_then(Value::as_str);
    let agent = AgentId::new(text("agent").ok_or("`agent` is missing")?).map_err(|error| error.to_string())?;
    let tool = text("tool").ok_or("`tool` is missing")?;
    let risk = match text("risk").map(Risk::parse) {
        None => None,
        Some(Some(risk)) => Some(risk),
        Some(None) => return Err("`risk` must be `low`, `medium`, `high` or `critical`".to_owned()),
    };
    let space = if let Some(space) = text("space") {
        space.to_owned()
    } else {
        let own: Vec<&str> =
            organization.spaces.values().filter(|space| space.agents.contains(&agent)).map(|space| space.id.as_str()).collect();
        match own.as_slice() {
            [only] => (*only).to_owned(),
            [] => return Err(format!("agent `{agent}` is in no space")),
            several => return Err(format!("agent `{agent}` is in several spaces: name one of {}", several.join(", "))),
        }
    };
    let arguments = question.get("arguments").filter(|arguments| !arguments.is_null()).map(ToString::to_string);
    let arguments = arguments.as_deref().map(remit_kernel::Arguments::scan).transpose().map_err(|error| error.to_string())?;
    let (decision, remedies) = gateway.explain(&space, &agent, tool, arguments, risk);
    let verdict = decision.word().0;
    let reason = match &decision.verdict {
        remit_kernel::Verdict::Allow(_) => Value::Null,
        remit_kernel::Verdict::Hold(request) => {
            let rules: Vec<&str> = request.rules.iter().map(|rule| rule.id.as_str()).collect();
            let reason = remit_kernel::Reason::ApprovalRequired;
            json!({"reason": reason, "sentence": reason.sentence(), "layer": "APPROVAL", "statement": request.statement, "rules": rules})
        }
        remit_kernel::Verdict::Deny(denial) => {
            json!({"reason": denial.reason, "sentence": denial.sentence(), "layer": denial.layer, "statement": denial.statement})
        }
    };
    Ok(
        json!({"verdict": verdict, "denial": reason, "space": space, "agent": agent.as_str(), "tool": tool, "risk": decision.risk, "acted_as": decision.acted_as, "layers": decision.layers, "remedies": remedies}),
    )
}
