//! Laws that hold of any session.

use std::collections::BTreeMap;

use proptest::prelude::*;
use remit_model::{Integrity, Provenance, ResultLabels};
use remit_provenance::{Flow, Reading, Roles};
use serde_json::{Value, json};

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z@.:/ %=A-F0-9-]{0,24}".prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("(id|to|body|file_id|[a-z]{1,6}|\\PC{1,4})", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Something that happens in a session.
#[derive(Debug, Clone)]
enum Event {
    Asked(String),
    Read(bool, bool, Value),
    Passed(Value),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        "[a-z@. ]{0,30}".prop_map(Event::Asked),
        (any::<bool>(), any::<bool>(), json_value()).prop_map(|(trusted, changes, value)| Event::Read(trusted, changes, value)),
        prop::collection::btree_map("[a-z_]{1,8}", json_value(), 0..3)
            .prop_map(|map| Event::Passed(Value::Object(map.into_iter().collect()))),
    ]
}

fn roles() -> Roles {
    Roles::of("send", &json!({"properties": {"to": {}, "body": {}, "file_id": {}}}), &BTreeMap::new())
}

fn happens(flow: &mut Flow, event: &Event) {
    match event {
        Event::Asked(text) => flow.asked(text),
        Event::Read(trusted, changes, value) => {
            let integrity = if *trusted { Integrity::Trusted } else { Integrity::Untrusted };
            let labels = ResultLabels { integrity, own_identifiers: true, ..ResultLabels::default() };
            flow.read(&Reading {
                tool: "s___get_files",
                labels,
                changes: *changes,
                structured: Some(value),
                texts: &["plain text"],
            });
        }
        Event::Passed(arguments) => {
            let origin = flow.judge(&roles(), arguments);
            flow.passed(arguments, &origin);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever happens, labels rise, nothing panics, and every value of a call that could carry something is judged.
    #[test]
    fn labels_rise_and_every_leaf_is_judged(events in prop::collection::vec(event(), 0..8), arguments in json_value()) {
        let mut flow = Flow::new([1; 16]);
        for event in &events {
            let before = flow.labels();
            happens(&mut flow, event);
            prop_assert_eq!(flow.labels().join(before), flow.labels());
        }
        let arguments = json!({ "to": arguments });
        let origin = flow.judge(&roles(), &arguments);
        let judged: Vec<&str> = origin.values.iter().map(|value| value.pointer.as_str()).collect();
        let mut left = vec![(String::new(), &arguments)];
        while let Some((pointer, value)) = left.pop() {
            match value {
                Value::Array(values) => left.extend(values.iter().enumerate().map(|(at, value)| (format!("{pointer}/{at}"), value))),
                Value::Object(map) => left.extend(map.iter().map(|(key, value)| {
                    (format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), value)
                })),
                _ => {
                    prop_assert!(judged.contains(&pointer.as_str()), "{} is not judged", pointer);
                    prop_assert_eq!(arguments.pointer(&pointer), Some(value));
                }
            }
        }
    }

    /// What was read of strangers never makes a value better, and what they wrote is never anybody else's but the user's.
    #[test]
    fn strangers_make_nothing_better(
        events in prop::collection::vec(event(), 0..6),
        words in prop::collection::vec("[a-z]{4,9}@[a-z]{3,6}\\.(com|net)", 1..4),
        probe in 0_usize..4,
    ) {
        let (mut without, mut with) = (Flow::new([2; 16]), Flow::new([2; 16]));
        for event in &events {
            happens(&mut without, event);
            happens(&mut with, event);
        }
        let text = words.join(" and ");
        with.read(&Reading { tool: "web___get", labels: ResultLabels::default(), changes: false, structured: None, texts: &[&text] });
        let to = json!({ "to": words[probe % words.len()] });
        let before = without.judge(&roles(), &to).of("to");
        let after = with.judge(&roles(), &to).of("to");
        prop_assert!(after >= before, "{:?} became {:?}", before, after);
        prop_assert!(matches!(after, Some(Provenance::Untrusted | Provenance::Request)), "{:?}", after);
    }

    /// What the user names is the user's, whatever else was read and passed on.
    #[test]
    fn what_the_user_names_is_the_users(events in prop::collection::vec(event(), 0..6), address in "[a-z]{3,8}@[a-z]{3,6}\\.org") {
        let mut flow = Flow::new([3; 16]);
        events.iter().for_each(|event| happens(&mut flow, event));
        flow.asked(&format!("please write to {address}, thanks"));
        prop_assert_eq!(flow.judge(&roles(), &json!({"to": address})).of("to"), Some(Provenance::Request));
    }
}
