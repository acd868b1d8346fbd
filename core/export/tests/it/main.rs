//! Laws of pairing: whatever order outcomes come in and wherever reading stops and goes on, every decision is told, and told right.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that can't go on fails")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use remit_export::{Filter, OPEN_MAX, Open, Pairing, Place, Places, Record, cloudtrail, ocsf};
use remit_tlog::leaf_hash;
use serde_json::{Value, json};

fn decision(id: usize, verdict: &str) -> Value {
    json!({
        "v": 1, "type": "decision", "time": "2026-03-01T12:00:00.500Z", "id": format!("{id:032x}"), "agent": "a", "space": "s",
        "server": "111122223333/files", "tool": "files___read", "method": "tools/call", "verdict": verdict, "class": "READ_ONLY",
        "history": "sealed-history", "layers": [{"checkType": "SPACE", "effect": "EXPLICIT_DENY", "statement": "no"}],
    })
}

fn outcome(id: usize, more: &Value) -> Value {
    let mut entry = json!({
        "v": 1, "type": "outcome", "time": "2026-03-01T12:00:01.000Z", "decision": format!("{id:032x}"), "outcome": "ok",
        "history_output": "sealed-output", "latency_us": 2500,
    });
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    entry
}

fn pairing(resumed: Open) -> Pairing {
    Pairing::new("remit/journal", Filter::default(), Places::default(), resumed)
}

/// A log: of each number, a decision, and later its outcome if it was allowed and has one.
fn logs() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let one = (0..3_usize, any::<bool>(), 0..20_usize);
    prop::collection::vec(one, 1..30).prop_map(|calls| {
        let mut placed: Vec<(usize, Vec<u8>)> = Vec::new();
        for (id, (verdict, ended, later)) in calls.into_iter().enumerate() {
            let verdict = ["ALLOW", "DENY", "HOLD"][verdict];
            placed.push((id * 2, decision(id, verdict).to_string().into_bytes()));
            placed.push((id * 2, json!({"type": "configuration", "n": id}).to_string().into_bytes()));
            if verdict == "ALLOW" && ended {
                placed.push((id * 2 + 1 + later, outcome(id, &json!({})).to_string().into_bytes()));
            }
        }
        placed.sort_by_key(|(at, _)| *at);
        placed.into_iter().map(|(_, bytes)| bytes).collect()
    })
}

/// What is told by index of the decision: of its outcome the index.
fn told(records: &[Record]) -> BTreeMap<u64, Option<u64>> {
    records.iter().map(|record| (record.decision.index, record.outcome.as_ref().map(|outcome| outcome.index))).collect()
}

fn read(pairing: &mut Pairing, log: &[Vec<u8>], from: u64, until: usize) -> Vec<Record> {
    (from..until as u64).filter_map(|index| pairing.take(index, &log[usize::try_from(index).unwrap()])).collect()
}

proptest! {
    #[test]
    fn reading_that_stops_anywhere_and_goes_on_tells_the_same(log in logs(), cuts in prop::collection::vec(0..90_usize, 0..6)) {
        let mut once = pairing(Open::default());
        let mut wanted = read(&mut once, &log, 0, log.len());
        let open: BTreeSet<u64> = once.standing().open.into_iter().collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (log.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(log.len());
        let (mut standing, mut found) = (Open::default(), Vec::new());
        for cut in cuts {
            // As it is kept and read again.
            let kept: Open = serde_json::from_str(&serde_json::to_string(&standing).unwrap()).unwrap();
            let mut next = pairing(kept.clone());
            found.extend(read(&mut next, &log, kept.from(), cut.max(usize::try_from(kept.from()).unwrap())));
            standing = next.standing();
        }
        prop_assert_eq!(told(&found), told(&wanted));
        // Nothing twice, in the same order, and the same to the last hash.
        prop_assert_eq!(&found, &wanted);
        prop_assert_eq!(standing.open.iter().copied().collect::<BTreeSet<u64>>(), open);
        wanted.extend(once.rest());
        let decisions = log.iter().filter(|bytes| bytes.windows(17).any(|part| part == b"\"type\":\"decision\"".as_slice())).count();
        prop_assert_eq!(wanted.len(), decisions);
        for record in &wanted {
            let index = usize::try_from(record.decision.index).unwrap();
            prop_assert_eq!(record.decision.hash, leaf_hash(&log[index]));
            prop_assert_eq!(record.decision.previous, index.checked_sub(1).map(|before| leaf_hash(&log[before])));
            let text = format!("{}{}", ocsf(record), cloudtrail(record));
            prop_assert!(!text.contains("sealed-"));
        }
    }
}

#[test]
fn of_too_many_open_decisions_the_oldest_is_told_without_its_outcome() {
    let mut pairing = pairing(Open::default());
    let records: Vec<Record> =
        (0..=OPEN_MAX).filter_map(|id| pairing.take(id as u64, decision(id, "ALLOW").to_string().as_bytes())).collect();
    assert_eq!(told(&records), BTreeMap::from([(0, None)]));
    assert_eq!(pairing.standing().open.len(), OPEN_MAX);
}

/// The one record of a decision and its outcome.
fn record(decision: &Value, outcome: Option<&Value>) -> Record {
    let place = Place { account: "444455556666".to_owned(), region: "eu-central-1".to_owned() };
    let places = Places { spaces: BTreeMap::from([("s".to_owned(), place)]), region: "us-east-1".to_owned() };
    let mut pairing = Pairing::new("remit/journal", Filter::default(), places, Open::default());
    let first = pairing.take(0, decision.to_string().as_bytes());
    let second = outcome.and_then(|outcome| pairing.take(1, outcome.to_string().as_bytes()));
    first.or(second).or_else(|| pairing.rest().pop()).unwrap()
}

#[test]
fn actions_and_dispositions_say_what_was_done() {
    let masked = json!({"guardrails": {"found": [{"policy": "SENSITIVE_INFORMATION", "action": "ANONYMIZED"}], "stages": []}});
    let withheld =
        json!({"outcome": "withheld", "withheld_by": {"checkType": "POLICY_SET", "effect": "EXPLICIT_DENY", "statement": "p"}});
    type Ids = (u64, u64, u64);
    let cases: [(&str, Option<Value>, Ids); 8] = [
        ("ALLOW", Some(json!({})), (1, 1, 1)),
        ("ALLOW", Some(masked), (4, 11, 1)),
        ("ALLOW", Some(withheld), (4, 2, 2)),
        ("ALLOW", Some(json!({"outcome": "timeout"})), (1, 1, 2)),
        ("ALLOW", Some(json!({"outcome": "unknown"})), (1, 1, 0)),
        ("ALLOW", None, (1, 1, 0)),
        ("DENY", None, (2, 26, 2)),
        ("HOLD", None, (2, 14, 99)),
    ];
    for (verdict, more, expected) in cases {
        let outcome = more.map(|more| outcome(1, &more));
        let event = ocsf(&record(&decision(1, verdict), outcome.as_ref()));
        let number = |key: &str| event[key].as_u64().unwrap();
        assert_eq!((number("action_id"), number("disposition_id"), number("status_id")), expected, "{event}");
    }
}

#[test]
fn accounts_and_regions_come_from_the_entry_first_and_then_from_the_space() {
    let of = |decision: &Value| {
        let record = record(decision, None);
        (record.account.clone(), record.region.clone(), record.arn())
    };
    let mut entry = decision(1, "DENY");
    let arn = "arn:aws:mcp:eu-central-1:111122223333:server/files/tool/read".to_owned();
    assert_eq!(of(&entry), (Some("111122223333".to_owned()), "eu-central-1".to_owned(), Some(arn)));
    entry.as_object_mut().unwrap().remove("server");
    assert_eq!(of(&entry), (Some("444455556666".to_owned()), "eu-central-1".to_owned(), None));
    entry["principal_arn"] = json!("arn:aws:sts::999900001111:assumed-role/x/y");
    assert_eq!(of(&entry).0.as_deref(), Some("999900001111"));
    // What is no account never becomes part of a path.
    entry["principal_arn"] = json!("arn:aws:sts::../../x:assumed-role/x/y");
    entry["space"] = json!("gone");
    assert_eq!(of(&entry), (None, "us-east-1".to_owned(), None));
}

#[test]
fn filters_hold_names_verdicts_times_and_open_ends() {
    let entry = decision(1, "DENY");
    let all = Filter::default();
    let text = |text: &str| vec![text.to_owned()];
    let at = remit_model::time_ms("2026-03-01T12:00:00.500Z");
    for (filter, tells) in [
        (all.clone(), true),
        (Filter { tools: text("files___*"), verdicts: text("DENY"), ..all.clone() }, true),
        (Filter { tools: text("files___read"), agents: text("a"), spaces: text("s"), ..all.clone() }, true),
        (Filter { tools: text("files___rea"), ..all.clone() }, false),
        (Filter { verdicts: text("ALLOW"), ..all.clone() }, false),
        (Filter { agents: text("b"), ..all.clone() }, false),
        (Filter { users: text("u"), ..all.clone() }, false),
        (Filter { since_ms: at, ..all.clone() }, true),
        (Filter { until_ms: at, ..all.clone() }, false),
    ] {
        assert_eq!(filter.tells(&entry), tells, "{filter:?}");
    }
}
