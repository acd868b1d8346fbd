//! Who may agree, to what, and what comes of it.

use std::collections::BTreeMap;

use remit_model::{Approvals, Person, Proof, Risk};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Approval, ApprovalState, Ended, Grant, RuleAsked, Vote, exact_value};

/// How many people an emergency takes.
pub(super) const EMERGENCY_PEOPLE: usize = 2;
/// How many uses of one approval are named in it.
pub(super) const USES_KEPT_MAX: usize = 1_000;
/// The most votes of one approval.
const VOTES_MAX: usize = 50;
/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 2_000;
/// How recent a sign-in must be for a critical call where its rule doesn't say, in seconds.
const CRITICAL_AGE_SECS: u64 = 900;
/// The most pins of one approval.
const PINS_MAX: usize = 64;

/// To what somebody agrees.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// For how long, in seconds; without it: for one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_secs: Option<u64>,
    /// Values that arguments must have besides what was asked, by JSON pointer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: BTreeMap<String, Value>,
}

/// What a person says of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who.
    pub by: Person,
    /// Whether it agrees.
    pub approves: bool,
    /// Why.
    pub reason: String,
    /// To what.
    pub terms: Terms,
    /// Whether this is an emergency.
    pub break_glass: bool,
}

/// Why an answer doesn't count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has ended, or was agreed to.
    #[error("the approval is {}", .0.as_str())]
    NotPending(ApprovalState),
    /// This person may not decide it.
    #[error("{0}")]
    NotEligible(String),
    /// The person has said it already.
    #[error("{0} has answered already")]
    Again(String),
    /// What it says is no answer.
    #[error("{0}")]
    Invalid(String),
}

impl Approval {
    /// Whether a person may decide for a rule, at a time in seconds since the epoch.
    pub fn eligible(&self, rule: &RuleAsked, by: &Person, approvals: &Approvals, now_secs: u64) -> Result<(), String> {
        self.not_the_requester(by)?;
        let critical = self.risk == Risk::Critical;
        if by.id == self.owner && (critical || !rule.ask.owner_may) {
            return Err(format!("{} answers for the agent", by.id));
        }
        let waited = now_secs.saturating_sub(self.asked_at_secs);
        if !rule.ask.approvers.is_empty() {
            let asked_later = rule.ask.escalations.iter().filter(|escalation| escalation.after_secs <= waited);
            let mut lists = std::iter::once(&rule.ask.approvers).chain(asked_later.map(|escalation| &escalation.approvers));
            if !lists.any(|list| approvals.named(list, now_secs).contains(by.id.as_str())) {
                return Err(format!("{} is no approver of rule `{}`", by.id, rule.id));
            }
        }
        let asked = &rule.ask.authentication;
        let age_secs_max = asked.age_secs_max.or(critical.then_some(CRITICAL_AGE_SECS));
        proven(by, asked.proven || critical, &asked.acr, age_secs_max, now_secs)
    }

    fn not_the_requester(&self, by: &Person) -> Result<(), String> {
        let same = |name: &str| name.eq_ignore_ascii_case(&by.id);
        let asks = same(&self.agent) || self.user.as_deref().is_some_and(same) || self.requesters.iter().any(|name| same(name));
        if asks { Err(format!("{} asks for it, and can't agree to it", by.id)) } else { Ok(()) }
    }

    /// Takes an answer, at a time in seconds since the epoch. What it comes to is the new state.
    pub fn answer(&mut self, answer: Answer, approvals: &Approvals, now_secs: u64) -> Result<ApprovalState, Refusal> {
        self.expire(now_secs);
        if self.state != ApprovalState::Pending {
            return Err(Refusal::NotPending(self.state));
        }
        if answer.reason.len() > REASON_BYTES_MAX {
            return Err(Refusal::Invalid(format!("a reason has at most {REASON_BYTES_MAX} bytes")));
        }
        if self.votes.len() >= VOTES_MAX {
            return Err(Refusal::Invalid(format!("{VOTES_MAX} people have answered already")));
        }
        if self.votes.iter().any(|vote| vote.by.id == answer.by.id && vote.break_glass == answer.break_glass) {
            return Err(Refusal::Again(answer.by.id));
        }
        self.may(&answer, approvals, now_secs)?;
        let terms = if answer.approves { self.narrowed(answer.terms)? } else { Terms::default() };
        if answer.reason.trim().is_empty() && (!answer.approves || answer.break_glass) {
            let what = if answer.approves { "breaking the glass" } else { "a rejection" };
            return Err(Refusal::Invalid(format!("{what} needs a reason")));
        }
        let Answer { by, approves, reason, break_glass, .. } = answer;
        let (name, why) = (by.id.clone(), reason.clone());
        self.votes.push(Vote { by, approves, reason, at_secs: now_secs, terms, break_glass });
        if !approves {
            self.state = ApprovalState::Rejected;
            self.ended = Some(Ended { by: name, reason: why, at_secs: now_secs });
        } else if self.is_emergency() || self.rules.iter().all(|rule| self.agreed(rule, approvals).0 >= rule.ask.approvals) {
            self.grant = Some(self.granted(now_secs));
            self.state = ApprovalState::Approved;
        }
        Ok(self.state)
    }

    /// Whether a person may say this.
    fn may(&self, answer: &Answer, approvals: &Approvals, now_secs: u64) -> Result<(), Refusal> {
        if answer.break_glass {
            self.not_the_requester(&answer.by).map_err(Refusal::NotEligible)?;
            if !answer.approves {
                return Err(Refusal::Invalid("breaking the glass is no rejection".to_owned()));
            }
            return proven(&answer.by, true, &[], None, now_secs).map_err(Refusal::NotEligible);
        }
        let mut why = "no rule holds the call".to_owned();
        for rule in &self.rules {
            match self.eligible(rule, &answer.by, approvals, now_secs) {
                Ok(()) => return Ok(()),
                Err(said) => why = said,
            }
        }
        Err(Refusal::NotEligible(why))
    }

    /// The terms, if they only narrow what was asked.
    fn narrowed(&self, terms: Terms) -> Result<Terms, Refusal> {
        let longest = self.rules.iter().map(|rule| rule.ask.grant_secs_max).min().flatten();
        match (terms.ttl_secs, longest) {
            (Some(0), _) => return Err(Refusal::Invalid("an approval holds for at least one second".to_owned())),
            (Some(_), None) => {
                return Err(Refusal::Invalid("the rules allow an approval of one call alone, not of a time".to_owned()));
            }
            (Some(ttl), Some(max)) if ttl > max => {
                return Err(Refusal::Invalid(format!("the rules allow at most {max} seconds")));
            }
            _ => {}
        }
        if terms.pins.len() > PINS_MAX {
            return Err(Refusal::Invalid(format!("an approval has at most {PINS_MAX} pins")));
        }
        let asked = exact_value(&self.arguments).unwrap_or_default();
        for (pointer, wanted) in &terms.pins {
            if asked.pointer(pointer) != Some(wanted) {
                let what = format!("`{pointer}` isn't so in the call that was asked for: an approval may narrow, never widen");
                return Err(Refusal::Invalid(what));
            }
        }
        Ok(terms)
    }

    /// What all who agreed have agreed to: the narrowest.
    fn granted(&self, now_secs: u64) -> Grant {
        let votes = || self.votes.iter().filter(|vote| vote.approves);
        let single_use = votes().any(|vote| vote.terms.ttl_secs.is_none());
        let waits = self.rules.iter().map(|rule| rule.ask.pending_secs).min().unwrap_or_default();
        let ttl = votes().filter_map(|vote| vote.terms.ttl_secs).min().filter(|_| !single_use).unwrap_or(waits);
        let mut pins = self.pattern.clone().unwrap_or_default();
        pins.extend(votes().flat_map(|vote| vote.terms.pins.clone()));
        // A pattern that is good for one call is the call that was asked for.
        let exact = single_use || self.pattern.is_none();
        Grant { single_use, until_secs: now_secs.saturating_add(ttl), pins, exact }
    }
}

/// Whether a person has proved well enough who it is.
fn proven(by: &Person, needed: bool, acr: &[String], age_secs_max: Option<u64>, now_secs: u64) -> Result<(), String> {
    match &by.proof {
        Proof::Token if needed => {
            Err(format!("nothing proves that it is {}: sign in, or sign with the key that `approvers` names", by.id))
        }
        Proof::Token => Ok(()),
        // The signature was made for this very answer: nothing is more recent. How its holder was authenticated isn't known.
        Proof::Key | Proof::Channel if acr.is_empty() => Ok(()),
        Proof::Key | Proof::Channel => {
            Err(format!("a sign-in with `acr` {} is needed, and this says nothing of that", acr.join(" or ")))
        }
        Proof::SignIn { acr: said, auth_time_secs, .. } => {
            if !acr.is_empty() && !said.as_ref().is_some_and(|said| acr.contains(said)) {
                return Err(format!("a sign-in with `acr` {} is needed: sign in again, more strongly", acr.join(" or ")));
            }
            let Some(max) = age_secs_max else { return Ok(()) };
            let recent = auth_time_secs.is_some_and(|at| at <= now_secs.saturating_add(60) && now_secs.saturating_sub(at) <= max);
            if recent { Ok(()) } else { Err(format!("a sign-in of the last {max} seconds is needed: sign in again")) }
        }
    }
}
