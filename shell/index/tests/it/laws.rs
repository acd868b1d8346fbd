//! What the index answers is what a plain filter over the entries finds.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use remit_index::{By, Counts, IndexError, LIMIT_MAX, Question, TEXT_BYTES_MAX, Verdict};
use remit_model::time_ms;
use serde_json::{Value, json};

use crate::log::{Log, all, append_to, filtered, tight};

const AGENTS: [&str; 4] = ["triage", "deploy", "o'brien \"x\"", "агент%_"];
const SPACES: [&str; 2] = ["support", "ops"];
const TOOLS: [&str; 4] = ["desk___read", "desk___close", "ops___delete", "'); DROP TABLE word; --"];
const STATEMENTS: [&str; 6] = [
    "row 3: triage may read",
    "policy `no-deletes` of support/policies.cedar",
    "policy `no-deletes-2` of support/policies.cedar",
    "Row 3: TRIAGE",
    "a \"quoted\" OR * NEAR(x) ^y",
    "überall nicht 'erlaubt'",
];
const LAYERS: [&str; 3] = ["SPACE", "TOOL_POLICY", "POLICY_SET"];
const ASKED: [&str; 9] =
    ["row", "no-deletes", "deletes-2", "Row", "\"quoted\" OR", "* NEAR(x) ^y", "über", "absent", "row 3: triage may read"];

/// A word of these, or none.
fn maybe(words: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    prop_oneof![2 => Just(None), 3 => select(words).prop_map(|word| Some(word.to_owned()))]
}

fn time(secs: u64) -> String {
    format!("2026-03-01T{:02}:{:02}:{:02}.500Z", secs / 3600 % 24, secs / 60 % 60, secs % 60)
}

/// An entry without its id: ids are the place. Outcomes name a decision by how far back it is.
#[derive(Debug, Clone)]
enum Draft {
    Decision { entry: Value, shared_trace: bool },
    Outcome { back: usize, outcome: &'static str },
    Other(Vec<u8>),
}

fn decision() -> impl Strategy<Value = Draft> {
    let line =
        (select(&LAYERS[..]), select(&["ALLOW", "NO_IMPACT", "IMPLICIT_DENY", "EXPLICIT_DENY"][..]), select(&STATEMENTS[..]))
            .prop_map(|(layer, effect, statement)| json!({"checkType": layer, "effect": effect, "statement": statement}));
    let names = (maybe(&AGENTS), maybe(&["ana", "bo"]), select(&SPACES[..]), maybe(&TOOLS), maybe(&["ap-1", "ap-2"]));
    let said = (select(&["ALLOW", "DENY", "HOLD"][..]), maybe(&["suspended", "not_in_space"]), prop::collection::vec(line, 0..4));
    (names, said, 0_u64..40_000, any::<bool>()).prop_map(|((agent, user, space, tool, approval), (verdict, reason, layers), secs, shared_trace)| {
        let mut entry = json!({"v": 1, "type": "decision", "time": time(secs), "agent": agent, "space": space, "verdict": verdict, "layers": layers, "risk": "low"});
        for (key, value) in [("user", user), ("tool", tool), ("reason", reason), ("approval", approval)] {
            if let Some(value) = value {
                entry[key] = json!(value);
            }
        }
        Draft::Decision { entry, shared_trace }
    })
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let outcome = (1_usize..6, select(&["ok", "tool_error"][..])).prop_map(|(back, outcome)| Draft::Outcome { back, outcome });
    const OTHERS: &[&[u8]] = &[b"not json", b"{}", b"[1]", br#"{"type":"started"}"#, b"\xff\xfe", br#"{"type":7,"verdict":[]}"#];
    let other = select(OTHERS).prop_map(|bytes| Draft::Other(bytes.to_vec()));
    prop::collection::vec(prop_oneof![5 => decision(), 2 => outcome, 1 => other], 1..60)
}

fn entries(drafts: &[Draft]) -> Vec<Vec<u8>> {
    let id = |place: usize| format!("{place:032x}");
    let one = |(place, draft): (usize, &Draft)| match draft {
        Draft::Decision { entry, shared_trace } => {
            let mut entry = entry.clone();
            entry["id"] = json!(id(place));
            entry["trace_id"] = json!(if *shared_trace { "a trace".to_owned() } else { id(place) });
            entry.to_string().into_bytes()
        }
        Draft::Outcome { back, outcome } => {
            json!({"v": 1, "type": "outcome", "time": time(0), "decision": id(place.saturating_sub(*back)), "outcome": outcome})
                .to_string()
                .into_bytes()
        }
        Draft::Other(bytes) => bytes.clone(),
    };
    drafts.iter().enumerate().map(one).collect()
}

fn question() -> impl Strategy<Value = Question> {
    let rare =
        |words: &'static [&'static str]| prop_oneof![4 => Just(None), 1 => select(words).prop_map(|word| Some(word.to_owned()))];
    let names = (rare(&AGENTS), rare(&["ana", "nobody"]), rare(&SPACES), rare(&TOOLS), rare(&["suspended"]), rare(&["ap-1"]));
    let texts = (
        rare(&ASKED),
        rare(&LAYERS),
        rare(&["a trace", "00000000000000000000000000000004"]),
        rare(&["00000000000000000000000000000002"]),
    );
    let verdict = prop_oneof![3 => Just(None), 1 => select(&Verdict::ALL[..]).prop_map(Some)];
    let times = (prop::option::weighted(0.2, 0_u64..40_000), prop::option::weighted(0.2, 0_u64..40_000));
    (names, texts, verdict, times, 1_usize..9).prop_map(|(names, texts, verdict, (since, until), limit)| {
        let (agent, user, space, tool, reason, approval) = names;
        let (statement, layer, trace_id, decision) = texts;
        let ms = |secs: u64| time_ms(&time(secs)).unwrap();
        let (since_ms, until_ms) = (since.map(ms), until.map(ms));
        Question {
            agent,
            user,
            space,
            tool,
            verdict,
            reason,
            statement,
            layer,
            trace_id,
            approval,
            decision,
            since_ms,
            until_ms,
            limit,
            cursor: None,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn answers_are_those_of_a_plain_filter(drafts in drafts(), questions in prop::collection::vec(question(), 24), batch in 1_usize..20) {
        let mut log = Log::new();
        log.append(&entries(&drafts), batch);
        let index = log.caught_up();
        let tightly = log.index().bounded(tight());
        for question in questions {
            let wanted = log.filtered(&question);
            prop_assert_eq!(&all(&index, &question), &wanted, "{:?}", question);
            prop_assert_eq!(&all(&tightly, &question), &wanted, "{:?}, tightly", question);
        }
    }

    #[test]
    fn pages_have_neither_gaps_nor_repeats_while_entries_come(first in drafts(), then in drafts(), question in question()) {
        let mut log = Log::new();
        let all_entries = entries(&[first.clone(), then].concat());
        log.append(&all_entries[..first.len()], 7);
        let wanted = log.filtered(&question);
        let index = log.caught_up().bounded(tight());
        let page = index.search(&question).unwrap();
        let mut got = page.decisions;
        log.append(&all_entries[first.len()..], 5);
        log.caught_up();
        if let Some(cursor) = page.next_cursor {
            got.extend(all(&index, &Question { cursor: Some(cursor), ..question }));
        }
        // How calls ended may have come to be known meanwhile.
        let places = |found: &[remit_index::Found]| found.iter().map(|one| one.index).collect::<Vec<_>>();
        prop_assert_eq!(places(&got), places(&wanted));
    }

    #[test]
    fn counts_are_those_of_a_plain_count(drafts in drafts(), step in 1_u64..40, from in 0_u64..20_000, long in 1_u64..30_000) {
        let mut log = Log::new();
        log.append(&entries(&drafts), 9);
        let index = log.caught_up();
        let begin = time_ms("2026-03-01").unwrap() / 1000;
        let step_secs = step * 300;
        let (since_secs, until_secs) = (begin + from, begin + from + long);
        let (low, high) = (since_secs / step_secs * step_secs, until_secs.div_ceil(step_secs) * step_secs);
        for by in [None, Some(By::Space), Some(By::Agent), Some(By::Tool), Some(By::Verdict)] {
            let mut wanted: BTreeMap<(u64, Option<String>), [u64; 3]> = BTreeMap::new();
            for one in log.filtered(&Question::default()) {
                let secs = one.at_ms / 1000;
                if secs < low || secs >= high {
                    continue;
                }
                let key = match by {
                    None => None,
                    Some(By::Space) => one.space,
                    Some(By::Agent) => one.agent,
                    Some(By::Tool) => one.tool,
                    Some(By::Verdict) => Some(one.verdict.as_str().to_owned()),
                };
                let place = Verdict::ALL.iter().position(|verdict| *verdict == one.verdict).unwrap();
                wanted.entry((secs / step_secs * step_secs, key)).or_default()[place] += 1;
            }
            let told = index.counts(&Counts { since_secs, until_secs, step_secs, by }).unwrap();
            let count = told.len();
            let told: BTreeMap<_, _> = told.into_iter().map(|one| ((one.at_secs, one.key), [one.allow, one.deny, one.hold])).collect();
            prop_assert_eq!(told.len(), count);
            prop_assert_eq!(told, wanted, "{:?}", by);
        }
    }

    #[test]
    fn every_entry_is_proved(drafts in drafts(), more in 0_usize..900, batch in 1_usize..300) {
        let mut log = Log::new();
        let mut all = entries(&drafts);
        all.extend((0..more).map(|number| format!("entry {number}").into_bytes()));
        log.append(&all, batch);
        let index = log.caught_up();
        for place in [0, all.len() / 3, all.len() / 2, all.len() - 1] {
            let proof = index.proof(place as u64).unwrap().unwrap();
            let (size, root) = (proof.checkpoint.size, proof.checkpoint.root);
            prop_assert_eq!(size, all.len() as u64);
            prop_assert_eq!(proof.leaf, remit_tlog::leaf_hash(&all[place]));
            prop_assert!(remit_tlog::verify_inclusion(&proof.leaf, place as u64, size, &proof.path, &root).is_ok());
            prop_assert_eq!(index.entry(place as u64).unwrap().unwrap().bytes, all[place].clone());
        }
        prop_assert!(index.proof(all.len() as u64).unwrap().is_none());
        // The same under every earlier checkpoint, and each extends all before it.
        let newest = index.checkpoint().unwrap().unwrap();
        let mut tree = remit_tlog::Frontier::new();
        let mut earlier = vec![(0, tree.root())];
        for (at, entry) in all.iter().enumerate() {
            tree.append(remit_tlog::leaf_hash(entry));
            if (at + 1) % 97 == 0 || at + 1 == all.len() {
                earlier.push((at as u64 + 1, tree.root()));
            }
        }
        for (size, root) in earlier {
            let proof = index.consistency(size, &newest).unwrap().unwrap();
            prop_assert!(remit_tlog::verify_consistency((size, &root), (newest.size, &newest.root), &proof).is_ok());
            let then = remit_journal::SignedCheckpoint { size, root, note: String::new() };
            prop_assert_eq!(index.proof_to(size, then.clone()).unwrap(), None);
            if let Some(last) = size.checked_sub(1) {
                let proof = index.proof_to(last / 2, then).unwrap().unwrap();
                prop_assert!(remit_tlog::verify_inclusion(&proof.leaf, last / 2, size, &proof.path, &root).is_ok());
            }
        }
        prop_assert!(index.consistency(newest.size + 1, &newest).unwrap().is_none());
        prop_assert!(index.entry(all.len() as u64).unwrap().is_none());
    }
}

#[test]
fn hostile_values_are_values() {
    let mut log = Log::new();
    let overlong = "x".repeat(TEXT_BYTES_MAX * 2);
    let nul = "a\u{0}b";
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let decision = |tool: &Value, id: &Value| json!({"v": 1, "type": "decision", "time": "2026-03-01T00:00:00.000Z", "id": id, "trace_id": id, "agent": "a", "space": "s", "tool": tool, "verdict": "DENY", "reason": "r", "layers": [{"checkType": "SPACE", "effect": "IMPLICIT_DENY", "statement": tool}]});
    let ids =
        ["0123456789abcdef0123456789abcdef", "0123456789ABCDEF0123456789ABCDEF", "+123456789abcdef0123456789abcdef", "", "é"];
    let mut entries: Vec<Vec<u8>> = ids.iter().map(|id| decision(&json!("t"), &json!(id)).to_string().into_bytes()).collect();
    for tool in [json!(overlong), json!(nul), json!(7), json!({"a": {}}), json!(null), json!(-1.5), json!(true)] {
        entries.push(decision(&tool, &json!("odd")).to_string().into_bytes());
    }
    entries.push(format!(r#"{{"v":1,"type":"decision","layers":{deep},"verdict":"WHATEVER","time":"never"}}"#).into_bytes());
    log.append(&entries, 4);
    let index = log.caught_up();
    let everything = all(&index, &Question { limit: 3, ..Question::default() });
    assert_eq!(everything.len(), entries.len());
    // What nobody knows is no permission.
    assert!(everything.iter().all(|one| one.verdict == Verdict::Deny));
    for id in ids.into_iter().filter(|id| !id.is_empty()) {
        let found = all(&index, &Question { decision: Some(id.to_owned()), ..Question::default() });
        assert_eq!(found.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), [id]);
        assert_eq!(index.places(id).unwrap().unwrap().0, found[0].index);
    }
    let cut = all(&index, &Question { tool: Some(overlong[..TEXT_BYTES_MAX].to_owned()), ..Question::default() });
    assert_eq!(cut.len(), 1);
    let asked = |question: Question| match index.search(&question) {
        Err(IndexError::Question(why)) => why,
        other => panic!("{other:?}"),
    };
    let tool = |tool: &str| Question { tool: Some(tool.to_owned()), ..Question::default() };
    assert_eq!(asked(tool("")), "`tool` is empty");
    assert_eq!(asked(tool(&overlong)), "`tool` is longer than 1024 bytes");
    assert_eq!(asked(tool(nul)), "`tool` holds a zero byte");
    assert_eq!(
        asked(Question { statement: Some("ab".to_owned()), ..Question::default() }),
        "`statement` has fewer than 3 characters"
    );
    assert_eq!(asked(Question { limit: LIMIT_MAX + 1, ..Question::default() }), "a page has at most 500 decisions");
    let other = index.search(&Question { limit: 1, ..tool("t") }).unwrap().next_cursor;
    assert_eq!(asked(Question { cursor: other, ..Question::default() }), "the cursor belongs to another question");
    for cursor in ["", "-", "zz-00000000", "11112222333344445-00000000", "ffff"] {
        assert_eq!(asked(Question { cursor: Some(cursor.to_owned()), ..Question::default() }), "the cursor is not one of ours");
    }
    for (since_secs, until_secs, step_secs) in
        [(0, 100, 0), (0, 100, 60), (100, 100, 300), (0, u64::MAX, 300), (0, 300 * 2001, 300), (0, 60, u64::MAX / 300 * 300)]
    {
        let counts = index.counts(&Counts { since_secs, until_secs, step_secs, by: None });
        assert!(matches!(counts, Err(IndexError::Question(_))), "{since_secs} {until_secs} {step_secs}: {counts:?}");
    }
}

#[test]
fn what_is_told_of_a_few_is_told_of_thousands() {
    let mut log = Log::new();
    // Many kinds, so that the usual bounds are met too.
    let entry = |number: usize| json!({"v": 1, "type": "decision", "time": time(number as u64), "id": format!("{number:032x}"), "trace_id": "t", "agent": format!("agent-{}", number % 97), "space": "s", "tool": format!("tool-{}", number % 101), "verdict": if number.is_multiple_of(5) { "DENY" } else { "ALLOW" }, "layers": [{"checkType": "SPACE", "effect": "ALLOW", "statement": format!("statement {}", number % 7)}]});
    let entries: Vec<Vec<u8>> = (0..12_000).map(|number| entry(number).to_string().into_bytes()).collect();
    append_to(&log.journal(), &entries, 500);
    log.entries = entries;
    let index = log.caught_up();
    for question in [
        Question { verdict: Some(Verdict::Allow), limit: 500, ..Question::default() },
        Question { statement: Some("statement 3".to_owned()), limit: 77, ..Question::default() },
        Question { agent: Some("agent-5".to_owned()), tool: Some("tool-7".to_owned()), limit: 1, ..Question::default() },
        Question { trace_id: Some("t".to_owned()), agent: Some("agent-9".to_owned()), limit: 10, ..Question::default() },
        Question { since_ms: time_ms(&time(3_000)), until_ms: time_ms(&time(9_000)), limit: 500, ..Question::default() },
    ] {
        assert_eq!(all(&index, &question), filtered(&log.entries, &question), "{question:?}");
    }
}
