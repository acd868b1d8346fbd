//! The console in the binary: who signs people in, what they see of the journal, and `remit console`.

use std::path::PathBuf;

use base64::Engine as _;
use http::{Method, StatusCode};
use remit_authority::{SignIns, UpstreamCredentials};
use remit_control::SignedIn;
use remit_gateway::Gateway;
use remit_journal::{Health, Journal, Reader, SignedCheckpoint};
use remit_model::{Organization, SignIn};
use remit_tlog::Hash;
use serde_json::{Value, json};

use crate::aws::set;
use crate::cli::Console;
use crate::commands::operator;
use crate::decisions::{Decisions, Receipt};
use crate::home::Home;
use crate::now_secs;
use crate::output::{Failure, Printer, warn};

/// What went wrong, and whose fault it is.
type Fault = (StatusCode, String);

/// Begins a sign-in at the provider of the configuration in effect.
pub(crate) async fn sign_in(
    sign_ins: &SignIns,
    gateway: &Gateway,
    redirect_uri: &str,
    browser: [u8; 32],
    again: bool,
) -> Result<String, String> {
    let snapshot = gateway.snapshot();
    let console = snapshot.organization.console.as_ref();
    let provider = console.and_then(|console| Some((console, console.sign_in.as_ref()?)));
    let (console, provider) = provider.ok_or("the configuration has no `console` with a `sign_in`")?;
    let max_age_secs = if again { 0 } else { console.session_secs_max };
    sign_ins.begin(provider, redirect_uri, browser, max_age_secs, now_secs()).await.map_err(|error| error.to_string())
}

/// Ends it.
pub(crate) async fn signed_in(
    sign_ins: &SignIns,
    credentials: &UpstreamCredentials,
    gateway: &Gateway,
    redirect_uri: &str,
    (query, browser): (&str, [u8; 32]),
) -> Result<SignedIn, String> {
    let snapshot = gateway.snapshot();
    let console = snapshot.organization.console.as_ref();
    let found = console.and_then(|console| Some((console, console.sign_in.as_ref()?)));
    let (console, provider) = found.ok_or("the configuration has no `console` with a `sign_in`")?;
    let needed = needed(&snapshot.organization, console, provider);
    let secret = provider.client_secret.as_ref().map(|reference| credentials.secret(reference)).transpose();
    let secret = secret.map_err(|error| format!("the client's secret can't be had: {error}"))?;
    let secret = secret.as_ref().map(|secret| secret.as_str());
    let done = sign_ins.end((provider, &needed), secret, redirect_uri, query, browser, now_secs()).await;
    let (person, identity) = done.map_err(|error| error.to_string())?;
    Ok(SignedIn { person, identity })
}

/// The claims that make a difference: the address, by which a person goes, where it is asked for; groups, where a role's trust policy reads
/// them.
fn needed(organization: &Organization, console: &remit_model::Console, provider: &SignIn) -> Vec<&'static str> {
    let groups = format!("\"{}:groups\"", provider.provider()).to_ascii_lowercase();
    let roles = console.roles.iter().filter_map(|role| organization.roles.get(role));
    let reads_groups = roles.into_iter().any(|role| role.trust_document.to_ascii_lowercase().contains(&groups));
    let asks_address = provider.scopes.iter().any(|scope| scope == "email");
    [asks_address.then_some("email"), reads_groups.then_some("groups")].into_iter().flatten().collect()
}

/// The journal's key, size and checkpoint; with an index the entry there, byte for byte, and its path to the checkpoint.
pub(crate) async fn journal(
    journal: &Journal,
    directory: PathBuf,
    decisions: &Decisions,
    cosigned: Option<SignedCheckpoint>,
    request: &Value,
) -> Result<Value, Fault> {
    let checkpoint = journal.checkpoint();
    let (health, stopped) = match journal.health() {
        Health::Ok => ("ok", None),
        Health::Stopped { reason } => ("stopped", Some(reason)),
    };
    let told = |checkpoint: &SignedCheckpoint| {
        json!({
            "key": journal.verifier_key(), "size": checkpoint.size, "root": checkpoint.root.to_base64(), "checkpoint": checkpoint.note,
            "health": health, "stopped": stopped, "cosigned": cosigned.as_ref().map(|cosigned| &cosigned.note),
        })
    };
    let Some(index) = request.get("index") else { return Ok(told(&checkpoint)) };
    let index = index.as_u64().filter(|index| *index < checkpoint.size);
    let index = index.ok_or_else(|| (StatusCode::NOT_FOUND, "there is no such entry".to_owned()))?;
    // What the index doesn't have is read from the journal itself, which takes longer.
    let (bytes, path, checkpoint) = if let Some(Some(Receipt { bytes, proof })) =
        decisions.receipt(checkpoint.size, index, cosigned.clone(), |_| true).await
    {
        (bytes, proof.path, proof.checkpoint)
    } else {
        let (bytes, path) = read(directory, index, checkpoint.size).await?;
        (bytes, path, checkpoint)
    };
    let mut told = told(&checkpoint);
    set(&mut told, "index", index);
    set(&mut told, "entry", base64::engine::general_purpose::STANDARD.encode(bytes));
    set(&mut told, "proof", path.iter().map(Hash::to_base64).collect::<Vec<_>>());
    Ok(told)
}

/// An entry and its path, from the files.
async fn read(directory: PathBuf, index: u64, size: u64) -> Result<(Vec<u8>, Vec<Hash>), Fault> {
    let failed = |error: &dyn std::fmt::Display| (StatusCode::SERVICE_UNAVAILABLE, format!("the journal can't be read: {error}"));
    let read = tokio::task::spawn_blocking(move || {
        let mut reader = Reader::open(&directory, index).map_err(|error| failed(&error))?.without_signatures();
        let entry = reader.next().map_err(|error| failed(&error))?;
        let entry = entry.filter(|entry| entry.index == index);
        let entry = entry.ok_or_else(|| (StatusCode::NOT_FOUND, "the entry was erased".to_owned()))?;
        let path = remit_journal::inclusion_proof(&directory, index, size).map_err(|error| failed(&error))?;
        Ok((entry.bytes, path))
    });
    read.await.map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "the request failed".to_owned()))?
}

/// `remit console`: a link that opens the console, once.
pub(crate) async fn run(options: &Console) -> Result<(), Failure> {
    let home = Home::existing(&options.common.data)?;
    let made = operator(&home, Method::POST, "/v1/console/link", Some(&json!({"by": options.by}))).await?;
    let printer = Printer::new(options.common.json);
    if options.common.json {
        return printer.line(&made.to_string());
    }
    warn("Open this in a browser on this machine. It is good once, for ten minutes, and makes you the machine's administrator.");
    printer.line(made.get("address").and_then(Value::as_str).unwrap_or_default())
}
