//! Trust as a function of the journal: what is counted, what is proposed, and that a tier never rises by itself.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use remit_kernel::trust::{Counts, EVERY, Event, Ledger, OTHER, What};
use remit_model::{DemotionRule, DemotionRules, PromotionRule, TierLimits, TrustRules, TrustTier};
use serde_json::{Value, json};

use TrustTier::{Autonomous, Probation, Supervised, Trusted};

const DAY: u64 = 86_400;
/// 2026-03-01T00:00:00Z.
const BEGIN: u64 = 1_772_323_200;

fn rules() -> TrustRules {
    let promotion = PromotionRule {
        approved_unchanged_min: 2,
        calls_ok_min: 3,
        days_min: 2,
        rejections_max: Some(1),
        denials_max: Some(2),
        guardrail_hits_max: Some(0),
        incidents_max: Some(0),
        window_days: 10,
    };
    TrustRules {
        initial: Supervised,
        tiers: BTreeMap::from([(Probation, TierLimits::default())]),
        promotions: BTreeMap::from([(Supervised, promotion), (Trusted, promotion), (Autonomous, promotion)]),
        demotions: DemotionRules {
            incident: Some(Probation),
            suspension: Some(Probation),
            rejections: Some(DemotionRule { count: 3, within_days: 4, to: Supervised }),
            denials: Some(DemotionRule { count: 5, within_days: 2, to: Probation }),
            guardrail_hits: Some(DemotionRule { count: 2, within_days: 2, to: Probation }),
        },
    }
}

fn at(secs: u64, what: What) -> Event {
    Event { at_secs: BEGIN + secs, what }
}

fn agent() -> impl Strategy<Value = String> {
    select(&["one", "two"][..]).prop_map(str::to_owned)
}

fn categories() -> impl Strategy<Value = Vec<String>> {
    subsequence(vec!["read".to_owned(), "write".to_owned(), OTHER.to_owned()], 1..3)
}

fn number() -> impl Strategy<Value = String> {
    (0_u8..6).prop_map(|number| number.to_string())
}

fn what() -> impl Strategy<Value = What> {
    let step = select(
        &[(Probation, Supervised), (Supervised, Trusted), (Trusted, Autonomous), (Probation, Autonomous), (Trusted, Probation)][..],
    );
    let by = select(&["ana", ""][..]).prop_map(str::to_owned);
    prop_oneof![
        4 => (number(), agent(), categories(), 0_u8..3).prop_map(|(decision, agent, categories, verdict)| What::Decided {
            decision, agent, categories, allowed: verdict == 0, denied: verdict == 1, blocked: false
        }),
        4 => (number(), any::<bool>()).prop_map(|(decision, ok)| What::Ended { decision, ok }),
        2 => (number(), agent(), categories(), any::<bool>(), any::<bool>())
            .prop_map(|(approval, agent, categories, rejects, narrowed)| What::Voted { approval, agent, categories, rejects, narrowed }),
        2 => (number(), agent(), categories(), 0_u8..3).prop_map(|(approval, agent, categories, state)| What::Closed {
            approval, agent, categories, redeemed: state == 0, rejected: state == 1
        }),
        1 => agent().prop_map(|agent| What::Suspended { agent }),
        1 => (agent(), select(&[None, Some("read"), Some("write")][..]))
            .prop_map(|(agent, category)| What::Incident { agent, category: category.map(str::to_owned) }),
        2 => (agent(), select(&["read", "write"][..]), step.clone(), by)
            .prop_map(|(agent, category, (from, to), by)| What::Promoted { agent, category: category.to_owned(), from, to, by }),
        1 => (agent(), select(&["read", "write", EVERY][..]), step)
            .prop_map(|(agent, category, (to, from))| What::Demoted { agent, category: category.to_owned(), from, to }),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec((0_u64..DAY, what()), 0..80).prop_map(|drafts| {
        let mut secs = 0;
        let later = |(more, what): (u64, What)| {
            secs += more;
            at(secs, what)
        };
        drafts.into_iter().map(later).collect()
    })
}

fn folded(events: &[Event]) -> Ledger {
    let mut ledger = Ledger::default();
    events.iter().for_each(|event| drop(ledger.fold(event)));
    ledger
}

const CATEGORIES: [&str; 4] = ["read", "write", OTHER, "never-seen"];

fn tier(ledger: &Ledger, agent: &str, category: &str, now: u64) -> TrustTier {
    ledger.tiers(&rules(), agent, now).lowest(&rules(), &[category.to_owned()]).0
}

/// Counts again, without days: what speaks for an agent since the last change of its tier in a category.
fn counted(events: &[Event], agent: &str, category: &str) -> Counts {
    let mut counts = Counts::default();
    // Until the category has a record of its own, what holds for every one holds for it.
    let (mut tier, mut ceiling, mut own) = (None, None, false);
    let recorded = |tier: Option<TrustTier>, ceiling: Option<TrustTier>, from: TrustTier| {
        let tier = tier.unwrap_or(from);
        ceiling.map_or(tier, |ceiling: TrustTier| ceiling.min(tier))
    };
    let mut calls: BTreeMap<&str, bool> = BTreeMap::new();
    let mut approvals: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
    let is = |who: &str, of: &[String]| who == agent && of.iter().any(|one| one == category);
    for event in events {
        let before = counts;
        match &event.what {
            What::Decided { decision, agent: who, categories, allowed, denied, .. } => {
                if *allowed {
                    calls.insert(decision, is(who, categories));
                }
                counts.denials += u64::from(*denied && is(who, categories));
            }
            What::Ended { decision, ok } => {
                counts.calls_ok += u64::from(calls.remove(decision.as_str()) == Some(true) && *ok);
            }
            What::Voted { approval, agent: who, categories, rejects, narrowed } => {
                let known = approvals.entry(approval).or_default();
                counts.rejections += u64::from(*rejects && !known.1 && is(who, categories));
                *known = (known.0 | narrowed, known.1 | rejects);
            }
            What::Closed { approval, agent: who, categories, redeemed, rejected } => {
                let known = approvals.remove(approval.as_str());
                let told = known.is_some_and(|(_, rejected)| rejected);
                counts.approved_unchanged += u64::from(*redeemed && known == Some((false, false)) && is(who, categories));
                counts.rejections += u64::from(*rejected && !told && is(who, categories));
            }
            What::Suspended { agent: who } => counts.suspensions += u64::from(who == agent),
            What::Incident { agent: who, category: of } => {
                counts.incidents += u64::from(who == agent && of.as_deref().is_none_or(|of| of == category));
            }
            What::Promoted { agent: who, category: of, from, to, by } => {
                let mine = who == agent && of == category && !by.is_empty();
                own |= mine;
                if mine && from.next() == Some(*to) && recorded(tier, ceiling, *from) == *from {
                    (counts, tier, ceiling) = (Counts::default(), Some(*to), None);
                }
            }
            What::Demoted { agent: who, category: of, from, to } => {
                let mine = who == agent && (of == category || (of == EVERY && !own));
                own |= who == agent && of == category;
                if mine && *to < recorded(tier, ceiling, *from) {
                    (counts, ceiling) = (Counts::default(), Some(*to));
                }
            }
        }
        let every = matches!(&event.what, What::Suspended { .. } | What::Incident { category: None, .. });
        own |= !every && counts != before && !matches!(&event.what, What::Demoted { .. });
    }
    counts
}

proptest! {
    #[test]
    fn folding_is_of_the_order_alone(events in events(), cut in 0_usize..80) {
        let whole = folded(&events);
        let mut parts = folded(&events[..cut.min(events.len())]);
        events[cut.min(events.len())..].iter().for_each(|event| drop(parts.fold(event)));
        prop_assert_eq!(&whole, &parts);
    }

    #[test]
    fn a_tier_rises_by_a_signed_event_and_nothing_else_neither_by_time(events in events(), later in 0_u64..400) {
        let mut ledger = Ledger::default();
        for event in &events {
            let now = event.at_secs;
            let before: Vec<_> = ["one", "two"].iter().flat_map(|agent| CATEGORIES.map(|category| (*agent, category))).map(|(agent, category)| (agent, category, tier(&ledger, agent, category, now))).collect();
            let told = ledger.fold(event);
            for (agent, category, was) in before {
                let is = tier(&ledger, agent, category, now);
                if is > was {
                    let What::Promoted { agent: whose, category: of, by, from, to } = &event.what else { panic!("{event:?} raised {agent} from {was} to {is}") };
                    prop_assert!(whose == agent && of == category && !by.is_empty() && from.next() == Some(*to) && is <= *to);
                }
                // Whoever keeps what was answered hears of everything that changes it.
                prop_assert!(is == was || told.as_deref() == Some(agent), "{:?}", event);
                prop_assert_eq!(tier(&ledger, agent, category, now + later * DAY), is);
            }
        }
    }

    #[test]
    fn a_demotion_never_waits_and_its_event_changes_no_tier(events in events()) {
        let mut ledger = Ledger::default();
        for event in &events {
            ledger.fold(event);
            let now = event.at_secs;
            if let What::Incident { agent, category } = &event.what {
                for category in category.as_deref().map_or(CATEGORIES.to_vec(), |category| vec![category]) {
                    prop_assert_eq!(tier(&ledger, agent, category, now), Probation);
                }
            }
            for agent in ["one", "two"] {
                let before = CATEGORIES.map(|category| tier(&ledger, agent, category, now));
                let mut recorded = ledger.clone();
                for (category, demotion) in ledger.demotions(&rules(), agent, now) {
                    prop_assert!(demotion.to < demotion.from && !demotion.because.is_empty());
                    recorded.fold(&Event { at_secs: now, what: What::Demoted { agent: agent.to_owned(), category, from: demotion.from, to: demotion.to } });
                }
                prop_assert_eq!(CATEGORIES.map(|category| tier(&recorded, agent, category, now)), before);
                prop_assert!(recorded.demotions(&rules(), agent, now).is_empty());
            }
        }
    }

    #[test]
    fn explanations_add_up_to_what_was_counted(events in events()) {
        let ledger = folded(&events);
        let now = events.last().map_or(BEGIN, |event| event.at_secs);
        for agent in ["one", "two"] {
            for (category, standing) in ledger.standings(&rules(), agent, now) {
                if category == EVERY {
                    continue;
                }
                // A category that begins later begins with what holds for all: those counts are of the events themselves.
                let mine = counted(&events, agent, &category);
                let counted = standing.counted;
                prop_assert_eq!(
                    (counted.calls_ok, counted.approved_unchanged, counted.denials, counted.rejections),
                    (mine.calls_ok, mine.approved_unchanged, mine.denials, mine.rejections),
                    "{} {}", agent, category
                );
                if let Some(next) = &standing.next {
                    prop_assert_eq!(next.is_met(), next.because.iter().all(|number| match number.rule {
                        "rejections_max" | "denials_max" | "guardrail_hits_max" | "incidents_max" => number.had <= number.wanted,
                        _ => number.had >= number.wanted,
                    }));
                    prop_assert_eq!(standing.promotion().is_some(), next.is_met());
                    prop_assert_eq!(Some(next.to), standing.tier.next());
                }
            }
        }
    }
}

/// Entries as the journal has them, for `one` and `write`.
#[allow(clippy::needless_pass_by_value, reason = "written where it is asked for")]
fn entry(kind: &str, day: u64, more: Value) -> Vec<u8> {
    let mut entry = json!({"v": 1, "type": kind, "time": format!("2026-03-{:02}T12:00:00.000Z", day + 1), "agent": "one", "categories": ["write"]});
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry.to_string().into_bytes()
}

#[test]
fn the_journal_s_words_are_counted_and_lead_up_and_down() {
    let mut ledger = Ledger::default();
    let mut take = |kind: &str, day: u64, more: Value| {
        let event = Event::read(&entry(kind, day, more));
        event.map(|event| ledger.fold(&event)).map(|_| ledger.clone())
    };
    for number in 0..3 {
        let id = format!("d{number}");
        take("decision", 0, json!({"id": id, "verdict": "ALLOW"}));
        take("outcome", 0, json!({"decision": id, "outcome": "ok"}));
        take("approval_voted", 1, json!({"approval": id, "verdict": "APPROVE", "narrowed": number == 0, "state": "APPROVED"}));
        take("approval_ended", 1, json!({"approval": id, "state": "REDEEMED"}));
    }
    // What an agent is denied for its standing, or for nobody's doing, isn't held against it; nor is what waits.
    for reason in ["trust_tier", "could_not_decide", "suspended"] {
        take("decision", 1, json!({"id": "x", "verdict": "DENY", "reason": reason}));
    }
    take("decision", 1, json!({"id": "h", "verdict": "HOLD", "reason": "approval_required"}));
    let ledger = take("decision", 1, json!({"id": "y", "verdict": "DENY", "reason": "tool_not_permitted"})).unwrap();
    let now = BEGIN + 3 * DAY;
    let standing = ledger.standings(&rules(), "one", now).remove("write").unwrap();
    assert_eq!((standing.counted.calls_ok, standing.counted.approved_unchanged, standing.counted.denials), (3, 2, 1));
    let numbers: Vec<_> = standing
        .next
        .as_ref()
        .unwrap()
        .because
        .iter()
        .map(|number| (number.rule, number.wanted, number.had, number.met))
        .collect();
    assert_eq!(
        numbers,
        [
            ("approved_unchanged_min", 2, 2, true),
            ("calls_ok_min", 3, 3, true),
            ("days_min", 2, 2, true),
            ("rejections_max", 1, 0, true),
            ("denials_max", 2, 1, true),
            ("guardrail_hits_max", 0, 0, true),
            ("incidents_max", 0, 0, true),
        ]
    );
    // Proposed is not promoted.
    assert_eq!((standing.tier, standing.promotion().unwrap().to), (Supervised, Trusted));
    let unsigned = entry("trust_promoted", 3, json!({"category": "write", "from": "supervised", "to": "trusted"}));
    assert_eq!(Event::read(&unsigned), None);
    let signed =
        json!({"category": "write", "from": "supervised", "to": "trusted", "by": "ana", "proof": "TOKEN", "reason": "earned"});
    let mut ledger = ledger;
    ledger.fold(&Event::read(&entry("trust_promoted", 3, signed)).unwrap());
    assert_eq!(tier(&ledger, "one", "write", now), Trusted);
    assert_eq!(tier(&ledger, "one", "read", now), Supervised);
    // Three rejections within four days.
    for number in 0..3 {
        let id = format!("r{number}");
        ledger.fold(
            &Event::read(&entry("approval_voted", 5 + number, json!({"approval": id, "verdict": "REJECT", "state": "REJECTED"})))
                .unwrap(),
        );
        // The same no, told again.
        ledger.fold(&Event::read(&entry("approval_ended", 5 + number, json!({"approval": id, "state": "REJECTED"}))).unwrap());
    }
    let demotions = ledger.demotions(&rules(), "one", now);
    let [(category, demotion)] = demotions.as_slice() else { panic!("{demotions:?}") };
    assert_eq!((category.as_str(), demotion.from, demotion.to, demotion.because[0].had), ("write", Trusted, Supervised, 3));
    ledger.fold(
        &Event::read(&entry("incident", 9, json!({"severity": "high", "by": "ana", "reason": "deleted too much"}))).unwrap(),
    );
    assert!(CATEGORIES.iter().all(|category| tier(&ledger, "one", category, now) == Probation));
    assert_eq!(tier(&ledger, "two", "write", now), Supervised);
}

#[test]
fn what_is_no_event_is_passed_over() {
    for bytes in [
        &b"not json"[..],
        b"{}",
        br#"{"type":"incident"}"#,
        br#"{"type":"incident","agent":7,"time":"2026-03-01"}"#,
        br#"{"type":"trust_promoted","agent":"a","category":"c","from":"boss","to":"god","by":"x","time":"2026-03-01"}"#,
        br#"{"type":"decision","agent":"a","time":"never","id":"x"}"#,
    ] {
        assert_eq!(Event::read(bytes), None);
    }
}

#[test]
fn calls_that_guardrails_block_count_as_hits_and_as_denials() {
    let mut ledger = Ledger::default();
    let blocked = |day: u64, decision: &str| {
        let denied = json!({"id": decision, "verdict": "DENY", "reason": "guardrail"});
        Event::read(&entry("decision", day, denied)).unwrap()
    };
    ledger.fold(&blocked(0, "d1"));
    let now = BEGIN + DAY;
    let standing = ledger.standings(&rules(), "one", now).remove("write").unwrap();
    assert_eq!((standing.counted.guardrail_hits, standing.counted.denials, standing.tier), (1, 1, Supervised));
    ledger.fold(&blocked(0, "d2"));
    assert_eq!(tier(&ledger, "one", "write", now), Probation);
    assert_eq!(tier(&ledger, "one", "read", now), Supervised);
}
