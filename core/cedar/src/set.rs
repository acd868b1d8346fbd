//! Rules compiled against a vocabulary, sliced by action.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;
use std::sync::{Arc, LazyLock, OnceLock};

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, PolicyId, PolicySet as CedarSet};
use dogwood_language::{Distincter, Error, ExtensionId, LoweredPolicySet, ParsedPolicySet, PolicySchema, lower_many};

use crate::NAMESPACE;
use crate::answer::CONTEXT_FACTS;
use crate::check::{Check, Subject};
use crate::excerpt::{Excerpt, Parts};
use crate::history::{Conditions, OfRule, action};
use crate::memory::Memory;
use crate::reads::Reads;
use crate::source::{Fault, Mode, Rule, RuleEffect, Source, located};
use crate::vocabulary::{Tool, Vocabulary};

/// A rule that doesn't fit the tools as they are: it permits nothing and, if it forbids, forbids everything in its scope. What a rule
/// means that compares a number with a text, or looks for a field that no tool has, nobody can tell; Cedar would take it for false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where, and what.
    pub fault: Fault,
    /// The rule's name, if it is of one rule.
    pub rule: Option<String>,
}

/// A policy set, ready for decisions. Equal inputs give equal sets.
pub struct PolicySet {
    pub(crate) source: Arc<Source>,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) gateway: String,
    /// Slices by action, such as `AgentCore::Action::"server___tool"`.
    pub(crate) slices: HashMap<EntityUid, Arc<Slice>>,
    /// The same by the tool's name: to make an action of it takes longer than to look it up.
    by_tool: HashMap<String, Arc<Slice>>,
    /// Whether any of them reads what sessions have touched.
    reads_origin: bool,
    pub(crate) rule_of: HashMap<PolicyId, usize>,
    pub(crate) lowered: LoweredPolicySet,
    pub(crate) conditions: Conditions,
    /// Answers that were given, where they are remembered.
    pub(crate) memory: OnceLock<Memory>,
    findings: Vec<Finding>,
}

/// The rules that could speak of one action.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) active: CedarSet,
    /// The same with the rules that are only logged, where there are any.
    pub(crate) shadow: Option<CedarSet>,
    /// Temporal conditions that they read.
    pub(crate) leaves: BTreeSet<ExtensionId>,
    /// Those that only rules read that are only logged.
    pub(crate) shadow_leaves: BTreeSet<ExtensionId>,
    /// The action, its groups and the gateway.
    pub(crate) entities: Vec<Entity>,
    /// Forbidding rules that can't be evaluated.
    pub(crate) broken: Vec<usize>,
    /// What its rules read of a call.
    pub(crate) readers: Readers,
}

/// What rules read of a call: what none reads, enforced or only logged, a decision doesn't put together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readers {
    /// Whether an enforced rule speaks of the tool's result.
    pub(crate) output: bool,
    /// Whether one reads `context.system`.
    pub(crate) system: bool,
    /// Whether one speaks of the action's groups.
    pub(crate) entities: bool,
    /// Which of Remit's own facts they read, and which arguments.
    pub(crate) facts: Reads,
    /// The names of those of Remit's own facts.
    pub(crate) names: Vec<&'static str>,
}

impl Readers {
    /// Adds a rule. `groups` are those of the action that it is asked about.
    fn add(&mut self, subject: &Subject, mode: Mode, groups: &[EntityUid]) {
        let reads = &subject.reads;
        self.output |= mode == Mode::Active && reads.output();
        self.system |= reads.everything || reads.of_context.contains("system");
        self.entities |= reads.actions || subject.scope.iter().flatten().any(|uid| groups.contains(uid));
        self.facts.add_facts(reads);
    }
}

impl std::fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicySet")
            .field("rules", &self.source.rules.len())
            .field("actions", &self.slices.len())
            .finish_non_exhaustive()
    }
}

/// A rule that lowering refused.
pub(crate) struct Broken {
    rule: usize,
    faults: Vec<Fault>,
}

impl PolicySet {
    /// Compiles a set for a space: `gateway` is its ARN. Never fails: a rule that can't be read against the tools is named in
    /// [`PolicySet::findings`], permits nothing and, if it forbids, forbids all that is in its scope.
    pub fn compile(source: &Arc<Source>, tools: &[Tool<'_>], gateway: &str) -> Self {
        let vocabulary = Vocabulary::of(tools);
        Self::compile_with(source, vocabulary, gateway, true)
    }

    /// Whether this is what [`PolicySet::compile`] would make of the same.
    pub fn is_of(&self, source: &Source, tools: &[Tool<'_>], gateway: &str) -> bool {
        *self.source == *source && self.gateway == gateway && self.vocabulary == Vocabulary::of(tools)
    }

    /// `validated`: whether a rule that doesn't validate is broken; Dogwood's corpora hold some that are evaluated nevertheless.
    pub(crate) fn compile_with(source: &Arc<Source>, vocabulary: Vocabulary, gateway: &str, validated: bool) -> Self {
        let parts = Parts::of(source);
        let (lowered, refused, rule_of, schema_fault) = lower(source, &parts, &vocabulary.schema);
        let mut findings: Vec<Finding> = schema_fault.into_iter().collect();
        for broken in &refused {
            let rule = source.rules.get(broken.rule).map(|rule| rule.id.clone());
            findings.extend(broken.faults.iter().map(|fault| Finding { fault: fault.clone(), rule: rule.clone() }));
        }
        let mut broken: BTreeSet<usize> = refused.iter().map(|broken| broken.rule).collect();
        let subjects = Subject::all(&lowered, &rule_of);
        if validated {
            let check = Check { source, parts: &parts, vocabulary: &vocabulary, lowered: &lowered };
            for told in check.told(&subjects) {
                broken.extend(&told.rules);
                let Some(file) = source.files.get(told.file) else { continue };
                let rule = if let [one] = told.rules.as_slice() { source.rules.get(*one) } else { None };
                let fault = Fault::at(file, told.at, told.what, told.mend);
                findings.push(Finding { fault, rule: rule.map(|rule| rule.id.clone()) });
            }
        }
        let mut unwatched = BTreeSet::new();
        for (leaf, what) in conditions(source, &lowered, &rule_of, &broken, &unwatched).faults() {
            let rule = rule_of_leaf(&rule_of, &leaf);
            unwatched.extend(rule);
            if rule.is_some_and(|rule| !broken.insert(rule)) {
                continue;
            }
            let rule = rule.and_then(|rule| source.rules.get(rule));
            let (path, line) = rule.and_then(|rule| rule.origin.rsplit_once(':')).unwrap_or_default();
            let fault = Fault { path: path.to_owned(), line: line.parse().unwrap_or(1), column: 1, what, mend: None };
            findings.push(Finding { fault, rule: rule.map(|rule| rule.id.clone()) });
        }
        let conditions = conditions(source, &lowered, &rule_of, &broken, &unwatched);
        let mut set = Self {
            source: Arc::clone(source),
            vocabulary,
            gateway: gateway.to_owned(),
            slices: HashMap::new(),
            by_tool: HashMap::new(),
            reads_origin: false,
            rule_of,
            lowered,
            conditions,
            memory: OnceLock::new(),
            findings,
        };
        set.slices = set.slice(&subjects, &broken);
        set.reads_origin = set.slices.values().any(|slice| slice.readers.facts.origin());
        let of_tool = |tool: &String| Some((tool.clone(), Arc::clone(set.slices.get(&action_uid(tool)?)?)));
        set.by_tool = set.vocabulary.actions.keys().filter_map(of_tool).collect();
        set
    }

    /// What operators should know.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Its rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.source.rules
    }

    /// Whether the whole set is enforced.
    pub fn mode(&self) -> Mode {
        self.source.mode
    }

    /// Its texts.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The schema of its vocabulary, as Cedar writes it.
    pub fn schema(&self) -> &str {
        &self.vocabulary.schema
    }

    /// Whether any of its rules has a temporal condition, one that doesn't fit the tools now with them.
    pub fn looks_back(&self) -> bool {
        !self.conditions.groups.is_empty()
    }

    /// Whether a decision about this tool reads the history.
    pub fn needs_history(&self, tool: &str) -> bool {
        self.slice_of(tool).is_some_and(|slice| !slice.leaves.is_empty() || !slice.shadow_leaves.is_empty())
    }

    /// Whether what is done with this tool matters to a temporal condition.
    pub fn watches(&self, tool: &str) -> bool {
        !self.conditions.is_empty() && self.conditions.watches(&action(tool))
    }

    /// Whether a temporal condition reads the tool's results.
    pub fn watches_output(&self, tool: &str) -> bool {
        self.conditions.watches_output(&action(tool))
    }

    /// What policies can see of a tool's arguments: the properties that its schema gives a type.
    pub fn visible_input(&self, tool: &str, arguments: &serde_json::Value) -> serde_json::Value {
        self.vocabulary.actions.get(tool).map_or(serde_json::Value::Null, |action| action.input.pruned(arguments))
    }

    /// Whether a rule speaks of the tool's result: it is asked again when the result is there.
    pub fn reads_output(&self, tool: &str) -> bool {
        self.slice_of(tool).is_some_and(|slice| slice.readers.output)
    }

    /// Whether a rule reads what sessions have touched, or what stands behind arguments.
    pub fn reads_origin(&self) -> bool {
        self.reads_origin
    }

    /// How many rules could speak of a tool.
    pub fn rules_of(&self, tool: &str) -> usize {
        self.slice_of(tool).map_or(0, |slice| slice.shadow.as_ref().unwrap_or(&slice.active).num_of_policies())
    }

    /// How far back a temporal condition looks at most, in seconds.
    pub fn window_secs(&self) -> u64 {
        self.conditions.window_secs()
    }

    pub(crate) fn slice_of(&self, tool: &str) -> Option<&Slice> {
        self.by_tool.get(tool).map(Arc::as_ref)
    }

    fn slice(&self, subjects: &[Subject], broken: &BTreeSet<usize>) -> HashMap<EntityUid, Arc<Slice>> {
        let schema = self.lowered.cedar_schema();
        let Ok(entities) = schema.action_entities() else { return HashMap::new() };
        let mut anywhere = Vec::new();
        let mut by_action: HashMap<EntityUid, Vec<PolicyId>> = HashMap::new();
        let mut read_everywhere = Readers::default();
        let mut subject_of: HashMap<&PolicyId, &Subject> = HashMap::new();
        for subject in subjects.iter().filter(|subject| !broken.contains(&subject.rule)) {
            match &subject.scope {
                None => {
                    anywhere.push(subject.id.clone());
                    read_everywhere.add(subject, self.mode_of(&subject.id), &[]);
                }
                Some(uids) => {
                    subject_of.insert(&subject.id, subject);
                    uids.iter().for_each(|uid| by_action.entry(uid.clone()).or_default().push(subject.id.clone()));
                }
            }
        }
        let forbids = self.broken_forbids(broken);
        let mut leaves_of: HashMap<usize, Vec<ExtensionId>> = HashMap::new();
        for leaf in self.lowered.temporal_fields() {
            if let Some(rule) = rule_of_leaf(&self.rule_of, &leaf.id) {
                leaves_of.entry(rule).or_default().push(leaf.id.clone());
            }
        }
        let gateway = kind("Gateway").map(|kind| EntityUid::from_type_name_and_id(kind, EntityId::new(&self.gateway)));
        // What is in every slice is put together once.
        let everywhere = |log_too: bool| {
            let ids = anywhere.iter().filter(|id| log_too || self.mode_of(id) == Mode::Active);
            self.with(&CedarSet::new(), ids)
        };
        let (active_everywhere, all_everywhere) = (everywhere(false), everywhere(true));
        let mut slices = HashMap::new();
        for action in schema.actions() {
            let ancestors: Vec<EntityUid> = entities.ancestors(action).into_iter().flatten().cloned().collect();
            let here: BTreeSet<&PolicyId> =
                std::iter::once(action).chain(&ancestors).filter_map(|uid| by_action.get(uid)).flatten().collect();
            let ids = || anywhere.iter().chain(here.iter().copied());
            let is_active = |id: &&PolicyId| self.mode_of(id) == Mode::Active;
            let mut readers = read_everywhere.clone();
            let subjects_here = here.iter().filter_map(|id| subject_of.get(*id));
            subjects_here.for_each(|subject| readers.add(subject, self.mode_of(&subject.id), &ancestors));
            readers.names = CONTEXT_FACTS.into_iter().filter(|name| readers.facts.fact(name)).collect();
            let kept = ancestors.iter().chain([action]).filter_map(|uid| entities.get(uid).cloned());
            let leaves = |mode: Mode| -> BTreeSet<ExtensionId> {
                let of_mode = ids().filter(|id| self.mode_of(id) == mode).filter_map(|id| self.rule_of.get(id));
                of_mode.filter_map(|rule| leaves_of.get(rule)).flatten().cloned().collect()
            };
            let slice = Slice {
                active: self.with(&active_everywhere, here.iter().copied().filter(is_active)),
                shadow: ids().any(|id| !is_active(&id)).then(|| self.with(&all_everywhere, here.iter().copied())),
                leaves: leaves(Mode::Active),
                shadow_leaves: leaves(Mode::LogOnly),
                entities: kept.chain(gateway.clone().map(Entity::with_uid)).collect(),
                broken: forbids.iter().filter(|(_, scope)| scope.has(action, &ancestors)).map(|(rule, _)| *rule).collect(),
                readers,
            };
            slices.insert(action.clone(), Arc::new(slice));
        }
        slices
    }

    fn mode_of(&self, id: &PolicyId) -> Mode {
        self.rule_of.get(id).and_then(|rule| self.source.rules.get(*rule)).map_or(Mode::Active, |rule| rule.mode)
    }

    /// A set with some policies more. No two have one id, so none is left out.
    fn with<'a>(&self, set: &CedarSet, ids: impl Iterator<Item = &'a PolicyId>) -> CedarSet {
        let mut set = set.clone();
        for policy in ids.filter_map(|id| self.lowered.as_cedar().policy(id)) {
            if set.add(policy.clone()).is_err() {
                return CedarSet::new();
            }
        }
        set
    }

    /// Rules that can't be evaluated, are active and forbid, each with the actions of which it might have spoken.
    fn broken_forbids(&self, broken: &BTreeSet<usize>) -> Vec<(usize, Scope)> {
        let forbids = |rule: &Rule| rule.effect == RuleEffect::Forbid && rule.mode == Mode::Active;
        let mut places: HashMap<(usize, usize), usize> = HashMap::new();
        for number in broken {
            if let Some(rule) = self.source.rules.get(*number).filter(|rule| forbids(rule)) {
                places.insert(rule.place, *number);
            }
        }
        let mut found = Vec::new();
        for (file, parsed) in self.source.parsed.iter().enumerate() {
            for (at, policy) in parsed.policies().enumerate() {
                let Some(rule) = places.remove(&(file, at)) else { continue };
                let scope = match policy.scope().action() {
                    dogwood_language::ActionConstraint::Any => Scope::Any,
                    dogwood_language::ActionConstraint::Eq(uid) => Scope::In(vec![uid.clone()]),
                    dogwood_language::ActionConstraint::In(uids) => Scope::In(uids.clone()),
                };
                found.push((rule, scope));
            }
        }
        // Where it stands can't be told: it is taken to stand for everything.
        found.extend(places.into_values().map(|rule| (rule, Scope::Any)));
        found.sort_by_key(|(rule, _)| *rule);
        found
    }
}

/// The actions in a rule's scope.
enum Scope {
    Any,
    In(Vec<EntityUid>),
}

impl Scope {
    fn has(&self, action: &EntityUid, ancestors: &[EntityUid]) -> bool {
        match self {
            Self::Any => true,
            Self::In(uids) => uids.iter().any(|uid| uid == action || ancestors.contains(uid)),
        }
    }
}

/// The rule that a temporal condition is of.
fn rule_of_leaf(rule_of: &HashMap<PolicyId, usize>, leaf: &str) -> Option<usize> {
    let (policy, _) = leaf.rsplit_once("__temporal_")?;
    rule_of.get(&PolicyId::new(policy)).copied()
}

/// The action of a tool.
pub(crate) fn action_uid(tool: &str) -> Option<EntityUid> {
    Some(EntityUid::from_type_name_and_id(kind("Action")?, EntityId::new(tool)))
}

/// The vocabulary's type of this name; names are read once, for that takes longer than a decision.
pub(crate) fn kind(name: &str) -> Option<EntityTypeName> {
    static KINDS: LazyLock<HashMap<&'static str, EntityTypeName>> = LazyLock::new(|| {
        let kinds = ["Action", "Gateway", "OAuthUser", "IamEntity"];
        kinds
            .into_iter()
            .filter_map(|name| Some((name, EntityTypeName::from_str(&format!("{NAMESPACE}::{name}")).ok()?)))
            .collect()
    });
    KINDS.get(name).cloned()
}

pub(crate) type Lowered = (LoweredPolicySet, Vec<Broken>, HashMap<PolicyId, usize>, Option<Finding>);

/// Lowers all rules, each file at once; where that fails, all that can be.
pub(crate) fn lower(source: &Source, parts: &[Parts], schema: &str) -> Lowered {
    let (schema, fault) = match PolicySchema::from_cedarschema_str(schema) {
        Ok(schema) => (schema, None),
        Err(error) => {
            let fault =
                Fault { path: String::new(), line: 1, column: 1, what: format!("the tools have no schema: {error}"), mend: None };
            (empty_schema(), Some(Finding { fault, rule: None }))
        }
    };
    let file_entry = |at: usize| Some((source.parsed.get(at)?, Distincter::from_str(&format!("f{at}")).ok()?));
    let mut whole: Vec<usize> =
        (0..source.files.len()).filter(|at| source.parsed.get(*at).is_some_and(|parsed| parsed.policy_count() > 0)).collect();
    let (mut singles, mut broken) = (Vec::new(), Vec::new());
    let lower_whole = |whole: &[usize], singles: &[(usize, ParsedPolicySet)]| {
        let mut entries: Vec<(&ParsedPolicySet, Distincter)> =
            whole.iter().filter_map(|at| file_entry(*at)).map(|(parsed, name)| (&**parsed, name)).collect();
        entries
            .extend(singles.iter().filter_map(|(rule, parsed)| Some((parsed, Distincter::from_str(&format!("r{rule}")).ok()?))));
        lower_some(source, &entries, &schema)
    };
    let lowered = if let Ok(lowered) = lower_whole(&whole, &singles) {
        lowered
    } else {
        let (fine, bad): (Vec<usize>, Vec<usize>) = whole.iter().partition(|at| lower_whole(&[**at], &[]).is_ok());
        whole = fine;
        for at in bad {
            let mut rules = single_rules(source, parts, at);
            let refused = refused(source, parts, &schema, &rules);
            let numbers: BTreeSet<usize> = refused.iter().map(|broken| broken.rule).collect();
            rules.retain(|(rule, _)| !numbers.contains(rule));
            broken.extend(refused);
            singles.extend(rules);
        }
        // What can be lowered apart can be lowered together; should it not, nothing is permitted.
        lower_whole(&whole, &singles).unwrap_or_else(|_| {
            broken.extend((0..source.rules.len()).map(|rule| Broken { rule, faults: Vec::new() }));
            whole.clear();
            singles.clear();
            nothing(source, &schema)
        })
    };
    let singles: BTreeSet<usize> = singles.iter().map(|(rule, _)| *rule).collect();
    let mut rule_of = HashMap::new();
    for (index, rule) in source.rules.iter().enumerate() {
        let (file, at) = rule.place;
        if whole.contains(&file) {
            rule_of.insert(PolicyId::new(format!("f{file}_{at}")), index);
        } else if singles.contains(&index) {
            rule_of.insert(PolicyId::new(format!("r{index}_0")), index);
        }
    }
    (lowered, broken, rule_of, fault)
}

fn lower_some(
    source: &Source,
    entries: &[(&ParsedPolicySet, Distincter)],
    schema: &PolicySchema,
) -> Result<LoweredPolicySet, Error> {
    if entries.is_empty() {
        return ParsedPolicySet::parse("", &source.service)?.lower(schema);
    }
    lower_many(entries, schema)
}

fn empty_schema() -> PolicySchema {
    let schema = Vocabulary::of(&[]).schema;
    PolicySchema::from_cedarschema_str(&schema).unwrap_or_else(|error| unreachable!("the schema of no tools: {error}"))
}

fn nothing(source: &Source, schema: &PolicySchema) -> LoweredPolicySet {
    let parsed = ParsedPolicySet::parse("", &source.service).and_then(|parsed| parsed.lower(schema));
    parsed.unwrap_or_else(|error| unreachable!("a set without rules: {error}"))
}

/// Each rule of a file with the file's definitions, parsed by itself.
fn single_rules(source: &Source, parts: &[Parts], at: usize) -> Vec<(usize, ParsedPolicySet)> {
    let of_file = source.rules.iter().enumerate().filter(|(_, rule)| rule.place.0 == at);
    let parsed = of_file.filter_map(|(index, rule)| {
        let excerpt = alone(source, parts, rule)?;
        Some((index, ParsedPolicySet::parse(&excerpt.text, &source.service).ok()?))
    });
    parsed.collect()
}

/// A rule behind its file's definitions.
fn alone(source: &Source, parts: &[Parts], rule: &Rule) -> Option<Excerpt> {
    let (file, place) = rule.place;
    let parts = parts.get(file)?;
    Some(Excerpt::of(source.files.get(file)?, parts, std::iter::once(parts.policies.get(place)?)))
}

/// The rules that lowering refuses, found by halving.
fn refused(source: &Source, parts: &[Parts], schema: &PolicySchema, rules: &[(usize, ParsedPolicySet)]) -> Vec<Broken> {
    let entries: Vec<(&ParsedPolicySet, Distincter)> =
        rules.iter().filter_map(|(rule, parsed)| Some((parsed, Distincter::from_str(&format!("r{rule}")).ok()?))).collect();
    match (lower_some(source, &entries, schema), rules) {
        (Ok(_), _) | (_, []) => Vec::new(),
        (Err(error), [(rule, _)]) => vec![Broken { rule: *rule, faults: faults(source, parts, *rule, &error) }],
        (Err(_), _) => {
            let (left, right) = rules.split_at(rules.len() / 2);
            let mut found = refused(source, parts, schema, left);
            found.extend(refused(source, parts, schema, right));
            found
        }
    }
}

/// An error of a rule that was parsed by itself, with its place in its file.
fn faults(source: &Source, parts: &[Parts], rule: usize, error: &Error) -> Vec<Fault> {
    let Some(rule) = source.rules.get(rule) else { return Vec::new() };
    let Some(file) = source.files.get(rule.place.0) else { return Vec::new() };
    let excerpt = alone(source, parts, rule).unwrap_or_default();
    located(file, &|at| excerpt.place(at), error)
}

/// The temporal conditions of all rules but those of `unwatched` ones. A rule that doesn't fit the tools remembers all the same: when it
/// fits again, as it did before, it must know what happened meanwhile.
fn conditions(
    source: &Source,
    lowered: &LoweredPolicySet,
    rule_of: &HashMap<PolicyId, usize>,
    broken: &BTreeSet<usize>,
    unwatched: &BTreeSet<usize>,
) -> Conditions {
    let schema = lowered.cedar_schema();
    let groups: BTreeSet<&EntityUid> = schema.action_groups().collect();
    let name = |uid: &EntityUid| format!("{}::{}", uid.type_name(), uid.id().unescaped());
    let actions: BTreeSet<String> = schema.actions().filter(|uid| !groups.contains(uid)).map(name).collect();
    let groups: BTreeSet<String> = groups.into_iter().map(name).collect();
    let rule = |leaf: &str| {
        let number = rule_of_leaf(rule_of, leaf)?;
        let rule = source.rules.get(number)?;
        // A rule without a name of its own is known by its text, wherever it stands.
        let name = if rule.is_named { format!("@{}", rule.id) } else { rule.text.clone() };
        Some(OfRule { number, name, scope: rule.scope, mode: rule.mode, fits: !broken.contains(&number) })
    };
    let leaves =
        lowered.temporal_fields().filter(|leaf| rule_of_leaf(rule_of, &leaf.id).is_some_and(|rule| !unwatched.contains(&rule)));
    // What a rule that doesn't fit names and isn't there has no events.
    let is_action = |action: &str, fits: bool| actions.contains(action) || (!fits && !groups.contains(action));
    Conditions::of(leaves.cloned(), rule, &is_action)
}
