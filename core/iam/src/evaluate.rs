//! The decision over all layers.
//!
//! The order and the exceptions are those of [Policy evaluation logic], [within an account] and [across accounts].
//!
//! [Policy evaluation logic]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
//! [within an account]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html
//! [across accounts]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html

use std::sync::Arc;

use crate::{
    condition::split_arn,
    explain::{Detail, detail},
    keys::Context,
    policy::Statement,
    principal::{Principal, PrincipalKind, Standing},
    read::is_action,
    set::{ACTION_BYTES_MAX, Answer, PolicySet, Question},
};

/// The most levels of service or of resource control policies. AWS's tree has seven: root, five of organizational units, account.
pub const LEVELS_MAX: usize = 8;
/// The longest name of a resource, in bytes.
pub const RESOURCE_BYTES_MAX: usize = 2_048;
/// All layers together.
const LINES_MAX: usize = 2 * LEVELS_MAX + 4;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal<'a>,
    /// The action: `mcp:CallTool`. Its case doesn't count.
    pub action: &'a str,
    /// The resource's ARN, literally, or `*` for an action that has none.
    pub resource: &'a str,
    /// The account that owns the resource. Without it the request counts as one across accounts.
    pub resource_account: Option<&'a str>,
    /// The facts.
    pub context: &'a Context<'a>,
}

/// The policies that a request has to pass. Sets and context must be of the same [`Keys`](crate::Keys).
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    /// Service control policies, a set per level, the root first. None if the principal's account is in no organization. A
    /// level with an empty set denies.
    pub service_control: &'a [&'a PolicySet],
    /// Whether service control policies don't apply: to the management account, and to service-linked roles
    /// ([SCPs](https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps.html)).
    pub service_control_exempt: bool,
    /// Resource control policies, likewise, of the resource's account. `RCPFullAWSAccess` has to be among them at each level.
    pub resource_control: &'a [&'a PolicySet],
    /// Whether resource control policies don't apply: to resources of the management account, and to service-linked roles
    /// ([RCPs](https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html)).
    pub resource_control_exempt: bool,
    /// The principal's identity policies.
    pub identity: &'a PolicySet,
    /// The principal's permissions boundary.
    pub boundary: Option<&'a PolicySet>,
    /// The session's policy.
    pub session: Option<&'a PolicySet>,
    /// The policy of the resource; for [`trust`] the role's trust policy.
    pub resource: Option<&'a PolicySet>,
}

impl<'a> Layers<'a> {
    /// Identity policies alone.
    pub fn of_identity(identity: &'a PolicySet) -> Self {
        Self {
            service_control: &[],
            service_control_exempt: false,
            resource_control: &[],
            resource_control_exempt: false,
            identity,
            boundary: None,
            session: None,
            resource: None,
        }
    }
}

/// What all layers together come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Allowed.
    Allowed,
    /// Nothing that would have to allow it does.
    ImplicitlyDenied,
    /// A statement denies it.
    ExplicitlyDenied,
}

impl Decision {
    /// As AWS's policy simulator names it, with a capital: `Allowed`, `ImplicitlyDenied`, `ExplicitlyDenied`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "Allowed",
            Self::ImplicitlyDenied => "ImplicitlyDenied",
            Self::ExplicitlyDenied => "ExplicitlyDenied",
        }
    }
}

/// The kind of a layer, with AWS's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckType {
    /// `SERVICE_CONTROL_POLICY`, one line a level.
    ServiceControl,
    /// `RESOURCE_CONTROL_POLICY`, one line a level.
    ResourceControl,
    /// `RESOURCE`: the resource's policy, or the trust policy.
    Resource,
    /// `PRINCIPAL`: the identity policies.
    Principal,
    /// `PERMISSIONS_BOUNDARY`.
    Boundary,
    /// `SESSION`: the session policy.
    Session,
}

impl CheckType {
    /// As AWS writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ServiceControl => "SERVICE_CONTROL_POLICY",
            Self::ResourceControl => "RESOURCE_CONTROL_POLICY",
            Self::Resource => "RESOURCE",
            Self::Principal => "PRINCIPAL",
            Self::Boundary => "PERMISSIONS_BOUNDARY",
            Self::Session => "SESSION",
        }
    }
}

/// What a layer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckEffect {
    /// It allows.
    Allow,
    /// It isn't there, or the decision doesn't hang on it.
    NoImpact,
    /// It would have to allow, and doesn't.
    ImplicitDeny,
    /// It denies.
    ExplicitDeny,
}

impl CheckEffect {
    /// As AWS writes it: `ALLOW`, `NO_IMPACT`, `IMPLICIT_DENY`, `EXPLICIT_DENY`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::NoImpact => "NO_IMPACT",
            Self::ImplicitDeny => "IMPLICIT_DENY",
            Self::ExplicitDeny => "EXPLICIT_DENY",
        }
    }
}

/// One layer's answer.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Which layer.
    pub check: CheckType,
    /// Which level of the tree, from 0, the root; 0 for layers without levels.
    pub level: usize,
    /// What it says.
    pub effect: CheckEffect,
    /// The statement by which it denies or allows.
    pub statement: Option<&'a Arc<Statement>>,
}

const NO_LINE: Line<'static> = Line { check: CheckType::Principal, level: 0, effect: CheckEffect::NoImpact, statement: None };

/// The decision and what led to it.
#[derive(Debug, Clone)]
pub struct Evaluation<'a> {
    decision: Decision,
    lines: [Line<'a>; LINES_MAX],
    len: usize,
    details: Vec<Detail<'a>>,
}

impl<'a> Evaluation<'a> {
    /// The decision.
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// A line for each layer: service control by level, resource control by level, resource, principal, boundary, session.
    /// None if the request itself could not be read: its action or its resource is none.
    pub fn lines(&self) -> &[Line<'a>] {
        self.lines.get(..self.len).unwrap_or_default()
    }

    /// For each line, if asked for: every statement that matched, and those that nearly did.
    pub fn details(&self) -> &[Detail<'a>] {
        &self.details
    }

    fn undecided() -> Self {
        Self { decision: Decision::ImplicitlyDenied, lines: [NO_LINE; LINES_MAX], len: 0, details: Vec::new() }
    }

    fn push(&mut self, line: Line<'a>) {
        if let Some(place) = self.lines.get_mut(self.len) {
            *place = line;
            self.len += 1;
        }
    }
}

/// Decides a request.
///
/// An action or a resource that is none, one that is too long, or too many levels are denied without a line. Nothing is
/// allocated without `explain`.
pub fn evaluate<'a>(request: &Request<'_>, layers: &Layers<'a>, explain: bool) -> Evaluation<'a> {
    decide(request, layers, explain, false)
}

/// Decides whether a role may be assumed: `layers.resource` is its trust policy, `request.action` one of `sts`
/// (`sts:AssumeRole`, `sts:AssumeRoleWithWebIdentity`, `sts:TagSession`, `sts:SetSourceIdentity`), `request.resource` the
/// role's ARN, the other layers those of whoever asks.
///
/// The trust policy must allow ("IAM role trust policies and KMS key policies are exceptions to this logic, because they must
/// explicitly allow access for principals", [within an account]). If it names the account or everyone, whoever asks must be
/// allowed by its own policies too. A federated principal must be named itself, and comes with
/// `sts:AssumeRoleWithWebIdentity` or `sts:AssumeRoleWithSAML`, with which nobody else does.
///
/// [within an account]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html
pub fn trust<'a>(request: &Request<'_>, layers: &Layers<'a>, explain: bool) -> Evaluation<'a> {
    decide(request, layers, explain, true)
}

/// The answers of all layers.
struct Answers<'a> {
    service_control: [Answer<'a>; LEVELS_MAX],
    resource_control: [Answer<'a>; LEVELS_MAX],
    identity: Answer<'a>,
    boundary: Option<Answer<'a>>,
    session: Option<Answer<'a>>,
    resource: Option<Answer<'a>>,
}

/// Whether the principal's policies and the resource's grant, and which layers that hangs on.
struct Bearing {
    granted: bool,
    on: &'static [CheckType],
}

fn decide<'a>(request: &Request<'_>, layers: &Layers<'a>, explain: bool, trust: bool) -> Evaluation<'a> {
    let mut evaluation = Evaluation::undecided();
    let mut lower = [0; ACTION_BYTES_MAX];
    let Some(action) = lower_case(request.action, &mut lower) else { return evaluation };
    let readable = is_resource(request.resource)
        && layers.service_control.len() <= LEVELS_MAX
        && layers.resource_control.len() <= LEVELS_MAX;
    if !readable {
        return evaluation;
    }
    let question = Question::new(request.principal, action, request.resource, request.context, layers.boundary.is_some());
    let ask = |set: &'a PolicySet| set.ask(&question);
    let levels = |sets: &'a [&'a PolicySet], exempt: bool| {
        let mut answers = [Answer::default(); LEVELS_MAX];
        for (answer, set) in answers.iter_mut().zip(sets.iter().filter(|_| !exempt)) {
            *answer = ask(set);
        }
        answers
    };
    let answers = Answers {
        service_control: levels(layers.service_control, layers.service_control_exempt),
        resource_control: levels(layers.resource_control, layers.resource_control_exempt),
        identity: ask(layers.identity),
        boundary: layers.boundary.map(ask),
        session: layers.session.map(ask),
        resource: layers.resource.map(ask),
    };
    let bearing = bearing(request, &answers, trust.then_some(action));
    let bears = |check| bearing.on.contains(&check);
    let (mut denied, mut guarded) = (false, true);
    let mut line = |check, level, exempt: bool, answer: Option<&Answer<'a>>, bears: bool| {
        let (effect, statement) = match answer.filter(|_| !exempt) {
            None if bears && check == CheckType::Resource => (CheckEffect::ImplicitDeny, None),
            None => (CheckEffect::NoImpact, None),
            Some(Answer { denied: Some(statement), .. }) => (CheckEffect::ExplicitDeny, Some(*statement)),
            Some(Answer { allowed: Some(statement), .. }) => {
                (if bears || check == CheckType::Resource { CheckEffect::Allow } else { CheckEffect::NoImpact }, Some(*statement))
            }
            Some(_) => (if bears { CheckEffect::ImplicitDeny } else { CheckEffect::NoImpact }, None),
        };
        denied |= effect == CheckEffect::ExplicitDeny;
        guarded &=
            effect == CheckEffect::Allow || exempt || !matches!(check, CheckType::ServiceControl | CheckType::ResourceControl);
        evaluation.push(Line { check, level, effect, statement });
    };
    for (level, (_, answer)) in layers.service_control.iter().zip(&answers.service_control).enumerate() {
        line(CheckType::ServiceControl, level, layers.service_control_exempt, Some(answer), !layers.service_control_exempt);
    }
    for (level, (_, answer)) in layers.resource_control.iter().zip(&answers.resource_control).enumerate() {
        line(CheckType::ResourceControl, level, layers.resource_control_exempt, Some(answer), !layers.resource_control_exempt);
    }
    line(CheckType::Resource, 0, false, answers.resource.as_ref(), bears(CheckType::Resource));
    line(CheckType::Principal, 0, false, Some(&answers.identity), bears(CheckType::Principal));
    line(CheckType::Boundary, 0, false, answers.boundary.as_ref(), bears(CheckType::Boundary));
    line(CheckType::Session, 0, false, answers.session.as_ref(), bears(CheckType::Session));
    evaluation.decision = if denied {
        Decision::ExplicitlyDenied
    } else if guarded && bearing.granted {
        Decision::Allowed
    } else {
        Decision::ImplicitlyDenied
    };
    if explain {
        evaluation.details = details(&question, layers);
    }
    evaluation
}

/// Whether the principal's policies and the resource's grant, service and resource control aside, and on which it hangs.
///
/// `trust` is the action, in lower case, if the question is who may assume a role.
fn bearing(request: &Request<'_>, answers: &Answers<'_>, trust: Option<&str>) -> Bearing {
    use CheckType::{Boundary, Principal as Identity, Resource, Session};
    let principal = request.principal;
    let suits = trust.is_none_or(|action| match action {
        "sts:assumerolewithwebidentity" | "sts:assumerolewithsaml" => principal.kind() == PrincipalKind::Federated,
        "sts:tagsession" | "sts:setsourceidentity" => true,
        _ => principal.kind() != PrincipalKind::Federated,
    });
    let trust = trust.is_some();
    // Who is federated has no credentials to call anything else with, and nobody else an identity provider's word.
    let standing = answers.resource.filter(|_| suits).and_then(|answer| answer.allowed.and(answer.standing));
    if matches!(principal.kind(), PrincipalKind::Service | PrincipalKind::Federated) {
        // They have no policies of their own; whoever trusts an identity provider must name it.
        let least = if principal.kind() == PrincipalKind::Federated { Standing::Own } else { Standing::Everyone };
        let granted = standing >= Some(least);
        return Bearing { granted, on: &[Resource] };
    }
    let allows = |answer: &Option<Answer<'_>>| answer.is_none_or(|answer| answer.allowed.is_some());
    let (boundary, session) = (allows(&answers.boundary), allows(&answers.session));
    let own = answers.identity.allowed.is_some() && boundary && session;
    let same = principal.account().is_some() && principal.account() == request.resource_account;
    let limited = Bearing {
        granted: own && (standing.is_some() || (same && !trust)),
        on: if trust || !same { &[Resource, Identity, Boundary, Session] } else { &[Identity, Boundary, Session] },
    };
    if !same || limited.granted {
        return limited;
    }
    // "If a resource-based policy grants permission directly to the IAM user or the session principal that is making the
    // request, then an implicit deny in an identity-based policy, a permissions boundary, or a session policy does not impact
    // the final decision." "Resource-based policies that grant permissions to an IAM role ARN are limited by an implicit deny
    // in a permissions boundary or session policy." Of a user's session, and of trust policies, AWS doesn't say so.
    let (by_boundary, by_session) = match standing {
        None | Some(Standing::Account) => return limited,
        Some(Standing::Everyone | Standing::EveryoneByArn) if trust => return limited,
        Some(Standing::Everyone | Standing::Role) => (true, true),
        Some(Standing::Own) if trust => (true, true),
        Some(Standing::EveryoneByArn | Standing::Own) => (false, principal.kind() != PrincipalKind::Session),
    };
    let granted = (!by_boundary || boundary) && (!by_session || session);
    let on: &[CheckType] = match (by_boundary, by_session) {
        (true, _) => &[Resource, Boundary, Session],
        (false, true) => &[Resource, Session],
        (false, false) => &[Resource],
    };
    Bearing { granted, on }
}

/// Every layer in the order of its lines.
fn details<'a>(question: &Question<'_>, layers: &Layers<'a>) -> Vec<Detail<'a>> {
    let controls = |sets: &'a [&'a PolicySet], exempt: bool| {
        sets.iter().map(move |set| if exempt { Detail::default() } else { detail(set, question) })
    };
    let others = [layers.resource, Some(layers.identity), layers.boundary, layers.session];
    controls(layers.service_control, layers.service_control_exempt)
        .chain(controls(layers.resource_control, layers.resource_control_exempt))
        .chain(others.into_iter().map(|set| set.map(|set| detail(set, question)).unwrap_or_default()))
        .collect()
}

/// An action in lower case, if it is one.
fn lower_case<'b>(action: &str, buffer: &'b mut [u8; ACTION_BYTES_MAX]) -> Option<&'b str> {
    if !is_action(action, false) {
        return None;
    }
    let lower = buffer.get_mut(..action.len())?;
    lower.copy_from_slice(action.as_bytes());
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).ok()
}

/// Whether this names a resource: an ARN, or `*`. Partitions, services and regions are written in lower case.
fn is_resource(text: &str) -> bool {
    let fits = |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let arn = || {
        split_arn(text).is_some_and(|[_, partition, service, region, account, _]| {
            [partition, service, region, account].into_iter().all(fits)
        })
    };
    text == "*" || (text.len() <= RESOURCE_BYTES_MAX && arn())
}
