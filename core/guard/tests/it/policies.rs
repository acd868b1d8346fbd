//! Definitions, filters, and the answer's shape.

use remit_guard::{
    Action, Content, Guardrail, Kind, Source, Strength,
    definition::{ContentFilter, ContentFilterType, GroundingFilter, GroundingFilterType, RegexEntity, Topic, Word},
    response::Request,
};
use serde_json::{Value, json};

use crate::{bare, compiled, full, inspected, masking};

#[test]
fn every_fault_has_a_place_and_a_hint() {
    let mut definition = bare();
    definition.name = "a b".to_owned();
    definition.blocked_input_messaging = String::new();
    definition.words = vec![Word { text: "  ".to_owned(), input_action: Action::Anonymize, output_action: Action::Block }];
    definition.contextual_grounding =
        vec![GroundingFilter { kind: GroundingFilterType::Grounding, threshold: 1.0, action: Action::Block }];
    let faults = Guardrail::compile(definition).unwrap_err();
    let places: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(places, ["/name", "/blocked_input_messaging", "/words/0/text", "/words/0", "/contextual_grounding/0/threshold"]);
    assert!(faults.iter().all(|fault| !fault.hint.is_empty()));
}

#[test]
fn a_bad_expression_is_a_fault() {
    for pattern in ["(", "(?=x)", "((((a{100}){100}){100}){100})"] {
        let mut definition = bare();
        definition.sensitive_information.regexes.push(RegexEntity {
            name: "x".to_owned(),
            description: None,
            pattern: pattern.to_owned(),
            action: Action::Block,
            input_action: None,
            output_action: None,
        });
        let faults = Guardrail::compile(definition).unwrap_err();
        assert_eq!(faults[0].pointer, "/sensitive_information/regexes/0/pattern");
    }
}

#[test]
fn a_definition_reads_as_aws_writes_it() {
    let definition = json!({
        "name": "g", "blocked_input_messaging": "no", "blocked_outputs_messaging": "no",
        "content_filters": [{"type": "PROMPT_ATTACK", "input_strength": "HIGH", "output_strength": "NONE"}],
        "sensitive_information": {"pii_entities": [{"type": "US_SOCIAL_SECURITY_NUMBER", "action": "ANONYMIZE"}]},
        "managed_word_lists": [{"type": "PROFANITY"}],
    });
    let definition = serde_json::from_value(definition).unwrap();
    compiled(definition);
    assert!(serde_json::from_value::<remit_guard::Definition>(json!({"name": "g", "unknown": 1})).is_err());
}

#[test]
fn words_are_whole_and_of_any_case() {
    let mut definition = bare();
    for text in ["Zenith", "pr\u{e9}cis", "of", "two words"] {
        definition.words.push(Word { text: text.to_owned(), input_action: Action::Block, output_action: Action::None });
    }
    let found = |text: &str| inspected(definition.clone(), text).findings.len();
    assert_eq!(found("project ZENITH, zenithal"), 1);
    assert_eq!(found("un PR\u{c9}CIS"), 1);
    assert_eq!(found("often OF"), 1);
    assert_eq!(found("two  words, two_words two words"), 2);
    assert!(compiled(definition.clone()).inspect(&Content::new(Source::Input, "zenith")).blocked);
}

#[test]
fn profanity_is_found_and_its_look_alikes_are_not() {
    assert_eq!(inspected(full(), "what the fuck").findings.iter().filter(|f| f.kind == Kind::ManagedWord).count(), 1);
    assert!(!inspected(full(), "the class of Scunthorpe assesses cockpits").findings.iter().any(|f| f.kind == Kind::ManagedWord));
}

#[test]
fn a_filter_acts_from_its_strength_on() {
    for (strength, blocks) in [(Strength::Low, false), (Strength::Medium, false), (Strength::High, true)] {
        let mut definition = bare();
        definition.content_filters.push(ContentFilter {
            kind: ContentFilterType::Insults,
            input_strength: strength,
            output_strength: strength,
            input_action: Action::Block,
            output_action: Action::Block,
        });
        let assessment = inspected(definition, "what an idiot");
        assert_eq!(assessment.findings.len(), 1);
        assert_eq!(assessment.blocked, blocks);
    }
}

#[test]
fn topics_and_grounding_are_heavy() {
    let mut definition = bare();
    definition.topics.push(Topic {
        name: "Investment advice".to_owned(),
        definition: "Recommendations on buying or selling stocks, bonds and funds".to_owned(),
        examples: vec!["Which stocks should I buy for my retirement?".to_owned()],
        input_action: Action::Block,
        output_action: Action::Block,
    });
    definition.contextual_grounding = vec![
        GroundingFilter { kind: GroundingFilterType::Grounding, threshold: 0.6, action: Action::Block },
        GroundingFilter { kind: GroundingFilterType::Relevance, threshold: 0.3, action: Action::None },
    ];
    let guardrail = compiled(definition);
    let text = "Tell me which stocks to buy for retirement";
    assert!(!guardrail.inspect(&Content::new(Source::Input, text)).blocked);
    assert!(guardrail.inspect(&Content::new(Source::Input, text).effort(true)).blocked);
    assert!(!guardrail.inspect(&Content::new(Source::Input, "The train leaves at nine").effort(true)).blocked);
    let source = "London is the capital of the United Kingdom. Tokyo is the capital of Japan.";
    let answer = |text| {
        guardrail.inspect(&Content {
            source: Source::Output,
            text,
            grounding_source: source,
            query: "What is the capital of Japan?",
            effort: true.into(),
        })
    };
    let response = answer("The capital of Japan is Tokyo.").apply_guardrail_response();
    assert_eq!(response["assessments"][0]["contextualGroundingPolicy"]["filters"][0]["threshold"], 0.6);
    assert!(!answer("The capital of Japan is Tokyo.").blocked);
    assert!(answer("Berlin has about 3 million inhabitants and many museums.").blocked);
}

#[test]
fn rules_are_checked_exactly() {
    let mut definition = bare();
    definition.automated_reasoning = Some(
        serde_json::from_value(json!({
            "facts": [
                {"name": "total", "pointer": "/total", "type": "NUMBER"},
                {"name": "approved", "pointer": "/approved", "type": "BOOLEAN"},
                {"name": "price", "pointer": "@/price", "type": "NUMBER"},
            ],
            "rules": [
                {"name": "large needs approval",
                 "when": {"compare": {"left": {"fact": "total"}, "operator": "GREATER_THAN", "right": {"value": 9_007_199_254_740_993_u64}}},
                 "then": {"compare": {"left": {"fact": "approved"}, "operator": "EQUALS", "right": {"value": true}}}},
                {"name": "prices", "for_each": "/items",
                 "then": {"compare": {"left": {"fact": "price"}, "operator": "AT_LEAST", "right": {"value": 0}}}},
            ],
        }))
        .unwrap(),
    );
    let guardrail = compiled(definition);
    let verdict = |text: &str| guardrail.inspect_json(Source::Output, text, false).blocked;
    assert!(!verdict(r#"{"total": 9007199254740993, "items": []}"#));
    assert!(verdict(r#"{"total": 9007199254740994, "approved": false, "items": []}"#));
    assert!(!verdict(r#"{"total": 9007199254740994, "approved": true, "items": [{"price": 0}]}"#));
    assert!(verdict(r#"{"total": 1, "items": [{"price": 1}, {"price": -1}]}"#));
    assert!(verdict(r#"{"total": 1, "items": [{"price": "1"}]}"#));
    assert!(verdict(r#"{"items": []}"#), "a missing fact can't be decided");
}

#[test]
fn the_answer_has_bedrocks_shape() {
    let request = Request::parse(&json!({"source": "OUTPUT", "content": [
        {"text": {"text": "write to ann@example.com"}},
        {"text": {"text": "plain"}},
        {"text": {"text": "Paris", "qualifiers": ["query"]}},
    ]}))
    .unwrap();
    let (answer, _) = compiled(masking()).apply(&request, false);
    assert_eq!(answer["action"], "GUARDRAIL_INTERVENED");
    assert_eq!(answer["outputs"], json!([{"text": "write to {EMAIL}"}, {"text": "plain"}]));
    let entity = json!({"type": "EMAIL", "match": "ann@example.com", "action": "ANONYMIZED", "detected": true});
    assert_eq!(answer["assessments"][0]["sensitiveInformationPolicy"], json!({"piiEntities": [entity], "regexes": []}));
    assert_eq!(answer["usage"]["sensitiveInformationPolicyUnits"], 2);
    assert_eq!(answer["guardrailCoverage"]["textCharacters"], json!({"guarded": 29, "total": 34}));
    let clean = Request::parse(&json!({"source": "INPUT", "content": [{"text": {"text": "hello"}}]})).unwrap();
    let (answer, _) = compiled(masking()).apply(&clean, false);
    assert_eq!((answer["action"].clone(), answer["outputs"].clone()), (json!("NONE"), json!([])));
    for bad in
        [json!({}), json!({"source": "X", "content": []}), json!({"source": "INPUT", "content": [{"image": {}}]}), Value::Null]
    {
        assert!(Request::parse(&bad).is_err());
    }
}

#[test]
fn a_text_beyond_the_limit_is_blocked() {
    let text = "a".repeat(remit_guard::TEXT_BYTES_MAX + 1);
    let assessment = inspected(bare(), &text);
    assert!(assessment.blocked);
    assert_eq!(assessment.coverage.guarded, 0);
}

#[test]
fn more_findings_than_can_be_told_apart_block() {
    let many = "a@b.co ".repeat(20_000);
    assert!(inspected(masking(), &many).blocked);
    let json = json!({ "text": many }).to_string();
    assert!(compiled(masking()).inspect_json(Source::Output, &json, false).blocked);
    // Kinds that aren't asked for don't count.
    let mut definition = bare();
    definition.sensitive_information.pii_entities = masking().sensitive_information.pii_entities;
    definition.sensitive_information.pii_entities.retain(|entity| entity.kind == remit_guard::PiiType::CreditDebitCardNumber);
    let text = "212-736-5000 ".repeat(20_000) + "4111111111111111";
    assert_eq!(inspected(definition, &text).findings.len(), 1);
}
