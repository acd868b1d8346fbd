//! What a set says of a call.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityId, EntityUid, Request, RestrictedExpression,
};
use remit_model::{CallOrigin, Labels};
use serde_json::Value;

use crate::NAMESPACE;
use crate::history::Bindings;
use crate::reads::PROVENANCE;
use crate::set::{PolicySet, Slice, action_uid, kind};
use crate::shape::Unheld;
use crate::source::{Mode, RuleEffect};
use crate::vocabulary::Action;

/// Claims of a token, or tags of a session: texts by name.
pub type Claims = BTreeMap<String, String>;

/// Who a caller is to policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalKind {
    /// Whoever shows a token: `AgentCore::OAuthUser`, named by the token's subject.
    OAuthUser,
    /// Whoever signs requests: `AgentCore::IamEntity`, named by the session's ARN.
    IamEntity,
}

impl PrincipalKind {
    /// The entity type.
    pub(crate) fn type_name(self) -> String {
        format!("{NAMESPACE}::{}", self.word())
    }

    fn word(self) -> &'static str {
        match self {
            Self::OAuthUser => "OAuthUser",
            Self::IamEntity => "IamEntity",
        }
    }
}

/// The principal of a call.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// What it is.
    pub kind: PrincipalKind,
    /// Its id.
    pub id: &'a str,
    /// Its tags.
    pub claims: &'a Claims,
}

/// Remit's own facts: `context.remit`.
#[derive(Debug, Clone, Copy)]
pub struct ContextFacts<'a> {
    /// The agent.
    pub agent: &'a str,
    /// The user for whom it acts.
    pub user: Option<&'a str>,
    /// The space's id.
    pub space: &'a str,
    /// The space's account.
    pub account: &'a str,
    /// The role that is acted in: its ARN.
    pub role: Option<&'a str>,
    /// Who is behind it.
    pub source_identity: Option<&'a str>,
    /// The policy session.
    pub session_id: &'a str,
    /// From where the request came.
    pub source_ip: Option<IpAddr>,
    /// The tool's risk.
    pub risk: &'a str,
    /// The same as a number, 1 the lowest.
    pub risk_level: i64,
    /// The tool's class.
    pub class: &'a str,
    /// The tool's categories.
    pub categories: &'a [String],
    /// The agent's trust tier for the tool and the same as a number, 1 the least autonomous; `None` where nobody has one.
    pub trust: Option<(&'a str, i64)>,
    /// Whether a person's yes goes with the call, or it will wait for one.
    pub approved: bool,
    /// The highest score of a prompt attack in the arguments, in percent; 0 where no guardrail looks.
    pub prompt_attack_percent: i64,
    /// What guardrails found in the arguments: `SENSITIVE_INFORMATION:EMAIL`.
    pub guardrail_findings: &'a [String],
    /// What the session has touched, and what stands behind the values of the call: `context.provenance`. `None`: nobody knows.
    pub origin: Option<&'a CallOrigin>,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Who calls.
    pub who: Who<'a>,
    /// The tool's name in policies.
    pub tool: &'a str,
    /// The arguments.
    pub input: &'a Value,
    /// The result, when it is there: the structured one.
    pub output: Option<&'a Value>,
    /// Remit's own facts.
    pub facts: ContextFacts<'a>,
    /// Milliseconds since the epoch.
    pub now_ms: u64,
    /// What temporal conditions came to.
    pub bindings: Option<&'a Bindings>,
}

/// What rules come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A rule permits and none forbids.
    Allow,
    /// No rule permits.
    ImplicitDeny,
    /// A rule forbids.
    ExplicitDeny,
    /// It could not be told.
    Undecided,
}

/// A rule that could not be evaluated for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// Which rule.
    pub rule: usize,
    /// Why.
    pub why: String,
}

/// One judgement with the rules that it rests on, by number in [`PolicySet::rules`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What it comes to.
    pub effect: Effect,
    /// The rules that determined it.
    pub rules: Vec<usize>,
    /// Rules that could not be evaluated.
    pub errors: Vec<RuleError>,
    /// Why nothing could be told.
    pub why: Option<String>,
}

impl Judgement {
    fn undecided(why: String) -> Self {
        Self { effect: Effect::Undecided, rules: Vec::new(), errors: Vec::new(), why: Some(why) }
    }
}

/// What a set says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// By the rules that are enforced.
    pub enforced: Judgement,
    /// By all rules, where some are only logged.
    pub shadow: Option<Judgement>,
    /// Whether the set itself is enforced.
    pub mode: Mode,
}

impl Answer {
    /// Whether the call may go on, as far as this set is concerned.
    pub fn allows(&self) -> bool {
        self.mode == Mode::LogOnly || self.enforced.effect == Effect::Allow
    }

    /// Whether what is only logged would have changed the outcome.
    pub fn flips(&self) -> bool {
        let allows = |judgement: &Judgement| judgement.effect == Effect::Allow;
        self.allows() != self.shadow.as_ref().map_or_else(|| allows(&self.enforced), allows)
    }
}

impl PolicySet {
    /// Judges a call. Nothing in it fails: what can't be told is undecided.
    ///
    /// It is Cedar's semantics, with one deviation, in the direction of denying: a forbidding rule whose evaluation fails denies, where
    /// Cedar would leave it out.
    pub fn decide(&self, ask: &Ask<'_>) -> Answer {
        let remembered = self.memory.get().and_then(|memory| Some((memory, self.gist(ask, self.slice_of(ask.tool)?)?)));
        match remembered {
            Some((memory, question)) => memory.answer(question, || self.answer(ask)),
            None => self.answer(ask),
        }
    }

    fn answer(&self, ask: &Ask<'_>) -> Answer {
        let mode = self.source.mode;
        let told = self
            .slice_of(ask.tool)
            .ok_or_else(|| "the tool is not in the vocabulary of the policy set".to_owned())
            .and_then(|slice| {
                let (request, entities) = self.request(ask, slice)?;
                Ok((slice, request, entities))
            });
        match told {
            Err(why) => Answer { enforced: Judgement::undecided(why), shadow: None, mode },
            Ok((slice, request, entities)) => Answer {
                enforced: self.judge(slice, false, &request, &entities),
                shadow: slice.shadow.is_some().then(|| {
                    let told = |leaf| ask.bindings.is_some_and(|bindings| bindings.contains_key(leaf));
                    if slice.shadow_leaves.iter().all(told) {
                        self.judge(slice, true, &request, &entities)
                    } else {
                        Judgement::undecided("a temporal condition of a rule that is only logged was not evaluated".to_owned())
                    }
                }),
                mode,
            },
        }
    }

    /// The same with every rule of the set, as Cedar has it: for comparison. Sets without temporal conditions alone.
    #[doc(hidden)]
    pub fn decide_unsliced(&self, ask: &Ask<'_>) -> Option<Decision> {
        let slice = self.slice_of(ask.tool)?;
        let (request, entities) = self.request(ask, slice).ok()?;
        Some(Authorizer::new().is_authorized(&request, self.lowered.as_cedar(), &entities).decision())
    }

    /// The judgement of a slice.
    pub(crate) fn judge(&self, slice: &Slice, shadow: bool, request: &Request, entities: &Entities) -> Judgement {
        let policies = if shadow { slice.shadow.as_ref().unwrap_or(&slice.active) } else { &slice.active };
        let response = Authorizer::new().is_authorized(request, policies, entities);
        let mut rules: Vec<usize> = response.diagnostics().reason().filter_map(|id| self.rule_of.get(id).copied()).collect();
        rules.sort_unstable();
        let mut errors: Vec<RuleError> = response
            .diagnostics()
            .errors()
            .map(|error| {
                let AuthorizationError::PolicyEvaluationError(inner) = error;
                RuleError { rule: self.rule_of.get(inner.policy_id()).copied().unwrap_or(usize::MAX), why: inner.to_string() }
            })
            .collect();
        errors.sort_by_key(|error| error.rule);
        let forbids = |error: &&RuleError| self.source.rules.get(error.rule).is_none_or(|rule| rule.effect == RuleEffect::Forbid);
        let failed: Vec<usize> =
            errors.iter().filter(forbids).map(|error| error.rule).chain(slice.broken.iter().copied()).collect();
        let denied = response.decision() == Decision::Deny;
        let effect = match (denied, rules.is_empty(), failed.is_empty()) {
            (true, false, _) => Effect::ExplicitDeny,
            (_, _, false) => {
                let why = format!("{} could not be evaluated, and it forbids", self.names(&failed));
                return Judgement { effect: Effect::ExplicitDeny, rules: failed, errors, why: Some(why) };
            }
            (true, true, true) => Effect::ImplicitDeny,
            (false, _, true) => Effect::Allow,
        };
        Judgement { effect, rules, errors, why: None }
    }

    fn names(&self, rules: &[usize]) -> String {
        let names: Vec<String> =
            rules.iter().filter_map(|rule| self.source.rules.get(*rule)).map(|rule| format!("`{}`", rule.id)).collect();
        names.join(", ")
    }

    fn request(&self, ask: &Ask<'_>, slice: &Slice) -> Result<(Request, Arc<Entities>), String> {
        self.request_with(ask, slice, Some(slice))
    }

    /// `read` is what reads the context; without it all of it is put together.
    fn request_with(&self, ask: &Ask<'_>, slice: &Slice, read: Option<&Slice>) -> Result<(Request, Arc<Entities>), String> {
        let action = self.vocabulary.actions.get(ask.tool).ok_or("the tool is not in the vocabulary of the policy set")?;
        let unheld = |unheld: Unheld| unheld.to_string();
        let mut pairs = Self::context(ask, true, read);
        if read.is_none_or(|read| read.readers.facts.of_context.contains(PROVENANCE)) {
            pairs.push(Self::provenance(ask, action));
        }
        pairs.push(("input".to_owned(), action.input.expression(ask.input, "/input").map_err(unheld)?));
        if let Some(output) = ask.output {
            pairs.push(("output".to_owned(), action.output.expression(output, "/output").map_err(unheld)?));
        }
        for leaf in &slice.shadow_leaves {
            if let Some(holds) = ask.bindings.and_then(|bindings| bindings.get(leaf)) {
                pairs.push((leaf.clone(), RestrictedExpression::new_bool(*holds)));
            }
        }
        if !slice.leaves.is_empty() {
            let bindings = ask.bindings.ok_or("the history of this caller is not known")?;
            for leaf in &slice.leaves {
                let holds = bindings.get(leaf).ok_or("a temporal condition was not evaluated")?;
                pairs.push((leaf.clone(), RestrictedExpression::new_bool(*holds)));
            }
        }
        let context = Context::from_pairs(pairs).map_err(|error| error.to_string())?;
        self.put(ask, read.is_none_or(|read| read.readers.entities).then_some(slice), context)
    }

    /// What a request is besides its context; with a slice also the entities that its rules may ask for besides the principal.
    pub(crate) fn put(&self, ask: &Ask<'_>, slice: Option<&Slice>, context: Context) -> Result<(Request, Arc<Entities>), String> {
        let principal = entity_uid(ask.who.kind.word(), ask.who.id)?;
        let resource = entity_uid("Gateway", &self.gateway)?;
        let action = action_uid(ask.tool).ok_or("the tool has no action")?;
        let made = || {
            let attributes = [("id".to_owned(), RestrictedExpression::new_string(ask.who.id.to_owned()))];
            let tags = ask.who.claims.iter().map(|(name, value)| (name.clone(), RestrictedExpression::new_string(value.clone())));
            let who = Entity::new_with_tags(principal.clone(), attributes, [], tags).map_err(|error| error.to_string())?;
            let entities = slice.into_iter().flat_map(|slice| &slice.entities).cloned().chain([who]);
            Entities::from_entities(entities, None).map_err(|error| error.to_string())
        };
        let entities = match self.memory.get() {
            Some(memory) => memory.entities(ask, slice.is_some(), made)?,
            None => Arc::new(made()?),
        };
        let request = Request::new(principal, action, resource, context, None).map_err(|error| error.to_string())?;
        Ok((request, entities))
    }

    /// The context besides arguments and result; of a slice, what its rules read of it.
    pub(crate) fn context(ask: &Ask<'_>, session_is_known: bool, slice: Option<&Slice>) -> Vec<(String, RestrictedExpression)> {
        let record = |fields: Vec<(&str, RestrictedExpression)>| {
            let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
            // Their names differ, and that is all that a record asks for.
            RestrictedExpression::new_record(fields).unwrap_or_else(|_| RestrictedExpression::new_bool(false))
        };
        let mut pairs = vec![("isOutput".to_owned(), RestrictedExpression::new_bool(ask.output.is_some()))];
        if slice.is_none_or(|slice| slice.readers.system) {
            let now = RestrictedExpression::new_datetime(datetime(ask.now_ms));
            pairs.push(("system".to_owned(), record(vec![("now", now)])));
        }
        if slice.is_none_or(|slice| slice.readers.facts.of_context.contains("remit")) {
            // Without arguments it isn't known in which session a call will be made, nor whether a rule asks for a person.
            let expression = |name: &'static str| match ask.facts.get(name)? {
                _ if !session_is_known && OF_A_CALL.contains(&name) => Some((name, RestrictedExpression::new_unknown(name))),
                fact => Some((name, fact.expression())),
            };
            let names = slice.map_or(CONTEXT_FACTS.as_slice(), |slice| &slice.readers.names);
            pairs.push(("remit".to_owned(), record(names.iter().filter_map(|name| expression(name)).collect())));
        }
        pairs
    }

    /// `context.provenance`: what stands behind each argument.
    pub(crate) fn provenance(ask: &Ask<'_>, action: &Action) -> (String, RestrictedExpression) {
        let word = |name: &str| match ask.facts.origin {
            // As bad as can be.
            None => remit_model::Provenance::Untrusted.as_str(),
            Some(origin) => origin.of(name).map_or("absent", remit_model::Provenance::as_str),
        };
        let record = RestrictedExpression::new_record(action.input.origins(word));
        (PROVENANCE.to_owned(), record.unwrap_or_else(|_| RestrictedExpression::new_bool(false)))
    }
}

/// The facts of `context.remit`, by name.
pub(crate) const CONTEXT_FACTS: [&str; 22] = [
    "agent",
    "delegated",
    "user",
    "space",
    "account",
    "role",
    "sourceIdentity",
    "sessionId",
    "sourceIp",
    "risk",
    "riskLevel",
    "class",
    "categories",
    "trustTier",
    "trustLevel",
    "approved",
    "promptAttackScore",
    "guardrailFindings",
    "integrity",
    "confidentiality",
    "confidentialityLevel",
    "requested",
];
/// Those that nobody knows before there is a call: in which session it will be made, and what its arguments are.
const OF_A_CALL: [&str; 8] = [
    "sessionId",
    "approved",
    "promptAttackScore",
    "guardrailFindings",
    "integrity",
    "confidentiality",
    "confidentialityLevel",
    "requested",
];

/// One of Remit's own facts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ContextFact<'a> {
    Text(&'a str),
    Number(i64),
    Yes(bool),
    Texts(&'a [String]),
    Address(IpAddr),
}

impl ContextFact<'_> {
    fn expression(self) -> RestrictedExpression {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        match self {
            Self::Text(one) => text(one),
            Self::Number(number) => RestrictedExpression::new_long(number),
            Self::Yes(yes) => RestrictedExpression::new_bool(yes),
            Self::Texts(texts) => RestrictedExpression::new_set(texts.iter().map(|one| text(one))),
            Self::Address(ip) => RestrictedExpression::new_ip(ip.to_string()),
        }
    }
}

impl<'a> ContextFacts<'a> {
    /// The fact of this name, if there is one.
    pub(crate) fn get(&self, name: &str) -> Option<ContextFact<'a>> {
        use ContextFact::{Address, Number, Text, Texts, Yes};
        // Every one is named here, so that a new one can't be forgotten.
        let Self {
            agent,
            user,
            space,
            account,
            role,
            source_identity,
            session_id,
            source_ip,
            risk,
            risk_level,
            class,
            categories,
            trust,
            approved,
            prompt_attack_percent,
            guardrail_findings,
            origin,
        } = *self;
        let labels = || origin.map_or(Labels::UNKNOWN, |origin| origin.labels);
        Some(match name {
            "agent" => Text(agent),
            "delegated" => Yes(user.is_some()),
            "user" => Text(user?),
            "space" => Text(space),
            "account" => Text(account),
            "role" => Text(role?),
            "sourceIdentity" => Text(source_identity?),
            "sessionId" => Text(session_id),
            "sourceIp" => Address(source_ip?),
            "risk" => Text(risk),
            "riskLevel" => Number(risk_level),
            "class" => Text(class),
            "categories" => Texts(categories),
            "trustTier" => Text(trust?.0),
            "trustLevel" => Number(trust?.1),
            "approved" => Yes(approved),
            "promptAttackScore" => Number(prompt_attack_percent),
            "guardrailFindings" => Texts(guardrail_findings),
            "integrity" => Text(labels().integrity.as_str()),
            "confidentiality" => Text(labels().confidentiality.as_str()),
            "confidentialityLevel" => Number(labels().confidentiality.level()),
            "requested" => Yes(origin.is_some_and(|origin| origin.requested)),
            _ => return None,
        })
    }
}

fn entity_uid(name: &str, id: &str) -> Result<EntityUid, String> {
    let kind = kind(name).ok_or_else(|| format!("there is no type {name}"))?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

/// A time in milliseconds since the epoch as Cedar's `datetime` reads it (RFC 80): `2026-01-31T12:30:00.123Z`.
pub fn datetime(ms: u64) -> String {
    let (secs, rest) = (ms / 1000, ms % 1000);
    let (days, secs) = (secs / 86_400, secs % 86_400);
    // Civil from days, after Howard Hinnant's algorithm.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{rest:03}Z", secs / 3600, secs / 60 % 60, secs % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{File, Source, Tool};
    use serde_json::json;

    fn asked<'a>(user: Option<&'a str>, source_ip: Option<std::net::IpAddr>, claims: &'a Claims, input: &'a Value) -> Ask<'a> {
        let facts = ContextFacts {
            agent: "agent",
            user,
            space: "s",
            account: "1",
            role: user,
            source_identity: None,
            session_id: "z",
            source_ip,
            risk: "low",
            risk_level: 1,
            class: "MUTATIVE",
            categories: &[],
            trust: None,
            approved: true,
            prompt_attack_percent: 0,
            guardrail_findings: &[],
            origin: None,
        };
        let who = Who { kind: PrincipalKind::OAuthUser, id: "ann", claims };
        Ask { who, tool: "a___b", input, output: None, facts, now_ms: 1_790_000_000_000, bindings: None }
    }

    #[test]
    fn what_no_rule_reads_is_missed_by_none() {
        let whens = [
            "true",
            "context has remit",
            "context has system && context has isOutput",
            "context.remit has user",
            "context.remit has sourceIp && context.remit.sourceIp.isLoopback()",
            "context.remit.user == \"ann\"",
            "context.remit.riskLevel < 3 && context.remit.class == \"MUTATIVE\"",
            "context.remit.categories.contains(\"transfer\")",
            "context.system.now > datetime(\"2026-01-01\")",
            "[context.remit].contains(context.remit)",
            "{all: context.remit}.all.agent == \"agent\"",
            "(if context.input.amount > 1 then context.remit else context.remit) has account",
            "context == context",
            "[context.system].contains({now: datetime(\"2026-01-01\")})",
            "action in AgentCore::Action::\"a\"",
            "AgentCore::Action::\"a___b\" in AgentCore::Action::\"a\" && context.input.amount == 2",
            "resource has name || principal has name",
            "resource == AgentCore::Gateway::\"arn:x\" && resource in AgentCore::Gateway::\"arn:x\"",
            "context.remit.role like \"*x*\"",
            "context.provenance.amount == \"untrusted\"",
            "context.remit.integrity == \"untrusted\" && context.remit.confidentialityLevel > 3",
            "[context.provenance].contains({amount: \"absent\"})",
            "context.input.amount < context.remit.riskLevel",
        ];
        let definition = r#"{"inputSchema":{"type":"object","properties":{"amount":{"type":"integer"}},"required":["amount"]}}"#;
        let tools = [Tool { id: "a___b", server: "a", definition }];
        let mut decided = 0;
        for (number, when) in whens.iter().enumerate() {
            // Each alone, and beside another one; enforced, and only logged.
            for (beside, mode) in [("", ""), (whens[(number * 7 + 3) % whens.len()], ""), ("", "@mode(\"LOG_ONLY\")")] {
                let mut text = format!("{mode} permit (principal, action, resource) when {{ {when} }};\n");
                if !beside.is_empty() {
                    text.push_str(&format!("forbid (principal, action, resource) when {{ {beside} }};\n"));
                }
                let file = File { path: "p.cedar".to_owned(), text, mode: crate::Mode::Active };
                let source = std::sync::Arc::new(Source::read(crate::Mode::Active, vec![file]).unwrap());
                let set = PolicySet::compile_with(&source, crate::vocabulary::Vocabulary::of(&tools), "arn:x", false);
                let slice = set.slice_of("a___b").unwrap();
                for (user, ip) in [(None, None), (Some("ann"), Some("127.0.0.1".parse().unwrap())), (Some("bob"), None)] {
                    let (claims, input) = (Claims::new(), json!({"amount": 2}));
                    let ask = asked(user, ip, &claims, &input);
                    let judged = |read: Option<&Slice>, shadow: bool| {
                        let (request, entities) = set.request_with(&ask, slice, read).unwrap();
                        set.judge(slice, shadow, &request, &entities)
                    };
                    for shadow in [false, true] {
                        assert_eq!(
                            judged(Some(slice), shadow),
                            judged(None, shadow),
                            "{when} beside {beside} {mode} for {user:?}"
                        );
                        decided += 1;
                    }
                }
            }
        }
        assert_eq!(decided, 23 * 18);
    }
}
