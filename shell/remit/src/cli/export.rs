//! What `remit export` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Common;

/// Without a command, an export.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ExportOf {
    #[command(flatten)]
    pub(crate) common: Common,
    /// In whose words.
    #[arg(long, value_enum, default_value = "ocsf")]
    pub(crate) format: ExportFormat,
    /// Where to: a file, `-` for standard output, or for parquet a directory.
    #[arg(long, short, default_value = "-", value_name = "FILE|DIR|-")]
    pub(crate) output: PathBuf,
    /// Only this agent's. May be given several times, as every filter by name.
    #[arg(long)]
    pub(crate) agent: Vec<String>,
    /// Only this space's.
    #[arg(long)]
    pub(crate) space: Vec<String>,
    /// Only this tool's.
    #[arg(long)]
    pub(crate) tool: Vec<String>,
    /// Only this user's.
    #[arg(long)]
    pub(crate) user: Vec<String>,
    /// Only this verdict: ALLOW, DENY or HOLD.
    #[arg(long, ignore_case = true, value_parser = ["ALLOW", "DENY", "HOLD"])]
    pub(crate) verdict: Vec<String>,
    /// Only refusals for this reason, such as `risk_exceeds_policy`.
    #[arg(long)]
    pub(crate) reason: Vec<String>,
    /// From when on: a span before now (30d, 12h, 45m), or a time in UTC (2026-03-01T12:00:00Z).
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Until when.
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// The region of what happened in spaces that the configuration doesn't have any more.
    #[arg(long, default_value = "us-east-1")]
    pub(crate) region: String,
    #[command(subcommand)]
    pub(crate) command: Option<ExportCommand>,
}

/// The words of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// JSON Lines of OCSF 1.8.0, class API Activity.
    Ocsf,
    /// JSON Lines of records shaped like CloudTrail's.
    Cloudtrail,
    /// Parquet files in Amazon Security Lake's layout, with OCSF's columns.
    Parquet,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// How far each delivery of the configuration is: what it has taken, how far it is behind, what went wrong last.
    Status(Common),
}
