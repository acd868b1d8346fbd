//! The records of all agents.

use std::collections::BTreeMap;

use remit_model::{TrustRules, TrustTier};

use super::event::{Event, What};
use super::record::{Demotion, Mark, Record, Standing, standing};
use super::{EVERY, Tiers};

/// How many calls are remembered that have not ended; the oldest are forgotten first.
const CALLS_MAX: usize = 100_000;
/// How many approvals.
const APPROVALS_MAX: usize = 100_000;
/// How many agents have records.
const AGENTS_MAX: usize = 100_000;
/// How many categories an agent has records in.
const CATEGORIES_MAX: usize = 256;

/// The records of all agents: folded from the journal's events, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ledger {
    agents: BTreeMap<String, Agent>,
    /// Calls that were allowed and have not ended, by decision: ids rise with time.
    calls: BTreeMap<String, (String, Vec<String>)>,
    /// Approvals that people have answered, and have not ended.
    approvals: BTreeMap<String, Approval>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Agent {
    /// What holds for all categories, and what a new one begins with.
    base: Record,
    of: BTreeMap<String, Record>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Approval {
    narrowed: bool,
    rejected: bool,
}

impl Ledger {
    /// Takes the next event. Says whose standing it may have changed otherwise than for the better.
    pub fn fold(&mut self, event: &Event) -> Option<String> {
        let at_secs = event.at_secs;
        match &event.what {
            What::Decided { decision, agent, categories, allowed, denied, blocked } => {
                if *allowed {
                    bound(&mut self.calls, CALLS_MAX);
                    self.calls.insert(decision.clone(), (agent.clone(), categories.clone()));
                }
                if *blocked {
                    self.mark(agent, categories, at_secs, Mark::GuardrailHit);
                }
                // An approval that lets a call through ends by its own event.
                denied.then(|| self.mark(agent, categories, at_secs, Mark::Denial))
            }
            What::Ended { decision, ok } => {
                let (agent, categories) = self.calls.remove(decision)?;
                if *ok {
                    self.mark(&agent, &categories, at_secs, Mark::CallOk);
                }
                None
            }
            What::Voted { approval, agent, categories, rejects, narrowed } => {
                bound(&mut self.approvals, APPROVALS_MAX);
                let known = self.approvals.entry(approval.clone()).or_default();
                known.narrowed |= narrowed;
                let first = *rejects && !known.rejected;
                known.rejected |= rejects;
                first.then(|| self.mark(agent, categories, at_secs, Mark::Rejection))
            }
            What::Closed { approval, agent, categories, redeemed, rejected } => {
                let known = self.approvals.remove(approval);
                match known {
                    Some(known) if *redeemed && !known.narrowed && !known.rejected => {
                        self.mark(agent, categories, at_secs, Mark::ApprovedUnchanged);
                        None
                    }
                    // A no counts once, by whichever event told it first.
                    known if *rejected && !known.is_some_and(|known| known.rejected) => {
                        Some(self.mark(agent, categories, at_secs, Mark::Rejection))
                    }
                    _ => None,
                }
            }
            What::Suspended { agent } => Some(self.mark_every(agent, at_secs, Mark::Suspension)),
            What::Incident { agent, category: None } => Some(self.mark_every(agent, at_secs, Mark::Incident)),
            What::Incident { agent, category: Some(category) } => {
                Some(self.mark(agent, std::slice::from_ref(category), at_secs, Mark::Incident))
            }
            What::Promoted { agent, category, from, to, by } => {
                let mark = Mark::Promoted { from: *from, to: *to };
                (!by.is_empty()).then(|| self.mark(agent, std::slice::from_ref(category), at_secs, mark))
            }
            What::Demoted { agent, category, from, to } => {
                Some(self.mark(agent, std::slice::from_ref(category), at_secs, Mark::Demoted { from: *from, to: *to }))
            }
        }
    }

    fn agent(&mut self, agent: &str) -> Option<&mut Agent> {
        if self.agents.len() >= AGENTS_MAX && !self.agents.contains_key(agent) {
            return None;
        }
        Some(self.agents.entry(agent.to_owned()).or_default())
    }

    fn mark(&mut self, agent: &str, categories: &[String], at_secs: u64, mark: Mark) -> String {
        if let Some(known) = self.agent(agent) {
            for category in categories {
                if category == EVERY {
                    known.base.fold(at_secs, mark);
                    continue;
                }
                if known.of.len() >= CATEGORIES_MAX && !known.of.contains_key(category) {
                    continue;
                }
                let beginning = || known.base.beginning(at_secs);
                known.of.entry(category.clone()).or_insert_with(beginning).fold(at_secs, mark);
            }
        }
        agent.to_owned()
    }

    fn mark_every(&mut self, agent: &str, at_secs: u64, mark: Mark) -> String {
        if let Some(known) = self.agent(agent) {
            known.base.fold(at_secs, mark);
            known.of.values_mut().for_each(|record| record.fold(at_secs, mark));
        }
        agent.to_owned()
    }

    /// Every agent that has a record.
    pub fn agents(&self) -> impl Iterator<Item = &str> {
        self.agents.keys().map(String::as_str)
    }

    /// The record of an agent in a category; of one that it has none in, what holds for all.
    pub fn record(&self, agent: &str, category: &str) -> Record {
        let known = self.agents.get(agent);
        known.map(|known| known.of.get(category).unwrap_or(&known.base).clone()).unwrap_or_default()
    }

    /// How an agent stands in every category that it has a record in, and (under `*`) in every other one.
    pub fn standings(&self, rules: &TrustRules, agent: &str, now_secs: u64) -> BTreeMap<String, Standing> {
        let Some(known) = self.agents.get(agent) else {
            return BTreeMap::from([(EVERY.to_owned(), standing(rules, &Record::default(), now_secs))]);
        };
        let records = known.of.iter().map(|(category, record)| (category.as_str(), record));
        let all = records.chain(std::iter::once((EVERY, &known.base)));
        all.map(|(category, record)| (category.to_owned(), standing(rules, record, now_secs))).collect()
    }

    /// The tiers of an agent, for decisions.
    pub fn tiers(&self, rules: &TrustRules, agent: &str, now_secs: u64) -> Tiers {
        let mut of: BTreeMap<String, TrustTier> =
            self.standings(rules, agent, now_secs).into_iter().map(|(category, standing)| (category, standing.tier)).collect();
        let rest = of.remove(EVERY);
        Tiers { of, rest }
    }

    /// The demotions of an agent that the journal doesn't have yet, by category.
    pub fn demotions(&self, rules: &TrustRules, agent: &str, now_secs: u64) -> Vec<(String, Demotion)> {
        let all = self.standings(rules, agent, now_secs).into_iter();
        all.filter_map(|(category, standing)| Some((category, standing.demotion?))).collect()
    }
}

/// Makes room for one more.
fn bound<V>(map: &mut BTreeMap<String, V>, most: usize) {
    while map.len() >= most {
        map.pop_first();
    }
}
