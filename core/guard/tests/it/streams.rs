//! Streams: the same findings and text as of the whole, released early.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use remit_guard::{Action, Content, Finding, Guardrail, Release, Source, Stream, definition::Sides};

use crate::{bare, compiled, masking};

static MASKING: LazyLock<Arc<Guardrail>> = LazyLock::new(|| Arc::new(compiled(masking())));

fn streamed(guardrail: &Arc<Guardrail>, pieces: &[&str]) -> (String, Vec<Finding>, bool) {
    let mut stream = Stream::new(guardrail.clone(), Source::Output);
    let (mut all, mut found, mut blocked) = (String::new(), Vec::new(), false);
    let mut take = |release: Release| match release {
        Release::Text { text, findings } => {
            all.push_str(&text);
            found.extend(findings);
        }
        Release::Blocked { findings, .. } => {
            found.extend(findings);
            blocked = true;
        }
    };
    for piece in pieces {
        take(stream.push(piece));
    }
    take(stream.finish());
    (all, found, blocked)
}

/// Cuts a text into pieces of the given sizes, over and over.
fn pieces<'t>(text: &'t str, sizes: &[usize]) -> Vec<&'t str> {
    let (mut pieces, mut at, mut i) = (Vec::new(), 0, 0);
    while at < text.len() {
        let mut end = (at + sizes[i % sizes.len()].max(1)).min(text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        pieces.push(&text[at..end]);
        (at, i) = (end, i + 1);
    }
    pieces
}

const WORDS: &[&str] = &[
    "the result of the call",
    "ann@example.com",
    "4111 1111 1111 1111",
    "ssn 078-05-1120",
    "password: hunter2!",
    "\n",
    "192.168.1.254",
    "https://example.com/a?b=c",
    "GB82 WEST 1234 5698 7654 32",
    "Dear Mrs. Jane Doe,",
    "at 221B Baker Street, London",
    "caf\u{e9}",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "pass\u{200b}word",
    "card number",
    "CVV: 123",
    "call (212) 736-5000",
    "12 34 56",
    "x",
    "lorem ipsum dolor sit amet, consectetur adipiscing elit",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_stream_finds_what_the_whole_holds(words in prop::collection::vec(0..WORDS.len(), 0..60), sizes in prop::collection::vec(1usize..90, 1..6)) {
        let text: String = words.iter().map(|&word| WORDS[word]).collect::<Vec<_>>().join(" ");
        let guardrail = MASKING.clone();
        let whole = guardrail.inspect(&Content::new(Source::Output, &text));
        let (released, found, blocked) = streamed(&guardrail, &pieces(&text, &sizes));
        prop_assert!(!blocked);
        prop_assert_eq!(released, whole.output.unwrap_or(text.clone()));
        let places = |findings: &[Finding]| findings.iter().map(|f| (f.name.clone(), f.range.clone())).collect::<Vec<_>>();
        prop_assert_eq!(places(&found), places(&whole.findings));
    }
}

#[test]
fn a_long_stream_is_not_held() {
    let guardrail = Arc::new(compiled(masking()));
    let mut stream = Stream::new(guardrail, Source::Output);
    for _ in 0..1000 {
        stream.push("plain words go through without being kept. ");
        assert!(stream.held() < 600);
    }
}

#[test]
fn what_blocks_ends_the_stream() {
    let mut definition = bare();
    definition.sensitive_information.secrets = Some(Sides { input_action: Action::Block, output_action: Action::Block });
    let guardrail = Arc::new(compiled(definition));
    let mut stream = Stream::new(guardrail, Source::Output);
    let mut text = "words ".repeat(100);
    text.push_str("ghp_16C7e42F292c6912E7710c838347Ae178B4a ");
    text.push_str(&"words ".repeat(100));
    assert!(matches!(stream.push(&text), Release::Blocked { .. }));
    assert!(matches!(stream.push("more"), Release::Blocked { .. }));
    assert!(matches!(stream.finish(), Release::Blocked { .. }));
}
