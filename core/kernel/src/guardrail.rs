//! Guardrails: what a call's arguments and results hold that must not pass, or not as it is.
//!
//! They are configuration like any other: pure functions of a text, so a decision is the same whenever it is made again. Several may be
//! attached; each sees what the one before has left.

use std::sync::Arc;

use remit_guard::assessment::Kind;
use remit_guard::inherit::effective;
use remit_guard::{Action, Fault, Finding, Guardrail, Source, Stage};
use remit_model::{GuardrailKey, Organization, Risk, Space, plain_pointer};
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
    key: GuardrailKey,
    origin: Arc<str>,
    /// Its text, by which it is known again.
    definition: Arc<str>,
    guardrail: Arc<Guardrail>,
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
    /// What it took, in microseconds, where whoever asked has a clock and says so: nothing is decided by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// Why it doesn't pass, and where the guardrail stands that says so.
    #[serde(skip)]
    pub blocked: Option<(String, Arc<str>)>,
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
        let denial = Denial { reason: Reason::Guardrail, layer: Layer::Guardrail, statement: statement.clone() };
        let line = LayerLine {
            layer: Layer::Guardrail,
            effect: Effect::ExplicitDeny,
            statement: statement.into(),
            origin: Some(origin),
        };
        Some((denial, line))
    }
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
            if all.iter().any(|guard| guard.key == text.key) {
                continue;
            }
            let kept = before.and_then(|before| before.all.iter().find(|guard| guard.is(text)));
            all.push(match kept {
                Some(guard) => Guard::new(text, Arc::clone(&guard.guardrail)),
                None => Guard::compile(text)?,
            });
        }
        Ok(all)
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.broken.is_none()
    }

    /// What they make of JSON text. `risk` says how much is looked at: what does little harm is looked at cheaply.
    pub fn inspect(&self, source: Source, text: &str, risk: Risk) -> Guarded {
        let mut guarded = Guarded::default();
        if let Some(why) = &self.broken {
            guarded.blocked = Some((why.clone(), "".into()));
            return guarded;
        }
        let heavy = risk >= Risk::High;
        for guard in &self.all {
            let seen = guarded.masked.as_deref().unwrap_or(text);
            let assessment = guard.guardrail.inspect_json(source, seen, heavy);
            guarded.found.extend(assessment.findings.iter().map(|finding| found(&guard.key, finding)));
            for stage in assessment.stages.iter().map(|stage| word(*stage)) {
                if !guarded.stages.contains(&stage) {
                    guarded.stages.push(stage);
                }
            }
            if assessment.blocked {
                guarded.blocked = Some((blocked(&guard.key, &assessment.findings), Arc::clone(&guard.origin)));
                break;
            }
            if let Some(masked) = assessment.output {
                guarded.masked = Some(masked.into());
            }
        }
        guarded.found.sort_by_key(|found| {
            (found.action != "BLOCKED", found.action != "ANONYMIZED", std::cmp::Reverse(found.score_percent))
        });
        guarded.found.truncate(FOUND_MAX);
        guarded
    }
}

impl Guard {
    fn new(said: &remit_model::Guardrail, guardrail: Arc<Guardrail>) -> Self {
        let definition = Arc::clone(&said.definition);
        Self { key: said.key.clone(), origin: said.origin.as_str().into(), definition, guardrail }
    }

    /// A guardrail of the organization, ready to be asked; or why it can't be.
    pub fn compile(said: &remit_model::Guardrail) -> Result<Self, String> {
        let fault = |why: String| format!("guardrail `{}`: {why}", said.key);
        let definition = serde_json::from_str(&said.definition).map_err(|error| fault(error.to_string()))?;
        let faults = |faults: Vec<Fault>| fault(faults.first().map(|fault| fault.message.clone()).unwrap_or_default());
        Ok(Self::new(said, Arc::new(Guardrail::compile(definition).map_err(faults)?)))
    }

    /// Whether it is this one, and says what it says.
    pub fn is(&self, said: &remit_model::Guardrail) -> bool {
        self.key == said.key && self.definition == said.definition
    }

    /// What it makes of the body of an `ApplyGuardrail` request: the response's, and what is told of it, without the text. Everything is
    /// looked at, whatever it costs: that is what it is asked for. An error says what is wrong with the request.
    pub fn apply(&self, body: &Value) -> Result<(Value, Vec<Found>), String> {
        let request = remit_guard::response::Request::parse(body).map_err(|fault| {
            let at = plain_pointer(&fault.pointer);
            format!("{at}: {}: {}", fault.message, fault.hint)
        })?;
        let (response, assessments) = self.guardrail.apply(&request, true);
        let findings = assessments.iter().flat_map(|assessment| &assessment.findings);
        Ok((response, findings.take(FOUND_MAX).map(|finding| found(&self.key, finding)).collect()))
    }
}

fn found(key: &GuardrailKey, finding: &Finding) -> Found {
    let action = match finding.action {
        Action::Block => "BLOCKED",
        Action::Anonymize => "ANONYMIZED",
        Action::None => "NONE",
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
    let score_percent = (finding.score.clamp(0.0, 1.0) * 100.0).round() as u8;
    Found {
        guardrail: key.to_string(),
        policy: policy(finding.kind).to_owned(),
        name: finding.name.clone(),
        pointer: finding.pointer.as_deref().map(plain_pointer).filter(|pointer| pointer.len() <= POINTER_BYTES_MAX),
        score_percent,
        action: action.to_owned(),
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
