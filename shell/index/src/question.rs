//! What can be asked, and the cursor that goes on where a page ended.

use remit_tlog::leaf_hash;

use crate::IndexError;

/// The longest text that the index keeps of a field, and that can be asked for, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;
/// The most decisions of one page.
pub const LIMIT_MAX: usize = 500;
/// The shortest part of a statement that can be asked for, in characters: statements are indexed by three.
const STATEMENT_CHARS_MIN: usize = 3;

/// What a decision said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The call may go on.
    Allow,
    /// It may not.
    Deny,
    /// A person must agree first.
    Hold,
}

impl Verdict {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Deny, Self::Hold];

    /// As the journal writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
            Self::Hold => "HOLD",
        }
    }

    /// The verdict that the journal writes so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == text)
    }

    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Allow => 0,
            Self::Deny => 1,
            Self::Hold => 2,
        }
    }

    pub(crate) fn of_code(code: i64) -> Self {
        Self::ALL.into_iter().find(|verdict| verdict.code() == code).unwrap_or(Self::Deny)
    }
}

/// Which decisions: those that are all that is said here, the newest first. Texts are compared whole, but for `statement`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// The agent.
    pub agent: Option<String>,
    /// The user for whom it acts.
    pub user: Option<String>,
    /// The space.
    pub space: Option<String>,
    /// The tool by its name in policies, or the prompt or resource.
    pub tool: Option<String>,
    /// The verdict.
    pub verdict: Option<Verdict>,
    /// The reason of a refusal.
    pub reason: Option<String>,
    /// Text that stands in the statement of a layer that decided: of any that agreed to what was allowed, or of the one that didn't. At least
    /// three characters, in their case; a policy's name is part of its statement.
    pub statement: Option<String>,
    /// A layer that decided; with `statement`, the one that the text is of.
    pub layer: Option<String>,
    /// The trace.
    pub trace_id: Option<String>,
    /// The approval.
    pub approval: Option<String>,
    /// The decision.
    pub decision: Option<String>,
    /// From this time on, in milliseconds since the epoch.
    pub since_ms: Option<u64>,
    /// Before this time.
    pub until_ms: Option<u64>,
    /// How many at most; 0 asks for 50.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

impl Question {
    /// How many decisions a page of it has at most.
    pub(crate) fn limit(&self) -> Result<usize, IndexError> {
        match self.limit {
            0 => Ok(50),
            limit if limit <= LIMIT_MAX => Ok(limit),
            _ => Err(IndexError::Question(format!("a page has at most {LIMIT_MAX} decisions"))),
        }
    }

    fn texts(&self) -> [(&'static str, &Option<String>); 10] {
        [
            ("agent", &self.agent),
            ("user", &self.user),
            ("space", &self.space),
            ("tool", &self.tool),
            ("reason", &self.reason),
            ("statement", &self.statement),
            ("layer", &self.layer),
            ("trace", &self.trace_id),
            ("approval", &self.approval),
            ("decision", &self.decision),
        ]
    }

    /// Refuses what can't be looked for.
    pub(crate) fn check(&self) -> Result<(), IndexError> {
        for (name, text) in self.texts() {
            let Some(text) = text else { continue };
            let why = if text.is_empty() {
                "is empty".to_owned()
            } else if text.len() > TEXT_BYTES_MAX {
                format!("is longer than {TEXT_BYTES_MAX} bytes")
            } else if text.contains('\0') {
                "holds a zero byte".to_owned()
            } else if name == "statement" && text.chars().count() < STATEMENT_CHARS_MIN {
                format!("has fewer than {STATEMENT_CHARS_MIN} characters")
            } else {
                continue;
            };
            return Err(IndexError::Question(format!("`{name}` {why}")));
        }
        Ok(())
    }

    /// A few digits of everything that is asked but for where to go on and how many: a cursor is good for its own question.
    fn mark(&self) -> String {
        let asked = format!("{:?}", Self { limit: 0, cursor: None, ..self.clone() });
        let digest = leaf_hash(asked.as_bytes());
        digest.as_bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The cursor that goes on before the decision with this index.
    pub(crate) fn cursor_at(&self, before: u64) -> String {
        format!("{before:x}-{}", self.mark())
    }

    /// Before which index to go on.
    pub(crate) fn before(&self) -> Result<Option<u64>, IndexError> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let parts = cursor.split_once('-').filter(|(at, _)| at.len() <= 16);
        match parts.and_then(|(at, mark)| Some((u64::from_str_radix(at, 16).ok()?, mark))) {
            Some((before, mark)) if mark == self.mark() => Ok(Some(before)),
            Some(_) => Err(IndexError::Question("the cursor belongs to another question".to_owned())),
            None => Err(IndexError::Question("the cursor is not one of ours".to_owned())),
        }
    }
}
