//! The servers under test: built, started, waited for, and stopped however the run ends.

use std::{
    error::Error,
    fs, io,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{build, target};

/// How long a server may take until it is ready.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// The agent, and the space, that the suite is let in as.
const AGENT: &str = "conformance";

/// A server to test: its endpoint and, if it was started here, its process.
pub(crate) struct Server {
    url: String,
    /// Stops the process when the server is dropped.
    _process: Option<Process>,
}

impl Server {
    /// A server that runs somewhere already.
    pub(crate) fn elsewhere(url: &str) -> Self {
        Self { url: url.to_owned(), _process: None }
    }

    /// The server's MCP endpoint.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// A child process that doesn't outlive this value.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // If it has ended by itself, there is nothing to end and nothing to say.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Builds and starts the fixture.
pub(crate) fn fixture(release: bool) -> Result<Server, Box<dyn Error>> {
    let mut command = Command::new(build("remit-fixture", release)?);
    command.args(["--port", "0"]);
    let (process, ready) = start(command)?;
    Ok(Server { url: field(&ready, "url")?.to_owned(), _process: Some(process) })
}

/// Builds Remit and starts it in front of `upstream`.
pub(crate) fn remit(upstream: &Server, release: bool) -> Result<Server, Box<dyn Error>> {
    let binary = build("remit", release)?;
    let home = target().join("conformance/remit");
    match fs::remove_dir_all(&home) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let (config, data) = (home.join("config"), home.join("data"));
    fs::create_dir_all(&config)?;
    fs::create_dir_all(&data)?;
    remit_config_write(&config, upstream.url())?;
    let mut command = Command::new(binary);
    command.args(["up", "--json", "--port", "0", "--anonymous-agent", AGENT]);
    command.arg("--config").arg(config).arg("--data").arg(data);
    let (process, ready) = start(command)?;
    let url = format!("{}/spaces/{AGENT}/mcp", field(&ready, "gateway")?.trim_end_matches('/'));
    Ok(Server { url, _process: Some(process) })
}

/// Writes the configuration with which Remit lets everything through to `upstream`: what fails then is no policy.
fn remit_config_write(config: &Path, upstream: &str) -> io::Result<()> {
    let text = format!(
        "organization: {{ id: o-conformance, name: Conformance, partition: aws }}
accounts:
  - {{ id: '111122223333', name: conformance }}
servers:
  - {{ name: fixture, account: '111122223333', url: '{upstream}', network: loopback }}
agents:
  - {{ id: {AGENT}, account: '111122223333', owner: conformance@acme.example, credentials: [client_secret] }}
spaces:
  - id: {AGENT}
    account: '111122223333'
    region: us-east-1
    agents: [{AGENT}]
    mandate: DESTRUCTIVE
    servers: [{{ server: fixture, tools: all, prompts: true, resources: true, prefix: false }}]
tool_policies:
  - {{ agent: {AGENT}, tool: 'fixture___*', allowed: true, max_risk: critical }}
"
    );
    fs::write(config.join("remit.yaml"), text)
}

/// Starts a server and waits for the line of JSON that says it is ready.
pub(crate) fn start(mut command: Command) -> Result<(Process, Value), Box<dyn Error>> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("can't start `{program}`: {error}"))?;
    let stdout = child.stdout.take();
    let process = Process(child);
    let stdout = stdout.ok_or("a child without standard output")?;
    let (sender, receiver) = mpsc::channel();
    // Reads on after the first line, so that the server never waits for a reader.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody waits for the lines after the first.
            let _ = sender.send(line);
        }
    });
    let line =
        receiver.recv_timeout(READY_WITHIN).map_err(|error| format!("`{program}` did not say that it is ready: {error}"))?;
    let ready = serde_json::from_str(&line).map_err(|error| format!("`{program}` said `{line}`: {error}"))?;
    Ok((process, ready))
}

/// A field of the line that a server is ready with.
pub(crate) fn field<'a>(ready: &'a Value, name: &str) -> Result<&'a str, String> {
    ready.get(name).and_then(Value::as_str).ok_or_else(|| format!("no `{name}` in the ready line {ready}"))
}
