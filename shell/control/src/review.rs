//! What a reviewer signs, and whether enough of them did.

use std::collections::BTreeMap;

use remit_model::ChangeReview;
use remit_tlog::{Note, NoteError, Signer, Verifier};
use serde::Serialize;

use crate::versions::Plan;

/// The longest comment of a reviewer, in bytes.
pub const COMMENT_BYTES_MAX: usize = 2_000;
/// The longest signed note, in bytes.
const NOTE_BYTES_MAX: usize = 16 * 1024;
/// The first line of what is signed: nothing else that such a key signs begins so.
const HEAD: &str = "remit plan review";

/// What a reviewer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Yes.
    Approve,
    /// No.
    Reject,
}

impl Answer {
    /// The word in the note.
    pub fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }
}

/// Why a review doesn't count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// The note isn't one, or its signature is nobody's.
    #[error("the review is not signed by a reviewer of the configuration in effect: {0}")]
    Note(NoteError),
    /// It is too long.
    #[error("a review has at most {NOTE_BYTES_MAX} bytes, its comment at most {COMMENT_BYTES_MAX}")]
    Long,
    /// It doesn't say what a review of this plan says.
    #[error("the note is no review of this plan: what it says is not what `remit review` signs")]
    Text,
    /// The plan is the reviewer's own.
    #[error("`{0}` is the plan's author: somebody else must review it")]
    Own(String),
    /// The configuration in effect asks for no reviews.
    #[error("the configuration in effect has no `change_review`: there are no reviewers")]
    NoReviewers,
}

/// The text that is signed: it says what it is about, so that a reviewer can read what the key is used for.
pub fn text(gateway: &str, plan: &Plan, answer: Answer, comment: &str) -> String {
    let one_line = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let mut text = format!(
        "{HEAD}\n{}\nplan {}\ngateway {}\nchanges version {} {}\ninto {}\nauthor {}\n",
        answer.word(),
        plan.plan,
        one_line(gateway),
        plan.base,
        plan.base_digest,
        plan.digest,
        one_line(&plan.by),
    );
    let comment = one_line(comment);
    if !comment.trim().is_empty() {
        text.push_str(&format!("comment {}\n", comment.trim()));
    }
    text
}

/// Signs a review.
pub fn sign(signer: &Signer, gateway: &str, plan: &Plan, answer: Answer, comment: &str) -> Result<String, ReviewError> {
    if comment.len() > COMMENT_BYTES_MAX {
        return Err(ReviewError::Long);
    }
    signer.sign(&text(gateway, plan, answer, comment)).map(|note| note.to_string()).map_err(ReviewError::Note)
}

/// One review that counts: its signature is a reviewer's, and it says what this plan is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Review {
    /// The reviewer's name, as in the key.
    pub reviewer: String,
    /// What they say.
    pub answer: Answer,
    /// What they say to it.
    pub comment: String,
}

/// Verifies a signed note as a review of this plan by one of these reviewers, who isn't its author.
pub fn verify(required: Option<&ChangeReview>, gateway: &str, plan: &Plan, note: &str) -> Result<Review, ReviewError> {
    let required = required.ok_or(ReviewError::NoReviewers)?;
    if note.len() > NOTE_BYTES_MAX {
        return Err(ReviewError::Long);
    }
    let keys: Vec<Verifier> = required.reviewers.iter().filter_map(|key| Verifier::parse(key).ok()).collect();
    let parsed = Note::parse(note).map_err(ReviewError::Note)?;
    let found = keys.iter().map(|key| parsed.verify(key).map(|_| key.name()));
    let found = found.reduce(|found, next| if found.is_ok() { found } else { next.or(found) });
    let reviewer = found.unwrap_or(Err(NoteError::Untrusted)).map_err(ReviewError::Note)?.to_owned();
    let signed = parsed.text();
    let answer = match signed.lines().nth(1) {
        Some("approve") => Answer::Approve,
        Some("reject") => Answer::Reject,
        _ => return Err(ReviewError::Text),
    };
    let comment = signed.lines().find_map(|line| line.strip_prefix("comment ")).unwrap_or_default();
    // The whole text is what this plan's review says, to the byte: nothing is read out of a text that could say something else as well.
    if text(gateway, plan, answer, comment) != signed {
        return Err(ReviewError::Text);
    }
    if is_author(&reviewer, plan) {
        return Err(ReviewError::Own(reviewer));
    }
    Ok(Review { reviewer, answer, comment: comment.to_owned() })
}

/// Names are compared as people would: an author is known by name alone.
fn is_author(reviewer: &str, plan: &Plan) -> bool {
    reviewer.to_lowercase() == plan.by.trim().to_lowercase()
}

/// How a plan stands with its reviewers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// How many must approve.
    pub needed: u32,
    /// Whether enough approve and nobody rejects.
    pub approved: bool,
    /// The last word of each reviewer, by name.
    pub reviews: Vec<Review>,
    /// Reviewers who haven't said anything, and may.
    pub missing: Vec<String>,
    /// The notes that approve, each with its reviewer's name.
    #[serde(skip)]
    pub approvals: Vec<(String, String)>,
}

/// Counts the reviews of a plan under the rule in effect. Notes that don't verify any more (the reviewer is none now) don't count.
pub fn standing(required: &ChangeReview, gateway: &str, plan: &Plan, notes: &[(String, String)]) -> Standing {
    let mut last: BTreeMap<String, (Review, &str)> = BTreeMap::new();
    for (_, note) in notes {
        if let Ok(review) = verify(Some(required), gateway, plan, note) {
            last.insert(review.reviewer.clone(), (review, note));
        }
    }
    let names = required.reviewers.iter().map(|key| ChangeReview::name_of(key));
    let missing = names.filter(|name| !last.contains_key(*name) && !is_author(name, plan)).map(str::to_owned).collect();
    let of = |answer: Answer| last.values().filter(move |(review, _)| review.answer == answer);
    let approvals: Vec<(String, String)> =
        of(Answer::Approve).map(|(review, note)| (review.reviewer.clone(), (*note).to_owned())).collect();
    let enough = u32::try_from(approvals.len()).unwrap_or(u32::MAX) >= required.approvals;
    Standing {
        needed: required.approvals,
        approved: enough && of(Answer::Reject).next().is_none(),
        reviews: last.values().map(|(review, _)| review.clone()).collect(),
        missing,
        approvals,
    }
}
