//! The nouns of Remit, shared by every other crate: identifiers that are checked when they are made, and the
//! records of an organization. Nothing here decides anything.

mod access;
mod alarm;
mod approval;
mod behaviour;
mod budget;
mod cloudwatch;
mod console;
mod delivery;
mod guardrail;
mod iam;
mod id;
mod invariant;
mod label;
mod organization;
mod person;
mod retention;
mod sandbox;
mod server;
mod time;
mod trust;
mod witness;
mod zone;

pub use access::{
    Agent, AgentCredential, ClaimRule, ClaimTest, Issuer, PolicyFile, PolicyTexts, Quotas, Space, SpaceServer, ToolAdmission,
    ToolPolicy,
};
pub use alarm::{
    Alarm, AlarmAction, AlarmMetric, CallsCounted, GroupBy, MissingData, PagerSeverity, REASONS, Statistic, Threshold,
};
pub use approval::{ApprovalRule, Approvals, Approver, Ask, Authentication, Away, CallsHeld, Channel, Escalation};
pub use behaviour::{Behaviour, Expectation};
pub use budget::{Budget, BudgetLimits, BudgetPer, Money, StatedCost, TimeUnit, decimal, micros};
pub use cloudwatch::CloudWatch;
pub use console::{CONSOLE_SESSION_SECS_MAX, Console, SignIn};
pub use delivery::{Delivery, DeliveryFormat, Destination, S3Bucket};
pub use guardrail::{BedrockGuardrail, Guardrail, GuardrailKey, GuardrailPolicy, GuardrailTarget, GuardrailVersion, Guardrails};
pub use iam::{Attached, Controls, FindingsAdmitted, OrganizationalUnit, Role, RoleKey, SPACE_SERVICE, Tags, User, UserKey};
pub use id::{
    AccountId, AgentId, IdError, OuId, PolicyName, Region, RoleName, ServerName, SpaceId, TOOL_NAME_LEN_MAX, TOOL_SEPARATOR,
    ToolName, UserName,
};
pub use invariant::{AgentsMeant, Invariant};
pub use label::{
    ArgumentRole, CallOrigin, Confidentiality, Integrity, Labels, OriginMeant, Provenance, RequestStanding, ResultLabels,
    ResultWord, ValueOrigin, plain_pointer,
};
pub use organization::{Account, ChangeReview, Organization, ServerKey};
pub use person::{Person, Proof};
pub use retention::{Archive, Framework, Retention, RetentionRule};
pub use sandbox::{Sandbox, SandboxHost, SandboxLimits, SandboxMechanism, SandboxNetwork, SandboxProfile};
pub use server::{
    AuthorizationCodeClient, Credential, Network, OAuthClient, ProtocolChoice, RegisteredClient, RegistryRules, RegistryStatus,
    Risk, SecretRef, Server, ServerLimits, ToolClass, ToolOverride, Transport,
};
pub use time::time_ms;
pub use trust::{DemotionRule, DemotionRules, PromotionRule, TierLimits, TrustRules, TrustTier};
pub use witness::{Witness, Witnessing};
pub use zone::TrustZone;
