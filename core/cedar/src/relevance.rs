//! Which events a temporal condition can tell apart.
//!
//! A condition that looks back for matching events alone is blind to all others: its monitor needn't see them. So tools without
//! temporal rules pay nothing, and a rule's monitor steps on the events of its own tools. Where that can't be shown (`previous`, a
//! negation without an event beside it, arithmetic on timepoints), a condition sees everything.

use std::collections::BTreeSet;

use dogwood_language::temporal_ast::{AggExprKind, Condition, ConditionKind, Predicate, Term, WithinSpec};

/// The actions whose events matter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Watched {
    /// Every action's.
    All,
    /// These, by qualified name: `AgentCore::Action::server___tool`.
    Some(BTreeSet<String>),
}

impl Watched {
    fn none() -> Self {
        Self::Some(BTreeSet::new())
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Some(mut all), Self::Some(others)) => {
                all.extend(others);
                Self::Some(all)
            }
            _ => Self::All,
        }
    }

    /// Whether an action's events matter.
    pub(crate) fn has(&self, action: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(actions) => actions.contains(action),
        }
    }
}

/// What a condition depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relevance {
    pub(crate) watched: Watched,
    /// Actions whose results it reads.
    pub(crate) outputs: BTreeSet<String>,
    /// Whether it counts or sums.
    pub(crate) counts: bool,
    /// How far it looks back, in seconds.
    pub(crate) window_secs: u64,
}

impl Relevance {
    /// `is_action` tells actions from groups of actions.
    pub(crate) fn of(condition: &Condition, is_action: &dyn Fn(&str) -> bool) -> Self {
        let mut seen = Seen::default();
        seen.walk(condition);
        // A timepoint's number depends on how many events were seen.
        let counted = seen.timepoints && seen.arithmetic;
        let watched =
            if counted || seen.actions.iter().any(|action| !is_action(action)) { Watched::All } else { watched(condition) };
        Self { watched, outputs: seen.outputs, counts: seen.counts, window_secs: window(condition) }
    }
}

/// The qualified names of all actions that a condition speaks of.
pub(crate) fn actions(condition: &Condition) -> BTreeSet<String> {
    let mut seen = Seen::default();
    seen.walk(condition);
    seen.actions
}

/// The qualified name of an action.
pub(crate) fn action_name(namespace: &[String], action: &str) -> String {
    if namespace.is_empty() { format!("Action::{action}") } else { format!("{}::{action}", namespace.join("::")) }
}

fn name(predicate: &Predicate) -> String {
    action_name(&predicate.namespace, &predicate.action)
}

/// What everything in a condition says, wherever it stands.
#[derive(Default)]
struct Seen {
    actions: BTreeSet<String>,
    outputs: BTreeSet<String>,
    timepoints: bool,
    arithmetic: bool,
    counts: bool,
}

impl Seen {
    fn walk(&mut self, condition: &Condition) {
        match &condition.kind {
            ConditionKind::Predicate(predicate) => {
                self.actions.insert(name(predicate));
                if predicate.args.iter().any(|arg| arg.name == "output" || arg.name.starts_with("output.")) {
                    self.outputs.insert(name(predicate));
                }
            }
            ConditionKind::Comparison { left, right, .. } => {
                for term in [left, right] {
                    self.term(term);
                    term.for_each_operand_agg(&mut |_| self.counts = true);
                }
            }
            ConditionKind::Tp { .. } => self.timepoints = true,
            _ => {}
        }
        parts(condition).into_iter().for_each(|part| self.walk(part));
    }

    fn term(&mut self, term: &Term) {
        if let Term::Arith { left, right, .. } = term {
            self.arithmetic = true;
            self.term(left);
            self.term(right);
        }
    }
}

/// The conditions directly in a condition, those of its aggregates with them.
fn parts(condition: &Condition) -> Vec<&Condition> {
    match &condition.kind {
        ConditionKind::And { left, right } | ConditionKind::Or { left, right } | ConditionKind::Since { left, right, .. } => {
            vec![left, right]
        }
        ConditionKind::Not { inner: body }
        | ConditionKind::Formerly { body, .. }
        | ConditionKind::Previous { body, .. }
        | ConditionKind::Exists { body, .. }
        | ConditionKind::Refine { base: body, .. } => vec![body],
        ConditionKind::Comparison { left, right, .. } => {
            let mut bodies = Vec::new();
            for term in [left, right] {
                term.for_each_operand_agg(&mut |aggregate| match &aggregate.kind {
                    AggExprKind::Sum { body, .. } | AggExprKind::Count { body, .. } => bodies.push(&**body),
                    AggExprKind::Call(_) => {}
                });
            }
            bodies
        }
        ConditionKind::Predicate(_) | ConditionKind::Tp { .. } | ConditionKind::Call(_) | ConditionKind::SigilRef { .. } => {
            Vec::new()
        }
    }
}

/// The events that change what a condition's past operators remember.
fn watched(condition: &Condition) -> Watched {
    let inner = || parts(condition).into_iter().map(watched).fold(Watched::none(), Watched::and);
    match &condition.kind {
        ConditionKind::Formerly { body, .. } => anchor(body).map_or(Watched::All, |actions| inner().and(Watched::Some(actions))),
        // "Not since": what is negated ends it, what is on the right begins it, and everything else leaves it as it is.
        ConditionKind::Since { left, right, .. } => match (&left.kind, anchor(right)) {
            (ConditionKind::Not { inner: ends }, Some(begins)) => {
                anchor(ends).map_or(Watched::All, |ends| inner().and(Watched::Some(begins)).and(Watched::Some(ends)))
            }
            _ => Watched::All,
        },
        ConditionKind::Previous { .. } | ConditionKind::Call(_) | ConditionKind::SigilRef { .. } => Watched::All,
        _ => inner(),
    }
}

/// The actions without whose event a condition is false at a timepoint; `None` if it can hold at any.
fn anchor(condition: &Condition) -> Option<BTreeSet<String>> {
    match &condition.kind {
        ConditionKind::Predicate(predicate) => Some(BTreeSet::from([name(predicate)])),
        ConditionKind::And { left, right } => anchor(left).or_else(|| anchor(right)),
        ConditionKind::Or { left, right } => Some(anchor(left)?.into_iter().chain(anchor(right)?).collect()),
        ConditionKind::Exists { body, .. } | ConditionKind::Refine { base: body, .. } => anchor(body),
        _ => None,
    }
}

/// The longest look-back: windows within windows add up.
fn window(condition: &Condition) -> u64 {
    let own = match &condition.kind {
        ConditionKind::Formerly { within, .. } | ConditionKind::Previous { within, .. } | ConditionKind::Since { within, .. } => {
            match within {
                WithinSpec::Concrete(interval) => u64::try_from(interval.seconds()).unwrap_or_default(),
                WithinSpec::ParamRef(_) => u64::MAX,
            }
        }
        _ => 0,
    };
    let inner = parts(condition).into_iter().map(window).max().unwrap_or_default();
    own.saturating_add(inner)
}
