//! What `remit alarms` takes.

use clap::Args;

use super::Common;

#[derive(Debug, Args)]
pub(crate) struct AlarmsOf {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Only those in this state: ok, alarm or insufficient_data.
    #[arg(long, value_name = "STATE", value_parser = ["ok", "alarm", "insufficient_data"], ignore_case = true)]
    pub(crate) state: Option<String>,
}
