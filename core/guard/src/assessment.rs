//! What an inspection says: findings, what became of the text, what ran.

use std::ops::Range;

use crate::definition::{Action, ContentFilterType, GroundingFilterType, PiiType, Source, Strength};

/// How sure a finding is. In AWS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Not at all.
    None,
    /// Weakly.
    Low,
    /// Likely.
    Medium,
    /// Certain, as far as a form can be.
    High,
}

impl Confidence {
    /// AWS's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
        }
    }

    /// What a score from 0 to 1 comes to.
    #[must_use]
    pub fn of(score: f32) -> Self {
        match score {
            score if score >= 0.9 => Self::High,
            score if score >= 0.7 => Self::Medium,
            score if score >= 0.5 => Self::Low,
            _ => Self::None,
        }
    }

    /// Whether a filter of a strength acts on it.
    #[must_use]
    pub fn suffices(self, strength: Strength) -> bool {
        match strength {
            Strength::None => false,
            Strength::Low => self >= Self::High,
            Strength::Medium => self >= Self::Medium,
            Strength::High => self >= Self::Low,
        }
    }
}

/// What a prompt attack attempts (the words of Bedrock's guardrail checks).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PromptAttack {
    /// To talk a model out of its rules.
    Jailbreak,
    /// To give a model instructions in what should be data.
    PromptInjection,
    /// To learn a model's own instructions.
    PromptLeakage,
}

impl PromptAttack {
    /// AWS's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Jailbreak => "JAILBREAK",
            Self::PromptInjection => "PROMPT_INJECTION",
            Self::PromptLeakage => "PROMPT_LEAKAGE",
        }
    }
}

/// What a rule of automated reasoning comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The rule holds.
    Valid,
    /// The rule is broken.
    Invalid,
    /// A fact is missing or of another type: the rule may hold or not.
    Satisfiable,
}

/// Which part of a guardrail found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A content filter.
    Content(ContentFilterType),
    /// The prompt attack filter, with what was attempted.
    Attack(PromptAttack),
    /// A denied topic.
    Topic,
    /// A denied word.
    Word,
    /// A word of a managed list.
    ManagedWord,
    /// Sensitive information of AWS's kinds.
    Pii(PiiType),
    /// An expression of the operator's.
    Regex,
    /// A credential.
    Secret,
    /// Hidden text.
    HiddenText,
    /// Contextual grounding.
    Grounding(GroundingFilterType),
    /// A rule over a structured result.
    Reasoning(Verdict),
    /// The content could not be inspected, so it is blocked.
    Undecided,
}

/// A form in which something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// RFC 4648, either alphabet.
    Base64,
    /// Hexadecimal.
    Hex,
    /// RFC 3986 percent-encoding.
    Percent,
    /// Tag characters or variation selectors.
    HiddenText,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which part found it.
    pub kind: Kind,
    /// AWS's type, or the topic's, word's, expression's, secret's or rule's name.
    pub name: String,
    /// Where in JSON, as a pointer (RFC 6901); none in plain text. A pointer to a member of an object whose name it is ends in `#`.
    pub pointer: Option<String>,
    /// Its bytes in the text, or in the string that the pointer names.
    pub range: Range<usize>,
    /// What it was found in, if not as it stands.
    pub encoding: Option<Encoding>,
    /// From 0 to 1; for grounding, the score that missed its threshold.
    pub score: f32,
    /// The threshold of a grounding filter.
    pub threshold: Option<f32>,
    /// The score in AWS's words.
    pub confidence: Confidence,
    /// The strength of the filter that acted.
    pub strength: Option<Strength>,
    /// What was done.
    pub action: Action,
    /// The text found, for the answer to whoever owns it; never for a log. At most [`MATCHED_BYTES_MAX`].
    pub matched: String,
}

/// How much of a found text a finding keeps.
pub const MATCHED_BYTES_MAX: usize = 1024;

/// A stage of an inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Hidden text, words, forms and checksums; always.
    Patterns,
    /// The operator's expressions.
    Regexes,
    /// What is encoded in the text.
    Decoded,
    /// The attack classifier on the surroundings of telling words.
    AttackNearCues,
    /// The attack classifier on everything.
    AttackEverywhere,
    /// Denied topics.
    Topics,
    /// Contextual grounding.
    Grounding,
    /// Automated reasoning.
    Reasoning,
}

impl Stage {
    const ALL: [Self; 8] = [
        Self::Patterns,
        Self::Regexes,
        Self::Decoded,
        Self::AttackNearCues,
        Self::AttackEverywhere,
        Self::Topics,
        Self::Grounding,
        Self::Reasoning,
    ];
}

/// A clock: nanoseconds since whenever it began. Nothing is decided by what it says.
#[derive(Clone, Copy, Debug)]
pub struct Clock(pub fn() -> u64);

impl PartialEq for Clock {
    /// One clock is as good as another.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// How much is done for an inspection, and whether it is measured what that costs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effort {
    /// Whether the heavy stage runs: the classifier on everything, topics and grounding.
    pub heavy: bool,
    /// By what the stages are measured; none without.
    pub clock: Option<Clock>,
}

impl From<bool> for Effort {
    fn from(heavy: bool) -> Self {
        Self { heavy, clock: None }
    }
}

impl Effort {
    /// Begins to measure.
    pub(crate) fn lap(self) -> Lap {
        Lap(self.clock.map(|clock| (clock, clock.0())))
    }
}

/// What is being measured, if there is a clock, and since when.
pub(crate) struct Lap(Option<(Clock, u64)>);

impl Lap {
    /// How long it took, in nanoseconds.
    fn took_ns(self) -> u64 {
        self.0.map_or(0, |(clock, since)| clock.0().saturating_sub(since))
    }
}

/// A stage that ran, and what it cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageRan {
    /// The stage.
    pub stage: Stage,
    /// How long it took, in nanoseconds; 0 where nothing is measured.
    pub took_ns: u64,
}

/// The stages that ran, without an allocation for each string.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ran {
    stages: u8,
    took_ns: [u64; Stage::ALL.len()],
}

impl Ran {
    pub(crate) fn add(&mut self, stage: Stage) {
        self.stages |= 1 << stage as u8;
    }

    /// A stage has run since then.
    pub(crate) fn since(&mut self, stage: Stage, lap: Lap) {
        self.add(stage);
        if let Some(took_ns) = self.took_ns.get_mut(stage as usize) {
            *took_ns = took_ns.saturating_add(lap.took_ns());
        }
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.stages |= other.stages;
        self.took_ns.iter_mut().zip(other.took_ns).for_each(|(all, one)| *all = all.saturating_add(one));
    }

    /// All of it has run since then: what no other stage took, the pass over the text did.
    pub(crate) fn whole(mut self, lap: Lap) -> Vec<StageRan> {
        let others = self.took_ns.iter().fold(0_u64, |all, took| all.saturating_add(*took));
        if let Some(patterns) = self.took_ns.get_mut(Stage::Patterns as usize) {
            *patterns = lap.took_ns().saturating_sub(others);
        }
        let ran = Stage::ALL.into_iter().zip(self.took_ns).filter(|(stage, _)| self.stages & (1 << *stage as u8) != 0);
        ran.map(|(stage, took_ns)| StageRan { stage, took_ns }).collect()
    }
}

/// How many characters were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Looked at.
    pub guarded: usize,
    /// In all.
    pub total: usize,
}

/// What an inspection says.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// Which side was inspected.
    pub source: Source,
    /// What was found, in the text's order.
    pub findings: Vec<Finding>,
    /// Whether the content is replaced by the guardrail's message.
    pub blocked: bool,
    /// What may pass instead, if anything was blocked or masked.
    pub output: Option<String>,
    /// What ran, and what it cost.
    pub stages: Vec<StageRan>,
    /// How much was looked at.
    pub coverage: Coverage,
}

impl Assessment {
    /// Whether anything was blocked or masked.
    #[must_use]
    pub fn intervened(&self) -> bool {
        self.output.is_some()
    }

    /// The highest score of a prompt attack; 0 without one.
    #[must_use]
    pub fn attack_score(&self) -> f32 {
        self.findings
            .iter()
            .filter(|finding| matches!(finding.kind, Kind::Attack(_)))
            .map(|finding| finding.score)
            .fold(0.0, f32::max)
    }
}

/// A text cut to what a finding keeps.
pub(crate) fn matched(text: &str) -> String {
    let mut end = text.len().min(MATCHED_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
