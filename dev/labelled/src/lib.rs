//! A labelled set of agents' behaviour: eight weeks of the sample organization, with one anomaly of each kind injected into the last four,
//! as entries of the journal; and the run that measures what is found in it.
//!
//! A set hangs on its seed alone. Its entries go through what the product's go through: bytes, `behaviour::Event`, `behaviour::Baseline`.

pub mod anomaly;
pub mod entry;
pub mod measure;
pub mod random;
pub mod workload;

use std::collections::HashMap;

use anomaly::Anomaly;
use entry::Labelled;
use workload::World;

/// An injected anomaly: from its first call to its last.
#[derive(Debug, Clone)]
pub struct Episode {
    /// Which kind.
    pub kind: Anomaly,
    /// Whose doing it is.
    pub agent: &'static str,
    /// When it begins, in milliseconds since the epoch.
    pub begins_ms: u64,
    /// When its last call was decided.
    pub ends_ms: u64,
}

/// A labelled set.
#[derive(Debug, Clone)]
pub struct Set {
    /// The journal's entries, in their order.
    pub entries: Vec<Labelled>,
    /// What was injected.
    pub episodes: Vec<Episode>,
    /// The episode that a decision is of.
    pub labels: HashMap<String, usize>,
}

/// The set of this seed.
pub fn set(seed: u64) -> Set {
    let mut world = World::new(seed);
    world.work();
    let kinds = anomaly::inject(&mut world);
    let mut calls = world.calls;
    calls.sort_by_key(|call| call.at_ms);
    let mut episodes: Vec<Episode> = Vec::new();
    for (number, kind) in kinds.into_iter().enumerate() {
        let of = calls.iter().filter(|call| call.episode == Some(number));
        let (begins_ms, ends_ms) = of.clone().fold((u64::MAX, 0), |span, call| (span.0.min(call.at_ms), span.1.max(call.at_ms)));
        episodes.push(Episode { kind, agent: of.map(|call| call.agent).next().unwrap_or_default(), begins_ms, ends_ms });
    }
    let begin = |day: u64| workload::BEGIN_MS + day * workload::DAY;
    let mut entries = vec![
        entry::accepted(begin(workload::NEW_TOOL_FROM), "publishing___draft", 1),
        entry::accepted(begin(workload::NEW_DEFINITION_FROM), "helpdesk___search_kb", 2),
    ];
    let mut labels = HashMap::new();
    for (number, call) in calls.iter().enumerate() {
        labels.extend(call.episode.map(|episode| (entry::decision_id(number), episode)));
        entries.extend(entry::entries(number, call));
    }
    entries.sort_by_key(|entry| entry.at_ms);
    Set { entries, episodes, labels }
}
