//! `remit servers`.

use clap::{Args, Subcommand};

use super::{Because, Common};

#[derive(Debug, Args)]
pub(crate) struct ServersOf {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<Servers>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Servers {
    /// Show how every server stands: DRAFT, PENDING_APPROVAL, APPROVED, REJECTED or DEPRECATED, and by whose word.
    List(Common),
    /// Submit a DRAFT for approval: it is started and asked what it offers, and nobody can call it yet.
    Submit {
        /// Its account and name, such as 111122223333/helpdesk.
        server: String,
        #[command(flatten)]
        because: Because,
    },
    /// Approve what was submitted: its tools can be called from now on, as everything else allows.
    Approve {
        /// Its account and name.
        server: String,
        /// The digest of the registration that you looked at: another one isn't approved.
        #[arg(long, value_name = "DIGEST")]
        registration: Option<String>,
        #[command(flatten)]
        because: Because,
    },
    /// Refuse what was submitted.
    Reject {
        /// Its account and name.
        server: String,
        #[command(flatten)]
        because: Because,
    },
    /// Say that a server shouldn't be used any more: it serves still, and whoever looks is told.
    Deprecate {
        /// Its account and name.
        server: String,
        #[command(flatten)]
        because: Because,
    },
}
