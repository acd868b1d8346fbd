//! What `remit behaviour` takes.

use clap::Args;

use super::Common;

#[derive(Debug, Args)]
pub(crate) struct BehaviourOf {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The agent; without it every agent in a line.
    pub(crate) agent: Option<String>,
}
