//! A call and the facts about it, as they are kept: so that it can be decided again, as it was or under another configuration.
//!
//! What a decision came from is all here but the configuration itself and what servers offered: those are named by their digests, in
//! [`Basis`]. [`Recorded::facts`] gives back the very facts, so that [`decide()`](crate::decide()) answers what it answered.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use remit_identity::sts::Tag;
use remit_model::{AgentId, CallOrigin, RegistryStatus, Risk, ServerKey, ToolClass};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::approval::Approval;
use crate::assume::session_policy;
use crate::budget::BudgetUse;
use crate::catalogue::{Catalogue, Listed, Pin, PinKey, ServerCatalogue};
use crate::context::Origin;
use crate::definitions::{FIRST_REGISTRATION, Gravest, INSTRUCTIONS, Severity};
use crate::facts::{
    Arguments, Call, Fact, Facts, Identity, PolicySession, Principal, QuotaUse, Revocations, Session, SessionOf, Target,
};
use crate::guardrail::Answers;
use crate::registry::Record;
use crate::trust::Tiers;

/// The version of the form. Another one isn't read.
const FORM: u32 = 1;

/// A call and its facts, as they are kept: JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded<'a> {
    v: u32,
    /// Random, so that nobody guesses what is kept from its digest.
    #[serde(borrow)]
    salt: Cow<'a, str>,
    /// The digest of the [`Basis`] of the decision.
    #[serde(borrow)]
    basis: Cow<'a, str>,
    at_ms: u64,
    #[serde(borrow)]
    space: Cow<'a, str>,
    target: Kind,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    risk_requested: Option<Risk>,
    /// The caller: JSON. It stays text until it is asked for: callers come again.
    #[serde(borrow)]
    identity: &'a RawValue,
    #[serde(borrow)]
    audience: Cow<'a, str>,
    quota: Kept<(u32, u32)>,
    #[serde(default, skip_serializing_if = "is_default")]
    budgets: Option<Kept<Vec<BudgetUse>>>,
    source_ip: Kept<IpAddr>,
    secure_transport: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    revocations: Option<Kept<Revocations>>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    policy_session: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_default")]
    bindings: Option<Kept<BTreeMap<String, bool>>>,
    #[serde(default, skip_serializing_if = "is_default")]
    trust: Option<Kept<Tiers>>,
    #[serde(default, skip_serializing_if = "is_default")]
    approvals: Option<Kept<Vec<Approval>>>,
    #[serde(default, skip_serializing_if = "is_default")]
    provenance: Option<Kept<CallOrigin>>,
    #[serde(default, skip_serializing_if = "Answers::is_empty")]
    guardrails: Answers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Tool,
    Prompt,
    Resource,
}

/// A [`Fact`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept<T> {
    Known(T),
    Unknown(String),
}

impl<T> Kept<T> {
    fn of<U>(fact: &Fact<U>, known: impl FnOnce(&U) -> T) -> Self {
        match fact {
            Fact::Known(value) => Self::Known(known(value)),
            Fact::Unknown(why) => Self::Unknown(why.clone()),
        }
    }

    fn fact<U>(self, known: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Known(value) => Fact::Known(known(value)),
            Self::Unknown(why) => Fact::Unknown(why),
        }
    }
}

/// A caller, as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Who<'a> {
    #[serde(borrow)]
    Authenticated(KeptPrincipal<'a>),
    Rejected(String),
    Unknown(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptPrincipal<'a> {
    #[serde(borrow)]
    agent: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    user: Option<Cow<'a, str>>,
    #[serde(borrow)]
    credential_id: Cow<'a, str>,
    audiences: Vec<String>,
    expires_at_secs: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class_max: Option<ToolClass>,
    issued_at_secs: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    claims: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<Box<KeptSession>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptSession {
    id: String,
    who: SessionOf,
    name: String,
    issued_at_secs: u64,
    expires_at_secs: u64,
    chained: bool,
    tags: Vec<(String, String, bool)>,
    source_identity: Option<String>,
    policies: Vec<String>,
    user: Option<String>,
    via: Vec<String>,
}

fn is_default<T>(value: &Option<T>) -> bool {
    value.is_none()
}

/// Why something that was kept can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(String);

impl From<serde_json::Error> for Unusable {
    fn from(error: serde_json::Error) -> Self {
        Self(format!("what was kept can't be read: {error}"))
    }
}

/// A caller's identity as it is kept: JSON text. Made once for a caller and used for all of its calls.
#[derive(Debug, Clone)]
pub struct RecordedIdentity(Box<RawValue>);

impl RecordedIdentity {
    /// Of a caller; `None` if it can't be kept whole.
    pub fn of(identity: &Fact<Identity>) -> Option<Self> {
        let who = match identity {
            Fact::Unknown(why) => Who::Unknown(why.clone()),
            Fact::Known(Identity::Rejected(why)) => Who::Rejected(why.clone()),
            Fact::Known(Identity::Authenticated(principal)) => Who::Authenticated(KeptPrincipal::of(principal)?),
        };
        serde_json::value::to_raw_value(&who).ok().map(Self)
    }

    /// Of the JSON text that [`Recorded::identity_text`] gave.
    pub fn read(text: &str) -> Result<Fact<Identity>, Unusable> {
        Ok(match serde_json::from_str(text)? {
            Who::Unknown(why) => Fact::Unknown(why),
            Who::Rejected(why) => Fact::Known(Identity::Rejected(why)),
            Who::Authenticated(principal) => Fact::Known(Identity::Authenticated(Arc::new(principal.principal()?))),
        })
    }
}

impl<'a> KeptPrincipal<'a> {
    fn of(principal: &'a Principal) -> Option<Self> {
        let session = match &principal.session {
            None => None,
            Some(session) if session.policies.len() == session.policy_documents.len() => Some(Box::new(KeptSession {
                id: session.id.clone(),
                who: session.who.clone(),
                name: session.name.clone(),
                issued_at_secs: session.issued_at_secs,
                expires_at_secs: session.expires_at_secs,
                chained: session.chained,
                tags: session.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone(), tag.transitive)).collect(),
                source_identity: session.source_identity.clone(),
                policies: session.policy_documents.iter().map(ToString::to_string).collect(),
                user: session.user.clone(),
                via: session.via.clone(),
            })),
            Some(_) => return None,
        };
        Some(Self {
            agent: principal.agent.as_str().into(),
            user: principal.user.as_deref().map(Into::into),
            credential_id: principal.credential_id.as_str().into(),
            audiences: principal.audiences.clone(),
            expires_at_secs: principal.expires_at_secs,
            class_max: principal.class_max,
            issued_at_secs: principal.issued_at_secs,
            claims: (*principal.claims).clone(),
            session,
        })
    }

    fn principal(self) -> Result<Principal, Unusable> {
        let agent = AgentId::new(&self.agent).map_err(|_| Unusable("it names no agent".to_owned()))?;
        Ok(Principal {
            agent,
            user: self.user.map(Cow::into_owned),
            credential_id: self.credential_id.into_owned(),
            audiences: self.audiences,
            expires_at_secs: self.expires_at_secs,
            class_max: self.class_max,
            issued_at_secs: self.issued_at_secs,
            session: self.session.map(|session| session.session().map(Arc::new)).transpose()?,
            claims: Arc::new(self.claims),
        })
    }
}

impl KeptSession {
    fn session(self) -> Result<Session, Unusable> {
        let policies = self.policies.iter().map(|text| session_policy(text).map_err(Unusable)).collect::<Result<_, _>>()?;
        Ok(Session {
            id: self.id,
            who: self.who,
            name: self.name,
            issued_at_secs: self.issued_at_secs,
            expires_at_secs: self.expires_at_secs,
            chained: self.chained,
            tags: self.tags.into_iter().map(|(key, value, transitive)| Tag { key, value, transitive }).collect(),
            source_identity: self.source_identity,
            policies,
            policy_documents: self.policies.into_iter().map(Into::into).collect(),
            user: self.user,
            via: self.via,
        })
    }
}

impl<'a> Recorded<'a> {
    /// A call with its facts, decided at `at_ms` (milliseconds since the epoch) under the basis of this digest. `salt` is random.
    ///
    /// `None` if the arguments are no JSON.
    pub fn of(
        facts: &'a Facts,
        identity: &'a RecordedIdentity,
        call: &Call<'a>,
        basis: &'a str,
        salt: &'a str,
        at_ms: u64,
    ) -> Option<Self> {
        let (target, name, arguments) = match call.target {
            Target::Tool { name, arguments } => (Kind::Tool, name, arguments),
            Target::Prompt(name) => (Kind::Prompt, name, None),
            Target::Resource(name) => (Kind::Resource, name, None),
        };
        let arguments = match arguments {
            Some(arguments) => Some(serde_json::from_str(arguments.as_str()).ok()?),
            None => None,
        };
        let about = |revocations: &Arc<Revocations>| revocations.about(&facts.identity);
        let revocations = Kept::of(&facts.revocations, about);
        Some(Self {
            v: FORM,
            salt: salt.into(),
            basis: basis.into(),
            at_ms,
            space: call.space.into(),
            target,
            name: name.into(),
            arguments,
            risk_requested: call.risk_requested,
            identity: &identity.0,
            audience: Cow::Borrowed(&facts.audience),
            quota: Kept::of(&facts.quota, |quota| (quota.calls_concurrent, quota.calls_per_minute)),
            budgets: match &facts.budgets {
                Fact::Known(uses) if uses.is_empty() => None,
                budgets => Some(Kept::of(budgets, Clone::clone)),
            },
            source_ip: Kept::of(&facts.origin.source_ip, |ip| *ip),
            secure_transport: facts.origin.secure_transport,
            revocations: Some(revocations).filter(|revocations| *revocations != Kept::Known(Revocations::default())),
            policy_session: Cow::Borrowed(&facts.policy_session.id),
            bindings: match &facts.policy_session.bindings {
                Fact::Known(None) => None,
                Fact::Known(Some(bindings)) => Some(Kept::Known((**bindings).clone())),
                Fact::Unknown(why) => Some(Kept::Unknown(why.clone())),
            },
            trust: Some(Kept::of(&facts.trust, |tiers| (**tiers).clone())).filter(|kept| *kept != Kept::Known(Tiers::default())),
            approvals: match &facts.approvals {
                Fact::Known(approvals) if approvals.is_empty() => None,
                approvals => Some(Kept::of(approvals, |all| all.iter().map(|one| (**one).clone()).collect())),
            },
            provenance: match &facts.provenance {
                Fact::Known(None) => None,
                Fact::Known(Some(origin)) => Some(Kept::Known((**origin).clone())),
                Fact::Unknown(why) => Some(Kept::Unknown(why.clone())),
            },
            guardrails: (*facts.guardrails).clone(),
        })
    }

    /// Reads what was kept.
    pub fn read(text: &'a [u8]) -> Result<Self, Unusable> {
        // Looked at once, and not string by string.
        let text = std::str::from_utf8(text).map_err(|_| Unusable("what was kept is no text".to_owned()))?;
        let read: Self = serde_json::from_str(text)?;
        if read.v != FORM {
            return Err(Unusable(format!("what was kept has form {}, and this program knows {FORM}", read.v)));
        }
        Ok(read)
    }

    /// The digest of the [`Basis`] of the decision.
    pub fn basis(&self) -> &str {
        &self.basis
    }

    /// When it was decided, in milliseconds since the epoch.
    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// The space's id.
    pub fn space(&self) -> &str {
        &self.space
    }

    /// The exposed name or URI that was asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The caller as JSON text, for [`RecordedIdentity::read`]: equal texts are the same caller.
    pub fn identity_text(&self) -> &str {
        self.identity.get()
    }

    /// The arguments as JSON text, where there were any.
    pub fn arguments_text(&self) -> Option<&str> {
        self.arguments.map(RawValue::get)
    }

    /// The call.
    pub fn call(&self, explain: bool) -> Result<Call<'_>, Unusable> {
        let arguments = match &self.arguments {
            None => None,
            Some(text) => Some(Arguments::scan(text.get()).map_err(|error| Unusable(error.to_string()))?),
        };
        let target = match self.target {
            Kind::Tool => Target::Tool { name: &self.name, arguments },
            Kind::Prompt => Target::Prompt(&self.name),
            Kind::Resource => Target::Resource(&self.name),
        };
        Ok(Call { space: &self.space, target, risk_requested: self.risk_requested, explain })
    }

    /// The facts, with an identity that [`RecordedIdentity::read`] made of this call's.
    pub fn facts(&self, identity: Fact<Identity>) -> Facts {
        let bindings = match self.bindings.clone() {
            None => Fact::Known(None),
            Some(bindings) => bindings.fact(|bindings| Some(Arc::new(bindings))),
        };
        let revocations = self.revocations.clone().unwrap_or(Kept::Known(Revocations::default()));
        Facts {
            identity,
            audience: (*self.audience).into(),
            quota: self
                .quota
                .clone()
                .fact(|(calls_concurrent, calls_per_minute)| QuotaUse { calls_concurrent, calls_per_minute }),
            budgets: self.budgets.clone().unwrap_or(Kept::Known(Vec::new())).fact(|uses| uses),
            origin: Origin { source_ip: self.source_ip.clone().fact(|ip| ip), secure_transport: self.secure_transport },
            revocations: revocations.fact(Arc::new),
            policy_session: PolicySession { id: (*self.policy_session).into(), bindings },
            trust: self.trust.clone().unwrap_or(Kept::Known(Tiers::default())).fact(Arc::new),
            approvals: match self.approvals.clone() {
                None => Fact::Known(Vec::new()),
                Some(approvals) => approvals.fact(|all| all.into_iter().map(Arc::new).collect()),
            },
            provenance: match self.provenance.clone() {
                None => Fact::Known(None),
                Some(origin) => origin.fact(|origin| Some(Arc::new(origin))),
            },
            guardrails: Arc::new(self.guardrails.clone()),
        }
    }
}

/// What a decision was made under, by the digests of its parts (`sha256:…`): kept once for all decisions under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basis {
    v: u32,
    /// The digest of the configuration's files.
    pub configuration: String,
    /// What each server offered and what was accepted of it: the digests of [`offered`]'s texts.
    pub servers: BTreeMap<String, String>,
}

impl Basis {
    /// A basis of these parts.
    pub fn new(configuration: String, servers: BTreeMap<String, String>) -> Self {
        Self { v: FORM, configuration, servers }
    }

    /// Reads one.
    pub fn read(text: &[u8]) -> Result<Self, Unusable> {
        let read: Self = serde_json::from_slice(text)?;
        if read.v == FORM { Ok(read) } else { Err(Unusable("the basis has another form than this program knows".to_owned())) }
    }
}

/// Of one server, what decisions hang on: JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Offered<'a> {
    server: ServerKey,
    /// Absent until it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    live: Option<Live<'a>>,
    #[serde(default)]
    pins: BTreeMap<String, KeptPin>,
    /// The gravest finding of each tool, and of the server as a whole under no name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    found: BTreeMap<String, Severity>,
    /// How it stands in the registry, and which registration does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<(String, RegistryStatus)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Live<'a> {
    tools: Vec<Cow<'a, str>>,
    prompts: Vec<Cow<'a, str>>,
    resources: Vec<Cow<'a, str>>,
    templates: Vec<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptPin {
    digest: String,
    definition: String,
    /// Whether it was accepted at first sight: then it counts only as long as no more is found than is admitted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    first: bool,
}

/// What each server offers and what is accepted of it, one JSON text a server: the part of a catalogue that decisions hang on.
pub fn offered(catalogue: &Catalogue) -> BTreeMap<ServerKey, String> {
    let mut all: BTreeMap<&ServerKey, Offered<'_>> = BTreeMap::new();
    fn entry<'e, 'a>(all: &'e mut BTreeMap<&'a ServerKey, Offered<'a>>, server: &'a ServerKey) -> &'e mut Offered<'a> {
        all.entry(server).or_insert_with(|| Offered {
            server: server.clone(),
            live: None,
            pins: BTreeMap::new(),
            found: BTreeMap::new(),
            status: None,
        })
    }
    for (server, live) in &catalogue.servers {
        let names =
            |listed: &'_ [Listed]| -> Vec<Cow<'static, str>> { listed.iter().map(|one| one.name.clone().into()).collect() };
        entry(&mut all, server).live = Some(Live {
            tools: live.tools.iter().map(|tool| Cow::Borrowed(&**tool)).collect(),
            prompts: names(&live.prompts),
            resources: names(&live.resources),
            templates: names(&live.templates),
        });
    }
    for (key, pin) in &catalogue.pins {
        // What clients are told decides nothing.
        if key.tool == INSTRUCTIONS {
            continue;
        }
        let first = pin.accepted_by == FIRST_REGISTRATION;
        let kept = KeptPin { digest: pin.digest.clone(), definition: pin.definition.clone(), first };
        entry(&mut all, &key.server).pins.insert(key.tool.clone(), kept);
    }
    for (server, record) in &catalogue.records {
        entry(&mut all, server).status = Some((record.registration.clone(), record.status));
    }
    for (server, gravest) in &catalogue.gravest {
        let tools = gravest.tools.iter().map(|(tool, severity)| (tool.clone(), *severity));
        let whole = gravest.whole.map(|severity| (String::new(), severity));
        entry(&mut all, server).found.extend(tools.chain(whole));
    }
    all.into_iter().filter_map(|(server, offered)| Some((server.clone(), serde_json::to_string(&offered).ok()?))).collect()
}

/// The catalogue that texts of [`offered`] were made of, as far as decisions hang on it.
pub fn catalogue<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Result<Catalogue, Unusable> {
    let mut catalogue = Catalogue::default();
    for text in texts {
        let Offered { server, live, pins, mut found, status } = serde_json::from_slice(text)?;
        if let Some(live) = live {
            let listed = |names: Vec<Cow<'_, str>>, key: &str| -> Vec<Listed> {
                let json = |name: &str| serde_json::json!({ key: name }).to_string().into();
                names.into_iter().map(|name| Listed { json: json(&name), name: name.into_owned() }).collect()
            };
            let live = ServerCatalogue {
                tools: live.tools.iter().map(|tool| Arc::from(&**tool)).collect(),
                prompts: listed(live.prompts, "name"),
                resources: listed(live.resources, "uri"),
                templates: listed(live.templates, "uriTemplate"),
                capabilities: "{}".to_owned(),
                instructions: None,
            };
            catalogue.servers.insert(server.clone(), Arc::new(live));
        }
        for (tool, KeptPin { digest, definition, first }) in pins {
            let accepted_by = if first { FIRST_REGISTRATION.to_owned() } else { String::new() };
            let pin = Pin { digest, definition, accepted_by, accepted_at_secs: 0 };
            catalogue.pins.insert(PinKey { server: server.clone(), tool }, pin);
        }
        if let Some((registration, status)) = status {
            let nobody = String::new;
            let (by, proof, reason) = (nobody(), nobody(), nobody());
            let record = Record { registration, status, by, proof, reason, at_secs: 0, submitted_by: None };
            catalogue.records.insert(server.clone(), record);
        }
        let whole = found.remove("");
        if whole.is_some() || !found.is_empty() {
            catalogue.gravest.insert(server, Gravest { whole, tools: found });
        }
    }
    Ok(catalogue)
}
