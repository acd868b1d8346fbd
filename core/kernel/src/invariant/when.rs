//! Invariants with a condition over the call: whether any call of which it is true can be allowed.
//!
//! Where no arguments matter the kernel alone answers. Else plain values near those that the rules name are tried, and whoever was given
//! for it answers by symbolic analysis: what it rules out is ruled out, and what it supposes is decided here like any other call.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use remit_cedar::{
    Bindings, Claims, EventKind, History, HistoryEvent, Known, Literals, Meant, Mode, PolicySet, PrincipalKind, Reply, Source,
    Supposed, Tool, datetime,
};
use remit_identity::sts::Tag;
use remit_model::{AgentCredential, AgentId, CallOrigin};
use serde_json::Value;

use super::example::{self, Place, put};
use super::{Check, Counterexample, Way};
use crate::catalogue::PinState;
use crate::context::Origin;
use crate::decide::decide;
use crate::facts::{Arguments, Call, Fact, Facts, Identity, Principal, Session, Target};
use crate::policy::{PolicyCaller, acted_in, asking, risk_level};
use crate::snapshot::{SpaceView, ToolView};
use crate::verdict::{Decision, Layer, Verdict};

/// How many combinations of plain values are tried for one agent and tool.
const COMBINATIONS_MAX: usize = 256;
/// The longest arguments that are told, as JSON, in bytes.
const TOLD_BYTES_MAX: usize = 4096;

/// A tool of a space with the condition that is asked of it.
pub(super) struct Asked {
    set: Arc<PolicySet>,
    meant: Meant,
    literals: Literals,
    schema: Value,
    /// What was answered of everybody, by the kind of caller.
    everybody: RefCell<HashMap<&'static str, Reply>>,
}

/// One combination of agent, way, space and tool.
pub(super) struct At<'a> {
    pub(super) view: &'a SpaceView,
    pub(super) agent: &'a AgentId,
    pub(super) way: &'a Way,
    pub(super) tool: &'a Arc<ToolView>,
    pub(super) base: &'a Facts,
    pub(super) principal: &'a Arc<Principal>,
}

/// A call that is tried.
#[derive(Debug, Clone, Default)]
struct Tried {
    input: Value,
    claims: Claims,
    user: Option<String>,
    source_identity: Option<String>,
    source_ip: Option<IpAddr>,
    secure_transport: bool,
    session_id: String,
    /// What the session has touched, and what stands behind the arguments.
    origin: CallOrigin,
    /// Another time than now, in seconds since the epoch.
    at_secs: Option<u64>,
    /// What temporal conditions are supposed to come to; `None`: what they do when nothing came before.
    bindings: Option<Bindings>,
}

/// What a call that was tried came to.
struct Came {
    decision: Decision,
    /// Whether it is one that is meant.
    met: bool,
    /// Whether one that people must agree to isn't meant.
    without_approval: bool,
}

impl Came {
    fn allowed(&self) -> bool {
        let goes = if self.without_approval { self.decision.allows() } else { self.decision.may_become() };
        self.met && goes
    }

    /// Whether it is meant and the policy set lets it through, whatever else denies it; and how many layers do.
    fn near(&self) -> Option<usize> {
        let against = self.decision.layers.iter().filter(|line| !line.effect.agrees());
        let set = against.clone().any(|line| line.layer == Layer::PolicySet);
        (self.met && !set).then(|| against.count())
    }
}

impl Check<'_> {
    /// Judges one combination of which arguments decide: a counterexample, or nothing, with what is open put down.
    /// `rules` are those of the policy set that have a say, by name.
    pub(super) fn judge_when(&mut self, condition: &str, rules: &[String], at: &At<'_>) -> Option<Counterexample> {
        let key = (at.view.space.id.to_string(), at.tool.exposed.to_string());
        let asked = match self.asked.remove(&key) {
            Some(asked) => asked,
            None => ask(condition, at),
        };
        match asked {
            Ok(asked) => {
                let found = self.settle(&asked, rules, at);
                self.asked.insert(key, Ok(asked));
                found
            }
            Err(why) => {
                self.leave(at.agent, at.view, &at.tool.id, why.clone());
                self.asked.insert(key, Err(why));
                None
            }
        }
    }

    fn settle(&mut self, asked: &Asked, rules: &[String], at: &At<'_>) -> Option<Counterexample> {
        let kind = if at.way.is_some() { PrincipalKind::IamEntity } else { PrincipalKind::OAuthUser };
        let word = if at.way.is_some() { "signer" } else { "bearer" };
        let role = acted_in(self.snapshot, at.view, at.principal);
        let id = self.pinned(at);
        let everybody = Known {
            kind,
            id: None,
            agent: None,
            role: None,
            space: at.view.space.id.as_str(),
            account: at.view.space.account.as_str(),
            risk: at.tool.risk.as_str(),
            risk_level: risk_level(at.tool),
            class: at.tool.class.as_str(),
            categories: &at.tool.categories,
            from_ms: self.now_secs.saturating_mul(1000),
            schema: &asked.schema,
        };
        let prove = |known: &Known<'_>| match asked.set.question(&asked.meant, known) {
            Ok(question) => (self.prover)(&question),
            Err(why) => Reply::Unknown(why),
        };
        let told = asked.everybody.borrow().get(word).cloned();
        let general = told.unwrap_or_else(|| {
            let reply = prove(&everybody);
            asked.everybody.borrow_mut().insert(word, reply.clone());
            reply
        });
        if matches!(general, Reply::Nothing) {
            self.proved += 1;
            return None;
        }
        if let Some(found) = self.search(asked, at) {
            return Some(found);
        }
        let reply = match general {
            Reply::Unknown(why) => Reply::Unknown(why),
            _ => prove(&Known { agent: Some(at.agent.as_str()), role: Some(role.as_deref()), id: id.as_deref(), ..everybody }),
        };
        match reply {
            Reply::Nothing => {
                self.proved += 1;
                None
            }
            Reply::Unknown(why) => {
                let why = format!("{}; {why}", decides(rules));
                self.leave(at.agent, at.view, &at.tool.id, why);
                None
            }
            Reply::Request(_) if self.trials.get() == 0 => {
                let why =
                    "symbolic analysis supposes a call that was not decided: too many others were tried before it".to_owned();
                self.leave(at.agent, at.view, &at.tool.id, why);
                None
            }
            Reply::Request(request) => match asked.set.supposed(&asked.meant, &request) {
                Ok(supposed) => self.confirm(asked, at, supposed),
                Err(why) => {
                    let why = format!("symbolic analysis supposes a call that could not be read: {why}");
                    self.leave(at.agent, at.view, &at.tool.id, why);
                    None
                }
            },
        }
    }

    /// The principal's name in policies, where the configuration leaves no other.
    fn pinned(&self, at: &At<'_>) -> Option<String> {
        let (role, name) = at.way.as_ref()?;
        let credentials = self.snapshot.organization.agents.get(at.agent).map(|agent| agent.credentials.as_slice())?;
        let pinned = credentials.iter().any(|credential| match credential {
            AgentCredential::Role { role: of, session_name: Some(pinned) } => of == role && pinned == name,
            _ => false,
        });
        let open = credentials.iter().any(|credential| match credential {
            AgentCredential::Role { role: of, session_name: None } => of == role,
            _ => false,
        });
        (pinned && !open).then(|| PolicyCaller::of(&self.snapshot.organization, at.principal).id)
    }

    /// Plain values near those that rules and condition name.
    fn search(&self, asked: &Asked, at: &At<'_>) -> Option<Counterexample> {
        let read = |place: &Place| place.path.last().is_some_and(|name| asked.literals.attributes.contains(name));
        let places: Vec<Place> = example::places(&asked.schema, &asked.literals).into_iter().filter(read).collect();
        let options: Vec<usize> = places.iter().map(|place| place.values.len() + usize::from(place.optional)).collect();
        let plain = example::plain(&asked.schema);
        let mut number = vec![0_usize; places.len()];
        for _ in 0..COMBINATIONS_MAX {
            if !self.spend() {
                return None;
            }
            let mut input = plain.clone();
            for (place, at) in places.iter().zip(&number) {
                // What may be left out is left out first.
                let at = if place.optional { at.checked_sub(1) } else { Some(*at) };
                match at {
                    None => remove(&mut input, &place.path),
                    Some(at) => place.values.get(at).into_iter().for_each(|value| put(&mut input, &place.path, value.clone())),
                }
            }
            let tried = Tried { input, ..Tried::default() };
            if self.meets(asked, at, &tried) {
                let came = self.attempt(asked, at, &tried);
                if came.allowed() {
                    return Some(self.told(at, &tried, &came));
                }
                if came.near().is_some()
                    && let Some(found) = self.otherwise(asked, at, &tried)
                {
                    return Some(found);
                }
            }
            let turned = number.iter_mut().zip(&options).find_map(|(digit, most)| {
                *digit += 1;
                if *digit < *most {
                    return Some(());
                }
                *digit = 0;
                None
            });
            turned?;
        }
        None
    }

    /// Counts a call that is tried; `false` if there were too many.
    fn spend(&self) -> bool {
        let left = self.trials.get().checked_sub(1);
        self.trials.set(left.unwrap_or_default());
        left.is_some()
    }

    /// The same call from elsewhere, over TLS, for a user.
    fn otherwise(&self, asked: &Asked, at: &At<'_>, tried: &Tried) -> Option<Counterexample> {
        for user in [tried.user.clone(), Some("somebody".to_owned())] {
            for secure_transport in [false, true] {
                for ip in [tried.source_ip, Some(Ipv4Addr::new(198, 51, 100, 7).into()), Some(Ipv4Addr::new(10, 0, 0, 1).into())]
                {
                    let tried = Tried { user: user.clone(), secure_transport, source_ip: ip, ..tried.clone() };
                    let came = self.attempt(asked, at, &tried);
                    if came.allowed() {
                        return Some(self.told(at, &tried, &came));
                    }
                }
            }
        }
        None
    }

    /// Decides what symbolic analysis supposes, and makes it as plain as it can be.
    fn confirm(&mut self, asked: &Asked, at: &At<'_>, supposed: Supposed) -> Option<Counterexample> {
        let mut claims = supposed.claims;
        if at.way.is_none() && asked.literals.texts.contains(&supposed.id) {
            claims.insert("sub".to_owned(), supposed.id);
        }
        let own = Tried {
            input: supposed.input,
            claims,
            user: supposed.user,
            source_identity: supposed.source_identity,
            source_ip: supposed.source_ip,
            secure_transport: false,
            session_id: supposed.session_id,
            origin: supposed.origin,
            at_secs: None,
            bindings: None,
        };
        let later = supposed.now_ms.map(|now_ms| now_ms.div_ceil(1000)).filter(|secs| *secs > self.now_secs);
        let after = (!supposed.bindings.is_empty()).then_some(supposed.bindings);
        let near = |tried: &Tried| self.attempt(asked, at, tried).near().is_some();
        let mut ways = [(later, None), (None, after.clone()), (later, after)].into_iter();
        let mut tried = own.clone();
        while !near(&tried) {
            let Some((at_secs, bindings)) = ways.next() else {
                let why = format!(
                    "symbolic analysis supposes a call that is denied when it is decided ({}): it could not be confirmed",
                    self.denial(&self.attempt(asked, at, &own).decision)
                );
                self.leave(at.agent, at.view, &at.tool.id, why);
                return None;
            };
            tried = Tried { at_secs, bindings, ..own.clone() };
        }
        let tried = self.plainer(asked, at, tried);
        let came = self.attempt(asked, at, &tried);
        if tried.bindings.is_some() {
            let rules: Vec<String> = asked.set.looking_back(&at.tool.id).iter().map(|rule| format!("`{rule}`")).collect();
            let why = format!(
                "it depends on what came before: with the arguments {} it is {}, once what came before is as {} ask for",
                shown(&tried.input),
                if came.allowed() {
                    "allowed".to_owned()
                } else {
                    format!("denied otherwise only ({})", self.denial(&came.decision))
                },
                rules.join(", ")
            );
            self.leave(at.agent, at.view, &at.tool.id, why);
            return None;
        }
        if came.allowed() {
            return Some(self.told(at, &tried, &came));
        }
        if let Some(found) = self.otherwise(asked, at, &tried) {
            return Some(found);
        }
        let why = if at.tool.pin == PinState::Intact {
            format!(
                "the policy set lets the arguments {} through, and it could not be confirmed that everything else does: {}",
                shown(&tried.input),
                self.denial(&came.decision)
            )
        } else {
            "the tool is in quarantine, and could be called once it is accepted".to_owned()
        };
        self.leave(at.agent, at.view, &at.tool.id, why);
        None
    }

    /// The same call with plainer values, as long as it is meant and no other layer turns against it.
    fn plainer(&self, asked: &Asked, at: &At<'_>, mut tried: Tried) -> Tried {
        let Some(mut against) = self.attempt(asked, at, &tried).near() else { return tried };
        let mut keep = |tried: &mut Tried, next: Tried| {
            if !self.spend() {
                return None;
            }
            let kept = self.attempt(asked, at, &next).near().filter(|now| *now <= against);
            if let Some(now) = kept {
                against = now;
                *tried = next;
            }
            kept
        };
        for next in [
            Tried { user: None, ..tried.clone() },
            Tried { source_identity: None, ..tried.clone() },
            Tried { source_ip: None, ..tried.clone() },
            Tried { session_id: String::new(), ..tried.clone() },
            Tried { origin: CallOrigin::default(), ..tried.clone() },
        ] {
            // Each is taken up by itself: what was dropped before stays dropped.
            let next = Tried {
                user: next.user.filter(|_| tried.user.is_some()),
                source_identity: next.source_identity.filter(|_| tried.source_identity.is_some()),
                source_ip: next.source_ip.filter(|_| tried.source_ip.is_some()),
                origin: if tried.origin == CallOrigin::default() { CallOrigin::default() } else { next.origin },
                session_id: if tried.session_id.is_empty() { String::new() } else { next.session_id },
                ..tried.clone()
            };
            keep(&mut tried, next);
        }
        for name in tried.claims.clone().into_keys() {
            let mut next = tried.clone();
            next.claims.remove(&name);
            if keep(&mut tried, next).is_none() {
                for text in asked.literals.texts.iter().filter(|text| !text.is_empty()) {
                    let mut next = tried.clone();
                    next.claims.insert(name.clone(), text.clone());
                    if keep(&mut tried, next).is_some() {
                        break;
                    }
                }
            }
        }
        for place in example::places(&asked.schema, &asked.literals) {
            if place.path.split_last().is_some_and(|(_, parent)| !stands(&tried.input, parent)) {
                continue;
            }
            let mut next = tried.clone();
            remove(&mut next.input, &place.path);
            if place.optional && keep(&mut tried, next).is_some() {
                continue;
            }
            // The plainest value is kept, unless another one leaves less against the call.
            let before = tried.clone();
            let mut least = None;
            for value in &place.values {
                let mut next = before.clone();
                put(&mut next.input, &place.path, value.clone());
                if !self.spend() {
                    return tried;
                }
                let fewer = |now: usize| least.is_none_or(|least| now < least);
                let now = self.attempt(asked, at, &next).near();
                if now.is_some_and(fewer) && keep(&mut tried, next).is_some() {
                    least = now;
                }
                if least == Some(0) {
                    break;
                }
            }
        }
        tried
    }

    fn meets(&self, asked: &Asked, at: &At<'_>, tried: &Tried) -> bool {
        let (facts, principal) = facts(at, tried);
        let now_ms = tried.at_secs.unwrap_or(self.now_secs).saturating_mul(1000);
        let approved = at.view.holds.may_hold(at.tool.exposed.as_str());
        asking(self.snapshot, at.view, &facts, &principal, at.tool, &tried.input, (approved, None), now_ms, |ask| {
            asked.set.meets(&asked.meant, ask).unwrap_or_default()
        })
    }

    /// Decides a call.
    fn attempt(&self, asked: &Asked, at: &At<'_>, tried: &Tried) -> Came {
        let (mut supposed, principal) = facts(at, tried);
        supposed.provenance = Fact::Known(Some(Arc::new(tried.origin.clone())));
        let now_secs = tried.at_secs.unwrap_or(self.now_secs);
        supposed.policy_session.bindings = match &tried.bindings {
            Some(bindings) => Fact::Known(Some(Arc::new(bindings.clone()))),
            None => self.first(asked, at, tried, &principal, now_secs),
        };
        let text = tried.input.to_string();
        let arguments = Arguments::scan(&text);
        let target = Target::Tool { name: at.tool.exposed.as_str(), arguments: arguments.as_ref().ok().copied() };
        let call = Call { space: at.view.space.id.as_str(), target, risk_requested: None, explain: true };
        let decision = decide(self.snapshot, &supposed, &call, now_secs);
        let without_approval = self.invariant.without_approval;
        Came { met: arguments.is_ok() && self.meets(asked, at, tried), decision, without_approval }
    }

    /// What temporal conditions come to for a call before which there was none.
    fn first(
        &self,
        asked: &Asked,
        at: &At<'_>,
        tried: &Tried,
        principal: &Principal,
        now_secs: u64,
    ) -> Fact<Option<Arc<Bindings>>> {
        let set = &asked.set;
        if !set.needs_history(&at.tool.id) {
            return Fact::Known(None);
        }
        let caller = PolicyCaller::of(&self.snapshot.organization, principal);
        let input = set.visible_input(&at.tool.id, &tried.input);
        let told = History::new(Arc::clone(set)).request(&HistoryEvent {
            kind: EventKind::Request,
            who: caller.who(),
            scopes: caller.scopes(&tried.session_id),
            tool: &at.tool.id,
            input: &input,
            output: None,
            request_id: "first",
            now_ms: now_secs.saturating_mul(1000),
        });
        match told {
            Ok(bindings) => Fact::Known(Some(Arc::new(bindings))),
            Err(error) => Fact::Unknown(error.to_string()),
        }
    }

    fn denial(&self, decision: &Decision) -> String {
        match &decision.verdict {
            Verdict::Deny(denial) => denial.statement.clone(),
            Verdict::Hold(request) => request.statement.clone(),
            Verdict::Allow(_) => format!("version {} allows it", self.snapshot.version),
        }
    }

    fn told(&self, at: &At<'_>, tried: &Tried, came: &Came) -> Counterexample {
        let mut supposing = Vec::new();
        if let Some(ip) = tried.source_ip {
            supposing.push(format!("it comes from {ip}"));
        }
        if tried.secure_transport {
            supposing.push("it comes over TLS".to_owned());
        }
        if let Some(user) = &tried.user {
            supposing.push(format!("it is made for a user `{user}`"));
        }
        if let Some(identity) = tried.source_identity.as_ref().filter(|identity| Some(*identity) != tried.user.as_ref()) {
            supposing.push(format!("its source identity is `{identity}`"));
        }
        if !tried.session_id.is_empty() {
            supposing.push(format!("its policy session is `{}`", tried.session_id));
        }
        if let Some(secs) = tried.at_secs {
            supposing.push(format!("it is made at {}", datetime(secs.saturating_mul(1000))));
        }
        let found = self.counterexample(at.view, at.agent, at.way, at.tool, supposing, &came.decision);
        Counterexample { arguments: Some(tried.input.clone()), claims: tried.claims.clone(), ..found }
    }
}

/// What decides where nothing else denies, in words.
fn decides(rules: &[String]) -> String {
    if rules.is_empty() {
        return "nothing that is the same for every call denies it".to_owned();
    }
    let rules: Vec<String> = rules.iter().map(|rule| format!("`{rule}`")).collect();
    let rules = rules.join(", ");
    format!(
        "every other layer lets it through, and the space's policy set decides by arguments, claims, time or history: {rules}"
    )
}

/// The facts of a call that is tried.
fn facts(at: &At<'_>, tried: &Tried) -> (Facts, Arc<Principal>) {
    let mut facts = at.base.clone();
    let mut principal = Principal::clone(at.principal);
    principal.user.clone_from(&tried.user);
    match &at.principal.session {
        None => principal.claims = Arc::new(tried.claims.clone()),
        Some(session) => {
            let tag = |(key, value): (&String, &String)| Tag { key: key.clone(), value: value.clone(), transitive: false };
            principal.session = Some(Arc::new(Session {
                tags: tried.claims.iter().map(tag).collect(),
                source_identity: tried.source_identity.clone().or_else(|| tried.user.clone()),
                user: tried.user.clone(),
                ..Session::clone(session)
            }));
        }
    }
    let source_ip = tried.source_ip.map_or_else(|| at.base.origin.source_ip.clone(), Fact::Known);
    facts.origin = Origin { source_ip, secure_transport: tried.secure_transport };
    facts.policy_session.id = tried.session_id.as_str().into();
    let principal = Arc::new(principal);
    facts.identity = Fact::Known(Identity::Authenticated(Arc::clone(&principal)));
    (facts, principal)
}

/// The condition read against a tool, or why it can't be.
fn ask(condition: &str, at: &At<'_>) -> Result<Asked, String> {
    // What policies see of one would be taken for what they see of the other.
    if at.view.tools_listed.iter().filter(|tool| tool.id == at.tool.id).count() > 1 {
        return Err(format!("two tools of the space are `{}` to policies: give one of them an `expose_as`", at.tool.id));
    }
    let set = if let Some(set) = &at.view.policy_set {
        Arc::clone(set)
    } else {
        // Nothing judges arguments here; what they are is the tool's own word.
        let none = Source::read(Mode::LogOnly, Vec::new()).unwrap_or_else(|_| Source::unreadable());
        let (id, server) = (&*at.tool.id, at.tool.server.name.as_str());
        let tool = Tool { id, server, definition: &at.tool.definition };
        Arc::new(PolicySet::compile(&Arc::new(none), &[tool], &at.view.arn))
    };
    let meant = set.meant(&at.tool.id, condition).map_err(|faults| {
        let told: Vec<String> = faults
            .into_iter()
            .map(|fault| fault.mend.map_or_else(|| fault.what.clone(), |mend| format!("{} ({mend})", fault.what)))
            .collect();
        format!("the condition doesn't fit the tool: {}", told.join("; "))
    })?;
    let literals = set.literals(&meant);
    let definition: Value = serde_json::from_str(&at.tool.definition).unwrap_or_default();
    let schema = definition.get("inputSchema").cloned().unwrap_or_default();
    Ok(Asked { set, meant, literals, schema, everybody: RefCell::default() })
}

fn shown(input: &Value) -> String {
    let text = input.to_string();
    if text.len() > TOLD_BYTES_MAX { format!("(of {} bytes)", text.len()) } else { text }
}

/// Whether there is an object where a path leads.
fn stands(input: &Value, path: &[String]) -> bool {
    path.iter().try_fold(input, |at, name| at.get(name)).is_some_and(Value::is_object)
}

fn remove(input: &mut Value, path: &[String]) {
    let Some((last, before)) = path.split_last() else { return };
    let mut at = input;
    for name in before {
        let Some(next) = at.get_mut(name) else { return };
        at = next;
    }
    if let Some(map) = at.as_object_mut() {
        map.remove(last);
    }
}
