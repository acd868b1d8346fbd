//! What `remit retention` takes.

use clap::{Args, Subcommand};

use super::{Because, Common};

#[derive(Debug, Args)]
pub(crate) struct RetentionOf {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<Retention>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Retention {
    /// Erase the records of calls whose time is over, now.
    Sweep {
        /// Say what would go, and erase nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        because: Because,
    },
    /// Keep records whatever their age: a legal hold. What isn't named fits anything.
    Hold {
        /// A name for it, such as the case's.
        name: String,
        /// Calls of this agent.
        #[arg(long)]
        agent: Option<String>,
        /// Calls on behalf of this user.
        #[arg(long)]
        user: Option<String>,
        /// Calls in this space.
        #[arg(long)]
        space: Option<String>,
        /// Calls of this tool: `server___tool`.
        #[arg(long)]
        tool: Option<String>,
        /// Calls from this time on: 30d, 12h, or a time in UTC such as 2026-03-01T12:00:00Z.
        #[arg(long)]
        since: Option<String>,
        /// Calls before this time.
        #[arg(long)]
        until: Option<String>,
        #[command(flatten)]
        because: Because,
    },
    /// Let go of a legal hold.
    Release {
        /// Its name.
        name: String,
        #[command(flatten)]
        because: Because,
    },
    /// Destroy the key of a space, and with it what is kept of its calls, wherever copies of it lie: arguments and other facts, results, what
    /// temporal conditions look back on, approvals that have ended. The journal and its proofs stay whole. There is no way back.
    ///
    /// Rules that look back on what is gone deny until their windows don't reach back so far.
    Destroy {
        /// The space.
        #[arg(long)]
        space: String,
        #[command(flatten)]
        because: Because,
    },
    /// Erase the records of calls on a person's behalf, and what is kept of their arguments, whatever their age. A legal hold stands above it.
    ///
    /// Exit code 4 if some can't be erased yet: those of the segment that is being written.
    Erase {
        /// The person, as tokens name them.
        #[arg(long)]
        user: String,
        /// Say what would go, and erase nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        because: Because,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ArchiveOf {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<Archive>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Archive {
    /// Put what was erased of a segment back from the archive. Place a hold first, or the next sweep erases it again.
    Restore {
        /// The segment's number.
        segment: u64,
        #[command(flatten)]
        because: Because,
    },
}
