//! Questions about a set that take more than one decision: whether any call that a condition means could be allowed.
//!
//! What is asked is data: two sets over one schema, and whether one request is allowed by both. Who answers, with which solver, is the
//! caller's affair ([`Reply`]). A `no` must be certain; a request is a suggestion, which is decided anew before anything is said of it.
//!
//! Temporal conditions are free truth values there, and a forbidding rule that fails counts as silent, as in Cedar. Both only add requests
//! that may not exist: they never hide one that does.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityTypeName, EvalResult, Expression, Policy, PolicyId, PolicySet as CedarSet,
    Request, RequestEnv, Schema, ValidationMode, Validator,
};
use remit_model::{ArgumentRole, CallOrigin, Labels, Provenance, ValueOrigin};
use serde_json::Value;

use crate::NAMESPACE;
use crate::answer::{Ask, Claims, PrincipalKind, datetime};
use crate::history::Bindings;
use crate::set::{PolicySet, Slice, action_uid};
use crate::shape::quote;
use crate::source::Mode;
use crate::split::{BRACKETS_DEEP_MAX, brackets_deep};

/// The longest condition, in bytes.
pub const CONDITION_BYTES_MAX: usize = 4096;
/// The last time that there is.
const NOW_MAX: &str = "9999-12-31T23:59:59.000Z";
/// The most rules whose literals are looked at.
const RULES_READ_MAX: usize = 500;
/// The most literals of a kind that are kept.
const LITERALS_MAX: usize = 48;

/// A condition that can't be read or doesn't fit a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionFault {
    /// What is wrong.
    pub what: String,
    /// How to mend it, if that is known.
    pub mend: Option<String>,
}

/// Reads a condition without any tool: an expression of Cedar over `principal`, `action`, `resource` and `context`.
pub fn read_condition(text: &str) -> Result<(), ConditionFault> {
    let fault = |what: String| ConditionFault { what, mend: None };
    if text.len() > CONDITION_BYTES_MAX {
        return Err(fault(format!("the condition has more than {CONDITION_BYTES_MAX} bytes")));
    }
    if brackets_deep(text) > BRACKETS_DEEP_MAX {
        return Err(fault(format!("the condition has brackets within more than {BRACKETS_DEEP_MAX} others")));
    }
    // An expression by itself: what would end its braces and go on is none.
    Expression::from_str(text).map_err(|errors| fault(errors.to_string()))?;
    match Policy::parse(None, conditional("principal, action, resource", &[], text)) {
        Ok(_) => Ok(()),
        Err(errors) => Err(fault(errors.to_string())),
    }
}

/// A permit of what all these conditions mean; the line ends keep a comment within its condition.
fn conditional(scope: &str, facts: &[String], condition: &str) -> String {
    let facts = if facts.is_empty() { String::new() } else { format!("when {{ {} }}\n", facts.join(" && ")) };
    format!("permit ({scope})\n{facts}when {{\n{condition}\n}};")
}

/// A condition that fits a tool of a set.
#[derive(Debug, Clone)]
pub struct Meant {
    text: String,
    tool: String,
    set: CedarSet,
}

/// What is known of every call that a question is about; `None` is left open.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What callers are.
    pub kind: PrincipalKind,
    /// Who, as policies name it.
    pub id: Option<&'a str>,
    /// The agent.
    pub agent: Option<&'a str>,
    /// The role that is acted in, by ARN, or that there is none.
    pub role: Option<Option<&'a str>>,
    /// The space's id.
    pub space: &'a str,
    /// The space's account.
    pub account: &'a str,
    /// The tool's risk.
    pub risk: &'a str,
    /// The same as a number.
    pub risk_level: i64,
    /// The tool's class.
    pub class: &'a str,
    /// The tool's categories.
    pub categories: &'a [String],
    /// The earliest time of a call: milliseconds since the epoch.
    pub from_ms: u64,
    /// The tool's input schema: other arguments are denied anyhow.
    pub schema: &'a Value,
}

/// Whether any request is allowed by both of two sets.
#[derive(Debug)]
pub struct Question<'a> {
    /// The schema of both.
    pub schema: &'a Schema,
    /// The types of principal, action and resource.
    pub request: RequestEnv,
    /// The rules that are asked.
    pub allowing: CedarSet,
    /// What is meant, as a set of one permit.
    pub meant: CedarSet,
}

impl Question<'_> {
    /// The most expressions, and the most choices (`if`), that stand within each other in a rule of it.
    pub fn nesting(&self) -> (usize, usize) {
        let deepest = |set: &CedarSet| {
            let conditions =
                set.policies().map(|policy| policy.to_json().map_or((usize::MAX, usize::MAX), |json| nesting(&json)));
            conditions.fold((0, 0), |most, one| (most.0.max(one.0), most.1.max(one.1)))
        };
        let (allowing, meant) = (deepest(&self.allowing), deepest(&self.meant));
        (allowing.0.max(meant.0), allowing.1.max(meant.1))
    }
}

fn nesting(json: &Value) -> (usize, usize) {
    let deepest = |below: &mut dyn Iterator<Item = (usize, usize)>| {
        let most = below.fold((0, 0), |most, one| (most.0.max(one.0), most.1.max(one.1)));
        (most.0 + 1, most.1)
    };
    match json {
        Value::Object(map) => deepest(&mut map.iter().map(|(key, value)| {
            let (all, choices) = nesting(value);
            (all, choices + usize::from(key == "if-then-else"))
        })),
        Value::Array(values) => deepest(&mut values.iter().map(nesting)),
        _ => (0, 0),
    }
}

/// Why a schema may mean something else to a validator than it seems to here: then nothing that it seems to deny is relied on.
fn misread(schema: &Value) -> Option<&'static str> {
    // Each has the words that are read here; a meta-schema that names other vocabularies may have none of them (JSON Schema Core, section 8.1).
    const DIALECTS: [&str; 5] = [
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-07/schema",
        "http://json-schema.org/draft-06/schema",
        "http://json-schema.org/draft-04/schema",
    ];
    let told = schema.get("$schema").map(|told| told.as_str().unwrap_or_default());
    let told = told.map(|told| told.strip_suffix('#').unwrap_or(told));
    if told.is_some_and(|told| !DIALECTS.contains(&told)) {
        return Some("is of a dialect of its own");
    }
    // Such a word moves the root of references (Core, section 8.2.1), or escapes what they name (RFC 3986, section 2.1).
    fn moves(value: &Value, is_root: bool, id: &str) -> bool {
        let word = |key: &str| value.get(key).and_then(Value::as_str);
        let moved = !is_root && (word("$id").is_some() || word("$schema").is_some() || word(id).is_some());
        moved
            || word("$ref").is_some_and(|reference| reference.contains('%'))
            || match value {
                Value::Object(map) => map.values().any(|value| moves(value, false, id)),
                Value::Array(values) => values.iter().any(|value| moves(value, false, id)),
                _ => false,
            }
    }
    let id = if told.is_some_and(|told| told.ends_with("draft-04/schema")) { "id" } else { "$id" };
    moves(schema, true, id).then_some("has references whose root or name is another than it seems")
}

/// What there is to say.
#[derive(Debug, Clone)]
pub enum Reply {
    /// No request is allowed by both.
    Nothing,
    /// This one seems to be.
    Request(Box<(Request, Entities)>),
    /// It isn't known, and why.
    Unknown(String),
}

/// Who answers questions.
pub type Prover<'a> = dyn Fn(&Question<'_>) -> Reply + 'a;

/// A request of a [`Reply`] in the words of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Supposed {
    /// The arguments.
    pub input: Value,
    /// The claims or tags of the principal.
    pub claims: Claims,
    /// The principal's id.
    pub id: String,
    /// The user for whom it acts.
    pub user: Option<String>,
    /// Who is behind it.
    pub source_identity: Option<String>,
    /// From where the request comes.
    pub source_ip: Option<IpAddr>,
    /// What the session has touched, and what stands behind the arguments.
    pub origin: CallOrigin,
    /// The policy session.
    pub session_id: String,
    /// Milliseconds since the epoch.
    pub now_ms: Option<u64>,
    /// What temporal conditions come to.
    pub bindings: Bindings,
}

/// Values that stand in rules and conditions, for calls that are near what they tell apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Literals {
    /// Whole numbers.
    pub longs: BTreeSet<i64>,
    /// Texts, the texts of patterns and of decimals among them.
    pub texts: BTreeSet<String>,
    /// The names of attributes that are read.
    pub attributes: BTreeSet<String>,
}

impl PolicySet {
    /// A condition read against a tool: every fault of it, if it doesn't fit.
    pub fn meant(&self, tool: &str, condition: &str) -> Result<Meant, Vec<ConditionFault>> {
        let fault = |what: String, mend: Option<&str>| ConditionFault { what, mend: mend.map(str::to_owned) };
        read_condition(condition).map_err(|fault| vec![fault])?;
        let set = Self::conditional_set(tool, &[], condition).map_err(|what| vec![fault(what, None)])?;
        let schema = self.lowered.cedar_schema().clone();
        let checked = Validator::new(schema).validate(&set, ValidationMode::Strict);
        let mut faults: Vec<ConditionFault> = Vec::new();
        for error in checked.validation_errors() {
            use cedar_policy::ValidationError as E;
            let (what, mend) = match error {
                E::UnsafeOptionalAttributeAccess(error) => {
                    (error.to_string(), Some("it may be absent: ask first, as in `context.input has x && context.input.x > 1`"))
                }
                E::UnsafeAttributeAccess(error) => (
                    error.to_string(),
                    Some("correct the name, name only tools that have it, or ask first: `context.input has x && …`"),
                ),
                other => (other.to_string(), None),
            };
            // Cedar names the policy that it was asked about, which is none of the configuration's.
            let what = what.strip_prefix("for policy `policy0`, ").unwrap_or(&what).to_owned();
            let new = fault(what, mend);
            if !faults.contains(&new) {
                faults.push(new);
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Meant { text: condition.to_owned(), tool: tool.to_owned(), set })
    }

    fn conditional_set(tool: &str, facts: &[String], condition: &str) -> Result<CedarSet, String> {
        let scope = format!("principal, action == {NAMESPACE}::Action::{}, resource", quote(tool));
        let policy = Policy::parse(Some(PolicyId::new("policy0")), conditional(&scope, facts, condition));
        CedarSet::from_policies([policy.map_err(|errors| errors.to_string())?]).map_err(|error| error.to_string())
    }

    /// Whether a call is one that is meant. A condition that can't be evaluated means no call.
    pub fn meets(&self, meant: &Meant, ask: &Ask<'_>) -> Result<bool, String> {
        let (request, entities) = self.meaning(ask)?;
        Ok(Authorizer::new().is_authorized(&request, &meant.set, &entities).decision() == Decision::Allow)
    }

    /// The same, where a condition that can't be evaluated is an error: for whoever mustn't take that for a no.
    pub fn means(&self, meant: &Meant, ask: &Ask<'_>) -> Result<bool, String> {
        let (request, entities) = self.meaning(ask)?;
        let response = Authorizer::new().is_authorized(&request, &meant.set, &entities);
        match response.diagnostics().errors().next() {
            Some(error) => Err(error.to_string()),
            None => Ok(response.decision() == Decision::Allow),
        }
    }

    /// A call as conditions see it.
    fn meaning(&self, ask: &Ask<'_>) -> Result<(Request, std::sync::Arc<Entities>), String> {
        let slice = self.slice_of(ask.tool).ok_or("the tool is not in the vocabulary of the policy set")?;
        let action = self.vocabulary.actions.get(ask.tool).ok_or("the tool is not in the vocabulary of the policy set")?;
        let mut pairs = Self::context(ask, true, None);
        pairs.push(Self::provenance(ask, action));
        pairs.push(("input".to_owned(), action.input.expression(ask.input, "/input").map_err(|unheld| unheld.to_string())?));
        let context = Context::from_pairs(pairs).map_err(|error| error.to_string())?;
        self.put(ask, Some(slice), context)
    }

    /// Whether some call that is meant could pass the set's enforced rules, with everything left open that isn't known.
    pub fn question(&self, meant: &Meant, known: &Known<'_>) -> Result<Question<'_>, String> {
        let absent = || "the tool is not in the vocabulary of the policy set".to_owned();
        let slice = self.slice_of(&meant.tool).ok_or_else(absent)?;
        let name = |name: &str| EntityTypeName::from_str(name).map_err(|error| error.to_string());
        let action = action_uid(&meant.tool).ok_or_else(absent)?;
        let request = RequestEnv::new(name(&known.kind.type_name())?, action, name(&format!("{NAMESPACE}::Gateway"))?);
        let allowing = match self.source.mode {
            // What it says changes nothing.
            Mode::LogOnly => Self::conditional_set(&meant.tool, &[], "true")?,
            Mode::Active => slice.active.clone(),
        };
        let mut facts = self.facts(known);
        if let Some(why) = misread(known.schema) {
            return Err(format!("the tool's input schema {why}: what it denies isn't certain"));
        }
        if let Some(action) = self.vocabulary.actions.get(&meant.tool) {
            action.input.facts(known.schema, "context.input", "", &mut facts);
        }
        let meant = Self::conditional_set(&meant.tool, &facts, &meant.text)?;
        Ok(Question { schema: self.lowered.cedar_schema(), request, allowing, meant })
    }

    /// What holds of every call that a question is about, in Cedar's words.
    fn facts(&self, known: &Known<'_>) -> Vec<String> {
        let mut facts = vec![
            format!("resource == {NAMESPACE}::Gateway::{}", quote(&self.gateway)),
            "context.isOutput == false".to_owned(),
            "!(context has output)".to_owned(),
            // The words that there are: what a solver makes up otherwise is no call.
            "(context.remit.integrity == \"trusted\" || context.remit.integrity == \"untrusted\")".to_owned(),
            confidentialities(),
            format!("context.remit.space == {}", quote(known.space)),
            format!("context.remit.account == {}", quote(known.account)),
            format!("context.remit.risk == {}", quote(known.risk)),
            format!("context.remit.riskLevel == {}", known.risk_level),
            format!("context.remit.class == {}", quote(known.class)),
            "context.remit.delegated == (context.remit has user)".to_owned(),
            format!("context.system.now >= datetime(\"{}\")", datetime(known.from_ms)),
            // Cedar writes no later time: such a call can't be decided, and is denied.
            format!("context.system.now <= datetime(\"{NOW_MAX}\")"),
        ];
        facts.push(if known.categories.is_empty() {
            "context.remit.categories.isEmpty()".to_owned()
        } else {
            let categories: Vec<String> = known.categories.iter().map(|category| quote(category)).collect();
            format!("context.remit.categories == [{}]", categories.join(", "))
        });
        if let Some(agent) = known.agent {
            facts.push(format!("context.remit.agent == {}", quote(agent)));
        }
        match known.role {
            None => {}
            Some(None) => facts.push("!(context.remit has role)".to_owned()),
            Some(Some(role)) => facts.push(format!("context.remit has role && context.remit.role == {}", quote(role))),
        }
        if let Some(id) = known.id {
            facts.push(format!("principal == {}::{}", known.kind.type_name(), quote(id)));
            facts.push(format!("principal.id == {}", quote(id)));
        }
        if known.kind == PrincipalKind::OAuthUser {
            facts.push("!(context.remit has sourceIdentity)".to_owned());
        }
        facts
    }

    /// A request of a reply in the words of a call.
    pub fn supposed(&self, meant: &Meant, (request, entities): &(Request, Entities)) -> Result<Supposed, String> {
        let action = self.vocabulary.actions.get(&meant.tool).ok_or("the tool is not in the vocabulary of the policy set")?;
        let slice = self.slice_of(&meant.tool).ok_or("the tool is not in the vocabulary of the policy set")?;
        let context = request.context().ok_or("the request has no context")?;
        let context = context.to_json_value().map_err(|error| error.to_string())?;
        let principal = request.principal().ok_or("the request has no principal")?;
        let mut claims = Claims::new();
        if let Some(tags) = entities.get(principal).map(cedar_policy::Entity::tags) {
            for (name, value) in tags {
                if let Ok(EvalResult::String(text)) = value {
                    claims.insert(name.to_owned(), text);
                }
            }
        }
        let remit = context.get("remit").unwrap_or(&Value::Null);
        let text = |name: &str| remit.get(name).and_then(Value::as_str).map(str::to_owned);
        let ip = Expression::from_str("context.remit.sourceIp").ok();
        let ip = ip.and_then(|ip| cedar_policy::eval_expression(request, entities, &ip).ok());
        let source_ip = match ip {
            Some(EvalResult::ExtensionValue(shown)) => address(&shown),
            _ => None,
        };
        let since = "context.system.now.durationSince(datetime(\"1970-01-01\")).toMilliseconds()";
        let now = Expression::from_str(since).ok();
        let now_ms = match now.and_then(|now| cedar_policy::eval_expression(request, entities, &now).ok()) {
            Some(EvalResult::Long(ms)) => u64::try_from(ms).ok(),
            _ => None,
        };
        let leaves = slice.leaves.iter().chain(&slice.shadow_leaves);
        let holds = |leaf: &String| context.get(leaf).and_then(Value::as_bool).unwrap_or_default();
        Ok(Supposed {
            input: action.input.arguments(context.get("input").unwrap_or(&Value::Null)),
            claims,
            id: principal.id().unescaped().to_owned(),
            user: text("user"),
            source_identity: text("sourceIdentity"),
            source_ip,
            origin: origin(&context),
            session_id: text("sessionId").unwrap_or_default(),
            now_ms,
            bindings: leaves.map(|leaf| (leaf.clone(), holds(leaf))).collect(),
        })
    }

    /// What stands in a condition and in the rules that could speak of its tool.
    pub fn literals(&self, meant: &Meant) -> Literals {
        let mut literals = Literals::default();
        let rules = self.slice_of(&meant.tool).map(|slice: &Slice| &slice.active);
        let rules = rules.into_iter().flat_map(CedarSet::policies).take(RULES_READ_MAX);
        for policy in meant.set.policies().chain(rules) {
            if let Ok(json) = policy.to_json()
                && let Some(conditions) = json.get("conditions")
            {
                literals.collect(conditions);
            }
        }
        literals
    }

    /// The rules about a tool that look back, by name.
    pub fn looking_back(&self, tool: &str) -> Vec<String> {
        let Some(slice) = self.slice_of(tool) else { return Vec::new() };
        let rules = slice.leaves.iter().filter_map(|leaf| {
            let (policy, _) = leaf.rsplit_once("__temporal_")?;
            self.rules().get(*self.rule_of.get(&PolicyId::new(policy))?)
        });
        let names: BTreeSet<String> = rules.map(|rule| rule.id.clone()).collect();
        names.into_iter().collect()
    }
}

impl Literals {
    /// Takes over those of another.
    pub fn add(&mut self, other: Self) {
        self.longs.extend(other.longs);
        self.texts.extend(other.texts);
        self.attributes.extend(other.attributes);
    }

    fn collect(&mut self, json: &Value) {
        match json {
            Value::Object(map) => {
                for (key, value) in map {
                    match (key.as_str(), value) {
                        ("Value", Value::Number(number)) => {
                            if let Some(long) = number.as_i64().filter(|_| self.longs.len() < LITERALS_MAX) {
                                self.longs.insert(long);
                            }
                        }
                        ("Value", Value::String(text)) => self.text(text.clone()),
                        ("attr", Value::String(name)) => {
                            self.attributes.insert(name.clone());
                        }
                        ("pattern", Value::Array(parts)) => {
                            let literal = |part: &Value| part.get("Literal").and_then(Value::as_str).map(str::to_owned);
                            self.text(parts.iter().filter_map(literal).collect());
                        }
                        _ => self.collect(value),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.collect(value)),
            _ => {}
        }
    }

    fn text(&mut self, text: String) {
        if self.texts.len() < LITERALS_MAX {
            self.texts.insert(text);
        }
    }
}

/// The confidentialities that there are, each with its number.
fn confidentialities() -> String {
    let one = |level: remit_model::Confidentiality| {
        let (word, number) = (quote(level.as_str()), level.level());
        format!("(context.remit.confidentiality == {word} && context.remit.confidentialityLevel == {number})")
    };
    format!("({})", remit_model::Confidentiality::ALL.map(one).join(" || "))
}

/// What a request supposes of labels and of what stands behind arguments. Words that mean nothing here are as bad as can be.
fn origin(context: &Value) -> CallOrigin {
    let label = |name: &str| context.pointer(&format!("/remit/{name}")).cloned().unwrap_or_default();
    let labels = Labels {
        integrity: serde_json::from_value(label("integrity")).unwrap_or(Labels::UNKNOWN.integrity),
        confidentiality: serde_json::from_value(label("confidentiality")).unwrap_or(Labels::UNKNOWN.confidentiality),
    };
    let values = context.get("provenance").and_then(Value::as_object).into_iter().flatten();
    let value = |(name, word): (&String, &Value)| {
        let word = word.as_str().filter(|word| *word != "absent")?;
        Some(ValueOrigin {
            pointer: format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            role: ArgumentRole::Parameter,
            provenance: Provenance::parse(word).unwrap_or(Provenance::Untrusted),
            source: None,
        })
    };
    let requested = label("requested") == Value::Bool(true);
    CallOrigin { labels, values: values.filter_map(value).collect(), requested, request: None }
}

/// An address out of what Cedar shows of one, such as `ip("10.0.0.1/32")`: the first of a range.
fn address(shown: &str) -> Option<IpAddr> {
    let text = shown.split('"').nth(1).unwrap_or(shown);
    text.split('/').next()?.parse().ok()
}
