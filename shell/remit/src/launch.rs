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
    running: HashMap<ServerKey, Vec<Running>>,
}

#[derive(Debug)]
struct Running {
    command: Vec<String>,
    url: String,
    child: Child,
}

impl Launched {
    /// Starts what isn't running yet, and writes the addresses into the organization. A server that can't be started leaves everything as it
    /// was; so does a caller that goes no further and calls [`Self::settle`] with the organization in effect.
    pub(crate) async fn start(&mut self, organization: &mut Organization, program: &Path) -> Result<(), String> {
        let mut wanted = HashMap::new();
        for (key, server) in &mut organization.servers {
            let Transport::Http { url, launch, .. } = &mut server.transport else { continue };
            if launch.is_empty() {
                continue;
            }
            let known = self.running.get_mut(key).into_iter().flatten();
            let mut alive = known.filter(|running| running.command == *launch);
            if let Some(running) = alive.find_map(|running| matches!(running.child.try_wait(), Ok(None)).then_some(running)) {
                url.clone_from(&running.url);
                continue;
            }
            let started = start(launch, program).await.map_err(|why| format!("server `{key}`: {why}"))?;
            url.clone_from(&started.url);
            wanted.insert(key.clone(), started);
        }
        for (key, started) in wanted {
            self.running.entry(key).or_default().push(started);
        }
        Ok(())
    }

    /// Ends what the organization in effect doesn't use.
    pub(crate) fn settle(&mut self, organization: &Organization) {
        self.running.retain(|key, all| {
            let server = organization.servers.get(key).map(|server| &server.transport);
            all.retain(|running| matches!(server, Some(Transport::Http { url, .. }) if *url == running.url));
            !all.is_empty()
        });
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
