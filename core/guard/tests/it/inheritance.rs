//! What parents close stays closed.

use proptest::prelude::*;
use remit_guard::inherit::{Attachment, effective};
use serde_json::{Value, json};

const ALLOWED: &str = "@@operators_allowed_for_child_policies";

#[test]
fn values_are_assigned_appended_and_removed() {
    let root = json!({"bedrock": {"guardrail_inference": {"us-east-1": {"base": {"identifier": {"@@assign": "arn:a:1"}, "models": {"@@assign": ["x", "y"]}}}}}});
    let child = json!({"bedrock": {"guardrail_inference": {"us-east-1": {
        "base": {"identifier": {"@@assign": "arn:b:2"}, "models": {"@@append": ["z"], "@@remove": ["x"]}},
        "more": {"identifier": {"@@assign": "arn:c:DRAFT"}},
    }}}});
    let effective = effective(&[root, child]).unwrap();
    let models = effective.policy.pointer("/bedrock/guardrail_inference/us-east-1/base/models").unwrap();
    assert_eq!(models, &json!(["y", "z"]));
    let attachment = |name: &str, identifier: &str| Attachment {
        region: "us-east-1".into(),
        name: name.into(),
        identifier: identifier.into(),
    };
    assert_eq!(effective.attachments(), [attachment("base", "arn:b:2"), attachment("more", "arn:c:DRAFT")]);
}

#[test]
fn a_closed_place_is_a_fault_and_so_is_opening_it() {
    let root = json!({"bedrock": {"guardrail_inference": {ALLOWED: ["@@none"], "us-east-1": {"base": {"identifier": {"@@assign": "arn:a:1"}}}}}});
    let change = json!({"bedrock": {"guardrail_inference": {"us-east-1": {"base": {"identifier": {"@@assign": "arn:evil:1"}}}}}});
    assert_eq!(
        effective(&[root.clone(), change.clone()]).unwrap_err().pointer,
        "/1/bedrock/guardrail_inference/us-east-1/base/identifier/@@assign"
    );
    let open = json!({"bedrock": {"guardrail_inference": {ALLOWED: ["@@all"]}}});
    assert!(effective(&[root.clone(), open, change]).is_err());
    let new = json!({"bedrock": {"guardrail_inference": {"us-east-1": {"other": {"identifier": {"@@assign": "arn:evil:1"}}}}}});
    assert!(effective(&[root, new]).is_err());
}

#[test]
fn a_subset_stays_open() {
    let root = json!({"list": {"@@assign": ["a"], ALLOWED: ["@@append"]}});
    assert_eq!(effective(&[root.clone(), json!({"list": {"@@append": ["b"]}})]).unwrap().policy, json!({"list": ["a", "b"]}));
    assert!(effective(&[root.clone(), json!({"list": {"@@remove": ["a"]}})]).is_err());
    assert!(effective(&[root, json!({"list": {"@@assign": []}})]).is_err());
}

#[test]
fn what_is_no_policy_is_a_fault() {
    for document in [
        json!(1),
        json!({"a": 1}),
        json!({"a": {"@@assign": 1}}),
        json!({"a": {"@@no": []}}),
        json!({"a": {"@@assign": "x", "b": {}}}),
        json!({"a": {ALLOWED: ["@@none", "@@all"]}}),
    ] {
        assert!(effective(std::slice::from_ref(&document)).is_err(), "{document}");
    }
}

fn documents() -> impl Strategy<Value = Value> {
    let operators = prop_oneof![
        prop::collection::vec("[xyz]", 0..3).prop_map(|list| json!({"@@assign": list})),
        prop::collection::vec("[xyz]", 0..3).prop_map(|list| json!({"@@append": list})),
        prop::collection::vec("[xyz]", 0..3).prop_map(|list| json!({"@@remove": list})),
        Just(json!({ALLOWED: ["@@all"]})),
        Just(json!({ALLOWED: ["@@append"]})),
    ];
    operators.prop_recursive(3, 12, 3, |inner| prop::collection::btree_map("[abc]", inner, 0..3).prop_map(|map| json!(map)))
}

proptest! {
    #[test]
    fn no_child_changes_what_is_closed(documents in prop::collection::vec(documents(), 0..4)) {
        let root = json!({"a": {"b": {"c": {"@@assign": ["x"]}, ALLOWED: ["@@none"]}}});
        let mut all = vec![root];
        all.extend(documents);
        if let Ok(effective) = effective(&all) {
            prop_assert_eq!(effective.policy.pointer("/a/b"), Some(&json!({"c": ["x"]})));
        }
    }

    #[test]
    fn append_only_never_loses(documents in prop::collection::vec(documents(), 0..4)) {
        let mut all = vec![json!({"a": {"@@assign": ["x"], ALLOWED: ["@@append"]}})];
        all.extend(documents);
        if let Ok(effective) = effective(&all) {
            prop_assert!(effective.policy.pointer("/a").unwrap().as_array().unwrap().contains(&json!("x")));
        }
    }
}
