//! Kill switches: `remit suspend` and `remit resume`, and what they do in the gateway.

use http::Method;
use remit_gateway::Gateway;
use remit_kernel::{Suspended, Suspension};
use remit_model::ServerKey;
use serde_json::{Value, json};

use crate::aws::{Aws, set};
use crate::cli::{Because, Switch};
use crate::commands::operator;
use crate::fields::Fault;
use crate::home::Home;
use crate::now_secs;
use crate::output::{Failure, Printer};

/// The longest name, or text that an operator says, in bytes.
const SAID_BYTES_MAX: usize = 1024;
/// The most things that are stopped at a time.
const SUSPENDED_MAX: usize = 10_000;

impl Aws {
    /// Stops something, or lets it go on: `{agent | space | server | tool with server | user, by, reason, resume?}` in, all that is stopped out.
    /// It is durable and in effect when this answers.
    pub(crate) async fn suspend(&self, gateway: &Gateway, asked: &Value) -> Result<Value, Fault> {
        let text = |key: &str| match asked.get(key).and_then(Value::as_str) {
            Some(text) if text.len() > SAID_BYTES_MAX => Err(format!("`{key}` is longer than {SAID_BYTES_MAX} bytes")),
            text => Ok(text.filter(|text| !text.is_empty())),
        };
        let (by, reason) = (text("by")?.ok_or("`by` is missing: who is it?")?, text("reason")?.ok_or("`reason` is missing")?);
        let resume = asked.get("resume").and_then(Value::as_bool) == Some(true);
        let snapshot = gateway.snapshot();
        let organization = &*snapshot.organization;
        // What is no more can still be let go on.
        let known = |known: bool, what: &Suspended| if known || resume { Ok(()) } else { Err(format!("there is no {what}")) };
        let server = |name: &str| -> Result<ServerKey, String> {
            let found = organization.servers.keys().find(|key| key.to_string() == name).cloned();
            found.ok_or_else(|| format!("there is no server `{name}`: name it by account and name, as `remit status` does"))
        };
        let what = match (text("agent")?, text("space")?, text("server")?, text("tool")?, text("user")?) {
            (Some(agent), None, None, None, None) => Suspended::Agent(agent.to_owned()),
            (None, Some(space), None, None, None) => Suspended::Space(space.to_owned()),
            (None, None, Some(name), None, None) => Suspended::Server(server(name)?),
            (None, None, Some(name), Some(tool), None) => Suspended::Tool(server(name)?, tool.to_owned()),
            (None, None, None, None, Some(user)) => Suspended::User(user.to_owned()),
            _ => return Err("name one of `agent`, `space`, `server`, `server` with `tool`, and `user`".into()),
        };
        match &what {
            Suspended::Agent(id) => known(organization.agents.contains_key(id.as_str()), &what)?,
            Suspended::Space(id) => known(organization.spaces.contains_key(id.as_str()), &what)?,
            Suspended::Tool(key, name) => {
                let offers = snapshot.spaces.values().flat_map(|space| &space.tools_listed);
                known(offers.into_iter().any(|tool| tool.server == *key && tool.name == *name), &what)?;
            }
            Suspended::Server(_) | Suspended::User(_) => {}
        }
        let stopped = gateway.revocations();
        if resume {
            let mut all = stopped.suspended.clone();
            all.resume(&what).ok_or_else(|| format!("{what} is not suspended"))?;
        } else if stopped.suspended.len() >= SUSPENDED_MAX {
            return Err(format!("{SUSPENDED_MAX} things are suspended already: let some go on, or suspend their spaces").into());
        }
        let mut record = asked.clone();
        set(&mut record, "what", what.to_string());
        // Recorded first: whatever happens next can be explained.
        gateway.record(if resume { "resumption" } else { "suspension" }, record).await.map_err(Fault::away)?;
        let suspension = Suspension { by: by.to_owned(), reason: reason.to_owned(), at_secs: now_secs() };
        let all = self.change_revocations(gateway, by, reason, |all| {
            if resume {
                drop(all.suspended.resume(&what));
            } else {
                all.suspended.suspend(&what, suspension);
            }
        });
        let all = all.map_err(Fault::away)?;
        if !resume {
            // What waits for people, or was agreed to, is gone with it: it is asked for anew once it goes on.
            crate::approvals::revoke_suspended(gateway, &what, by, reason).await.map_err(Fault::away)?;
        }
        serde_json::to_value(&all.suspended).map_err(Fault::away)
    }
}

/// `remit suspend` and `remit resume`.
pub(crate) async fn run(switch: &Switch, resume: bool) -> Result<(), Failure> {
    let (because, asked, what) = match switch {
        Switch::Agent { agent, because } => (because, json!({"agent": agent}), format!("agent {agent}")),
        Switch::Space { space, because } => (because, json!({"space": space}), format!("space {space}")),
        Switch::Server { server, because } => (because, json!({"server": server}), format!("server {server}")),
        Switch::Tool { server, tool, because } => {
            (because, json!({"server": server, "tool": tool}), format!("tool {tool} of server {server}"))
        }
        Switch::User { user, because } => (because, json!({"user": user}), format!("delegations of user {user}")),
    };
    let Because { common, reason, by } = because;
    let mut asked = asked;
    for (key, value) in [("by", by), ("reason", reason)] {
        set(&mut asked, key, value.as_str());
    }
    set(&mut asked, "resume", resume);
    let home = Home::existing(&common.data)?;
    let all = operator(&home, Method::POST, "/v1/suspend", Some(&asked)).await?;
    let printer = Printer::new(common.json);
    if common.json {
        return printer.line(&all.to_string());
    }
    printer.line(&format!("{} {what}", if resume { "goes on:" } else { "suspended:" }))?;
    let count: usize = all
        .as_object()
        .into_iter()
        .flat_map(serde_json::Map::values)
        .filter_map(Value::as_object)
        .map(serde_json::Map::len)
        .sum();
    if count > 0 { printer.line(&format!("{count} suspended in all: `remit status` shows them")) } else { Ok(()) }
}

/// What is stopped, in lines.
pub(crate) fn standing(suspended: Option<&Value>) -> Vec<String> {
    let kinds = suspended.and_then(Value::as_object).into_iter().flatten();
    let all = kinds.flat_map(|(kind, all)| all.as_object().into_iter().flatten().map(move |(id, said)| (kind, id, said)));
    let line = |(kind, id, said): (&String, &String, &Value)| {
        let text = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let at_secs = said.get("at_secs").and_then(Value::as_u64).unwrap_or_default();
        let at = remit_gateway::rfc3339(at_secs.saturating_mul(1000));
        format!("! SUSPENDED {} {id}, since {at} by {}: {}", kind.trim_end_matches('s'), text("by"), text("reason"))
    };
    all.map(line).collect()
}
