//! Guardrails: what a call's arguments and results hold that must not pass, or not as it is.
//!
//! They are configuration like any other: pure functions of a text, so a decision is the same whenever it is made again. Several may be
//! attached; each sees what the one before has left. What a guardrail of Amazon Bedrock answers is a fact ([`Answers`]): what isn't known yet
//! is told ([`Guarded::asks`]), and until it is nothing passes.

use std::collections::BTreeMap;
use std::sync::Arc;

use remit_guard::assessment::Kind;
use remit_guard::bedrock::{Answer, Plan, Seen};
use remit_guard::inherit::effective;
use remit_guard::response::Request;
use remit_guard::{Action, Clock, Effort, Fault, Finding, Guardrail, Source, Stage};
use remit_mcp::canonical::{hex, sha256};
use remit_model::{BedrockGuardrail, GuardrailKey, Organization, Risk, Space, plain_pointer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::verdict::{Denial, Effect, Layer, LayerLine, Reason};

/// The most findings that are told of one call.
const FOUND_MAX: usize = 32;
/// The longest pointer that is told, in bytes.
const POINTER_BYTES_MAX: usize = 256;

/// The guardrails that hold in a space.
#[derive(Debug, Default)]
pub struct Guards {
    all: Vec<Guard>,
    /// Why it isn't known which: then nothing passes.
    broken: Option<String>,
}

/// A guardrail, compiled.
#[derive(Debug)]
pub struct Guard {
    /// What was said of it, by which it is known again.
    said: remit_model::Guardrail,
    origin: Arc<str>,
    /// Its own definition; none where only Bedrock's stands behind it.
    guardrail: Option<Arc<Guardrail>>,
}

/// A request that a guardrail of Amazon Bedrock must answer before a text can pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Ours, behind which it stands.
    pub guardrail: GuardrailKey,
    /// Which it is and how it is asked.
    pub bedrock: Arc<BedrockGuardrail>,
    /// The body of the request.
    pub body: Arc<str>,
    /// By what its answer is known.
    digest: String,
}

/// What guardrails of Amazon Bedrock answered, or why they couldn't be asked; and by which clock it is told what guardrails take.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Answers {
    known: BTreeMap<String, Result<Answer, String>>,
    /// What is taken for the answer where nobody was asked; only where a case supposes it.
    #[serde(skip)]
    supposed: Option<Answer>,
    /// What measures the stages, where somebody wants to know. Nothing is decided by it.
    #[serde(skip)]
    clock: Option<Clock>,
    /// How long was waited for the answers, in nanoseconds.
    #[serde(skip)]
    waited_ns: u64,
}

impl Answers {
    /// Nobody is asked, and everybody is supposed to find nothing: for cases, which no network may decide.
    pub fn supposed() -> Self {
        Self { supposed: Some(Answer { blocks: false, seen: Vec::new(), outputs: Vec::new() }), ..Self::default() }
    }

    /// Nobody was asked yet, and what the stages take is to be told.
    pub fn timed(clock: Clock) -> Self {
        Self { clock: Some(clock), ..Self::default() }
    }

    /// So long was waited for answers.
    pub fn waited(&mut self, waited: std::time::Duration) {
        self.waited_ns = self.waited_ns.saturating_add(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX));
    }

    fn of(&self, ask: &Ask) -> Option<Result<&Answer, &String>> {
        self.known.get(&ask.digest).map(Result::as_ref).or_else(|| self.supposed.as_ref().map(Ok))
    }

    /// Takes what came of a request: the response's body, or why there is none.
    pub fn add(&mut self, ask: &Ask, came: Result<Vec<u8>, String>) {
        let answer = came.and_then(|body| Answer::read(&body).map_err(str::to_owned));
        self.known.insert(ask.digest.clone(), answer);
    }

    /// Whether a request was answered in a way that can be read.
    pub fn knows(&self, ask: &Ask) -> bool {
        matches!(self.of(ask), Some(Ok(_)))
    }

    /// Whether nobody was asked.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

/// What was found, without the text that it was found in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The guardrail, with its version.
    pub guardrail: String,
    /// Which of its policies: `SENSITIVE_INFORMATION`, `PROMPT_ATTACK`, …
    pub policy: String,
    /// What: a type of AWS's, or the operator's name for it.
    pub name: String,
    /// Where: a JSON pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// How sure it is, in percent.
    pub score_percent: u8,
    /// `BLOCKED`, `ANONYMIZED` or `NONE`.
    pub action: String,
}

/// What the guardrails of a space make of arguments or of a result.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Guarded {
    /// What was found, the worst first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Found>,
    /// What ran.
    pub stages: Vec<&'static str>,
    /// What each of them took, in microseconds that were begun, where there is a clock: nothing is decided by it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stages_us: BTreeMap<&'static str, u64>,
    /// What all of it took, in microseconds, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// Why it doesn't pass, and where the guardrail stands that says so.
    #[serde(skip)]
    pub blocked: Option<(String, Arc<str>)>,
    /// Whether it doesn't pass because nobody could tell whether it may.
    #[serde(skip)]
    pub undecided: bool,
    /// What must be asked before anybody can tell.
    #[serde(skip)]
    pub asks: Vec<Ask>,
    /// What passes instead: JSON text.
    #[serde(skip)]
    pub masked: Option<Arc<str>>,
}

impl Guarded {
    /// The highest score of a prompt attack, in percent.
    pub fn attack_percent(&self) -> u8 {
        self.found
            .iter()
            .filter(|found| found.policy == "PROMPT_ATTACK")
            .map(|found| found.score_percent)
            .max()
            .unwrap_or_default()
    }

    /// What was found, as policies name it: `SENSITIVE_INFORMATION:EMAIL`.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.found.iter().map(|found| format!("{}:{}", found.policy, found.name)).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Takes over what was found in another text of the same call; whether either passes is for whoever asked to say.
    pub fn join(&mut self, other: Self) {
        self.found.extend(other.found);
        self.found.sort_by_key(rank);
        self.found.truncate(FOUND_MAX);
        let new: Vec<&str> = other.stages.into_iter().filter(|stage| !self.stages.contains(stage)).collect();
        self.stages.extend(new);
        other.stages_us.into_iter().for_each(|(stage, us)| *self.stages_us.entry(stage).or_default() += us);
        self.took_us = self.took_us.zip(other.took_us).map(|(one, other)| one.saturating_add(other)).or(self.took_us);
    }

    /// What was masked, for people.
    fn masks(&self) -> usize {
        self.found.iter().filter(|found| found.action == "ANONYMIZED").count()
    }

    /// The layer's line.
    pub(crate) fn line(&self) -> (Effect, String, Option<Arc<str>>) {
        match (&self.blocked, self.masks()) {
            (Some((why, origin)), _) => (Effect::ExplicitDeny, why.clone(), Some(Arc::clone(origin))),
            (None, 0) => (Effect::Allow, "no guardrail intervenes".to_owned(), None),
            (None, 1) => (Effect::Allow, "a guardrail masks one value".to_owned(), None),
            (None, masks) => (Effect::Allow, format!("guardrails mask {masks} values"), None),
        }
    }

    /// Why a result is kept from the caller, and by which statement.
    pub fn denial(&self) -> Option<(Denial, LayerLine)> {
        let (statement, origin) = self.blocked.clone()?;
        let reason = if self.undecided { Reason::CouldNotDecide } else { Reason::Guardrail };
        let denial = Denial { reason, layer: Layer::Guardrail, statement: statement.clone() };
        let line = LayerLine {
            layer: Layer::Guardrail,
            effect: Effect::ExplicitDeny,
            statement: statement.into(),
            origin: Some(origin),
        };
        Some((denial, line))
    }
}

/// The stage of a guardrail of Amazon Bedrock.
const BEDROCK: &str = "bedrock";

/// Microseconds that were begun.
fn us(ns: u64) -> u64 {
    ns.div_ceil(1_000)
}

/// The worst first.
fn rank(found: &Found) -> (bool, bool, std::cmp::Reverse<u8>) {
    (found.action != "BLOCKED", found.action != "ANONYMIZED", std::cmp::Reverse(found.score_percent))
}

impl Guards {
    /// Those of a space.
    pub(crate) fn compile(organization: &Organization, space: &Space, before: Option<&Self>) -> Self {
        match Self::attached(organization, space, before) {
            Ok(all) => Self { all, broken: None },
            Err(why) => Self { all: Vec::new(), broken: Some(why) },
        }
    }

    fn attached(organization: &Organization, space: &Space, before: Option<&Self>) -> Result<Vec<Guard>, String> {
        let guardrails = &organization.guardrails;
        let documents = guardrails.documents(&organization.guardrail_path(space));
        let read = |policy: &&remit_model::GuardrailPolicy| {
            serde_json::from_str::<Value>(&policy.document).map_err(|error| format!("policy `{}`: {error}", policy.name))
        };
        let documents: Vec<Value> = documents.iter().map(read).collect::<Result<_, _>>()?;
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let policy = effective(&documents).map_err(|fault| format!("the policies that attach guardrails: {}", fault.message))?;
        let here = policy.attachments().into_iter().filter(|attachment| attachment.region == space.region.as_str());
        let mut all: Vec<Guard> = Vec::new();
        for attachment in here {
            let key = GuardrailKey::parse(&attachment.identifier);
            let text = key.and_then(|key| guardrails.versions.get(&key));
            let text = text.ok_or_else(|| format!("there is no guardrail `{}`", attachment.identifier))?;
            if all.iter().any(|guard| guard.said.key == text.key) {
                continue;
            }
            let kept = before.and_then(|before| before.all.iter().find(|guard| guard.is(text)));
            all.push(match kept {
                Some(guard) => Guard::new(text, guard.guardrail.clone()),
                None => Guard::compile(text)?,
            });
        }
        Ok(all)
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.broken.is_none()
    }

    /// Whether a guardrail of Amazon Bedrock stands behind one of them.
    pub fn asks_bedrock(&self) -> bool {
        self.all.iter().any(|guard| guard.said.bedrock.is_some())
    }

    /// What a server says of itself, JSON text, as agents may see it: what guardrails mask is masked, and an error says why it isn't shown.
    /// `called` names its fields that it is called by, which can't be masked. Nobody asks guardrails of Amazon Bedrock: a list waits for no one.
    pub fn shown(&self, said: &Arc<str>, called: &[&str]) -> Result<Arc<str>, String> {
        if self.is_empty() {
            return Ok(Arc::clone(said));
        }
        let guarded = self.inspect(Source::Output, said, Risk::Low, &Answers::supposed());
        if let Some((why, _)) = guarded.blocked {
            return Err(why);
        }
        let Some(masked) = guarded.masked else { return Ok(Arc::clone(said)) };
        let (before, after): (Value, Value) =
            (serde_json::from_str(said).unwrap_or_default(), serde_json::from_str(&masked).unwrap_or_default());
        match called.iter().find(|key| before.get(**key) != after.get(**key)) {
            Some(key) => Err(format!("a guardrail masks its `{key}`, by which it is called")),
            None => Ok(masked),
        }
    }

    /// What they make of JSON text. `risk` says how much is looked at: what does little harm is looked at cheaply. `answers` is what guardrails
    /// of Amazon Bedrock have answered so far.
    pub fn inspect(&self, source: Source, text: &str, risk: Risk, answers: &Answers) -> Guarded {
        let mut guarded = Guarded::default();
        if let Some(why) = &self.broken {
            guarded.blocked = Some((why.clone(), "".into()));
            return guarded;
        }
        let heavy = risk >= Risk::High;
        for guard in &self.all {
            if let Some(own) = &guard.guardrail {
                guard.inspect_own(own, source, text, Effort { heavy, clock: answers.clock }, &mut guarded);
            }
            let behind = guard.said.bedrock.as_ref().filter(|behind| guarded.blocked.is_none() && risk >= behind.risk_min);
            if let Some(behind) = behind {
                guard.inspect_behind(behind, source, text, answers, &mut guarded);
            }
            if guarded.blocked.is_some() {
                break;
            }
        }
        guarded.found.sort_by_key(rank);
        guarded.found.truncate(FOUND_MAX);
        if guarded.stages.contains(&BEDROCK) && answers.waited_ns > 0 {
            guarded.stages_us.insert(BEDROCK, us(answers.waited_ns));
        }
        guarded.took_us = answers.clock.map(|_| guarded.stages_us.values().sum());
        guarded
    }
}

impl Guard {
    fn new(said: &remit_model::Guardrail, guardrail: Option<Arc<Guardrail>>) -> Self {
        Self { said: said.clone(), origin: said.origin.as_str().into(), guardrail }
    }

    /// A guardrail of the organization, ready to be asked; or why it can't be.
    pub fn compile(said: &remit_model::Guardrail) -> Result<Self, String> {
        let Some(text) = &said.definition else { return Ok(Self::new(said, None)) };
        let fault = |why: String| format!("guardrail `{}`: {why}", said.key);
        let definition = serde_json::from_str(text).map_err(|error| fault(error.to_string()))?;
        let faults = |faults: Vec<Fault>| fault(faults.first().map(|fault| fault.message.clone()).unwrap_or_default());
        Ok(Self::new(said, Some(Arc::new(Guardrail::compile(definition).map_err(faults)?))))
    }

    /// Whether it is this one, and says what it says.
    pub fn is(&self, said: &remit_model::Guardrail) -> bool {
        self.said.key == said.key && self.said.definition == said.definition && self.said.bedrock == said.bedrock
    }

    /// What its own definition makes of what those before it have left.
    fn inspect_own(&self, own: &Guardrail, source: Source, text: &str, effort: Effort, guarded: &mut Guarded) {
        let seen = guarded.masked.as_deref().unwrap_or(text);
        let assessment = own.inspect_json(source, seen, effort);
        guarded.found.extend(assessment.findings.iter().map(|finding| found(&self.said.key, finding)));
        for ran in &assessment.stages {
            let stage = word(ran.stage);
            if !guarded.stages.contains(&stage) {
                guarded.stages.push(stage);
            }
            if effort.clock.is_some() {
                *guarded.stages_us.entry(stage).or_default() += us(ran.took_ns);
            }
        }
        if assessment.blocked {
            guarded.blocked = Some((blocked(&self.said.key, &assessment.findings), Arc::clone(&self.origin)));
        } else if let Some(masked) = assessment.output {
            guarded.masked = Some(masked.into());
        }
    }

    /// The same for the guardrail of Amazon Bedrock that stands behind it.
    fn inspect_behind(
        &self,
        behind: &Arc<BedrockGuardrail>,
        source: Source,
        text: &str,
        answers: &Answers,
        guarded: &mut Guarded,
    ) {
        let key = &self.said.key;
        if !guarded.stages.contains(&BEDROCK) {
            guarded.stages.push(BEDROCK);
        }
        let undecided = |why: &str| (format!("guardrail `{key}` could not decide: {why}"), Arc::clone(&self.origin));
        let seen = guarded.masked.as_deref().unwrap_or(text);
        let plan = match Plan::of(source, seen) {
            Ok(plan) => plan,
            Err(why) => {
                (guarded.undecided, guarded.blocked) = (true, Some(undecided(why)));
                return;
            }
        };
        let asks: Vec<Ask> = plan.bodies().into_iter().map(|body| self.ask(behind, body)).collect();
        let known: Vec<Option<Result<&Answer, &String>>> = asks.iter().map(|ask| answers.of(ask)).collect();
        if let Some(why) = known.iter().flatten().find_map(|answer| answer.err()) {
            let why = format!("Amazon Bedrock: {why}");
            (guarded.undecided, guarded.blocked) = (true, Some(undecided(&why)));
            return;
        }
        let all: Option<Vec<&Answer>> = known.iter().map(|answer| answer.and_then(Result::ok)).collect();
        let Some(all) = all else {
            let open = asks.into_iter().zip(&known).filter(|(_, answer)| answer.is_none());
            guarded.asks = open.map(|(ask, _)| ask).collect();
            (guarded.undecided, guarded.blocked) = (true, Some(undecided("Amazon Bedrock was not asked")));
            return;
        };
        let outcome = match plan.outcome(&all) {
            Ok(outcome) => outcome,
            Err(why) => {
                let why = format!("Amazon Bedrock: {why}");
                (guarded.undecided, guarded.blocked) = (true, Some(undecided(&why)));
                return;
            }
        };
        if outcome.blocked {
            let by = outcome.seen.iter().find(|(_, seen)| seen.action == Action::Block).or(outcome.seen.first());
            let what = by.map(|(_, seen)| format!(": {} {}", seen.policy, seen.name)).unwrap_or_default();
            guarded.blocked = Some((format!("guardrail `{key}` blocks, by Amazon Bedrock{what}"), Arc::clone(&self.origin)));
        }
        guarded.found.extend(outcome.seen.into_iter().map(|(pointer, seen)| found_behind(key, pointer.as_deref(), seen)));
        if let Some(masked) = outcome.masked {
            guarded.masked = Some(masked.into());
        }
    }

    fn ask(&self, behind: &Arc<BedrockGuardrail>, body: String) -> Ask {
        let guardrail = self.said.key.clone();
        let which = format!("{guardrail}\n{}\n{}\n{}\n{body}", behind.identifier, behind.version, behind.region);
        Ask { guardrail, bedrock: Arc::clone(behind), digest: hex(&sha256(which.as_bytes())), body: body.into() }
    }

    /// What it makes of the body of an `ApplyGuardrail` request. Everything is looked at, whatever it costs: that is what it is asked for. An
    /// error says what is wrong with the request.
    pub fn apply(&self, body: &Value, clock: Option<Clock>) -> Result<Applied, String> {
        let request = Request::parse(body).map_err(|fault| {
            let at = plain_pointer(&fault.pointer);
            format!("{at}: {}: {}", fault.message, fault.hint)
        })?;
        let own = self.guardrail.as_ref().map(|own| {
            let (response, assessments) = own.apply(&request, Effort { heavy: true, clock });
            let findings = assessments.iter().flat_map(|assessment| &assessment.findings);
            let found: Vec<Found> = findings.take(FOUND_MAX).map(|finding| found(&self.said.key, finding)).collect();
            (response, found, assessments.iter().any(|assessment| assessment.blocked))
        });
        let blocks = own.as_ref().is_some_and(|(_, _, blocks)| *blocks);
        // What is stopped here is not for Bedrock to see, and what is masked here it sees masked.
        let behind = self.said.bedrock.as_ref().filter(|_| !blocks);
        let then = behind.map(|behind| {
            let mut body = body.clone();
            if let Some((response, ..)) = &own {
                left(&mut body, response);
            }
            self.ask(behind, body.to_string())
        });
        Ok(Applied { own: own.map(|(response, found, _)| (response, found)), then })
    }

    /// The response to a request of [`Guard::apply`] where Bedrock was asked: what it answered, joined to what the definition did. With what is told
    /// of it, without the text. An error if it can't be read.
    pub fn joined(&self, own: Option<(Value, Vec<Found>)>, behind: &[u8]) -> Result<(Value, Vec<Found>), &'static str> {
        let told = self.told(behind)?;
        let mut response: Value = serde_json::from_slice(behind).map_err(|_| "its answer can't be read")?;
        let Some((mut ours, mut found)) = own else { return Ok((response, told)) };
        found.extend(told);
        let list = |value: &mut Value| match value.get_mut("assessments").map(Value::take) {
            Some(Value::Array(all)) => all,
            _ => Vec::new(),
        };
        let mut assessments = list(&mut ours);
        assessments.append(&mut list(&mut response));
        // Where Bedrock leaves everything as it is, what is left is what the definition left.
        if response.get("action").and_then(Value::as_str) == Some("NONE") {
            response = ours;
        }
        if let Some(map) = response.as_object_mut() {
            map.insert("assessments".to_owned(), assessments.into());
        }
        Ok((response, found))
    }

    fn told(&self, response: &[u8]) -> Result<Vec<Found>, &'static str> {
        let seen = Answer::read(response)?.seen.into_iter().take(FOUND_MAX);
        Ok(seen.map(|seen| found_behind(&self.said.key, None, seen)).collect())
    }
}

/// What a guardrail makes of an `ApplyGuardrail` request.
#[derive(Debug)]
pub struct Applied {
    /// The response of its own definition, and what is told of it, without the text; none where it has none.
    pub own: Option<(Value, Vec<Found>)>,
    /// What Bedrock must be asked, whose response it then is.
    pub then: Option<Ask>,
}

/// Puts what a definition left of the guarded blocks of a request in their place.
fn left(body: &mut Value, response: &Value) {
    let outputs = response.get("outputs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut outputs = outputs.iter().filter_map(|output| output.get("text"));
    let blocks = body.get_mut("content").and_then(Value::as_array_mut).map(Vec::as_mut_slice).unwrap_or_default();
    for text in blocks.iter_mut().filter_map(|block| block.get_mut("text")) {
        let qualifiers = text.get("qualifiers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let guarded = qualifiers.is_empty() || qualifiers.iter().any(|qualifier| qualifier.as_str() == Some("guard_content"));
        if guarded
            && let Some(left) = outputs.next()
            && let Some(text) = text.get_mut("text")
        {
            *text = left.clone();
        }
    }
}

fn found_behind(key: &GuardrailKey, pointer: Option<&str>, seen: Seen) -> Found {
    Found {
        guardrail: key.to_string(),
        policy: seen.policy,
        name: seen.name,
        pointer: pointer.map(plain_pointer).filter(|pointer| pointer.len() <= POINTER_BYTES_MAX),
        score_percent: seen.score_percent,
        action: action(seen.action).to_owned(),
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Block => "BLOCKED",
        Action::Anonymize => "ANONYMIZED",
        Action::None => "NONE",
    }
}

fn found(key: &GuardrailKey, finding: &Finding) -> Found {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
    let score_percent = (finding.score.clamp(0.0, 1.0) * 100.0).round() as u8;
    Found {
        guardrail: key.to_string(),
        policy: policy(finding.kind).to_owned(),
        name: finding.name.clone(),
        pointer: finding.pointer.as_deref().map(plain_pointer).filter(|pointer| pointer.len() <= POINTER_BYTES_MAX),
        score_percent,
        action: action(finding.action).to_owned(),
    }
}

/// Why a guardrail blocks, in words that hold nothing of the text.
fn blocked(key: &GuardrailKey, findings: &[Finding]) -> String {
    let by = findings.iter().find(|finding| finding.action == Action::Block);
    let what = by.map_or_else(String::new, |finding| {
        let at = finding.pointer.as_deref().map(plain_pointer).filter(|at| at.len() <= POINTER_BYTES_MAX);
        let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
        format!(": {} {}{at}", policy(finding.kind), finding.name)
    });
    format!("guardrail `{key}` blocks{what}")
}

fn policy(kind: Kind) -> &'static str {
    match kind {
        Kind::Content(_) => "CONTENT",
        Kind::Attack(_) => "PROMPT_ATTACK",
        Kind::Topic => "TOPIC",
        Kind::Word | Kind::ManagedWord => "WORD",
        Kind::Pii(_) | Kind::Regex => "SENSITIVE_INFORMATION",
        Kind::Secret => "SECRET",
        Kind::HiddenText => "HIDDEN_TEXT",
        Kind::Grounding(_) => "GROUNDING",
        Kind::Reasoning(_) => "REASONING",
        Kind::Undecided => "UNDECIDED",
    }
}

fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Patterns => "patterns",
        Stage::Regexes => "regexes",
        Stage::Decoded => "decoded",
        Stage::AttackNearCues => "attack_near_cues",
        Stage::AttackEverywhere => "attack_everywhere",
        Stage::Topics => "topics",
        Stage::Grounding => "grounding",
        Stage::Reasoning => "reasoning",
    }
}
