//! Every statement that matched, and those that nearly did, with what was missing.

use std::sync::Arc;

use crate::{
    condition::Condition,
    policy::{Effect, Statement},
    set::{PolicySet, Question, Rule},
    truth::Truth,
};

/// What one layer found, statement by statement. In a set those that deny come first.
#[derive(Debug, Clone, Default)]
pub struct Detail<'a> {
    /// The statements that apply.
    pub matched: Vec<&'a Arc<Statement>>,
    /// Those about the action that fail to apply for one reason: the resource, the principal, or the conditions.
    pub near: Vec<NearMiss<'a>>,
}

/// A statement that would apply but for one reason.
#[derive(Debug, Clone)]
pub struct NearMiss<'a> {
    /// The statement.
    pub statement: &'a Arc<Statement>,
    /// The reason.
    pub missing: Missing<'a>,
}

/// Why a statement doesn't apply.
#[derive(Debug, Clone)]
pub enum Missing<'a> {
    /// It isn't about this resource.
    Resource,
    /// It isn't about this principal.
    Principal,
    /// These conditions don't hold.
    Conditions(Vec<Unmet<'a>>),
}

/// A condition that doesn't hold.
#[derive(Debug, Clone, Copy)]
pub struct Unmet<'a> {
    /// The condition.
    pub condition: &'a Condition,
    /// Whether it is false, or can't be told.
    pub truth: Truth,
}

/// Asks every statement of a set.
pub(crate) fn detail<'a>(set: &'a PolicySet, question: &Question<'_>) -> Detail<'a> {
    let mut detail = Detail::default();
    for rule in set.rules().iter().filter(|rule| rule.action(question)) {
        let needed = if rule.statement.effect == Effect::Deny { Truth::Maybe } else { Truth::Yes };
        let resource = rule.resource(question) >= needed;
        let principal = rule.principal(question) >= needed;
        let unmet = unmet(rule, question, needed);
        let missing = match (resource, principal, unmet.is_empty()) {
            (true, true, true) => {
                detail.matched.push(&rule.statement);
                continue;
            }
            (false, true, true) => Missing::Resource,
            (true, false, true) => Missing::Principal,
            (true, true, false) => Missing::Conditions(unmet),
            _ => continue,
        };
        detail.near.push(NearMiss { statement: &rule.statement, missing });
    }
    detail
}

fn unmet<'a>(rule: &'a Rule, question: &Question<'_>, needed: Truth) -> Vec<Unmet<'a>> {
    let pairs = rule.statement.conditions().iter().zip(rule.tests());
    let truths = pairs.map(|(condition, test)| Unmet { condition, truth: test.holds(question.context) });
    truths.filter(|unmet| unmet.truth < needed).collect()
}
