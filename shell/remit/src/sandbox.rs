//! `remit sandbox`: what this machine offers to the sandboxes of servers, and a command run in one.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use remit_egress::Hosts;
use remit_model::{Sandbox, SandboxNetwork, SandboxProfile, Transport};
use remit_sandbox::{Report, Spec};
use serde_json::Value;

use crate::cli::{SandboxOf, SandboxRun};
use crate::offline::Offline;
use crate::output::{Failure, Printer, warn};
use crate::up::World;

/// What a started launcher does that only looks whether it starts.
const NOTHING: [&str; 1] = ["--version"];
/// How long a connection of a command that is tried may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Runs it.
pub(crate) fn sandbox(command: &SandboxOf) -> Result<(), Failure> {
    match command {
        SandboxOf::Check { json } => check(Printer::new(*json)),
        SandboxOf::Run(options) => run(options),
    }
}

fn check(printer: Printer) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::new(error.to_string()))?;
    let found = remit_sandbox::check(&program, &NOTHING).map_err(|error| Failure::new(error.to_string()))?;
    if printer.json {
        printer.line(&serde_json::to_string(&found).map_err(|error| Failure::new(error.to_string()))?)?;
    } else {
        found.lines().iter().try_for_each(|line| printer.line(line))?;
    }
    if found.report.failed.is_some() { Err(Failure::said(crate::output::FAILURE)) } else { Ok(()) }
}

fn run(options: &SandboxRun) -> Result<(), Failure> {
    let mut profile = profile(options)?;
    profile.read.extend(options.read.iter().cloned());
    profile.write.extend(options.write.iter().cloned());
    profile.execute.extend(options.execute.iter().cloned());
    let mut env = Vec::new();
    for pair in &options.env {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| Failure::invalid(format!("`{pair}` is no variable: write NAME=VALUE")))?;
        env.push((name.to_owned(), value.to_owned()));
    }
    let program = std::env::current_exe().map_err(|error| Failure::new(error.to_string()))?;
    let forbidden = options.data.canonicalize().ok().into_iter().collect();
    let spec = Spec::new(&options.command, env, profile, forbidden, &program).map_err(Failure::invalid)?;
    let hosts = hosts(&spec.profile);
    let told = |report: &Report, listener: Option<TcpListener>| {
        if let Some(listener) = listener {
            std::thread::spawn(move || serve(listener, hosts));
        }
        if let Some(why) = &report.failed {
            warn(&format!("error: it was not started: {why}"));
        } else if let Some(missing) = report.shortfall() {
            warn(&format!("warning: the sandbox lacks {missing}"));
        }
        if options.report {
            warn(&serde_json::to_string(report).unwrap_or_default());
        }
    };
    match remit_sandbox::run(&spec, told).map_err(|error| Failure::new(error.to_string()))? {
        0 => Ok(()),
        code => Err(Failure::said(code)),
    }
}

fn profile(options: &SandboxRun) -> Result<SandboxProfile, Failure> {
    if options.profile == "default" {
        return Ok(SandboxProfile::default());
    }
    let Some(directory) = &options.config else {
        return Err(Failure::invalid("name the configuration directory that has the profile with --config"));
    };
    let offline = match Offline::read(Some(directory)) {
        Ok(offline) => offline,
        Err(refused) => return Err(refused.told(Printer::new(false))?),
    };
    let profiles = &offline.source.loaded.organization.sandbox_profiles;
    let known = || profiles.keys().cloned().collect::<Vec<_>>().join(", ");
    let found = profiles.get(&options.profile);
    found
        .map(|profile| SandboxProfile::clone(profile))
        .ok_or_else(|| Failure::invalid(format!("there is no sandbox profile `{}`: there are {}", options.profile, known())))
}

/// The hosts that a profile names.
fn hosts(profile: &SandboxProfile) -> Hosts {
    let SandboxNetwork::Egress(hosts) = &profile.network else { return Hosts::new() };
    hosts.iter().map(|host| ((host.host.clone(), host.port), host.network)).collect()
}

/// Serves the named hosts, as the gateway does, until this process ends.
fn serve(listener: TcpListener, hosts: Hosts) {
    let serving = || -> std::io::Result<()> {
        listener.set_nonblocking(true)?;
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            remit_egress::proxy(listener, hosts, CONNECT_MAX).await
        })
    };
    if let Err(error) = serving() {
        warn(&format!("warning: the named hosts can't be reached: {error}"));
    }
}

/// Says, at a start, of servers that this machine can't confine wholly, and of those that it isn't to confine.
pub(crate) fn warn_of(world: &World) {
    for status in world.gateway.servers() {
        if let Some(reason) = status.sandbox.and_then(|sandbox| sandbox.reason) {
            warn(&format!("warning: server {} runs without a sandbox: {reason}", status.server));
        }
    }
    let snapshot = world.gateway.snapshot();
    let organization = &snapshot.organization;
    let confined = |transport: &Transport| matches!(transport, Transport::Stdio { sandbox: Sandbox::Profile(_), .. });
    if organization.servers.values().any(|server| confined(&server.transport))
        && let Some(lacking) = lacking(&world.program)
    {
        warn(&format!("warning: sandboxes of servers: {lacking}"));
    }
}

fn lacking(program: &Path) -> Option<String> {
    match remit_sandbox::check(program, &NOTHING) {
        Ok(found) => {
            let shortfall = found.report.shortfall();
            found.report.failed.or_else(|| Some(format!("this machine lacks {}", shortfall?)))
        }
        Err(error) => Some(error.to_string()),
    }
}

/// What an operator must know of a server's sandbox, of the gateway's status.
pub(crate) fn standing(server: &Value) -> Vec<String> {
    let Some(sandbox) = server.get("sandbox") else { return Vec::new() };
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let none = sandbox.get("reason").and_then(Value::as_str).map(|reason| format!("  ! runs without a sandbox: {reason}"));
    let missing = sandbox.get("missing").and_then(Value::as_array).into_iter().flatten();
    let missing = missing.map(|one| format!("  ! its sandbox lacks {}: {}", text(one, "mechanism"), text(one, "why")));
    none.into_iter().chain(missing).collect()
}
