//! Dogwood's own corpora through the slices and histories: the expected verdicts are those of the corpus, and the reference interpreter
//! is asked about the same traces.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression};
use dogwood_language::corpus::{CorpusTrace, TemporalCategory, macro_cases, mixed_cases, temporal_cases};
use dogwood_language::{Event, PolicySchema, ServiceSchema, UNPINNED_EVENT_SCHEMA, Value, parse_trace, replay_log};

use crate::answer::Effect;
use crate::history::{History, Scopes};
use crate::relevance::action_name;
use crate::set::PolicySet;
use crate::source::{File, Mode, Source};
use crate::vocabulary::Vocabulary;

/// A service schema: these events, and these macros instead of the language's own.
pub(crate) fn service(events: Option<&str>, macros: Option<&str>) -> ServiceSchema {
    let builder = ServiceSchema::builder().event_schema_str(events.unwrap_or(UNPINNED_EVENT_SCHEMA));
    let builder = if let Some(macros) = macros { builder.macros_str(macros) } else { builder };
    builder.build().unwrap()
}

fn expression(value: &Value) -> RestrictedExpression {
    match value {
        // So the reference does with what a trace leaves out.
        Value::Null => RestrictedExpression::new_string(String::new()),
        Value::Bool(yes) => RestrictedExpression::new_bool(*yes),
        Value::Int(number) => RestrictedExpression::new_long(*number),
        Value::Decimal(text) => RestrictedExpression::new_decimal(text),
        Value::String(text) => RestrictedExpression::new_string(text.clone()),
        Value::Entity { ty, id } => {
            let kind = cedar_policy::EntityTypeName::from_str(ty).unwrap();
            RestrictedExpression::new_entity_uid(EntityUid::from_type_name_and_id(kind, cedar_policy::EntityId::new(id)))
        }
        Value::Array(values) => RestrictedExpression::new_set(values.iter().map(expression)),
        Value::Object(fields) => {
            RestrictedExpression::new_record(fields.iter().map(|(name, value)| (name.clone(), expression(value)))).unwrap()
        }
    }
}

/// The verdicts of the decisions of a trace.
fn replayed(set: &Arc<PolicySet>, trace: &[Event], kinds: &BTreeSet<String>) -> Vec<bool> {
    let mut history = History::new(Arc::clone(set));
    let scopes = Scopes { session: "s", principal: "p", agent: "a" };
    let mut verdicts = Vec::new();
    for event in trace {
        let action = action_name(event.namespace(), event.action());
        let (path, id) = action.rsplit_once("::").unwrap();
        let kind = cedar_policy::EntityTypeName::from_str(path).unwrap();
        let uid = EntityUid::from_type_name_and_id(kind, cedar_policy::EntityId::new(id));
        let slice = set.slices.get(&uid);
        let decides = kinds.contains(event.kind()) && event.principal_uid().is_some();
        let wanted: BTreeSet<_> = slice.filter(|_| decides).map(|slice| slice.leaves.iter().collect()).unwrap_or_default();
        let asked = set.conditions.asked(&wanted);
        let now_ms = u64::try_from(event.timestamp()).unwrap() * 1000;
        let builder = event.clone().into_builder().timestamp(event.timestamp() * 1000);
        history.observe(&builder.build(), &action, &scopes, &asked, 0, now_ms).unwrap();
        if !decides {
            continue;
        }
        let bindings = history.told(&scopes, &asked, &wanted, now_ms).unwrap();
        let slice = slice.unwrap_or_else(|| panic!("no slice for {uid}"));
        let leaves = bindings.iter().map(|(leaf, holds)| (leaf.clone(), RestrictedExpression::new_bool(*holds)));
        let context = event.request_context_groups().map(|(name, value)| (name.to_owned(), expression(value)));
        let context = Context::from_pairs(context.chain(leaves)).unwrap();
        let scope = |uid: Option<String>| EntityUid::from_str(&uid.unwrap()).unwrap();
        let (principal, resource) = (scope(event.principal_uid()), scope(event.resource_uid()));
        let mut entities: BTreeMap<EntityUid, Entity> =
            slice.entities.iter().map(|entity| (entity.uid(), entity.clone())).collect();
        for uid in [&principal, &resource] {
            entities.insert(uid.clone(), Entity::with_uid(uid.clone()));
        }
        for uid in event.entity_uids() {
            let attributes = event.entity_attributes(uid).map(|(name, value)| (name.to_owned(), expression(value))).collect();
            let parents = event.entity_parents(uid).iter().map(|parent| match parent {
                Value::Entity { ty, id } => EntityUid::from_str(&format!("{ty}::{}", crate::shape::quote(id))).unwrap(),
                other => panic!("{other:?} is no parent"),
            });
            let entity = Entity::new(EntityUid::from_str(uid).unwrap(), attributes, parents.collect()).unwrap();
            entities.insert(entity.uid(), entity);
        }
        let entities = Entities::from_entities(entities.into_values(), None).unwrap();
        let request = Request::new(principal, uid, resource, context, None).unwrap();
        verdicts.push(set.judge(slice, false, &request, &entities).effect == Effect::Allow);
    }
    verdicts
}

/// Events, and what is said of their decisions.
pub(crate) struct Trace {
    pub(crate) name: String,
    pub(crate) log: String,
    /// The verdicts that a text states; without them, the reference's word is the only measure.
    pub(crate) stated: Option<Vec<bool>>,
}

/// The verdicts of a stream as the reference writes them: one decision a line, its verdict last.
fn told(text: &str) -> Vec<bool> {
    text.lines().filter(|line| !line.trim().is_empty()).map(|line| line.trim_end().ends_with("true")).collect()
}

fn of_corpus(traces: &[CorpusTrace]) -> Vec<Trace> {
    let trace = |trace: &CorpusTrace| Trace {
        name: trace.index.clone(),
        log: trace.trace_log.clone(),
        stated: Some(told(&trace.expected)),
    };
    traces.iter().map(trace).collect()
}

/// What has been compared.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) cases: usize,
    pub(crate) decisions: usize,
    pub(crate) allowed: usize,
    pub(crate) refused: Vec<String>,
    /// Cases that ask a guardrail, of which there is none here.
    pub(crate) provided: usize,
}

impl Tally {
    /// Runs a case's traces through slices and histories, and through the reference.
    pub(crate) fn case(&mut self, name: &str, policies: &str, schema: &str, service: &ServiceSchema, traces: &[Trace]) {
        let file = File { path: "policy.dw".to_owned(), text: policies.to_owned(), mode: Mode::Active };
        let source = match Source::read_with(Mode::Active, vec![file], service.clone()) {
            Ok(source) => Arc::new(source),
            Err(faults) => {
                self.refused.push(format!("{name}: {}", faults.first().unwrap().what));
                return;
            }
        };
        let vocabulary = Vocabulary { actions: BTreeMap::new(), schema: schema.to_owned() };
        let set = Arc::new(PolicySet::compile_with(&source, vocabulary, "gateway", false));
        if set.lowered.provider_fields().next().is_some() {
            self.provided += 1;
            return;
        }
        if let Some(finding) = set.findings().first() {
            self.refused.push(format!("{name}: {}", finding.fault.what));
            return;
        }
        let decisions = set.lowered.event_signatures().filter(dogwood_language::EventSignature::is_decision);
        let kinds: BTreeSet<String> = decisions.map(|signature| signature.kind().to_owned()).collect();
        for trace in traces {
            let of_reference = dogwood_language::ParsedPolicySet::parse(policies, service).unwrap();
            let of_reference = of_reference.lower(&PolicySchema::from_cedarschema_str(schema).unwrap()).unwrap();
            let reference = replay_log(of_reference, &trace.log).unwrap();
            let events = parse_trace(&trace.log).unwrap();
            let ours = replayed(&set, &events, &kinds);
            assert_eq!(ours, told(&reference), "{name}/{}: the reference", trace.name);
            if let Some(stated) = &trace.stated {
                assert_eq!(&ours, stated, "{name}/{}: what is stated", trace.name);
            }
            self.allowed += ours.iter().filter(|allowed| **allowed).count();
            self.decisions += ours.len();
        }
        self.cases += 1;
    }
}

#[test]
fn the_temporal_corpus_agrees() {
    let mut tally = Tally::default();
    let mut expected_to_fail = 0;
    for case in temporal_cases() {
        if case.is_xfail() || case.is_parse_rejected() {
            expected_to_fail += 1;
            continue;
        }
        assert!(case.category != TemporalCategory::ParseRejected);
        tally.case(
            &case.name,
            &case.policy_src,
            &case.schema_src,
            &service(case.event_schema_src.as_deref(), None),
            &of_corpus(&case.traces),
        );
    }
    assert!(tally.refused.is_empty(), "{:#?}", tally.refused);
    assert!(tally.cases >= 577 && tally.decisions >= 3559);
    println!(
        "{} cases, {} decisions; {expected_to_fail} that the corpus itself expects to be refused or to fail",
        tally.cases, tally.decisions
    );
}

#[test]
fn the_macro_and_mixed_corpora_agree() {
    let mut tally = Tally::default();
    for case in macro_cases() {
        let service = service(case.event_schema_src.as_deref(), case.macros_src.as_deref());
        tally.case(&case.name, &case.policy_src, &case.schema_src, &service, &of_corpus(&case.traces));
    }
    for case in mixed_cases() {
        tally.case(
            &case.name,
            &case.policy_src,
            &case.schema_src,
            &service(case.event_schema_src.as_deref(), None),
            &of_corpus(&case.traces),
        );
    }
    assert!(tally.refused.is_empty(), "{:#?}", tally.refused);
    assert!(tally.cases >= 172 && tally.decisions >= 896);
    println!("{} cases, {} decisions; {} that ask a guardrail", tally.cases, tally.decisions, tally.provided);
}
