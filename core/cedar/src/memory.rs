//! What a set has answered, for those who ask it about many calls: equal questions have equal answers.
//!
//! A question is what the rules of the tool's slice can tell of a call ([`Look`]), and whether all of its arguments can be held; the rest of
//! the call changes nothing. Questions that read the time, the history or a result are never remembered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::Entities;
use foldhash::fast::RandomState;

use crate::answer::{Answer, Ask, ContextFact, ContextFacts, PrincipalKind};
use crate::look::Look;
use crate::reads::{PRINCIPAL_ID, PROVENANCE};
use crate::set::{PolicySet, Slice};

/// The most answers that are remembered; then it begins anew.
const ANSWERS_MAX: usize = 100_000;
/// The longest question that is remembered, in bytes.
const QUESTION_BYTES_MAX: usize = 8 * 1024;
/// The most bytes of all questions that are remembered: long ones would take hundreds of megabytes a set.
const QUESTIONS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most callers whose entities are remembered; then it begins anew.
const CALLERS_MAX: usize = 10_000;

/// What is remembered. Its keys come from callers' words, so where they fall is drawn anew for each map.
#[derive(Default)]
pub(crate) struct Memory {
    /// Answers by question.
    answers: Mutex<HashMap<Box<[u8]>, Answer, RandomState>>,
    /// How many bytes the questions take.
    bytes: AtomicUsize,
    /// What Cedar is given besides the request, by caller and tool.
    entities: Mutex<HashMap<Box<[u8]>, Arc<Entities>, RandomState>>,
}

impl Memory {
    /// The answer to a question, from memory or by `answer`.
    pub(crate) fn answer(&self, question: Vec<u8>, answer: impl FnOnce() -> Answer) -> Answer {
        let answers = || self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = answers().get(question.as_slice()) {
            return known.clone();
        }
        let told = answer();
        let mut answers = answers();
        // Only changed under the lock.
        let mut bytes = self.bytes.load(Ordering::Relaxed) + question.len();
        if answers.len() >= ANSWERS_MAX || bytes > QUESTIONS_BYTES_MAX {
            answers.clear();
            bytes = question.len();
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        answers.insert(question.into_boxed_slice(), told.clone());
        told
    }

    /// The entities for calls of this caller, and of this tool if its slice's are among them.
    pub(crate) fn entities(
        &self,
        ask: &Ask<'_>,
        of_slice: bool,
        entities: impl FnOnce() -> Result<Entities, String>,
    ) -> Result<Arc<Entities>, String> {
        let mut caller = Question(Vec::with_capacity(256));
        caller.text(if of_slice { ask.tool } else { "" });
        caller.who(ask);
        let kept = || self.entities.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept().get(caller.0.as_slice()) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(entities()?);
        let mut kept = kept();
        if caller.0.len() <= QUESTION_BYTES_MAX {
            if kept.len() >= CALLERS_MAX {
                kept.clear();
            }
            kept.insert(caller.0.into_boxed_slice(), Arc::clone(&made));
        }
        Ok(made)
    }
}

impl PolicySet {
    /// From now on answers are remembered by what rules read of a call: for whoever asks about very many calls, such as a replay. It changes
    /// no answer (a law test asks both ways).
    pub fn remember(&self) {
        self.memory.get_or_init(Memory::default);
    }

    /// All that the answer hangs on, in one spelling; `None` if it isn't to be remembered.
    pub(crate) fn gist(&self, ask: &Ask<'_>, slice: &Slice) -> Option<Vec<u8>> {
        let reads = &slice.readers.facts;
        let fleeting = slice.readers.system || !slice.leaves.is_empty() || !slice.shadow_leaves.is_empty();
        if fleeting || ask.output.is_some() || reads.everything {
            return None;
        }
        let mut question = Question(Vec::with_capacity(256));
        question.text(ask.tool);
        if reads.principal {
            question.who(ask);
        } else {
            question.kind(ask);
        }
        slice.readers.names.iter().for_each(|name| question.fact(&ask.facts, name));
        let action = self.vocabulary.actions.get(ask.tool)?;
        if reads.of_context.contains(PROVENANCE) {
            // One word a property that its schema has; without an origin all are one.
            question.number(u64::from(ask.facts.origin.is_some()));
            for name in action.input.names() {
                question.text(ask.facts.origin.and_then(|origin| origin.of(name)).map_or("", remit_model::Provenance::as_str));
            }
        }
        let fact = |name: &str| if name == PRINCIPAL_ID { Some(ContextFact::Text(ask.who.id)) } else { ask.facts.get(name) };
        let whole = Look::whole();
        let look = |name: &str| if reads.whole_records { Some(&whole) } else { reads.looks.get(name) };
        action.input.told(ask.input, &fact, look, &mut question.0);
        (question.0.len() <= QUESTION_BYTES_MAX).then_some(question.0)
    }
}

/// A text of parts, each with its length.
struct Question(Vec<u8>);

impl Question {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// What kind of caller it is.
    fn kind(&mut self, ask: &Ask<'_>) {
        self.0.push(match ask.who.kind {
            PrincipalKind::OAuthUser => b'u',
            PrincipalKind::IamEntity => b'i',
        });
    }

    /// The caller.
    fn who(&mut self, ask: &Ask<'_>) {
        self.kind(ask);
        self.text(ask.who.id);
        self.number(ask.who.claims.len() as u64);
        for (name, value) in ask.who.claims {
            self.text(name);
            self.text(value);
        }
    }

    /// One of Remit's own facts.
    fn fact(&mut self, facts: &ContextFacts<'_>, name: &str) {
        let Some(fact) = facts.get(name) else { return self.0.push(0) };
        self.0.push(1);
        match fact {
            ContextFact::Text(text) => self.text(text),
            ContextFact::Number(number) => self.number(number.cast_unsigned()),
            ContextFact::Yes(yes) => self.0.push(u8::from(yes)),
            ContextFact::Texts(texts) => {
                self.number(texts.len() as u64);
                texts.iter().for_each(|text| self.text(text));
            }
            ContextFact::Address(ip) => self.text(&ip.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use remit_model::{ArgumentRole, CallOrigin, Labels, Provenance, ValueOrigin};
    use serde_json::{Value, json};

    use super::*;
    use crate::answer::{Claims, Who};
    use crate::source::{File, Mode, Source};
    use crate::vocabulary::{Tool, Vocabulary};

    const WHENS: [&str; 23] = [
        "true",
        "context.input.amount < 5",
        "context.input has note && context.input.note == \"x\"",
        "context.input has to_u2d_account && context.input.to_u2d_account == \"x\"",
        "context.input has \"to-account\" && context.input[\"to-account\"] like \"x*\"",
        "context.input has who && context.input.who.name == \"x\"",
        "context.input has who.name",
        "context.input == {amount: 1}",
        "[context.input].contains({amount: 1, note: \"x\"})",
        "context has output || context.isOutput",
        "context == {isOutput: false}",
        "principal.id == \"x\"",
        "principal.hasTag(\"team\") && principal.getTag(\"team\") == \"x\"",
        "context.remit has user && context.remit.user == \"x\"",
        "context.remit.riskLevel < 2 && context.remit.approved",
        "context.remit.sessionId == \"x\"",
        "context.remit has sourceIp && context.remit.sourceIp.isLoopback()",
        "context.remit.promptAttackScore > 50 || context.remit.guardrailFindings.contains(\"x\")",
        "context.remit.integrity == \"untrusted\"",
        "context.remit.confidentialityLevel > 1",
        "context.remit.requested",
        "context.provenance.note == \"untrusted\"",
        "context.system.now > datetime(\"2026-01-01\")",
    ];
    const DEFINITION: &str = r#"{"inputSchema":{"type":"object","properties":{"amount":{"type":"integer"},"note":{"type":"string"},
        "to-account":{"type":"string"},"price":{"type":"number"},"flag":{"type":"boolean"},
        "tags":{"type":"array","items":{"type":"string"}},"who":{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}},
        "required":["amount"]}}"#;

    fn compiled(text: String, validated: bool) -> PolicySet {
        let file = File { path: "a.cedar".to_owned(), text, mode: Mode::Active };
        let source = Arc::new(Source::read(Mode::Active, vec![file]).unwrap());
        let vocabulary = Vocabulary::of(&[Tool { id: "a___b", server: "a", definition: DEFINITION }]);
        PolicySet::compile_with(&source, vocabulary, "arn:x", validated)
    }

    fn set(when: &str, beside: &str) -> PolicySet {
        let text = format!(
            "permit (principal, action, resource) when {{ {when} }};\nforbid (principal, action, resource) when {{ {beside} }};\n"
        );
        compiled(text, true)
    }

    /// What a condition may be made of, values of the wrong type among them: rules that fail must fail alike.
    fn term() -> impl Strategy<Value = String> {
        let of = |words: &'static [&'static str]| proptest::sample::select(words).prop_map(str::to_owned);
        let values = of(&[
            "context.input.amount",
            "context.input.note",
            "context.input[\"to-account\"]",
            "context.input.to_u2d_account",
            "context.input.who.name",
            "context.input.price",
            "context.input.flag",
            "context.remit.agent",
            "context.remit.user",
            "context.remit.riskLevel",
            "context.remit.categories",
            "context.provenance.note",
            "principal.id",
            "principal.getTag(\"team\")",
        ]);
        let texts = || of(&["\"x\"", "\"xy\"", "\"\"", "1", "true", "decimal(\"1.5\")"]);
        let numbers = || of(&["0", "1", "-1", "9", "\"x\"", "context.input.amount"]);
        let patterns = of(&["*", "x*", "*y", "x*y", "*x*y*", "\\*", "", "xy", "*é*"]);
        let order = proptest::sample::select(&["<", "<=", ">", ">=", "==", "!="][..]);
        let amounts = prop_oneof![2 => of(&["context.input.amount"]), 1 => values.clone()];
        let words = prop_oneof![4 => of(&["context.input.note", "context.remit.agent"]), 1 => values.clone()];
        prop_oneof![
            (amounts, order, numbers(), any::<bool>()).prop_map(|(value, order, number, turned)| if turned {
                format!("{number} {order} {value}")
            } else {
                format!("{value} {order} {number}")
            }),
            (words.clone(), texts()).prop_map(|(value, text)| format!("{value} == {text}")),
            (words, patterns).prop_map(|(value, pattern)| format!("{value} like \"{pattern}\"")),
            (values.clone(), texts(), numbers())
                .prop_map(|(value, text, number)| format!("[{text}, {number}].contains({value})")),
            (values.clone(), values).prop_map(|(one, other)| format!("{one} == {other}")),
            of(&[
                "context.input.note == context.remit.user",
                "context.remit.sessionId != context.input.note",
                "context.input.note == context.remit.nothing",
                "context.input.note == principal.id",
                "principal.id == context.input.amount",
                "context.input.amount < context.remit.riskLevel",
                "context.input.amount == context.remit.promptAttackScore",
                "context.remit.riskLevel >= context.input.amount",
                "context.input.amount < context.remit.user",
            ]),
            of(&[
                "context.input has note",
                "context.input has who.name",
                "context.input.price.lessThan(decimal(\"2.0\"))",
                "context.input.tags.contains(\"x\")",
                "context.input.tags == [\"x\"]",
                "context.input == {amount: 1}",
                "context.output.note == \"x\"",
                "context.remit has user",
                "principal == AgentCore::OAuthUser::\"x\"",
                "principal.hasTag(\"team\")",
                "{a: context.input.note}.a == \"x\"",
                "(if context.input.flag then context.input else {note: \"x\"}).note == \"x\"",
            ]),
        ]
    }

    fn condition() -> impl Strategy<Value = String> {
        term().prop_recursive(3, 8, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} && {other})")),
                (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} || {other})")),
                inner.clone().prop_map(|one| format!("!({one})")),
                (inner.clone(), inner.clone(), inner).prop_map(|(one, two, three)| format!("(if {one} then {two} else {three})")),
            ]
        })
    }

    fn rule() -> impl Strategy<Value = String> {
        let scope = proptest::sample::select(
            &["principal", "principal", "principal is AgentCore::OAuthUser", "principal == AgentCore::OAuthUser::\"x\""][..],
        );
        let effect = proptest::sample::select(&["permit", "permit", "forbid", "@mode(\"LOG_ONLY\") forbid"][..]);
        (effect, scope, condition())
            .prop_map(|(effect, scope, when)| format!("{effect} ({scope}, action, resource) when {{ {when} }};\n"))
    }

    /// A call of few words, so that many are alike in what a rule reads and unlike in the rest.
    fn call() -> impl Strategy<Value = (Value, [usize; 12])> {
        // Mostly what the tool's schema says.
        let of = |good: Vec<Value>, bad: Vec<Value>| prop_oneof![19 => proptest::sample::select(good), 1 => proptest::sample::select(bad)];
        let word =
            || of(vec![json!("x"), json!("xy"), json!("y"), json!(""), json!("*"), json!("xéy")], vec![json!(1), Value::Null]);
        let numbers = vec![json!(0), json!(1), json!(-1), json!(5), json!(9), json!(10), json!(1.0)];
        let amount = of(numbers, vec![json!("1"), json!(1.5), json!(u64::MAX)]);
        let who = of(vec![json!({"name": "x"}), json!({"name": "y"})], vec![Value::Null, json!({"name": 3}), json!({})]);
        let price = of(vec![json!(1.5), json!(1), json!(3.25)], vec![json!(0.000_01), json!("1")]);
        let flag = of(vec![json!(true), json!(false)], vec![json!(1)]);
        let tags = of(vec![json!([]), json!(["x"]), json!(["x", "y"])], vec![json!([1])]);
        let has = proptest::collection::vec(proptest::bool::weighted(0.8), 7);
        let input =
            (amount, word(), word(), who, price, flag, tags, has).prop_map(|(amount, note, to, who, price, flag, tags, has)| {
                let all = [
                    ("amount", amount),
                    ("note", note),
                    ("to-account", to),
                    ("who", who),
                    ("price", price),
                    ("flag", flag),
                    ("tags", tags),
                ];
                Value::Object(all.into_iter().zip(has).filter(|(_, has)| *has).map(|((k, v), _)| (k.to_owned(), v)).collect())
            });
        (input, proptest::array::uniform12(0..2_usize))
    }

    fn told(set: &PolicySet, input: &Value, pick: &[usize; 12]) -> Answer {
        let of = |at: usize| ["x", "y"][pick[at]];
        let claims = Claims::from([("team".to_owned(), of(0).to_owned())]);
        let findings = [of(1).to_owned()];
        let origin = CallOrigin {
            labels: if pick[2] == 0 { Labels::UNKNOWN } else { Labels::default() },
            values: vec![ValueOrigin {
                pointer: "/note".to_owned(),
                role: ArgumentRole::Content,
                provenance: if pick[1] == 0 { Provenance::Untrusted } else { Provenance::Request },
                source: None,
            }],
            requested: pick[1] == 1,
            request: None,
        };
        let facts = ContextFacts {
            agent: "agent",
            user: (pick[3] == 0).then_some(of(4)),
            space: "s",
            account: "1",
            role: None,
            source_identity: None,
            session_id: of(5),
            source_ip: Some(if pick[6] == 0 { [127, 0, 0, 1].into() } else { [10, 0, 0, 1].into() }),
            risk: "low",
            risk_level: 1 + i64::try_from(pick[7]).unwrap(),
            class: "MUTATIVE",
            categories: &[],
            trust: None,
            approved: pick[8] == 0,
            prompt_attack_percent: 90 * i64::try_from(pick[9]).unwrap(),
            guardrail_findings: &findings,
            origin: (pick[10] == 0).then_some(&origin),
        };
        let who = Who { kind: PrincipalKind::OAuthUser, id: ["x", "ann"][pick[11]], claims: &claims };
        let now_ms = if pick[0] == 0 { 1_790_000_000_000 } else { 1_500_000_000_000 };
        set.decide(&Ask { who, tool: "a___b", input, output: None, facts, now_ms, bindings: None })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn calls_that_rules_cant_tell_apart_have_one_answer(
            rules in proptest::collection::vec(rule(), 1..4),
            calls in proptest::collection::vec(call(), 200),
        ) {
            let text = rules.concat();
            let (plain, remembering) = (compiled(text.clone(), false), compiled(text.clone(), false));
            remembering.remember();
            for (input, pick) in &calls {
                prop_assert_eq!(told(&remembering, input, pick), told(&plain, input, pick), "{}: {}", text, input);
            }
        }

        #[test]
        fn what_is_remembered_is_what_would_be_said(
            when in 0..WHENS.len(),
            beside in 0..WHENS.len(),
            calls in proptest::collection::vec(call(), 200),
        ) {
            let (plain, remembering) = (set(WHENS[when], WHENS[beside]), set(WHENS[when], WHENS[beside]));
            remembering.remember();
            for (input, pick) in &calls {
                prop_assert_eq!(told(&remembering, input, pick), told(&plain, input, pick), "{} / {}: {}", WHENS[when], WHENS[beside], input);
            }
        }
    }

    fn answers(set: &PolicySet) -> usize {
        set.memory.get().map_or(0, |memory| memory.answers.lock().unwrap().len())
    }

    #[test]
    fn equal_questions_are_asked_once() {
        let set = set("context.input.amount < 5", "context.remit.riskLevel > 3");
        set.remember();
        for note in 0..50 {
            let input = json!({"amount": note % 3, "note": format!("n{note}")});
            assert_eq!(told(&set, &input, &[0; 12]).enforced.effect, crate::answer::Effect::Allow);
        }
        assert_eq!(answers(&set), 1);
    }

    #[test]
    fn what_rules_compare_with_their_own_words_is_told_by_how_it_comes_out() {
        for (when, expected) in [
            // Below, one of the numbers, between them, above.
            ("context.input.amount < 10 || 20 == context.input.amount", 5),
            ("context.input has note && context.input.note like \"*7*\"", 2),
            ("context.input has note && [\"n1\", \"n2\"].contains(context.input.note)", 3),
            ("context.input has note && context.input.note != \"n7\"", 2),
            ("context.input has note && context.input.note == context.remit.agent", 1),
            ("context.input has note && principal.id != context.input.note", 1),
            ("context.remit.riskLevel >= context.input.amount", 3),
            // With what else differs from call to call.
            (
                "context.input has note && context.input has \"to-account\" && context.input.note == context.input[\"to-account\"]",
                50,
            ),
            ("context.input.amount + 1 < 10", 50),
        ] {
            let set = set(when, "context.remit.agent == \"other\"");
            set.remember();
            for note in 0..50 {
                told(&set, &json!({"amount": note, "note": format!("n{note}")}), &[0; 12]);
            }
            assert_eq!(answers(&set), expected, "{when}");
        }
    }
}
