//! What needs a person: rules that hold calls until somebody has agreed, and the people who may.

use std::collections::{BTreeMap, BTreeSet};

use crate::{AgentId, OriginMeant, Risk, SpaceId, ToolClass, TrustTier};

/// A rule that holds calls until people have agreed to them. Every condition that is given must be true of a call.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ApprovalRule {
    /// Its id, unique in the organization.
    pub id: String,
    /// Where it stands: file and line.
    pub origin: String,
    /// The calls that it holds.
    pub calls: CallsHeld,
    /// Who has to agree, and how.
    pub ask: Ask,
}

/// The calls that a rule holds. An empty list says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct CallsHeld {
    /// Of these tools, by the name in policies; one that ends in `*` means all that begin so.
    pub tools: Vec<String>,
    /// Of tools of any of these categories.
    pub categories: Vec<String>,
    /// Of tools of these classes.
    pub classes: Vec<ToolClass>,
    /// Of at least this risk.
    pub risk_min: Option<Risk>,
    /// By agents whose trust tier in the tool's categories is at most this.
    pub trust_max: Option<TrustTier>,
    /// By these agents.
    pub agents: Vec<AgentId>,
    /// In these spaces.
    pub spaces: Vec<SpaceId>,
    /// On a user's behalf, or not.
    pub delegated: Option<bool>,
    /// In sessions that have touched this, or with values that come from there.
    #[serde(default, skip_serializing_if = "OriginMeant::is_empty")]
    pub origin: OriginMeant,
    /// Of which this is true: an expression of Cedar over `principal`, `action`, `resource` and `context`.
    pub when: Option<String>,
}

/// Who has to agree, and how.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ask {
    /// How many different people must agree.
    pub approvals: u32,
    /// The people and groups who may; empty: whoever may decide approvals at all.
    pub approvers: Vec<String>,
    /// Whether the agent's owner may be one of them.
    pub owner_may: bool,
    /// How they must have proved who they are.
    pub authentication: Authentication,
    /// How long a call waits for them, in seconds; then it has to be asked anew.
    pub pending_secs: u64,
    /// How long the call itself is kept open meanwhile, in seconds.
    pub wait_secs: u64,
    /// For how long an approval may hold at most, in seconds; `None`: for one call alone.
    pub grant_secs_max: Option<u64>,
    /// Who is asked besides, when nobody has answered for a time.
    pub escalations: Vec<Escalation>,
    /// The channels that are told, by name.
    pub channels: Vec<String>,
}

/// Who is asked besides.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Escalation {
    /// After how long, in seconds since it was asked.
    pub after_secs: u64,
    /// People and groups who may agree from then on.
    pub approvers: Vec<String>,
    /// The channels that are told then, by name.
    pub channels: Vec<String>,
}

/// How an approver must have proved who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Authentication {
    /// Whether a name that nothing proves is not enough: a key or a sign-in is needed.
    pub proven: bool,
    /// A sign-in whose `acr` is one of these; empty: any.
    pub acr: Vec<String>,
    /// A sign-in at most this long ago, in seconds.
    pub age_secs_max: Option<u64>,
}

/// Somebody who decides approvals.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Approver {
    /// The name in records: what a provider vouches for at sign-in, such as an address.
    pub id: String,
    /// The public key that decisions from the command line are signed with, as C2SP signed notes write it.
    pub key: Option<String>,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// Until when it is away, in seconds since the epoch, and who decides in its place.
    pub away: Option<Away>,
}

/// An absence.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Away {
    /// Until when, in seconds since the epoch.
    pub until_secs: u64,
    /// Who decides in its place.
    pub deputy: String,
}

/// Where those who must agree are told that something waits for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// A signed request to an address.
    Webhook {
        /// The address.
        url: String,
        /// The secret that requests are signed with.
        secret: crate::SecretRef,
        /// Which addresses its name may resolve to.
        network: crate::Network,
        /// The name under which it decides, as an approver: then it is given links that decide without a sign-in, each good once.
        approver: Option<String>,
    },
    /// A state machine that is started with the approval, and whose result decides.
    StepFunctions {
        /// The state machine's ARN.
        state_machine: String,
        /// The endpoint; `None` is AWS's own for the region.
        endpoint: Option<String>,
        /// The secret that holds the access key: `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, with `:SESSION_TOKEN` if there is one.
        credentials: crate::SecretRef,
        /// Which addresses the endpoint may resolve to.
        network: crate::Network,
        /// The name under which its result decides, as an approver.
        approver: String,
    },
}

/// Everything that says which calls wait for people, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Approvals {
    /// The rules.
    pub rules: Vec<ApprovalRule>,
    /// The people, by id.
    pub approvers: BTreeMap<String, Approver>,
    /// The channels, by name.
    pub channels: BTreeMap<String, Channel>,
}

impl Approvals {
    /// The ids of those whom a list of people and groups means at a time, deputies of whoever is away among them.
    pub fn named(&self, list: &[String], now_secs: u64) -> BTreeSet<&str> {
        let mut ids: BTreeSet<&str> = BTreeSet::new();
        for name in list {
            match self.approvers.get(name) {
                Some(approver) => drop(ids.insert(&approver.id)),
                None => ids.extend(
                    self.approvers.values().filter(|approver| approver.groups.contains(name)).map(|found| found.id.as_str()),
                ),
            }
        }
        // A deputy's deputy is nobody's: an absence is handed on once.
        let away = |id: &&str| self.approvers.get(*id).and_then(|approver| approver.away.as_ref());
        let deputies: Vec<&str> = ids
            .iter()
            .filter_map(away)
            .filter(|away| away.until_secs > now_secs)
            .filter_map(|away| self.approvers.get(&away.deputy))
            .map(|deputy| deputy.id.as_str())
            .collect();
        ids.extend(deputies);
        ids
    }
}
