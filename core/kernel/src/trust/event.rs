//! What the journal says that trust hangs on.

use remit_model::{TrustTier, time_ms};
use serde::Deserialize;

/// An event of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in seconds since the epoch.
    pub at_secs: u64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A call was decided.
    Decided {
        /// The decision.
        decision: String,
        /// The agent.
        agent: String,
        /// The tool's categories.
        categories: Vec<String>,
        /// Whether it was allowed; a call that waits for people is neither.
        allowed: bool,
        /// Whether it was denied for something that the agent asked for.
        denied: bool,
        /// Whether a guardrail blocked what it asked for.
        blocked: bool,
    },
    /// A call ended.
    Ended {
        /// Its decision.
        decision: String,
        /// Whether it ended well.
        ok: bool,
    },
    /// A person answered a request for approval.
    Voted {
        /// The approval.
        approval: String,
        /// Who asked.
        agent: String,
        /// The tool's categories.
        categories: Vec<String>,
        /// Whether it was a no.
        rejects: bool,
        /// Whether less was approved than was asked for.
        narrowed: bool,
    },
    /// An approval came to its end.
    Closed {
        /// The approval.
        approval: String,
        /// Who asked.
        agent: String,
        /// The tool's categories.
        categories: Vec<String>,
        /// Whether it was used.
        redeemed: bool,
        /// Whether it was a no.
        rejected: bool,
    },
    /// The agent was suspended.
    Suspended {
        /// The agent.
        agent: String,
    },
    /// A person says that the agent did harm.
    Incident {
        /// The agent.
        agent: String,
        /// The category; `None`: all of them.
        category: Option<String>,
    },
    /// A person signed a promotion.
    Promoted {
        /// The agent.
        agent: String,
        /// The category.
        category: String,
        /// From this tier.
        from: TrustTier,
        /// To this one.
        to: TrustTier,
        /// Who signed.
        by: String,
    },
    /// A demotion was recorded.
    Demoted {
        /// The agent.
        agent: String,
        /// The category.
        category: String,
        /// From this tier.
        from: TrustTier,
        /// To this one.
        to: TrustTier,
    },
}

/// Reasons of denials that say nothing about what an agent tries: they follow from its standing, or are nobody's or somebody else's doing.
const NOT_ITS_DOING: [&str; 9] = [
    "trust_tier",
    "suspended",
    "agent_suspended",
    "revoked",
    "unauthenticated",
    "tool_quarantined",
    "quota_exceeded",
    "budget_exceeded",
    "could_not_decide",
];

/// Whether a denial for this reason says something about what the agent tries.
pub(crate) fn is_own_doing(reason: &str) -> bool {
    !NOT_ITS_DOING.contains(&reason)
}

/// The fields of every entry that is read.
#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    time: String,
    id: Option<String>,
    agent: Option<String>,
    verdict: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    categories: Vec<String>,
    decision: Option<String>,
    outcome: Option<String>,
    approval: Option<String>,
    state: Option<String>,
    #[serde(default)]
    narrowed: bool,
    category: Option<String>,
    from: Option<TrustTier>,
    to: Option<TrustTier>,
    by: Option<String>,
}

impl Event {
    /// Reads an entry of the journal; `None` if trust doesn't hang on it.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Typed<'a> {
            #[serde(borrow, rename = "type")]
            kind: std::borrow::Cow<'a, str>,
        }
        let known = [
            "decision",
            "outcome",
            "approval_voted",
            "approval_ended",
            "suspension",
            "incident",
            "trust_promoted",
            "trust_demoted",
        ];
        // As Remit writes most of them; others are asked what they are before they are read whole.
        let often = [&b"{\"v\":1,\"type\":\"decision\""[..], b"{\"v\":1,\"type\":\"outcome\""];
        if !often.iter().any(|often| bytes.starts_with(often)) {
            let typed: Typed<'_> = serde_json::from_slice(bytes).ok()?;
            if !known.contains(&&*typed.kind) {
                return None;
            }
        }
        let entry: Entry = serde_json::from_slice(bytes).ok()?;
        let at_secs = time_ms(&entry.time)? / 1000;
        Some(Self { at_secs, what: entry.what()? })
    }
}

impl Entry {
    fn what(self) -> Option<What> {
        let is = |text: &Option<String>, word: &str| text.as_deref() == Some(word);
        // A tool without categories counts under one of its own.
        let mut categories = self.categories;
        if categories.is_empty() {
            categories.push(super::OTHER.to_owned());
        }
        match self.kind.as_str() {
            "decision" => Some(What::Decided {
                decision: self.id?,
                agent: self.agent?,
                categories,
                allowed: is(&self.verdict, "ALLOW"),
                blocked: is(&self.verdict, "DENY") && is(&self.reason, "guardrail"),
                denied: is(&self.verdict, "DENY") && self.reason.as_deref().is_some_and(is_own_doing),
            }),
            "outcome" => Some(What::Ended { decision: self.decision?, ok: is(&self.outcome, "ok") }),
            "approval_voted" => Some(What::Voted {
                approval: self.approval?,
                agent: self.agent?,
                categories,
                rejects: is(&self.verdict, "REJECT"),
                narrowed: self.narrowed,
            }),
            "approval_ended" => Some(What::Closed {
                approval: self.approval?,
                agent: self.agent?,
                categories,
                redeemed: is(&self.state, "REDEEMED"),
                rejected: is(&self.state, "REJECTED"),
            }),
            "suspension" => Some(What::Suspended { agent: self.agent? }),
            "incident" => Some(What::Incident { agent: self.agent?, category: self.category }),
            "trust_promoted" => Some(What::Promoted {
                agent: self.agent?,
                category: self.category?,
                from: self.from?,
                to: self.to?,
                by: self.by?,
            }),
            "trust_demoted" => {
                Some(What::Demoted { agent: self.agent?, category: self.category?, from: self.from?, to: self.to? })
            }
            _ => None,
        }
    }
}
