//! Which records of calls may go: those whose time is over and that no legal hold keeps, or those of one person who is to be forgotten.
//!
//! Only decisions and their outcomes ever go, each with the other; what else the journal holds says what was in effect, who agreed, and what
//! was erased.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use remit_model::{Retention, ToolClass, time_ms};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

const DAY_MS: u64 = 86_400_000;
/// For so long temporal conditions look back on calls: a start reads those from the journal.
const HISTORY_DAYS: u32 = 31;

/// Records that nobody may erase, whatever their age: a legal hold. What isn't named fits anything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Calls of this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Calls on behalf of this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Calls in this space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// Calls of this tool, by its name in policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Calls from this time on, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_secs: Option<u64>,
    /// Calls before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_secs: Option<u64>,
}

impl Hold {
    /// Whether it may keep records of this space.
    pub fn may_be_in(&self, space: &str) -> bool {
        self.space.as_deref().is_none_or(|held| held == space)
    }
}

/// Legal holds by name.
pub type Holds = BTreeMap<String, Hold>;

/// What a record says that retention hangs on.
#[derive(Debug, Deserialize)]
struct Record<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    decision: Cow<'a, str>,
    #[serde(borrow, default)]
    verdict: Cow<'a, str>,
    #[serde(borrow, default)]
    agent: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    user: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    space: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tool: Option<Cow<'a, str>>,
    #[serde(default)]
    class: Option<ToolClass>,
    #[serde(default)]
    history: Option<IgnoredAny>,
}

impl Hold {
    /// Whether it keeps a decision; of an outcome, which names no user, whether it might.
    fn keeps(&self, record: &Record<'_>, at_ms: u64) -> bool {
        let is = |wanted: &Option<String>, found: &Option<Cow<'_, str>>| {
            wanted.as_deref().is_none_or(|wanted| found.as_deref() == Some(wanted))
        };
        let of_user = record.kind == "outcome" || is(&self.user, &record.user);
        of_user
            && is(&self.agent, &record.agent)
            && is(&self.space, &record.space)
            && is(&self.tool, &record.tool)
            && self.since_secs.is_none_or(|since| at_ms >= since.saturating_mul(1000))
            && self.until_secs.is_none_or(|until| at_ms < until.saturating_mul(1000))
    }
}

/// What is said of a call's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Goes,
    Stays,
    /// It would go, but for its outcome, which can't go yet.
    Waits,
}

/// What one sweep leaves to the next: calls whose outcome has not come, with what was said of their decision, and the holds that there were.
#[derive(Debug, Clone, Default)]
pub struct Open {
    calls: HashMap<String, Said>,
    holds: Holds,
}

/// Why records go.
#[derive(Debug, Clone, Copy)]
pub enum Why<'a> {
    /// Their time is over.
    Retention(&'a Retention),
    /// They are of calls on behalf of this person.
    User(&'a str),
    /// It is recorded already that they went.
    Told,
}

/// Goes through the journal's entries in their order and says which may go.
#[derive(Debug)]
pub struct Sweep<'a> {
    why: Why<'a>,
    holds: &'a Holds,
    now_ms: u64,
    /// Decisions whose outcome is where nothing can be erased, or has not come.
    waits: Option<&'a HashSet<String>>,
    /// Allowed calls whose outcome has not come yet.
    calls: HashMap<String, Said>,
    /// The same of an earlier sweep, and the holds that it knew.
    earlier: Option<Open>,
    kept_by_holds: u64,
    waiting: u64,
}

impl<'a> Sweep<'a> {
    /// A sweep at this time, in milliseconds since the epoch.
    pub fn new(why: Why<'a>, holds: &'a Holds, now_ms: u64) -> Self {
        Self { why, holds, now_ms, waits: None, calls: HashMap::new(), earlier: None, kept_by_holds: 0, waiting: 0 }
    }

    /// The same with what an earlier one left open; `None` if there was none.
    #[must_use]
    pub fn with_open(mut self, open: Option<Open>) -> Self {
        self.earlier = open;
        self
    }

    /// The same, but decisions of these ids stay: their outcomes can't go yet, and one would be left alone.
    #[must_use]
    pub fn waiting_for(mut self, outcomes: &'a HashSet<String>) -> Self {
        self.waits = Some(outcomes);
        self
    }

    /// How many records would have gone, but for a hold; and what was said of calls whose outcome has not come, for the next sweep of the same
    /// kind to go on with.
    pub fn end(self) -> (u64, Open) {
        let Open { mut calls, holds } = self.earlier.unwrap_or_else(|| Open { calls: HashMap::new(), holds: self.holds.clone() });
        calls.extend(self.calls);
        // What all of those calls were held to.
        let holds = holds.into_iter().filter(|(name, hold)| self.holds.get(name) == Some(hold)).collect();
        (self.kept_by_holds, Open { calls, holds })
    }

    /// How many records would have gone, but for outcomes that can't go yet.
    pub fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Whether an entry may go. What isn't understood stays.
    pub fn goes(&mut self, entry: &[u8]) -> bool {
        let Ok(record) = serde_json::from_slice::<Record<'_>>(entry) else { return false };
        let Some(at_ms) = time_ms(&record.time) else { return false };
        match &*record.kind {
            "decision" => {
                let waits = self.waits.is_some_and(|waits| waits.contains(&*record.id));
                let said = if !self.judge(&record, at_ms) {
                    Said::Stays
                } else if waits {
                    Said::Waits
                } else {
                    Said::Goes
                };
                self.waiting += u64::from(said == Said::Waits);
                if record.verdict == "ALLOW" {
                    self.calls.insert(record.id.into_owned(), said);
                }
                said == Said::Goes
            }
            // With its decision; alone only where that is gone already, and then as late as any class could ask for.
            "outcome" => {
                let said = self.calls.remove(&*record.decision);
                match said.or_else(|| self.said_earlier(&record, at_ms)) {
                    Some(said) => {
                        self.waiting += u64::from(said == Said::Waits);
                        said == Said::Goes
                    }
                    None => !matches!(self.why, Why::User(_)) && self.judge(&record, at_ms),
                }
            }
            _ => false,
        }
    }

    /// What an earlier sweep said of an outcome's decision. A hold that came since keeps what isn't gone.
    fn said_earlier(&mut self, outcome: &Record<'_>, at_ms: u64) -> Option<Said> {
        let earlier = self.earlier.as_mut()?;
        let said = earlier.calls.remove(&*outcome.decision)?;
        let newer = self.holds.iter().filter(|(name, hold)| earlier.holds.get(*name) != Some(hold));
        if said == Said::Goes && newer.map(|(_, hold)| hold).any(|hold| hold.keeps(outcome, at_ms)) {
            self.kept_by_holds += 1;
            return Some(Said::Stays);
        }
        Some(said)
    }

    fn judge(&mut self, record: &Record<'_>, at_ms: u64) -> bool {
        let over = match self.why {
            Why::Retention(rules) => rules
                .days(record.space.as_deref().unwrap_or_default(), record.class)
                // Else a restart would forget what conditions over time must know.
                .map(|days| if record.history.is_some() { days.max(HISTORY_DAYS) } else { days })
                .is_some_and(|days| at_ms.saturating_add(u64::from(days) * DAY_MS) <= self.now_ms),
            Why::User(user) => record.user.as_deref() == Some(user),
            Why::Told => true,
        };
        if over && self.holds.values().any(|hold| hold.keeps(record, at_ms)) {
            self.kept_by_holds += 1;
            return false;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use remit_model::RetentionRule;
    use serde_json::json;

    use super::*;

    fn decision(id: &str, day: u32, class: &str, user: Option<&str>) -> Vec<u8> {
        let mut entry = json!({"v": 1, "type": "decision", "time": format!("2026-01-{day:02}T00:00:00.000Z"), "id": id, "verdict": "ALLOW",
            "agent": "a", "space": "s", "tool": "x___y", "class": class});
        if let Some(user) = user {
            entry["user"] = json!(user);
        }
        entry.to_string().into_bytes()
    }

    fn outcome(id: &str, day: u32) -> Vec<u8> {
        json!({"v": 1, "type": "outcome", "time": format!("2026-01-{day:02}T00:00:09.000Z"), "decision": id, "agent": "a", "space": "s",
            "tool": "x___y", "outcome": "ok"})
        .to_string()
        .into_bytes()
    }

    const JAN_20: u64 = 1_768_867_200_000;

    #[test]
    fn a_call_goes_whole_when_its_time_is_over() {
        assert_eq!(time_ms("2026-01-20T00:00:00.000Z"), Some(JAN_20));
        let rule = RetentionRule { spaces: Vec::new(), classes: vec![ToolClass::ReadOnly], days: 10 };
        let rules = Retention { rules: vec![rule], days: Some(15), archive: None };
        let holds = Holds::new();
        let mut sweep = Sweep::new(Why::Retention(&rules), &holds, JAN_20);
        // Ten days for one, fifteen for the other; a day that ends now is over.
        for (id, day, class, goes) in
            [("1", 10, "READ_ONLY", true), ("2", 11, "READ_ONLY", false), ("3", 5, "MUTATIVE", true), ("4", 6, "MUTATIVE", false)]
        {
            assert_eq!(sweep.goes(&decision(id, day, class, None)), goes, "{id}");
            assert_eq!(sweep.goes(&outcome(id, day)), goes, "{id}");
        }
        // An outcome whose decision is gone.
        assert!(sweep.goes(&outcome("0", 4)) && !sweep.goes(&outcome("0", 8)));
        for kind in ["configuration", "trust_promoted", "entries_erased", "approval_voted", "outcome", "decision"] {
            assert!(!sweep.goes(json!({"type": kind, "time": "then"}).to_string().as_bytes()), "{kind}");
        }
        let other = json!({"type": "incident", "time": "2001-01-01T00:00:00.000Z", "agent": "a", "space": "s"});
        assert!(!sweep.goes(other.to_string().as_bytes()) && !sweep.goes(b"nonsense"));
    }

    #[test]
    fn a_hold_keeps_what_it_names() {
        let rules = Retention { rules: Vec::new(), days: Some(1), archive: None };
        let hold = |set: fn(&mut Hold)| {
            let mut hold = Hold::default();
            set(&mut hold);
            Holds::from([("case".to_owned(), hold)])
        };
        let kept = |holds: &Holds| {
            let mut sweep = Sweep::new(Why::Retention(&rules), holds, JAN_20);
            let went = sweep.goes(&decision("1", 5, "MUTATIVE", Some("ann")));
            assert_eq!(sweep.goes(&outcome("1", 5)), went, "the outcome with its decision");
            assert_eq!(sweep.end().0, u64::from(!went));
            !went
        };
        assert!(kept(&hold(|_| {})), "a hold that names nothing keeps everything");
        assert!(kept(&hold(|hold| hold.agent = Some("a".to_owned()))) && !kept(&hold(|hold| hold.agent = Some("b".to_owned()))));
        assert!(
            kept(&hold(|hold| hold.user = Some("ann".to_owned()))) && !kept(&hold(|hold| hold.user = Some("ben".to_owned())))
        );
        assert!(kept(&hold(|hold| hold.space = Some("s".to_owned()))) && !kept(&hold(|hold| hold.tool = Some("z".to_owned()))));
        assert!(kept(&hold(|hold| hold.since_secs = Some(JAN_20 / 1000 - 20 * 86_400))));
        assert!(!kept(&hold(|hold| hold.since_secs = Some(JAN_20 / 1000))));
        assert!(!kept(&hold(|hold| hold.until_secs = Some(JAN_20 / 1000 - 15 * 86_400))));
    }

    #[test]
    fn a_person_is_forgotten_and_nobody_else() {
        let holds = Holds::new();
        let mut sweep = Sweep::new(Why::User("ann"), &holds, JAN_20);
        assert!(sweep.goes(&decision("1", 19, "MUTATIVE", Some("ann"))) && sweep.goes(&outcome("1", 19)));
        assert!(!sweep.goes(&decision("2", 1, "MUTATIVE", Some("ben"))) && !sweep.goes(&outcome("2", 1)));
        assert!(!sweep.goes(&decision("3", 1, "MUTATIVE", None)) && !sweep.goes(&outcome("9", 1)));
    }

    #[test]
    fn a_hold_that_comes_between_two_segments_keeps_what_is_not_gone() {
        let rules = Retention { rules: Vec::new(), days: Some(1), archive: None };
        let (none, other) =
            (Holds::new(), Holds::from([("b".to_owned(), Hold { agent: Some("b".to_owned()), ..Hold::default() })]));
        let all = Holds::from([("case".to_owned(), Hold { agent: Some("a".to_owned()), ..Hold::default() })]);
        for (holds, goes) in [(&none, true), (&other, true), (&all, false)] {
            let mut first = Sweep::new(Why::Retention(&rules), &none, JAN_20);
            assert!(first.goes(&decision("1", 5, "MUTATIVE", None)));
            let between = Sweep::new(Why::Retention(&rules), holds, JAN_20).with_open(Some(first.end().1));
            let mut last = Sweep::new(Why::Retention(&rules), holds, JAN_20).with_open(Some(between.end().1));
            assert_eq!(last.goes(&outcome("1", 5)), goes, "{holds:?}");
        }
    }

    #[test]
    fn a_decision_waits_for_an_outcome_that_can_not_go() {
        let (holds, waits) = (Holds::new(), HashSet::from(["1".to_owned()]));
        let mut sweep = Sweep::new(Why::User("ann"), &holds, JAN_20).waiting_for(&waits);
        assert!(
            !sweep.goes(&decision("1", 19, "MUTATIVE", Some("ann"))) && !sweep.goes(&decision("1", 19, "MUTATIVE", Some("ben")))
        );
        assert_eq!(sweep.waiting(), 1);
        assert!(sweep.goes(&decision("2", 19, "MUTATIVE", Some("ann"))) && sweep.goes(&outcome("2", 19)));
        let mut sweep = Sweep::new(Why::User("ann"), &holds, JAN_20);
        assert!(sweep.goes(&decision("1", 19, "MUTATIVE", Some("ann"))) && sweep.goes(&outcome("1", 19)));
    }

    #[test]
    fn what_conditions_over_time_look_back_on_stays_so_long() {
        let (rules, holds) = (Retention { rules: Vec::new(), days: Some(1), archive: None }, Holds::new());
        let mut entry: serde_json::Value = serde_json::from_slice(&decision("1", 5, "MUTATIVE", None)).unwrap();
        entry["history"] = json!("sealed");
        for (days, goes) in [(15, false), (31, true)] {
            let now_ms = JAN_20 + (days - 15) * DAY_MS;
            let mut sweep = Sweep::new(Why::Retention(&rules), &holds, now_ms);
            assert_eq!((sweep.goes(entry.to_string().as_bytes()), sweep.goes(&outcome("1", 5))), (goes, goes), "{days}");
        }
    }
}
