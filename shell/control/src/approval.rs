//! Approvals for people: what is shown of one, and what an approver signs at the command line.

use std::collections::{BTreeMap, BTreeSet};

use remit_kernel::Approval;
use remit_kernel::approval::{RuleAsked, Terms, Vote};
use remit_model::{Approvals, Approver, Person, Proof};
use remit_tlog::{Note, NoteError, Signer, Verifier};
use serde_json::{Value, json};

/// The longest signed note, in bytes.
const NOTE_BYTES_MAX: usize = 32 * 1024;
/// The first line of what is signed: nothing else that such a key signs begins so.
const HEAD: &str = "remit approval answer";

/// What an approver says, apart from who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whether it agrees.
    pub approves: bool,
    /// Why.
    pub reason: String,
    /// To what.
    pub terms: Terms,
    /// Whether it is an emergency.
    pub break_glass: bool,
}

/// Why a signed answer doesn't count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The note isn't one, or its signature isn't the approver's.
    #[error("the answer is not signed with the key that `approvers` names for `{0}`: {1}")]
    Note(String, NoteError),
    /// The configuration names no key for the person.
    #[error("`approvers` names no key for `{0}`")]
    NoKey(String),
    /// It is too long.
    #[error("a signed answer has at most {NOTE_BYTES_MAX} bytes")]
    Long,
    /// It doesn't say what an answer to this approval says.
    #[error("the note is no answer to this approval: what it says is not what `remit approvals` signs")]
    Text,
}

/// The text that is signed: it says what it is about, so that an approver can read what the key is used for. `gateway` is the public key of
/// the gateway's journal: an answer is good at one gateway. `id`, `agent`, `tool` and `arguments_digest` are the approval's.
pub fn text(gateway: &str, asked: &Asked<'_>, said: &Said) -> String {
    let one_line = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let terms = serde_json::to_string(&said.terms).unwrap_or_default();
    format!(
        "{HEAD}\n{}{}\napproval {}\ngateway {}\nagent {}\ntool {}\narguments {}\nterms {}\nreason {}\n",
        if said.approves { "approve" } else { "reject" },
        if said.break_glass { " in an emergency" } else { "" },
        one_line(asked.id),
        one_line(gateway),
        one_line(asked.agent),
        one_line(asked.tool),
        one_line(asked.arguments_digest),
        one_line(&terms),
        one_line(said.reason.trim()),
    )
}

/// What an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The approval's id.
    pub id: &'a str,
    /// The agent that asks.
    pub agent: &'a str,
    /// The tool.
    pub tool: &'a str,
    /// The digest of the arguments.
    pub arguments_digest: &'a str,
}

impl<'a> Asked<'a> {
    /// Of an approval.
    pub fn of(approval: &'a Approval) -> Self {
        Self { id: &approval.id, agent: &approval.agent, tool: &approval.tool, arguments_digest: &approval.arguments_digest }
    }
}

/// Signs an answer.
pub fn sign(signer: &Signer, gateway: &str, asked: &Asked<'_>, said: &Said) -> Result<String, NoteError> {
    signer.sign(&text(gateway, asked, said)).map(|note| note.to_string())
}

/// Verifies that an approver has signed this very answer: then it is proved who says it.
pub fn verify(
    approvals: &Approvals,
    by: &str,
    gateway: &str,
    approval: &Approval,
    said: &Said,
    note: &str,
) -> Result<Person, SignatureError> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(SignatureError::Long);
    }
    let no_key = || SignatureError::NoKey(by.to_owned());
    let key = approvals.approvers.get(by).and_then(|approver| approver.key.as_deref()).ok_or_else(no_key)?;
    let key = Verifier::parse(key).map_err(|_| no_key())?;
    let unsigned = |error| SignatureError::Note(by.to_owned(), error);
    let note = Note::parse(note).map_err(unsigned)?;
    note.verify(&key).map_err(unsigned)?;
    if note.text() != text(gateway, &Asked::of(approval), said) {
        return Err(SignatureError::Text);
    }
    Ok(Person { id: by.to_owned(), proof: Proof::Key })
}

/// An approval for an operator's eyes. `you` is whoever looks: whether they could agree, and why not. Times are in seconds since the epoch.
pub fn told(approval: &Approval, approvals: &Approvals, you: Option<&Person>, page: &str, now_secs: u64) -> Value {
    let rules: Vec<Value> = approval.rules.iter().map(|rule| told_rule(approval, rule, approvals, now_secs)).collect();
    let mut told = serde_json::to_value(approval).unwrap_or_default();
    let Some(map) = told.as_object_mut() else { return told };
    map.insert("rules".to_owned(), rules.into());
    // For those who read values. What was sent, to the letter, is `arguments_text`: a large number may lose digits by being read.
    map.insert("arguments".to_owned(), serde_json::from_str(&approval.arguments).unwrap_or_default());
    map.insert("arguments_text".to_owned(), approval.arguments.as_str().into());
    map.insert("votes".to_owned(), approval.votes.iter().map(told_vote).collect());
    map.insert("break_glass".to_owned(), approval.is_emergency().into());
    map.insert("awaits_review".to_owned(), approval.awaits_review().into());
    map.insert("url".to_owned(), page.into());
    map.remove("requesters");
    map.remove("principal");
    if let Some(you) = you {
        let may: Vec<Result<(), String>> =
            approval.rules.iter().map(|rule| approval.eligible(rule, you, approvals, now_secs)).collect();
        let why = may.iter().find_map(|may| may.as_ref().err());
        let may = may.iter().any(Result::is_ok);
        let mut yours = json!({"id": you.id, "may": may, "why": if may { None } else { why }});
        if let (false, Some(yours)) = (may, yours.as_object_mut()) {
            let could = |id: &str| could_agree(approval, approvals, id, now_secs);
            yours.insert("sign_in_helps".to_owned(), could(&you.id).into());
            // Where a rule names nobody, everybody else may whose role does.
            let anybody = approval.rules.iter().any(|rule| rule.ask.approvers.is_empty());
            let named = approval.rules.iter().flat_map(|rule| asked_of(approval, rule, approvals, now_secs));
            let who: BTreeSet<_> = named.filter(|id| could(id)).collect();
            yours.insert("who_may".to_owned(), if anybody { Value::Null } else { json!(who) });
        }
        map.insert("you".to_owned(), yours);
    }
    told
}

/// Whether somebody could agree, if they had just proved who they are as strongly as is asked for.
fn could_agree(approval: &Approval, approvals: &Approvals, id: &str, now_secs: u64) -> bool {
    approval.rules.iter().any(|rule| {
        let acr = rule.ask.authentication.acr.first().cloned();
        let proof = Proof::SignIn { issuer: String::new(), subject: String::new(), acr, auth_time_secs: Some(now_secs) };
        approval.eligible(rule, &Person { id: id.to_owned(), proof }, approvals, now_secs).is_ok()
    })
}

/// Whom a rule names by now; nobody, where everybody may whose role does.
fn asked_of<'a>(approval: &Approval, rule: &'a RuleAsked, approvals: &'a Approvals, now_secs: u64) -> BTreeSet<&'a str> {
    let waited = now_secs.saturating_sub(approval.asked_at_secs);
    let later = rule.ask.escalations.iter().filter(|escalation| escalation.after_secs <= waited);
    let mut who = approvals.named(&rule.ask.approvers, now_secs);
    if !who.is_empty() {
        who.extend(later.flat_map(|escalation| approvals.named(&escalation.approvers, now_secs)));
    }
    who
}

fn told_rule(approval: &Approval, rule: &RuleAsked, approvals: &Approvals, now_secs: u64) -> Value {
    let (got, needed) = approval.agreed(rule, approvals);
    let who = asked_of(approval, rule, approvals, now_secs);
    json!({
        "id": rule.id, "at": rule.origin, "approvals_needed": needed, "approvals_got": got, "approvers": who,
        "authentication": rule.ask.authentication, "owner_may": rule.ask.owner_may, "grant_secs_max": rule.ask.grant_secs_max,
        "escalations": rule.ask.escalations, "channels": rule.ask.channels,
    })
}

fn told_vote(vote: &Vote) -> Value {
    let pins: BTreeMap<&String, &Value> = vote.terms.pins.iter().collect();
    json!({
        "by": vote.by.id, "proof": vote.by.proof.as_str(), "verdict": if vote.approves { "APPROVE" } else { "REJECT" },
        "reason": vote.reason, "at_secs": vote.at_secs, "ttl_secs": vote.terms.ttl_secs, "pins": pins, "break_glass": vote.break_glass,
    })
}

/// An approver for an operator's eyes.
pub fn told_approver(approver: &Approver) -> Value {
    json!({"id": approver.id, "groups": approver.groups, "has_key": approver.key.is_some(), "away": approver.away})
}
