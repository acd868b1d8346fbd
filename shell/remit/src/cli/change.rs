//! What changes of the configuration are asked with.

use std::path::PathBuf;

use clap::Args;

use super::Common;

#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The configuration directory.
    pub(crate) directory: PathBuf,
    /// Who wants the change, for the record of a plan that is kept.
    #[arg(long, env = "USER", default_value = "operator")]
    pub(crate) by: String,
    /// Why; needed where changes are reviewed.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Which recorded calls are decided again under the change: those since then, as for `remit replay`; `none` for none of them. Else those of 7
    /// days, and of the last 400,000 entries.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The configuration directory. Without it, a plan that the gateway keeps is applied.
    #[arg(required_unless_present = "plan")]
    pub(crate) directory: Option<PathBuf>,
    /// Apply only this plan, by its digest or the first twelve digits of it and more: refused if the directory or the version in effect is no
    /// longer what was planned.
    #[arg(long, value_name = "DIGEST")]
    pub(crate) plan: Option<String>,
    /// Why, for the record.
    #[arg(long, required_unless_present = "plan")]
    pub(crate) reason: Option<String>,
    /// Who applies it, for the record.
    #[arg(long, env = "USER", default_value = "operator")]
    pub(crate) by: String,
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The version whose content is to be in effect again.
    pub(crate) version: u64,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: String,
    /// Who rolls back, for the record.
    #[arg(long, env = "USER", default_value = "operator")]
    pub(crate) by: String,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Only versions that changed the registry's row of this agent and tool, as the row names them.
    #[arg(long, num_args = 2, value_names = ["AGENT", "TOOL"])]
    pub(crate) tool_policy: Option<Vec<String>>,
    /// Only versions before this one.
    #[arg(long, value_name = "VERSION")]
    pub(crate) before: Option<u64>,
    /// At most so many, the newest ones.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) count: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The one version.
    pub(crate) from: u64,
    /// The other one.
    pub(crate) to: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Plans {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Show this plan whole.
    pub(crate) plan: Option<String>,
    /// Withdraw it instead: it no longer waits.
    #[arg(long, requires = "plan")]
    pub(crate) withdraw: bool,
    /// Who withdraws it, for the record.
    #[arg(long, env = "USER", default_value = "operator")]
    pub(crate) by: String,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("answer").required(true).args(["approve", "reject"]))]
pub(crate) struct Review {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The plan, by its digest or the first twelve digits of it and more.
    pub(crate) plan: String,
    /// The file with your private key, from `remit review-key`.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Agree to it.
    #[arg(long)]
    pub(crate) approve: bool,
    /// Refuse it: it isn't applied until you approve it.
    #[arg(long)]
    pub(crate) reject: bool,
    /// What you say to it; it is signed and recorded.
    #[arg(long, default_value = "")]
    pub(crate) comment: String,
}

#[derive(Debug, Args)]
pub(crate) struct ReviewKey {
    /// The reviewer's name, such as an address; no spaces and no plus sign.
    pub(crate) name: String,
    /// The file for the private half; NAME.key without it. A file that is there is never overwritten.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
