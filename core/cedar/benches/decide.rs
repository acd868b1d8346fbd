//! What a decision costs with 10 and with 10,000 policies in the space, beside Cedar asked with all of them, and what history adds:
//! `cargo bench -p remit-cedar`.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark that can't be set up fails; criterion's macros make public items"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use remit_cedar::{
    Ask, Bindings, Claims, ContextFacts, Effect, EventKind, File, History, HistoryEvent, Mode, PolicySet, PrincipalKind, Scopes,
    Source, Tool, Who,
};
use serde_json::{Value, json};

/// Policies of each action.
const EACH: usize = 10;

/// So many policies, ten of each tool: conditions on arguments and claims, one of ten forbids.
fn set(policies: usize, temporal: bool) -> Arc<PolicySet> {
    let definition = r#"{"inputSchema":{"type":"object","properties":{"account":{"type":"string"},"amount":{"type":"integer"}},"required":["account","amount"]}}"#;
    let ids: Vec<String> = (0..policies.div_ceil(EACH)).map(|tool| format!("bank___tool{tool}")).collect();
    let tools: Vec<Tool<'_>> = ids.iter().map(|id| Tool { id, server: "bank", definition }).collect();
    let mut text = String::new();
    for number in 0..policies {
        let (effect, limit) = if number % EACH == 3 { ("forbid", "> 9000") } else { ("permit", "< 500") };
        let id = ids.get(number / EACH).unwrap();
        let back = if temporal && number % EACH == 4 {
            format!(
                " when temporal {{ (count for (t: Timepoint). where (formerly within 1h (AgentCore::Action::\"{id}\"::request{{}} && tp(t)))) <= 1000000 }}"
            )
        } else {
            String::new()
        };
        text.push_str(&format!(
            "{effect} (principal is AgentCore::OAuthUser, action == AgentCore::Action::\"{id}\", resource) when {{ principal.hasTag(\"team\") && principal.getTag(\"team\") == \"t{}\" && context.input.amount {limit} }}{back};\n",
            number % 3,
        ));
    }
    let file = File { path: "bench.cedar".to_owned(), text, mode: Mode::Active };
    let source = Arc::new(Source::read(Mode::Active, vec![file]).unwrap());
    let set = PolicySet::compile(&source, &tools, "arn:aws:mcp:eu-west-1:111122223333:space/bench");
    assert!(set.findings().is_empty(), "{:?}", set.findings().first());
    Arc::new(set)
}

fn ask<'a>(claims: &'a Claims, input: &'a Value, bindings: Option<&'a Bindings>) -> Ask<'a> {
    Ask {
        who: Who { kind: PrincipalKind::OAuthUser, id: "ann", claims },
        tool: "bank___tool0",
        input,
        output: None,
        facts: ContextFacts {
            agent: "agent",
            user: None,
            space: "bench",
            account: "111122223333",
            role: None,
            source_identity: None,
            session_id: "s",
            source_ip: None,
            risk: "low",
            risk_level: 1,
            class: "MUTATIVE",
            categories: &[],
            trust: None,
            approved: false,
            prompt_attack_percent: 0,
            guardrail_findings: &[],
            origin: None,
        },
        now_ms: 1_790_000_000_000,
        bindings,
    }
}

/// A decision and the question whether a tool is listed, beside Cedar asked with every policy of the set.
fn decisions(criterion: &mut Criterion) {
    let claims = Claims::from([("team".to_owned(), "t1".to_owned()), ("sub".to_owned(), "ann".to_owned())]);
    let input = json!({"account": "a", "amount": 100});
    let mut group = criterion.benchmark_group("decision");
    for policies in [10, 100, 1_000, 10_000] {
        let set = set(policies, false);
        let ask = ask(&claims, &input, None);
        assert_eq!(set.decide(&ask).enforced.effect, Effect::Allow);
        group.bench_function(BenchmarkId::new("sliced", policies), |bencher| bencher.iter(|| set.decide(black_box(&ask))));
        group.bench_function(BenchmarkId::new("listed", policies), |bencher| bencher.iter(|| set.possible(black_box(&ask))));
        group.bench_function(BenchmarkId::new("all", policies), |bencher| bencher.iter(|| set.decide_unsliced(black_box(&ask))));
    }
    group.finish();
}

/// One temporal rule of ten, over a hundred events: a decision whose conditions are known, and one with its history.
fn histories(criterion: &mut Criterion) {
    let claims = Claims::from([("team".to_owned(), "t1".to_owned()), ("sub".to_owned(), "ann".to_owned())]);
    let input = json!({"account": "a", "amount": 100});
    let mut group = criterion.benchmark_group("history");
    for policies in [10, 100, 1_000, 10_000] {
        let set = set(policies, true);
        let mut history = History::new(Arc::clone(&set));
        let mut now_ms = 1_790_000_000_000;
        let request = |history: &mut History, now_ms: u64| {
            let event = HistoryEvent {
                kind: EventKind::Request,
                who: Who { kind: PrincipalKind::OAuthUser, id: "ann", claims: &claims },
                scopes: Scopes { session: "s", principal: "ann", agent: "agent" },
                tool: "bank___tool0",
                input: &input,
                output: None,
                request_id: "r",
                now_ms,
            };
            history.request(&event).unwrap()
        };
        for _ in 0..100 {
            request(&mut history, now_ms);
        }
        let bindings = request(&mut history, now_ms);
        group.bench_function(BenchmarkId::new("known", policies), |bencher| {
            bencher.iter(|| set.decide(black_box(&ask(&claims, &input, Some(&bindings)))));
        });
        // An hour passes every hundred calls, so that what is remembered stays as much.
        group.bench_function(BenchmarkId::new("looked back", policies), |bencher| {
            bencher.iter(|| {
                now_ms += 36_000;
                let bindings = request(&mut history, now_ms);
                set.decide(black_box(&ask(&claims, &input, Some(&bindings))))
            });
        });
    }
    group.finish();
}

/// Texts read and compiled: ten policies of each tool.
fn compilation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    for policies in [10, 100, 1_000, 10_000] {
        group.bench_function(BenchmarkId::new("read and compiled", policies), |bencher| {
            bencher.iter_batched(|| (), |()| set(policies, false), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3)).sample_size(50);
    targets = decisions, histories, compilation
}
criterion_main!(benches);
