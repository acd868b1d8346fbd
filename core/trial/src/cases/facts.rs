//! The facts of a case: who calls, with what, from where and when.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use remit_config::item::{Item, Object, shown};
use remit_config::yaml::{Node, Value};
use remit_config::{did_you_mean, session_policy};
use remit_identity::access::scope_class;
use remit_identity::sigv4;
use remit_identity::sts::Tag;
use remit_kernel::budget::BudgetUse;
use remit_kernel::trust::Tiers;
use remit_kernel::{Answers, Fact, Facts, Identity, Origin, PolicySession, Principal, QuotaUse, Revocations, Session, SessionOf};
use remit_model::{AgentCredential, AgentId, Organization, RoleKey, TrustTier};

use super::NOW_SECS;
use super::expect::one_or_many;

/// The id of every case's credential.
const CREDENTIAL_ID: &str = "case";
/// How long a case's credential is still good, in seconds.
const LEFT_SECS: u64 = 3600;
/// How long ago it was issued, in seconds.
const AGE_SECS: u64 = 60;
/// What can be said to be unknown.
const UNKNOWNS: &[&str] = &["identity", "quota", "revocations", "guardrails"];
/// What the kernel is told of a fact that a case takes away.
const UNKNOWN: &str = "the case says so";

/// The places that speak of one case, the nearest first.
pub(super) struct Said<'p, 'a> {
    pub(super) places: Vec<&'p Object<'a>>,
}

impl<'a> Said<'_, 'a> {
    /// What the nearest place says under a key.
    pub(super) fn get(&self, key: &str) -> Option<Item<'a>> {
        self.places.iter().find_map(|place| place.get(key))
    }

    /// The case itself, or its row: where faults of what is missing are told.
    pub(super) fn item(&self) -> Option<&Item<'a>> {
        self.places.first().map(|place| &place.item)
    }
}

/// What a credential says.
#[derive(Default)]
struct Credential {
    none: bool,
    scopes: Option<remit_model::ToolClass>,
    space: Option<String>,
    expired: bool,
    revoked: bool,
    issued_at_secs: Option<u64>,
}

/// Gathers the facts. `None` if something is wrong, which is told.
pub(super) fn facts(organization: &Organization, said: &Said<'_, '_>, agent: Option<&str>, space: &str) -> Option<(Facts, u64)> {
    let now_secs = match said.get("at") {
        Some(at) => time(&at)?,
        None => NOW_SECS,
    };
    let credential = said.get("credential").map_or(Some(Credential::default()), |item| credential(organization, &item))?;
    let unknown = said.get("unknown").map(|item| one_or_many(&item, "facts")).unwrap_or_default();
    for (name, item) in unknown.iter().filter(|(name, _)| !UNKNOWNS.contains(name)) {
        let what = format!("{} is no fact that a case can take away", shown(name));
        item.error(what, format!("write one of {}; an address that isn't named is unknown anyhow", UNKNOWNS.join(", ")));
    }
    let unknown = |name: &str| unknown.iter().any(|(known, _)| *known == name);
    let identity = if unknown("identity") {
        Fact::Unknown(UNKNOWN.to_owned())
    } else if credential.none {
        Fact::Known(Identity::Rejected("the request shows no credential".to_owned()))
    } else {
        Fact::Known(Identity::Authenticated(Arc::new(principal(organization, said, &credential, agent, space, now_secs)?)))
    };
    let quota = match said.get("quota") {
        Some(quota) => self::quota(&quota)?,
        None => QuotaUse { calls_concurrent: 1, calls_per_minute: 1 },
    };
    let quota = if unknown("quota") { Fact::Unknown(UNKNOWN.to_owned()) } else { Fact::Known(quota) };
    let budgets = match said.get("budgets_used_up") {
        Some(item) => Fact::Known(used_up(organization, &item)),
        None => Fact::Known(Vec::new()),
    };
    let mut revocations = Revocations::default();
    if credential.revoked {
        revocations.credentials = BTreeMap::from([(CREDENTIAL_ID.to_owned(), u64::MAX)]);
    }
    let revocations = if unknown("revocations") { Fact::Unknown(UNKNOWN.to_owned()) } else { Fact::Known(Arc::new(revocations)) };
    let source_ip = match said.get("source_ip") {
        Some(item) => Fact::Known(address(&item)?),
        None => Fact::Unknown("the case names no `source_ip`".to_owned()),
    };
    let secure_transport = said.get("secure_transport").map_or(Some(true), |flag| flag.flag())?;
    let origin = Origin { source_ip, secure_transport };
    let id = said.get("policy_session").map_or(Some("case"), |item| item.text())?.into();
    let policy_session = PolicySession { id, ..PolicySession::default() };
    let trust = match said.get("trust") {
        Some(item) => Fact::Known(Arc::new(Tiers::every(tier(organization, &item)?))),
        None => Fact::Known(Arc::default()),
    };
    let approvals = Fact::Known(Vec::new());
    // What came before says it, once the case is run.
    let provenance = Fact::Known(Some(Arc::default()));
    let audience = space.into();
    // Nobody's network decides a case: what guardrails of Amazon Bedrock would find is nothing, or unknown.
    let guardrails = Arc::new(if unknown("guardrails") { Answers::default() } else { Answers::supposed() });
    let facts = Facts {
        identity,
        audience,
        quota,
        budgets,
        origin,
        revocations,
        policy_session,
        approvals,
        trust,
        provenance,
        guardrails,
    };
    Some((facts, now_secs))
}

/// Who calls, as a gateway that verified the credential would have it.
fn principal(
    organization: &Organization,
    said: &Said<'_, '_>,
    credential: &Credential,
    agent: Option<&str>,
    space: &str,
    now_secs: u64,
) -> Option<Principal> {
    let user = said.get("user").map_or(Some(None), |user| user.text().map(|user| Some(user.to_owned())))?;
    let issued_at_secs = credential.issued_at_secs.unwrap_or(now_secs.saturating_sub(AGE_SECS));
    let expires_at_secs = if credential.expired { now_secs } else { now_secs.saturating_add(LEFT_SECS) };
    let signed = match said.get("session") {
        Some(item) => Some((session(organization, &item, user.as_deref(), (issued_at_secs, expires_at_secs))?, item)),
        None => None,
    };
    let agent = match (agent, &signed) {
        (Some(agent), None) => AgentId::new(agent).ok()?,
        (agent, Some((session, item))) => signer(organization, session, agent, item)?,
        (None, None) => {
            said.item()?.error("this doesn't say who calls", "add `agent: …`, or `credential: none` for nobody");
            return None;
        }
    };
    if signed.is_some() && (credential.scopes.is_some() || credential.space.is_some()) {
        said.item()?
            .error("a signed request has no scopes and no audience", "leave them out of `credential`, or leave out `session`");
        return None;
    }
    let claims = claims(said, &agent, user.as_deref(), signed.is_some())?;
    Some(Principal {
        agent,
        user,
        credential_id: CREDENTIAL_ID.to_owned(),
        audiences: vec![credential.space.clone().unwrap_or_else(|| space.to_owned())],
        expires_at_secs,
        class_max: credential.scopes,
        issued_at_secs,
        claims: Arc::new(claims),
        session: signed.map(|(session, _)| Arc::new(session)),
    })
}

/// What the token claims: its subject and client, and what the case adds.
fn claims(said: &Said<'_, '_>, agent: &AgentId, user: Option<&str>, signed: bool) -> Option<BTreeMap<String, String>> {
    let named = said.get("claims");
    if signed {
        if let Some(item) = named {
            item.error("a signed request has no claims: it has the session's tags", "leave `claims` or `session` out");
            return None;
        }
        return Some(BTreeMap::new());
    }
    let own = [("sub", user.unwrap_or(agent.as_str())), ("client_id", agent.as_str())];
    let mut claims: BTreeMap<String, String> = own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for (name, item) in named.map(|item| item.pairs("a mapping of claims")).unwrap_or_default() {
        claims.insert(name.to_owned(), item.text()?.to_owned());
    }
    Some(claims)
}

/// The agent whose requests are signed in a session: the one that names it, else the one that names its role.
fn signer(organization: &Organization, session: &Session, agent: Option<&str>, item: &Item<'_>) -> Option<AgentId> {
    let SessionOf::Role(role) = &session.who else { return None };
    let signs = |credentials: &[AgentCredential], named: bool| {
        credentials.iter().any(|credential| match credential {
            AgentCredential::Role { role: own, session_name: Some(name) } => named && own == role && *name == session.name,
            AgentCredential::Role { role: own, session_name: None } => !named && own == role,
            _ => false,
        })
    };
    let of = |named: bool| organization.agents.values().find(|found| signs(&found.credentials, named));
    let found = of(true).or_else(|| of(false)).map(|found| found.id.clone());
    match (found, agent) {
        (None, _) => {
            let mend = format!("add `{{ role: {{ arn: … }} }}` to the `credentials` of an agent that may sign as {role}");
            item.error(format!("no agent is known by sessions of role {role}"), mend);
            None
        }
        (Some(found), Some(agent)) if found.as_str() != agent => {
            item.error(
                format!("sessions of role {role} are agent `{found}`'s"),
                format!("write `agent: {found}`, or leave it out"),
            );
            None
        }
        (found, _) => found,
    }
}

fn session(organization: &Organization, item: &Item<'_>, user: Option<&str>, times: (u64, u64)) -> Option<Session> {
    let keys = &["role", "name", "tags", "transitive_tags", "source_identity", "policy"];
    let object = item.object("a session", keys)?;
    let role = object.need("role")?;
    let Some(key) = RoleKey::of_arn(role.text()?) else {
        role.error(format!("{} is no role's ARN", shown(role.text()?)), "write `arn:aws:iam::<account>:role/<name>`");
        return None;
    };
    if !organization.roles.contains_key(&key) {
        let names: Vec<String> = organization.roles.values().map(|role| role.arn(&organization.partition)).collect();
        let what = format!("there is no role {key}{}", did_you_mean(role.text()?, names.iter().map(String::as_str)));
        role.error(what, "name a role of this configuration");
        return None;
    }
    let text = |key: &str| object.get(key).map_or(Some(None), |item| item.text().map(|text| Some(text.to_owned())));
    let (name, source_identity) = (text("name")?, text("source_identity")?);
    let mut tags = Vec::new();
    for (transitive, of) in [(false, "tags"), (true, "transitive_tags")] {
        for (key, item) in object.get(of).map(|tags| tags.pairs("a mapping of tags")).unwrap_or_default() {
            tags.push(Tag { key: key.to_owned(), value: item.text()?.to_owned(), transitive });
        }
    }
    let policies = match object.get("policy") {
        Some(policy) => vec![session_policy(&policy)?],
        None => Vec::new(),
    };
    Some(Session {
        id: CREDENTIAL_ID.to_owned(),
        who: SessionOf::Role(key),
        name: name.unwrap_or_else(|| "session".to_owned()),
        issued_at_secs: times.0,
        expires_at_secs: times.1,
        chained: false,
        tags,
        source_identity,
        policies,
        policy_documents: Vec::new(),
        user: user.map(str::to_owned),
        via: Vec::new(),
    })
}

fn credential(organization: &Organization, item: &Item<'_>) -> Option<Credential> {
    if let Some(text) = item.as_text() {
        if text != "none" {
            item.error(
                format!("{} is no credential", shown(text)),
                "write `none`, or `{ scopes: […], space: …, expired: true, revoked: true }`",
            );
            return None;
        }
        return Some(Credential { none: true, ..Credential::default() });
    }
    let object = item.object("a credential", &["scopes", "space", "expired", "revoked", "issued_at"])?;
    let mut scopes = None;
    for (scope, item) in object.get("scopes").map(|list| one_or_many(&list, "scopes")).unwrap_or_default() {
        let Some(class) = scope_class(scope) else {
            item.error(format!("{} is no scope", shown(scope)), "write mcp:read, mcp:write or mcp:destroy");
            return None;
        };
        scopes = scopes.max(Some(class));
    }
    let space =
        object.get("space").map_or(Some(None), |item| known_space(organization, &item).map(|space| Some(space.to_owned())))?;
    let flag = |key: &str| object.get(key).map_or(Some(false), |item| item.flag());
    let issued_at_secs = object.get("issued_at").map_or(Some(None), |item| time(&item).map(Some))?;
    Some(Credential { none: false, scopes, space, expired: flag("expired")?, revoked: flag("revoked")?, issued_at_secs })
}

/// The id of a space that exists.
pub(super) fn known_space<'a>(organization: &Organization, item: &Item<'a>) -> Option<&'a str> {
    let text = item.text()?;
    if organization.spaces.contains_key(text) {
        return Some(text);
    }
    let known = organization.spaces.keys().map(remit_model::SpaceId::as_str);
    item.error(format!("there is no space {}{}", shown(text), did_you_mean(text, known)), "name a space of this configuration");
    None
}

/// The tier that the agent has in every category.
fn tier(organization: &Organization, item: &Item<'_>) -> Option<TrustTier> {
    let text = item.text()?;
    let Some(tier) = TrustTier::parse(text) else {
        let words: Vec<&str> = TrustTier::ALL.iter().map(|tier| tier.as_str()).collect();
        item.error(format!("{} is no tier", shown(text)), format!("write one of {}", words.join(", ")));
        return None;
    };
    if organization.trust.is_none() {
        item.error(
            "nobody has a tier here: the configuration has no `trust`",
            "add `trust` to the configuration, or leave this out",
        );
        return None;
    }
    Some(tier)
}

fn quota(item: &Item<'_>) -> Option<QuotaUse> {
    let object = item.object("a use of quotas", &["calls_concurrent", "calls_per_minute"])?;
    let count = |key: &str| {
        let count = object.get(key).map_or(Some(1), |item| item.count(1_000_000))?;
        u32::try_from(count).ok()
    };
    Some(QuotaUse { calls_concurrent: count("calls_concurrent")?, calls_per_minute: count("calls_per_minute")? })
}

/// Budgets of which nothing is left.
fn used_up(organization: &Organization, item: &Item<'_>) -> Vec<BudgetUse> {
    let mut uses = Vec::new();
    for (id, item) in one_or_many(item, "budgets") {
        if organization.budgets.iter().all(|budget| budget.id != id) {
            item.error(format!("there is no budget {}", shown(id)), "name one of `budgets`");
        }
        let all = u64::MAX;
        uses.push(BudgetUse { id: id.to_owned(), calls: all, bytes: all, upstream_us: all, money_micros: all });
    }
    uses
}

fn address(item: &Item<'_>) -> Option<IpAddr> {
    let text = item.text()?;
    let address = text.parse().ok();
    if address.is_none() {
        item.error(format!("{} is no IP address", shown(text)), "write one such as 198.51.100.7 or 2001:db8::7");
    }
    address
}

/// A time, `2026-01-15T12:00:00Z`, in seconds since the epoch.
fn time(item: &Item<'_>) -> Option<u64> {
    let text = item.text()?;
    let plain: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let secs = sigv4::epoch_secs(&plain).filter(|secs| sigv4::date_time(*secs) == text);
    if secs.is_none() {
        item.error(format!("{} is no time", shown(text)), "write it in UTC, such as 2026-01-15T12:00:00Z");
    }
    secs
}

/// A value of YAML as JSON text. What JSON has no word for is told.
pub(super) fn json(item: &Item<'_>, node: &Node, into: &mut String) -> Option<()> {
    match &node.value {
        Value::Null => into.push_str("null"),
        Value::Bool(flag) => into.push_str(if *flag { "true" } else { "false" }),
        Value::Number(text) => {
            if !serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value.is_number()) {
                let at = Item { node, ..item.clone() };
                at.error(format!("{} is no number of JSON", shown(text)), "write it as JSON does, or put it in quotes");
                return None;
            }
            into.push_str(text);
        }
        Value::Text(text) => into.push_str(&remit_mcp::json::quote(text)),
        Value::List(nodes) => {
            into.push('[');
            for (n, node) in nodes.iter().enumerate() {
                into.push_str(if n > 0 { "," } else { "" });
                json(item, node, into)?;
            }
            into.push(']');
        }
        Value::Map(entries) => {
            into.push('{');
            for (n, entry) in entries.iter().enumerate() {
                into.push_str(if n > 0 { "," } else { "" });
                into.push_str(&remit_mcp::json::quote(&entry.key));
                into.push(':');
                json(item, &entry.value, into)?;
            }
            into.push('}');
        }
        Value::Broken => return None,
    }
    Some(())
}
