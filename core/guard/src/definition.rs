//! A guardrail as its author writes it: the policies of Amazon Bedrock Guardrails, with two of Remit's own (secrets and hidden text).
//!
//! Keys are in snake case, values are AWS's. Source of the rules and limits: the model of `bedrock` `CreateGuardrail` (botocore 1.44).

use serde::{Deserialize, Serialize};

pub use crate::pii::PiiType;

/// The most bytes of one regular expression's pattern.
pub const REGEX_PATTERN_MAX: usize = 500;
/// The most regular expressions; AWS allows as many in its API, 10 in its console.
pub const REGEXES_MAX: usize = 30;
/// The most denied topics.
pub const TOPICS_MAX: usize = 30;
/// The most words.
pub const WORDS_MAX: usize = 10_000;
/// The most characters of a word or phrase.
pub const WORD_CHARS_MAX: usize = 100;
/// The most characters of a message that replaces blocked content.
pub const MESSAGE_CHARS_MAX: usize = 500;

/// Which side a content is on. In AWS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Source {
    /// What goes to a tool or a model: arguments, prompts.
    Input,
    /// What comes from one: results, resources, answers.
    Output,
}

/// How eagerly a filter finds: a higher strength needs less evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Strength {
    /// The filter is off.
    #[default]
    None,
    /// Only what is certain (confidence HIGH).
    Low,
    /// Confidence MEDIUM or higher.
    Medium,
    /// Confidence LOW or higher.
    High,
}

/// What happens when something is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Action {
    /// It is only reported.
    None,
    /// It is replaced by its name in braces. Only for sensitive information and hidden text.
    Anonymize,
    /// The whole content is replaced by the guardrail's message.
    #[default]
    Block,
}

/// The categories of content filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContentFilterType {
    /// Sexual content.
    Sexual,
    /// Violence and threats.
    Violence,
    /// Hate against a group.
    Hate,
    /// Insults of a person.
    Insults,
    /// Help with crime.
    Misconduct,
    /// Jailbreaks, injections and the leaking of prompts.
    PromptAttack,
}

impl ContentFilterType {
    /// AWS's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sexual => "SEXUAL",
            Self::Violence => "VIOLENCE",
            Self::Hate => "HATE",
            Self::Insults => "INSULTS",
            Self::Misconduct => "MISCONDUCT",
            Self::PromptAttack => "PROMPT_ATTACK",
        }
    }
}

/// One content filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentFilter {
    /// What it filters.
    #[serde(rename = "type")]
    pub kind: ContentFilterType,
    /// How eagerly on input.
    pub input_strength: Strength,
    /// How eagerly on output.
    pub output_strength: Strength,
    /// What happens on input.
    #[serde(default)]
    pub input_action: Action,
    /// What happens on output.
    #[serde(default)]
    pub output_action: Action,
}

/// A topic that must not be spoken of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Its name, at most 100 characters.
    pub name: String,
    /// What it is, at most 200 characters.
    pub definition: String,
    /// Up to five phrases that belong to it, at most 100 characters each.
    #[serde(default)]
    pub examples: Vec<String>,
    /// What happens on input.
    #[serde(default)]
    pub input_action: Action,
    /// What happens on output.
    #[serde(default)]
    pub output_action: Action,
}

/// A word or phrase that must not occur.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// The word, found as a whole word in any case.
    pub text: String,
    /// What happens on input.
    #[serde(default)]
    pub input_action: Action,
    /// What happens on output.
    #[serde(default)]
    pub output_action: Action,
}

/// The lists of words that Remit keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ManagedWordListType {
    /// Profanity, in English.
    Profanity,
}

/// A list of words that Remit keeps, switched on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedWordList {
    /// Which list.
    #[serde(rename = "type")]
    pub kind: ManagedWordListType,
    /// What happens on input.
    #[serde(default)]
    pub input_action: Action,
    /// What happens on output.
    #[serde(default)]
    pub output_action: Action,
}

/// One kind of sensitive information and what happens to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PiiEntity {
    /// Which kind.
    #[serde(rename = "type")]
    pub kind: PiiType,
    /// What happens where the two below say nothing.
    pub action: Action,
    /// What happens on input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_action: Option<Action>,
    /// What happens on output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_action: Option<Action>,
}

/// An expression of the operator's own, in the syntax of Rust's `regex` (no look-around, no back references, linear time).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegexEntity {
    /// Its name; the mask of its matches is this in braces.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The expression.
    pub pattern: String,
    /// What happens where the two below say nothing.
    pub action: Action,
    /// What happens on input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_action: Option<Action>,
    /// What happens on output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_action: Option<Action>,
}

/// An action for each side. Remit's own policies use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sides {
    /// What happens on input.
    pub input_action: Action,
    /// What happens on output.
    pub output_action: Action,
}

/// What is done about sensitive information.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SensitiveInformation {
    /// AWS's kinds.
    pub pii_entities: Vec<PiiEntity>,
    /// The operator's own expressions.
    pub regexes: Vec<RegexEntity>,
    /// Credentials by their well-known fixed forms. Remit's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Sides>,
}

/// What a grounding filter measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum GroundingFilterType {
    /// How much of the answer the source supports.
    Grounding,
    /// How much of the query the answer takes up.
    Relevance,
}

/// One contextual grounding filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroundingFilter {
    /// What it measures.
    #[serde(rename = "type")]
    pub kind: GroundingFilterType,
    /// A score below this is a finding; 0 to 0.99.
    pub threshold: f64,
    /// What happens then.
    #[serde(default)]
    pub action: Action,
}

/// A guardrail.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Its name: letters, digits, `-` and `_`, at most 50.
    pub name: String,
    /// What it is for, at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Filters of harmful content and prompt attacks; one a category.
    #[serde(default)]
    pub content_filters: Vec<ContentFilter>,
    /// Denied topics.
    #[serde(default)]
    pub topics: Vec<Topic>,
    /// Denied words.
    #[serde(default)]
    pub words: Vec<Word>,
    /// Lists of words that Remit keeps.
    #[serde(default)]
    pub managed_word_lists: Vec<ManagedWordList>,
    /// Sensitive information.
    #[serde(default)]
    pub sensitive_information: SensitiveInformation,
    /// Whether an answer keeps to its source and its question.
    #[serde(default)]
    pub contextual_grounding: Vec<GroundingFilter>,
    /// Rules over structured results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automated_reasoning: Option<crate::reasoning::Policy>,
    /// Characters that a person doesn't see and a model does. Remit's own; ANONYMIZE removes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_text: Option<Sides>,
    /// What replaces blocked input.
    pub blocked_input_messaging: String,
    /// What replaces blocked output.
    pub blocked_outputs_messaging: String,
}

/// One thing that is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, as a JSON pointer (RFC 6901) into the definition.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: String,
}

impl Fault {
    pub(crate) fn new(pointer: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into(), hint: hint.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`: {} ({})", self.pointer, self.message, self.hint)
    }
}

impl std::error::Error for Fault {}

/// Every fault of a definition that can be seen without compiling it.
pub(crate) fn faults(definition: &Definition) -> Vec<Fault> {
    let mut faults = Vec::new();
    let d = definition;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if d.name.is_empty() || d.name.len() > 50 || !d.name.chars().all(word) {
        faults.push(Fault::new("/name", format!("`{}` is not a name", cut(&d.name)), "1 to 50 letters, digits, `-` or `_`"));
    }
    chars(&mut faults, "/description", d.description.as_deref().unwrap_or("-"), 200);
    chars(&mut faults, "/blocked_input_messaging", &d.blocked_input_messaging, MESSAGE_CHARS_MAX);
    chars(&mut faults, "/blocked_outputs_messaging", &d.blocked_outputs_messaging, MESSAGE_CHARS_MAX);
    count(&mut faults, "/topics", d.topics.len(), TOPICS_MAX);
    count(&mut faults, "/words", d.words.len(), WORDS_MAX);
    count(&mut faults, "/sensitive_information/regexes", d.sensitive_information.regexes.len(), REGEXES_MAX);
    policies(&mut faults, d);
    sensitive(&mut faults, d);
    faults
}

fn policies(faults: &mut Vec<Fault>, d: &Definition) {
    for (i, filter) in d.content_filters.iter().enumerate() {
        let at = format!("/content_filters/{i}");
        if d.content_filters.iter().take(i).any(|other| other.kind == filter.kind) {
            faults.push(Fault::new(&at, format!("`{}` occurs twice", filter.kind.name()), "keep one"));
        }
        no_mask(faults, &at, [filter.input_action, filter.output_action]);
    }
    for (i, topic) in d.topics.iter().enumerate() {
        let at = format!("/topics/{i}");
        chars(faults, &format!("{at}/name"), &topic.name, 100);
        chars(faults, &format!("{at}/definition"), &topic.definition, 200);
        count(faults, &format!("{at}/examples"), topic.examples.len(), 5);
        for (j, example) in topic.examples.iter().enumerate() {
            chars(faults, &format!("{at}/examples/{j}"), example, 100);
        }
        no_mask(faults, &at, [topic.input_action, topic.output_action]);
    }
    for (i, word) in d.words.iter().enumerate().take(WORDS_MAX) {
        let at = format!("/words/{i}");
        chars(faults, &format!("{at}/text"), word.text.trim(), WORD_CHARS_MAX);
        no_mask(faults, &at, [word.input_action, word.output_action]);
    }
    for (i, list) in d.managed_word_lists.iter().enumerate() {
        let at = format!("/managed_word_lists/{i}");
        if i > 0 {
            faults.push(Fault::new(&at, "the list occurs twice", "keep one"));
        }
        no_mask(faults, &at, [list.input_action, list.output_action]);
    }
    for (i, filter) in d.contextual_grounding.iter().enumerate() {
        let at = format!("/contextual_grounding/{i}");
        if !(0.0..=0.99).contains(&filter.threshold) {
            let hint = "a number from 0 to 0.99: at 1 everything would be blocked";
            faults.push(Fault::new(format!("{at}/threshold"), "the threshold is out of range", hint));
        }
        if d.contextual_grounding.iter().take(i).any(|other| other.kind == filter.kind) {
            faults.push(Fault::new(&at, "the filter occurs twice", "keep one"));
        }
        no_mask(faults, &at, [filter.action, Action::None]);
    }
}

fn sensitive(faults: &mut Vec<Fault>, d: &Definition) {
    let entities = &d.sensitive_information.pii_entities;
    for (i, entity) in entities.iter().enumerate() {
        if entities.iter().take(i).any(|other| other.kind == entity.kind) {
            let at = format!("/sensitive_information/pii_entities/{i}");
            faults.push(Fault::new(at, format!("`{}` occurs twice", entity.kind.name()), "keep one"));
        }
    }
    for (i, regex) in d.sensitive_information.regexes.iter().enumerate().take(REGEXES_MAX) {
        let at = format!("/sensitive_information/regexes/{i}");
        chars(faults, &format!("{at}/name"), &regex.name, 100);
        chars(faults, &format!("{at}/pattern"), &regex.pattern, REGEX_PATTERN_MAX);
        if regex.name.contains(['{', '}']) {
            faults.push(Fault::new(format!("{at}/name"), "a name with braces would break its mask", "leave `{` and `}` out"));
        }
    }
}

fn chars(faults: &mut Vec<Fault>, at: &str, text: &str, max: usize) {
    let length = text.chars().take(max + 1).count();
    if length == 0 || length > max {
        faults.push(Fault::new(at, if length == 0 { "it is empty" } else { "it is too long" }, format!("1 to {max} characters")));
    }
}

fn count(faults: &mut Vec<Fault>, at: &str, length: usize, max: usize) {
    if length > max {
        faults.push(Fault::new(at, format!("{length} entries are too many"), format!("at most {max}")));
    }
}

fn no_mask(faults: &mut Vec<Fault>, at: &str, actions: [Action; 2]) {
    if actions.contains(&Action::Anonymize) {
        faults.push(Fault::new(at, "only sensitive information and hidden text can be masked", "`BLOCK` or `NONE`"));
    }
}

/// A text short enough for a message.
pub(crate) fn cut(text: &str) -> &str {
    text.char_indices().nth(60).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}
