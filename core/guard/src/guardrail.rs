//! A guardrail, compiled: one filter for each side, and what is needed behind it.

use std::{collections::BTreeMap, sync::Arc};

use regex::{Regex, RegexBuilder};

use crate::{
    definition::{self, Action, ContentFilterType, Definition, Fault, PiiType, Source, Strength},
    lexicon,
    literals::Literals,
    pii::{self, Cue},
    reasoning, secret,
    topic::Topics,
};

/// The most memory of one compiled expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// What a word of the filter stands for.
#[derive(Clone, Copy)]
pub(crate) enum Mark {
    Secret(usize),
    Cue(Cue),
    Word(usize),
    Profanity(usize),
    Content(ContentFilterType, u8),
    Attack,
}

/// An expression of the operator's.
pub(crate) struct Expression {
    pub(crate) name: Arc<str>,
    pub(crate) regex: Regex,
    pub(crate) action: Action,
}

/// What a guardrail does on one side.
pub(crate) struct Side {
    pub(crate) literals: Literals<Mark>,
    pub(crate) pii: BTreeMap<PiiType, Action>,
    pub(crate) expressions: Vec<Expression>,
    /// Words of one or two bytes, which the filter can't hold.
    pub(crate) short_words: Option<(Regex, Vec<usize>)>,
    pub(crate) words: Vec<(Arc<str>, Action)>,
    pub(crate) profanity: Option<Action>,
    pub(crate) content: BTreeMap<ContentFilterType, (Strength, Action)>,
    pub(crate) secrets: Option<Action>,
    pub(crate) hidden_text: Option<Action>,
    pub(crate) topics: Topics,
    pub(crate) reasoning: Option<Action>,
    pub(crate) message: Arc<str>,
}

/// A guardrail that is ready to inspect.
pub struct Guardrail {
    definition: Definition,
    input: Side,
    output: Side,
    pub(crate) reasoning: Option<reasoning::Compiled>,
}

impl std::fmt::Debug for Guardrail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guardrail").field("name", &self.definition.name).finish_non_exhaustive()
    }
}

impl Guardrail {
    /// Checks a definition and compiles it; all its faults at once.
    pub fn compile(definition: Definition) -> Result<Self, Vec<Fault>> {
        let mut faults = definition::faults(&definition);
        let reasoning = definition.automated_reasoning.as_ref().map(|policy| reasoning::Compiled::new(policy, &mut faults));
        if !faults.is_empty() {
            return Err(faults);
        }
        let input = side(&definition, Source::Input, &mut faults);
        let output = side(&definition, Source::Output, &mut faults);
        if faults.is_empty() {
            return Ok(Self { definition, input, output, reasoning });
        }
        // Both sides compile the same expressions.
        faults.dedup();
        Err(faults)
    }

    /// The definition that it was compiled from.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    pub(crate) fn side(&self, source: Source) -> &Side {
        match source {
            Source::Input => &self.input,
            Source::Output => &self.output,
        }
    }
}

fn side(d: &Definition, source: Source, faults: &mut Vec<Fault>) -> Side {
    let of = |input: Action, output: Action| if source == Source::Input { input } else { output };
    let sensitive = &d.sensitive_information;
    let pii: BTreeMap<PiiType, Action> = sensitive
        .pii_entities
        .iter()
        .map(|e| (e.kind, of(e.input_action.unwrap_or(e.action), e.output_action.unwrap_or(e.action))))
        .collect();
    let mut expressions = Vec::new();
    for (i, entity) in sensitive.regexes.iter().enumerate() {
        match RegexBuilder::new(&entity.pattern)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .nest_limit(50)
            .build()
        {
            Ok(regex) => expressions.push(Expression {
                name: entity.name.as_str().into(),
                regex,
                action: of(entity.input_action.unwrap_or(entity.action), entity.output_action.unwrap_or(entity.action)),
            }),
            Err(error) => {
                let at = format!("/sensitive_information/regexes/{i}/pattern");
                let reason = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                faults.push(Fault::new(at, reason, "Rust's syntax: no look-around, no back references"));
            }
        }
    }
    let content: BTreeMap<_, _> = d
        .content_filters
        .iter()
        .map(|f| {
            let strength = if source == Source::Input { f.input_strength } else { f.output_strength };
            (f.kind, (strength, of(f.input_action, f.output_action)))
        })
        .filter(|(_, (strength, _))| *strength != Strength::None)
        .collect();
    let words: Vec<_> = d.words.iter().map(|w| (Arc::from(w.text.trim()), of(w.input_action, w.output_action))).collect();
    let profanity = d.managed_word_lists.first().map(|list| of(list.input_action, list.output_action));
    let secrets = sensitive.secrets.map(|sides| of(sides.input_action, sides.output_action));
    let hidden_text = d.hidden_text.map(|sides| of(sides.input_action, sides.output_action));
    let mut marks = marks(&words, profanity.is_some(), &content, secrets.is_some());
    for (cue, cues) in pii::CUES {
        if cue.kinds().iter().any(|kind| pii.contains_key(kind)) {
            marks.extend(cues.iter().map(|word| (lower(word), Mark::Cue(*cue))));
        }
    }
    let shapes = pii::shapes(|kind| pii.contains_key(&kind));
    let reasoning = d.automated_reasoning.as_ref().map(|policy| of(policy.input_action, policy.output_action));
    let message = if source == Source::Input { &d.blocked_input_messaging } else { &d.blocked_outputs_messaging };
    Side {
        literals: Literals::new(&shapes, marks),
        pii,
        expressions,
        short_words: short_words(&words),
        words,
        profanity,
        content,
        secrets,
        hidden_text,
        topics: Topics::new(&d.topics, |topic| of(topic.input_action, topic.output_action)),
        reasoning,
        message: message.as_str().into(),
    }
}

/// The words that the filter looks for, cues of sensitive information apart.
fn marks(
    words: &[(Arc<str>, Action)],
    profanity: bool,
    content: &BTreeMap<ContentFilterType, (Strength, Action)>,
    secrets: bool,
) -> Vec<(Box<[u8]>, Mark)> {
    let mut marks = Vec::new();
    for (index, (word, _)) in words.iter().enumerate() {
        let mut forms = vec![lower(word)];
        // Upper and lower case of letters beyond ASCII are different bytes.
        for form in [word.to_lowercase(), word.to_uppercase()] {
            let form = lower(&form);
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
        marks.extend(forms.into_iter().map(|form| (form, Mark::Word(index))));
    }
    if profanity {
        marks.extend(lexicon::PROFANITY.iter().enumerate().map(|(index, word)| (lower(word), Mark::Profanity(index))));
    }
    for (kind, weight, phrases) in lexicon::CONTENT {
        if content.contains_key(kind) {
            marks.extend(phrases.iter().map(|phrase| (lower(phrase), Mark::Content(*kind, *weight))));
        }
    }
    if content.contains_key(&ContentFilterType::PromptAttack) {
        marks.extend(lexicon::ATTACK_CUES.iter().map(|cue| (lower(cue), Mark::Attack)));
    }
    if secrets {
        marks.extend(secret::FORMS.iter().enumerate().map(|(index, form)| (lower(form.prefix), Mark::Secret(index))));
    }
    marks
}

fn lower(word: &str) -> Box<[u8]> {
    word.to_ascii_lowercase().into_bytes().into_boxed_slice()
}

/// One expression for all words of one or two bytes, and which word each is.
fn short_words(words: &[(Arc<str>, Action)]) -> Option<(Regex, Vec<usize>)> {
    let short: Vec<usize> = words.iter().enumerate().filter(|(_, (word, _))| word.len() < 3).map(|(index, _)| index).collect();
    let alternatives: Vec<String> =
        short.iter().filter_map(|&index| words.get(index)).map(|(word, _)| format!("({})", regex::escape(word))).collect();
    if short.is_empty() {
        return None;
    }
    let pattern = format!("(?i){}", alternatives.join("|"));
    Regex::new(&pattern).ok().map(|regex| (regex, short))
}
