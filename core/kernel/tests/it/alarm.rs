//! Alarms: the seed's own numbers, every kind of threshold, what is missing, groups, and laws that hold for any history.

use proptest::prelude::*;
use remit_kernel::Reason;
use remit_kernel::alarm::{Alarms, Change, Event, GROUPS_MAX, OTHER, State, States};
use remit_model::{AgentId, Alarm, AlarmMetric, CallsCounted, GroupBy, MissingData, REASONS, Statistic, Threshold, time_ms};
use serde_json::{Value, json};

/// 2026-03-01T00:00:00Z, a whole number of every period that is used here.
const BEGIN: u64 = 1_772_323_200_000;

/// The seed's alarm: `--statistic Sum --period 300 --evaluation-periods 1 --threshold 20 --comparison-operator GreaterThanOrEqualToThreshold`.
fn seed() -> Alarm {
    Alarm {
        name: "agent-governance-policy-denials".to_owned(),
        metric: AlarmMetric::Denials,
        statistic: Statistic::Sum,
        calls: CallsCounted::default(),
        threshold: Threshold::AtLeast(20),
        period_secs: 300,
        evaluation_periods: 1,
        datapoints_to_alarm: 1,
        missing_data: MissingData::Missing,
        group_by: None,
        actions: Vec::new(),
    }
}

fn time(at_ms: u64) -> String {
    let ms = at_ms - BEGIN;
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let time = format!("2026-03-{:02}T{:02}:{minutes:02}:{:02}.{:03}Z", 1 + hours / 24, hours % 24, ms / 1000 % 60, ms % 1000);
    assert_eq!(time_ms(&time), Some(at_ms));
    time
}

fn decision(at_ms: u64, verdict: &str, more: &Value) -> Vec<u8> {
    let mut entry = json!({"v": 1, "type": "decision", "time": time(at_ms), "id": "d", "trace_id": "t", "agent": "agent-1", "space": "s",
        "server": "1/a", "tool": "a___b", "verdict": verdict});
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry.to_string().into_bytes()
}

fn outcome(at_ms: u64, outcome: &str, latency_us: u64) -> Vec<u8> {
    json!({"v": 1, "type": "outcome", "time": time(at_ms), "decision": "d", "agent": "agent-1", "space": "s", "tool": "a___b",
        "outcome": outcome, "latency_us": latency_us})
    .to_string()
    .into_bytes()
}

fn watching(alarm: &Alarm) -> Alarms {
    let mut alarms = Alarms::default();
    assert!(alarms.configure(std::slice::from_ref(alarm), BEGIN).is_empty());
    alarms
}

fn observe(alarms: &mut Alarms, entry: &[u8]) -> Vec<Change> {
    let event = Event::read(entry).unwrap();
    alarms.observe(&event);
    alarms.evaluate(event.at_ms)
}

fn told(changes: &[Change]) -> Vec<(&str, State, State)> {
    changes.iter().map(|change| (change.group.as_str(), change.from, change.to)).collect()
}

use State::{Alarm as Off, InsufficientData as Unknown, Ok as Fine};

#[test]
fn the_seeds_alarm_goes_off_with_the_twentieth_denial_in_300_seconds_and_not_with_the_nineteenth() {
    let mut alarms = watching(&seed());
    let mut changes = observe(&mut alarms, &decision(BEGIN, "ALLOW", &json!({})));
    for number in 1..20 {
        changes
            .extend(observe(&mut alarms, &decision(BEGIN + number * 15_000, "DENY", &json!({"reason": "tool_not_permitted"}))));
    }
    assert_eq!(told(&changes), [("", Unknown, Fine)]);
    let twentieth = observe(&mut alarms, &decision(BEGIN + 299_999, "DENY", &json!({"reason": "tool_not_permitted"})));
    assert_eq!(told(&twentieth), [("", Fine, Off)]);
    assert_eq!(twentieth[0].datapoints, [Some(20.0)]);
    assert!(twentieth[0].reason.contains("denials at least 20"), "{}", twentieth[0].reason);
    // The first of them is 300 seconds ago.
    assert_eq!(told(&alarms.evaluate(BEGIN + 330_000)), [("", Off, Fine)]);
    // Nothing happened for a whole period.
    assert_eq!(told(&alarms.evaluate(BEGIN + 700_000)), [("", Fine, Unknown)]);
    assert!(alarms.evaluate(BEGIN + 800_000).is_empty(), "and it is told once");
    // Twenty that are further apart never make an alarm.
    let mut slow = watching(&seed());
    for number in 0..40 {
        let changes = observe(&mut slow, &decision(BEGIN + number * 16_000, "DENY", &json!({})));
        assert!(told(&changes).iter().all(|(_, _, to)| *to == Fine), "{number}");
    }
}

#[test]
fn the_reasons_that_a_configuration_may_name_are_those_of_decisions() {
    let all: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(all, REASONS);
}

#[test]
fn only_what_is_meant_counts() {
    let mut alarm = Alarm { threshold: Threshold::AtLeast(1), ..seed() };
    alarm.calls.agents = vec![AgentId::new("agent-1").unwrap()];
    alarm.calls.tools = vec!["a___*".to_owned()];
    alarm.calls.reasons = vec!["guardrail".to_owned()];
    let mut alarms = watching(&alarm);
    for other in [json!({"agent": "agent-2"}), json!({"tool": "b___b"}), json!({"agent": null})] {
        let mut other = other;
        other["reason"] = json!("guardrail");
        assert!(observe(&mut alarms, &decision(BEGIN, "DENY", &other)).is_empty(), "{other}: nothing that it is about");
    }
    for other in [("DENY", json!({"reason": "risk_exceeds_policy"})), ("HOLD", json!({"reason": "guardrail"}))] {
        let changes = observe(&mut alarms, &decision(BEGIN, other.0, &other.1));
        assert!(told(&changes).iter().all(|(_, _, to)| *to == Fine), "{other:?}");
    }
    let changes = observe(&mut alarms, &decision(BEGIN, "DENY", &json!({"reason": "guardrail"})));
    assert_eq!(told(&changes), [("", Fine, Off)]);
    assert_eq!(Event::read(br#"{"v":1,"type":"configuration","time":"2026-03-01T00:00:00.000Z"}"#), None);
    assert_eq!(Event::read(b"nonsense"), None);
}

#[test]
fn a_ratio_needs_enough_to_be_one() {
    let ratio = Threshold::Ratio { percent: 50, of_at_least: 10 };
    let mut alarms = watching(&Alarm { threshold: ratio, period_secs: 60, ..seed() });
    let mut changes = Vec::new();
    for number in 0..9 {
        changes.extend(observe(&mut alarms, &decision(BEGIN + number, "DENY", &json!({}))));
    }
    assert_eq!(told(&changes), [("", Unknown, Fine)], "all of nine are denied, and nine are few");
    assert_eq!(told(&observe(&mut alarms, &decision(BEGIN + 9, "ALLOW", &json!({})))), [("", Fine, Off)], "nine of ten");
    let mut changes = Vec::new();
    for number in 0..9 {
        changes.extend(observe(&mut alarms, &decision(BEGIN + 10 + number, "ALLOW", &json!({}))));
    }
    assert_eq!(told(&changes), [("", Off, Fine)], "nine of nineteen are fewer than half");
}

#[test]
fn what_ought_to_happen_is_missed_after_a_whole_period() {
    let absence = Threshold::FewerThan(2);
    let alarm = Alarm {
        metric: AlarmMetric::Decisions,
        threshold: absence,
        period_secs: 60,
        missing_data: MissingData::Breaching,
        ..seed()
    };
    let mut alarms = watching(&alarm);
    assert!(alarms.evaluate(BEGIN + 59_000).is_empty(), "what was before, nobody knows");
    assert_eq!(told(&alarms.evaluate(BEGIN + 63_000)), [("", Unknown, Off)]);
    observe(&mut alarms, &decision(BEGIN + 64_000, "ALLOW", &json!({})));
    assert!(alarms.evaluate(BEGIN + 70_000).is_empty(), "one is still fewer than two");
    observe(&mut alarms, &decision(BEGIN + 71_000, "ALLOW", &json!({})));
    assert_eq!(told(&alarms.evaluate(BEGIN + 75_000)), [("", Off, Fine)]);
}

#[test]
fn latency_and_errors_are_of_calls_that_ended() {
    let latency =
        Alarm { metric: AlarmMetric::LatencyMs, statistic: Statistic::Average, threshold: Threshold::AtLeast(500), ..seed() };
    let mut alarms = watching(&latency);
    assert!(observe(&mut alarms, &decision(BEGIN, "ALLOW", &json!({}))).is_empty());
    let mut changes = observe(&mut alarms, &outcome(BEGIN, "ok", 100_000));
    changes.extend(observe(&mut alarms, &outcome(BEGIN, "ok", 899_000)));
    assert_eq!(told(&changes), [("", Unknown, Fine)], "499.5 on average");
    assert_eq!(told(&observe(&mut alarms, &outcome(BEGIN, "ok", 501_000))), [("", Fine, Off)]);
    let mut alarms = watching(&Alarm { statistic: Statistic::Maximum, threshold: Threshold::AtLeast(900), ..latency });
    assert_eq!(told(&observe(&mut alarms, &outcome(BEGIN, "ok", 900_000))), [("", Unknown, Off)]);
    let mut alarms = watching(&Alarm { metric: AlarmMetric::Errors, threshold: Threshold::AtLeast(1), ..seed() });
    for fine in ["ok", "input_required", "task", "cancelled"] {
        assert!(observe(&mut alarms, &outcome(BEGIN, fine, 1)).iter().all(|change| change.to == Fine));
    }
    assert_eq!(told(&observe(&mut alarms, &outcome(BEGIN, "tool_error", 1))), [("", Fine, Off)]);
}

#[test]
fn some_of_several_periods_are_enough_where_the_alarm_says_so() {
    let alarm =
        Alarm { threshold: Threshold::AtLeast(1), period_secs: 60, evaluation_periods: 3, datapoints_to_alarm: 2, ..seed() };
    let mut alarms = watching(&alarm);
    assert_eq!(told(&observe(&mut alarms, &decision(BEGIN + 1_000, "DENY", &json!({})))), [("", Unknown, Fine)]);
    assert!(observe(&mut alarms, &decision(BEGIN + 61_000, "ALLOW", &json!({}))).is_empty());
    let changes = observe(&mut alarms, &decision(BEGIN + 122_000, "DENY", &json!({})));
    assert_eq!(told(&changes), [("", Fine, Off)]);
    assert_eq!(changes[0].datapoints, [Some(1.0), Some(0.0), Some(1.0)]);
}

#[test]
fn what_is_missing_is_what_the_alarm_says() {
    for (missing, states) in [
        (MissingData::Missing, vec![(Off, Unknown)]),
        (MissingData::Ignore, vec![]),
        (MissingData::Breaching, vec![]),
        (MissingData::NotBreaching, vec![(Off, Fine)]),
    ] {
        let mut alarms = watching(&Alarm { threshold: Threshold::AtLeast(1), missing_data: missing, ..seed() });
        observe(&mut alarms, &decision(BEGIN, "DENY", &json!({})));
        let changes = alarms.evaluate(BEGIN + 3_600_000);
        assert_eq!(changes.iter().map(|change| (change.from, change.to)).collect::<Vec<_>>(), states, "{missing:?}");
    }
}

#[test]
fn each_group_has_a_state_and_strangers_have_none_of_their_own() {
    let alarm = Alarm { threshold: Threshold::AtLeast(2), group_by: Some(GroupBy::Agent), ..seed() };
    let mut alarms = watching(&alarm);
    let mut changes = Vec::new();
    for agent in ["agent-1", "agent-2", "agent-2"] {
        changes.extend(observe(&mut alarms, &decision(BEGIN, "DENY", &json!({"agent": agent}))));
    }
    assert_eq!(told(&changes), [("agent-1", Unknown, Fine), ("agent-2", Unknown, Fine), ("agent-2", Fine, Off)]);
    // Once nothing is known of a group any more, it is forgotten.
    alarms.evaluate(BEGIN + 3_600_000);
    assert_eq!(alarms.standings().count(), 0);

    let mut alarms = watching(&Alarm { group_by: Some(GroupBy::Tool), ..alarm.clone() });
    for number in 0..3 * GROUPS_MAX {
        let tool = json!({"tool": format!("x{number}"), "server": null});
        observe(&mut alarms, &decision(BEGIN, "DENY", &tool));
    }
    assert_eq!(alarms.standings().map(|standing| standing.group).collect::<Vec<_>>(), [OTHER]);

    let mut alarms = watching(&alarm);
    for number in 0..3 * GROUPS_MAX {
        observe(&mut alarms, &decision(BEGIN, "DENY", &json!({"agent": format!("agent-{number}")})));
    }
    assert_eq!(alarms.standings().count(), GROUPS_MAX + 1);
    assert!(alarms.standings().any(|standing| standing.group == OTHER && standing.state == Off));
}

#[test]
fn a_restart_goes_on_with_what_was_recorded_and_an_alarm_that_goes_is_over() {
    let entry = |to: State| {
        json!({"v": 1, "type": "alarm", "time": time(BEGIN), "alarm": seed().name, "group": "", "to": to}).to_string()
    };
    let mut states = States::default();
    states.take(entry(Fine).as_bytes());
    states.take(entry(Off).as_bytes());
    states.take(b"{\"type\":\"decision\",\"alarm\":\"x\",\"to\":\"OK\"}");
    let kept: States = serde_json::from_str(&serde_json::to_string(&states).unwrap()).unwrap();
    assert_eq!(kept, states);
    let mut alarms = watching(&seed());
    let last = alarms.restore(&kept);
    assert_eq!(last.len(), 1);
    assert!(last[0].0.to == Off && last[0].1.is_empty(), "nothing was done about it yet");
    let done = json!({"type": "alarm_action", "alarm": seed().name, "group": "", "to": "ALARM", "number": 1}).to_string();
    let stale = json!({"type": "alarm_action", "alarm": seed().name, "group": "", "to": "OK", "number": 0}).to_string();
    states.take(done.as_bytes());
    states.take(stale.as_bytes());
    assert_eq!(states.of(&seed().name).next().unwrap().1.done.iter().copied().collect::<Vec<_>>(), [1]);
    let standing = alarms.standings().next().unwrap();
    assert_eq!((standing.state, standing.since_ms), (Off, BEGIN));
    // The denials of before are read again.
    for number in 0..20 {
        alarms.observe(&Event::read(&decision(BEGIN + number, "DENY", &json!({}))).unwrap());
    }
    assert!(alarms.evaluate(BEGIN + 1_000).is_empty(), "it goes on being off");
    // Other actions change nothing; other calls are counted anew.
    assert!(alarms.configure(&[Alarm { threshold: Threshold::AtLeast(19), ..seed() }], BEGIN + 2_000).is_empty());
    assert!(alarms.evaluate(BEGIN + 2_000).is_empty());
    let gone = alarms.configure(&[], BEGIN + 3_000);
    assert_eq!(told(&gone), [("", Off, Unknown)]);
    states.take(entry(Unknown).as_bytes());
    assert_eq!(states, States::default());
}

/// A history: how much time passes before each call, and whether it is denied.
fn history() -> impl Strategy<Value = Vec<(u64, bool)>> {
    proptest::collection::vec((0u64..40_000, any::<bool>()), 0..120)
}

proptest! {
    /// It is off exactly where as many as the threshold says are in the window that ends now, whatever came before.
    #[test]
    fn the_state_is_a_function_of_the_window(history in history(), threshold in 1u64..12) {
        let mut alarms = watching(&Alarm { threshold: Threshold::AtLeast(threshold), ..seed() });
        let (mut at_ms, mut state, mut seen) = (BEGIN, Unknown, Vec::new());
        for (passes, denied) in history {
            at_ms += passes;
            seen.push((at_ms, denied));
            for change in observe(&mut alarms, &decision(at_ms, if denied { "DENY" } else { "ALLOW" }, &json!({}))) {
                prop_assert_eq!(change.from, state);
                prop_assert_ne!(change.from, change.to);
                state = change.to;
            }
            let first = (at_ms / 15_000 + 1 - 20) * 15_000;
            let count = seen.iter().filter(|(at_ms, denied)| *denied && *at_ms >= first).count() as u64;
            prop_assert_eq!(state == Off, count >= threshold);
            prop_assert!(state != Unknown);
        }
    }

    /// One more denial never makes an alarm go away, and one more threshold never makes it go off.
    #[test]
    fn more_denials_are_never_fewer_alarms(history in history(), threshold in 1u64..12) {
        let off = |threshold: u64, every_denied: bool| {
            let mut alarms = watching(&Alarm { threshold: Threshold::AtLeast(threshold), ..seed() });
            let (mut at_ms, mut state, mut states) = (BEGIN, Unknown, Vec::new());
            for (passes, denied) in &history {
                at_ms += passes;
                let verdict = if *denied || every_denied { "DENY" } else { "ALLOW" };
                state = observe(&mut alarms, &decision(at_ms, verdict, &json!({}))).last().map_or(state, |change| change.to);
                states.push(state == Off);
            }
            states
        };
        let (some, all, higher) = (off(threshold, false), off(threshold, true), off(threshold + 1, false));
        for ((some, all), higher) in some.iter().zip(all).zip(higher) {
            prop_assert!(!*some || all);
            prop_assert!(!higher || *some);
        }
    }

    /// Clocks that jump never make it keep more, or fail.
    #[test]
    fn any_times_are_borne(times in proptest::collection::vec(0u64..86_400_000 * 20, 0..200), periods in 1u64..24) {
        let mut alarms = watching(&Alarm { period_secs: 60, evaluation_periods: periods, datapoints_to_alarm: 1, ..seed() });
        for time in times {
            observe(&mut alarms, &decision(BEGIN + time, "DENY", &json!({})));
        }
        prop_assert_eq!(alarms.standings().count(), 1);
    }
}

#[test]
fn findings_about_behaviour_are_counted_and_their_scores_are_values() {
    let found = |at_ms: u64, score: f64| {
        json!({"v": 1, "type": "behaviour_found", "time": time(at_ms), "decision": "d", "agent": "agent-1", "space": "s", "tool": "a___b",
            "score": score, "broken": []})
        .to_string()
        .into_bytes()
    };
    let counted =
        Alarm { metric: AlarmMetric::Findings, threshold: Threshold::AtLeast(2), group_by: Some(GroupBy::Agent), ..seed() };
    let mut alarms = watching(&counted);
    assert!(observe(&mut alarms, &found(BEGIN + 1000, 4.2)).iter().all(|change| change.to != State::Alarm));
    // A decision is no finding.
    assert!(observe(&mut alarms, &decision(BEGIN + 1500, "DENY", &json!({}))).is_empty());
    let changes = observe(&mut alarms, &found(BEGIN + 2000, 4.9));
    assert_eq!((changes[0].to, changes[0].group.as_str()), (State::Alarm, "agent-1"));

    let scored =
        Alarm { metric: AlarmMetric::FindingScore, statistic: Statistic::Maximum, threshold: Threshold::AtLeast(12), ..seed() };
    let mut alarms = watching(&scored);
    assert!(observe(&mut alarms, &found(BEGIN + 1000, 11.9)).iter().all(|change| change.to != State::Alarm));
    assert_eq!(observe(&mut alarms, &found(BEGIN + 2000, 12.0))[0].datapoints, [Some(12.0)]);
    // Denials don't count findings.
    let mut alarms = watching(&seed());
    assert!((0..30).all(|number| observe(&mut alarms, &found(BEGIN + number * 100, 9.0)).is_empty()));
}
