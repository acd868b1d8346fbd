//! What `remit log` and `remit index` take.

use clap::{Args, Subcommand};

use super::Common;

/// The least of an id that names a decision.
const ID_END_MIN: usize = 6;

fn decision_end(said: &str) -> Result<String, String> {
    if said.len() < ID_END_MIN {
        return Err(format!("name at least the last {ID_END_MIN} characters of the decision's id"));
    }
    Ok(said.to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Log {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Go on with entries as they come.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only this agent's.
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Only this space's.
    #[arg(long)]
    pub(crate) space: Option<String>,
    /// Only this tool's.
    #[arg(long)]
    pub(crate) tool: Option<String>,
    /// Only this user's.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Only this verdict: ALLOW, DENY or HOLD.
    #[arg(long)]
    pub(crate) verdict: Option<String>,
    /// Only refusals for this reason, such as `risk_exceeds_policy`.
    #[arg(long, conflicts_with_all = ["follow", "from", "last", "kind", "decision"])]
    pub(crate) reason: Option<String>,
    /// Only where a layer that decided said this: a part of its statement, at least three characters, such as a policy's name.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["follow", "from", "last", "kind", "decision"])]
    pub(crate) statement: Option<String>,
    /// Only where this layer decided, such as POLICY_SET: agreed to what was allowed, or was the one that didn't.
    #[arg(long, conflicts_with_all = ["follow", "from", "last", "kind", "decision"])]
    pub(crate) layer: Option<String>,
    /// Only under this approval.
    #[arg(long, value_name = "ID", conflicts_with_all = ["follow", "from", "last", "kind", "decision"])]
    pub(crate) approval: Option<String>,
    /// From when on: a span before now (30d, 12h, 45m), or a time in UTC (2026-03-01T12:00:00Z).
    #[arg(long, value_name = "WHEN", conflicts_with_all = ["follow", "from", "last", "kind", "decision"])]
    pub(crate) since: Option<String>,
    /// Until when.
    #[arg(long, value_name = "WHEN", conflicts_with_all = ["follow", "from", "last", "kind", "decision"])]
    pub(crate) until: Option<String>,
    /// At most so many decisions, the newest ones; else 50.
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["follow", "from", "last", "kind", "decision"])]
    pub(crate) limit: Option<usize>,
    /// Only entries of this type: decision, outcome, configuration, tool_pin, …
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Only this trace.
    #[arg(long)]
    pub(crate) trace: Option<String>,
    /// Only this decision and its outcome: its id, or the end of it that lines of decisions show after the #.
    #[arg(long, value_name = "ID", value_parser = decision_end)]
    pub(crate) decision: Option<String>,
    /// From this entry on.
    #[arg(long, value_name = "INDEX")]
    pub(crate) from: Option<u64>,
    /// Only the last so many that match.
    #[arg(long, value_name = "COUNT")]
    pub(crate) last: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IndexOf {
    /// How far it is.
    Status(Common),
    /// Make it anew from the journal.
    Rebuild(Common),
}
