//! What holds between the parts: every name that is mentioned exists, nothing is over a limit, and what can never take effect
//! is told.

use std::collections::{BTreeMap, BTreeSet};

use remit_model::{AgentCredential, AgentId, Organization, ServerKey, TOOL_SEPARATOR, ToolAdmission, ToolName};

use crate::access::{PolicyDraft, SpaceDraft};
use crate::draft::Draft;
use crate::item::{Item, shown};
use crate::suggest::did_you_mean;
use crate::tree;

/// The most spaces of one account in one region (AWS DevOps Agent).
const SPACES_MAX: usize = 100;
/// The most listed tools of one space (AWS DevOps Agent).
const TOOLS_MAX: usize = 500;

/// Checks all of it.
pub(crate) fn check(draft: &Draft<'_>) {
    spaces_counted(draft);
    for space in draft.spaces.values() {
        space_checked(draft, space);
    }
    agents_checked(draft);
    policies_checked(draft);
    tree::check(draft);
    crate::zone::check(draft);
    if draft.complete {
        unused(draft);
    }
}

fn spaces_counted(draft: &Draft<'_>) {
    let mut counts = BTreeMap::new();
    for space in draft.spaces.values() {
        let place = (&space.space.account, &space.space.region);
        let count = counts.entry(place).or_insert(0_usize);
        *count += 1;
        if *count == SPACES_MAX + 1 {
            let what = format!("account {} has more than {SPACES_MAX} spaces in {}", place.0, place.1);
            space.item.error(what, "use another account or region");
        }
    }
}

fn space_checked(draft: &Draft<'_>, space: &SpaceDraft<'_>) {
    for (agent, item) in space.space.agents.iter().zip(&space.agents) {
        agent_known(draft, agent, item);
        let keyless = draft.agents.get(agent).is_some_and(|agent| agent.agent.request_keys.is_none());
        if space.space.signed_requests_required && keyless {
            item.warn(
                format!("this space believes signed requests alone, and no key of `{agent}` could sign one"),
                "give the agent `request_keys`, or whatever its user asks for is read as untrusted",
            );
        }
    }
    let mut servers = BTreeSet::new();
    let mut unprefixed: Option<&str> = None;
    let mut exposed: BTreeMap<String, String> = BTreeMap::new();
    let mut tools = 0;
    for (entry, place) in space.space.servers.iter().zip(&space.servers) {
        let key = Organization::server_key(&space.space, entry);
        server_known(draft, &key, &place.name);
        if !servers.insert(&entry.server) {
            place.item.error(format!("server `{}` stands twice in this space", entry.server), "merge the two entries");
            continue;
        }
        if !entry.prefix
            && let Some(other) = unprefixed.replace(entry.server.as_str())
        {
            place.item.error(format!("server `{other}` goes without a prefix here already"), "at most one server of a space may");
        }
        let ToolAdmission::Listed(names) = &entry.tools else { continue };
        tools += names.len();
        for (name, item) in names.iter().zip(&place.tools) {
            let base = expose_as(draft, &key, name);
            let full = if entry.prefix { format!("{}{TOOL_SEPARATOR}{base}", entry.server) } else { base.to_owned() };
            exposed_checked(space, entry.prefix, &full, item);
            if let Some(other) = exposed.insert(full.clone(), format!("{}/{name}", entry.server)) {
                item.error(format!("`{full}` is already the name of `{other}` in this space"), "give one of them an `expose_as`");
            }
        }
    }
    if tools > TOOLS_MAX {
        space.item.error(
            format!("the space lists {tools} tools, and at most {TOOLS_MAX} may stand in one"),
            "split it into two spaces",
        );
    }
}

/// Tells of a name that clients can't use, and of one that could be taken for another server's tool.
fn exposed_checked(space: &SpaceDraft<'_>, prefix: bool, full: &str, item: &Item<'_>) {
    if ToolName::new(full).is_err() {
        let what = format!("clients would see {}, which is not 1 to 64 of letters, digits, `_` and `-`", shown(full));
        item.error(what, "give the tool an `expose_as` under its server's `tools`");
    }
    let other = full.split_once(TOOL_SEPARATOR).map(|(server, _)| server);
    if let Some(other) = other.filter(|other| !prefix && space.space.servers.iter().any(|entry| entry.server.as_str() == *other))
    {
        let what = format!("without a prefix, {} reads as a tool of server `{other}`", shown(full));
        item.error(what, "give the tool an `expose_as`, or the server its prefix");
    }
}

fn expose_as<'a>(draft: &'a Draft<'_>, key: &ServerKey, name: &'a str) -> &'a str {
    let said = draft.servers.get(key).and_then(|(server, _)| server.tools.get(name));
    said.and_then(|tool| tool.expose_as.as_ref()).map_or(name, ToolName::as_str)
}

fn agent_known(draft: &Draft<'_>, agent: &AgentId, item: &Item<'_>) {
    if draft.complete && !draft.agents.contains_key(agent) {
        let known = draft.agents.keys().map(AgentId::as_str);
        let what = format!("there is no agent {}{}", shown(agent.as_str()), did_you_mean(agent.as_str(), known));
        item.error(what, "add it to `agents`, or correct the id");
    }
}

fn server_known(draft: &Draft<'_>, key: &ServerKey, item: &Item<'_>) {
    if !draft.complete || draft.servers.contains_key(key) {
        return;
    }
    let elsewhere = draft.servers.keys().find(|other| other.name == key.name);
    if let Some(other) = elsewhere {
        let what = format!("server `{}` is in account {}, and this space is in {}", key.name, other.account, key.account);
        item.error(what, "register the server in the space's account, or move the space");
        return;
    }
    let known = draft.servers.keys().filter(|other| other.account == key.account).map(|other| other.name.as_str());
    let what =
        format!("account {} has no server {}{}", key.account, shown(key.name.as_str()), did_you_mean(key.name.as_str(), known));
    item.error(what, "add it to `servers`, or correct the name");
}

fn agents_checked(draft: &Draft<'_>) {
    let mut externals: Vec<(&AgentCredential, &AgentId)> = Vec::new();
    for agent in draft.agents.values() {
        for (name, item) in &agent.issuers {
            if draft.complete && !draft.issuers.contains_key(name) {
                let known = draft.issuers.keys().map(String::as_str);
                let what = format!("there is no issuer {}{}", shown(name), did_you_mean(name, known));
                item.error(what, "add it to `issuers`, or correct the name");
            }
        }
        for credential in agent.agent.credentials.iter().filter(|c| matches!(c, AgentCredential::External { .. })) {
            if let Some((_, other)) = externals.iter().find(|(known, _)| *known == credential) {
                let what = format!("agent `{other}` has the same rules: a token that passes them would be two agents");
                agent.item.error(what, "tell the two apart by a rule");
            }
            externals.push((credential, &agent.agent.id));
        }
    }
}

fn policies_checked(draft: &Draft<'_>) {
    let mut rows: BTreeMap<(&AgentId, &str), &PolicyDraft<'_>> = BTreeMap::new();
    for row in &draft.policies {
        agent_known(draft, &row.policy.agent, &row.agent);
        if let Some(first) = rows.get(&(&row.policy.agent, row.policy.tool.as_str())) {
            let what =
                format!("{} has this row for {} already, at {}", row.policy.agent, shown(&row.policy.tool), first.policy.origin);
            row.item.error(what, "keep one of the two");
            continue;
        }
        rows.insert((&row.policy.agent, &row.policy.tool), row);
        if tool_named(draft, row) && draft.complete && draft.agents.contains_key(&row.policy.agent) && !reachable(draft, row) {
            let what = format!("no space lets {} reach {}: the row has no effect", row.policy.agent, shown(&row.policy.tool));
            row.tool.warn(what, "list the tool in a space that the agent may enter, or remove the row");
        }
    }
}

/// Whether a row's tool is well written and names a server that exists.
fn tool_named(draft: &Draft<'_>, row: &PolicyDraft<'_>) -> bool {
    let tool = row.policy.tool.as_str();
    let (text, open) = tool.strip_suffix('*').map_or((tool, false), |text| (text, true));
    if text.contains('*') {
        row.tool.error(format!("{} has a `*` inside", shown(tool)), "a `*` stands only at the end, for any rest");
        return false;
    }
    let Some((server, rest)) = text.split_once(TOOL_SEPARATOR) else {
        if open {
            return true;
        }
        let owner = draft.servers.keys().find(|key| {
            let spaces = draft.spaces.values().filter(|space| space.space.account == key.account);
            spaces.flat_map(|space| &space.space.servers).any(
                |entry| matches!(&entry.tools, ToolAdmission::Listed(names) if entry.server == key.name && names.iter().any(|name| name == text)),
            )
        });
        let mend = owner.map_or_else(
            || format!("write `server{TOOL_SEPARATOR}tool`"),
            |key| format!("write `{}{TOOL_SEPARATOR}{text}`", key.name),
        );
        row.tool.error(format!("{} doesn't say which server's tool it is", shown(tool)), mend);
        return false;
    };
    if rest.is_empty() && !open {
        row.tool.error(
            format!("{} names no tool", shown(tool)),
            format!("write `{server}{TOOL_SEPARATOR}tool`, or `*` for all of them"),
        );
        return false;
    }
    let known = || draft.servers.keys().map(|key| key.name.as_str());
    if draft.complete && !known().any(|name| name == server) {
        let what = format!("there is no server {}{}", shown(server), did_you_mean(server, known()));
        row.tool.error(what, "correct the part before `___`");
        return false;
    }
    true
}

/// Whether a space lets the row's agent reach something that the row speaks of.
fn reachable(draft: &Draft<'_>, row: &PolicyDraft<'_>) -> bool {
    let tool = row.policy.tool.as_str();
    let pattern = tool.strip_suffix('*');
    let fits = |id: &str| pattern.map_or(id == tool, |prefix| id.starts_with(prefix));
    // Names that nobody knows yet begin like this.
    let may_begin = |begin: &str| tool.starts_with(begin) || pattern.is_some_and(|prefix| begin.starts_with(prefix));
    let spaces = draft.spaces.values().filter(|space| space.space.agents.contains(&row.policy.agent));
    spaces.flat_map(|space| space.space.servers.iter().map(move |entry| (space, entry))).any(|(space, entry)| {
        let key = Organization::server_key(&space.space, entry);
        if !may_begin(&format!("{}{TOOL_SEPARATOR}", entry.server)) {
            return false;
        }
        let tools = match &entry.tools {
            ToolAdmission::All => true,
            ToolAdmission::Listed(names) => {
                names.iter().any(|name| fits(&format!("{}{TOOL_SEPARATOR}{}", entry.server, expose_as(draft, &key, name))))
            }
        };
        tools
            || (entry.prompts && may_begin(&format!("{}{TOOL_SEPARATOR}prompts/", entry.server)))
            || (entry.resources && may_begin(&format!("{}{TOOL_SEPARATOR}resources/", entry.server)))
    })
}

/// Tells of parts that can't take effect.
fn unused(draft: &Draft<'_>) {
    for (id, agent) in &draft.agents {
        if !draft.spaces.values().any(|space| space.space.agents.contains(id)) {
            agent.item.warn(format!("no space lets `{id}` enter"), "add it to the `agents` of a space, or remove it");
        }
        if agent.agent.credentials.is_empty() && agent.item.node.get("credentials").is_none_or(|list| list.nodes().is_empty()) {
            agent.item.warn(format!("`{id}` has no way to prove who it is"), "add `credentials: [client_secret]`, for example");
        }
    }
    for (key, (_, item)) in &draft.servers {
        let entries = draft.spaces.values().flat_map(|space| space.space.servers.iter().map(move |entry| (&space.space, entry)));
        if !entries.into_iter().any(|(space, entry)| Organization::server_key(space, entry) == *key) {
            item.warn(format!("no space uses server `{}`", key.name), "add it to the `servers` of a space, or remove it");
        }
    }
    let used = |name: &String| draft.agents.values().any(|agent| agent.issuers.iter().any(|(issuer, _)| issuer == name));
    for (name, (issuer, item)) in &draft.issuers {
        if !issuer.users && !used(name) {
            item.warn(
                format!("no agent and no user comes from issuer `{name}`"),
                "name it in an agent's `external`, or set `users: true`",
            );
        }
    }
}
