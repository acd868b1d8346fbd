//! Behaviour: what each expectation speaks of and what it says, what is learned and when, what is bounded, and that nothing tells a value.

use proptest::prelude::*;
use remit_kernel::behaviour::{AGENTS_MAX, Baseline, Event, Finding};
use remit_model::{Behaviour, Expectation, time_ms};
use serde_json::{Value, json};

/// 2026-03-02T00:00:00Z, a Monday.
const BEGIN: u64 = 1_772_409_600_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn time(at_ms: u64) -> String {
    let ms = at_ms - BEGIN;
    let day = 1 + ms / DAY;
    let (month, day) = if day < 31 { (3, 1 + day) } else { (4, day - 30) };
    let time =
        format!("2026-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z", ms / HOUR % 24, ms / MINUTE % 60, ms / 1000 % 60, ms % 1000);
    assert_eq!(time_ms(&time), Some(at_ms));
    time
}

/// A call of the accounts' agent: everything that can be said of it can be said otherwise.
fn decision(at_ms: u64, more: &Value) -> Vec<u8> {
    let mut entry = json!({"v": 1, "type": "decision", "time": time(at_ms), "id": format!("d{at_ms}"), "agent": "payer", "session": "s1",
        "source_ip": "10.0.0.1", "space": "finance", "server": "1/ledger", "tool": "ledger___transfer", "tool_digest": "sha256:1",
        "verdict": "ALLOW"});
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry.to_string().into_bytes()
}

fn outcome(at_ms: u64, tool: &str, result: &str, bytes: u64) -> Vec<u8> {
    json!({"v": 1, "type": "outcome", "time": time(at_ms), "decision": format!("d{at_ms}"), "agent": "payer", "space": "finance", "tool": tool,
        "outcome": result, "result_bytes": bytes})
    .to_string()
    .into_bytes()
}

/// A payment as it usually is.
fn payment(number: u64) -> Value {
    json!({"from": "ACC-1001", "to": format!("ACC-20{:02}", number % 7), "amount_cents": 5_000 + number * 37 % 9_000,
        "memo": format!("invoice {}", 10_000 + number * 31 % 80_000)})
}

fn settings() -> Behaviour {
    Behaviour::default()
}

struct Watch {
    baseline: Baseline,
    settings: Behaviour,
}

impl Watch {
    fn new() -> Self {
        Self { baseline: Baseline::new([9; 16]), settings: settings() }
    }

    fn entry(&mut self, bytes: &[u8], arguments: Option<&Value>) -> Option<Finding> {
        let event = Event::read(bytes)?;
        self.baseline.observe(&self.settings, &event, arguments.map(Value::to_string).as_deref())
    }

    /// A working day: every twenty minutes from nine to five an account is read and a bill is paid.
    fn work(&mut self, day: u64) -> Vec<Finding> {
        let mut found = Vec::new();
        for number in 0..24 {
            let at = BEGIN + day * DAY + 9 * HOUR + number * 20 * MINUTE;
            let session = json!({"tool": "ledger___get_account", "session": format!("s{number}")});
            let account = json!({"account_id": "ACC-1001"});
            found.extend(self.entry(&decision(at, &session), Some(&account)));
            found.extend(self.entry(&outcome(at + 1000, "ledger___get_account", "ok", 200 + number % 9), None));
            let session = json!({"session": format!("s{number}")});
            found.extend(self.entry(&decision(at + MINUTE, &session), Some(&payment(day * 24 + number))));
            found.extend(self.entry(&outcome(at + MINUTE + 1000, "ledger___transfer", "ok", 180), None));
        }
        found
    }

    /// Knows six weeks of working days, of which nothing was said.
    fn learned() -> Self {
        let mut watch = Self::new();
        for day in (0..42).filter(|day| day % 7 < 5) {
            let found = watch.work(day);
            assert!(found.is_empty(), "day {day}: {found:?}");
        }
        watch
    }
}

fn broken(found: &[Finding]) -> Vec<Expectation> {
    found.iter().flat_map(|finding| &finding.broken).map(|broken| broken.expectation).collect()
}

/// The first working day after those that are known, at ten.
const NOW: u64 = BEGIN + 42 * DAY + 10 * HOUR;

#[test]
fn each_expectation_says_what_is_broken() {
    let known = Watch::learned();
    let one = |more: Value, arguments: &Value, at: u64| {
        let mut watch = Watch { baseline: known.baseline.clone(), settings: settings() };
        // What usually comes before.
        let before = json!({"tool": "ledger___get_account"});
        drop(watch.entry(&decision(at - MINUTE, &before), Some(&json!({"account_id": "ACC-1001"}))));
        watch.entry(&decision(at, &more), Some(arguments)).into_iter().collect::<Vec<_>>()
    };
    let usual = payment(3);
    assert!(one(json!({}), &usual, NOW).is_empty());
    let with = |key: &str, value: Value| {
        let mut arguments = usual.clone();
        arguments[key] = value;
        arguments
    };
    let cases = [
        (
            json!({"tool": "ledger___close_account"}),
            json!({"account_id": "ACC-1001"}),
            Expectation::FirstUse,
            "for the first time",
        ),
        (json!({"source_ip": "203.0.113.9"}), usual.clone(), Expectation::Origin, "an address that it never called from"),
        (
            json!({}),
            with("amount_cents", json!(9_000_000)),
            Expectation::ArgumentRange,
            "/amount_cents of ledger___transfer is above",
        ),
        (
            json!({}),
            with("amount_cents", json!("9000")),
            Expectation::ArgumentShape,
            "/amount_cents of ledger___transfer is a text",
        ),
        (json!({}), with("amount_cents", json!(-9000)), Expectation::ArgumentShape, "is a negative number"),
        (
            json!({}),
            with("to", json!("ACC-9999")),
            Expectation::ArgumentValue,
            "/to of ledger___transfer has a value that it never had",
        ),
        (json!({}), with("memo", json!("QUJD".repeat(100))), Expectation::ArgumentText, "/memo of ledger___transfer has"),
        (json!({}), with("urgent", json!(true)), Expectation::ArgumentShape, "is given /urgent, which none of"),
        (json!({}), json!({"from": "ACC-1001"}), Expectation::ArgumentShape, "isn't given"),
        (json!({"session": "other"}), usual.clone(), Expectation::Sequence, "begins with ledger___transfer"),
    ];
    for (more, arguments, expected, said) in cases {
        let found = one(more.clone(), &arguments, NOW);
        let told = format!("{more} {arguments}: {found:?}");
        assert_eq!(found.len(), 1, "{told}");
        assert_eq!(found[0].broken[0].expectation, expected, "{told}");
        assert!(found[0].broken[0].told.contains(said), "{told}");
        assert!(found[0].score >= f64::from(settings().score), "{told}");
    }
    // At three in the morning, and on a Saturday.
    let night = BEGIN + 42 * DAY + 3 * HOUR;
    let mut watch = Watch { baseline: known.baseline.clone(), settings: settings() };
    let found = watch.entry(&decision(night, &json!({"tool": "ledger___get_account"})), Some(&json!({"account_id": "ACC-1001"})));
    assert!(found.clone().unwrap().broken[0].told.contains("at 03 h UTC of a day of the week"), "{found:?}");
}

#[test]
fn counts_that_are_too_high_are_told_once() {
    let known = Watch::learned();
    let again = || Watch { baseline: known.baseline.clone(), settings: settings() };
    let account = |number: u64| json!({"account_id": format!("ACC-{}", 1000 + number)});
    let mut watch = again();
    // Each in a session of its own, as they are.
    let read = |number: u64| json!({"tool": "ledger___get_account", "session": format!("b{number}")});
    let burst = |number: u64| decision(NOW + number * 1000, &read(number));
    let found: Vec<Finding> = (0..60).filter_map(|number| watch.entry(&burst(number), Some(&account(1)))).collect();
    assert!(broken(&found).contains(&Expectation::Rate) && found.len() <= 3, "{found:?}");
    assert_eq!(found[0].broken[0].window_secs, Some(3_600));

    let mut watch = again();
    let denied = json!({"verdict": "DENY", "reason": "tool_not_permitted", "tool": "ledger___get_account"});
    let found: Vec<Finding> =
        (0..5).filter_map(|number| watch.entry(&decision(NOW + number * 1000, &denied), Some(&account(1)))).collect();
    assert!(broken(&found).contains(&Expectation::Denials) && found.len() <= 2, "{found:?}");
    // What is nobody's doing isn't held against it.
    let mut watch = again();
    let quota = json!({"verdict": "DENY", "reason": "quota_exceeded", "tool": "ledger___get_account"});
    let found: Vec<Finding> =
        (0..5).filter_map(|number| watch.entry(&decision(NOW + number * 1000, &quota), Some(&account(1)))).collect();
    assert!(!broken(&found).contains(&Expectation::Denials), "{found:?}");

    let mut watch = again();
    let large = watch.entry(&outcome(NOW, "ledger___get_account", "ok", 900_000), None).unwrap();
    assert_eq!(large.broken[0].expectation, Expectation::ResultSize);
    let mut watch = again();
    let failed = |number: u64| outcome(NOW + number * 1000, "ledger___get_account", "tool_error", 20);
    let found: Vec<Finding> = (0..6).filter_map(|number| watch.entry(&failed(number), None)).collect();
    assert!(broken(&found).contains(&Expectation::Errors), "{found:?}");
}

#[test]
fn many_different_targets_are_told_of_where_there_were_few() {
    let mut watch = Watch::new();
    let read = json!({"tool": "ledger___get_account"});
    // As many calls as ever, an account or two in an hour; later, another one each time.
    for hour in (0..42 * 24).filter(|hour| hour / 24 % 7 < 5 && (9..17).contains(&(hour % 24))) {
        for number in 0..12 {
            let account = json!({"account_id": format!("ACC-{}", hour * 7 % 900 + number % 2)});
            let found = watch.entry(&decision(BEGIN + hour * HOUR + number * 4 * MINUTE, &read), Some(&account));
            assert!(found.is_none(), "{found:?}");
        }
    }
    let one = |number: u64| json!({"account_id": format!("ACC-{}", 5000 + number)});
    let found: Vec<Finding> =
        (0..12).filter_map(|number| watch.entry(&decision(NOW + number * 4 * MINUTE, &read), Some(&one(number)))).collect();
    assert_eq!(found[0].broken[0].expectation, Expectation::Targets, "{found:?}");
    assert!(found[0].broken[0].told.contains("different values in this hour"), "{found:?}");
}

#[test]
fn nothing_is_said_before_enough_is_known() {
    let mut watch = Watch::new();
    for day in 0..5 {
        assert!(watch.work(day).is_empty());
    }
    // Whatever it does.
    let strange = json!({"tool": "ledger___close_account", "source_ip": "203.0.113.9"});
    assert!(watch.entry(&decision(BEGIN + 5 * DAY + 3 * HOUR, &strange), Some(&json!({"x": [1]}))).is_none());
    // Nor of agents that aren't watched, nor by what is ignored.
    let mut watch = Watch::learned();
    let payee = json!({"from": "ACC-1001", "to": "ACC-9999", "amount_cents": 5000, "memo": "invoice 12345"});
    watch.settings.ignored = Expectation::ALL.to_vec();
    assert!(watch.entry(&decision(NOW, &json!({})), Some(&payee)).is_none());
    let mut watch = Watch::learned();
    watch.settings.agents = vec![remit_model::AgentId::new("other").unwrap()];
    assert!(watch.entry(&decision(NOW, &json!({})), Some(&payee)).is_none());
    // Arguments that aren't kept are no arguments that aren't there.
    let mut watch = Watch::learned();
    drop(watch.entry(&decision(NOW - MINUTE, &json!({"tool": "ledger___get_account"})), None));
    assert!(watch.entry(&decision(NOW, &json!({})), None).is_none());
}

#[test]
fn what_was_found_is_learned_on_the_fourth_day_and_not_before() {
    let mut watch = Watch::learned();
    let payee = json!({"from": "ACC-1001", "to": "ACC-9999", "amount_cents": 5000, "memo": "invoice 12345"});
    let mut told = Vec::new();
    for day in 42..47 {
        assert!(watch.work(day).is_empty());
        // Twice a day: it is told once.
        for minute in [0, 1] {
            let at = BEGIN + day * DAY + 16 * HOUR + 55 * MINUTE + minute * MINUTE;
            let found = watch.entry(&decision(at, &json!({"session": "s23"})), Some(&payee));
            told.extend(found.map(|finding| (day, finding.broken[0].expectation)));
        }
    }
    assert_eq!(told, [42, 43, 44].map(|day| (day, Expectation::ArgumentValue)));
    assert!(watch.baseline.counts().repeated >= 3);
}

#[test]
fn a_definition_that_was_accepted_brings_its_arguments() {
    let mut watch = Watch::learned();
    let accepted = json!({"v": 1, "type": "tool_pin", "time": time(NOW - HOUR), "server": "1/ledger", "by": "ann", "tools": ["transfer"],
        "digests": ["sha256:2"]});
    assert!(watch.entry(accepted.to_string().as_bytes(), None).is_none());
    drop(
        watch.entry(&decision(NOW - MINUTE, &json!({"tool": "ledger___get_account"})), Some(&json!({"account_id": "ACC-1001"}))),
    );
    let mut arguments = payment(1);
    arguments["currency"] = json!("USD");
    assert!(watch.entry(&decision(NOW, &json!({"tool_digest": "sha256:2"})), Some(&arguments)).is_none());
}

#[test]
fn slow_drift_is_followed() {
    let mut watch = Watch::learned();
    let mut amount = 14_000.0_f64;
    for day in (42..60).filter(|day| day % 7 < 5) {
        for number in 0..24_u32 {
            let at = BEGIN + day * DAY + 9 * HOUR + u64::from(number) * 20 * MINUTE;
            let session = json!({"session": format!("s{number}"), "tool": "ledger___get_account"});
            assert!(watch.entry(&decision(at, &session), Some(&json!({"account_id": "ACC-1001"}))).is_none());
            amount *= 1.001;
            let mut arguments = payment(u64::from(number));
            arguments["amount_cents"] = json!(amount.round());
            let session = json!({"session": format!("s{number}")});
            assert!(
                watch.entry(&decision(at + MINUTE, &session), Some(&arguments)).is_none(),
                "a limit that is documented: {amount}"
            );
        }
    }
    assert!(amount > 19_000.0);
}

#[test]
fn no_value_is_kept_or_told() {
    let mut watch = Watch::learned();
    drop(
        watch.entry(&decision(NOW - MINUTE, &json!({"tool": "ledger___get_account"})), Some(&json!({"account_id": "ACC-1001"}))),
    );
    let secret = json!({"from": "ACC-1001", "to": "hunter2-secret", "amount_cents": 87_654_321, "memo": "ann@example.com", "bob@example.com": 1});
    let found = watch.entry(&decision(NOW, &json!({})), Some(&secret)).unwrap();
    let all = format!("{} {}", serde_json::to_string(&watch.baseline).unwrap(), json!(found));
    let usual = json!(watch.baseline.usual(&watch.settings, "payer")).to_string();
    for value in ["hunter2", "87654321", "ann@example", "bob@example", "ACC-1001", "invoice"] {
        assert!(!all.contains(value) && !usual.contains(value), "{value}");
    }
    assert!(found.broken.iter().any(|broken| broken.told.contains("is above 67000000")), "{found:?}");
}

#[test]
fn memory_is_bounded_whatever_callers_do() {
    let mut watch = Watch::new();
    let text = "x".repeat(100);
    for number in 0..12_000_u64 {
        let more = json!({"agent": format!("agent-{}", number % 3000), "tool": format!("s___t{}", number % 7), "session": format!("{number}"),
            "source_ip": format!("10.0.{}.{}", number / 250 % 250, number % 250), "tool_digest": format!("sha256:{number}")});
        let arguments = json!({(format!("k{number}")): format!("{text}{number}"), "to": format!("{number}"), "n": 1.5_f64.powi((number % 200) as i32)});
        drop(watch.entry(&decision(BEGIN + number * 60_000, &more), Some(&arguments)));
    }
    assert!(watch.baseline.agents().count() <= AGENTS_MAX);
    assert!(watch.baseline.counts().unwatched > 0);
    let bytes = serde_json::to_vec(&watch.baseline).unwrap().len();
    assert!(bytes < 64 * 1024 * 1024, "{bytes}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// A state that was kept goes on as if nothing had been; and what a journal comes to hangs on the journal alone.
    #[test]
    fn a_state_that_was_kept_goes_on(stop in 0_usize..400, seed in any::<u64>()) {
        let mut state = seed;
        let mut next = |below: u64| { state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407); (state >> 33) % below };
        let mut whole = Watch::new();
        whole.settings.learning_days = 1;
        let mut halved = Watch { baseline: Baseline::new([9; 16]), settings: whole.settings.clone() };
        let mut at = BEGIN;
        let mut found = (Vec::new(), Vec::new());
        for number in 0..400 {
            at += next(3 * HOUR);
            let more = json!({"tool": format!("s___t{}", next(4)), "verdict": if next(9) == 0 { "DENY" } else { "ALLOW" }, "reason": "policy_set"});
            let arguments = json!({"a": next(1000), "b": format!("{}", next(5))});
            let entry = decision(at, &more);
            found.0.extend(whole.entry(&entry, Some(&arguments)));
            if number == stop {
                halved.baseline = serde_json::from_str(&serde_json::to_string(&halved.baseline).unwrap()).unwrap();
            }
            found.1.extend(halved.entry(&entry, Some(&arguments)));
        }
        prop_assert_eq!(&found.0, &found.1);
        prop_assert_eq!(whole.baseline, halved.baseline);
    }

    /// Whatever the journal and arguments hold, nothing panics.
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".*", at in any::<u64>()) {
        prop_assert!(Event::read(&bytes).is_none_or(|_| true));
        let mut watch = Watch::new();
        let entry = decision(BEGIN, &json!({"tool": text.clone(), "agent": text.clone(), "session": text.clone()}));
        let mut event = Event::read(&entry).unwrap();
        event.at_ms = at;
        prop_assert!(watch.baseline.observe(&watch.settings, &event, Some(&text)).is_none());
        let keyed = json!({text.clone(): text}).to_string();
        prop_assert!(watch.baseline.observe(&watch.settings, &event, Some(&keyed)).is_none());
    }
}
