//! Whether rules fit the tools.
//!
//! Cedar's validator types each policy once for every action of the schema, and Dogwood's does what it does: ten thousand policies over a
//! thousand tools are ten million typings, of which all but a few end at the policy's own scope. So each policy is put before a schema of
//! the actions that it can reach. Where those are many, one action stands for all that look the same to what the policy reads; should
//! anything be said against it, it is put before all of them. What is said, and where, is what the validators say of the whole.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::str::FromStr;

use cedar_policy::{
    ActionConstraint, EntityUid, PolicyId, PolicySet as CedarSet, Schema, ValidationError as CedarError, ValidationMode,
    Validator as CedarValidator,
};
use dogwood_language::{Distincter, LoweredPolicySet, ParsedPolicySet, PolicySchema, ValidationError, Validator, lower_many};
use miette::Diagnostic;
use serde_json::{Map, Value};

use crate::NAMESPACE;
use crate::excerpt::{Excerpt, Parts};
use crate::reads::Reads;
use crate::relevance;
use crate::source::Source;
use crate::vocabulary::Vocabulary;

/// So many actions are typed one by one, whatever they look like.
const FEW: usize = 4;
/// About so many actions are in one schema: the fewer, the more schemas are made; the more, the more is typed in vain.
const TOGETHER: usize = 8;
/// What the context of every action has, alike but for arguments and results.
const COMMON: [&str; 5] = ["input", "output", "isOutput", "system", "remit"];

/// What is said against rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Told {
    /// The file, and where in it.
    pub(crate) file: usize,
    pub(crate) at: usize,
    pub(crate) what: String,
    pub(crate) mend: Option<String>,
    /// All that it might be of.
    pub(crate) rules: Vec<usize>,
}

/// A lowered policy, looked at once.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) id: PolicyId,
    pub(crate) rule: usize,
    /// The actions and groups in its scope; `None` if it names none.
    pub(crate) scope: Option<Vec<EntityUid>>,
    pub(crate) reads: Reads,
    /// Actions and groups that it names, wherever.
    named: BTreeSet<String>,
}

impl Subject {
    /// All policies, in the order of their rules.
    pub(crate) fn all(lowered: &LoweredPolicySet, rule_of: &HashMap<PolicyId, usize>) -> Vec<Self> {
        let mut subjects: Vec<Self> = lowered
            .as_cedar()
            .policies()
            .filter_map(|policy| {
                let scope = match policy.action_constraint() {
                    ActionConstraint::Any => None,
                    ActionConstraint::Eq(uid) => Some(vec![uid]),
                    ActionConstraint::In(uids) => Some(uids),
                };
                let unknown = || Reads { everything: true, ..Reads::default() };
                Some(Self {
                    id: policy.id().clone(),
                    rule: *rule_of.get(policy.id())?,
                    scope,
                    reads: policy.to_json().map_or_else(|_| unknown(), |json| Reads::of(&json)),
                    named: policy.entity_literals().iter().filter_map(action_name).map(str::to_owned).collect(),
                })
            })
            .collect();
        subjects.sort_by_key(|subject| subject.rule);
        subjects
    }
}

/// The id of an action of the vocabulary's namespace.
fn action_name(uid: &EntityUid) -> Option<&str> {
    let kind = uid.type_name();
    (kind.basename() == "Action" && kind.namespace() == NAMESPACE).then(|| uid.id().unescaped())
}

/// A set whose rules are checked.
pub(crate) struct Check<'a> {
    pub(crate) source: &'a Source,
    /// What each file is made of.
    pub(crate) parts: &'a [Parts],
    pub(crate) vocabulary: &'a Vocabulary,
    pub(crate) lowered: &'a LoweredPolicySet,
}

/// Actions by which one policy is typed.
struct Applied<'a> {
    actions: BTreeSet<&'a str>,
    /// Whether they are all that it can reach, and none stands for another.
    is_exact: bool,
}

/// Policies that are typed over the same actions.
#[derive(Default)]
struct Chunk<'a> {
    actions: BTreeSet<&'a str>,
    subjects: Vec<&'a Subject>,
    is_exact: bool,
}

impl<'a> Check<'a> {
    /// All that is said against any rule, in the order of the text.
    pub(crate) fn told(&self, subjects: &'a [Subject]) -> Vec<Told> {
        let actions = Actions::of(self.vocabulary);
        let mut told = self.typed(&actions, subjects).unwrap_or_else(|| self.in_one_go(true));
        told.extend(self.temporal(&actions, subjects).unwrap_or_else(|| self.in_one_go(false)));
        told.sort();
        told.dedup();
        told
    }

    /// What Cedar's validator says; `None` if no part of the schema can be made.
    fn typed(&self, actions: &Actions<'a>, subjects: &'a [Subject]) -> Option<Vec<Told>> {
        let schemas = Schemas::of(self.lowered)?;
        let mut of_chunk: HashMap<&PolicyId, (&Subject, bool)> = HashMap::new();
        let first: Vec<(&Subject, Applied<'_>)> =
            subjects.iter().map(|subject| (subject, actions.applied(subject, &subject.reads.properties, false))).collect();
        of_chunk.extend(first.iter().map(|(subject, applied)| (&subject.id, (*subject, applied.is_exact))));
        let (mut told, mut again) = (Vec::new(), BTreeMap::new());
        for chunk in chunks(first, TOGETHER) {
            for error in self.errors(&schemas.of_chunk(self.lowered, actions, &chunk, false)?, &chunk.subjects) {
                let (subject, is_exact) = *of_chunk.get(error.policy_id())?;
                let suggests = matches!(error, CedarError::UnrecognizedActionId(_) | CedarError::UnrecognizedEntityType(_));
                if is_exact && !suggests {
                    told.extend(self.placed(subject, &error));
                } else {
                    again.insert(subject.rule, subject);
                }
            }
        }
        // What stood for others, or is like another name: every name is there, and every action that the policy can reach.
        told.retain(|told: &Told| !told.rules.iter().any(|rule| again.contains_key(rule)));
        let again = again.into_values().map(|subject| (subject, actions.applied(subject, &BTreeSet::new(), true)));
        for chunk in chunks(again.collect(), TOGETHER * TOGETHER) {
            for error in self.errors(&schemas.of_chunk(self.lowered, actions, &chunk, true)?, &chunk.subjects) {
                let (subject, _) = of_chunk.get(error.policy_id())?;
                told.extend(self.placed(subject, &error));
            }
        }
        Some(told)
    }

    fn errors(&self, schema: &Schema, subjects: &[&Subject]) -> Vec<CedarError> {
        let policies = subjects.iter().filter_map(|subject| self.lowered.as_cedar().policy(&subject.id).cloned());
        let Ok(policies) = CedarSet::from_policies(policies) else { return Vec::new() };
        let result = CedarValidator::new(schema.clone()).validate(&policies, ValidationMode::default());
        result.validation_errors().cloned().collect()
    }

    /// An error of one policy with its place in its file.
    fn placed(&self, subject: &Subject, error: &CedarError) -> Option<Told> {
        let (file, place) = self.source.rules.get(subject.rule)?.place;
        let parts = self.parts.get(file)?;
        let unit = parts.policies.get(place)?;
        let label = error.labels().and_then(|mut labels| labels.next()).map(|label| label.inner().offset());
        let is_alone = AsRef::<str>::as_ref(&subject.id).starts_with('r');
        let at = match label {
            None => unit.span.start,
            Some(at) if is_alone => Excerpt::of(self.source.files.get(file)?, parts, std::iter::once(unit)).place(at),
            Some(at) => at,
        };
        let mend = error.help().map(|help| help.to_string());
        Some(Told { file, at, what: error.to_string(), mend, rules: vec![subject.rule] })
    }

    /// What Dogwood's own checks say of temporal conditions; `None` if no part of the set can be made.
    fn temporal(&self, actions: &Actions<'a>, subjects: &'a [Subject]) -> Option<Vec<Told>> {
        let mut named: HashMap<PolicyId, BTreeSet<String>> = HashMap::new();
        let policy = |field: &str| field.split_once("__").map(|(policy, _)| PolicyId::new(policy));
        for leaf in self.lowered.temporal_fields() {
            let of_leaf = relevance::actions(&leaf.condition.condition);
            let prefix = format!("{NAMESPACE}::Action::");
            let of_leaf = of_leaf.iter().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned);
            named.entry(policy(&leaf.id)?).or_default().extend(of_leaf);
        }
        for field in self.lowered.provider_fields() {
            named.entry(policy(&field.id)?).or_default();
        }
        let with_named = |subject: &'a Subject, mut applied: Applied<'a>| {
            let also = named.get(&subject.id).into_iter().flatten().filter_map(|name| actions.known(name));
            applied.actions.extend(also);
            (subject, applied)
        };
        let mut words: HashMap<usize, BTreeSet<&str>> = HashMap::new();
        let mut first = Vec::new();
        for subject in subjects.iter().filter(|subject| named.contains_key(&subject.id)) {
            let (file, _) = self.source.rules.get(subject.rule)?.place;
            let of_definitions = words.entry(file).or_insert_with(|| self.words_of_definitions(file));
            let rule = self.source.rules.get(subject.rule)?;
            let mut properties = subject.reads.properties.clone();
            let said = words_of(&rule.text).chain(of_definitions.iter().copied());
            properties.extend(said.filter(|word| actions.properties.contains(word)).map(str::to_owned));
            let is_plain = !rule.text.contains('\\');
            first.push(with_named(subject, actions.applied(subject, &properties, !is_plain)));
        }
        let (mut told, mut again) = (Vec::new(), Vec::new());
        for chunk in chunks(first, TOGETHER) {
            let of_chunk = self.temporal_of(&chunk)?;
            if of_chunk.is_empty() || chunk.is_exact {
                told.extend(of_chunk);
            } else {
                again.extend(
                    chunk.subjects.iter().map(|subject| with_named(subject, actions.applied(subject, &BTreeSet::new(), true))),
                );
            }
        }
        for chunk in chunks(again, TOGETHER) {
            told.extend(self.temporal_of(&chunk)?);
        }
        Some(told)
    }

    fn words_of_definitions(&self, file: usize) -> BTreeSet<&'a str> {
        let (Some(parts), Some(file)) = (self.parts.get(file), self.source.files.get(file)) else { return BTreeSet::new() };
        let definitions = parts.definitions.iter().filter_map(|unit| file.text.get(unit.span.clone()));
        definitions.flat_map(words_of).collect()
    }

    /// The rules of a chunk, read and lowered again over its actions alone.
    fn temporal_of(&self, chunk: &Chunk<'_>) -> Option<Vec<Told>> {
        let mut by_file: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for subject in &chunk.subjects {
            let (file, place) = self.source.rules.get(subject.rule)?.place;
            by_file.entry(file).or_default().push(place);
        }
        let mut parts = Vec::new();
        for (file, places) in by_file {
            let of_file = self.parts.get(file)?;
            let of_chunk = places.iter().filter_map(|place| of_file.policies.get(*place));
            let excerpt = Excerpt::of(self.source.files.get(file)?, of_file, of_chunk);
            let parsed = ParsedPolicySet::parse(&excerpt.text, &self.source.service).ok()?;
            parts.push((file, excerpt, parsed));
        }
        let named = |file: &usize| Distincter::from_str(&format!("f{file}")).ok();
        let entries: Vec<(&ParsedPolicySet, Distincter)> =
            parts.iter().filter_map(|(file, _, parsed)| Some((parsed, named(file)?))).collect();
        let schema = self.vocabulary.schema_of(|name| chunk.actions.contains(name));
        let lowered = lower_many(&entries, &PolicySchema::from_cedarschema_str(&schema).ok()?).ok()?;
        let mut told = Vec::new();
        for error in Validator::new().validate(&lowered).validation_errors() {
            let ValidationError::Extension { message, help, span, src, .. } = error else { continue };
            for (file, excerpt, _) in parts.iter().filter(|(_, excerpt, _)| *excerpt.text == **src) {
                told.push(self.of_file(*file, excerpt.place(span.offset()), message, help.as_ref()));
            }
        }
        Some(told)
    }

    /// What is said of a place in a file: it is of the policy there, and in a definition of whichever policy of the file uses it.
    fn of_file(&self, file: usize, at: usize, what: &str, mend: Option<&String>) -> Told {
        let rules = self.parts.get(file).map(|parts| parts.rules_at(at)).unwrap_or_default();
        Told { file, at, what: what.to_owned(), mend: mend.cloned(), rules }
    }

    /// What the validators say of the whole set over all actions: Cedar's, or Dogwood's own. Slow where there is much of both.
    pub(crate) fn in_one_go(&self, typed: bool) -> Vec<Told> {
        let mut told = Vec::new();
        for error in Validator::new().validate(self.lowered).validation_errors() {
            let (what, mend, at, text) = match error {
                ValidationError::Cedar { message, help, span, src, .. } if typed => (message, help, span.offset(), src),
                ValidationError::Extension { message, help, span, src, .. } if !typed => (message, help, span.offset(), src),
                _ => continue,
            };
            for (number, (file, parts)) in self.source.files.iter().zip(self.parts).enumerate() {
                if *file.text == **text {
                    told.push(self.of_file(number, at, what, mend.as_ref()));
                    continue;
                }
                // The text of one rule behind its file's definitions.
                for (place, unit) in parts.policies.iter().enumerate() {
                    let excerpt = Excerpt::of(file, parts, std::iter::once(unit));
                    // Of two rules with one text it is the one that is named.
                    let named = rule_named(what).and_then(|rule| self.source.rules.get(rule));
                    if *excerpt.text == **text && named.is_none_or(|rule| rule.place == (number, place)) {
                        told.push(self.of_file(number, excerpt.place(at), what, mend.as_ref()));
                    }
                }
            }
        }
        told
    }
}

/// The rule that Cedar names, if it was lowered by itself.
fn rule_named(what: &str) -> Option<usize> {
    what.strip_prefix("for policy `r")?.split_once('_')?.0.parse().ok()
}

/// What can be a name of a property in a text.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !(char == '_' || char.is_ascii_alphanumeric())).filter(|word| !word.is_empty())
}

/// Policies together that are typed over much the same.
fn chunks<'a>(subjects: Vec<(&'a Subject, Applied<'a>)>, most: usize) -> Vec<Chunk<'a>> {
    let mut alike: BTreeMap<BTreeSet<&'a str>, Vec<(&'a Subject, bool)>> = BTreeMap::new();
    for (subject, applied) in subjects {
        alike.entry(applied.actions).or_default().push((subject, applied.is_exact));
    }
    let mut chunks: Vec<Chunk<'a>> = Vec::new();
    for (actions, subjects) in alike {
        let fits = |chunk: &&mut Chunk<'_>| chunk.actions.len() + actions.difference(&chunk.actions).count() <= most;
        let at = chunks.last_mut().filter(fits);
        let is_exact = subjects.iter().all(|(_, is_exact)| *is_exact);
        let subjects = subjects.into_iter().map(|(subject, _)| subject);
        match at {
            Some(chunk) => {
                chunk.actions.extend(actions);
                chunk.subjects.extend(subjects);
                chunk.is_exact &= is_exact;
            }
            None => chunks.push(Chunk { actions, subjects: subjects.collect(), is_exact }),
        }
    }
    chunks
}

/// The actions of a vocabulary, and which look alike to whoever reads certain properties.
struct Actions<'a> {
    vocabulary: &'a Vocabulary,
    names: Vec<&'a str>,
    groups: BTreeMap<&'a str, Vec<usize>>,
    /// Every name of a property of any arguments or results.
    properties: HashSet<&'a str>,
    alike: RefCell<HashMap<BTreeSet<String>, Rc<Vec<usize>>>>,
}

impl<'a> Actions<'a> {
    fn of(vocabulary: &'a Vocabulary) -> Self {
        let mut groups: BTreeMap<&str, Vec<usize>> = vocabulary.groups().into_iter().map(|group| (group, Vec::new())).collect();
        for (at, action) in vocabulary.actions.values().enumerate() {
            groups.entry(action.server.as_str()).and_modify(|members| members.push(at));
        }
        let records = vocabulary.actions.values().flat_map(|action| [&action.input, &action.output]);
        Self {
            vocabulary,
            names: vocabulary.actions.keys().map(String::as_str).collect(),
            groups,
            properties: records.flat_map(crate::shape::Record::names).collect(),
            alike: RefCell::default(),
        }
    }

    /// An action or a group, with the life of the vocabulary.
    fn known(&self, name: &str) -> Option<&'a str> {
        let action = self.vocabulary.actions.get_key_value(name).map(|(name, _)| name.as_str());
        action.or_else(|| self.groups.get_key_value(name).map(|(name, _)| *name))
    }

    /// For each action a number that it shares with those whose properties of these names are the same.
    fn alike(&self, properties: &BTreeSet<String>) -> Rc<Vec<usize>> {
        if let Some(known) = self.alike.borrow().get(properties) {
            return Rc::clone(known);
        }
        let mut numbers: HashMap<(String, String), usize> = HashMap::new();
        let of_each = self.vocabulary.actions.values().map(|action| {
            let next = numbers.len();
            *numbers.entry((action.input.profile(properties), action.output.profile(properties))).or_insert(next)
        });
        let of_each = Rc::new(of_each.collect::<Vec<usize>>());
        self.alike.borrow_mut().insert(properties.clone(), Rc::clone(&of_each));
        of_each
    }

    /// The actions by which a policy that reads these properties is typed; with `exactly`, all that it can reach.
    fn applied(&self, subject: &Subject, properties: &BTreeSet<String>, exactly: bool) -> Applied<'a> {
        let mut reached: BTreeSet<usize> = BTreeSet::new();
        match &subject.scope {
            None => reached.extend(0..self.names.len()),
            Some(uids) => {
                for name in uids.iter().filter_map(action_name) {
                    reached.extend(self.names.binary_search(&name).ok());
                    reached.extend(self.groups.get(name).into_iter().flatten());
                }
            }
        }
        // Of a scope that is nowhere, the rest is typed somewhere.
        if reached.is_empty() {
            reached.extend((!self.names.is_empty()).then_some(0));
        }
        let names = |reached: &BTreeSet<usize>| reached.iter().filter_map(|at| self.names.get(*at).copied()).collect();
        let own = format!("{}__", AsRef::<str>::as_ref(&subject.id));
        let is_common = |name: &String| COMMON.contains(&name.as_str()) || name.starts_with(&own);
        let reads = &subject.reads;
        let can_tell = !reads.everything && !reads.whole_records && reads.of_context.iter().all(is_common);
        if exactly || reached.len() <= FEW || !can_tell {
            return Applied { actions: names(&reached), is_exact: true };
        }
        let alike = self.alike(properties);
        let groups: Vec<&Vec<usize>> = subject.named.iter().filter_map(|name| self.groups.get(name.as_str())).collect();
        let mut seen = HashSet::new();
        reached.retain(|at| {
            let of_groups: Vec<bool> = groups.iter().map(|members| members.binary_search(at).is_ok()).collect();
            let is_named = self.names.get(*at).is_some_and(|name| subject.named.contains(*name));
            is_named || seen.insert((alike.get(*at).copied(), of_groups))
        });
        Applied { actions: names(&reached), is_exact: false }
    }
}

/// The schema with the fields of temporal conditions, in parts.
struct Schemas {
    /// All but the actions.
    frame: Map<String, Value>,
    actions: Map<String, Value>,
}

impl Schemas {
    fn of(lowered: &LoweredPolicySet) -> Option<Self> {
        let mut json: Value = serde_json::from_str(&lowered.cedar_schema_json().ok()?).ok()?;
        let mut frame = json.as_object_mut().filter(|namespaces| namespaces.len() == 1)?.remove(NAMESPACE)?;
        let Some(Value::Object(actions)) = frame.as_object_mut()?.insert("actions".to_owned(), Value::Null) else { return None };
        let Value::Object(frame) = frame else { return None };
        Some(Self { frame, actions })
    }

    /// The schema in which the actions of a chunk apply to somebody, and others are known by name: those that its policies name, or all.
    fn of_chunk(&self, lowered: &LoweredPolicySet, actions: &Actions<'_>, chunk: &Chunk<'_>, all_names: bool) -> Option<Schema> {
        if chunk.actions.len() == actions.names.len() {
            return Some(lowered.cedar_schema().clone());
        }
        let mut of_chunk = Map::new();
        let mut add = |name: &str, applies: bool| {
            let Some(mut action) = self.actions.get(name).filter(|_| !of_chunk.contains_key(name)).cloned() else { return };
            if !applies && let Some(action) = action.as_object_mut() {
                action.remove("appliesTo");
            }
            of_chunk.insert(name.to_owned(), action);
        };
        chunk.actions.iter().for_each(|name| add(name, true));
        let named = chunk.subjects.iter().flat_map(|subject| &subject.named);
        named.clone().for_each(|name| add(name, false));
        let with_groups = chunk.actions.iter().copied().chain(named.map(String::as_str));
        with_groups.filter_map(|name| actions.vocabulary.actions.get(name)).for_each(|action| add(&action.server, false));
        if all_names {
            self.actions.keys().for_each(|name| add(name, false));
        }
        let mut frame = self.frame.clone();
        frame.insert("actions".to_owned(), Value::Object(of_chunk));
        let namespaces = Map::from_iter([(NAMESPACE.to_owned(), Value::Object(frame))]);
        Schema::from_json_value(Value::Object(namespaces)).ok()
    }
}
