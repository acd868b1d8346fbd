//! Inspection of a text that arrives in pieces: what can no longer be part of a match is released at once.

use std::sync::Arc;

use crate::{
    assessment::{Effort, Finding, Kind},
    definition::{Action, Source},
    guardrail::Guardrail,
    inspect::{FINDINGS_MAX, TEXT_BYTES_MAX, detect, mask, stand},
    pii::{MATCH_BYTES_MAX, REACH},
};

/// How much released text is kept to explain what follows.
const BEHIND: usize = 4 * REACH;
/// How much of the end is held back when nothing longer may be under way.
const AHEAD: usize = 2 * REACH;
/// The same with expressions of the operator's, whose matches are found up to this length.
const AHEAD_EXPRESSIONS: usize = 1024;
/// How much is held back for attacks: about the classifier's window.
const AHEAD_ATTACK: usize = 512;

/// What a piece of a stream comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Release {
    /// This may pass now, masked where it must be.
    Text {
        /// The text.
        text: String,
        /// What was found in it; ranges are in the whole stream as given.
        findings: Vec<Finding>,
    },
    /// Nothing more may pass. What was released before is out.
    Blocked {
        /// What to say instead.
        message: String,
        /// Why.
        findings: Vec<Finding>,
    },
}

/// A stream under inspection. It holds a few hundred bytes; a token without an end, such as a key, up to [`HELD_BYTES_MAX`].
pub struct Stream {
    guardrail: Arc<Guardrail>,
    source: Source,
    /// Released text that explains what follows, then what is held.
    buffer: String,
    /// Where in the buffer the held text begins.
    held: usize,
    /// Where in the stream the buffer begins.
    offset: usize,
    /// Up to where findings were reported, in the stream.
    reported: usize,
    blocked: bool,
}

/// The most that is held back.
pub const HELD_BYTES_MAX: usize = 2 * MATCH_BYTES_MAX;

impl Stream {
    /// Begins a stream.
    #[must_use]
    pub fn new(guardrail: Arc<Guardrail>, source: Source) -> Self {
        Self { guardrail, source, buffer: String::new(), held: 0, offset: 0, reported: 0, blocked: false }
    }

    /// How many bytes are held back now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len() - self.held
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &str) -> Release {
        let mut output = Release::Text { text: String::new(), findings: Vec::new() };
        // A long piece is read in parts, so that what is looked at again stays small.
        let mut rest = piece;
        while !rest.is_empty() {
            let mut end = rest.len().min(TEXT_BYTES_MAX / 256);
            while !rest.is_char_boundary(end) {
                end += 1;
            }
            let (part, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
            self.buffer.push_str(part);
            rest = tail;
            let release = self.advance(false);
            if join(&mut output, release) {
                break;
            }
        }
        if piece.is_empty() && self.blocked {
            return self.advance(false);
        }
        output
    }

    /// Ends the stream: what was held is released.
    pub fn finish(mut self) -> Release {
        self.advance(true)
    }

    fn blocked(&mut self, findings: Vec<Finding>) -> Release {
        self.blocked = true;
        self.buffer = String::new();
        self.held = 0;
        let message = self.guardrail.side(self.source).message.to_string();
        Release::Blocked { message, findings }
    }

    fn advance(&mut self, last: bool) -> Release {
        if self.blocked {
            return self.blocked(Vec::new());
        }
        let side = self.guardrail.side(self.source);
        let detected = detect(side, &self.buffer, Effort::default(), true).findings;
        if detected.len() > FINDINGS_MAX {
            return self.blocked(Vec::new());
        }
        let mut findings = stand(detected);
        let mut safe = if last { self.buffer.len() } else { self.safe() };
        // A finding is released whole.
        for finding in findings.iter().rev().filter(|finding| !matches!(finding.kind, Kind::Attack(_))) {
            if finding.range.start < safe && safe < finding.range.end {
                safe = finding.range.start.max(self.held);
            }
        }
        let (offset, held, reported) = (self.offset, self.held, self.reported);
        findings.retain(|finding| {
            let attack = matches!(finding.kind, Kind::Attack(_));
            let new = finding.range.start + offset >= reported.max(offset + held);
            if attack {
                finding.range.end > held && (finding.action == Action::Block || new && finding.range.start < safe)
            } else {
                new && finding.range.start < safe
            }
        });
        if findings.iter().any(|finding| finding.action == Action::Block) {
            let findings = shifted(findings, offset);
            return self.blocked(findings);
        }
        let text = self.buffer.get(..safe).unwrap_or_default();
        let text = match mask(text, &findings) {
            // The part before what is held was released already.
            Some(masked) => masked.get(held..).unwrap_or_default().to_owned(),
            None => text.get(held..).unwrap_or_default().to_owned(),
        };
        let findings = shifted(findings, offset);
        self.reported = self.offset + safe;
        self.held = safe;
        let mut keep = self.held.saturating_sub(BEHIND.max(AHEAD_ATTACK));
        while !self.buffer.is_char_boundary(keep) {
            keep -= 1;
        }
        self.buffer.drain(..keep);
        self.held -= keep;
        self.offset += keep;
        Release::Text { text, findings }
    }

    /// Up to where nothing can be part of a match that goes on.
    fn safe(&self) -> usize {
        let side = self.guardrail.side(self.source);
        let bytes = self.buffer.as_bytes();
        let mut ahead = if side.expressions.is_empty() { AHEAD } else { AHEAD_EXPRESSIONS };
        if side.content.contains_key(&crate::definition::ContentFilterType::PromptAttack) {
            ahead = ahead.max(AHEAD_ATTACK);
        }
        let mut safe = bytes.len().saturating_sub(ahead);
        // The token that is cut, from its beginning; spaces within numbers are shorter than what is held anyway.
        let back = bytes.get(..safe).unwrap_or_default().iter().rev().take_while(|b| !b.is_ascii_whitespace()).count();
        safe -= back.min(MATCH_BYTES_MAX);
        // A private key that hasn't ended.
        let from = bytes.len().saturating_sub(HELD_BYTES_MAX - AHEAD);
        if let Some(begin) = bytes.get(from..).and_then(|tail| memchr::memmem::rfind(tail, b"-----BEGIN ")) {
            let open = bytes.len() - from - begin < MATCH_BYTES_MAX;
            if open && side.secrets.is_some() {
                safe = safe.min(from + begin);
            }
        }
        safe = safe.max(self.held).max(bytes.len().saturating_sub(HELD_BYTES_MAX));
        while !self.buffer.is_char_boundary(safe) {
            safe -= 1;
        }
        safe.max(self.held)
    }
}

fn shifted(mut findings: Vec<Finding>, offset: usize) -> Vec<Finding> {
    for finding in &mut findings {
        finding.range = finding.range.start + offset..finding.range.end + offset;
    }
    findings
}

/// Adds a release to what is released already; whether it ends the stream.
fn join(output: &mut Release, release: Release) -> bool {
    match (output, release) {
        (Release::Text { text, findings }, Release::Text { text: more, findings: others }) => {
            text.push_str(&more);
            findings.extend(others);
            false
        }
        (output, blocked) => {
            *output = blocked;
            true
        }
    }
}
