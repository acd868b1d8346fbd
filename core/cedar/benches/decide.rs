//! What a decision costs with 10 and with 10,000 policies in the space, beside Cedar asked with all of them, and what history adds:
//! `cargo bench -p remit-cedar`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that can't be set up fails; its table is its output")]

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use remit_cedar::{
    Ask, Bindings, Claims, ContextFacts, Effect, EventKind, File, History, HistoryEvent, Mode, PolicySet, PrincipalKind, Scopes,
    Source, Tool, Who,
};
use serde_json::{Value, json};

/// How many measurements.
const MEASUREMENTS: usize = 200;
/// How long a measurement takes, about, in nanoseconds.
const MEASURED_NANOS: u128 = 1_000_000;
/// Policies of each action.
const EACH: usize = 10;

/// The least of many measurements: whatever else the machine does only adds.
fn measured(mut part: impl FnMut()) -> f64 {
    let started = Instant::now();
    part();
    let once = started.elapsed().as_nanos().max(1);
    let times = u32::try_from((MEASURED_NANOS / once).clamp(1, 1_000)).unwrap();
    let figures = (0..MEASUREMENTS).map(|_| {
        let started = Instant::now();
        for _ in 0..times {
            part();
        }
        started.elapsed().as_secs_f64() * 1e6 / f64::from(times)
    });
    figures.fold(f64::MAX, f64::min)
}

/// So many policies, ten of each tool: conditions on arguments and claims, one of ten forbids.
fn set(policies: usize, temporal: bool) -> (Arc<PolicySet>, f64) {
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
    let started = Instant::now();
    let file = File { path: "bench.cedar".to_owned(), text, mode: Mode::Active };
    let source = Arc::new(Source::read(Mode::Active, vec![file]).unwrap());
    let set = PolicySet::compile(&source, &tools, "arn:aws:mcp:eu-west-1:111122223333:space/bench");
    assert!(set.findings().is_empty(), "{:?}", set.findings().first());
    (Arc::new(set), started.elapsed().as_secs_f64())
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
        },
        now_ms: 1_790_000_000_000,
        bindings,
    }
}

fn main() {
    let mut output = std::io::stdout();
    let claims = Claims::from([("team".to_owned(), "t1".to_owned()), ("sub".to_owned(), "ann".to_owned())]);
    let input = json!({"account": "a", "amount": 100});
    writeln!(output, "policies   read and compiled   decision   list   Cedar with all of them").unwrap();
    let mut figures = Vec::new();
    for policies in [10, 100, 1_000, 10_000] {
        let (set, secs) = set(policies, false);
        assert_eq!(set.decide(&ask(&claims, &input, None)).enforced.effect, Effect::Allow);
        let sliced = measured(|| drop(black_box(set.decide(black_box(&ask(&claims, &input, None))))));
        let possible = measured(|| {
            black_box(set.possible(black_box(&ask(&claims, &input, None))));
        });
        let whole = measured(|| {
            black_box(set.decide_unsliced(black_box(&ask(&claims, &input, None))));
        });
        writeln!(output, "{policies:>8} {secs:>15.3} s {sliced:>10.2} µs {possible:>6.2} {whole:>14.2} µs").unwrap();
        figures.push(sliced);
    }
    let ratio = figures.last().unwrap() / figures.first().unwrap();
    writeln!(output, "10,000 policies / 10 policies: {ratio:.3}").unwrap();
    for policies in [10, 1_000] {
        let (set, _) = set(policies, true);
        let mut history = History::new(Arc::clone(&set));
        let mut now_ms = 1_790_000_000_000;
        let request = |history: &mut History, now_ms: u64, session: &str| {
            let event = HistoryEvent {
                kind: EventKind::Request,
                who: Who { kind: PrincipalKind::OAuthUser, id: "ann", claims: &claims },
                scopes: Scopes { session, principal: "ann", agent: "agent" },
                tool: "bank___tool0",
                input: &input,
                output: None,
                request_id: "r",
                now_ms,
            };
            history.request(&event).unwrap()
        };
        for _ in 0..100 {
            request(&mut history, now_ms, "s");
        }
        // An hour passes every hundred calls, so that what is remembered stays as much.
        let looked = measured(|| {
            now_ms += 36_000;
            let bindings = request(&mut history, now_ms, "s");
            black_box(set.decide(&ask(&claims, &input, Some(&bindings))));
        });
        let bindings = request(&mut history, now_ms, "s");
        let alone = measured(|| drop(black_box(set.decide(&ask(&claims, &input, Some(&bindings))))));
        writeln!(output, "{policies:>8} policies, one temporal rule of ten: decision {alone:.2} µs, with its history {looked:.2} µs (100 events)").unwrap();
    }
}
