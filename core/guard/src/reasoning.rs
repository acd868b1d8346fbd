//! Automated reasoning: rules over a structured result, checked exactly.
//!
//! A policy declares facts (where in the JSON a value stands, and its type) and rules (when this holds, that must hold). A rule over a fact
//! that is missing or of another type is neither kept nor broken: SATISFIABLE, and the policy's action is taken, because what can't be
//! decided is denied. Bedrock translates language into such rules; here they are written.

use std::{cmp::Ordering, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    assessment::{Effort, Finding, Kind, Ran, Stage, Verdict},
    definition::{Action, Fault, Source},
    guardrail::Guardrail,
    inspect::found,
};

/// The most facts, rules, nested conditions and elements of a list.
pub const FACTS_MAX: usize = 200;
/// The most rules.
pub const RULES_MAX: usize = 100;
/// The deepest condition.
pub const DEPTH_MAX: usize = 16;
/// The most elements that a rule is checked on.
pub const ELEMENTS_MAX: usize = 10_000;

/// The type of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum FactType {
    /// A JSON number.
    Number,
    /// A JSON string.
    String,
    /// A JSON boolean.
    Boolean,
}

/// Where a fact stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Its name in the rules.
    pub name: String,
    /// A JSON pointer; one that begins with `@` starts at the element of the rule's `for_each`.
    pub pointer: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: FactType,
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Operator {
    /// Equal.
    Equals,
    /// Not equal.
    NotEquals,
    /// Less.
    LessThan,
    /// Less or equal.
    AtMost,
    /// Greater.
    GreaterThan,
    /// Greater or equal.
    AtLeast,
}

/// A value: a fact's, or one that is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Term {
    /// A fact's value.
    Fact(String),
    /// This value.
    Value(Value),
}

/// What may hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// All of these.
    All(Vec<Condition>),
    /// Any of these.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// One value compared with another.
    Compare {
        /// The left one.
        left: Term,
        /// How.
        operator: Operator,
        /// The right one.
        right: Term,
    },
    /// The fact is there and of its type.
    Known(String),
}

/// When this holds, that must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// A list, as a JSON pointer, for each of whose elements it must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<String>,
    /// When; always if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    /// What must hold then.
    pub then: Condition,
}

/// A policy of automated reasoning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The facts.
    pub facts: Vec<Fact>,
    /// The rules.
    pub rules: Vec<Rule>,
    /// What happens on input when a rule is broken or can't be decided. Rules are of results: by default nothing.
    #[serde(default = "no_action")]
    pub input_action: Action,
    /// What happens on output.
    #[serde(default)]
    pub output_action: Action,
}

fn no_action() -> Action {
    Action::None
}

/// A policy whose names resolve.
pub(crate) struct Compiled {
    facts: BTreeMap<String, Fact>,
    rules: Vec<Rule>,
}

impl Compiled {
    pub(crate) fn new(policy: &Policy, faults: &mut Vec<Fault>) -> Self {
        let at = "/automated_reasoning";
        let facts: BTreeMap<_, _> = policy.facts.iter().map(|fact| (fact.name.clone(), fact.clone())).collect();
        let pointer = |pointer: &str| pointer.is_empty() || pointer.starts_with('/');
        if facts.len() < policy.facts.len() {
            faults.push(Fault::new(format!("{at}/facts"), "a fact's name occurs twice", "give each its own"));
        }
        if policy.facts.len() > FACTS_MAX || policy.rules.len() > RULES_MAX {
            faults.push(Fault::new(at, "there are too many facts or rules", format!("{FACTS_MAX} facts, {RULES_MAX} rules")));
        }
        for (i, fact) in policy.facts.iter().enumerate() {
            if !pointer(fact.pointer.strip_prefix('@').unwrap_or(&fact.pointer)) {
                let hint = "as in RFC 6901, `/total`, or `@/price` for an element's";
                faults.push(Fault::new(
                    format!("{at}/facts/{i}/pointer"),
                    format!("`{}` is no JSON pointer", fact.pointer),
                    hint,
                ));
            }
        }
        for (i, rule) in policy.rules.iter().enumerate() {
            if rule.for_each.as_deref().is_some_and(|list| !pointer(list)) {
                faults.push(Fault::new(format!("{at}/rules/{i}/for_each"), "it is no JSON pointer", "as in RFC 6901: `/items`"));
            }
            for (part, condition) in [("when", rule.when.as_ref()), ("then", Some(&rule.then))] {
                if let Some(condition) = condition {
                    let relative = rule.for_each.is_some();
                    check(condition, &facts, relative, 0, &format!("{at}/rules/{i}/{part}"), faults);
                }
            }
        }
        if policy.output_action == Action::Anonymize || policy.input_action == Action::Anonymize {
            faults.push(Fault::new(at, "a broken rule can't be masked", "`BLOCK` or `NONE`"));
        }
        Self { facts, rules: policy.rules.clone() }
    }

    /// What every rule comes to.
    pub(crate) fn check(&self, result: &Value) -> Vec<(&str, Verdict)> {
        self.rules.iter().map(|rule| (rule.name.as_str(), self.rule(rule, result))).collect()
    }

    fn rule(&self, rule: &Rule, result: &Value) -> Verdict {
        let one = |element: Option<&Value>| {
            let scene = Scene { facts: &self.facts, result, element };
            let when = rule.when.as_ref().map_or(Some(true), |when| scene.holds(when));
            match (when, scene.holds(&rule.then)) {
                (Some(false), _) | (_, Some(true)) => Verdict::Valid,
                (Some(true), Some(false)) => Verdict::Invalid,
                _ => Verdict::Satisfiable,
            }
        };
        let Some(list) = &rule.for_each else { return one(None) };
        let Some(elements) = result.pointer(list).and_then(Value::as_array) else { return Verdict::Satisfiable };
        if elements.len() > ELEMENTS_MAX {
            return Verdict::Satisfiable;
        }
        let mut verdict = Verdict::Valid;
        for element in elements {
            match one(Some(element)) {
                Verdict::Invalid => return Verdict::Invalid,
                Verdict::Satisfiable => verdict = Verdict::Satisfiable,
                Verdict::Valid => {}
            }
        }
        verdict
    }
}

/// What conditions are decided on.
struct Scene<'a> {
    facts: &'a BTreeMap<String, Fact>,
    result: &'a Value,
    element: Option<&'a Value>,
}

impl<'a> Scene<'a> {
    /// Kleene's logic: none where a fact isn't known.
    fn holds(&self, condition: &Condition) -> Option<bool> {
        match condition {
            Condition::All(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| self.holds(part)).collect();
                if parts.contains(&Some(false)) {
                    Some(false)
                } else {
                    parts.into_iter().collect::<Option<Vec<_>>>().map(|_| true)
                }
            }
            Condition::Any(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| self.holds(part)).collect();
                if parts.contains(&Some(true)) {
                    Some(true)
                } else {
                    parts.into_iter().collect::<Option<Vec<_>>>().map(|_| false)
                }
            }
            Condition::Not(part) => self.holds(part).map(|holds| !holds),
            Condition::Known(fact) => Some(self.fact(fact).is_some()),
            Condition::Compare { left, operator, right } => {
                let order = compare(self.term(left)?, self.term(right)?)?;
                Some(match operator {
                    Operator::Equals => order == Ordering::Equal,
                    Operator::NotEquals => order != Ordering::Equal,
                    Operator::LessThan => order == Ordering::Less,
                    Operator::AtMost => order != Ordering::Greater,
                    Operator::GreaterThan => order == Ordering::Greater,
                    Operator::AtLeast => order != Ordering::Less,
                })
            }
        }
    }

    fn term<'t>(&self, term: &'t Term) -> Option<&'t Value>
    where
        'a: 't,
    {
        match term {
            Term::Fact(name) => self.fact(name),
            Term::Value(value) => Some(value),
        }
    }

    fn fact(&self, name: &str) -> Option<&'a Value> {
        let fact = self.facts.get(name)?;
        let value = match fact.pointer.strip_prefix('@') {
            Some(pointer) => self.element?.pointer(pointer)?,
            None => self.result.pointer(&fact.pointer)?,
        };
        let fits = match fact.kind {
            FactType::Number => value.is_number(),
            FactType::String => value.is_string(),
            FactType::Boolean => value.is_boolean(),
        };
        fits.then_some(value)
    }
}

/// Values of one type in order; whole numbers exactly, others as JSON's readers have them.
fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            let whole = |number: &serde_json::Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            match (whole(left), whole(right)) {
                (Some(left), Some(right)) => Some(left.cmp(&right)),
                _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
            }
        }
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn check(condition: &Condition, facts: &BTreeMap<String, Fact>, relative: bool, depth: usize, at: &str, faults: &mut Vec<Fault>) {
    if depth > DEPTH_MAX {
        faults.push(Fault::new(at, "the condition is too deep", format!("at most {DEPTH_MAX} levels")));
        return;
    }
    let known = |name: &str, faults: &mut Vec<Fault>| match facts.get(name) {
        None => faults.push(Fault::new(at, format!("there is no fact `{name}`"), "declare it under `facts`")),
        Some(fact) if fact.pointer.starts_with('@') && !relative => {
            faults.push(Fault::new(at, format!("`{name}` is of an element, and the rule has no list"), "add `for_each`"));
        }
        Some(_) => {}
    };
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            for part in parts {
                check(part, facts, relative, depth + 1, at, faults);
            }
        }
        Condition::Not(part) => check(part, facts, relative, depth + 1, at, faults),
        Condition::Known(fact) => known(fact, faults),
        Condition::Compare { left, right, .. } => {
            for term in [left, right] {
                if let Term::Fact(name) = term {
                    known(name, faults);
                }
            }
        }
    }
}

impl Guardrail {
    /// Checks the rules, if there are any and the text is JSON; a text that isn't leaves every rule undecided.
    pub(crate) fn reason(&self, text: &str, source: Source, effort: Effort, findings: &mut Vec<Finding>, ran: &mut Ran) {
        let (Some(reasoning), Some(action)) = (&self.reasoning, self.side(source).reasoning) else { return };
        if source == Source::Input && action == Action::None {
            return;
        }
        let lap = effort.lap();
        let result = serde_json::from_str(text).unwrap_or(Value::Null);
        for (name, verdict) in reasoning.check(&result) {
            let action = if verdict == Verdict::Valid { Action::None } else { action };
            findings.push(Finding { action, ..found(Kind::Reasoning(verdict), name, 0..0, "") });
        }
        ran.since(Stage::Reasoning, lap);
    }
}
