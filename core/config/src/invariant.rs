//! `invariants`: what must never be possible, whatever else the configuration says.

use remit_model::{AccountId, AgentId, AgentsMeant, Invariant, SpaceId, TOOL_SEPARATOR, ToolClass};

use crate::draft::Draft;
use crate::item::{Item, Object, shown};
use crate::suggest::did_you_mean;

/// The most invariants.
const INVARIANTS_MAX: usize = 200;
/// The most members of one list.
const LIST_MAX: usize = 1_000;
/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// How agents are named; one of them at most.
const AGENTS: [&str; 4] = ["agents", "agents_except", "agents_outside_spaces", "agents_outside_accounts"];
/// How tools are named; one of them at least.
const TOOLS: [&str; 3] = ["tools", "categories", "classes"];
const CLASSES: [(&str, ToolClass); 3] =
    [("READ_ONLY", ToolClass::ReadOnly), ("MUTATIVE", ToolClass::Mutative), ("DESTRUCTIVE", ToolClass::Destructive)];

/// Reads them; everything that they may name was read before.
pub(crate) fn invariants(items: &[Item<'_>], draft: &Draft<'_>) -> Vec<Invariant> {
    let mut found: Vec<Invariant> = Vec::new();
    for item in items {
        let Some(invariant) = invariant(item, draft) else { continue };
        if let Some(other) = found.iter().find(|other| other.name == invariant.name) {
            let what = format!("there is already an invariant {}, at {}", shown(&invariant.name), other.origin);
            item.error(what, "rename one of the two, or remove it");
        }
        found.push(invariant);
    }
    if let Some(item) = items.get(INVARIANTS_MAX) {
        item.error(format!("there are more than {INVARIANTS_MAX} invariants"), "let one speak of several tools or agents");
    }
    found
}

fn invariant(item: &Item<'_>, draft: &Draft<'_>) -> Option<Invariant> {
    let object = item.object("an invariant", &["name", "never"])?;
    let named = object.need("name");
    let name = named.as_ref().and_then(Item::text);
    if let (Some(item), Some(_)) = (&named, name.filter(|name| name.len() > NAME_BYTES_MAX)) {
        item.error(format!("the name has more than {NAME_BYTES_MAX} bytes"), "shorten it");
    }
    let keys = &[
        "agents",
        "agents_except",
        "agents_outside_spaces",
        "agents_outside_accounts",
        "tools",
        "categories",
        "classes",
        "spaces",
        "when",
        "without_approval",
    ];
    let never = object.need("never")?.object("what must never be possible", keys)?;
    let present = never.present(&TOOLS);
    if present.is_empty() {
        never.item.error(
            "the invariant doesn't say which tools must not be called",
            "add `tools`, `categories` or `classes`; `tools: [\"*\"]` means every tool",
        );
    }
    let texts = |key: &str, of: &str| {
        let Some(item) = never.get(key) else { return Vec::new() };
        let texts = item.texts(of);
        if texts.is_empty() && item.node.nodes().is_empty() {
            item.error("the list is empty, and an empty list speaks of nothing", "name some, or leave the key out");
        }
        if texts.len() > LIST_MAX {
            item.error(format!("the list has more than {LIST_MAX} members"), "name fewer, or end one with `*`");
        }
        texts
    };
    let tools = texts("tools", "tools").into_iter().filter(|(text, item)| tool_named(text, item, draft));
    let tools = tools.map(|(text, _)| text.to_owned()).collect();
    let categories = texts("categories", "categories").into_iter().filter(|(text, item)| category(text, item));
    let categories = categories.map(|(text, _)| text.to_owned()).collect();
    let classes = texts("classes", "classes").into_iter().filter_map(|(_, item)| item.choice(&CLASSES)).collect();
    let spaces = spaces(texts("spaces", "spaces"), draft);
    let when = never.get("when").and_then(|item| condition(&item));
    Some(Invariant {
        name: name?.to_owned(),
        origin: item.origin(),
        agents: agents(&never, &texts, draft),
        tools,
        categories,
        classes,
        spaces,
        when,
        without_approval: never.get("without_approval").and_then(|flag| flag.flag()).unwrap_or_default(),
    })
}

/// A condition, as far as it can be read without the tools.
pub(crate) fn condition(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if let Err(fault) = remit_cedar::read_condition(text) {
        let mend = "write an expression of Cedar over `principal` and `context`, such as `context.input.amount_cents > 5000000`";
        item.error(format!("the condition can't be read: {}", fault.what), fault.mend.as_deref().unwrap_or(mend));
        return None;
    }
    Some(text.to_owned())
}

pub(crate) type Texts<'a> = Vec<(&'a str, Item<'a>)>;

fn agents<'a>(never: &Object<'a>, texts: &dyn Fn(&str, &str) -> Texts<'a>, draft: &Draft<'_>) -> AgentsMeant {
    let present = never.present(&AGENTS);
    if let [_, second, ..] = present.as_slice()
        && let Some(item) = never.get(second)
    {
        item.error(
            format!("the agents are named in several ways: {}", present.join(", ")),
            "keep one; write a second invariant for the other",
        );
    }
    match present.first().copied() {
        Some("agents") => AgentsMeant::Only(agent_ids(texts("agents", "agents"), draft)),
        Some("agents_except") => AgentsMeant::Except(agent_ids(texts("agents_except", "agents"), draft)),
        Some("agents_outside_spaces") => AgentsMeant::OutsideSpaces(spaces(texts("agents_outside_spaces", "spaces"), draft)),
        Some("agents_outside_accounts") => {
            AgentsMeant::OutsideAccounts(accounts(texts("agents_outside_accounts", "accounts"), draft))
        }
        _ => AgentsMeant::All,
    }
}

pub(crate) fn agent_ids(texts: Texts<'_>, draft: &Draft<'_>) -> Vec<AgentId> {
    let mut ids = Vec::new();
    for (_, item) in texts {
        let Some(id) = item.id(AgentId::new) else { continue };
        if draft.complete && !draft.agents.contains_key(&id) {
            let known = draft.agents.keys().map(AgentId::as_str);
            let what = format!("there is no agent {}{}", shown(id.as_str()), did_you_mean(id.as_str(), known));
            item.error(what, "add it to `agents`, or correct the id");
        }
        ids.push(id);
    }
    ids
}

pub(crate) fn spaces(texts: Texts<'_>, draft: &Draft<'_>) -> Vec<SpaceId> {
    let mut ids = Vec::new();
    for (_, item) in texts {
        let Some(id) = item.id(SpaceId::new) else { continue };
        if draft.complete && !draft.spaces.contains_key(&id) {
            let known = draft.spaces.keys().map(SpaceId::as_str);
            let what = format!("there is no space {}{}", shown(id.as_str()), did_you_mean(id.as_str(), known));
            item.error(what, "add it to `spaces`, or correct the id");
        }
        ids.push(id);
    }
    ids
}

fn accounts(texts: Texts<'_>, draft: &Draft<'_>) -> Vec<AccountId> {
    let mut ids = Vec::new();
    for (_, item) in texts {
        let Some(id) = item.id(AccountId::new) else { continue };
        if draft.complete && !draft.organization.accounts.contains_key(&id) {
            let known = draft.organization.accounts.keys().map(AccountId::as_str);
            let what = format!("there is no account {id}{}", did_you_mean(id.as_str(), known));
            item.error(what, "add it to `accounts`, or correct the id");
        }
        ids.push(id);
    }
    ids
}

/// Whether a tool is well written and names a server that exists.
pub(crate) fn tool_named(text: &str, item: &Item<'_>, draft: &Draft<'_>) -> bool {
    let (start, open) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
    if start.contains('*') {
        item.error(format!("{} has a `*` inside", shown(text)), "a `*` stands only at the end, for any rest");
        return false;
    }
    let Some((server, rest)) = start.split_once(TOOL_SEPARATOR) else {
        if !open {
            let mend = format!("write `server{TOOL_SEPARATOR}tool`, or end it with `*`");
            item.error(format!("{} doesn't say which server's tool it is", shown(text)), mend);
        }
        return open;
    };
    if rest.is_empty() && !open {
        let mend = format!("write `{server}{TOOL_SEPARATOR}tool`, or `*` for all of them");
        item.error(format!("{} names no tool", shown(text)), mend);
        return false;
    }
    let known = || draft.servers.keys().map(|key| key.name.as_str());
    if draft.complete && !known().any(|name| name == server) {
        let what = format!("there is no server {}{}", shown(server), did_you_mean(server, known()));
        item.error(what, "correct the part before `___`");
        return false;
    }
    true
}

pub(crate) fn category(text: &str, item: &Item<'_>) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=32).contains(&text.len()) && text.bytes().all(letter);
    if !fits {
        item.error(
            format!("{} is no category", shown(text)),
            "1 to 32 lower-case letters, digits and `-`, as under a server's `tools`",
        );
    }
    fits
}
