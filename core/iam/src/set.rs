//! Policies of one layer, compiled: values bound to slots, statements indexed.

use std::sync::Arc;

use crate::{
    bytes,
    condition::Test,
    glob::{Glob, Pattern, Piece},
    index::{Call, Entry, Index, Lead, hash},
    keys::{Context, Keys},
    policy::{Effect, Policy, Resources, Statement},
    principal::{Principal, Principals, Standing},
    target::{Subject, Target},
    truth::Truth,
};

/// The policies of one layer, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {
    rules: Vec<Rule>,
    index: Index,
}

/// A statement ready to be asked.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) statement: Arc<Statement>,
    actions: Calls,
    resources: Reach,
    tests: Box<[Test]>,
    /// Whether the policy is attached to its principal.
    attached: bool,
    /// Whether a condition says that the principal must have a certain ARN.
    by_arn: bool,
}

/// Which actions it is about.
#[derive(Debug, Clone)]
enum Calls {
    All,
    In(Box<[Glob]>),
    NotIn(Box<[Glob]>),
}

/// Which resources it is about.
#[derive(Debug, Clone)]
enum Reach {
    Attached,
    In(Box<[Target]>),
    NotIn(Box<[Target]>),
}

/// What a request asks of a set, prepared once for all sets.
pub(crate) struct Question<'q> {
    pub(crate) principal: &'q Principal<'q>,
    /// In lower case.
    pub(crate) action: &'q [u8],
    pub(crate) action_hash: u64,
    pub(crate) service_hash: u64,
    pub(crate) resource: &'q Subject<'q>,
    pub(crate) context: &'q Context<'q>,
    /// Whether the principal has a permissions boundary.
    pub(crate) bounded: bool,
}

/// The longest action, in bytes.
pub(crate) const ACTION_BYTES_MAX: usize = 128;

impl<'q> Question<'q> {
    /// `action` in lower case.
    pub(crate) fn new(
        principal: &'q Principal<'q>,
        action: &'q [u8],
        resource: &'q Subject<'q>,
        context: &'q Context<'q>,
        bounded: bool,
    ) -> Self {
        let service = action.get(..bytes::find(action, b':').unwrap_or(action.len())).unwrap_or_default();
        let (action_hash, service_hash) = (hash(action), hash(service));
        Self { principal, action, action_hash, service_hash, resource, context, bounded }
    }
}

/// What a set answers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answer<'s> {
    pub(crate) denied: Option<&'s Arc<Statement>>,
    pub(crate) allowed: Option<&'s Arc<Statement>>,
    /// How the policy of a resource names the principal that it allows, at best.
    pub(crate) standing: Option<Standing>,
}

impl PolicySet {
    /// Compiles policies; the context keys that they name are added to `keys`.
    pub fn compile(keys: &mut Keys, policies: &[Arc<Policy>]) -> Self {
        let statements = policies.iter().flat_map(|policy| policy.statements());
        let mut rules: Vec<Rule> = statements.map(|statement| Rule::compile(statement, keys)).collect();
        rules.sort_by_key(|rule| rule.statement.effect == Effect::Allow);
        let entries: Vec<Entry> =
            rules.iter().enumerate().filter_map(|(id, rule)| Some(rule.entry(u32::try_from(id).ok()?))).collect();
        Self { index: Index::build(&entries), rules }
    }

    /// How many statements it has.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether it has no statement: then it allows nothing.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Asks the statements that the index finds. The answer has to be empty.
    pub(crate) fn ask<'s>(&'s self, question: &Question<'_>, answer: &mut Answer<'s>) {
        let found = self.index.find(question.action, question.action_hash, question.service_hash);
        found.visit(true, &question.resource.marks, |ids, certain| self.denies(ids, certain, question, answer));
        if answer.denied.is_none() {
            found.visit(false, &question.resource.marks, |ids, certain| self.allows(ids, certain, question, answer));
        }
    }

    /// Whether one of these denies.
    fn denies<'s>(&'s self, ids: &[u32], certain: bool, question: &Question<'_>, answer: &mut Answer<'s>) -> bool {
        let mut rules = ids.iter().filter_map(|id| self.rules.get(*id as usize));
        let lenient = question.context.is_lenient();
        let applies = |truth: Truth| if lenient { truth == Truth::Yes } else { truth != Truth::No };
        let rule = rules.find(|rule| (certain || rule.action(question)) && applies(rule.truth(question)));
        answer.denied = rule.map(|rule| &rule.statement);
        rule.is_some()
    }

    /// Whether one of these allows, and no other could do it better.
    fn allows<'s>(&'s self, ids: &[u32], certain: bool, question: &Question<'_>, answer: &mut Answer<'s>) -> bool {
        let lenient = question.context.is_lenient();
        let applies = |truth: Truth| if lenient { truth != Truth::No } else { truth == Truth::Yes };
        for rule in ids.iter().filter_map(|id| self.rules.get(*id as usize)) {
            if !((certain || rule.action(question)) && applies(rule.truth(question))) {
                continue;
            }
            let standing = rule.standing(question);
            if answer.allowed.is_none() || standing > answer.standing {
                (answer.allowed, answer.standing) = (Some(&rule.statement), standing);
            }
            // Where the policy is attached to the principal, one is as good as another.
            if standing.is_none() || standing == Some(Standing::Own) {
                return true;
            }
        }
        false
    }
}

impl Rule {
    fn compile(statement: &Arc<Statement>, keys: &mut Keys) -> Self {
        let globs: Box<[Glob]> = statement.actions.patterns.iter().map(|pattern| Glob::compile(pattern, keys)).collect();
        let actions = match statement.actions.not {
            true => Calls::NotIn(globs),
            false if globs.iter().any(|glob| matches!(glob, Glob::Any)) => Calls::All,
            false => Calls::In(globs),
        };
        let mut targets = |patterns: &[Pattern]| patterns.iter().map(|pattern| Target::compile(pattern, keys)).collect();
        let resources = match &statement.resources {
            Resources::Attached => Reach::Attached,
            Resources::In(patterns) => Reach::In(targets(patterns)),
            Resources::NotIn(patterns) => Reach::NotIn(targets(patterns)),
        };
        Self {
            actions,
            resources,
            tests: statement.conditions.iter().map(|condition| Test::compile(condition, keys)).collect(),
            attached: statement.principals == Principals::Attached,
            by_arn: statement
                .conditions
                .iter()
                .any(|condition| condition.operator.names() && condition.key.eq_ignore_ascii_case("aws:PrincipalArn")),
            statement: Arc::clone(statement),
        }
    }

    fn entry(&self, id: u32) -> Entry {
        let calls = match self.actions {
            Calls::In(_) => self.statement.actions.patterns.iter().map(call).collect(),
            Calls::All | Calls::NotIn(_) => vec![Call::Any],
        };
        let leads = match &self.resources {
            Reach::In(targets) => targets.iter().map(Target::literal).map(|(text, whole)| Lead::of(text, whole)).collect(),
            Reach::Attached | Reach::NotIn(_) => vec![Lead::Any],
        };
        Entry { id, denies: self.statement.effect == Effect::Deny, calls, leads }
    }

    /// Whether the statement applies, if it is about the action.
    #[inline]
    fn truth(&self, question: &Question<'_>) -> Truth {
        let mut truth = self.resource(question);
        if truth != Truth::No {
            truth = truth.and(self.principal(question));
        }
        for test in &self.tests {
            if truth == Truth::No {
                break;
            }
            truth = truth.and(test.holds(question.context));
        }
        truth
    }

    #[inline]
    pub(crate) fn action(&self, question: &Question<'_>) -> bool {
        let any = |globs: &[Glob]| globs.iter().any(|glob| glob.matches_ascii(question.action, question.context));
        match &self.actions {
            Calls::All => true,
            Calls::In(globs) => any(globs),
            Calls::NotIn(globs) => !any(globs),
        }
    }

    #[inline]
    pub(crate) fn resource(&self, question: &Question<'_>) -> Truth {
        let any = |targets: &[Target]| {
            let mut truth = Truth::No;
            for target in targets {
                truth = truth.or(target.matches(question.resource, question.context));
                if truth == Truth::Yes {
                    break;
                }
            }
            truth
        };
        match &self.resources {
            Reach::Attached => Truth::Yes,
            Reach::In(targets) => any(targets),
            // That none matches must not rest on a variable without a value.
            Reach::NotIn(targets) => match any(targets) {
                Truth::No if targets.iter().any(|target| target.is_unresolved(question.context)) => Truth::Maybe,
                truth => truth.negate(),
            },
        }
    }

    #[inline]
    pub(crate) fn principal(&self, question: &Question<'_>) -> Truth {
        if self.attached { Truth::Yes } else { self.statement.principals.matches(question.principal, question.bounded) }
    }

    pub(crate) fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// How the statement names the principal.
    ///
    /// "Identity-based policy types, such as permissions boundaries or session policies, do not limit permissions granted
    /// using the aws:PrincipalArn condition key with a wildcard(*) in the Principal element" (Principal, "IAM role principals").
    #[inline]
    pub(crate) fn standing(&self, question: &Question<'_>) -> Option<Standing> {
        if self.attached {
            return None;
        }
        match self.statement.principals.standing(question.principal) {
            Some(Standing::Everyone) if self.by_arn => Some(Standing::EveryoneByArn),
            standing => standing,
        }
    }
}

/// How the index finds a pattern of actions.
fn call(pattern: &Pattern) -> Call {
    match pattern.0.as_slice() {
        [Piece::Text(name)] => Call::Named(name.clone()),
        [Piece::Text(head), ..] => match head.split_once(':') {
            Some((service, _)) => Call::Service(service.into()),
            None => Call::Any,
        },
        _ => Call::Any,
    }
}
