//! Approvals: a person's narrow, expiring yes to one call or pattern, as a state machine over values. Time is an argument; who keeps them
//! durably is the shell's affair.
//!
//! ```text
//! PENDING ─┬─► APPROVED ─┬─► REDEEMED
//!          │             ├─► REVOKED
//!          ├─► REJECTED  └─► EXPIRED
//!          ├─► REVOKED
//!          └─► EXPIRED
//! ```
//!
//! What was asked is bound by digest: other arguments need another approval. An approver may narrow what was asked, never widen it. Whether
//! enough of the right people agreed is judged anew whenever an approval is used, under the rules of then: who is no approver any more has
//! not agreed.

mod held;
mod vote;

use std::collections::BTreeMap;

use remit_mcp::canonical::{canonical_text, hex, sha256};
use remit_model::{Approvals, Ask, CallOrigin, Person, Proof, Risk, ToolClass};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use held::{Hold, Holds};
pub use vote::{Answer, Refusal, Terms};

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApprovalState {
    /// It waits for people.
    Pending,
    /// Enough of them agreed; it has not been used up.
    Approved,
    /// Somebody who may has said no.
    Rejected,
    /// It was used up.
    Redeemed,
    /// It was taken back.
    Revoked,
    /// Its time is over.
    Expired,
}

impl ApprovalState {
    /// Every state.
    pub const ALL: &[Self] = &[Self::Pending, Self::Approved, Self::Rejected, Self::Redeemed, Self::Revoked, Self::Expired];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Redeemed => "REDEEMED",
            Self::Revoked => "REVOKED",
            Self::Expired => "EXPIRED",
        }
    }

    /// The state of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.as_str() == word)
    }

    /// Whether nothing can come of it any more.
    pub fn has_ended(self) -> bool {
        !matches!(self, Self::Pending | Self::Approved)
    }
}

/// A rule as it was when it held the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleAsked {
    /// Its id.
    pub id: String,
    /// Where it stands: file and line.
    pub origin: String,
    /// Who has to agree, and how.
    pub ask: Ask,
}

/// A call that came before, in the same session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Its decision.
    pub decision: String,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The tool.
    pub tool: String,
    /// `ALLOW`, `DENY` or `HOLD`.
    pub verdict: String,
}

/// What somebody said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who.
    pub by: Person,
    /// Whether it agrees.
    pub approves: bool,
    /// Why; a rejection always has a reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When, in seconds since the epoch.
    pub at_secs: u64,
    /// To what it agrees.
    pub terms: Terms,
    /// Whether it was said in an emergency, by somebody who needn't be among the rule's approvers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub break_glass: bool,
}

/// What was agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Whether it is for one call alone.
    pub single_use: bool,
    /// Until when, in seconds since the epoch.
    pub until_secs: u64,
    /// Values that arguments must have, by JSON pointer. Of a call that was asked for whole every argument is bound anyhow.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: BTreeMap<String, Value>,
    /// Whether the arguments must be the very ones that were asked for.
    pub exact: bool,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Who ended it: a person, or what of Remit did.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, in seconds since the epoch.
    pub at_secs: u64,
}

/// What becomes of an emergency afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Who looked at it.
    pub by: Person,
    /// What was found.
    pub reason: String,
    /// When, in seconds since the epoch.
    pub at_secs: u64,
}

/// A call that waits for people, or waited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: ApprovalState,
    /// The decision that held the call.
    pub decision: String,
    /// When it was asked for, in seconds since the epoch.
    pub asked_at_secs: u64,
    /// Until when it waits, in seconds since the epoch.
    pub expires_at_secs: u64,
    /// The agent that asks.
    pub agent: String,
    /// The agent's owner.
    pub owner: String,
    /// The user on whose behalf it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Names under which whoever asks may be known elsewhere: they can't approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requesters: Vec<String>,
    /// The agent with the user and the role in which it asks, as [`crate::PolicyCaller`] names it.
    pub principal: String,
    /// The space.
    pub space: String,
    /// The server.
    pub server: String,
    /// The tool's name in policies.
    pub tool: String,
    /// The digest of its definition.
    pub tool_digest: String,
    /// Its class.
    pub class: ToolClass,
    /// The call's risk.
    pub risk: Risk,
    /// The tool's categories.
    pub categories: Vec<String>,
    /// The arguments, as they were sent: JSON text.
    pub arguments: String,
    /// The salt of their digest, which people sign and the journal tells: whoever has only that can't guess them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub arguments_salt: String,
    /// The digest of their canonical form, salted.
    pub arguments_digest: String,
    /// What the session had touched, and what stands behind the arguments, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<CallOrigin>,
    /// Values to which a pattern is bound, by JSON pointer; `None` asks for this very call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<BTreeMap<String, Value>>,
    /// The rules that hold the call.
    pub rules: Vec<RuleAsked>,
    /// The last calls of the session before it, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub led_to: Vec<Before>,
    /// What was said, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
    /// What was agreed to, once enough agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
    /// The decisions that it let through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redeemed_by: Vec<String>,
    /// How it ended, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// The review that an emergency needs afterwards, once it has been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// How many escalations have taken place.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub escalated: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A call as far as approvals are bound to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallAsked<'a> {
    /// The space.
    pub space: &'a str,
    /// Who asks, as [`crate::PolicyCaller`] names it.
    pub principal: &'a str,
    /// The tool's name in policies.
    pub tool: &'a str,
    /// The digest of its definition.
    pub tool_digest: &'a str,
    /// The arguments: JSON text.
    pub arguments: &'a str,
}

/// The digest to which an approval of arguments is bound: two texts that any reader tells apart have different ones.
pub fn arguments_digest(salt: &str, arguments: &str) -> String {
    let form = canonical_text(arguments).unwrap_or_else(|| arguments.to_owned());
    format!("sha256:{}", hex(&sha256(format!("{salt}\n{form}").as_bytes())))
}

impl Approval {
    /// Whether this is what another call asks for as well: nobody is asked twice for the same.
    pub fn asks_for(&self, call: &CallAsked<'_>) -> bool {
        self.same_target(call) && self.arguments_digest == arguments_digest(&self.arguments_salt, call.arguments)
    }

    fn same_target(&self, call: &CallAsked<'_>) -> bool {
        self.space == call.space
            && self.principal == call.principal
            && self.tool == call.tool
            && self.tool_digest == call.tool_digest
    }

    /// Whether it lets a call through that these rules hold, at a time in seconds since the epoch.
    pub fn covers(&self, call: &CallAsked<'_>, rules: &[&RuleAsked], approvals: &Approvals, now_secs: u64) -> bool {
        let Some(grant) = self.grant.as_ref().filter(|_| self.state == ApprovalState::Approved) else { return false };
        let fresh = !grant.single_use || self.redeemed_by.is_empty();
        let bound = if grant.exact {
            self.arguments_digest == arguments_digest(&self.arguments_salt, call.arguments)
        } else {
            pinned(&grant.pins, call.arguments)
        };
        fresh
            && now_secs < grant.until_secs
            && self.same_target(call)
            && bound
            && (self.is_emergency() || rules.iter().all(|rule| self.agreed(rule, approvals).0 >= rule.ask.approvals))
    }

    /// Whether enough people said so in an emergency: two whose names are proven.
    pub fn is_emergency(&self) -> bool {
        let mut people: Vec<&str> = self
            .votes
            .iter()
            .filter(|vote| vote.approves && vote.break_glass && vote.by.proof != Proof::Token)
            .map(|vote| vote.by.id.as_str())
            .collect();
        people.sort_unstable();
        people.dedup();
        people.len() >= vote::EMERGENCY_PEOPLE
    }

    /// Whether an emergency still has to be looked at.
    pub fn awaits_review(&self) -> bool {
        self.is_emergency() && self.review.is_none()
    }

    /// How many people who may have agreed for a rule, and how many must.
    pub fn agreed(&self, rule: &RuleAsked, approvals: &Approvals) -> (u32, u32) {
        let mut people: Vec<&str> = Vec::new();
        for vote in self.votes.iter().filter(|vote| vote.approves && !vote.break_glass) {
            let counts = self.eligible(rule, &vote.by, approvals, vote.at_secs).is_ok();
            if counts && !people.contains(&vote.by.id.as_str()) {
                people.push(&vote.by.id);
            }
        }
        (u32::try_from(people.len()).unwrap_or(u32::MAX), rule.ask.approvals)
    }

    /// Uses it for a decision; `false` if it can't be used any more.
    pub fn redeem(&mut self, decision: &str, now_secs: u64) -> bool {
        let Some(grant) = self.grant.as_ref().filter(|_| self.state == ApprovalState::Approved) else { return false };
        if now_secs >= grant.until_secs || (grant.single_use && !self.redeemed_by.is_empty()) {
            return false;
        }
        let single_use = grant.single_use;
        if self.redeemed_by.len() < vote::USES_KEPT_MAX {
            self.redeemed_by.push(decision.to_owned());
        }
        if single_use {
            self.state = ApprovalState::Redeemed;
            self.ended =
                Some(Ended { by: "gateway".to_owned(), reason: format!("used by decision {decision}"), at_secs: now_secs });
        }
        true
    }

    /// Takes it back; `false` if it has ended.
    pub fn revoke(&mut self, by: &str, reason: &str, now_secs: u64) -> bool {
        self.end(ApprovalState::Revoked, by, reason, now_secs)
    }

    /// Ends it if its time is over; whether it has just ended.
    pub fn expire(&mut self, now_secs: u64) -> bool {
        match (self.state, &self.grant) {
            (ApprovalState::Pending, _) if now_secs >= self.expires_at_secs => {
                self.end(ApprovalState::Expired, "time", "nobody agreed in time", now_secs)
            }
            (ApprovalState::Approved, Some(grant)) if now_secs >= grant.until_secs => {
                // What was used while it held has served its purpose.
                let (state, reason) = if self.redeemed_by.is_empty() {
                    (ApprovalState::Expired, "it was not used in time")
                } else {
                    (ApprovalState::Redeemed, "its time is over")
                };
                self.end(state, "time", reason, now_secs)
            }
            _ => false,
        }
    }

    fn end(&mut self, state: ApprovalState, by: &str, reason: &str, now_secs: u64) -> bool {
        if self.state.has_ended() {
            return false;
        }
        self.state = state;
        self.ended = Some(Ended { by: by.to_owned(), reason: reason.to_owned(), at_secs: now_secs });
        true
    }
}

/// Whether arguments have these values, each compared in its canonical form.
fn pinned(pins: &BTreeMap<String, Value>, arguments: &str) -> bool {
    // What doesn't survive being read as a value is told apart by nothing else than its text: it needs an approval of its own.
    let Some(value) = exact_value(arguments) else { return false };
    pins.iter().all(|(pointer, wanted)| value.pointer(pointer) == Some(wanted))
}

/// The value of JSON text, if none of its numbers loses a digit by being read.
pub(crate) fn exact_value(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    let read_again = canonical_text(&value.to_string())?;
    (canonical_text(text)? == read_again).then_some(value)
}
