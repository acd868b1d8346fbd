//! The space's policy set: what it is asked, and what its word means for a call.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use remit_cedar::{
    Answer, Ask, Claims, ContextFacts, Effect as SetEffect, EventKind, Judgement, Mode, PolicySet, PrincipalKind, Rule,
    RuleEffect, Scopes, Who,
};
use remit_model::{Organization, TrustTier};
use serde_json::Value;

use crate::facts::{Arguments, Call, Fact, Facts, Identity, Principal, SessionOf, Target};
use crate::guardrail::Guarded;
use crate::snapshot::{Snapshot, SpaceView, ToolView};
use crate::verdict::{AppliedPolicy, Denial, Effect, Layer, Reason, Statement};

/// The longest statement that names rules, in bytes.
const STATEMENT_BYTES_MAX: usize = 500;

/// The largest arguments or result that a history holds, in bytes of JSON.
pub const HISTORY_VALUE_BYTES_MAX: usize = 64 * 1024;

/// What an outcome, by the journal's word, is to a history: `None` leaves the call in flight, because nobody knows whether it was done.
pub fn outcome_kind(outcome: &str) -> Option<EventKind> {
    match outcome {
        // What was withheld was done.
        "ok" | "answered" | "withheld" => Some(EventKind::Response),
        "tool_error" | "error" | "input_required" | "egress_refused" | "busy" | "credential" => Some(EventKind::Error),
        _ => None,
    }
}

/// A caller as policies and histories see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyCaller {
    /// Whether it showed a token or signed.
    pub kind: PrincipalKind,
    /// The token's subject, or the session's ARN.
    pub id: String,
    /// The token's claims, or the session's tags.
    pub claims: Arc<Claims>,
    /// A name for the agent with the user for whom it acts and, of signers, the role or user that signs, in whatever session.
    pub principal: String,
    /// The agent.
    pub agent: String,
}

impl PolicyCaller {
    /// What a principal is to policies.
    pub fn of(organization: &Organization, principal: &Principal) -> Self {
        let user = principal.user.as_deref().unwrap_or_default();
        let agent = principal.agent.as_str().to_owned();
        let Some(session) = &principal.session else {
            let Who { kind, id, .. } = bearer(principal);
            let name = format!("t{}:{agent}{user}", agent.len());
            return Self { kind, id: id.to_owned(), claims: Arc::clone(&principal.claims), principal: name, agent };
        };
        let partition = &organization.partition;
        let id = match &session.who {
            SessionOf::Role(role) => format!("arn:{partition}:sts::{}:assumed-role/{}/{}", role.account, role.name, session.name),
            SessionOf::User(user) => format!("arn:{partition}:iam::{}:user/{}", user.account, user.name),
        };
        let tags: Claims = session.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
        // The caller names the session of a role: it is no part of who the principal is.
        let who = match &session.who {
            SessionOf::Role(role) => role.to_string(),
            // A user may bear a role's name, and is not that role.
            SessionOf::User(user) => format!("user/{}/{}", user.account, user.name),
        };
        let name = format!("s{}:{agent}{}:{user}{who}", agent.len(), user.len());
        Self { kind: PrincipalKind::IamEntity, id, claims: Arc::new(tags), principal: name, agent }
    }

    /// As policies name it.
    pub fn who(&self) -> Who<'_> {
        Who { kind: self.kind, id: &self.id, claims: &self.claims }
    }

    /// The histories that it is part of.
    pub fn scopes<'a>(&'a self, session: &'a str) -> Scopes<'a> {
        Scopes { session, principal: &self.principal, agent: &self.agent }
    }
}

/// Whoever shows a token, as policies name it.
fn bearer(principal: &Principal) -> Who<'_> {
    let subject = principal.claims.get("sub").or(principal.user.as_ref());
    let id = subject.map_or(principal.agent.as_str(), String::as_str);
    Who { kind: PrincipalKind::OAuthUser, id, claims: &principal.claims }
}

/// Why the policy set keeps a result from the caller, and where the statement stands that does; `None` if it may go. `structured` is its
/// structured content. A rule that reads a result that isn't there can't be evaluated: the result is withheld.
pub fn withheld(
    snapshot: &Snapshot,
    facts: &Facts,
    call: &Call<'_>,
    structured: Option<&Value>,
    now_secs: u64,
) -> Option<(Denial, Option<Arc<str>>)> {
    let Target::Tool { name, arguments } = call.target else { return None };
    let space = snapshot.spaces.get(call.space)?;
    let (set, tool) = (space.policy_set.as_ref()?, space.tools.get(name)?);
    if !set.reads_output(&tool.id) || set.mode() == Mode::LogOnly {
        return None;
    }
    let refuse = |reason: Reason, statement: String| Denial { reason, layer: Layer::PolicySet, statement };
    let Fact::Known(Identity::Authenticated(principal)) = &facts.identity else {
        return Some((refuse(Reason::CouldNotDecide, "nobody is identified".to_owned()), None));
    };
    let (Some(output), Some(_)) = (structured, arguments) else {
        let why = "a policy reads the tool's result, and there is none that it could see".to_owned();
        return Some((refuse(Reason::CouldNotDecide, why), None));
    };
    let now_ms = now_secs.saturating_mul(1000);
    let told = &mut Told::default();
    // What went upstream with an approval still has it.
    let approved = matches!(&facts.approvals, Fact::Known(approvals) if !approvals.is_empty());
    let given = &Input::of(call.target);
    let said = judge(set, snapshot, space, facts, principal, tool, given, Some(output), (approved, None), now_ms, told);
    (!said.effect.agrees()).then(|| (refuse(said.reason, said.statement.as_str().to_owned()), said.origin))
}

/// The arguments of a call, read when the first layer looks into them.
pub(crate) struct Input<'a> {
    /// As they came; `None`: the tool in general is asked about.
    pub(crate) arguments: Option<Arguments<'a>>,
    value: OnceCell<Option<Value>>,
}

impl<'a> Input<'a> {
    pub(crate) fn of(target: Target<'a>) -> Self {
        let arguments = if let Target::Tool { arguments, .. } = target { arguments } else { None };
        Self { arguments, value: OnceCell::new() }
    }

    /// Their value, if there are any and their numbers can be held.
    pub(crate) fn value(&self) -> Option<&Value> {
        self.value.get_or_init(|| serde_json::from_str(self.arguments?.as_str()).ok()).as_ref()
    }
}

/// What the set says of a call, in the kernel's words.
pub(crate) struct Said {
    pub(crate) effect: Effect,
    pub(crate) reason: Reason,
    pub(crate) statement: Statement,
    pub(crate) origin: Option<Arc<str>>,
}

/// What a set tells besides its word.
#[derive(Default)]
pub(crate) struct Told {
    /// Whether the policies that applied are asked for.
    pub(crate) explain: bool,
    /// What would have been otherwise, if everything that is only logged were enforced.
    pub(crate) flip: Option<String>,
    /// The policies that applied.
    pub(crate) applied: Vec<AppliedPolicy>,
}

/// Judges a call. Without arguments: whether any could be allowed.
#[allow(clippy::too_many_arguments, reason = "everything that a call is")]
pub(crate) fn judge(
    set: &PolicySet,
    snapshot: &Snapshot,
    space: &SpaceView,
    facts: &Facts,
    principal: &Principal,
    tool: &ToolView,
    given: &Input<'_>,
    output: Option<&Value>,
    (approved, guarded): (bool, Option<&Guarded>),
    now_ms: u64,
    told: &mut Told,
) -> Said {
    let undecided = |why: String| {
        let statement: Statement = if set.mode() == Mode::LogOnly { format!("LOG_ONLY: {why}") } else { why }.into();
        let effect = if set.mode() == Mode::LogOnly { Effect::NoImpact } else { Effect::ImplicitDeny };
        Said { effect, reason: Reason::CouldNotDecide, statement, origin: None }
    };
    let is_call = given.arguments.is_some();
    let input = match given.value() {
        None if is_call => return undecided("the arguments hold a number that policies can't see".to_owned()),
        value => value.unwrap_or(&Value::Null),
    };
    let bindings = match &facts.policy_session.bindings {
        Fact::Known(bindings) => bindings.as_deref(),
        // What could not be put into the history would be missing there for whatever comes after.
        Fact::Unknown(why) if is_call && (set.needs_history(&tool.id) || set.watches(&tool.id)) => {
            return undecided(why.clone());
        }
        Fact::Unknown(_) => None,
    };
    // What a session has touched isn't guessed: a rule that reads it would forbid what it should, or permit what it shouldn't.
    if let (Fact::Unknown(why), true) = (&facts.provenance, is_call && set.reads_origin()) {
        return undecided(why.clone());
    }
    asking(snapshot, space, facts, principal, tool, input, (approved, guarded), now_ms, |ask| {
        let ask = Ask { output, bindings, ..*ask };
        if is_call {
            let answer = set.decide(&ask);
            if told.explain {
                told.applied = applied(set, &answer);
            }
            told.flip = flip(set, &answer);
            return said(set, &answer);
        }
        let (effect, statement) = if set.possible(&ask) {
            (Effect::NoImpact, "no arguments to judge")
        } else {
            (Effect::ImplicitDeny, "no arguments could be allowed")
        };
        Said { effect, reason: Reason::PolicySet, statement: statement.into(), origin: None }
    })
}

/// The ARN of the role that is acted in.
pub(crate) fn acted_in<'a>(snapshot: &'a Snapshot, space: &SpaceView, principal: &Principal) -> Option<Cow<'a, str>> {
    let role = principal.role(space.space.role.as_ref())?;
    Some(snapshot.tree.role_arn(role).map_or_else(|| role.to_string().into(), Cow::Borrowed))
}

/// A tool's risk as policies see it, as a number: 1 is the lowest.
pub(crate) fn risk_level(tool: &ToolView) -> i64 {
    i64::from(tool.risk as u8) + 1
}

/// The agent's tier for a tool, where it has one.
pub(crate) fn tier(organization: &Organization, facts: &Facts, tool: &ToolView) -> Option<TrustTier> {
    match (&organization.trust, &facts.trust) {
        (Some(rules), Fact::Known(tiers)) => Some(tiers.lowest(rules, &tool.categories).0),
        _ => None,
    }
}

/// A call as policies see it, before its result and without a history.
#[allow(clippy::too_many_arguments, reason = "everything that a call is")]
pub(crate) fn asking<T>(
    snapshot: &Snapshot,
    space: &SpaceView,
    facts: &Facts,
    principal: &Principal,
    tool: &ToolView,
    input: &Value,
    (approved, guarded): (bool, Option<&Guarded>),
    now_ms: u64,
    then: impl FnOnce(&Ask<'_>) -> T,
) -> T {
    let found = guarded.map(Guarded::names).unwrap_or_default();
    let organization = &snapshot.organization;
    let signer = principal.session.as_ref().map(|_| PolicyCaller::of(organization, principal));
    let role = acted_in(snapshot, space, principal);
    then(&Ask {
        who: signer.as_ref().map_or_else(|| bearer(principal), PolicyCaller::who),
        tool: &tool.id,
        input,
        output: None,
        facts: ContextFacts {
            agent: principal.agent.as_str(),
            user: principal.user.as_deref(),
            space: space.space.id.as_str(),
            account: space.space.account.as_str(),
            role: role.as_deref(),
            source_identity: principal.session.as_ref().and_then(|session| session.source_identity.as_deref()),
            session_id: &facts.policy_session.id,
            source_ip: facts.source_ip(),
            risk: tool.risk.as_str(),
            risk_level: risk_level(tool),
            class: tool.class.as_str(),
            categories: &tool.categories,
            trust: tier(organization, facts, tool).map(|tier| (tier.as_str(), tier.level())),
            approved,
            prompt_attack_percent: guarded.map_or(0, |guarded| i64::from(guarded.attack_percent())),
            guardrail_findings: &found,
            origin: facts.known_origin(),
        },
        now_ms,
        bindings: None,
    })
}

fn flip(set: &PolicySet, answer: &Answer) -> Option<String> {
    answer.flips().then(|| {
        let all = answer.shadow.as_ref().unwrap_or(&answer.enforced);
        clip(format!("{}: {}", word(all.effect), text(set, all)))
    })
}

/// The policies on which the set's word rests, and those that are only logged on which it would rest.
fn applied(set: &PolicySet, answer: &Answer) -> Vec<AppliedPolicy> {
    let rules = |numbers: &[usize]| -> Vec<&Rule> { numbers.iter().filter_map(|number| set.rules().get(*number)).collect() };
    let enforced = rules(&answer.enforced.rules);
    let logged = answer.shadow.iter().flat_map(|all| rules(&all.rules)).filter(|rule| rule.mode == Mode::LogOnly);
    enforced
        .iter()
        .copied()
        .chain(logged)
        .map(|rule| AppliedPolicy {
            id: rule.id.clone(),
            origin: rule.origin.clone(),
            effect: rule.effect,
            is_enforced: answer.mode == Mode::Active && rule.mode == Mode::Active,
        })
        .collect()
}

fn said(set: &PolicySet, answer: &Answer) -> Said {
    let (mut effect, reason) = match answer.enforced.effect {
        SetEffect::Allow => (Effect::Allow, Reason::PolicySet),
        SetEffect::ImplicitDeny => (Effect::ImplicitDeny, Reason::PolicySet),
        SetEffect::ExplicitDeny => (Effect::ExplicitDeny, Reason::PolicySet),
        SetEffect::Undecided => (Effect::ImplicitDeny, Reason::CouldNotDecide),
    };
    let mut statement = text(set, &answer.enforced);
    if answer.mode == Mode::LogOnly {
        statement = format!("LOG_ONLY: {}: {statement}", word(answer.enforced.effect));
        effect = Effect::NoImpact;
    }
    let first = answer.enforced.rules.first().and_then(|rule| set.rules().get(*rule));
    Said { effect, reason, statement: clip(statement).into(), origin: first.map(|rule| rule.origin.as_str().into()) }
}

fn word(effect: SetEffect) -> &'static str {
    match effect {
        SetEffect::Allow => "ALLOW",
        SetEffect::ImplicitDeny | SetEffect::Undecided => "IMPLICIT_DENY",
        SetEffect::ExplicitDeny => "EXPLICIT_DENY",
    }
}

/// The rules that a judgement rests on; never a value.
fn text(set: &PolicySet, judgement: &Judgement) -> String {
    if let Some(why) = &judgement.why {
        return why.clone();
    }
    let named = |rule: &usize| {
        let rule = set.rules().get(*rule)?;
        let verb = if rule.effect == RuleEffect::Permit { "permits" } else { "forbids" };
        Some(format!("policy `{}` {verb}", rule.id))
    };
    let rules: Vec<String> = judgement.rules.iter().filter_map(named).collect();
    if rules.is_empty() { "no policy permits".to_owned() } else { rules.join(", ") }
}

fn clip(mut text: String) -> String {
    if text.len() > STATEMENT_BYTES_MAX {
        let mut end = STATEMENT_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use remit_identity::sts::Tag;
    use remit_model::{AccountId, AgentId, RoleKey, RoleName, UserKey, UserName};

    use super::*;
    use crate::facts::Session;

    fn signer(who: SessionOf, agent: &str, user: Option<&str>, name: &str) -> PolicyCaller {
        let session = Session {
            id: format!("key-{name}"),
            who,
            name: name.to_owned(),
            issued_at_secs: 0,
            expires_at_secs: 1,
            chained: false,
            tags: vec![Tag { key: "team".to_owned(), value: "blue".to_owned(), transitive: false }],
            source_identity: None,
            policies: Vec::new(),
            policy_documents: Vec::new(),
            user: user.map(str::to_owned),
            via: Vec::new(),
        };
        let principal = Principal {
            agent: AgentId::new(agent).unwrap(),
            user: user.map(str::to_owned),
            credential_id: session.id.clone(),
            audiences: Vec::new(),
            expires_at_secs: 1,
            class_max: None,
            issued_at_secs: 0,
            session: Some(Arc::new(session)),
            claims: Arc::default(),
        };
        PolicyCaller::of(&Organization { partition: "aws".to_owned(), ..Organization::default() }, &principal)
    }

    #[test]
    fn a_signer_is_one_principal_in_whatever_session_and_no_other_is_named_alike() {
        let account = |id: &str| AccountId::new(id).unwrap();
        let role = |of: &str, name: &str| SessionOf::Role(RoleKey { account: account(of), name: RoleName::new(name).unwrap() });
        let user = |of: &str, name: &str| SessionOf::User(UserKey { account: account(of), name: UserName::new(name).unwrap() });
        let (one, two) = ("111122223333", "222233334444");
        let first = signer(role(one, "clerk"), "agent-1", None, "monday");
        assert_eq!(first.id, "arn:aws:sts::111122223333:assumed-role/clerk/monday");
        assert_eq!((first.kind, first.claims.get("team").map(String::as_str)), (PrincipalKind::IamEntity, Some("blue")));
        // Whoever signs names the session: a limit per principal must not begin anew with a new name.
        let again = signer(role(one, "clerk"), "agent-1", None, "tuesday");
        assert_eq!(first.principal, again.principal);
        assert_ne!(first.id, again.id);
        let others = [
            signer(role(one, "boss"), "agent-1", None, "monday"),
            signer(role(two, "clerk"), "agent-1", None, "monday"),
            signer(user(one, "clerk"), "agent-1", None, "clerk"),
            signer(role(one, "clerk"), "agent-2", None, "monday"),
            signer(role(one, "clerk"), "agent-1", Some("ann"), "monday"),
            signer(role(one, "clerk"), "agent-1", Some("an"), "monday"),
        ];
        let mut names: Vec<&str> =
            others.iter().map(|other| other.principal.as_str()).chain([first.principal.as_str()]).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), others.len() + 1, "{names:?}");
        assert_eq!(others.last().unwrap().scopes("s").agent, "agent-1");
    }
}
