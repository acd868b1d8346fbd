//! Policies of one layer, compiled: values bound to slots, statements indexed.

use std::sync::Arc;

use crate::{
    condition::{Test, split_arn},
    glob::{Glob, Pattern, Piece},
    index::{Call, Entry, Index, Lead, Marks, hash},
    keys::{Context, Keys},
    policy::{Effect, Policy, Resources, Statement},
    principal::{Principal, Standing},
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
    not_actions: bool,
    actions: Box<[Glob]>,
    resources: Reach,
    tests: Box<[Test]>,
    /// Whether a condition says that the principal must have a certain ARN.
    by_arn: bool,
}

#[derive(Debug, Clone)]
enum Reach {
    Attached,
    In(Box<[Target]>),
    NotIn(Box<[Target]>),
}

/// A pattern of resources.
#[derive(Debug, Clone)]
struct Target {
    glob: Glob,
    /// Whether a wildcard stands where an ARN names the service.
    any_service: bool,
    /// Whether a wildcard or a variable stands where an ARN has the resource's type.
    any_type: bool,
}

impl Target {
    fn compile(pattern: &Pattern, keys: &mut Keys) -> Self {
        let (any_service, any_type) = wild_places(pattern);
        Self { glob: Glob::compile(pattern, keys), any_service, any_type }
    }

    /// "You can't use a wildcard in the service segment" (IAM JSON policy elements: Resource), nor "in the portion of the ARN
    /// that specifies the resource type" (IAM identifiers): what such a wildcard stands for can't be told.
    fn matches(&self, question: &Question<'_>) -> Truth {
        let truth = self.glob.matches(question.resource, question.context);
        if self.any_service || (self.any_type && question.typed) { truth.and(Truth::Maybe) } else { truth }
    }
}

/// Whether the pattern of an ARN has a wildcard in its service, and whether its last part begins with something else than a
/// type written out, and isn't just `*`. ARNs without region and account, as S3's, have no type.
fn wild_places(pattern: &Pattern) -> (bool, bool) {
    const WILD: char = '\u{1}';
    let mut skeleton = String::new();
    for piece in &pattern.0 {
        match piece {
            Piece::Text(text) => skeleton.push_str(text),
            _ => skeleton.push(WILD),
        }
    }
    let parts: Vec<&str> = skeleton.splitn(6, ':').collect();
    let [_, _, service, region, account, last] = parts.as_slice() else { return (false, false) };
    let head = last.split(['/', ':']).next().unwrap_or_default();
    let all = matches!(pattern.0.last(), Some(Piece::Run)) && last.chars().eq([WILD]);
    let any_type = head.contains(WILD) && !all && !(region.is_empty() && account.is_empty());
    (service.contains(WILD), any_type)
}

/// What a request asks of a set, prepared once for all sets.
pub(crate) struct Question<'q> {
    pub(crate) principal: &'q Principal<'q>,
    /// In lower case.
    pub(crate) action: &'q str,
    pub(crate) action_hash: u64,
    pub(crate) service_hash: u64,
    pub(crate) resource: &'q str,
    pub(crate) marks: Marks,
    pub(crate) context: &'q Context<'q>,
    /// Whether the resource's last part is of the form `type/id` or `type:id`.
    pub(crate) typed: bool,
    /// Whether the principal has a permissions boundary.
    pub(crate) bounded: bool,
}

/// The longest action, in bytes.
pub(crate) const ACTION_BYTES_MAX: usize = 128;

impl<'q> Question<'q> {
    /// `action` in lower case.
    pub(crate) fn new(
        principal: &'q Principal<'q>,
        action: &'q str,
        resource: &'q str,
        context: &'q Context<'q>,
        bounded: bool,
    ) -> Self {
        let service = action.split(':').next().unwrap_or_default();
        Self {
            principal,
            action,
            action_hash: hash(action.as_bytes()),
            service_hash: hash(service.as_bytes()),
            resource,
            marks: Marks::of(resource),
            typed: split_arn(resource).is_some_and(|[.., resource]| resource.contains([':', '/'])),
            context,
            bounded,
        }
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

    /// Asks the statements that the index finds.
    pub(crate) fn ask(&self, question: &Question<'_>) -> Answer<'_> {
        let mut answer = Answer::default();
        self.visit(true, question, |rule| {
            let applies = rule.truth(question) != Truth::No;
            if applies {
                answer.denied = Some(&rule.statement);
            }
            applies
        });
        if answer.denied.is_none() {
            self.visit(false, question, |rule| {
                if rule.truth(question) != Truth::Yes {
                    return false;
                }
                let standing = rule.standing(question);
                if answer.allowed.is_none() || standing > answer.standing {
                    (answer.allowed, answer.standing) = (Some(&rule.statement), standing);
                }
                // Where the policy is attached to the principal, one is as good as another.
                standing.is_none() || standing == Some(Standing::Own)
            });
        }
        answer
    }

    fn visit<'s>(&'s self, denies: bool, question: &Question<'_>, mut visit: impl FnMut(&'s Rule) -> bool) {
        let Question { action_hash, service_hash, marks, .. } = question;
        self.index.visit(denies, *action_hash, *service_hash, marks, |id| {
            usize::try_from(id).ok().and_then(|id| self.rules.get(id)).is_some_and(&mut visit)
        });
    }
}

impl Rule {
    fn compile(statement: &Arc<Statement>, keys: &mut Keys) -> Self {
        let actions = statement.actions.patterns.iter().map(|pattern| Glob::compile(pattern, keys)).collect();
        let mut targets = |patterns: &[Pattern]| patterns.iter().map(|pattern| Target::compile(pattern, keys)).collect();
        let resources = match &statement.resources {
            Resources::Attached => Reach::Attached,
            Resources::In(patterns) => Reach::In(targets(patterns)),
            Resources::NotIn(patterns) => Reach::NotIn(targets(patterns)),
        };
        Self {
            not_actions: statement.actions.not,
            actions,
            resources,
            tests: statement.conditions.iter().map(|condition| Test::compile(condition, keys)).collect(),
            by_arn: statement
                .conditions
                .iter()
                .any(|condition| condition.operator.names() && condition.key.eq_ignore_ascii_case("aws:PrincipalArn")),
            statement: Arc::clone(statement),
        }
    }

    fn entry(&self, id: u32) -> Entry {
        let calls = if self.not_actions { vec![Call::Any] } else { self.statement.actions.patterns.iter().map(call).collect() };
        let leads = match &self.resources {
            Reach::In(targets) => {
                targets.iter().map(|target| target.glob.literal()).map(|(text, whole)| Lead::of(text, whole)).collect()
            }
            Reach::Attached | Reach::NotIn(_) => vec![Lead::Any],
        };
        Entry { id, denies: self.statement.effect == Effect::Deny, calls, leads }
    }

    /// Whether the statement applies.
    fn truth(&self, question: &Question<'_>) -> Truth {
        if !self.action(question) {
            return Truth::No;
        }
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

    pub(crate) fn action(&self, question: &Question<'_>) -> bool {
        // Actions have no variables: a pattern of them matches or not.
        let named = self.actions.iter().any(|glob| glob.matches(question.action, question.context) == Truth::Yes);
        named != self.not_actions
    }

    pub(crate) fn resource(&self, question: &Question<'_>) -> Truth {
        let any = |targets: &[Target]| {
            let mut truth = Truth::No;
            for target in targets {
                truth = truth.or(target.matches(question));
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
                Truth::No if targets.iter().any(|target| target.glob.is_unresolved(question.context)) => Truth::Maybe,
                truth => truth.negate(),
            },
        }
    }

    pub(crate) fn principal(&self, question: &Question<'_>) -> Truth {
        self.statement.principals.matches(question.principal, question.bounded)
    }

    pub(crate) fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// How the statement names the principal.
    ///
    /// "Identity-based policy types, such as permissions boundaries or session policies, do not limit permissions granted
    /// using the aws:PrincipalArn condition key with a wildcard(*) in the Principal element" (Principal, "IAM role principals").
    pub(crate) fn standing(&self, question: &Question<'_>) -> Option<Standing> {
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
