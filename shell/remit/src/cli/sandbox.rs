//! What `remit sandbox` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum SandboxOf {
    /// What this machine offers to the sandboxes of servers, and what it lacks.
    Check {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run a command as a server would run, with this terminal's input and output; ends with its exit code, or with 125 if it wasn't started.
    Run(SandboxRun),
}

#[derive(Debug, Args)]
pub(crate) struct SandboxRun {
    /// The configuration directory that has the profile.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// The profile: of the configuration, or `default`.
    #[arg(long, default_value = "default")]
    pub(crate) profile: String,
    /// Grants reading of a path, besides what the profile grants.
    #[arg(long)]
    pub(crate) read: Vec<String>,
    /// Grants writing.
    #[arg(long)]
    pub(crate) write: Vec<String>,
    /// Grants execution.
    #[arg(long)]
    pub(crate) execute: Vec<String>,
    /// A variable of the command's environment, NAME=VALUE; it inherits none.
    #[arg(long)]
    pub(crate) env: Vec<String>,
    /// The data directory, which no sandbox may touch.
    #[arg(long, env = "REMIT_DATA", default_value = ".remit")]
    pub(crate) data: PathBuf,
    /// Say what holds, as JSON, on standard error.
    #[arg(long)]
    pub(crate) report: bool,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}
