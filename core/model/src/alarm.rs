//! Alarms over decisions: what is counted, when that is too much or too little, and what is done then.
//!
//! The words are CloudWatch's (API reference: `PutMetricAlarm`), so that an alarm can be carried over from there and back.

use serde::{Deserialize, Serialize};

use crate::{AgentId, Network, Risk, SecretRef, SpaceId};

/// Every reason of a denial or a hold, as decisions say it (`kernel::verdict::Reason`; a test there holds them together).
pub const REASONS: [&str; 29] = [
    "unauthenticated",
    "audience",
    "unknown_agent",
    "agent_suspended",
    "insufficient_scope",
    "not_in_space",
    "tool_not_listed",
    "tool_quarantined",
    "server_not_approved",
    "class_exceeds_mandate",
    "quota_exceeded",
    "budget_exceeded",
    "revoked",
    "suspended",
    "service_control_policy",
    "resource_control_policy",
    "role_trust",
    "resource_policy",
    "role_policy",
    "permissions_boundary",
    "session_policy",
    "tool_not_permitted",
    "risk_exceeds_policy",
    "trust_tier",
    "arguments_invalid",
    "policy_set",
    "guardrail",
    "approval_required",
    "could_not_decide",
];

/// What an alarm counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmMetric {
    /// Decisions of any kind.
    Decisions,
    /// Calls that were denied.
    Denials,
    /// Calls that wait for people.
    Holds,
    /// Calls of tools whose risk is high or critical, however they were decided.
    RiskyAttempts,
    /// Allowed calls that didn't end well.
    Errors,
    /// How long allowed calls took, in milliseconds.
    LatencyMs,
    /// Findings about behaviour.
    Findings,
    /// Their scores, in whole bits.
    FindingScore,
}

impl AlarmMetric {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decisions => "decisions",
            Self::Denials => "denials",
            Self::Holds => "holds",
            Self::RiskyAttempts => "risky_attempts",
            Self::Errors => "errors",
            Self::LatencyMs => "latency_ms",
            Self::Findings => "findings",
            Self::FindingScore => "finding_score",
        }
    }

    /// Its name in CloudWatch, in the namespace `AgentGovernance`.
    pub fn cloudwatch_name(self) -> &'static str {
        match self {
            Self::Decisions => "PolicyDecisions",
            Self::Denials => "PolicyDenied",
            Self::Holds => "PolicyHeld",
            Self::RiskyAttempts => "RiskyAttempts",
            Self::Errors => "CallErrors",
            Self::LatencyMs => "CallLatency",
            Self::Findings => "BehaviourFindings",
            Self::FindingScore => "BehaviourScore",
        }
    }

    /// Whether it is about how calls are decided, and not about how they end or what is found about them.
    pub fn is_of_decisions(self) -> bool {
        matches!(self, Self::Decisions | Self::Denials | Self::Holds | Self::RiskyAttempts)
    }

    /// Whether it is a value of each, and no count.
    pub fn is_value(self) -> bool {
        matches!(self, Self::LatencyMs | Self::FindingScore)
    }
}

/// What becomes of the values of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// They are added up: counts.
    #[default]
    Sum,
    /// Their mean.
    Average,
    /// The largest.
    Maximum,
}

impl Statistic {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Average => "average",
            Self::Maximum => "maximum",
        }
    }
}

/// When a period is breaching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// It comes to so much, or more.
    AtLeast(u64),
    /// It comes to less: what ought to happen doesn't.
    FewerThan(u64),
    /// It is so many percent of all there was, or more, where there was so much at least.
    Ratio {
        /// The share, in percent.
        percent: u64,
        /// Of how many at least: of few, every share is chance.
        of_at_least: u64,
    },
}

/// What a period without anything is (CloudWatch: `TreatMissingData`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingData {
    /// It says nothing; where all periods are so, there is insufficient data.
    #[default]
    Missing,
    /// The state stays what it is.
    Ignore,
    /// It is breaching.
    Breaching,
    /// It isn't.
    NotBreaching,
}

/// By what an alarm is told apart: each group has a state of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// By agent.
    Agent,
    /// By space.
    Space,
    /// By tool.
    Tool,
}

impl GroupBy {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Space => "space",
            Self::Tool => "tool",
        }
    }
}

/// The calls that count. An empty list says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallsCounted {
    /// By these agents.
    pub agents: Vec<AgentId>,
    /// In these spaces.
    pub spaces: Vec<SpaceId>,
    /// Of these tools, by the name in policies; one that ends in `*` means all that begin so.
    pub tools: Vec<String>,
    /// Denied for one of these reasons.
    pub reasons: Vec<String>,
}

/// How bad an alarm is, in PagerDuty's words (Events API v2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PagerSeverity {
    /// `critical`.
    Critical,
    /// `error`.
    #[default]
    Error,
    /// `warning`.
    Warning,
    /// `info`.
    Info,
}

impl PagerSeverity {
    /// PagerDuty's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// What is done when an alarm goes off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlarmAction {
    /// A signed request to an address; once more when it is over.
    Webhook {
        /// The address.
        url: String,
        /// The secret that requests are signed with.
        secret: SecretRef,
        /// Which addresses its name may resolve to.
        network: Network,
    },
    /// A message to a topic of Amazon SNS; once more when it is over.
    Sns {
        /// The topic's ARN.
        topic: String,
        /// The endpoint; `None` is AWS's own for the region.
        endpoint: Option<String>,
        /// The secret that holds the access key: `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, with `:SESSION_TOKEN` if there is one.
        credentials: SecretRef,
        /// Which addresses the endpoint may resolve to.
        network: Network,
    },
    /// An event for PagerDuty, which is resolved when it is over.
    PagerDuty {
        /// The secret that holds the integration's routing key.
        routing_key: SecretRef,
        /// How bad it is.
        severity: PagerSeverity,
        /// The endpoint; `None` is PagerDuty's own.
        endpoint: Option<String>,
        /// Which addresses the endpoint may resolve to.
        network: Network,
    },
    /// The agent is suspended, until somebody lets it go on. Only where alarms are told apart by agent.
    Suspend,
    /// An incident of the agent is recorded: where `trust` says so, it falls to a lower tier. Only where alarms are told apart by agent.
    Incident {
        /// How bad it is.
        severity: Risk,
    },
}

impl AlarmAction {
    /// The word for it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Sns { .. } => "sns",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Suspend => "suspend",
            Self::Incident { .. } => "incident",
        }
    }

    /// Whether it tells somebody, who is told as well when it is over.
    pub fn tells(&self) -> bool {
        matches!(self, Self::Webhook { .. } | Self::Sns { .. } | Self::PagerDuty { .. })
    }
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Its name, unique in the organization.
    pub name: String,
    /// What is counted.
    pub metric: AlarmMetric,
    /// What becomes of the values of a period.
    pub statistic: Statistic,
    /// Of which calls.
    pub calls: CallsCounted,
    /// When a period is breaching.
    pub threshold: Threshold,
    /// How long a period is, in seconds.
    pub period_secs: u64,
    /// How many of the last periods are looked at.
    pub evaluation_periods: u64,
    /// How many of them must be breaching.
    pub datapoints_to_alarm: u64,
    /// What a period without anything is.
    pub missing_data: MissingData,
    /// By what it is told apart; `None`: one state for everything.
    pub group_by: Option<GroupBy>,
    /// What is done.
    pub actions: Vec<AlarmAction>,
}
