//! How servers stand in the registry, in the words of AgentCore's: DRAFT, PENDING_APPROVAL, APPROVED, REJECTED, DEPRECATED.
//!
//! A status belongs to the registration that it was given to. Whoever changes the registration begins again with what the configuration says of
//! it: `DRAFT`, or, if it says nothing, `APPROVED`, since whoever may change the directory has been reviewed as the organization wants it.

use remit_model::{RegistryRules, RegistryStatus, Server};
use serde::{Deserialize, Serialize};

/// The longest reason, in characters (AgentCore: `statusReason`).
pub const REASON_CHARS_MAX: usize = 255;

/// How a server stands, by whose word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The digest of the registration that this is said of.
    pub registration: String,
    /// How it stands.
    pub status: RegistryStatus,
    /// Who said so last.
    pub by: String,
    /// How it was proved who that is.
    pub proof: String,
    /// Why.
    pub reason: String,
    /// When, in seconds since the epoch.
    pub at_secs: u64,
    /// Who submitted it for approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted_by: Option<String>,
}

/// A change of status that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// To which.
    pub status: RegistryStatus,
    /// The registration that was looked at, if it was said: another one isn't meant.
    pub registration: Option<&'a str>,
    /// Who asks.
    pub by: &'a str,
    /// How it is proved who that is.
    pub proof: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// How a server stands: by the record of this very registration, else as it is declared.
pub fn status(server: &Server, record: Option<&Record>) -> RegistryStatus {
    record.filter(|record| record.registration == server.registration).map_or(server.status, |record| record.status)
}

/// The record after a change, or why there is none.
pub fn changed(
    server: &Server,
    record: Option<&Record>,
    rules: &RegistryRules,
    asked: &Asked<'_>,
    now_secs: u64,
) -> Result<Record, String> {
    use RegistryStatus::{Approved, Deprecated, Draft, PendingApproval, Rejected};
    let record = record.filter(|record| record.registration == server.registration);
    let (from, to) = (status(server, record), asked.status);
    if asked.registration.is_some_and(|looked_at| looked_at != server.registration) {
        return Err("the registration isn't the one that was looked at: look again".to_owned());
    }
    if asked.reason.trim().is_empty() || asked.reason.chars().count() > REASON_CHARS_MAX {
        return Err(format!("`reason` is a text of 1 to {REASON_CHARS_MAX} characters"));
    }
    match (from, to) {
        (Draft | Rejected, PendingApproval) | (PendingApproval, Approved | Rejected | Draft) | (Approved, Deprecated) => {}
        (_, _) if from == to => return Err(format!("it is {to} already")),
        _ => return Err(format!("what is {from} doesn't become {to}: {}", ways(from))),
    }
    let submitted_by = record.and_then(|record| record.submitted_by.clone());
    if to == Approved && rules.second_person {
        if asked.proof != "SIGN_IN" {
            let why =
                "a second person must approve, and who that is must be proved: sign in at the console, and approve it there";
            return Err(why.to_owned());
        }
        match &submitted_by {
            None => return Err("nobody is on record for submitting it: submit it again".to_owned()),
            Some(first) if first.to_lowercase() == asked.by.to_lowercase() => {
                return Err(format!("`{first}` submitted it: a second person must approve"));
            }
            Some(_) => {}
        }
    }
    Ok(Record {
        registration: server.registration.clone(),
        status: to,
        by: asked.by.to_owned(),
        proof: asked.proof.to_owned(),
        reason: asked.reason.to_owned(),
        at_secs: now_secs,
        submitted_by: if to == PendingApproval { Some(asked.by.to_owned()) } else { submitted_by },
    })
}

/// What may become of a status.
fn ways(from: RegistryStatus) -> &'static str {
    match from {
        RegistryStatus::Draft => "submit it for approval first",
        RegistryStatus::PendingApproval => "it can be approved, rejected, or taken back to DRAFT",
        RegistryStatus::Approved => "it can be deprecated; `remit suspend server` stops it at once",
        RegistryStatus::Rejected => "submit it again, or change the registration",
        RegistryStatus::Deprecated => "it stays so until the registration is changed",
    }
}
