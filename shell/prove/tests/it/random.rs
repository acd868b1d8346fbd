//! Random policies and random conditions: what is called held is never allowed, and what is called violated is.

use std::collections::BTreeMap;

use remit_kernel::invariant::Standing;
use remit_prove::Prover;
use serde_json::{Value, json};

use crate::{World, allowed, checked, solver};

/// Numbers that look random, the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % most
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

const NOTES: [&str; 4] = ["gold", "golden", "", "a\"b"];
const ACCOUNTS: [&str; 3] = ["ACC-00", "ACC-17", "ACC-99"];
const TEAMS: [&str; 2] = ["treasury", "desk"];

/// A condition that Cedar and this test both understand, each in its own way.
#[derive(Debug, Clone)]
enum Condition {
    AmountOver(i64),
    AmountIs(i64),
    TwiceOver(i64),
    Urgent,
    To(&'static str),
    ToLike(&'static str),
    Note(&'static str),
    NoteLike(&'static str),
    Labelled(&'static str),
    LabelsWithin,
    RateBelow(i64),
    Level(i64),
    Team(&'static str),
    Agent(&'static str),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
}

impl Condition {
    fn any(random: &mut Random, depth: u64) -> Self {
        let part = |random: &mut Random| Box::new(Self::any(random, depth - 1));
        match random.below(if depth == 0 { 14 } else { 22 }) {
            0 => Self::AmountOver(i64::try_from(random.below(12)).unwrap() * 100),
            1 => Self::AmountIs(i64::try_from(random.below(12)).unwrap() * 100),
            2 => Self::TwiceOver(i64::try_from(random.below(20)).unwrap() * 150),
            3 => Self::Urgent,
            4 => Self::To(random.one(&ACCOUNTS)),
            5 => Self::ToLike(random.one(&["ACC-1", "ACC-", "B"])),
            6 => Self::Note(random.one(&NOTES)),
            7 => Self::NoteLike(random.one(&["gold", "x"])),
            8 => Self::Labelled(random.one(&["red", "blue"])),
            9 => Self::LabelsWithin,
            10 => Self::RateBelow(i64::try_from(random.below(5)).unwrap()),
            11 => Self::Level(i64::try_from(random.below(4)).unwrap()),
            12 => Self::Team(random.one(&TEAMS)),
            13 => Self::Agent(random.one(&["agent-1", "agent-2"])),
            14 | 15 => Self::Not(part(random)),
            16..=19 => Self::And(part(random), part(random)),
            _ => Self::Or(part(random), part(random)),
        }
    }

    fn cedar(&self) -> String {
        match self {
            Self::AmountOver(least) => format!("context.input.amount > {least}"),
            Self::AmountIs(least) => format!("context.input.amount == {least}"),
            Self::TwiceOver(least) => format!("context.input.amount * 2 > {least}"),
            Self::Urgent => "context.input.urgent".to_owned(),
            Self::To(account) => format!("context.input.to == {account:?}"),
            Self::ToLike(start) => format!("context.input.to like \"{start}*\""),
            Self::Note(note) => format!("(context.input has note && context.input.note == {note:?})"),
            Self::NoteLike(start) => format!("(context.input has note && context.input.note like \"{start}*\")"),
            Self::Labelled(label) => format!("(context.input has labels && context.input.labels.contains({label:?}))"),
            Self::LabelsWithin => {
                "(context.input has labels && [\"red\", \"blue\"].containsAll(context.input.labels))".to_owned()
            }
            Self::RateBelow(most) => {
                format!("(context.input has rate && context.input.rate.lessThan(decimal(\"{most}.5\")))")
            }
            Self::Level(level) => format!("(context.input has deep && context.input.deep.level == {level})"),
            Self::Team(team) => format!("(principal.hasTag(\"team\") && principal.getTag(\"team\") == {team:?})"),
            Self::Agent(agent) => format!("context.remit.agent == {agent:?}"),
            Self::Not(inner) => format!("!({})", inner.cedar()),
            Self::And(left, right) => format!("({} && {})", left.cedar(), right.cedar()),
            Self::Or(left, right) => format!("({} || {})", left.cedar(), right.cedar()),
        }
    }

    /// Whether it is true of a call, without Cedar.
    fn holds(&self, agent: &str, input: &Value, claims: &BTreeMap<String, String>) -> bool {
        let amount = || input["amount"].as_i64().unwrap();
        let starts = |value: &Value, start: &str| value.as_str().is_some_and(|text| text.starts_with(start));
        let labels = || input["labels"].as_array();
        match self {
            Self::AmountOver(least) => amount() > *least,
            Self::AmountIs(value) => amount() == *value,
            Self::TwiceOver(least) => amount() * 2 > *least,
            Self::Urgent => input["urgent"] == true,
            Self::To(account) => input["to"] == *account,
            Self::ToLike(start) => starts(&input["to"], start),
            Self::Note(note) => input["note"] == *note,
            Self::NoteLike(start) => starts(&input["note"], start),
            Self::Labelled(label) => labels().is_some_and(|labels| labels.contains(&json!(label))),
            Self::LabelsWithin => labels().is_some_and(|labels| labels.iter().all(|label| label == "red" || label == "blue")),
            #[allow(clippy::cast_precision_loss, reason = "it is small")]
            Self::RateBelow(most) => input["rate"].as_f64().is_some_and(|rate| rate < *most as f64 + 0.5),
            Self::Level(level) => input["deep"]["level"] == *level,
            Self::Team(team) => claims.get("team").is_some_and(|said| said == team),
            Self::Agent(name) => agent == *name,
            Self::Not(inner) => !inner.holds(agent, input, claims),
            Self::And(left, right) => left.holds(agent, input, claims) && right.holds(agent, input, claims),
            Self::Or(left, right) => left.holds(agent, input, claims) || right.holds(agent, input, claims),
        }
    }
}

fn policies(random: &mut Random) -> String {
    let mut text = String::new();
    for number in 0..=random.below(4) {
        let verb = if number == 0 || random.below(5) < 2 { "permit" } else { "forbid" };
        let mode = if random.below(8) == 0 { "@mode(\"LOG_ONLY\") " } else { "" };
        let scope =
            random.one(&["action", "action == AgentCore::Action::\"bank___pay\"", "action in AgentCore::Action::\"bank\""]);
        let condition = Condition::any(random, 3).cedar();
        text.push_str(&format!("{mode}{verb} (principal, {scope}, resource) when {{ {condition} }};\n"));
    }
    text
}

fn arguments(random: &mut Random) -> (Value, BTreeMap<String, String>) {
    let mut input = json!({
        "amount": ([0, 1, 99, 100, 101, 300, 500, 501, 999, 1000][usize::try_from(random.below(10)).unwrap()]),
        "to": random.one(&ACCOUNTS),
        "urgent": random.below(2) == 0,
    });
    if random.below(2) == 0 {
        input["note"] = json!(random.one(&NOTES));
    }
    if random.below(2) == 0 {
        let labels: Vec<&str> = ["red", "blue", "green"].into_iter().filter(|_| random.below(2) == 0).collect();
        input["labels"] = json!(labels);
    }
    if random.below(2) == 0 {
        input["rate"] =
            [json!(0), json!(1.25), json!(3.5), json!(-7), json!(4)][usize::try_from(random.below(5)).unwrap()].clone();
    }
    if random.below(2) == 0 {
        input["deep"] = json!({"level": random.below(4)});
    }
    let team = (random.below(3) > 0).then(|| ("team".to_owned(), random.one(&TEAMS).to_owned()));
    (input, team.into_iter().collect())
}

#[test]
fn what_is_held_is_never_allowed_and_what_is_violated_is() {
    const CASES: u64 = 200;
    const CALLS: u64 = 120;
    let mut random = Random(2026);
    let (mut held, mut proved, mut violated, mut unknown) = (0, 0, 0, Vec::new());
    for case in 0..CASES {
        let policies = policies(&mut random);
        let condition = Condition::any(&mut random, 2);
        let world = World::new(&policies, &condition.cedar());
        let snapshot = world.snapshot();
        let found = checked(&snapshot, &Prover::new(Ok(solver())));
        let told = || format!("case {case}: never {}\n{policies}{found:?}", condition.cedar());
        match found.standing {
            Standing::Holds => {
                held += 1;
                proved += u32::from(found.proved > 0);
            }
            Standing::Violated => {
                violated += 1;
                let call = found.counterexample.as_ref().unwrap();
                let input = call.arguments.as_ref().unwrap();
                assert!(condition.holds(&call.agent, input, &call.claims), "{}", told());
                assert!(allowed(&snapshot, &call.agent, input, &call.claims), "{}", told());
            }
            Standing::Unknown => unknown.push(told()),
        }
        for _ in 0..CALLS {
            let (input, claims) = arguments(&mut random);
            for agent in ["agent-1", "agent-2"] {
                if condition.holds(agent, &input, &claims) && allowed(&snapshot, agent, &input, &claims) {
                    assert_ne!(found.standing, Standing::Holds, "{agent} {input} {claims:?}\n{}", told());
                }
            }
        }
    }
    let figures = format!("{held} held ({proved} by the solver), {violated} violated, {} unknown", unknown.len());
    assert!(held >= 40 && proved >= 20 && violated >= 40, "all ends are met: {figures}");
    assert!(unknown.len() <= 4, "{figures}\n{}", unknown.join("\n"));
}
