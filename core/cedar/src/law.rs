//! What is said against rules is what the validators say of the whole set over all actions.

use std::sync::Arc;

use proptest::prelude::*;

use crate::check::{Check, Subject};
use crate::excerpt::Parts;
use crate::set::{PolicySet, lower};
use crate::source::{File, Mode, Source};
use crate::vocabulary::{Tool, Vocabulary};

/// Unlike enough that for each name that is none, one is the nearest: of two as near, Cedar suggests either.
const SERVERS: [&str; 3] = ["alpha", "beta", "gamma"];

/// Twelve tools of three servers; what they share is of one type with most of them, and of another or nowhere with the rest.
fn vocabulary() -> Vocabulary {
    let definitions = [
        r#"{"inputSchema":{"type":"object","properties":{"amount":{"type":"integer"},"to-account":{"type":"string"}},"required":["amount","to-account"]}}"#,
        r#"{"inputSchema":{"type":"object","properties":{"amount":{"type":"integer"}},"required":["amount"]},"outputSchema":{"type":"object","properties":{"id":{"type":"string"}},"required":["id"]}}"#,
        r#"{"inputSchema":{"type":"object","properties":{"amount":{"type":"integer"},"rare":{"type":"boolean"}}}}"#,
        r#"{"inputSchema":{"type":"object","properties":{"amount":{"type":"integer"},"who":{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}},"required":["who"]}}"#,
    ];
    let ids: Vec<(String, String)> =
        (0..12).map(|at| (SERVERS[at % 3], at)).map(|(server, at)| (format!("{server}___t{at}"), server.to_owned())).collect();
    // The last is unlike the others: its amount is a text.
    let odd = r#"{"inputSchema":{"type":"object","properties":{"amount":{"type":"string"}},"required":["amount"]}}"#;
    let tools: Vec<Tool<'_>> = ids
        .iter()
        .enumerate()
        .map(|(at, (id, server))| Tool { id, server, definition: if at == 11 { odd } else { definitions[at % 4] } })
        .collect();
    Vocabulary::of(&tools)
}

const PRINCIPALS: [&str; 6] = [
    "principal",
    "principal is AgentCore::OAuthUser",
    "principal is AgentCore::OAuthUsr",
    "principal == AgentCore::IamEntity::\"x\"",
    "principal in AgentCore::Gateway::\"x\"",
    "principal == AgentCore::Gateway::\"x\"",
];

const SCOPES: [&str; 11] = [
    "action",
    "action == AgentCore::Action::\"beta___t1\"",
    "action == AgentCore::Action::\"gamma___t11\"",
    "action == AgentCore::Action::\"beta___tt1\"",
    "action in AgentCore::Action::\"alpha\"",
    "action in AgentCore::Action::\"gamma\"",
    "action in AgentCore::Action::\"alpa\"",
    "action in [AgentCore::Action::\"alpha___t0\", AgentCore::Action::\"beta\"]",
    "action in [AgentCore::Action::\"alpha___t3\", AgentCore::Action::\"gamma\", AgentCore::Action::\"gammma___t11\"]",
    "action == Action::\"beta___t1\"",
    "action in [AgentCore::Action::\"alpha\", AgentCore::Action::\"beta\", AgentCore::Action::\"gamma\"]",
];

const NOWHERE: [&str; 2] = [SCOPES[6], SCOPES[8]];

const BODIES: [&str; 30] = [
    "true",
    "context.input.amount < 5",
    "context.input has amount && context.input.amount < 5",
    "context.input has amount && context.input.amount == \"5\"",
    "context.input has rare && context.input.rare",
    "context.input has nothing && context.input.nothing == 1",
    "context.input.nothing == 1",
    "context.input.amont < 5",
    "context.input has who && context.input.who.name == \"x\"",
    "context.input has who && context.input.who == {name: \"x\"}",
    "context.input has who.name && context.input.who.nme == \"x\"",
    "context.input has \"to-account\" && context.input[\"to-account\"] like \"x*\"",
    "context.input has to_u2d_account && context.input.to_u2d_account == 1",
    "context.input == {amount: 1}",
    "context has output && context.output has id && context.output.id == \"x\"",
    "context.isOutput && context.output.id == \"x\"",
    "context has f0_0__temporal_0 && context.input.nothing == 1",
    "context has \"f0_0\\u{5f}_temporal_0\" && context.input.amount == 1",
    "context.f0_1__temporal_0",
    "context == {isOutput: true}",
    "action == AgentCore::Action::\"alpha___t3\" && context.input.who.name == \"x\"",
    "action in AgentCore::Action::\"alpha\" && context.input.nothing == 1",
    "action in [AgentCore::Action::\"beta\", AgentCore::Action::\"betta\"] && context.remit.riskLevel < 2",
    "context.remit.risklevel < 2 || principal.nothing == 1",
    "principal.hasTag(\"team\") && principal.getTag(\"team\") == \"a\" && principal in AgentCore::Group::\"x\"",
    "if action == AgentCore::Action::\"gamma___t11\" then context.input.amount == \"x\" else context.remit.delegated",
    "context.system.now > datetime(\"yesterday\")",
    // Right for the first of all actions, and wrong for others that nothing but this tells from it.
    "context.input == {amount: 1, \"to-account\": \"x\", to_u2d_account: \"x\"}",
    "action == AgentCore::Action::\"gamma___t11\" && context.input.nothing == 1",
    "action in AgentCore::Action::\"gamma\" && context.input.nothing == 1",
];

const REFUSED: &str = "context.input.amount.frobnicate(1)";

const BACKS: [&str; 13] = [
    "formerly within 1h AgentCore::Action::\"beta___t1\"::response{ output.id: _ }",
    "formerly within 1h AgentCore::Action::\"beta___t1\"::request{ input.amount: context.input.amount }",
    "formerly within 1h AgentCore::Action::\"gamma___t11\"::request{ input.amount: context.input.amount }",
    "formerly within 1h AgentCore::Action::\"beta___tt4\"::request{}",
    "formerly within 1h AgentCore::Action::\"beta\"::request{}",
    "formerly within 1h AgentCore::Action::\"beta___t1\"::request{ input.nothing: 1 }",
    "formerly within 1h AgentCore::Action::\"alpha___t0\"::request{ input.to_u2d_account: context.input.rare }",
    "formerly within 99d AgentCore::Action::\"alpha___t0\"::request{}",
    "formerly within 1h AgentCore::Action::\"alpha___t0\"::request{ input.amount: \"x\", callerPrincipal: principal }",
    "(count for ($q: String). where (formerly within 1h AgentCore::Action::\"alpha___t0\"::request{ requestId: $q })) <= 3",
    "(sum $a for ($a: String). where (formerly within 1h AgentCore::Action::\"gamma___t11\"::request{ input.amount: $a })) <= 3",
    "lately(1h, \"x\")",
    "once(1h)",
];

const DEFINITIONS: [&str; 3] = [
    "",
    "def temporal once(?w) {\n  formerly within ?w AgentCore::Action::\"alpha___t0\"::request{ input.nothing: 1 }\n};\n",
    "def temporal once(?w) { formerly within ?w AgentCore::Action::\"alpha___t0\"::request{} };\n// é\ndef temporal lately(?w, ?x) { formerly within ?w AgentCore::Action::\"gamma___t11\"::request{ input.amount: ?x } };\n",
];

fn rule() -> impl Strategy<Value = String> {
    let one = |of: &'static [&'static str]| (0..of.len()).prop_map(move |at| of[at]);
    // Most are right but for one thing.
    let rare = |of: &'static [&'static str]| prop_oneof![4 => Just(of[0]), 1 => one(of)];
    // Lowering refuses the last, and the others of its file are lowered one by one.
    let body = prop_oneof![20 => one(&BODIES), 1 => Just(REFUSED)];
    let back = prop_oneof![3 => Just(None), 1 => one(&BACKS).prop_map(Some)];
    (any::<bool>(), rare(&PRINCIPALS), one(&SCOPES), body, back, 0..3_usize).prop_map(
        |(permits, principal, scope, body, back, lines)| {
            let annotations = ["", "@note(\"a\")\n", "@note(\"a\")\n// a word\n@other(\"b\")\n\n"][lines];
            let effect = if permits { "permit" } else { "forbid" };
            let back = back.map(|back| format!("\nwhen temporal {{ {back} }}")).unwrap_or_default();
            format!("{annotations}{effect} ({principal}, {scope}, resource)\nwhen {{ {body} }}{back};\n")
        },
    )
}

fn agree(texts: Vec<String>) -> usize {
    let files = texts.into_iter().enumerate();
    let files = files.map(|(at, text)| File { path: format!("{at}.dw"), text, mode: Mode::Active }).collect();
    // What can't be read at all isn't checked.
    let Ok(source) = Source::read(Mode::Active, files) else { return 0 };
    let vocabulary = vocabulary();
    let parts = Parts::of(&source);
    let (lowered, _, rule_of, _) = lower(&source, &parts, &vocabulary.schema);
    let check = Check { source: &source, parts: &parts, vocabulary: &vocabulary, lowered: &lowered };
    let subjects = Subject::all(&lowered, &rule_of);
    let told = check.told(&subjects);
    let mut whole = check.in_one_go(true);
    whole.extend(check.in_one_go(false));
    whole.sort();
    whole.dedup();
    let said = |told: &[crate::check::Told]| {
        let mut said: Vec<_> = told.iter().map(|told| (told.file, told.at, told.what.clone(), told.mend.clone())).collect();
        said.dedup();
        said
    };
    // A scope `in` something that is nowhere might be anything to Cedar, which types the rest of the rule for every action. Here it is
    // typed for those that the scope is known to reach.
    let nowhere = |one: &crate::check::Told| {
        let text = |rule: &usize| source.rules()[*rule].text.clone();
        one.rules.iter().map(text).any(|text| NOWHERE.iter().any(|scope| text.contains(&format!(", {scope}, resource"))))
    };
    for one in told.iter().filter(|one| nowhere(one)) {
        let here = |other: &&crate::check::Told| (other.file, other.at, &other.what) == (one.file, one.at, &one.what);
        assert!(whole.iter().any(|other| here(&other)), "{one:?}");
        let of_rule = |other: &&crate::check::Told| other.rules == one.rules && other.what.contains("unrecognized action");
        assert_eq!(told.iter().filter(of_rule).count(), whole.iter().filter(of_rule).count());
    }
    for one in whole.iter().filter(|one| nowhere(one)) {
        assert!(told.iter().any(|other| other.rules == one.rules), "{one:?}");
    }
    let (mut of_parts, mut of_whole) = (told.clone(), whole.clone());
    of_parts.retain(|one| !nowhere(one));
    of_whole.retain(|one| !nowhere(one));
    assert_eq!(said(&of_parts), said(&of_whole), "{:#?}", source.files().iter().map(|file| &file.text).collect::<Vec<_>>());
    // What is said of a place within a policy is of that policy, and of a definition at most of the whole file.
    for one in &told {
        let of_whole = whole.iter().filter(|other| (other.file, other.at, &other.what) == (one.file, one.at, &one.what));
        assert!(of_whole.flat_map(|other| &other.rules).any(|rule| one.rules.contains(rule)), "{one:?}");
    }
    // All rules against which something is said are broken.
    let set = PolicySet::compile(&Arc::new(source), &[], "g");
    assert_eq!(set.rules().len(), set.source().rules().len());
    told.len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn parts_say_what_the_whole_says(
        one in (0..3_usize, proptest::collection::vec(rule(), 1..5)),
        two in (0..3_usize, proptest::collection::vec(rule(), 0..4)),
    ) {
        let text = |(definitions, rules): (usize, Vec<String>)| format!("{}{}", DEFINITIONS[definitions], rules.concat());
        agree(vec![text(one), text(two)]);
    }
}

#[test]
fn every_kind_of_rule_is_checked() {
    let mut said = 0;
    for scope in SCOPES {
        let bodies = BODIES.map(|body| format!("@note(\"x\")\npermit (principal, {scope}, resource)\nwhen {{ {body} }};\n"));
        said += agree(vec![bodies.concat()]);
        let refused = format!("permit (principal, action, resource) when {{ {REFUSED} }};\n");
        said += agree(vec![format!("{}{refused}{}", DEFINITIONS[1], bodies.concat())]);
        for back in BACKS {
            let rule = format!("permit (principal, {scope}, resource)\nwhen temporal {{ {back} }};\n");
            said += agree(DEFINITIONS.map(|definitions| format!("{definitions}{rule}")).to_vec());
        }
    }
    // Each alone: policies of one chunk are typed over what any of them asks for.
    for body in BODIES {
        said += agree(vec![format!("permit (principal, action, resource)\nwhen {{ {body} }};\n")]);
    }
    // Only one action has the field of the first rule's condition, and it is in another chunk than the one that stands for all.
    let first = format!(
        "permit (principal, action == AgentCore::Action::\"gamma___t11\", resource)\nwhen temporal {{ {} }};\n",
        BACKS[0]
    );
    let between: String = (0..12)
        .filter(|at| at % 3 < 2)
        .map(|at| format!("permit (principal, action == AgentCore::Action::\"{}___t{at}\", resource);\n", SERVERS[at % 3]))
        .collect();
    let last = "permit (principal, action, resource)\nwhen { context has f0_0__temporal_0 && context.input.nothing == 1 };\n";
    assert_eq!(agree(vec![format!("{first}{between}{last}")]), 1);
    for principal in PRINCIPALS {
        said += agree(vec![SCOPES.map(|scope| format!("permit ({principal}, {scope}, resource);\n")).concat()]);
    }
    assert!(said > 300, "{said}");
}
