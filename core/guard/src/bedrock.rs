//! A guardrail of Amazon Bedrock behind one of ours: what is asked of `ApplyGuardrail`, and what its answer comes to.
//!
//! Each string of JSON text is a content block of its own, unescaped, so that `outputs[i]` of an answer stands for block `i` and escapes hide
//! nothing. Nobody is asked here: a [`Plan`] says what must be, and [`Plan::outcome`] what the answers come to. An answer that isn't understood
//! is an error, and what nobody can map back onto the text is never let through.
//!
//! Sources: the model of `bedrock-runtime` (botocore 1.44), the user guide, "Use the ApplyGuardrail API in your application", and the quotas of
//! Amazon Bedrock Guardrails.

use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::definition::{Action, Source};
use crate::json::{pointer, replaced, walk};

/// The most characters of one request: 25 text units of 1,000 characters (quotas of Amazon Bedrock Guardrails).
pub const REQUEST_CHARS_MAX: usize = 25_000;
/// The most content blocks of one request.
pub const REQUEST_BLOCKS_MAX: usize = 100;
/// The most requests for one text.
pub const REQUESTS_MAX: usize = 64;
/// The longest text, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// How much is looked at again on either side of where a string is cut, in characters.
const SEAM_CHARS: usize = 200;
/// The most findings of one answer.
const SEEN_MAX: usize = 10_000;
/// The longest name of a finding that is kept, in characters.
const NAME_CHARS_MAX: usize = 100;

/// What a guardrail of Bedrock's saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Which of its policies, in the words of our own: `SENSITIVE_INFORMATION`, `PROMPT_ATTACK`, …
    pub policy: String,
    /// A type of AWS's or the operator's name, never a text.
    pub name: String,
    /// How sure it is, in percent.
    pub score_percent: u8,
    /// What was done.
    pub action: Action,
    /// What was found, where Bedrock says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<String>,
}

/// An answer of `ApplyGuardrail`, as far as it decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it blocks: it intervened, and not only by masking.
    pub blocks: bool,
    /// What was seen.
    pub seen: Vec<Seen>,
    /// What may pass instead of each block, where values are masked; empty where nothing is.
    pub outputs: Vec<String>,
}

impl Answer {
    /// Reads a response's body. An error says what is wrong with it, and holds nothing of it.
    pub fn read(body: &[u8]) -> Result<Self, &'static str> {
        let body: Value = serde_json::from_slice(body).map_err(|_| "its answer is no JSON")?;
        let intervened = match body.get("action").and_then(Value::as_str) {
            Some("GUARDRAIL_INTERVENED") => true,
            Some("NONE") => false,
            _ => return Err("its answer names no action that is known"),
        };
        let assessments = match body.get("assessments") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(all)) => all.as_slice(),
            Some(_) => return Err("its assessments are no list"),
        };
        let mut seen = Vec::new();
        for assessment in assessments {
            let policies = assessment.as_object().ok_or("an assessment is no object")?;
            policies.iter().for_each(|(policy, said)| take(policy, said, &mut seen));
            if seen.len() > SEEN_MAX {
                return Err("it found more than can be told");
            }
        }
        let is = |action: Action| seen.iter().any(|seen| seen.action == action);
        // Whoever intervenes for a reason that isn't told, or isn't known here, has not only masked.
        let blocks = is(Action::Block) || intervened && !is(Action::Anonymize);
        if is(Action::Anonymize) && !intervened {
            return Err("it masks, and doesn't intervene");
        }
        let masks = intervened && !blocks;
        let texts = body.get("outputs").and_then(Value::as_array).filter(|_| masks).map(Vec::as_slice).unwrap_or_default();
        let outputs = texts.iter().map(|output| output.get("text").and_then(Value::as_str).map(str::to_owned));
        let outputs = outputs.collect::<Option<Vec<String>>>().ok_or("an output has no text")?;
        Ok(Self { blocks, seen, outputs })
    }
}

/// What one policy of an assessment says.
fn take(policy: &str, said: &Value, seen: &mut Vec<Seen>) {
    let (ours, lists): (&str, &[&str]) = match policy {
        "topicPolicy" => ("TOPIC", &["topics"]),
        "contentPolicy" => ("CONTENT", &["filters"]),
        "wordPolicy" => ("WORD", &["customWords", "managedWordLists"]),
        "sensitiveInformationPolicy" => ("SENSITIVE_INFORMATION", &["piiEntities", "regexes"]),
        "contextualGroundingPolicy" => ("GROUNDING", &["filters"]),
        // It only detects (user guide, "Automated Reasoning checks"): a finding is an object with one member, its kind.
        "automatedReasoningPolicy" => {
            let findings = said.get("findings").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let kinds = findings.iter().filter_map(Value::as_object).filter_map(|finding| finding.keys().next());
            seen.extend(kinds.map(|kind| new("REASONING", kind, 100, Action::None, None)));
            return;
        }
        "invocationMetrics" | "appliedGuardrailDetails" => return,
        // A policy that Bedrock has learned since: whatever it did is taken for the worst.
        other => {
            if !said.is_null() && !said.as_object().is_some_and(Map::is_empty) {
                seen.push(new("OTHER", other, 100, Action::Block, None));
            }
            return;
        }
    };
    for list in lists {
        for item in said.get(list).and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| item.get(key).and_then(Value::as_str);
            if item.get("detected").and_then(Value::as_bool) == Some(false) {
                continue;
            }
            let action = match text("action") {
                Some("BLOCKED") => Action::Block,
                Some("ANONYMIZED") => Action::Anonymize,
                Some("NONE") => Action::None,
                _ => Action::Block,
            };
            let kind = text("type");
            // What a word was is a text, and isn't told.
            let (policy, name) = match (*list, kind) {
                ("topics" | "regexes", _) => (ours, text("name").unwrap_or("?")),
                ("filters", Some("PROMPT_ATTACK")) => ("PROMPT_ATTACK", "PROMPT_ATTACK"),
                ("customWords", _) => (ours, "CUSTOM_WORD"),
                (_, kind) => (ours, kind.unwrap_or("?")),
            };
            let matched = text("match").filter(|_| ours == "SENSITIVE_INFORMATION").map(str::to_owned);
            seen.push(new(policy, name, score(item), action, matched));
        }
    }
}

/// A confidence as the least score that it stands for here ([`Confidence::of`](crate::Confidence::of)); what has none is certain.
fn score(item: &Value) -> u8 {
    match item.get("confidence").and_then(Value::as_str) {
        Some("LOW") => 50,
        Some("MEDIUM") => 70,
        Some("HIGH") => 90,
        Some(_) => 0,
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
        None => item.get("score").and_then(Value::as_f64).map_or(100, |score| (score.clamp(0.0, 1.0) * 100.0).round() as u8),
    }
}

fn new(policy: &str, name: &str, score_percent: u8, action: Action, matched: Option<String>) -> Seen {
    let name = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    Seen { policy: policy.to_owned(), name, score_percent, action, matched }
}

/// A string of the text, wherever it stands.
struct Whole {
    plain: String,
    places: Vec<Place>,
    /// The blocks that it was cut into.
    blocks: Range<usize>,
}

struct Place {
    range: Range<usize>,
    is_name: bool,
}

/// A content block.
struct Block {
    text: String,
    /// Whether it is looked at again only because a string was cut there.
    seam: bool,
}

/// Everything that must be asked about one text.
pub struct Plan<'t> {
    source: Source,
    text: &'t str,
    wholes: Vec<Whole>,
    blocks: Vec<Block>,
    /// Which blocks each request has.
    requests: Vec<Range<usize>>,
}

impl std::fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("requests", &self.requests).finish_non_exhaustive()
    }
}

/// What the answers to a plan come to.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was seen, and where in the text: a JSON pointer.
    pub seen: Vec<(Option<String>, Seen)>,
    /// Whether the text doesn't pass.
    pub blocked: bool,
    /// What passes instead: JSON text.
    pub masked: Option<String>,
}

impl<'t> Plan<'t> {
    /// What must be asked about JSON text; an error says why it can't be.
    pub fn of(source: Source, text: &'t str) -> Result<Self, &'static str> {
        if text.len() > TEXT_BYTES_MAX {
            return Err("the text is longer than a MiB");
        }
        if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
            return Err("the text is no JSON");
        }
        let mut wholes: Vec<Whole> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        walk(text, |_, value, _| {
            let plain = value.plain(text);
            if plain.trim().is_empty() {
                return;
            }
            let place = Place { range: value.range.clone(), is_name: value.is_name };
            // What stands there twice is asked for once.
            let at = *known.entry(plain.clone().into_owned()).or_insert_with(|| {
                wholes.push(Whole { plain: plain.into_owned(), places: Vec::new(), blocks: 0..0 });
                wholes.len() - 1
            });
            if let Some(whole) = wholes.get_mut(at) {
                whole.places.push(place);
            }
        });
        let mut blocks: Vec<Block> = Vec::new();
        let mut seams: Vec<Block> = Vec::new();
        for whole in &mut wholes {
            let begin = blocks.len();
            let parts = cut(&whole.plain);
            for pair in parts.windows(2) {
                let [left, right] = pair else { continue };
                let end = left.char_indices().rev().nth(SEAM_CHARS - 1).map_or(*left, |(at, _)| left.get(at..).unwrap_or(left));
                let start = right.char_indices().nth(SEAM_CHARS).map_or(*right, |(at, _)| right.get(..at).unwrap_or(right));
                seams.push(Block { text: format!("{end}{start}"), seam: true });
            }
            blocks.extend(parts.into_iter().map(|part| Block { text: part.to_owned(), seam: false }));
            whole.blocks = begin..blocks.len();
        }
        blocks.append(&mut seams);
        let mut requests: Vec<Range<usize>> = Vec::new();
        let mut chars = 0;
        for (i, block) in blocks.iter().enumerate() {
            let length = block.text.chars().count();
            match requests.last_mut() {
                Some(last) if last.len() < REQUEST_BLOCKS_MAX && chars + length <= REQUEST_CHARS_MAX => {
                    last.end = i + 1;
                    chars += length;
                }
                _ => {
                    requests.push(i..i + 1);
                    chars = length;
                }
            }
        }
        if requests.len() > REQUESTS_MAX {
            return Err("the text is longer than what is asked about one");
        }
        Ok(Self { source, text, wholes, blocks, requests })
    }

    /// The bodies of the requests, in order.
    pub fn bodies(&self) -> Vec<String> {
        let of = |request: &Range<usize>| {
            let blocks = self.blocks.get(request.clone()).unwrap_or_default();
            body(self.source, blocks.iter().map(|block| block.text.as_str()))
        };
        self.requests.iter().map(of).collect()
    }

    /// What the answers to these requests, in their order, come to. An error says why nobody can tell.
    pub fn outcome(&self, answers: &[&Answer]) -> Result<Outcome, &'static str> {
        if answers.len() != self.requests.len() {
            return Err("not everything was answered");
        }
        let mut outputs: Vec<Option<&str>> = vec![None; self.blocks.len()];
        for (request, answer) in self.requests.iter().zip(answers) {
            if answer.blocks || !answer.seen.iter().any(|seen| seen.action == Action::Anonymize) {
                continue;
            }
            // An output that stands for no block can't be put in anything's place.
            if answer.outputs.len() != request.len() {
                return Err("its outputs don't fit the blocks that were asked about");
            }
            for (block, output) in request.clone().zip(&answer.outputs) {
                if let Some(place) = outputs.get_mut(block) {
                    *place = Some(output);
                }
            }
        }
        let parts = || self.blocks.iter().filter(|block| !block.seam);
        let all = || answers.iter().flat_map(|answer| &answer.seen);
        // What is seen across a cut only can't be masked on either side of it.
        let across = parts().count() < self.blocks.len()
            && all().filter(|seen| seen.action == Action::Anonymize).any(|seen| {
                !seen.matched.as_ref().is_some_and(|matched| parts().any(|part| part.text.contains(matched.as_str())))
            });
        let mut blocked = across || answers.iter().any(|answer| answer.blocks);
        let mut masks: Vec<(Range<usize>, String)> = Vec::new();
        for whole in &self.wholes {
            let part = |at: usize| outputs.get(at).copied().flatten().or_else(|| Some(&*self.blocks.get(at)?.text));
            let passes: String = whole.blocks.clone().filter_map(part).collect();
            if passes == whole.plain {
                continue;
            }
            let quoted = serde_json::to_string(&passes).map_err(|_| "what it leaves can't be written")?;
            for place in &whole.places {
                // A member's name can't be replaced without changing the structure.
                blocked |= place.is_name;
                masks.push((place.range.clone(), quoted.clone()));
            }
        }
        if masks.is_empty() && !blocked && all().any(|seen| seen.action == Action::Anonymize) {
            return Err("it masks, and its outputs are what was asked about");
        }
        masks.sort_by_key(|(range, _)| range.start);
        let masked = if blocked { None } else { replaced(self.text, &masks) };
        Ok(Outcome { seen: self.placed(answers), blocked, masked })
    }

    /// What was seen, with the places of those whose text is told.
    fn placed(&self, answers: &[&Answer]) -> Vec<(Option<String>, Seen)> {
        let mut pointers: HashMap<usize, String> = HashMap::new();
        let wanted = answers.iter().any(|answer| answer.seen.iter().any(|seen| seen.matched.is_some()));
        if wanted {
            walk(self.text, |path, value, _| {
                pointers.insert(value.range.start, pointer(self.text, path, value.is_name));
            });
        }
        let at = |seen: &Seen| {
            let matched = seen.matched.as_deref()?;
            let whole = self.wholes.iter().find(|whole| whole.plain.contains(matched))?;
            pointers.get(&whole.places.first()?.range.start).cloned()
        };
        answers.iter().flat_map(|answer| &answer.seen).map(|seen| (at(seen), seen.clone())).collect()
    }
}

/// The body of a request with these blocks. What is only told must be in the answer, too: hence the whole of it (`outputScope`).
pub fn body<'a>(source: Source, blocks: impl Iterator<Item = &'a str>) -> String {
    let content: Vec<Value> = blocks.map(|text| json!({ "text": { "text": text } })).collect();
    json!({ "source": source, "outputScope": "FULL", "content": content }).to_string()
}

/// A string in parts that fit into a request, cut between words where there are any.
fn cut(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((limit, _)) = rest.char_indices().nth(REQUEST_CHARS_MAX) {
        let head = rest.get(..limit).unwrap_or(rest);
        let from = head.char_indices().rev().nth(SEAM_CHARS).map_or(0, |(at, _)| at);
        let space = head.char_indices().rev().find(|(at, c)| *at > from && c.is_whitespace()).map(|(at, _)| at);
        let (part, left) = rest.split_at(space.unwrap_or(limit));
        parts.push(part);
        rest = left;
    }
    parts.push(rest);
    parts
}
