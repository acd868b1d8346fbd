//! What approvals are asked with.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Common;

#[derive(Debug, Args)]
pub(crate) struct Approvals {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<ApprovalsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// List approvals: those that wait, if nothing else is said.
    List {
        /// In these states, with commas between them: PENDING, APPROVED, REJECTED, REDEEMED, REVOKED, EXPIRED.
        #[arg(long, value_name = "STATES")]
        state: Option<String>,
        /// In any state.
        #[arg(long, conflicts_with = "state")]
        all: bool,
    },
    /// Show one whole: the literal arguments, who asks, what came before, who has said what.
    Show {
        /// Its id, or a part of it that no other has.
        id: String,
    },
    /// Agree to a call.
    Approve {
        #[command(flatten)]
        answering: Answering,
        /// To the same call again and again for so many seconds, where the rules allow that; without it, to one call.
        #[arg(long, value_name = "SECONDS")]
        ttl_secs: Option<u64>,
        /// Of a pattern: only with the value that this JSON pointer leads to. May be given several times.
        #[arg(long = "pin", value_name = "POINTER")]
        pins: Vec<String>,
        /// In an emergency, though you are no approver of the rule: two people with proven names must say so, an alarm is raised, and somebody
        /// else has to look at it afterwards.
        #[arg(long)]
        break_glass: bool,
    },
    /// Refuse a call.
    Reject {
        #[command(flatten)]
        answering: Answering,
    },
    /// Take an approval back before it is used, or a request for one.
    Revoke {
        /// Its id, or a part of it that no other has.
        id: String,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
        /// Who does it, for the record.
        #[arg(long, env = "USER", default_value = "operator")]
        by: String,
    },
    /// Say what came of looking at an emergency (`--break-glass`).
    Review {
        /// Its id, or a part of it that no other has.
        id: String,
        /// What you found.
        #[arg(long)]
        reason: String,
        /// Who does it, for the record.
        #[arg(long, env = "USER", default_value = "operator")]
        by: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Answering {
    /// Its id, or a part of it that no other has.
    pub(crate) id: String,
    /// Why, for the record; a rejection needs one.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Sign the answer with your private key, from `remit review-key`: it proves that it is you.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Who answers, where no key says it.
    #[arg(long, env = "USER", default_value = "operator")]
    pub(crate) by: String,
}
