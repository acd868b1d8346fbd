//! `behaviour`: whether the behaviour of agents is watched, and how.

use remit_model::{Behaviour, Expectation};

use crate::draft::Draft;
use crate::invariant::agent_ids;
use crate::item::Object;

/// The highest score that can be asked for.
const SCORE_MAX: u64 = 32;
/// The most days.
const DAYS_MAX: u64 = 90;
/// The most days on which something is told before it counts as usual.
const ACCEPTED_MAX: u64 = 30;

/// Reads it: once in all files. Agents are known by then.
pub(crate) fn behaviour(roots: &[Object<'_>], draft: &Draft<'_>) -> Option<Behaviour> {
    let found: Vec<_> = roots.iter().filter_map(|root| root.get("behaviour")).collect();
    for more in found.iter().skip(1) {
        more.error("behaviour is described twice", "keep one `behaviour`");
    }
    let keys = &["score", "learning_days", "accepted_after_days", "agents", "ignored"];
    let object = found.first()?.object("behaviour", keys)?;
    let usual = Behaviour::default();
    let number = |key: &'static str, max: u64, otherwise: u32| {
        let found = object.get(key).and_then(|item| item.count(max)).and_then(|number| u32::try_from(number).ok());
        found.unwrap_or(otherwise)
    };
    let texts = |key: &'static str, of: &str| {
        let Some(item) = object.get(key) else { return Vec::new() };
        if item.node.nodes().is_empty() {
            item.error("the list is empty, and an empty list speaks of nothing", "name some, or leave the key out");
        }
        item.texts(of)
    };
    let words: Vec<(&'static str, Expectation)> = Expectation::ALL.into_iter().map(|one| (one.as_str(), one)).collect();
    let ignored = texts("ignored", "expectations").into_iter().filter_map(|(_, item)| item.choice(&words)).collect();
    Some(Behaviour {
        score: number("score", SCORE_MAX, usual.score),
        learning_days: number("learning_days", DAYS_MAX, usual.learning_days),
        accepted_after_days: number("accepted_after_days", ACCEPTED_MAX, usual.accepted_after_days),
        agents: agent_ids(texts("agents", "agents"), draft),
        ignored,
    })
}
