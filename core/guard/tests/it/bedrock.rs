//! What is asked of a guardrail of Amazon Bedrock, and what its answers come to.

use proptest::prelude::*;
use remit_guard::bedrock::{Answer, Outcome, Plan, REQUEST_BLOCKS_MAX, REQUEST_CHARS_MAX};
use remit_guard::{Action, Source};
use serde_json::{Value, json};

fn texts(body: &str) -> Vec<String> {
    let body: Value = serde_json::from_str(body).unwrap();
    body["content"].as_array().unwrap().iter().map(|block| block["text"]["text"].as_str().unwrap().to_owned()).collect()
}

fn read(answer: &Value) -> Result<Answer, &'static str> {
    Answer::read(answer.to_string().as_bytes())
}

/// An answer that masks `from` in the blocks of a request.
fn masking(body: &str, from: &str, to: &str) -> Answer {
    let blocks = texts(body);
    if !blocks.iter().any(|block| block.contains(from)) {
        return read(&json!({"action": "NONE", "outputs": [], "assessments": []})).unwrap();
    }
    let outputs: Vec<Value> = blocks.iter().map(|block| json!({"text": block.replace(from, to)})).collect();
    let entities = json!([{"match": from, "type": "NAME", "action": "ANONYMIZED"}]);
    let assessments = json!([{"sensitiveInformationPolicy": {"piiEntities": entities}}]);
    read(&json!({"action": "GUARDRAIL_INTERVENED", "outputs": outputs, "assessments": assessments})).unwrap()
}

fn outcome(text: &str, from: &str, to: &str) -> Result<Outcome, &'static str> {
    let plan = Plan::of(Source::Input, text).unwrap();
    let answers: Vec<Answer> = plan.bodies().iter().map(|body| masking(body, from, to)).collect();
    plan.outcome(&answers.iter().collect::<Vec<_>>())
}

#[test]
fn every_string_is_asked_about_once_as_it_reads() {
    let plan = Plan::of(Source::Output, r#"{"a":"x\u0041","b":["xA"," ",""],"n":1234,"m":12,"c":true}"#).unwrap();
    let bodies = plan.bodies();
    assert_eq!(bodies.len(), 1);
    assert_eq!(texts(&bodies[0]), ["a", "xA", "b", "n", "1234", "m", "c"]);
    let body: Value = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!((&body["source"], &body["outputScope"]), (&json!("OUTPUT"), &json!("FULL")));
    assert_eq!(Plan::of(Source::Input, "{}").unwrap().bodies(), Vec::<String>::new());
    assert!(Plan::of(Source::Input, "{").is_err());
}

#[test]
fn masks_take_the_place_of_their_blocks_and_every_other_byte_stays() {
    let masked = outcome(r#"{ "to" : "Ann\n", "n": 1.50, "all":["Ann\u000a","Bob"] }"#, "Ann", "{NAME}").unwrap();
    assert_eq!(masked.masked.as_deref(), Some(r#"{ "to" : "{NAME}\n", "n": 1.50, "all":["{NAME}\n","Bob"] }"#));
    assert_eq!(masked.seen[0].0.as_deref(), Some("/to"));
    assert!(!masked.blocked);
    let named = outcome(r#"{"Ann":1}"#, "Ann", "{NAME}").unwrap();
    assert!(named.blocked && named.masked.is_none(), "a name can't be masked");
    assert!(outcome(r#"{"a":"Ann"}"#, "Ann", "Ann").is_err(), "a mask that changes nothing");
}

#[test]
fn requests_keep_bedrocks_limits_and_what_stands_across_a_cut_blocks() {
    let many: Vec<String> = (0..350).map(|n| format!("text {n}")).collect();
    let text = json!(many).to_string();
    let bodies = Plan::of(Source::Input, &text).unwrap().bodies();
    assert!(bodies.len() == 4 && bodies.iter().all(|body| texts(body).len() <= REQUEST_BLOCKS_MAX));
    // Without a place to cut between words.
    let long = |before: usize| json!([format!("{}SECRETSECRET{}", "a".repeat(before), "b".repeat(30_000))]).to_string();
    let across = outcome(&long(REQUEST_CHARS_MAX - 6), "SECRETSECRET", "{X}").unwrap();
    assert!(across.blocked, "on neither side of the cut");
    let inside = outcome(&long(REQUEST_CHARS_MAX - 50), "SECRETSECRET", "{X}").unwrap();
    assert_eq!(inside.masked, Some(long(REQUEST_CHARS_MAX - 50).replace("SECRETSECRET", "{X}")));
    let most: Vec<String> = (0..6_500).map(|n| format!("{n}x")).collect();
    assert!(Plan::of(Source::Input, &json!(most).to_string()).is_err());
}

#[test]
fn an_answer_blocks_unless_it_is_sure_that_it_only_masks() {
    let pii =
        |action: &str| json!({"sensitiveInformationPolicy": {"piiEntities": [{"match": "x", "type": "NAME", "action": action}]}});
    let answer = |action: &str, assessments: Value| read(&json!({"action": action, "outputs": [], "assessments": assessments}));
    let blocks = |action: &str, assessments: Value| answer(action, assessments).unwrap().blocks;
    let intervened = "GUARDRAIL_INTERVENED";
    assert!(blocks(intervened, json!([])));
    assert!(blocks(intervened, json!([pii("BLOCKED")])) && !blocks(intervened, json!([pii("ANONYMIZED")])));
    assert!(blocks(intervened, json!([pii("ANONYMIZED"), {"topicPolicy": {"topics": [{"name": "t", "action": "BLOCKED"}]}}])));
    assert!(blocks(intervened, json!([pii("ANONYMIZED"), {"learnedSince": {"x": 1}}])));
    assert!(blocks("NONE", json!([pii("LEARNED_SINCE")])), "what isn't known is the worst");
    assert!(!blocks("NONE", json!([pii("NONE"), {"learnedSince": {}, "invocationMetrics": {"usage": {}}}])));
    assert!(answer("NONE", json!([pii("ANONYMIZED")])).is_err() && answer("OTHER", json!([])).is_err());
    let filter = |filter: Value| json!([{"contentPolicy": {"filters": [filter]}}]);
    let undetected = filter(json!({"type": "HATE", "confidence": "NONE", "action": "NONE", "detected": false}));
    assert_eq!(answer("NONE", undetected).unwrap().seen, []);
    let attack = filter(json!({"type": "PROMPT_ATTACK", "confidence": "MEDIUM", "action": "NONE", "detected": true}));
    let seen = &answer("NONE", attack).unwrap().seen[0];
    assert_eq!((&*seen.policy, seen.score_percent, seen.action), ("PROMPT_ATTACK", 70, Action::None));
    let word = json!([{"wordPolicy": {"customWords": [{"match": "project-x", "action": "BLOCKED"}]}}]);
    assert!(!format!("{:?}", answer(intervened, word).unwrap()).contains("project-x"), "a word is a text");
}

proptest! {
    /// Whatever a server answers: it is read or refused, and a plan comes to something.
    #[test]
    fn nothing_panics(body in ".{0,200}", long in 24_900usize..25_300, said in ".{0,40}", action in "NONE|GUARDRAIL_INTERVENED", outputs in 0usize..5) {
        drop(Answer::read(body.as_bytes()));
        let text = json!({"parts": ["a".repeat(long), said]}).to_string();
        let plan = Plan::of(Source::Input, &text).unwrap();
        let outputs: Vec<Value> = (0..outputs).map(|n| json!({"text": n.to_string()})).collect();
        let assessments = json!([{"sensitiveInformationPolicy": {"regexes": [{"match": "a", "name": "n", "action": "ANONYMIZED"}]}}]);
        if let Ok(answer) = read(&json!({"action": action, "outputs": outputs, "assessments": assessments})) {
            let answers = vec![&answer; plan.bodies().len()];
            if let Ok(outcome) = plan.outcome(&answers) {
                prop_assert!(outcome.blocked || outcome.masked.is_none_or(|masked| serde_json::from_str::<Value>(&masked).is_ok()));
            }
        }
    }

    /// What is asked about holds every string whole, cuts and all.
    #[test]
    fn everything_is_asked_about(word in "[a-z\u{e9}]{1,300} {0,2}", times in 1usize..400) {
        let whole = word.repeat(times);
        let text = json!([whole]).to_string();
        let all: String = Plan::of(Source::Input, &text).unwrap().bodies().iter().flat_map(|body| texts(body)).collect();
        prop_assert!(all.contains(&whole));
    }
}
