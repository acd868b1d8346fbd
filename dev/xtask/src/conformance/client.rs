//! The suite's other leg: Remit is the client, and the suite plays the server and its authorization server.
//!
//! The suite starts a command with the address of its server. That command is this program again (`--as-client`): it writes a
//! configuration that registers the server, and starts Remit, which discovers it as it discovers every server.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;

use super::{servers::started, suite::Suite};
use crate::{Outcome, build, say, target};

/// The options, as the usage shows them.
pub(crate) const OPTIONS: &str = "[--debug]";

/// What of the leg needs no person: Remit's grant towards servers is client credentials.
const SCENARIOS: [&str; 2] = ["auth/client-credentials-basic", "auth/client-credentials-jwt"];

/// Tells the command that the suite starts which Remit to start.
const REMIT: &str = "REMIT_CONFORMANCE_BINARY";

/// Runs the scenarios, or is the client in one.
pub(crate) fn run(options: &[String]) -> Outcome {
    match options {
        [first, rest @ ..] if first == "--as-client" => client(rest.last().ok_or("the suite gave no address")?),
        _ => leg(!options.iter().any(|option| option == "--debug")),
    }
}

fn leg(release: bool) -> Outcome {
    let suite = Suite::install()?;
    let remit = build("remit", release)?;
    let myself = format!("{} conformance-client --as-client", env::current_exe()?.display());
    let mut passed = 0;
    for scenario in SCENARIOS {
        let mut command = suite.command();
        command.args(["client", "--command", &myself, "--scenario", scenario]).env(REMIT, &remit);
        let output = command.current_dir(target()).stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let well = output.status.success() && text.contains("OVERALL: PASSED");
        passed += usize::from(well);
        say(&format!("{} {scenario}", if well { "ok    " } else { "FAILED" }));
        if !well {
            say(&text);
        }
    }
    say(&format!("{passed} passed, {} failed", SCENARIOS.len() - passed));
    Ok(passed == SCENARIOS.len())
}

/// Starts Remit with the suite's server registered, and ends it when it has answered: by then it has authenticated and asked for the
/// tools, or has failed to.
fn client(url: &str) -> Outcome {
    let home = env::temp_dir().join(format!("remit-conformance-client-{}", std::process::id()));
    let config = home.join("config");
    fs::create_dir_all(&config)?;
    let context: Value = serde_json::from_str(&env::var("MCP_CONFORMANCE_CONTEXT")?)?;
    fs::write(config.join("remit.yaml"), configuration(url, &context, &home)?)?;
    let mut command = std::process::Command::new(PathBuf::from(env::var_os(REMIT).ok_or("no binary is named")?));
    command
        .args(["up", "--json", "--port", "0", "--control-port", "0", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(home.join("data"));
    let ended = started(command);
    fs::remove_dir_all(&home)?;
    ended.map(|()| true)
}

fn configuration(url: &str, context: &Value, home: &Path) -> Result<String, Box<dyn Error>> {
    let text = |key: &str| context.get(key).and_then(Value::as_str);
    let id = text("client_id").ok_or("the context names no client")?;
    let kept = home.join("secret");
    let (secret, field) = match text("private_key_pem") {
        Some(key) => (
            key,
            format!("private_key: {{ file: '{}' }}, algorithm: {}", kept.display(), text("signing_algorithm").unwrap_or("ES256")),
        ),
        None => (
            text("client_secret").ok_or("the context holds no secret")?,
            format!("client_secret: {{ file: '{}' }}", kept.display()),
        ),
    };
    fs::write(&kept, secret)?;
    fs::set_permissions(&kept, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(format!(
        "accounts: [{{ id: '111122223333', name: conformance }}]
servers:
  - {{ name: suite, account: '111122223333', url: '{url}', network: loopback, credential: {{ oauth: {{ client_id: '{id}', {field} }} }} }}
agents: [{{ id: conformance, account: '111122223333', owner: conformance@acme.example, credentials: [client_secret] }}]
spaces:
  - {{ id: conformance, account: '111122223333', region: us-east-1, agents: [conformance], servers: [{{ server: suite, tools: all }}] }}
tool_policies: [{{ agent: conformance, tool: 'suite___*', allowed: true, max_risk: low }}]
"
    ))
}
