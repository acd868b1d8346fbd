//! Spaces, agents, issuers and the tool policy registry.

use std::collections::BTreeMap;

use remit_model::{
    AccountId, Agent, AgentCredential, AgentId, ClaimRule, ClaimTest, Issuer, Quotas, Region, Risk, RoleKey, RoleName,
    ServerName, Space, SpaceId, SpaceServer, ToolAdmission, ToolClass, ToolPolicy,
};

use crate::item::{Item, Object, shown};
use crate::policy_set::policy_set;
use crate::server::{CLASSES, NETWORKS, RISKS};
use crate::url::{Rules, url};
use crate::{jwks, path};

/// A space and where its parts stand.
#[derive(Debug)]
pub(crate) struct SpaceDraft<'a> {
    pub(crate) space: Space,
    pub(crate) item: Item<'a>,
    /// As `space.agents`.
    pub(crate) agents: Vec<Item<'a>>,
    /// As `space.servers`.
    pub(crate) servers: Vec<EntryDraft<'a>>,
    /// Where the roles are named.
    pub(crate) role: Option<Item<'a>>,
    pub(crate) operator_role: Option<Item<'a>>,
}

/// Where a server of a space stands.
#[derive(Debug)]
pub(crate) struct EntryDraft<'a> {
    pub(crate) item: Item<'a>,
    pub(crate) name: Item<'a>,
    /// As the listed tools.
    pub(crate) tools: Vec<Item<'a>>,
    /// Where the role is named.
    pub(crate) role: Option<Item<'a>>,
}

/// An agent and where its parts stand.
#[derive(Debug)]
pub(crate) struct AgentDraft<'a> {
    pub(crate) agent: Agent,
    pub(crate) item: Item<'a>,
    /// Where issuers are named.
    pub(crate) issuers: Vec<(String, Item<'a>)>,
    /// Where roles are named.
    pub(crate) roles: Vec<(RoleKey, Item<'a>)>,
}

/// A row of the registry and where its parts stand.
#[derive(Debug)]
pub(crate) struct PolicyDraft<'a> {
    pub(crate) policy: ToolPolicy,
    pub(crate) item: Item<'a>,
    pub(crate) agent: Item<'a>,
    pub(crate) tool: Item<'a>,
}

/// Reads one space.
pub(crate) fn space<'a>(
    item: &Item<'a>,
    account: impl Fn(&Object<'_>) -> Option<AccountId>,
    files: &BTreeMap<&str, &str>,
) -> Option<SpaceDraft<'a>> {
    let keys = &[
        "id",
        "account",
        "region",
        "agents",
        "mandate",
        "servers",
        "quotas",
        "role",
        "operator_role",
        "policy_set",
        "keep_results",
        "signed_requests",
    ];
    let object = item.object("a space", keys)?;
    let id = object.need("id").and_then(|id| id.id(SpaceId::new));
    let account = account(&object);
    let region = object.need("region").and_then(|region| region.id(Region::new));
    // A fault in the region is told already; the rest of the space is checked nevertheless.
    let region = region.or_else(|| Region::new("unknown").ok());
    let class_max = object.get("mandate").and_then(|mandate| mandate.choice(&CLASSES)).unwrap_or(ToolClass::ReadOnly);
    let (mut agents, mut places) = (Vec::new(), Vec::new());
    if let Some(list) = object.get("agents") {
        for (_, item) in list.texts("agent ids") {
            if let Some(agent) = item.id(AgentId::new) {
                agents.push(agent);
                places.push(item);
            }
        }
    }
    let (mut servers, mut entries): (Vec<SpaceServer>, Vec<EntryDraft<'a>>) = (Vec::new(), Vec::new());
    if let Some(list) = object.get("servers") {
        for item in list.list("servers") {
            if let Some((server, draft)) = space_server(&item) {
                servers.push(server);
                entries.push(draft);
            }
        }
    }
    let quotas = object.get("quotas").map(|quotas| self::quotas(&quotas)).unwrap_or_default();
    let named = (object.get("role"), object.get("operator_role"));
    let key = |item: &Option<Item<'_>>| item.as_ref().and_then(|item| role_key(item, account.as_ref()));
    let (role, operator_role) = (key(&named.0), key(&named.1));
    let policy_set = object.get("policy_set").map(|set| policy_set(&set, files));
    // A set that can't be read refuses the configuration; it is never left out.
    let policy_set = policy_set.map(Option::unwrap_or_default);
    let keep_results = object.get("keep_results").and_then(|keep| keep.flag()).unwrap_or(false);
    let signed_requests_required = signed_requests(&object);
    let space = Space {
        id: id?,
        account: account?,
        region: region?,
        agents,
        servers,
        class_max,
        quotas,
        role,
        operator_role,
        policy_set,
        keep_results,
        signed_requests_required,
    };
    let (role, operator_role) = named;
    Some(SpaceDraft { space, item: item.clone(), agents: places, servers: entries, role, operator_role })
}

/// A role by its name in `account`, or by its ARN.
fn role_key(item: &Item<'_>, account: Option<&AccountId>) -> Option<RoleKey> {
    let text = item.text()?;
    if text.starts_with("arn:") {
        let key = RoleKey::of_arn(text);
        if key.is_none() {
            item.error(
                format!("{} is no role's ARN", shown(text)),
                "write `arn:aws:iam::<account>:role/<name>`, or the name alone",
            );
        }
        return key;
    }
    Some(RoleKey { account: account?.clone(), name: item.id(RoleName::new)? })
}

fn space_server<'a>(item: &Item<'a>) -> Option<(SpaceServer, EntryDraft<'a>)> {
    let keys = &["server", "tools", "prompts", "resources", "prefix", "account", "role", "external_id"];
    let object = item.object("a server of a space", keys)?;
    let name = object.need("server")?;
    let server = name.id(ServerName::new)?;
    let (tools, places) = object.need("tools").map_or((ToolAdmission::Listed(Vec::new()), Vec::new()), |tools| admission(&tools));
    let flag = |key: &str, default: bool| object.get(key).and_then(|item| item.flag()).unwrap_or(default);
    let (prompts, resources, prefix) = (flag("prompts", false), flag("resources", false), flag("prefix", true));
    let account = object.get("account").and_then(|account| account.id(AccountId::new));
    let named = object.get("role");
    let role = named.as_ref().and_then(|item| {
        if account.is_none() && item.as_text().is_some_and(|text| !text.starts_with("arn:")) {
            item.error("this role has no account", "add `account: …`, or write the role's ARN");
        }
        role_key(item, account.as_ref())
    });
    let account = account.or_else(|| role.as_ref().map(|role| role.account.clone()));
    let external_id = object.get("external_id").and_then(|item| external_id(&item));
    let server = SpaceServer { server, account, role, external_id, tools, prompts, resources, prefix };
    Some((server, EntryDraft { item: item.clone(), name, tools: places, role: named }))
}

/// An external id as STS takes it (AssumeRole): 2 to 1,224 of `[\w+=,.@:/-]`.
fn external_id(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let fits =
        (2..=1224).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte));
    if !fits {
        item.error("this is no external id", "2 to 1224 of letters, digits and `_+=,.@:/-`");
    }
    fits.then(|| text.to_owned())
}

fn admission<'a>(item: &Item<'a>) -> (ToolAdmission, Vec<Item<'a>>) {
    if let Some(text) = item.as_text() {
        if text != "all" {
            item.error(
                format!("{} is neither `all` nor a list", shown(text)),
                "write `all`, or `[tool, …]` with the server's own names",
            );
        }
        return (ToolAdmission::All, Vec::new());
    }
    let (names, places): (Vec<String>, Vec<Item<'a>>) =
        item.texts("the server's own tool names, or `all`,").into_iter().map(|(name, item)| (name.to_owned(), item)).unzip();
    (ToolAdmission::Listed(names), places)
}

fn quotas(item: &Item<'_>) -> Quotas {
    let keys = &["calls_concurrent_max", "calls_per_minute_max", "sessions_max"];
    let Some(object) = item.object("quotas", keys) else { return Quotas::default() };
    let count = |key: &str| object.get(key).and_then(|item| item.count(1_000_000)).and_then(|count| u32::try_from(count).ok());
    Quotas {
        calls_concurrent_max: count("calls_concurrent_max"),
        calls_per_minute_max: count("calls_per_minute_max"),
        sessions_max: count("sessions_max"),
    }
}

/// Reads one agent. `files` are all files by path, for key sets.
pub(crate) fn agent<'a>(
    item: &Item<'a>,
    account: impl Fn(&Object<'_>) -> Option<AccountId>,
    files: &BTreeMap<&str, &str>,
) -> Option<AgentDraft<'a>> {
    let object = item
        .object("an agent", &["id", "account", "owner", "suspended", "credentials", "tags", "request_keys", "signed_requests"])?;
    let id = object.need("id").and_then(|id| id.id(AgentId::new));
    let account = account(&object);
    let owner = object.need("owner").and_then(|owner| owner.text()).unwrap_or_default().to_owned();
    let suspended = object.get("suspended").and_then(|flag| flag.flag()).unwrap_or(false);
    let (mut issuers, mut roles) = (Vec::new(), Vec::new());
    let mut credentials = Vec::new();
    for item in object.get("credentials").map(|list| list.list("credentials")).unwrap_or_default() {
        if let Some(credential) = credential(&item, files, &mut issuers, &mut roles) {
            if credentials.contains(&credential) {
                item.error("this credential stands twice", "keep one");
            }
            credentials.push(credential);
        }
    }
    let tags = crate::iam::tags(&object);
    let request_keys = match object.get("request_keys") {
        None => None,
        // A set that can't be read refuses the configuration; it is never left out.
        Some(item) => Some(request_keys(&item, files)?),
    };
    let signed_requests_required = signed_requests(&object);
    if let (true, None, Some(item)) = (signed_requests_required, &request_keys, object.get("signed_requests")) {
        item.error("there is no key with which its requests could be signed", "add `request_keys`");
    }
    let agent = Agent { id: id?, account: account?, owner, credentials, suspended, tags, request_keys, signed_requests_required };
    Some(AgentDraft { agent, item: item.clone(), issuers, roles })
}

fn credential<'a>(
    item: &Item<'a>,
    files: &BTreeMap<&str, &str>,
    issuers: &mut Vec<(String, Item<'a>)>,
    roles: &mut Vec<(RoleKey, Item<'a>)>,
) -> Option<AgentCredential> {
    const SHAPES: &str = "write `client_secret`, `{ jwks_file: path }`, `{ jwks: { keys: […] } }`, `{ external: { issuer: …, rules: […] } }` or `{ role: { arn: … } }`";
    if let Some(text) = item.as_text() {
        if text == "client_secret" {
            return Some(AgentCredential::ClientSecret);
        }
        item.error(format!("{} is no credential", shown(text)), SHAPES);
        return None;
    }
    let object = item.object("a credential of an agent", &["jwks_file", "jwks", "external", "role"])?;
    let present = object.present(&["jwks_file", "jwks", "external", "role"]);
    let [kind] = present.as_slice() else {
        item.error("a credential has exactly one of `jwks_file`, `jwks`, `external` and `role`", SHAPES);
        return None;
    };
    let value = object.get(kind)?;
    match *kind {
        "jwks" => jwks::inline(&value).map(AgentCredential::Jwks),
        "jwks_file" => jwks_file(&value, files).map(AgentCredential::Jwks),
        "role" => role(&value, roles),
        _ => external(&value, issuers),
    }
}

/// Whether requests of users must be signed.
fn signed_requests(object: &Object<'_>) -> bool {
    object.get("signed_requests").and_then(|item| item.choice(&[("accepted", false), ("required", true)])).unwrap_or(false)
}

/// The keys with which the requests of an agent's users are signed.
fn request_keys(item: &Item<'_>, files: &BTreeMap<&str, &str>) -> Option<String> {
    let object = item.object("the keys of requests", &["jwks_file", "jwks"])?;
    match object.present(&["jwks_file", "jwks"]).as_slice() {
        ["jwks"] => jwks::inline(&object.get("jwks")?),
        ["jwks_file"] => jwks_file(&object.get("jwks_file")?, files),
        _ => {
            item.error(
                "keys have exactly one of `jwks_file` and `jwks`",
                "write `{ jwks_file: path }` or `{ jwks: { keys: […] } }`",
            );
            None
        }
    }
}

fn jwks_file(item: &Item<'_>, files: &BTreeMap<&str, &str>) -> Option<String> {
    let named = item.text()?;
    let Some(path) = path::resolve(item.file, named).filter(|path| path::is_source(path)) else {
        let mend = "write a `.json` or `.jwks` file of this directory, relative to this file";
        item.error(format!("{} is no key set file inside the configuration directory", shown(named)), mend);
        return None;
    };
    if let Some(text) = files.get(path.as_str()) {
        jwks::of_file(item, &path, text)
    } else {
        item.error(format!("there is no file `{path}`"), "put the agent's public keys there, or correct the path");
        None
    }
}

/// A role whose signed requests are the agent's.
fn role<'a>(item: &Item<'a>, roles: &mut Vec<(RoleKey, Item<'a>)>) -> Option<AgentCredential> {
    let object = item.object("a role as a credential", &["arn", "session_name"])?;
    let arn = object.need("arn")?;
    let Some(role) = RoleKey::of_arn(arn.text()?) else {
        arn.error("this is no role's ARN", "write `arn:aws:iam::<account>:role/<name>`");
        return None;
    };
    let session_name = object.get("session_name").and_then(|name| {
        let text = name.text()?;
        let fits =
            (2..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
        if !fits {
            name.error(format!("{} is no session name", shown(text)), "2 to 64 of letters, digits and `_+=,.@-`");
        }
        fits.then(|| text.to_owned())
    });
    roles.push((role.clone(), arn));
    Some(AgentCredential::Role { role, session_name })
}

fn external<'a>(item: &Item<'a>, issuers: &mut Vec<(String, Item<'a>)>) -> Option<AgentCredential> {
    let object = item.object("an external credential", &["issuer", "rules"])?;
    let rules: Vec<ClaimRule> =
        object.need("rules").map(|rules| rules.list("rules")).unwrap_or_default().iter().filter_map(rule).collect();
    let named = object.get("rules").is_some_and(|rules| rules.node.nodes().is_empty());
    if named {
        item.error(
            "without a rule every token of the issuer would be this agent",
            "add a rule, such as `{ claim: sub, equals: … }`",
        );
    }
    let issuer = object.need("issuer")?;
    let name = issuer.text()?.to_owned();
    issuers.push((name.clone(), issuer));
    Some(AgentCredential::External { issuer: name, rules })
}

fn rule(item: &Item<'_>) -> Option<ClaimRule> {
    let object = item.object("a rule", &["claim", "equals", "contains", "contains_any"])?;
    let claim = object.need("claim").and_then(|claim| claim.text()).map(str::to_owned);
    let present = object.present(&["equals", "contains", "contains_any"]);
    let [test] = present.as_slice() else {
        item.error(
            "a rule has exactly one of `equals`, `contains` and `contains_any`",
            "write `{ claim: sub, equals: … }`, for example",
        );
        return None;
    };
    let value = object.get(test)?;
    let test = match *test {
        "equals" => ClaimTest::Equals(value.text()?.to_owned()),
        "contains" => ClaimTest::Contains(value.text()?.to_owned()),
        _ => {
            let texts: Vec<String> = value.texts("texts").into_iter().map(|(text, _)| text.to_owned()).collect();
            if texts.is_empty() {
                value.error("no claim can hold one of nothing", "name at least one text");
            }
            ClaimTest::ContainsAny(texts)
        }
    };
    Some(ClaimRule { claim: claim?, test })
}

/// Reads one issuer.
pub(crate) fn issuer(item: &Item<'_>) -> Option<Issuer> {
    let object = item.object("an issuer", &["name", "url", "audiences", "network", "users"])?;
    let name = object.need("name").and_then(|name| {
        let text = name.text()?;
        let fits = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !fits {
            name.error(format!("{} is no issuer name", shown(text)), "1 to 64 of letters, digits, `_`, `.` and `-`");
        }
        fits.then(|| text.to_owned())
    });
    let network = object.get("network").and_then(|network| network.choice(&NETWORKS)).unwrap_or_default();
    let url = object.need("url").and_then(|address| url(&address, Rules { network, query: false }));
    let audiences = object.get("audiences").map(|list| list.texts("audiences")).unwrap_or_default();
    let audiences = audiences.into_iter().map(|(text, _)| text.to_owned()).collect();
    let users = object.get("users").and_then(|flag| flag.flag()).unwrap_or(false);
    // A fault in its address is told already; its name is known nevertheless.
    Some(Issuer { name: name?, url: url.unwrap_or_default(), audiences, network, users })
}

/// Reads one row of the registry.
pub(crate) fn policy<'a>(item: &Item<'a>) -> Option<PolicyDraft<'a>> {
    let object = item.object("a tool policy", &["agent", "tool", "allowed", "max_risk"])?;
    let agent = object.need("agent");
    let tool = object.need("tool");
    let allowed = object.get("allowed").and_then(|flag| flag.flag()).unwrap_or(true);
    let risk = if allowed { object.need("max_risk") } else { object.get("max_risk") };
    let risk_max = risk.and_then(|risk| risk.choice(&RISKS)).unwrap_or(Risk::Low);
    let (agent, tool) = (agent?, tool?);
    let policy =
        ToolPolicy { agent: agent.id(AgentId::new)?, tool: tool.text()?.to_owned(), allowed, risk_max, origin: item.origin() };
    Some(PolicyDraft { policy, item: item.clone(), agent, tool })
}
