//! The decision over all layers.
//!
//! The order and the exceptions are those of [Policy evaluation logic], [within an account] and [across accounts].
//!
//! [Policy evaluation logic]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
//! [within an account]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html
//! [across accounts]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html

use std::sync::Arc;

use crate::{
    bytes,
    explain::{Detail, detail},
    keys::Context,
    policy::Statement,
    principal::{Principal, PrincipalKind, Standing},
    set::{ACTION_BYTES_MAX, Answer, PolicySet, Question},
    target::Subject,
};

/// The most levels of service or of resource control policies. AWS's tree has seven: root, five of organizational units, account.
pub const LEVELS_MAX: usize = 8;
/// The longest name of a resource, in bytes.
pub const RESOURCE_BYTES_MAX: usize = crate::target::SUBJECT_BYTES_MAX;
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
        Self { decision: Decision::ImplicitlyDenied, lines: const { [NO_LINE; LINES_MAX] }, len: 0, details: Vec::new() }
    }

    #[inline]
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
    let mut evaluation = Evaluation::undecided();
    decide(request, layers, explain, false, &mut evaluation);
    evaluation
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
    let mut evaluation = Evaluation::undecided();
    decide(request, layers, explain, true, &mut evaluation);
    evaluation
}

/// The answers of the layers that grant, or limit what is granted.
#[derive(Default)]
struct Answers<'a> {
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

/// Fills in an undecided evaluation: it's too large to be handed on.
fn decide<'a>(request: &Request<'_>, layers: &Layers<'a>, explain: bool, trust: bool, evaluation: &mut Evaluation<'a>) {
    let mut lower = [0; ACTION_BYTES_MAX];
    let levels = layers.service_control.len().max(layers.resource_control.len());
    let resource = Subject::read(request.resource);
    let (Some(action), Some(resource), true) = (lower_case(request.action, &mut lower), &resource, levels <= LEVELS_MAX) else {
        return;
    };
    let question = Question::new(request.principal, action, resource, request.context, layers.boundary.is_some());
    let (mut denied, mut guarded) = (false, true);
    let mut controls = |check, sets: &'a [&'a PolicySet], exempt: bool| {
        for (level, set) in sets.iter().enumerate() {
            let mut answer = Answer::default();
            if !exempt {
                set.ask(&question, &mut answer);
            }
            let (effect, statement) = said(&answer, !exempt);
            denied |= effect == CheckEffect::ExplicitDeny;
            guarded &= exempt || effect == CheckEffect::Allow;
            evaluation.push(Line { check, level, effect, statement });
        }
    };
    controls(CheckType::ServiceControl, layers.service_control, layers.service_control_exempt);
    controls(CheckType::ResourceControl, layers.resource_control, layers.resource_control_exempt);
    let mut answers = Answers::default();
    let ask = |set: Option<&'a PolicySet>, answer: &mut Option<Answer<'a>>| {
        if let Some(set) = set {
            set.ask(&question, answer.insert(Answer::default()));
        }
    };
    layers.identity.ask(&question, &mut answers.identity);
    ask(layers.boundary, &mut answers.boundary);
    ask(layers.session, &mut answers.session);
    ask(layers.resource, &mut answers.resource);
    let bearing = bearing(request, &answers, trust.then_some(action));
    let mut line = |check, answer: Option<&Answer<'a>>| {
        let bears = bearing.on.contains(&check);
        let (effect, statement) = match answer {
            Some(answer) => said(answer, bears || check == CheckType::Resource && answer.allowed.is_some()),
            None if bears && check == CheckType::Resource => (CheckEffect::ImplicitDeny, None),
            None => (CheckEffect::NoImpact, None),
        };
        denied |= effect == CheckEffect::ExplicitDeny;
        evaluation.push(Line { check, level: 0, effect, statement });
    };
    line(CheckType::Resource, answers.resource.as_ref());
    line(CheckType::Principal, Some(&answers.identity));
    line(CheckType::Boundary, answers.boundary.as_ref());
    line(CheckType::Session, answers.session.as_ref());
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
}

/// What a layer says, and whether the decision hangs on it.
#[inline]
fn said<'a>(answer: &Answer<'a>, bears: bool) -> (CheckEffect, Option<&'a Arc<Statement>>) {
    match (answer.denied, answer.allowed) {
        (Some(statement), _) => (CheckEffect::ExplicitDeny, Some(statement)),
        (None, Some(statement)) if bears => (CheckEffect::Allow, Some(statement)),
        (None, None) if bears => (CheckEffect::ImplicitDeny, None),
        (None, allowed) => (CheckEffect::NoImpact, allowed),
    }
}

/// Whether the principal's policies and the resource's grant, service and resource control aside, and on which it hangs.
///
/// `trust` is the action, in lower case, if the question is who may assume a role.
fn bearing(request: &Request<'_>, answers: &Answers<'_>, trust: Option<&[u8]>) -> Bearing {
    use CheckType::{Boundary, Principal as Identity, Resource, Session};
    let principal = request.principal;
    let suits = trust.is_none_or(|action| match action {
        b"sts:assumerolewithwebidentity" | b"sts:assumerolewithsaml" => principal.kind() == PrincipalKind::Federated,
        b"sts:tagsession" | b"sts:setsourceidentity" => true,
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

/// For each byte of an action the same in lower case; 0 for what stands in none.
const LOWER: [u8; 256] = {
    let mut lower = [0; 256];
    let mut places = lower.as_mut_slice();
    let mut byte = 0_u8;
    while let Some((place, rest)) = places.split_first_mut() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':') {
            *place = byte.to_ascii_lowercase();
        }
        byte = byte.wrapping_add(1);
        places = rest;
    }
    lower
};

/// An action in lower case, if it is one.
#[inline]
fn lower_case<'b>(action: &str, buffer: &'b mut [u8; ACTION_BYTES_MAX]) -> Option<&'b [u8]> {
    let lower = buffer.get_mut(..action.len())?;
    let mut fits = true;
    for (place, byte) in lower.iter_mut().zip(action.bytes()) {
        *place = LOWER.get(usize::from(byte)).copied().unwrap_or_default();
        fits &= *place != 0;
    }
    let (service, name) = lower.split_at_checked(bytes::find(lower, b':')?)?;
    let has = |text: &[u8], byte| bytes::find(text, byte).is_some();
    let name = name.get(1..)?;
    let whole = !service.is_empty() && !name.is_empty() && !has(service, b'_') && !has(name, b':');
    (fits && whole).then_some(lower)
}
