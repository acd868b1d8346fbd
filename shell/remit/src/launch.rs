//! Servers that Remit starts with itself and reaches over HTTP: each prints one line of JSON with the address that it serves.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use remit_model::{Organization, ServerKey, Transport};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long a server may take to say where it is.
const START_MAX: Duration = Duration::from_secs(20);

/// The servers that were started.
#[derive(Debug, Default)]
pub(crate) struct Launched {
    running: HashMap<ServerKey, Running>,
}

#[derive(Debug)]
struct Running {
    command: Vec<String>,
    url: String,
    child: Child,
}

impl Launched {
    /// Starts what isn't running yet, ends what is no longer wanted, and writes the addresses into the organization. A server that
    /// can't be started leaves the organization as it was: nothing is half-applied.
    pub(crate) async fn replace(&mut self, organization: &mut Organization, program: &Path) -> Result<(), String> {
        let mut wanted = HashMap::new();
        for (key, server) in &organization.servers {
            let Transport::Http { launch, .. } = &server.transport else { continue };
            if launch.is_empty() {
                continue;
            }
            let alive = self
                .running
                .get_mut(key)
                .filter(|running| running.command == *launch)
                .is_some_and(|running| matches!(running.child.try_wait(), Ok(None)));
            if !alive {
                let started = start(launch, program).await.map_err(|why| format!("server `{key}`: {why}"))?;
                wanted.insert(key.clone(), started);
            }
        }
        self.running.extend(wanted);
        self.running.retain(|key, running| matches!(organization.servers.get(key).map(|server| &server.transport), Some(Transport::Http { launch, .. }) if *launch == running.command));
        for (key, running) in &self.running {
            if let Some(Transport::Http { url, .. }) = organization.servers.get_mut(key).map(|server| &mut server.transport) {
                url.clone_from(&running.url);
            }
        }
        Ok(())
    }
}

async fn start(launch: &[String], program: &Path) -> Result<Running, String> {
    let (name, arguments) = launch.split_first().ok_or("no command")?;
    let mut command = if name == "remit" { Command::new(program) } else { Command::new(name) };
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .process_group(0);
    let mut child = command.spawn().map_err(|error| format!("`{name}` could not be started: {error}"))?;
    let stdout = child.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    let read = tokio::time::timeout(START_MAX, BufReader::new(stdout).read_line(&mut line)).await;
    if !matches!(read, Ok(Ok(_))) {
        return Err(format!("`{name}` did not print its address in time"));
    }
    let ready: serde_json::Value = serde_json::from_str(&line).map_err(|_| format!("`{name}` printed no line of JSON"))?;
    let url = ready.get("url").and_then(serde_json::Value::as_str).ok_or("it printed no `url`")?;
    Ok(Running { command: launch.to_vec(), url: url.to_owned(), child })
}
