//! The shape of Bedrock Runtime's `ApplyGuardrail`: its request's content and its response.
//!
//! Source: the model of `bedrock-runtime` (botocore 1.44). Secrets and hidden text, which Bedrock doesn't know, are reported where it
//! reports the operator's expressions, with their names.

use serde_json::{Map, Value, json};

use crate::{
    assessment::{Assessment, Coverage, Effort, Finding, Kind, Stage, Verdict},
    definition::{Action, ContentFilterType, Fault, GroundingFilterType, Source},
    guardrail::Guardrail,
    inspect::Content,
};

/// The most content blocks of a request.
pub const BLOCKS_MAX: usize = 100;
/// How many characters make a unit of use (Bedrock's price list: 1,000).
const UNIT_CHARS: usize = 1000;

/// What a block of content is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qualifier {
    /// What answers must be grounded in.
    GroundingSource,
    /// What answers must be relevant to.
    Query,
    /// What is guarded.
    GuardContent,
}

/// A block of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The text.
    pub text: String,
    /// What it is for; a block without any is guarded.
    pub qualifiers: Vec<Qualifier>,
}

/// The body of an `ApplyGuardrail` request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which side the content is on.
    pub source: Source,
    /// Whether the answer holds everything that was looked at, or only what intervened.
    pub full: bool,
    /// The content.
    pub blocks: Vec<Block>,
}

impl Request {
    /// Reads a request's body. Images can't be inspected, so that they are a fault.
    pub fn parse(body: &Value) -> Result<Self, Fault> {
        let fault = |at: &str, message: &str, hint: &str| Err(Fault::new(at, message, hint));
        let source = match body.get("source").and_then(Value::as_str) {
            Some("INPUT") => Source::Input,
            Some("OUTPUT") => Source::Output,
            _ => return fault("/source", "the source is missing or unknown", "`INPUT` or `OUTPUT`"),
        };
        let full = match body.get("outputScope").map(|scope| scope.as_str()) {
            None | Some(Some("INTERVENTIONS")) => false,
            Some(Some("FULL")) => true,
            _ => return fault("/outputScope", "the scope is unknown", "`INTERVENTIONS` or `FULL`"),
        };
        let Some(content) = body.get("content").and_then(Value::as_array) else {
            return fault("/content", "the content is missing", "a list of blocks with `text`");
        };
        if content.len() > BLOCKS_MAX {
            return fault("/content", "there are too many blocks", "at most 100");
        }
        let mut blocks = Vec::with_capacity(content.len());
        for (i, block) in content.iter().enumerate() {
            let at = format!("/content/{i}");
            let Some(text) = block.pointer("/text/text").and_then(Value::as_str) else {
                return fault(&at, "the block has no text", "`{\"text\": {\"text\": …}}`; images are not inspected here");
            };
            let mut qualifiers = Vec::new();
            for qualifier in block.pointer("/text/qualifiers").and_then(Value::as_array).into_iter().flatten() {
                qualifiers.push(match qualifier.as_str() {
                    Some("grounding_source") => Qualifier::GroundingSource,
                    Some("query") => Qualifier::Query,
                    Some("guard_content") => Qualifier::GuardContent,
                    _ => return fault(&at, "a qualifier is unknown", "`grounding_source`, `query` or `guard_content`"),
                });
            }
            blocks.push(Block { text: text.to_owned(), qualifiers });
        }
        Ok(Self { source, full, blocks })
    }
}

impl Guardrail {
    /// Inspects a request's content and answers in `ApplyGuardrail`'s shape, together with what was found in each guarded block.
    #[must_use]
    pub fn apply(&self, request: &Request, effort: impl Into<Effort>) -> (Value, Vec<Assessment>) {
        let effort = effort.into();
        let joined = |qualifier: Qualifier| {
            let texts: Vec<&str> = request
                .blocks
                .iter()
                .filter(|block| block.qualifiers.contains(&qualifier))
                .map(|block| block.text.as_str())
                .collect();
            texts.join("\n")
        };
        let (grounding_source, query) = (joined(Qualifier::GroundingSource), joined(Qualifier::Query));
        let guarded = |block: &&Block| block.qualifiers.is_empty() || block.qualifiers.contains(&Qualifier::GuardContent);
        let assess = |block: &Block| {
            let content =
                Content { source: request.source, text: &block.text, grounding_source: &grounding_source, query: &query, effort };
            self.inspect(&content)
        };
        let assessments: Vec<Assessment> = request.blocks.iter().filter(guarded).map(assess).collect();
        let texts: Vec<&str> = request.blocks.iter().filter(guarded).map(|block| block.text.as_str()).collect();
        let total: usize = request.blocks.iter().map(|block| block.text.chars().count()).sum();
        let response = response(&assessments, &texts, total, request.full);
        (response, assessments)
    }
}

impl Assessment {
    /// The response of `ApplyGuardrail`, with what intervened; `usage` counts what ran.
    #[must_use]
    pub fn apply_guardrail_response(&self) -> Value {
        response(std::slice::from_ref(self), &[], self.coverage.total, false)
    }
}

fn response(assessments: &[Assessment], texts: &[&str], total: usize, full: bool) -> Value {
    let intervened = assessments.iter().any(Assessment::intervened);
    let blocked = assessments.iter().find(|assessment| assessment.blocked);
    let outputs: Vec<Value> = match blocked {
        Some(blocked) => vec![json!({ "text": blocked.output })],
        None if intervened => assessments
            .iter()
            .enumerate()
            .filter_map(|(i, assessment)| assessment.output.as_deref().or_else(|| texts.get(i).copied()))
            .map(|text| json!({ "text": text }))
            .collect(),
        None => Vec::new(),
    };
    let findings: Vec<&Finding> = assessments
        .iter()
        .flat_map(|assessment| &assessment.findings)
        .filter(|finding| full || finding.action != Action::None || matches!(finding.kind, Kind::Grounding(_)))
        .collect();
    let guarded = assessments.iter().map(|assessment| assessment.coverage.guarded).sum();
    let coverage = Coverage { guarded, total };
    let usage = usage(assessments);
    let mut assessed = policies(&findings);
    let characters = json!({ "textCharacters": { "guarded": coverage.guarded, "total": coverage.total } });
    let mut metrics = json!({ "usage": usage, "guardrailCoverage": characters });
    let took_ns: u64 = assessments.iter().flat_map(|assessment| &assessment.stages).map(|ran| ran.took_ns).sum();
    if let Some(metrics) = metrics.as_object_mut().filter(|_| took_ns > 0) {
        metrics.insert("guardrailProcessingLatency".to_owned(), took_ns.div_ceil(1_000_000).into());
    }
    assessed.insert("invocationMetrics".to_owned(), metrics);
    let reason = match (blocked.is_some(), intervened) {
        (true, _) => "Guardrail blocked.",
        (false, true) => "Guardrail masked.",
        (false, false) => "No action.",
    };
    json!({
        "action": if intervened { "GUARDRAIL_INTERVENED" } else { "NONE" },
        "actionReason": reason,
        "outputs": outputs,
        "assessments": [assessed],
        "usage": usage,
        "guardrailCoverage": characters,
    })
}

fn usage(assessments: &[Assessment]) -> Value {
    let units = |stage: &dyn Fn(&Stage) -> bool| -> usize {
        let ran = assessments.iter().filter(|assessment| assessment.stages.iter().any(|ran| stage(&ran.stage)));
        ran.map(|assessment| assessment.coverage.guarded.div_ceil(UNIT_CHARS)).sum()
    };
    let patterns = units(&|stage| *stage == Stage::Patterns);
    json!({
        "topicPolicyUnits": units(&|stage| *stage == Stage::Topics),
        "contentPolicyUnits": units(&|stage| matches!(stage, Stage::AttackNearCues | Stage::AttackEverywhere)),
        "wordPolicyUnits": patterns,
        "sensitiveInformationPolicyUnits": patterns,
        "sensitiveInformationPolicyFreeUnits": units(&|stage| *stage == Stage::Regexes),
        "contextualGroundingPolicyUnits": units(&|stage| *stage == Stage::Grounding),
        "contentPolicyImageUnits": 0,
        "automatedReasoningPolicyUnits": units(&|stage| *stage == Stage::Reasoning),
        "automatedReasoningPolicies": usize::from(units(&|stage| *stage == Stage::Reasoning) > 0),
    })
}

fn taken(action: Action) -> &'static str {
    match action {
        Action::None => "NONE",
        Action::Anonymize => "ANONYMIZED",
        Action::Block => "BLOCKED",
    }
}

/// The findings, under the policies that found them.
fn policies(findings: &[&Finding]) -> Map<String, Value> {
    let list = |of: &dyn Fn(&Finding) -> Option<Value>| findings.iter().filter_map(|finding| of(finding)).collect::<Vec<_>>();
    let mut assessed = Map::new();
    let mut put = |policy: &str, parts: Vec<(&str, Vec<Value>)>| {
        if parts.iter().any(|(_, values)| !values.is_empty()) {
            let parts: Map<String, Value> =
                parts.into_iter().map(|(name, values)| (name.to_owned(), Value::Array(values))).collect();
            assessed.insert(policy.to_owned(), Value::Object(parts));
        }
    };
    let topics = list(&|f| {
        (f.kind == Kind::Topic).then(|| json!({ "name": f.name, "type": "DENY", "action": taken(f.action), "detected": true }))
    });
    put("topicPolicy", vec![("topics", topics)]);
    put("contentPolicy", vec![("filters", filters(findings))]);
    let word = |kind: Kind| {
        list(&|f| {
            (f.kind == kind).then(|| {
                let mut word = json!({ "match": f.matched, "action": taken(f.action), "detected": true });
                if let (Kind::ManagedWord, Some(word)) = (kind, word.as_object_mut()) {
                    word.insert("type".to_owned(), json!("PROFANITY"));
                }
                word
            })
        })
    };
    put("wordPolicy", vec![("customWords", word(Kind::Word)), ("managedWordLists", word(Kind::ManagedWord))]);
    let entities = list(&|f| match f.kind {
        Kind::Pii(kind) => Some(json!({ "match": f.matched, "type": kind.name(), "action": taken(f.action), "detected": true })),
        _ => None,
    });
    let regexes = list(&|f| match f.kind {
        Kind::Regex | Kind::Secret | Kind::HiddenText | Kind::Undecided => {
            Some(json!({ "name": f.name, "match": f.matched, "action": taken(f.action), "detected": true }))
        }
        _ => None,
    });
    put("sensitiveInformationPolicy", vec![("piiEntities", entities), ("regexes", regexes)]);
    let grounding = list(&|f| match f.kind {
        Kind::Grounding(kind) => {
            let name = if kind == GroundingFilterType::Grounding { "GROUNDING" } else { "RELEVANCE" };
            let threshold = f.threshold.unwrap_or(0.0);
            // Four decimals, so that 0.6 isn't written as 0.6000000238418579.
            let written = |value: f32| (f64::from(value) * 1e4).round() / 1e4;
            Some(json!({
                "type": name, "threshold": written(threshold), "score": written(f.score), "action": taken(f.action), "detected": f.score < threshold,
            }))
        }
        _ => None,
    });
    put("contextualGroundingPolicy", vec![("filters", grounding)]);
    let reasoning = list(&|f| match f.kind {
        Kind::Reasoning(verdict) => Some(rule(&f.name, verdict)),
        _ => None,
    });
    put("automatedReasoningPolicy", vec![("findings", reasoning)]);
    assessed
}

/// Bedrock reports a filter once, with its highest confidence.
fn filters(findings: &[&Finding]) -> Vec<Value> {
    let kind = |finding: &Finding| match finding.kind {
        Kind::Content(kind) => Some(kind),
        Kind::Attack(_) => Some(ContentFilterType::PromptAttack),
        _ => None,
    };
    let mut kinds: Vec<ContentFilterType> = findings.iter().filter_map(|finding| kind(finding)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let strongest = |of: &ContentFilterType| {
        let finding = findings
            .iter()
            .filter(|finding| kind(finding) == Some(*of))
            .max_by(|a, b| (a.action, a.confidence).cmp(&(b.action, b.confidence)))?;
        let strength = match finding.strength.unwrap_or_default() {
            crate::Strength::None => "NONE",
            crate::Strength::Low => "LOW",
            crate::Strength::Medium => "MEDIUM",
            crate::Strength::High => "HIGH",
        };
        Some(json!({
            "type": of.name(), "confidence": finding.confidence.name(), "filterStrength": strength, "action": taken(finding.action),
            "detected": true,
        }))
    };
    kinds.iter().filter_map(strongest).collect()
}

/// A rule as Bedrock's finding: its identifier has twelve of `[a-z0-9]`.
fn rule(name: &str, verdict: Verdict) -> Value {
    let mut hash =
        name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut identifier = String::with_capacity(12);
    for _ in 0..12 {
        identifier.push(char::from_digit(u32::try_from(hash % 36).unwrap_or(0), 36).unwrap_or('0'));
        hash /= 36;
    }
    let translation = json!({ "claims": [{ "naturalLanguage": name }], "confidence": 1.0 });
    let rules = json!([{ "identifier": identifier }]);
    match verdict {
        Verdict::Valid => json!({ "valid": { "translation": translation, "supportingRules": rules } }),
        Verdict::Invalid => json!({ "invalid": { "translation": translation, "contradictingRules": rules } }),
        Verdict::Satisfiable => json!({ "satisfiable": { "translation": translation } }),
    }
}
