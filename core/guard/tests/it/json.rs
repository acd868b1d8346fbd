//! JSON: pointers, masks, and everything else as it was.

use remit_guard::{Assessment, Source};

use crate::{compiled, masking};

fn inspected(text: &str) -> Assessment {
    compiled(masking()).inspect_json(Source::Output, text, false)
}

#[test]
fn values_are_masked_in_place() {
    let text = "{ \"a\" : [1.0, \"ann@example.com\"],\t\"b\\/c\": {\"d~\": \"x \\u0061nn@example.com\"} }";
    let assessment = inspected(text);
    assert_eq!(assessment.output.as_deref(), Some("{ \"a\" : [1.0, \"{EMAIL}\"],\t\"b\\/c\": {\"d~\": \"x {EMAIL}\"} }"));
    let pointers: Vec<&str> = assessment.findings.iter().filter_map(|f| f.pointer.as_deref()).collect();
    assert_eq!(pointers, ["/a/1", "/b~1c/d~0"]);
}

#[test]
fn pointers_name_nested_places() {
    let text = r#"[{"a":[],"b":{"c":null}},{"d":[[true,"ann@example.com"]],"e":"ann@example.com"},"ann@example.com"]"#;
    let pointers: Vec<String> = inspected(text).findings.into_iter().filter_map(|f| f.pointer).collect();
    assert_eq!(pointers, ["/1/d/0/1", "/1/e", "/2"]);
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    assert!(pointers.iter().all(|pointer| value.pointer(pointer).unwrap() == "ann@example.com"));
}

#[test]
fn a_members_name_explains_its_value() {
    assert_eq!(inspected(r#"{"user_ssn":"078051120"}"#).output.as_deref(), Some(r#"{"user_ssn":"{US_SOCIAL_SECURITY_NUMBER}"}"#));
    assert_eq!(inspected(r#"{"dbPassword":"s3cr3t"}"#).output.as_deref(), Some(r#"{"dbPassword":"{PASSWORD}"}"#));
    assert_eq!(inspected(r#"{"count":"078051120"}"#).output, None);
}

#[test]
fn a_number_is_masked_as_a_string() {
    assert_eq!(inspected(r#"{"card":4111111111111111}"#).output.as_deref(), Some(r#"{"card":"{CREDIT_DEBIT_CARD_NUMBER}"}"#));
}

#[test]
fn a_name_that_is_sensitive_blocks() {
    let assessment = inspected(r#"{"ann@example.com":1}"#);
    assert!(assessment.blocked);
    assert_eq!(assessment.findings[0].pointer.as_deref(), Some("/ann@example.com#"));
}

#[test]
fn what_is_not_json_is_blocked() {
    for text in ["", "{", "[1,]", "{\"a\":1} x", &"[".repeat(5000)] {
        assert!(inspected(text).blocked, "{text}");
    }
}

#[test]
fn lone_surrogates_are_survived() {
    let assessment = inspected(r#"{"a":"\ud800 ann@example.com \ud83d\ude00"}"#);
    assert_eq!(assessment.output.as_deref(), Some("{\"a\":\"\u{fffd} {EMAIL} \u{1f600}\"}"));
}
