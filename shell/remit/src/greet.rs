//! What `remit up` says when it is ready.

use std::path::Path;

use remit_authority::{Directory as _, JWKS_PATH};
use remit_model::AgentId;
use serde_json::{Value, json};

use crate::audit;
use crate::home::Running;
use crate::output::{Failure, Printer};
use crate::up::World;

/// Says that it is ready and what to do next.
pub(crate) fn greet(
    world: &World,
    running: &Running,
    recovered: &audit::Recovered,
    link: Option<&str>,
    printer: Printer,
) -> Result<(), Failure> {
    let organization = world.shared.organization();
    let addresses = world.shared.space_addresses();
    let data = world.home.root();
    if printer.json {
        let spaces: serde_json::Map<String, Value> =
            addresses.iter().map(|(space, url)| (space.as_str().to_owned(), json!(url))).collect();
        let agents: Vec<&str> = organization.agents.keys().map(AgentId::as_str).collect();
        return printer.line(
            &json!({
                "gateway": running.gateway, "control": running.control, "spaces": spaces, "agents": agents,
                "authorize": format!("{}/authorize", running.gateway), "issuer": world.authority.issuer(), "token_endpoint": running.token_endpoint,
                "jwks": format!("{}{JWKS_PATH}", running.gateway), "metrics": format!("{}/metrics", running.control), "health": format!("{}/healthz", running.control),
                "ready": format!("{}/readyz", running.control), "operator_token_file": data.join("operator.token"), "data": data,
                "journal": world.home.journal(), "journal_key": world.journal.verifier_key(), "pid": running.pid,
                "had_stopped": recovered.stopped,
            })
            .to_string(),
        );
    }
    if let Some(why) = &recovered.stopped {
        printer.line(&format!("The journal had stopped last time: {why}\n"))?;
    }
    if recovered.unknown > 0 {
        printer.line(&format!(
            "{} calls were under way when Remit last ended: the journal says so (outcome `unknown`).\n",
            recovered.unknown
        ))?;
    }
    printer.line(&format!("Remit governs {} on {}\n", organization.name, running.gateway))?;
    for (space, url) in addresses.iter() {
        let agents: Vec<&str> =
            organization.spaces.get(space).map(|space| space.agents.iter().map(AgentId::as_str).collect()).unwrap_or_default();
        printer.line(&format!("  {url:<56} {}", agents.join(", ")))?;
    }
    let (space, agent) = organization
        .spaces
        .values()
        .find_map(|space| Some((space.id.as_str(), space.agents.first()?.as_str())))
        .unwrap_or(("SPACE", "AGENT"));
    let flag = if data.ends_with(".remit") { String::new() } else { format!(" --data {}", data.display()) };
    let remit = invoked(&world.program);
    printer.line("\nNext, in another terminal:")?;
    for (command, about) in [
        ("try".to_owned(), "a tour: five calls, each decision with its proof"),
        (format!("token --agent {agent} --space {space}"), "a token for an agent, good for 15 minutes"),
        ("console".to_owned(), "the same in a browser: prints a link that is good once"),
        ("status".to_owned(), "spaces, servers, tools"),
        ("log --follow".to_owned(), "every decision and outcome, as they come"),
        ("verify".to_owned(), "the whole journal, proved"),
    ] {
        printer.line(&format!("  {:<72} {about}", format!("{remit} {command}{flag}")))?;
    }
    if let Some(link) = link {
        printer.line(&format!("\nThe console, once and within ten minutes:\n  {link}"))?;
    }
    printer.line(&format!(
        "
An MCP client needs the address of a space and that token; one that speaks OAuth finds {} by itself.
Metrics {}/metrics · readiness {}/readyz · journal {} · Ctrl-C stops",
        running.token_endpoint,
        running.control,
        running.control,
        world.home.journal().display()
    ))
}

/// How the program is called from here.
fn invoked(program: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    match program.strip_prefix(&here) {
        Ok(below) => format!("./{}", below.display()),
        Err(_) => "remit".to_owned(),
    }
}
