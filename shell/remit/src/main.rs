//! `remit`: the binary. It alone picks backends, reads the environment and puts the planes together.

mod alarm_actions;
mod alarms;
mod amend;
mod approvals;
mod archive;
mod audit;
mod aws;
mod bedrock;
mod behaviour;
mod certificate;
mod change;
mod channels;
mod cli;
mod cloudwatch;
mod cluster;
mod commands;
mod connect;
mod console;
mod decisions;
mod deliveries;
mod egress;
mod explain;
mod export;
mod fields;
mod files;
mod follow;
mod greet;
mod home;
mod iam;
mod inventory;
mod kept;
mod launch;
mod lines;
mod lint;
mod new_access;
mod offline;
mod output;
mod package;
mod pins;
mod reach;
mod recap;
mod receipt;
mod replay;
mod requests;
mod retention;
mod sample;
mod sandbox;
mod secrets;
mod serve;
mod servers;
mod shared;
mod standby;
mod suspend;
mod told;
mod tool_policies;
mod tour;
mod trial;
mod trust;
mod up;
mod upkeep;
mod usage;
mod witness;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser as _;
use clap::error::ErrorKind;

use cli::{Cli, Command};
use output::{Failure, INVALID, warn};

/// A call makes many small allocations that live as long as it: this allocator costs a tenth less of a call than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Remit starts itself again for each server that it confines.
    if let Some(code) = remit_sandbox::launched() {
        return code;
    }
    // Its environment and memory hold keys. What can't be shielded says so, and goes on: a kernel without this has never been seen.
    if let Err(error) = remit_sandbox::shield() {
        crate::output::warn(&format!("other programs of this user can read this one's memory: {error}"));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let fine = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if fine { 0 } else { INVALID });
        }
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.quiet {
                warn(&format!("error: {}", failure.message));
            }
            ExitCode::from(failure.code)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(options) => runtime()?.block_on(up::up(options)),
        Command::Try(options) => runtime()?.block_on(tour::tour(&options)),
        Command::Check(options) => commands::check(&options),
        Command::Test(options) => trial::test(&options),
        Command::Plan(options) => runtime()?.block_on(amend::plan(&options)),
        Command::Apply(options) => runtime()?.block_on(amend::apply(&options)),
        Command::Rollback(options) => runtime()?.block_on(amend::rollback(&options)),
        Command::History(options) => runtime()?.block_on(amend::history(&options)),
        Command::Diff(options) => runtime()?.block_on(amend::diff(&options)),
        Command::Plans(options) => runtime()?.block_on(amend::plans(&options)),
        Command::Approvals(options) => runtime()?.block_on(approvals::run(&options)),
        Command::Review(options) => runtime()?.block_on(amend::review(&options)),
        Command::ReviewKey(options) => amend::review_key(&options),
        Command::Explain(options) => runtime()?.block_on(commands::explain(&options)),
        Command::Log(options) => runtime()?.block_on(commands::log(options)),
        Command::Index(command) => runtime()?.block_on(decisions::index(&command)),
        Command::Export(options) => export::run(&options),
        Command::Replay(options) => replay::replay(&options),
        Command::Verify(options) => commands::verify(options),
        Command::Token(options) => runtime()?.block_on(commands::token(&options)),
        Command::Status(options) => runtime()?.block_on(commands::status(&options)),
        Command::Pins(options) => runtime()?.block_on(pins::pins(options)),
        Command::Connect(options) => runtime()?.block_on(connect::connect(options)),
        Command::Secret(options) => runtime()?.block_on(secrets::secret(options)),
        Command::Credentials(options) => runtime()?.block_on(iam::credentials(&options)),
        Command::Egress(command) => runtime()?.block_on(egress::run(command)),
        Command::Inventory(options) => inventory::run(&options),
        Command::Servers(options) => runtime()?.block_on(servers::run(options)),
        Command::Suspend(switch) => runtime()?.block_on(suspend::run(&switch, false)),
        Command::Resume(switch) => runtime()?.block_on(suspend::run(&switch, true)),
        Command::Console(options) => runtime()?.block_on(console::run(&options)),
        Command::Revoke(options) => runtime()?.block_on(iam::revoke(&options)),
        Command::Iam(options) => runtime()?.block_on(iam::iam(&options)),
        Command::Trust(options) => runtime()?.block_on(trust::trust(&options)),
        Command::Incident(options) => runtime()?.block_on(trust::incident(&options)),
        Command::Reveal(options) => runtime()?.block_on(kept::run(&options)),
        Command::Receipt(options) => runtime()?.block_on(receipt::run(&options)),
        Command::Witness(options) => runtime()?.block_on(witness::run(&options)),
        Command::Archive(options) => runtime()?.block_on(archive::run(&options)),
        Command::Alarms(options) => runtime()?.block_on(alarms::run(&options)),
        Command::Usage(options) => runtime()?.block_on(usage::run(&options)),
        Command::Behaviour(options) => runtime()?.block_on(behaviour::run(&options)),
        Command::Retention(options) => runtime()?.block_on(retention::run(&options)),
        Command::AgentSecret(options) => runtime()?.block_on(secrets::agent_secret(&options)),
        Command::ToolPolicies(command) => tool_policies::run(command),
        Command::Sandbox(command) => sandbox::sandbox(&command),
        Command::Schema(options) => commands::schema(&options),
        Command::SampleServer(options) => commands::sample_server(&options),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| Failure::new(error.to_string()))
}

/// Milliseconds since the epoch.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Who answers what invariants ask about arguments: the solver that is here, if there is one. Its time begins now.
fn prover() -> remit_prove::Prover {
    let (said, path) = (std::env::var_os("REMIT_CVC5"), std::env::var_os("PATH"));
    remit_prove::Prover::new(remit_prove::Solver::find(said.as_deref(), path.as_deref()))
}

/// Seconds since the epoch.
fn now_secs() -> u64 {
    now_ms() / 1000
}
