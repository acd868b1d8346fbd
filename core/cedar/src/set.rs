//! Rules compiled against a vocabulary, sliced by action.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{ActionConstraint, Entity, EntityUid, PolicyId, PolicySet as CedarSet};
use dogwood_language::{
    Distincter, Error, ExtensionId, LoweredPolicySet, ParsedPolicySet, PolicySchema, ValidationError, Validator, lower_many,
};

use crate::NAMESPACE;
use crate::history::{Conditions, action};
use crate::shape::quote;
use crate::source::{Fault, File, Mode, Rule, RuleEffect, Source, located};
use crate::split::{column_of, line_of, split};
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
    pub(crate) slices: HashMap<EntityUid, Slice>,
    pub(crate) rule_of: HashMap<PolicyId, usize>,
    pub(crate) lowered: LoweredPolicySet,
    pub(crate) conditions: Conditions,
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
    /// Whether a rule speaks of the tool's result.
    pub(crate) reads_output: bool,
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
struct Broken {
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
        let (lowered, refused, rule_of, schema_fault) = lower(source, &vocabulary.schema);
        let mut findings: Vec<Finding> = schema_fault.into_iter().collect();
        for broken in &refused {
            let rule = source.rules.get(broken.rule).map(|rule| rule.id.clone());
            findings.extend(broken.faults.iter().map(|fault| Finding { fault: fault.clone(), rule: rule.clone() }));
        }
        let mut broken: BTreeSet<usize> = refused.iter().map(|broken| broken.rule).collect();
        if validated {
            for error in Validator::new().validate(&lowered).validation_errors() {
                let (finding, rules) = finding(source, error);
                findings.push(finding);
                broken.extend(rules);
            }
        }
        for (leaf, what) in conditions(source, &lowered, &rule_of, &broken).faults() {
            let rule = rule_of_leaf(&rule_of, &leaf);
            broken.extend(rule);
            let rule = rule.and_then(|rule| source.rules.get(rule));
            let (path, line) = rule.and_then(|rule| rule.origin.rsplit_once(':')).unwrap_or_default();
            let fault = Fault { path: path.to_owned(), line: line.parse().unwrap_or(1), column: 1, what, mend: None };
            findings.push(Finding { fault, rule: rule.map(|rule| rule.id.clone()) });
        }
        let conditions = conditions(source, &lowered, &rule_of, &broken);
        let mut set = Self {
            source: Arc::clone(source),
            vocabulary,
            gateway: gateway.to_owned(),
            slices: HashMap::new(),
            rule_of,
            lowered,
            conditions,
            findings,
        };
        set.slices = set.slice(&broken);
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

    /// Whether any of its rules has a temporal condition.
    pub fn looks_back(&self) -> bool {
        !self.conditions.groups.is_empty()
    }

    /// Whether a decision about this tool reads the history.
    pub fn needs_history(&self, tool: &str) -> bool {
        self.slice_of(tool).is_some_and(|slice| !slice.leaves.is_empty() || !slice.shadow_leaves.is_empty())
    }

    /// Whether what is done with this tool matters to a temporal condition.
    pub fn watches(&self, tool: &str) -> bool {
        self.conditions.watches(&action(tool))
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
        self.slice_of(tool).is_some_and(|slice| slice.reads_output)
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
        self.slices.get(&action_uid(tool)?)
    }

    fn slice(&self, broken: &BTreeSet<usize>) -> HashMap<EntityUid, Slice> {
        let schema = self.lowered.cedar_schema();
        let Ok(entities) = schema.action_entities() else { return HashMap::new() };
        let mut anywhere = Vec::new();
        let mut by_action: HashMap<EntityUid, Vec<PolicyId>> = HashMap::new();
        let mut output_readers: BTreeSet<PolicyId> = BTreeSet::new();
        let fits = |id: &PolicyId| self.rule_of.get(id).is_some_and(|rule| !broken.contains(rule));
        for policy in self.lowered.as_cedar().policies().filter(|policy| fits(policy.id())) {
            match policy.action_constraint() {
                ActionConstraint::Any => anywhere.push(policy.id().clone()),
                ActionConstraint::Eq(uid) => by_action.entry(uid).or_default().push(policy.id().clone()),
                ActionConstraint::In(uids) => {
                    uids.into_iter().for_each(|uid| by_action.entry(uid).or_default().push(policy.id().clone()));
                }
            }
            if self.mode_of(policy.id()) == Mode::Active && policy.to_json().map_or(true, |json| reads_output(&json)) {
                output_readers.insert(policy.id().clone());
            }
        }
        let mut leaves_of: HashMap<usize, Vec<ExtensionId>> = HashMap::new();
        for leaf in self.lowered.temporal_fields() {
            if let Some(rule) = rule_of_leaf(&self.rule_of, &leaf.id) {
                leaves_of.entry(rule).or_default().push(leaf.id.clone());
            }
        }
        let gateway = EntityUid::from_str(&format!("{NAMESPACE}::Gateway::{}", quote(&self.gateway))).ok();
        let mut slices = HashMap::new();
        for action in schema.actions() {
            let ancestors: Vec<EntityUid> = entities.ancestors(action).into_iter().flatten().cloned().collect();
            let mut ids: BTreeSet<PolicyId> = anywhere.iter().cloned().collect();
            for uid in std::iter::once(action).chain(&ancestors) {
                ids.extend(by_action.get(uid).into_iter().flatten().cloned());
            }
            let kept = ancestors.iter().chain([action]).filter_map(|uid| entities.get(uid).cloned());
            let leaves = |mode: Mode| -> BTreeSet<ExtensionId> {
                let of_mode = ids.iter().filter(|id| self.mode_of(id) == mode).filter_map(|id| self.rule_of.get(id));
                of_mode.filter_map(|rule| leaves_of.get(rule)).flatten().cloned().collect()
            };
            let slice = Slice {
                active: self.subset(ids.iter().filter(|id| self.mode_of(id) == Mode::Active)),
                shadow: ids.iter().any(|id| self.mode_of(id) == Mode::LogOnly).then(|| self.subset(ids.iter())),
                leaves: leaves(Mode::Active),
                shadow_leaves: leaves(Mode::LogOnly),
                entities: kept.chain(gateway.clone().map(Entity::with_uid)).collect(),
                broken: broken.iter().copied().filter(|rule| self.forbids_here(*rule, action, &ancestors)).collect(),
                reads_output: ids.iter().any(|id| output_readers.contains(id)),
            };
            slices.insert(action.clone(), slice);
        }
        slices
    }

    fn mode_of(&self, id: &PolicyId) -> Mode {
        self.rule_of.get(id).and_then(|rule| self.source.rules.get(*rule)).map_or(Mode::Active, |rule| rule.mode)
    }

    fn subset<'a>(&self, ids: impl Iterator<Item = &'a PolicyId>) -> CedarSet {
        let policies = ids.filter_map(|id| self.lowered.as_cedar().policy(id).cloned());
        CedarSet::from_policies(policies).unwrap_or_default()
    }

    /// Whether a rule that can't be evaluated is active, forbids, and might have spoken of an action.
    fn forbids_here(&self, rule: usize, action: &EntityUid, ancestors: &[EntityUid]) -> bool {
        let Some(rule) =
            self.source.rules.get(rule).filter(|rule| rule.effect == RuleEffect::Forbid && rule.mode == Mode::Active)
        else {
            return false;
        };
        let (file, at) = rule.place;
        let Some(policy) = self.source.parsed.get(file).and_then(|parsed| parsed.policies().nth(at)) else { return true };
        let here = |uid: &EntityUid| uid == action || ancestors.contains(uid);
        match policy.scope().action() {
            dogwood_language::ActionConstraint::Any => true,
            dogwood_language::ActionConstraint::Eq(uid) => here(uid),
            dogwood_language::ActionConstraint::In(uids) => uids.iter().any(here),
        }
    }
}

/// The rule that a temporal condition is of.
fn rule_of_leaf(rule_of: &HashMap<PolicyId, usize>, leaf: &str) -> Option<usize> {
    let (policy, _) = leaf.rsplit_once("__temporal_")?;
    rule_of.get(&PolicyId::new(policy)).copied()
}

/// Whether an expression reads the tool's result: `context.output`, `context.isOutput`, or the context as a whole.
fn reads_output(json: &serde_json::Value) -> bool {
    use serde_json::Value;
    let is_context = |value: &Value| value.get("Var").is_some_and(|name| name == "context");
    match json {
        Value::Object(map) => map.iter().any(|(key, value)| {
            let access = (key == "." || key == "has").then(|| value.get("left").filter(|left| is_context(left))).flatten();
            if access.is_some() {
                return value.get("attr").is_none_or(|attr| attr == "output" || attr == "isOutput");
            }
            is_context(json) || reads_output(value)
        }),
        Value::Array(values) => values.iter().any(reads_output),
        _ => false,
    }
}

/// The action of a tool.
pub(crate) fn action_uid(tool: &str) -> Option<EntityUid> {
    let kind = cedar_policy::EntityTypeName::from_str(&format!("{NAMESPACE}::Action")).ok()?;
    Some(EntityUid::from_type_name_and_id(kind, cedar_policy::EntityId::new(tool)))
}

type Lowered = (LoweredPolicySet, Vec<Broken>, HashMap<PolicyId, usize>, Option<Finding>);

/// Lowers all rules, each file at once; where that fails, all that can be.
fn lower(source: &Source, schema: &str) -> Lowered {
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
            let mut rules = single_rules(source, at);
            let refused = refused(source, &schema, &rules);
            rules.retain(|(rule, _)| !refused.iter().any(|broken| broken.rule == *rule));
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
    let mut rule_of = HashMap::new();
    for (index, rule) in source.rules.iter().enumerate() {
        let (file, at) = rule.place;
        if whole.contains(&file) {
            rule_of.insert(PolicyId::new(format!("f{file}_{at}")), index);
        } else if singles.iter().any(|(single, _)| *single == index) {
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
fn single_rules(source: &Source, at: usize) -> Vec<(usize, ParsedPolicySet)> {
    let Some(file) = source.files.get(at) else { return Vec::new() };
    let definitions = definitions(file);
    let of_file = source.rules.iter().enumerate().filter(|(_, rule)| rule.place.0 == at);
    of_file
        .filter_map(|(index, rule)| {
            Some((index, ParsedPolicySet::parse(&format!("{definitions}{}", rule.text), &source.service).ok()?))
        })
        .collect()
}

fn definitions(file: &File) -> String {
    let units = split(&file.text);
    units
        .into_iter()
        .filter(|unit| unit.is_def)
        .filter_map(|unit| file.text.get(unit.span))
        .map(|text| format!("{text}\n"))
        .collect()
}

/// The rules that lowering refuses, found by halving.
fn refused(source: &Source, schema: &PolicySchema, rules: &[(usize, ParsedPolicySet)]) -> Vec<Broken> {
    let entries: Vec<(&ParsedPolicySet, Distincter)> =
        rules.iter().filter_map(|(rule, parsed)| Some((parsed, Distincter::from_str(&format!("r{rule}")).ok()?))).collect();
    match (lower_some(source, &entries, schema), rules) {
        (Ok(_), _) | (_, []) => Vec::new(),
        (Err(error), [(rule, _)]) => vec![Broken { rule: *rule, faults: faults(source, *rule, &error) }],
        (Err(_), _) => {
            let (left, right) = rules.split_at(rules.len() / 2);
            let mut found = refused(source, schema, left);
            found.extend(refused(source, schema, right));
            found
        }
    }
}

/// An error of a rule that was parsed by itself, with its place in its file.
fn faults(source: &Source, rule: usize, error: &Error) -> Vec<Fault> {
    let Some(rule) = source.rules.get(rule) else { return Vec::new() };
    let Some(file) = source.files.get(rule.place.0) else { return Vec::new() };
    let single = File { path: file.path.clone(), text: rule.text.clone(), mode: rule.mode };
    let start = split(&file.text).into_iter().filter(|unit| !unit.is_def).nth(rule.place.1).map_or(0, |unit| unit.span.start);
    let first = line_of(&file.text, start);
    let mut faults = located(&single, definitions(file).len(), error);
    faults.iter_mut().for_each(|fault| fault.line += first - 1);
    faults
}

/// A finding of the validator with its place, and the rules that it is of: all that it might be of, where that can't be told.
fn finding(source: &Source, error: &ValidationError) -> (Finding, Vec<usize>) {
    let (message, help, offset, text) = match error {
        ValidationError::Cedar { message, help, span, src, .. } | ValidationError::Extension { message, help, span, src, .. } => {
            (message.clone(), help.clone(), span.offset(), Arc::clone(src))
        }
        other => (other.to_string(), None, 0, Arc::from("")),
    };
    let of = |file: usize| source.rules.iter().enumerate().filter(move |(_, rule)| rule.place.0 == file);
    let whole: Vec<usize> = source.files.iter().enumerate().filter(|(_, file)| *file.text == *text).map(|(at, _)| at).collect();
    let (file, line, column, rules) = if let Some(first) = whole.first() {
        let unit = split(&text).into_iter().filter(|unit| !unit.is_def).position(|unit| unit.span.contains(&offset));
        // In a definition: whichever rule of the file uses it. Of files with the same text it is all of theirs.
        let here = |rule: &Rule| unit.is_none_or(|unit| rule.place.1 == unit);
        let rules = whole.iter().flat_map(|file| of(*file)).filter(|(_, rule)| here(rule)).map(|(index, _)| index).collect();
        (Some(*first), line_of(&text, offset), column_of(&text, offset), rules)
    } else {
        // The text of one rule behind its file's definitions.
        let rules: Vec<usize> = source
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| text.ends_with(rule.text.as_str()))
            .map(|(index, _)| index)
            .collect();
        let rule = rules.first().and_then(|index| source.rules.get(*index));
        let before = rule.map_or(0, |rule| text.len() - rule.text.len());
        let first = rule.and_then(|rule| rule.origin.rsplit_once(':')).and_then(|(_, line)| line.parse().ok()).unwrap_or(1);
        let line = line_of(text.get(before..).unwrap_or_default(), offset.saturating_sub(before)) + first - 1;
        (rule.map(|rule| rule.place.0), line, 1, rules)
    };
    let rules = if rules.is_empty() { (0..source.rules.len()).collect() } else { rules };
    let path = file.and_then(|file| source.files.get(file)).map(|file| file.path.clone()).unwrap_or_default();
    let rule = if let [one] = rules.as_slice() { source.rules.get(*one).map(|rule| rule.id.clone()) } else { None };
    (Finding { fault: Fault { path, line, column, what: message, mend: help }, rule }, rules)
}

/// The temporal conditions of all rules.
fn conditions(
    source: &Source,
    lowered: &LoweredPolicySet,
    rule_of: &HashMap<PolicyId, usize>,
    broken: &BTreeSet<usize>,
) -> Conditions {
    let schema = lowered.cedar_schema();
    let groups: BTreeSet<&EntityUid> = schema.action_groups().collect();
    let actions = schema.actions().filter(|uid| !groups.contains(uid));
    let actions: BTreeSet<String> = actions.map(|uid| format!("{}::{}", uid.type_name(), uid.id().unescaped())).collect();
    let rule = |leaf: &str| {
        let number = rule_of_leaf(rule_of, leaf)?;
        let rule = source.rules.get(number)?;
        // A rule without a name of its own is known by its text, wherever it stands.
        let name = if rule.is_named { format!("@{}", rule.id) } else { rule.text.clone() };
        Some((number, name, rule.scope, rule.mode))
    };
    let leaves =
        lowered.temporal_fields().filter(|leaf| rule_of_leaf(rule_of, &leaf.id).is_some_and(|rule| !broken.contains(&rule)));
    Conditions::of(leaves.cloned(), rule, &|action| actions.contains(action))
}
