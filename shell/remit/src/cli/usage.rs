//! What `remit usage` takes.

use clap::{Args, ValueEnum};

use super::Common;

#[derive(Debug, Args)]
pub(crate) struct UsageOf {
    #[command(flatten)]
    pub(crate) common: Common,
    /// What is added up for agents, spaces and users: this month or this day, in UTC. Budgets are shown for their own period.
    #[arg(long, value_name = "UNIT", default_value = "monthly")]
    pub(crate) time_unit: Unit,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Unit {
    Daily,
    Monthly,
}

impl Unit {
    /// As the API has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "DAILY",
            Self::Monthly => "MONTHLY",
        }
    }
}
