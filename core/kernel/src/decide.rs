//! The layers, in order. All must agree; the first that doesn't gives the reason.

use std::sync::Arc;

use remit_model::{Agent, Risk, TOOL_SEPARATOR};

use crate::budget;
use crate::catalogue::PinState;
use crate::facts::{Call, Fact, Facts, Identity, Principal, Target};
use crate::guardrail::Guarded;
use crate::policy::{self, Input};
use crate::role::{self, Called};
use crate::said::{Question, Said};
use crate::snapshot::{ListedView, RowMatch, Snapshot, SpaceView, ToolView};
use crate::tree::{Judged, Near, Open};
use crate::trust::{self, Refused};
use crate::verdict::{ApprovalRequest, Decision, Denial, Dispatch, Effect, Layer, LayerLine, Permit, Reason, Statement, Verdict};

/// Decides one call.
///
/// `now_secs` is the time in seconds since the epoch. With `call.explain` every layer is asked even after one has denied; the
/// verdict is the same.
pub fn decide(snapshot: &Snapshot, facts: &Facts, call: &Call<'_>, now_secs: u64) -> Decision {
    let space = snapshot.spaces.get(call.space).map(Arc::as_ref);
    let subject = space.and_then(|space| Subject::find(space, call.target));
    let risk = subject.as_ref().and_then(|subject| subject.risk(call.risk_requested));
    let given = Input::of(call.target);
    let mut asked = Asked::new(8, call.explain);

    let caller = asked.ask(Layer::Identity, || identity(snapshot, facts, call.space, subject.as_ref(), now_secs));
    let principal = caller.map(Arc::as_ref);
    asked.ask(Layer::Space, || space_layer(snapshot, facts, space, principal, subject.as_ref(), call.target));
    let mut acted_as = None;
    if let (Some(space), Some(caller), Some(subject)) = (space, caller, &subject)
        && asked.goes_on()
    {
        let (judged, actor) = said(snapshot, facts, space, caller, subject, now_secs, call.explain);
        asked.take(judged);
        acted_as = actor;
    }
    asked.ask(Layer::ToolPolicy, || tool_policy(snapshot, facts, principal, subject.as_ref(), risk));
    asked.ask(Layer::ArgumentSchema, || argument_schema(subject.as_ref(), call.target, &given));
    let guarded = space.filter(|_| asked.goes_on()).and_then(|space| guarded(space, facts, subject.as_ref(), call.target, risk));
    let mut held = match (space, principal, &subject) {
        (Some(space), Some(principal), Some(Subject::Tool(tool))) if asked.goes_on() => {
            hold::held(snapshot, facts, space, principal, tool, &given, risk, guarded.as_deref(), now_secs)
        }
        _ => None,
    };
    let mut told = policy::Told { explain: call.explain, ..policy::Told::default() };
    if space.is_some_and(|space| space.policy_set.is_some()) {
        let approved = held.as_ref().is_some_and(hold::Held::asks);
        asked.ask(Layer::PolicySet, || {
            let (subject, guarded) = (subject.as_ref(), guarded.as_deref());
            policy_set(snapshot, facts, space, principal, subject, call.target, &given, approved, guarded, now_secs, &mut told)
        });
    }
    if let Some(guarded) = &guarded {
        asked.ask(Layer::Guardrail, || guardrail(subject.as_ref(), guarded));
    }
    if let Some(held) = &mut held {
        asked.ask(Layer::Approval, || held.judge(snapshot, facts, now_secs));
    }

    let (tool, server) = match &subject {
        Some(Subject::Tool(tool)) => (Some(Arc::clone(tool)), Some(tool.server.clone())),
        Some(Subject::Listed { server, .. }) => (None, Some((*server).clone())),
        None => (None, None),
    };
    let approval = held.as_mut().and_then(|held| held.used.take());
    let verdict = match (asked.denial, subject) {
        // The last layer: all others agreed.
        (Some(Denial { reason: Reason::ApprovalRequired, statement, .. }), _) => match held.map(|held| held.request(statement)) {
            Some(request) => Verdict::Hold(request),
            None => Verdict::Deny(Denial::undecided("a rule asks for a person, and there is none")),
        },
        (Some(denial), _) => Verdict::Deny(denial),
        (None, Some(subject)) => Verdict::Allow(Permit::new(subject.dispatch(guarded.as_deref()))),
        (None, None) => Verdict::Deny(Denial::undecided("every layer agreed and there is nothing to call")),
    };
    let approval = approval.filter(|_| matches!(verdict, Verdict::Allow(_)));
    Decision {
        verdict,
        layers: asked.layers,
        risk,
        tool,
        server,
        acted_as,
        policy_flip: told.flip,
        guarded,
        approval,
        near: asked.near,
        applied: asked.applied,
        applied_policies: told.applied,
    }
}

/// The same for a tool in general, without arguments: what holds every call of it, whatever its arguments are, holds it here too.
pub fn decide_in_general(snapshot: &Snapshot, facts: &Facts, call: &Call<'_>, now_secs: u64) -> Decision {
    let mut decision = decide(snapshot, facts, call, now_secs);
    let (Target::Tool { arguments: None, .. }, true, Some(tool)) = (call.target, decision.allows(), &decision.tool) else {
        return decision;
    };
    let (Some(space), Fact::Known(Identity::Authenticated(principal))) = (snapshot.spaces.get(call.space), &facts.identity)
    else {
        return decision;
    };
    if let Some(hold) = space.holds.certainly(tool.exposed.as_str(), &principal.agent, tool.risk) {
        let statement = format!("rule `{}` asks for a person's approval", hold.asked.id);
        decision.layers.retain(|line| line.layer != Layer::Approval);
        decision.layers.push(LayerLine {
            layer: Layer::Approval,
            effect: Effect::ImplicitDeny,
            statement: statement.clone().into(),
            origin: Some(hold.asked.origin.as_str().into()),
        });
        let principal = policy::PolicyCaller::of(&snapshot.organization, principal).principal;
        let rules = vec![hold.asked.clone()];
        decision.verdict = Verdict::Hold(ApprovalRequest { rules, principal, statement });
    }
    decision
}

/// Decides whether a caller may enter a space at all, for what has no target of its own: opening a session, listing, listening.
pub fn enter<'a>(
    snapshot: &Snapshot,
    facts: &'a Facts,
    space: &str,
    now_secs: u64,
) -> Result<&'a Arc<Principal>, (Denial, Vec<LayerLine>)> {
    let mut asked = Asked::new(2, false);
    let principal = asked.ask(Layer::Identity, || identity(snapshot, facts, space, None, now_secs));
    asked.ask(Layer::Space, || match (snapshot.spaces.get(space), principal) {
        (Some(space), Some(principal)) => entered(space, principal, facts),
        _ => Finding::implicit(Reason::NotInSpace, "no such space"),
    });
    match (asked.denial, principal) {
        (None, Some(principal)) => Ok(principal),
        (Some(denial), _) => Err((denial, asked.layers)),
        (None, None) => {
            let statement = "nobody is identified".to_owned();
            Err((Denial { reason: Reason::CouldNotDecide, layer: Layer::Identity, statement }, asked.layers))
        }
    }
}

/// Whether an agent would be shown this target: every layer that doesn't depend on arguments or on quotas agrees. One piece of
/// code answers for the list and for the call.
pub fn visible(
    snapshot: &Snapshot,
    facts: &Facts,
    space: &SpaceView,
    principal: &Principal,
    target: Target<'_>,
    now_secs: u64,
) -> bool {
    let Some(subject) = Subject::find(space, target) else { return false };
    let risk = subject.risk(None);
    let reached = match (&subject, principal.class_max) {
        (Subject::Tool(tool), Some(max)) => tool.class <= max,
        _ => true,
    };
    let admitted = reached && admitted(space, principal, &subject, facts).effect.agrees();
    let permitted = admitted && tool_policy(snapshot, facts, Some(principal), Some(&subject), risk).effect.agrees();
    let possible = || {
        let told = &mut policy::Told::default();
        let (subject, given) = (Some(&subject), &Input::of(target));
        policy_set(snapshot, facts, Some(space), Some(principal), subject, target, given, false, None, now_secs, told)
            .effect
            .agrees()
    };
    permitted
        && possible()
        && organization(snapshot, facts, space, principal, &subject, now_secs, false, Open::Said)
            .0
            .iter()
            .all(|line| line.effect.agrees())
}

/// Whether a call of a tool could be allowed, whatever its arguments, its caller's address, user, claims and session and the time are, by
/// every layer but the policy set. It errs on the side of yes. A tool in quarantine counts as if it had been accepted.
pub(crate) fn conceivable(
    snapshot: &Snapshot,
    facts: &Facts,
    space: &SpaceView,
    principal: &Principal,
    tool: &Arc<ToolView>,
    now_secs: u64,
) -> bool {
    let subject = Subject::Tool(Arc::clone(tool));
    let known = snapshot.organization.agents.get(&principal.agent).is_some_and(|agent| !agent.suspended);
    let open = Open::Any { signed: principal.session.is_some() };
    known
        && member(space, principal).effect.agrees()
        && tool.class <= space.space.class_max
        && tool_policy(snapshot, facts, Some(principal), Some(&subject), subject.risk(None)).effect.agrees()
        && organization(snapshot, facts, space, principal, &subject, now_secs, false, open)
            .0
            .iter()
            .all(|line| line.effect.agrees())
}

/// What the organization's policies say of a call, from memory if the snapshot remembers.
fn said(
    snapshot: &Snapshot,
    facts: &Facts,
    space: &SpaceView,
    principal: &Arc<Principal>,
    subject: &Subject<'_>,
    now_secs: u64,
    explain: bool,
) -> Said {
    let say = || organization(snapshot, facts, space, principal, subject, now_secs, explain, Open::Said);
    let (Some(memory), Subject::Tool(tool), false) = (snapshot.said.get(), subject, explain) else { return say() };
    match Question::of(snapshot, facts, space, principal, tool) {
        Some(question) => memory.answer(question, (principal, tool), say),
        None => say(),
    }
}

/// What the organization's policies say.
#[allow(clippy::too_many_arguments, reason = "everything that a call is")]
fn organization(
    snapshot: &Snapshot,
    facts: &Facts,
    space: &SpaceView,
    principal: &Principal,
    subject: &Subject<'_>,
    now_secs: u64,
    explain: bool,
    open: Open,
) -> Said {
    let arn;
    let called = match subject {
        Subject::Tool(tool) => Called {
            action: "mcp:CallTool",
            arn: &tool.arn,
            server: &tool.server,
            tool: Some(&tool.name),
            class: Some(tool.class.as_str()),
            // As it is registered: what a caller states may only make the registry's row stricter, never change what policies see.
            risk: Some(tool.risk.as_str()),
            categories: &tool.categories,
        },
        Subject::Listed { server, kind, name, .. } => {
            arn = snapshot.organization.offered_arn(&space.space, server, kind.word(), name);
            let (server, tool, class, risk) = (*server, None, None, None);
            Called { action: kind.action(), arn: &arn, server, tool, class, risk, categories: &[] }
        }
    };
    role::judge(snapshot, facts, space, principal, &called, now_secs, explain, open)
}

/// What one layer found.
struct Finding<'a> {
    effect: Effect,
    statement: Statement,
    origin: Option<Arc<str>>,
    reason: Reason,
    principal: Option<&'a Arc<Principal>>,
}

impl<'a> Finding<'a> {
    fn allow(statement: impl Into<Statement>) -> Self {
        let reason = Reason::CouldNotDecide;
        Self { effect: Effect::Allow, statement: statement.into(), origin: None, reason, principal: None }
    }

    fn no_impact(statement: impl Into<Statement>) -> Self {
        Self { effect: Effect::NoImpact, ..Self::allow(statement) }
    }

    fn implicit(reason: Reason, statement: impl Into<Statement>) -> Self {
        Self { effect: Effect::ImplicitDeny, reason, ..Self::allow(statement) }
    }

    fn explicit(reason: Reason, statement: impl Into<Statement>) -> Self {
        Self { effect: Effect::ExplicitDeny, reason, ..Self::allow(statement) }
    }

    fn origin(mut self, origin: &Arc<str>) -> Self {
        self.origin = Some(Arc::clone(origin));
        self
    }

    fn principal(mut self, principal: &'a Arc<Principal>) -> Self {
        self.principal = Some(principal);
        self
    }
}

/// The layers that were asked so far.
struct Asked {
    layers: Vec<LayerLine>,
    denial: Option<Denial>,
    explain: bool,
    near: Vec<(Layer, Near)>,
    applied: Vec<Arc<remit_iam::Statement>>,
}

impl Asked {
    fn new(layers: usize, explain: bool) -> Self {
        Self { layers: Vec::with_capacity(layers), denial: None, explain, near: Vec::new(), applied: Vec::new() }
    }

    /// Whether another layer is to be asked.
    fn goes_on(&self) -> bool {
        self.denial.is_none() || self.explain
    }

    fn take(&mut self, judged: Vec<Judged>) {
        for Judged { layer, effect, reason, statement, origin, near, applied } in judged {
            self.applied.extend(applied);
            self.near.extend(near.into_iter().map(|near| (layer, near)));
            if !effect.agrees() && self.denial.is_none() {
                self.denial = Some(Denial { reason, layer, statement: statement.as_str().to_owned() });
            }
            self.layers.push(LayerLine { layer, effect, statement, origin });
        }
    }

    fn ask<'a>(&mut self, layer: Layer, answer: impl FnOnce() -> Finding<'a>) -> Option<&'a Arc<Principal>> {
        if !self.goes_on() {
            return None;
        }
        let found = answer();
        if !found.effect.agrees() && self.denial.is_none() {
            self.denial = Some(Denial { reason: found.reason, layer, statement: found.statement.as_str().to_owned() });
        }
        self.layers.push(LayerLine { layer, effect: found.effect, statement: found.statement, origin: found.origin });
        found.principal
    }
}

/// What is asked for, as the space knows it.
enum Subject<'a> {
    Tool(Arc<ToolView>),
    Listed { server: &'a remit_model::ServerKey, kind: ListedKind, id: String, name: String },
}

/// What is listed besides tools.
#[derive(Debug, Clone, Copy)]
enum ListedKind {
    Prompt,
    Resource,
}

impl ListedKind {
    fn word(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Resource => "resource",
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::Prompt => "mcp:GetPrompt",
            Self::Resource => "mcp:ReadResource",
        }
    }
}

impl<'a> Subject<'a> {
    fn find(space: &'a SpaceView, target: Target<'_>) -> Option<Self> {
        match target {
            Target::Tool { name, .. } => space.tools.get(name).map(|tool| Self::Tool(Arc::clone(tool))),
            Target::Prompt(name) => space.prompt(name).map(|prompt: &ListedView| Self::Listed {
                server: &prompt.server,
                kind: ListedKind::Prompt,
                id: prompt.id.clone(),
                name: prompt.name.clone(),
            }),
            // What a server would read as another URI than the one that rows are compared with is no resource.
            Target::Resource(uri) if !remit_mcp::uri::is_plain(uri) => None,
            Target::Resource(uri) => space.resource_server(uri).map(|server| Self::Listed {
                server,
                kind: ListedKind::Resource,
                id: format!("{}{TOOL_SEPARATOR}resources/{uri}", server.name),
                name: uri.to_owned(),
            }),
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::Tool(tool) => &tool.id,
            Self::Listed { id, .. } => id,
        }
    }

    /// The registered risk, never lowered by what the caller says.
    fn risk(&self, requested: Option<Risk>) -> Option<Risk> {
        match self {
            Self::Tool(tool) => Some(requested.map_or(tool.risk, |asked| asked.max(tool.risk))),
            Self::Listed { .. } => None,
        }
    }

    fn dispatch(self, guarded: Option<&Guarded>) -> Dispatch {
        let masked = guarded.and_then(|guarded| guarded.masked.clone());
        match self {
            Self::Tool(tool) => Dispatch { server: tool.server.clone(), name: tool.name.clone(), masked, tool: Some(tool) },
            Self::Listed { server, name, .. } => Dispatch { server: server.clone(), name, masked, tool: None },
        }
    }
}

fn identity<'a>(snapshot: &Snapshot, facts: &'a Facts, space: &str, subject: Option<&Subject<'_>>, now_secs: u64) -> Finding<'a> {
    let principal = match &facts.identity {
        Fact::Unknown(why) => {
            return Finding::implicit(Reason::CouldNotDecide, format!("the caller could not be identified: {why}"));
        }
        Fact::Known(Identity::Rejected(why)) => return Finding::implicit(Reason::Unauthenticated, why.clone()),
        Fact::Known(Identity::Authenticated(principal)) => principal,
    };
    if principal.expires_at_secs <= now_secs {
        return Finding::implicit(Reason::Unauthenticated, "the credential has expired");
    }
    if !principal.audiences.iter().any(|audience| **audience == *facts.audience) {
        return Finding::implicit(Reason::Audience, "the credential is for another space");
    }
    let space = snapshot.spaces.get(space);
    let role = principal.role(space.and_then(|space| space.space.role.as_ref()));
    match &facts.revocations {
        Fact::Unknown(why) => {
            return Finding::implicit(Reason::CouldNotDecide, format!("revocations could not be looked up: {why}"))
                .principal(principal);
        }
        Fact::Known(revocations) => {
            let agent = Some(principal.agent.as_str());
            if let Some(why) = revocations.find(&principal.credential_ids(), agent, role, principal.issued_at_secs) {
                return Finding::explicit(Reason::Revoked, why);
            }
            if let Some(why) = revocations.suspended.caller(principal.agent.as_str(), principal.user.as_deref()) {
                return Finding::explicit(Reason::Suspended, why).principal(principal);
            }
        }
    }
    match snapshot.organization.agents.get(&principal.agent) {
        None => {
            Finding::implicit(Reason::UnknownAgent, format!("no agent `{}` is registered", principal.agent)).principal(principal)
        }
        Some(Agent { suspended: true, .. }) => {
            Finding::explicit(Reason::AgentSuspended, format!("agent `{}` is suspended", principal.agent)).principal(principal)
        }
        Some(_) => match (principal.class_max, subject) {
            (Some(max), Some(Subject::Tool(tool))) if tool.class > max => {
                let statement = format!("the tool is {} and the credential's scopes reach {max}", tool.class);
                Finding::implicit(Reason::InsufficientScope, statement).principal(principal)
            }
            _ => Finding::allow("authenticated").principal(principal),
        },
    }
}

fn member(space: &SpaceView, principal: &Principal) -> Finding<'static> {
    if space.space.agents.contains(&principal.agent) {
        Finding::allow("admitted by the space")
    } else {
        Finding::implicit(Reason::NotInSpace, format!("space `{}` doesn't list agent `{}`", space.space.id, principal.agent))
    }
}

/// Whether the space lists the caller's agent, and isn't stopped.
fn entered(space: &SpaceView, principal: &Principal, facts: &Facts) -> Finding<'static> {
    match facts.suspended().map(|suspended| suspended.space(space.space.id.as_str())) {
        None => Finding::implicit(Reason::CouldNotDecide, "what is suspended could not be looked up"),
        Some(Some(why)) => Finding::explicit(Reason::Suspended, why),
        Some(None) => member(space, principal),
    }
}

/// Everything that the space says apart from quotas: the part that decides what is listed.
fn admitted(space: &SpaceView, principal: &Principal, subject: &Subject<'_>, facts: &Facts) -> Finding<'static> {
    let member = entered(space, principal, facts);
    let (server, name) = match subject {
        Subject::Tool(tool) => (&tool.server, Some(tool.name.as_str())),
        Subject::Listed { server, .. } => (*server, None),
    };
    let stopped = facts.suspended().and_then(|suspended| suspended.offered(server, name));
    if let (true, Some(why)) = (member.effect.agrees(), stopped) {
        return Finding::explicit(Reason::Suspended, why);
    }
    if let (true, Some(why)) = (member.effect.agrees(), space.unserved(server)) {
        return Finding::explicit(Reason::ServerNotApproved, why);
    }
    let (true, Subject::Tool(tool)) = (member.effect.agrees(), subject) else { return member };
    match &tool.pin {
        PinState::Intact => {}
        PinState::New => {
            let why =
                "nobody has accepted the tool: it is new on its server, or more was found in it than is admitted at first sight";
            return Finding::explicit(Reason::ToolQuarantined, why);
        }
        PinState::Gone => return Finding::explicit(Reason::ToolQuarantined, "the server no longer offers the tool"),
        PinState::Drifted { digest, .. } => {
            let statement = format!("the definition drifted from its pin {} to {digest}", tool.digest);
            return Finding::explicit(Reason::ToolQuarantined, statement);
        }
    }
    if tool.class > space.space.class_max {
        let statement = format!("the tool is {} and the space is mandated {}", tool.class, space.space.class_max);
        return Finding::explicit(Reason::ClassExceedsMandate, statement);
    }
    match space.statuses.get(server) {
        Some(status) => Finding::allow(format!("admitted by the space; server `{server}` is {status} in the registry")),
        None => member,
    }
}

fn space_layer(
    snapshot: &Snapshot,
    facts: &Facts,
    space: Option<&SpaceView>,
    principal: Option<&Principal>,
    subject: Option<&Subject<'_>>,
    target: Target<'_>,
) -> Finding<'static> {
    let Some(space) = space else { return Finding::implicit(Reason::NotInSpace, "no such space") };
    let Some(principal) = principal else { return Finding::implicit(Reason::Unauthenticated, "nobody is identified") };
    let Some(subject) = subject else {
        if let Target::Tool { name, .. } | Target::Prompt(name) = target
            && let Some(why) = space.unserved_by_name(name)
        {
            return Finding::explicit(Reason::ServerNotApproved, why);
        }
        let kind = match target {
            Target::Tool { .. } => "tool",
            Target::Prompt(_) => "prompt",
            Target::Resource(_) => "resource",
        };
        return Finding::implicit(Reason::ToolNotListed, format!("space `{}` lists no such {kind}", space.space.id));
    };
    let finding = admitted(space, principal, subject, facts);
    if !finding.effect.agrees() {
        return finding;
    }
    let quota = match &facts.quota {
        Fact::Unknown(why) => return Finding::implicit(Reason::CouldNotDecide, format!("quotas could not be counted: {why}")),
        Fact::Known(quota) => quota,
    };
    let limits = &space.space.quotas;
    if let Some(max) = limits.calls_concurrent_max.filter(|max| quota.calls_concurrent > *max) {
        return Finding::explicit(Reason::QuotaExceeded, format!("more than {max} calls of this agent and tool at once"));
    }
    if let Some(max) = limits.calls_per_minute_max.filter(|max| quota.calls_per_minute > *max) {
        return Finding::explicit(Reason::QuotaExceeded, format!("more than {max} calls of this agent and tool in a minute"));
    }
    let organization = &snapshot.organization;
    match &facts.budgets {
        Fact::Unknown(_) if organization.budgets.iter().all(|budget| budget.log_only) => finding,
        Fact::Unknown(why) => Finding::implicit(Reason::CouldNotDecide, why.clone()),
        Fact::Known(uses) => match budget::exceeded(organization, uses) {
            Some((why, origin)) => Finding::explicit(Reason::BudgetExceeded, why).origin(&origin.into()),
            None => finding,
        },
    }
}

fn tool_policy(
    snapshot: &Snapshot,
    facts: &Facts,
    principal: Option<&Principal>,
    subject: Option<&Subject<'_>>,
    risk: Option<Risk>,
) -> Finding<'static> {
    let Some(principal) = principal else { return Finding::implicit(Reason::Unauthenticated, "nobody is identified") };
    let Some(subject) = subject else { return Finding::implicit(Reason::ToolNotPermitted, "there is no such tool to permit") };
    let row = match snapshot.row(&principal.agent, subject.id()) {
        RowMatch::UnknownAgent => {
            let statement = format!("no tool policy row names agent `{}`", principal.agent);
            return Finding::implicit(Reason::UnknownAgent, statement);
        }
        RowMatch::None => {
            let statement = format!("no tool policy row of `{}` names `{}`", principal.agent, subject.id());
            return Finding::implicit(Reason::ToolNotPermitted, statement);
        }
        RowMatch::Row(row) => row,
    };
    if !row.allowed {
        return Finding::explicit(Reason::ToolNotPermitted, Arc::clone(&row.statement)).origin(&row.origin);
    }
    match risk {
        Some(risk) if risk > row.risk_max => {
            let statement = format!("risk {risk} is above risk_max {}: {}", row.risk_max, row.statement);
            Finding::explicit(Reason::RiskExceedsPolicy, statement).origin(&row.origin)
        }
        _ => trusted(snapshot, facts, subject, risk)
            .unwrap_or_else(|| Finding::allow(Arc::clone(&row.statement)).origin(&row.origin)),
    }
}

/// What the agent's trust tier refuses; `None`: nothing, or nobody has a tier.
fn trusted(snapshot: &Snapshot, facts: &Facts, subject: &Subject<'_>, risk: Option<Risk>) -> Option<Finding<'static>> {
    let rules = snapshot.organization.trust.as_ref()?;
    let categories = match subject {
        Subject::Tool(tool) => tool.categories.as_slice(),
        Subject::Listed { .. } => &[],
    };
    // What isn't counted has been refused before.
    let calls_per_minute = if let Fact::Known(quota) = &facts.quota { quota.calls_per_minute } else { 0 };
    Some(match trust::judge(rules, &facts.trust, categories, risk, calls_per_minute).err()? {
        Refused::Unknown(why) => Finding::implicit(Reason::CouldNotDecide, why),
        Refused::Risk(why) => Finding::explicit(Reason::TrustTier, why),
        Refused::Calls(why) => Finding::explicit(Reason::QuotaExceeded, why),
    })
}

/// What the space's policy set says. A space without one has nothing to say here.
#[allow(clippy::too_many_arguments, reason = "everything that a decision is about")]
fn policy_set(
    snapshot: &Snapshot,
    facts: &Facts,
    space: Option<&SpaceView>,
    principal: Option<&Principal>,
    subject: Option<&Subject<'_>>,
    target: Target<'_>,
    given: &Input<'_>,
    approved: bool,
    guarded: Option<&Guarded>,
    now_secs: u64,
    told: &mut policy::Told,
) -> Finding<'static> {
    let Some((space, set)) = space.and_then(|space| Some((space, space.policy_set.as_ref()?))) else {
        return Finding::no_impact("the space has no policy set");
    };
    let Some(principal) = principal else { return Finding::implicit(Reason::Unauthenticated, "nobody is identified") };
    let tool = match (subject, target) {
        (Some(Subject::Tool(tool)), Target::Tool { .. }) => tool,
        (None, Target::Tool { .. }) => return Finding::implicit(Reason::ToolNotListed, "there is no such tool to judge"),
        _ => return Finding::no_impact("policy sets are about tools"),
    };
    let now_ms = now_secs.saturating_mul(1000);
    let said = policy::judge(set, snapshot, space, facts, principal, tool, given, None, (approved, guarded), now_ms, told);
    Finding { effect: said.effect, statement: said.statement, origin: said.origin, reason: said.reason, principal: None }
}

/// What the guardrails of a space find in the arguments of a call; `None` where there are none of either.
fn guarded(
    space: &SpaceView,
    facts: &Facts,
    subject: Option<&Subject<'_>>,
    target: Target<'_>,
    risk: Option<Risk>,
) -> Option<Arc<Guarded>> {
    match (subject, target) {
        (Some(Subject::Tool(tool)), Target::Tool { arguments: Some(arguments), .. }) if !space.guards.is_empty() => {
            let risk = risk.unwrap_or(tool.risk);
            Some(Arc::new(space.guards.inspect(remit_guard::Source::Input, arguments.as_str(), risk, &facts.guardrails)))
        }
        _ => None,
    }
}

/// What guardrails make of the arguments. What is left of them must still be what the tool's schema allows.
fn guardrail(subject: Option<&Subject<'_>>, guarded: &Guarded) -> Finding<'static> {
    let (effect, statement, origin) = guarded.line();
    if !effect.agrees() {
        let finding = Finding::explicit(Reason::Guardrail, statement);
        return match origin.filter(|origin| !origin.is_empty()) {
            Some(origin) if guarded.undecided => Finding { reason: Reason::CouldNotDecide, ..finding.origin(&origin) },
            Some(origin) => finding.origin(&origin),
            // It isn't known which guardrails hold.
            None => Finding { reason: Reason::CouldNotDecide, ..finding },
        };
    }
    if let (Some(masked), Some(Subject::Tool(tool))) = (&guarded.masked, subject) {
        let Ok(value) = serde_json::from_str(masked) else {
            return Finding::implicit(Reason::CouldNotDecide, "what a guardrail left of the arguments can't be read");
        };
        let faults = tool.schema.faults(&value);
        if !faults.is_empty() {
            let statement = format!("{statement}, and what is left breaks the tool's schema: {}", faults.join("; "));
            return Finding::explicit(Reason::Guardrail, statement);
        }
    }
    Finding::allow(statement)
}

fn argument_schema(subject: Option<&Subject<'_>>, target: Target<'_>, given: &Input<'_>) -> Finding<'static> {
    let tool = match (subject, target) {
        (Some(Subject::Tool(tool)), Target::Tool { arguments: Some(_), .. }) => tool,
        (None, Target::Tool { .. }) => return Finding::implicit(Reason::ToolNotListed, "there is no such tool, so no schema"),
        _ => return Finding::no_impact("no arguments to check"),
    };
    let Some(value) = given.value() else {
        return Finding::implicit(Reason::CouldNotDecide, "the arguments hold a number that can't be checked");
    };
    let faults = tool.schema.faults(value);
    if faults.is_empty() {
        Finding::allow("the arguments keep the pinned schema")
    } else {
        Finding::explicit(Reason::ArgumentsInvalid, faults.join("; "))
    }
}

mod hold;
#[cfg(test)]
mod tests;
