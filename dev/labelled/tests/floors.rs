//! A short run with floors that a regression would fall through; and that the set is what it says it is.

use std::collections::BTreeMap;

use remit_labelled::anomaly::Anomaly;
use remit_labelled::measure::{Measured, behaviour, fixed};
use remit_labelled::workload::AGENTS;
use remit_labelled::{Set, set};
use remit_model::Behaviour;
use serde_json::Value;

#[test]
fn what_is_found_stays_above_the_floors() {
    let mut all = (Measured::default(), Measured::default());
    for seed in [1, 2] {
        let set = set(seed);
        all.0.add(behaviour(&set, &Behaviour::default()));
        all.1.add(fixed(&set, 60, 4));
    }
    let (ours, theirs) = all;
    let told = format!("{:?} {:?}", ours.episodes, ours.told);
    assert!(ours.recall() >= 0.85, "{} {told}", ours.recall());
    assert!(ours.precision() >= 0.5, "{} {told}", ours.precision());
    assert!(ours.false_a_day() / 2.0 <= 0.15, "{} {told}", ours.false_a_day());
    // What fixed numbers find is not enough to be called anything.
    assert!(theirs.recall() < 0.5, "{:?}", theirs.episodes);
    // Whatever is blatant is found every time.
    for kind in [Anomaly::FirstUse, Anomaly::RateBurst, Anomaly::DenialsBurst, Anomaly::TypeChange, Anomaly::EncodedPayload] {
        assert_eq!(ours.episodes[&kind], (2, 2), "{kind:?} {told}");
    }
}

#[test]
fn a_set_hangs_on_its_seed_alone_and_holds_one_of_each_kind() {
    let (one, again, other) = (set(3), set(3), set(4));
    let bytes = |set: &Set| set.entries.iter().flat_map(|entry| entry.bytes.clone()).collect::<Vec<u8>>();
    assert!(bytes(&one) == bytes(&again) && bytes(&one) != bytes(&other));
    assert_eq!(one.episodes.iter().map(|episode| episode.kind).collect::<Vec<_>>(), Anomaly::ALL);
    assert!(one.episodes.iter().all(|episode| AGENTS.contains(&episode.agent) && episode.begins_ms <= episode.ends_ms));
    assert!(one.entries.is_sorted_by_key(|entry| entry.at_ms));
    assert!(one.entries.len() > 20_000, "{}", one.entries.len());
}

#[test]
fn arguments_are_those_of_the_sample_servers_tools() {
    let lock: Value = serde_json::from_str(include_str!("../../../examples/acme/tools.lock.json")).unwrap();
    let mut schemas = BTreeMap::new();
    for (server, tools) in lock["servers"].as_object().unwrap() {
        let server = server.split('/').nth(1).unwrap();
        for (tool, pin) in tools.as_object().unwrap() {
            let schema = jsonschema::validator_for(&pin["definition"]["inputSchema"]).unwrap();
            schemas.insert(format!("{server}___{tool}"), schema);
        }
    }
    let mut used = BTreeMap::new();
    for entry in set(5).entries {
        let Some(arguments) = entry.arguments else { continue };
        let decision: Value = serde_json::from_slice(&entry.bytes).unwrap();
        // What was denied needn't fit, and neither does what only a newer definition takes.
        let tool = decision["tool"].as_str().unwrap();
        if decision["verdict"] != "ALLOW" || arguments.contains("\"language\"") {
            continue;
        }
        let arguments: Value = serde_json::from_str(&arguments).unwrap();
        assert!(schemas[tool].is_valid(&arguments), "{tool} {arguments}");
        *used.entry(tool.to_owned()).or_insert(0) += 1;
    }
    assert!(used.len() >= 14, "{used:?}");
}
