//! What sets say of calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use remit_cedar::{Ask, Effect, File, Mode, PolicySet, PrincipalKind, Source, Tool, Who};
use serde_json::{Value, json};

use crate::world::{Caller, GATEWAY, START_MS, answer, ask, set, set_of};

fn refund(set: &PolicySet, amount: &Value) -> Effect {
    answer(set, &Caller::new("ann", "s"), "bank___refund", &json!({"account": "a", "amount": amount})).enforced.effect
}

#[test]
fn a_policy_of_agentcore_works_unchanged() {
    // The shapes of AWS's documentation: scope by gateway, tags as claims, input by name.
    let text = format!(
        r#"permit(
            principal is AgentCore::OAuthUser,
            action == AgentCore::Action::"bank___refund",
            resource == AgentCore::Gateway::"{GATEWAY}"
        ) when {{
            principal.hasTag("role") && principal.getTag("role") == "agent" && context.input.amount < 500
        }};
        forbid(principal, action in [AgentCore::Action::"bank___refund", AgentCore::Action::"bank___lookup"], resource)
        unless {{ principal.hasTag("scope") && principal.getTag("scope") like "*refund:write*" }};"#
    );
    let set = set(&text);
    assert_eq!(set.findings(), []);
    let call = |role: &str, scope: &str, amount: i64, kind: PrincipalKind| {
        let claims = BTreeMap::from([("role".to_owned(), role.to_owned()), ("scope".to_owned(), scope.to_owned())]);
        let (caller, input) = (Caller::new("ann", "s"), json!({"account": "a", "amount": amount}));
        let who = Who { kind, id: "ann", claims: &claims };
        set.decide(&Ask { who, ..ask(&caller, "bank___refund", &input, START_MS) }).enforced.effect
    };
    assert_eq!(call("agent", "a refund:write b", 499, PrincipalKind::OAuthUser), Effect::Allow);
    assert_eq!(call("agent", "a refund:write b", 500, PrincipalKind::OAuthUser), Effect::ImplicitDeny);
    assert_eq!(call("agent", "read", 1, PrincipalKind::OAuthUser), Effect::ExplicitDeny);
    assert_eq!(call("boss", "refund:write", 1, PrincipalKind::OAuthUser), Effect::ImplicitDeny);
    assert_eq!(call("agent", "refund:write", 1, PrincipalKind::IamEntity), Effect::ImplicitDeny);
}

#[test]
fn groups_time_and_our_own_facts() {
    let set = set(r#"permit (principal, action in AgentCore::Action::"bank", resource)
        when { context.remit.riskLevel <= 2 && context.remit.agent == "agent" && context.system.now > datetime("2026-01-01") && !(context.remit has user) };"#);
    assert_eq!(set.findings(), []);
    assert_eq!(refund(&set, &json!(1)), Effect::Allow);
    assert_eq!(answer(&set, &Caller::new("ann", "s"), "mail___send", &json!({"to": "x"})).enforced.effect, Effect::ImplicitDeny);
}

#[test]
fn an_empty_set_denies_and_an_unknown_tool_is_undecided() {
    let empty = set("");
    assert_eq!(refund(&empty, &json!(1)), Effect::ImplicitDeny);
    let unknown = answer(&empty, &Caller::new("ann", "s"), "no___tool", &json!({}));
    assert_eq!(unknown.enforced.effect, Effect::Undecided);
    assert!(!unknown.allows());
}

#[test]
fn what_cant_be_evaluated_never_allows() {
    // Too large for Cedar's types: undecided.
    let all = set("permit (principal, action, resource);");
    assert_eq!(refund(&all, &json!(1e300)), Effect::Undecided);
    // A rule that fails: a permit doesn't permit, a forbid forbids.
    let failing = set(
        "permit (principal, action, resource);\n@id(\"sum\") forbid (principal, action == AgentCore::Action::\"bank___refund\", resource) when { context.input.amount + 9223372036854775807 > 0 };",
    );
    let told = answer(&failing, &Caller::new("ann", "s"), "bank___refund", &json!({"account": "a", "amount": 5})).enforced;
    assert_eq!((told.effect, told.rules.as_slice()), (Effect::ExplicitDeny, &[1][..]));
    assert!(told.why.unwrap().contains("`sum`"));
    let permit = set("permit (principal, action, resource) when { context.input.amount + 9223372036854775807 > 0 };");
    assert_eq!(refund(&permit, &json!(5)), Effect::ImplicitDeny);
    // A rule that speaks of what the tools don't have: its scope is denied, and operators are told where.
    let broken = set(
        "permit (principal, action, resource);\n\n@id(\"odd\")\nforbid (principal, action == AgentCore::Action::\"bank___refund\", resource)\nwhen temporal { formerly within 1h AgentCore::Action::\"bank___refund\"::request{ input.nothing: 1 } };",
    );
    let [finding] = broken.findings() else { panic!("{:?}", broken.findings()) };
    assert_eq!((finding.rule.as_deref(), finding.fault.line), (Some("odd"), 5), "{finding:?}");
    assert_eq!(refund(&broken, &json!(5)), Effect::ExplicitDeny);
    assert_eq!(answer(&broken, &Caller::new("ann", "s"), "mail___send", &json!({"to": "x"})).enforced.effect, Effect::Allow);
    // Cedar would take the comparison for false, and so permit.
    let typed = set(
        "permit (principal, action == AgentCore::Action::\"bank___refund\", resource)\nunless { context.input.amount == \"5\" };",
    );
    assert_eq!((typed.findings().len(), refund(&typed, &json!(5))), (1, Effect::ImplicitDeny), "{:?}", typed.findings());
}

#[test]
fn a_finding_stands_where_it_is_whatever_stands_before_it() {
    // The first is refused when it is lowered, so that each of the others is lowered by itself, behind the definition.
    let text = "@id(\"refused\")\npermit (principal, action == AgentCore::Action::\"bank___refund\", resource)\nwhen { context.input.amount.frobnicate(1) };\ndef temporal back(?w) { formerly within ?w\n  AgentCore::Action::\"bank___refund\"::request{} };\n\n@id(\"odd\")\n// A word.\n@note(\"x\")\nforbid (principal, action == AgentCore::Action::\"bank___refund\", resource)\nwhen { context.input.account > 5 };\n";
    let told = |text: &str| -> Vec<(Option<String>, usize, usize)> {
        let set = set(text);
        set.findings().iter().map(|finding| (finding.rule.clone(), finding.fault.line, finding.fault.column)).collect()
    };
    assert_eq!(told(text), [(Some("refused".to_owned()), 3, 8), (Some("odd".to_owned()), 11, 8)]);
    // The same without the first, so that all are lowered together.
    let together = text.split_once("def").map(|(_, rest)| format!("def{rest}")).unwrap();
    assert_eq!(told(&together), [(Some("odd".to_owned()), 8, 8)]);
}

#[test]
fn what_is_only_logged_changes_nothing_and_is_told() {
    let text = "permit (principal, action, resource);\n@id(\"trial\") @mode(\"LOG_ONLY\")\nforbid (principal, action, resource) when { context.input has amount && context.input.amount > 10 };";
    let set = set(text);
    let told = |amount: i64| answer(&set, &Caller::new("ann", "s"), "bank___refund", &json!({"account": "a", "amount": amount}));
    assert!(told(11).allows() && told(11).flips() && !told(10).flips());
    assert_eq!(told(11).shadow.unwrap().rules, [1]);
    let logged = set_of(Mode::LogOnly, "forbid (principal, action, resource);");
    let told = answer(&logged, &Caller::new("ann", "s"), "bank___refund", &json!({"account": "a", "amount": 1}));
    assert!(told.allows() && told.flips());
}

#[test]
fn a_list_hides_what_no_argument_could_make_allowed() {
    let set = set(
        r#"permit (principal, action == AgentCore::Action::"bank___refund", resource) when { context.input.amount < 10 };
        permit (principal, action == AgentCore::Action::"bank___lookup", resource) when { principal.hasTag("role") && principal.getTag("role") == "boss" };
        permit (principal, action == AgentCore::Action::"ci___deploy", resource)
        when temporal { formerly within 1h AgentCore::Action::"ci___test"::response{ output.passed: true } };
        permit (principal, action == AgentCore::Action::"mail___send", resource);
        forbid (principal, action == AgentCore::Action::"mail___send", resource) when { context.remit.riskLevel >= 1 };"#,
    );
    let nothing = json!({});
    let caller = Caller::new("ann", "s");
    let seen: Vec<&str> = ["bank___refund", "bank___lookup", "ci___deploy", "ci___test", "mail___send"]
        .into_iter()
        .filter(|tool| set.possible(&ask(&caller, tool, &nothing, START_MS)))
        .collect();
    assert_eq!(seen, ["bank___refund", "ci___deploy"]);
    let mut boss = Caller::new("ann", "s");
    boss.claims.insert("role".to_owned(), "boss".to_owned());
    assert!(set.possible(&ask(&boss, "bank___lookup", &nothing, START_MS)));
}

#[test]
fn a_set_stands_for_its_texts_and_tools() {
    let file = |text: &str| File { path: "a.cedar".to_owned(), text: text.to_owned(), mode: Mode::Active };
    let source = Source::read(Mode::Active, vec![file("permit (principal, action, resource);")]).unwrap();
    let tools = [Tool { id: "a___b", server: "a", definition: "{}" }];
    let set = PolicySet::compile(&Arc::new(source.clone()), &tools, GATEWAY);
    assert!(set.is_of(&source, &tools, GATEWAY));
    assert!(!set.is_of(&source, &[], GATEWAY) && !set.is_of(&source, &tools, "other"));
    assert!(!set.is_of(&Source::read(Mode::LogOnly, source.files().to_vec()).unwrap(), &tools, GATEWAY));
}

fn rule() -> impl Strategy<Value = String> {
    let scope = prop_oneof![
        Just("action".to_owned()),
        Just("action == AgentCore::Action::\"bank___refund\"".to_owned()),
        Just("action in AgentCore::Action::\"bank\"".to_owned()),
        Just("action in [AgentCore::Action::\"mail___send\", AgentCore::Action::\"ci\"]".to_owned()),
    ];
    let when = prop_oneof![
        Just(String::new()),
        Just(" when { context.remit.agent == \"agent\" }".to_owned()),
        Just(" when { principal.id == \"bob\" }".to_owned()),
        (0_i64..20).prop_map(|limit| format!(" when {{ context.input has amount && context.input.amount < {limit} }}")),
    ];
    (any::<bool>(), scope, when).prop_map(|(permits, scope, when)| {
        let effect = if permits { "permit" } else { "forbid" };
        format!("{effect} (principal, {scope}, resource){when};\n")
    })
}

proptest! {
    /// A slice says what all rules say, whichever rules of other actions stand around it; and what is allowed was possible.
    #[test]
    fn slices_say_what_the_whole_says(rules in proptest::collection::vec(rule(), 0..12), amount in 0_i64..20) {
        let text = rules.concat();
        let whole = set(&text);
        let caller = Caller::new("ann", "s");
        for (tool, input) in [
            ("bank___refund", json!({"account": "a", "amount": amount})),
            ("bank___lookup", json!({"name": "x"})),
            ("mail___send", json!({"to": "x"})),
            ("ci___deploy", json!({})),
        ] {
            let server = tool.split("___").next().unwrap();
            let here: String = rules
                .iter()
                .filter(|rule| rule.contains("(principal, action, ") || rule.contains(&format!("\"{tool}\"")) || rule.contains(&format!("\"{server}\"")))
                .cloned()
                .collect();
            let (of_whole, of_here) = (answer(&whole, &caller, tool, &input).enforced, answer(&set(&here), &caller, tool, &input).enforced);
            prop_assert_eq!(of_whole.effect, of_here.effect, "{} under {}", tool, text);
            prop_assert_eq!(whole.rules_of(tool), here.lines().count());
            if of_whole.effect == Effect::Allow {
                let possible = whole.possible(&ask(&caller, tool, &input, START_MS));
                prop_assert!(possible);
            }
        }
    }
}
