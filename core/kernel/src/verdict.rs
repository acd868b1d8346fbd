//! What a decision says: a verdict, and one line for every layer that was asked.

use std::sync::Arc;

use crate::approval::{Approval, RuleAsked};
use crate::guardrail::Guarded;
use crate::snapshot::ToolView;
use crate::tree::Near;
use remit_model::ServerKey;

/// The layers, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Layer {
    /// Authenticated, alive, not suspended, for this audience.
    Identity,
    /// Admitted by the space, pin intact, class within the mandate, quotas kept.
    Space,
    /// The service control policies of every level above the account of whoever acts.
    ServiceControlPolicy,
    /// The resource control policies of every level above the server's account.
    ResourceControlPolicy,
    /// The trust policies of the roles that are acted in.
    RoleTrust,
    /// The server's resource policy.
    Resource,
    /// The identity policies of the role that is acted in.
    Principal,
    /// Its permissions boundary.
    PermissionsBoundary,
    /// The session's policies.
    Session,
    /// A registry row names agent and tool, and its maximum risk isn't exceeded.
    ToolPolicy,
    /// The arguments are what the pinned schema allows.
    ArgumentSchema,
    /// The space's policy set: Cedar and Dogwood.
    PolicySet,
    /// What the arguments hold may pass, as it is or masked.
    Guardrail,
    /// People have agreed, where a rule asks for them.
    Approval,
}

impl Layer {
    /// Every layer, in order.
    pub const ALL: &[Self] = &[
        Self::Identity,
        Self::Space,
        Self::ServiceControlPolicy,
        Self::ResourceControlPolicy,
        Self::RoleTrust,
        Self::Resource,
        Self::Principal,
        Self::PermissionsBoundary,
        Self::Session,
        Self::ToolPolicy,
        Self::ArgumentSchema,
        Self::PolicySet,
        Self::Guardrail,
        Self::Approval,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "IDENTITY",
            Self::Space => "SPACE",
            Self::ServiceControlPolicy => "SERVICE_CONTROL_POLICY",
            Self::ResourceControlPolicy => "RESOURCE_CONTROL_POLICY",
            Self::RoleTrust => "ROLE_TRUST",
            Self::Resource => "RESOURCE",
            Self::Principal => "PRINCIPAL",
            Self::PermissionsBoundary => "PERMISSIONS_BOUNDARY",
            Self::Session => "SESSION",
            Self::ToolPolicy => "TOOL_POLICY",
            Self::ArgumentSchema => "ARGUMENT_SCHEMA",
            Self::PolicySet => "POLICY_SET",
            Self::Guardrail => "GUARDRAIL",
            Self::Approval => "APPROVAL",
        }
    }

    /// Whether it is a layer of IAM policies: its statements are AWS's sentences, and callers may read them.
    pub fn is_iam(self) -> bool {
        matches!(
            self,
            Self::ServiceControlPolicy
                | Self::ResourceControlPolicy
                | Self::RoleTrust
                | Self::Resource
                | Self::Principal
                | Self::PermissionsBoundary
                | Self::Session
        )
    }
}

/// What one layer says, in the words of AWS's request authorization details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Effect {
    /// It agrees.
    Allow,
    /// It has nothing to say about this call.
    NoImpact,
    /// Nothing in it allows.
    ImplicitDeny,
    /// A statement in it denies.
    ExplicitDeny,
}

impl Effect {
    /// Every effect.
    pub const ALL: &[Self] = &[Self::Allow, Self::NoImpact, Self::ImplicitDeny, Self::ExplicitDeny];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::NoImpact => "NO_IMPACT",
            Self::ImplicitDeny => "IMPLICIT_DENY",
            Self::ExplicitDeny => "EXPLICIT_DENY",
        }
    }

    /// Whether the call may go on.
    pub fn agrees(self) -> bool {
        matches!(self, Self::Allow | Self::NoImpact)
    }
}

/// A statement's text: its own, or one that the snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Known when this was compiled.
    Static(&'static str),
    /// Held by the snapshot.
    Shared(Arc<str>),
    /// Made for this decision.
    Own(String),
}

impl Statement {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
            Self::Own(text) => text,
        }
    }
}

impl From<&'static str> for Statement {
    fn from(text: &'static str) -> Self {
        Self::Static(text)
    }
}

impl From<Arc<str>> for Statement {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

impl From<String> for Statement {
    fn from(text: String) -> Self {
        Self::Own(text)
    }
}

impl serde::Serialize for Statement {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What one layer said and by which statement.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LayerLine {
    /// The layer.
    #[serde(rename = "checkType")]
    pub layer: Layer,
    /// What it says.
    pub effect: Effect,
    /// The statement that decided, for people: never an argument's value.
    pub statement: Statement,
    /// Where the statement stands (file and line), if it stands anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Arc<str>>,
}

/// Why a call is denied, for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No credential, or one that is not valid.
    Unauthenticated,
    /// The credential is for another space.
    Audience,
    /// No registry row names the agent, or no such agent exists.
    UnknownAgent,
    /// The agent has been suspended.
    AgentSuspended,
    /// The credential's scopes don't reach the tool's class.
    InsufficientScope,
    /// The agent is not of this space.
    NotInSpace,
    /// The space doesn't list the tool.
    ToolNotListed,
    /// The tool's definition is not the one that was accepted.
    ToolQuarantined,
    /// The tool's server isn't approved in the registry.
    ServerNotApproved,
    /// The space's mandate excludes the tool's class.
    ClassExceedsMandate,
    /// A quota is used up.
    QuotaExceeded,
    /// A budget is used up.
    BudgetExceeded,
    /// The credential, the agent or the role was revoked.
    Revoked,
    /// An operator has stopped the agent, the user's delegations, the space, the server or the tool.
    Suspended,
    /// A service control policy denies, or none allows.
    ServiceControlPolicy,
    /// A resource control policy denies, or none allows.
    ResourceControlPolicy,
    /// A role's trust policy doesn't let it be assumed.
    RoleTrust,
    /// The server's resource policy denies, or doesn't allow.
    ResourcePolicy,
    /// No identity policy of the role allows, or one denies.
    RolePolicy,
    /// The role's permissions boundary denies, or doesn't allow.
    PermissionsBoundary,
    /// The session's policy denies, or doesn't allow.
    SessionPolicy,
    /// No row allows this tool to this agent, or one forbids it.
    ToolNotPermitted,
    /// The tool's risk is above the row's maximum.
    RiskExceedsPolicy,
    /// The tool's risk is above what the agent's trust tier reaches.
    TrustTier,
    /// The arguments break the tool's schema.
    ArgumentsInvalid,
    /// The space's policy set forbids, or none of its policies permits.
    PolicySet,
    /// A guardrail blocks what the call or its result holds.
    Guardrail,
    /// A rule asks for a person's agreement, and there is none yet.
    ApprovalRequired,
    /// Something could not be found out.
    CouldNotDecide,
}

impl Reason {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::Unauthenticated,
        Self::Audience,
        Self::UnknownAgent,
        Self::AgentSuspended,
        Self::InsufficientScope,
        Self::NotInSpace,
        Self::ToolNotListed,
        Self::ToolQuarantined,
        Self::ServerNotApproved,
        Self::ClassExceedsMandate,
        Self::QuotaExceeded,
        Self::BudgetExceeded,
        Self::Revoked,
        Self::Suspended,
        Self::ServiceControlPolicy,
        Self::ResourceControlPolicy,
        Self::RoleTrust,
        Self::ResourcePolicy,
        Self::RolePolicy,
        Self::PermissionsBoundary,
        Self::SessionPolicy,
        Self::ToolNotPermitted,
        Self::RiskExceedsPolicy,
        Self::TrustTier,
        Self::ArgumentsInvalid,
        Self::PolicySet,
        Self::Guardrail,
        Self::ApprovalRequired,
        Self::CouldNotDecide,
    ];

    /// The code, as it is journalled.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Audience => "audience",
            Self::UnknownAgent => "unknown_agent",
            Self::AgentSuspended => "agent_suspended",
            Self::InsufficientScope => "insufficient_scope",
            Self::NotInSpace => "not_in_space",
            Self::ToolNotListed => "tool_not_listed",
            Self::ToolQuarantined => "tool_quarantined",
            Self::ServerNotApproved => "server_not_approved",
            Self::ClassExceedsMandate => "class_exceeds_mandate",
            Self::QuotaExceeded => "quota_exceeded",
            Self::BudgetExceeded => "budget_exceeded",
            Self::Revoked => "revoked",
            Self::Suspended => "suspended",
            Self::ServiceControlPolicy => "service_control_policy",
            Self::ResourceControlPolicy => "resource_control_policy",
            Self::RoleTrust => "role_trust",
            Self::ResourcePolicy => "resource_policy",
            Self::RolePolicy => "role_policy",
            Self::PermissionsBoundary => "permissions_boundary",
            Self::SessionPolicy => "session_policy",
            Self::ToolNotPermitted => "tool_not_permitted",
            Self::RiskExceedsPolicy => "risk_exceeds_policy",
            Self::TrustTier => "trust_tier",
            Self::ArgumentsInvalid => "arguments_invalid",
            Self::PolicySet => "policy_set",
            Self::Guardrail => "guardrail",
            Self::ApprovalRequired => "approval_required",
            Self::CouldNotDecide => "could_not_decide",
        }
    }

    /// The sentence that a caller sees; the first seed's three are among them, in its words.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Unauthenticated => "Not authenticated",
            Self::Audience => "Token is for another audience",
            Self::UnknownAgent => "Unknown agent",
            Self::AgentSuspended => "Agent suspended",
            Self::InsufficientScope => "Token's scope does not reach this tool",
            Self::NotInSpace => "Agent not in this space",
            Self::ToolNotListed => "Tool not listed in this space",
            Self::ToolQuarantined => "Tool quarantined: its definition is not the accepted one",
            Self::ServerNotApproved => "Server not approved in the registry",
            Self::ClassExceedsMandate => "Tool class exceeds the space's mandate",
            Self::QuotaExceeded => "Quota exceeded",
            Self::BudgetExceeded => "Budget exceeded",
            Self::Revoked => "Credential revoked",
            Self::Suspended => "Suspended by an operator",
            Self::ServiceControlPolicy => "Service control policy does not permit",
            Self::ResourceControlPolicy => "Resource control policy does not permit",
            Self::RoleTrust => "Role can't be assumed",
            Self::ResourcePolicy => "Resource policy does not permit",
            Self::RolePolicy => "Role does not permit",
            Self::PermissionsBoundary => "Permissions boundary does not permit",
            Self::SessionPolicy => "Session policy does not permit",
            Self::ToolNotPermitted => "Tool not permitted",
            Self::RiskExceedsPolicy => "Risk exceeds policy",
            Self::TrustTier => "Trust tier does not reach this risk",
            Self::ArgumentsInvalid => "Arguments break the tool's schema",
            Self::PolicySet => "Policy set does not permit",
            Self::Guardrail => "Guardrail does not permit",
            Self::ApprovalRequired => "Approval required",
            Self::CouldNotDecide => "Could not decide",
        }
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Why, for machines.
    pub reason: Reason,
    /// The layer that refused first.
    pub layer: Layer,
    /// Its statement.
    pub statement: String,
}

impl Denial {
    /// Of what can't be decided.
    pub(crate) fn undecided(why: &str) -> Self {
        Self { reason: Reason::CouldNotDecide, layer: Layer::Space, statement: why.to_owned() }
    }

    /// What a caller reads first: AWS's sentence where a policy of the organization refused, else the reason's own.
    pub fn sentence(&self) -> &str {
        if self.layer.is_iam() { &self.statement } else { self.reason.sentence() }
    }
}

/// The right to send one call upstream. It can't be made, copied or kept outside this crate: the only way to one is a decision
/// that allows, and the only use is to give it away.
#[derive(Debug)]
pub struct Permit {
    dispatch: Dispatch,
}

/// Where a permitted call goes.
#[derive(Debug)]
pub struct Dispatch {
    /// The server.
    pub server: ServerKey,
    /// The name there of the tool or prompt, or the resource's URI.
    pub name: String,
    /// The tool, if it is one.
    pub tool: Option<Arc<ToolView>>,
    /// The arguments that are sent in place of the caller's, where guardrails mask some: JSON text.
    pub masked: Option<Arc<str>>,
}

impl Permit {
    pub(crate) fn new(dispatch: Dispatch) -> Self {
        Self { dispatch }
    }

    /// Uses the permit up.
    pub fn redeem(self) -> Dispatch {
        self.dispatch
    }
}

/// What was decided.
#[derive(Debug)]
pub enum Verdict {
    /// It may go.
    Allow(Permit),
    /// It may go once people have agreed.
    Hold(ApprovalRequest),
    /// It may not.
    Deny(Denial),
}

/// What a held call waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRequest {
    /// The rules that hold it, each with who has to agree.
    pub rules: Vec<RuleAsked>,
    /// Who asks, as policies name it.
    pub principal: String,
    /// What the layer says.
    pub statement: String,
}

impl ApprovalRequest {
    /// For how long the call itself is kept open, in seconds: the shortest that a rule says.
    pub fn wait_secs(&self) -> u64 {
        self.rules.iter().map(|rule| rule.ask.wait_secs).min().unwrap_or_default()
    }

    /// For how long it may wait for people, in seconds: the shortest that a rule says.
    pub fn pending_secs(&self) -> u64 {
        self.rules.iter().map(|rule| rule.ask.pending_secs).min().unwrap_or_default()
    }
}

/// A verdict with what every layer said.
#[derive(Debug)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// The layers that were asked, in order.
    pub layers: Vec<LayerLine>,
    /// The tool's registered risk, raised by what the caller asked for; absent where there is no tool.
    pub risk: Option<remit_model::Risk>,
    /// The tool, if the space knows it.
    pub tool: Option<Arc<ToolView>>,
    /// The server that would be asked, if the space knows the target.
    pub server: Option<ServerKey>,
    /// As whom the agent acted, as far as that was found out.
    pub acted_as: Option<ActedAs>,
    /// What a policy set says that is, wholly or in part, only logged, where that would have been another verdict.
    pub policy_flip: Option<String>,
    /// What guardrails made of the arguments, where some hold.
    pub guarded: Option<Arc<Guarded>>,
    /// The approval that lets it through, where a rule asks for one: it is used by this decision.
    pub approval: Option<Arc<Approval>>,
    /// Where that was explained: every statement of IAM that applied, whether or not it decided.
    pub applied: Vec<Arc<remit_iam::Statement>>,
    /// Where that was explained: the policies of the space's set that its word rests on, and those that are only logged and on which it
    /// would rest if they were enforced.
    pub applied_policies: Vec<AppliedPolicy>,
    /// Statements that nearly allowed, where that was explained.
    pub(crate) near: Vec<(Layer, Near)>,
}

/// A policy of a set, in Cedar or Dogwood, that applied to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedPolicy {
    /// Its name in its set.
    pub id: String,
    /// Where it stands: file and line.
    pub origin: String,
    /// Whether it permits or forbids.
    pub effect: remit_cedar::RuleEffect,
    /// Whether it is enforced; otherwise it is asked and logged, or its whole set is.
    pub is_enforced: bool,
}

/// As whom an agent acted in a call, for the record.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ActedAs {
    /// The session's ARN.
    pub principal_arn: String,
    /// Who is behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
    /// The session's tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub session_tags: Vec<(String, String)>,
}

impl Decision {
    /// Whether it allows.
    pub fn allows(&self) -> bool {
        matches!(self.verdict, Verdict::Allow(_))
    }

    /// Whether it allows, or would once people agree.
    pub fn may_become(&self) -> bool {
        matches!(self.verdict, Verdict::Allow(_) | Verdict::Hold(_))
    }

    /// What stands against the call: its denial, or that it waits for people.
    pub fn against(&self) -> Option<Denial> {
        match &self.verdict {
            Verdict::Allow(_) => None,
            Verdict::Hold(request) => {
                let (reason, statement) = (Reason::ApprovalRequired, request.statement.clone());
                Some(Denial { reason, layer: Layer::Approval, statement })
            }
            Verdict::Deny(denial) => Some(denial.clone()),
        }
    }

    /// `ALLOW`, `HOLD` or `DENY`, with the reason for anything but the first.
    pub fn word(&self) -> (&'static str, Option<Reason>) {
        match &self.verdict {
            Verdict::Allow(_) => ("ALLOW", None),
            Verdict::Hold(_) => ("HOLD", Some(Reason::ApprovalRequired)),
            Verdict::Deny(denial) => ("DENY", Some(denial.reason)),
        }
    }
}
