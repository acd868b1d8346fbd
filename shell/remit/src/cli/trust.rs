//! What `remit trust` and `remit incident` take.

use clap::{Args, Subcommand};

use super::{Because, Common};

/// Without a command, a table of all.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct TrustOf {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<Trust>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Trust {
    /// Every number that an agent's tier comes from.
    Explain {
        #[command(flatten)]
        common: Common,
        /// The agent.
        agent: String,
        /// The category; else all of them.
        category: Option<String>,
    },
    /// Sign the promotion that is proposed for an agent: one step up in one category.
    Promote {
        /// The agent.
        agent: String,
        /// The category.
        category: String,
        #[command(flatten)]
        because: Because,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Incident {
    /// The agent.
    pub(crate) agent: String,
    /// How bad it was.
    #[arg(long, value_parser = ["low", "medium", "high", "critical"])]
    pub(crate) severity: String,
    /// The category of the tools; else all of them.
    #[arg(long)]
    pub(crate) category: Option<String>,
    #[command(flatten)]
    pub(crate) because: Because,
}
