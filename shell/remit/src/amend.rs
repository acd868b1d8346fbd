//! `remit plan`, `apply`, `rollback`, `history`, `diff`, `plans`, `review`, `review-key`: how a configuration is changed from the command
//! line.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use http::{Method, StatusCode};
use remit_control::review::{Answer, sign};
use remit_control::versions::{Plan as Waiting, Versions, plan_digest};
use remit_control::{DirectoryError, Source, directory};
use remit_gateway::Pins as _;
use remit_journal::SigningKey;
use remit_kernel::definitions::{self, Gravest, INSTRUCTIONS};
use remit_kernel::{Catalogue, Pin, PinKey, ServerCatalogue};
use remit_model::ServerKey;
use remit_tlog::Signer;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::{Apply, Diff, History, Plan, Plans, Review, ReviewKey, Rollback};
use crate::commands::{ask, request_key};
use crate::home::{Home, StoredPins, write_new_private};
use crate::output::{DENIED, FAILURE, Failure, HELD, INVALID, Printer, warn};
use crate::replay::{self, Range};
use crate::requests::{Refused, compared, looked_back, planned};
use crate::told;

/// The first word of a reviewer's key file.
const KEY_HEAD: &str = "remit-review-key";

/// One request about changes to the running gateway: the status and the answer, whatever it is.
async fn request(home: &Home, what: &str, body: &Value) -> Result<(StatusCode, Value), Failure> {
    let running = home.running()?;
    let token = home.operator_token()?;
    let authorization = Zeroizing::new(format!("Bearer {}", token.as_str()));
    let url = format!("{}/v1/configuration/{what}", running.control);
    let key = request_key()?;
    let body = body.to_string();
    let (status, answer) = ask(&running, &url, Method::POST, Some(&authorization), Some(&key), "application/json", body).await?;
    let value = serde_json::from_slice(&answer)
        .map_err(|_| Failure::new(format!("the gateway answered {status} and no JSON: is it of this version?")))?;
    Ok((status, value))
}

/// What the gateway answered, if it agreed; else what it said is told.
async fn agreed(home: &Home, what: &str, body: &Value, printer: Printer) -> Result<(StatusCode, Value), Failure> {
    let (status, value) = request(home, what, body).await?;
    if status.is_success() { Ok((status, value)) } else { Err(refused(status, &value, printer)?) }
}

/// Tells why a request came to nothing, with all that there is to know.
fn refused(status: StatusCode, value: &Value, printer: Printer) -> Result<Failure, Failure> {
    let code = match status {
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => INVALID,
        StatusCode::FORBIDDEN => DENIED,
        _ => FAILURE,
    };
    if printer.json {
        printer.line(&value.to_string())?;
        return Ok(Failure::said(code));
    }
    let faults = value.get("faults").and_then(Value::as_array).cloned().unwrap_or_default();
    faults.iter().for_each(|fault| warn(&told::fault(fault)));
    let detail = value.get("detail").and_then(Value::as_str).map_or_else(|| value.to_string(), str::to_owned);
    warn(&format!("error: {detail}"));
    let more = told::versions(value.get("since")).into_iter().chain(told::changes(value));
    for line in told::invariants(value).into_iter().chain(more) {
        warn(&line);
    }
    Ok(Failure::said(code))
}

/// What a gateway that isn't up has in effect: the stored version, and the tools that were accepted.
struct Stored {
    versions: Versions,
    catalogue: Catalogue,
}

impl Stored {
    fn open(home: &Home) -> Result<Self, Failure> {
        let store = home.store()?;
        let kept = StoredPins(Arc::clone(&store));
        let (pins, _) = kept.load().map_err(Failure::new)?;
        let mut catalogue = accepted(pins);
        catalogue.records = kept.records().map_err(Failure::new)?.into_iter().collect();
        Ok(Self { versions: Versions::new(store), catalogue })
    }

    fn refused(Refused(status, value): &Refused, printer: Printer) -> Failure {
        refused(*status, value, printer).unwrap_or_else(|failure| failure)
    }
}

/// Servers as if they offered just what was accepted of them.
fn accepted(pins: Vec<(PinKey, Pin)>) -> Catalogue {
    let mut servers: BTreeMap<ServerKey, ServerCatalogue> = BTreeMap::new();
    for (key, pin) in pins.iter().filter(|(key, _)| key.tool != INSTRUCTIONS) {
        servers.entry(key.server.clone()).or_default().tools.push(pin.definition.as_str().into());
    }
    let mut catalogue = Catalogue {
        servers: servers.into_iter().map(|(key, server)| (key, Arc::new(server))).collect(),
        pins: pins.into_iter().collect(),
        ..Catalogue::default()
    };
    catalogue.gravest = Gravest::of_all(catalogue.servers.keys(), &definitions::findings(&catalogue));
    catalogue
}

fn texts(path: &Path) -> Result<(Value, String), Failure> {
    let files = directory::texts(path).map_err(|error| Failure::invalid(error.to_string()))?;
    let files: Vec<Value> = files.iter().map(|file| json!({"path": file.path, "text": file.text})).collect();
    let source = path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string();
    Ok((json!(files), source))
}

/// `remit plan`.
pub(crate) async fn plan(options: &Plan) -> Result<(), Failure> {
    let printer = Printer::new(options.common.json);
    let home = Home::existing(&options.common.data)?;
    let told = if home.running().is_ok() {
        let (files, source) = texts(&options.directory)?;
        let body = json!({"files": files, "source": source, "by": options.by, "reason": options.reason});
        agreed(&home, "plan", &body, printer).await?.1
    } else {
        plan_offline(&home, &options.directory, printer)?
    };
    let told = with_recorded_calls(told, &home, options)?;
    if printer.json {
        return printer.line(&told.to_string());
    }
    for line in told::report(&told) {
        printer.line(&line)?;
    }
    for line in told::next_of_plan(&told, &options.directory) {
        printer.line(&line)?;
    }
    Ok(())
}

/// The plan with what it would have decided on recorded calls.
fn with_recorded_calls(mut told: Value, home: &Home, options: &Plan) -> Result<Value, Failure> {
    if options.since.as_deref() == Some("none") || told.get("unchanged") == Some(&Value::Bool(true)) {
        return Ok(told);
    }
    let range = match &options.since {
        Some(since) => Range { since: replay::since(since)?, ..Range::default() },
        None => Range {
            since: replay::since(&format!("{}d", replay::PLAN_DAYS))?,
            entries_max: Some(replay::PLAN_ENTRIES_MAX),
            ..Range::default()
        },
    };
    let source = remit_control::read(&options.directory).map_err(|error| Failure::invalid(error.to_string()))?;
    let replayed = match replay::against(home, &Arc::new(source.loaded.organization), &range) {
        Ok((tally, took)) => replay::told(&tally, &range, took),
        // The plan is told all the same: it hangs on nothing of this.
        Err(failure) => json!({"error": failure.message}),
    };
    crate::change::merge(&mut told, json!({"replay": replayed}));
    Ok(told)
}

fn plan_offline(home: &Home, path: &Path, printer: Printer) -> Result<Value, Failure> {
    let fault = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    let stored = Stored::open(home)?;
    let after = match remit_control::read(path) {
        Ok(source) => source,
        Err(error @ DirectoryError::Faults(_)) => return Err(Stored::refused(&error.into(), printer)),
        Err(error) => return Err(Failure::invalid(error.to_string())),
    };
    let head = stored.versions.head().map_err(|error| fault(&error))?;
    let head = head.ok_or_else(|| {
        Failure::invalid("no version of the configuration is stored here yet: `remit up --config DIR` makes the first one")
    })?;
    let before = Source::of(stored.versions.files(&head).map_err(|error| fault(&error))?).map_err(|error| fault(&error))?;
    let gateway = std::fs::read_to_string(home.journal_vkey()).map_err(|error| Failure::io(&home.journal_vkey(), &error))?;
    let mut told = planned(gateway.trim(), &head, &before, &after, &stored.catalogue);
    crate::change::merge(&mut told, json!({"offline": true, "reviewed": head.entry.review.is_some()}));
    Ok(told)
}

/// `remit apply`.
pub(crate) async fn apply(options: &Apply) -> Result<(), Failure> {
    let printer = Printer::new(options.common.json);
    let home = Home::existing(&options.common.data)?;
    home.running()?;
    let mut body = json!({"by": options.by, "reason": options.reason});
    let more = match &options.directory {
        None => json!({"plan": options.plan}),
        Some(path) => {
            let (files, source) = texts(path)?;
            let mut expect = options.plan.clone();
            if options.reason.is_none() {
                return Err(Failure::invalid("--reason is missing: why is it applied?"));
            }
            if !printer.json {
                // What is applied is what is shown: another version in between refuses it.
                let question = json!({"files": files, "source": source, "by": options.by, "reason": options.reason});
                let (_, told) = agreed(&home, "plan", &question, printer).await?;
                for line in told::report(&told) {
                    printer.line(&line)?;
                }
                expect = expect.or_else(|| told.get("plan").and_then(Value::as_str).map(str::to_owned));
            }
            json!({"files": files, "source": source, "expect": expect})
        }
    };
    crate::change::merge(&mut body, more);
    let (status, told) = agreed(&home, "apply", &body, printer).await?;
    ended(status, &told, printer)
}

/// Says what came of a change.
fn ended(status: StatusCode, answer: &Value, printer: Printer) -> Result<(), Failure> {
    if printer.json {
        printer.line(&answer.to_string())?;
    } else {
        for line in told::ended(answer) {
            printer.line(&line)?;
        }
    }
    let rejected = answer.pointer("/review/reviews").and_then(Value::as_array).into_iter().flatten();
    let rejected = rejected.into_iter().any(|review| review.get("answer").and_then(Value::as_str) == Some("reject"));
    match status {
        StatusCode::ACCEPTED if rejected => Err(Failure::said(DENIED)),
        StatusCode::ACCEPTED => Err(Failure::said(HELD)),
        _ => Ok(()),
    }
}

/// `remit rollback`.
pub(crate) async fn rollback(options: &Rollback) -> Result<(), Failure> {
    let printer = Printer::new(options.common.json);
    let home = Home::existing(&options.common.data)?;
    let mut body = json!({"version": options.version, "by": options.by, "reason": options.reason});
    if !printer.json {
        // What is rolled back is what is shown.
        let (_, newest) = agreed(&home, "history", &json!({"count": 1}), printer).await?;
        let base = newest.pointer("/versions/0/version").cloned().unwrap_or_default();
        let (_, told) = agreed(&home, "diff", &json!({"from": base, "to": options.version}), printer).await?;
        for line in told::report(&told) {
            printer.line(&line)?;
        }
        crate::change::merge(&mut body, json!({"base": base}));
    }
    let (status, told) = agreed(&home, "rollback", &body, printer).await?;
    ended(status, &told, printer)
}

/// `remit history`.
pub(crate) async fn history(options: &History) -> Result<(), Failure> {
    let printer = Printer::new(options.common.json);
    let home = Home::existing(&options.common.data)?;
    let (agent, tool) = match options.tool_policy.as_deref() {
        Some([agent, tool]) => (Some(agent), Some(tool)),
        _ => (None, None),
    };
    let body = json!({"before": options.before, "count": options.count, "agent": agent, "tool": tool});
    let found = if home.running().is_ok() {
        agreed(&home, "history", &body, printer).await?.1
    } else {
        let stored = Stored::open(&home)?;
        looked_back(&stored.versions, &body).map_err(|error| Stored::refused(&error, printer))?
    };
    if printer.json {
        return printer.line(&found.to_string());
    }
    for line in told::history(&found) {
        printer.line(&line)?;
    }
    Ok(())
}

/// `remit diff`.
pub(crate) async fn diff(options: &Diff) -> Result<(), Failure> {
    let printer = Printer::new(options.common.json);
    let home = Home::existing(&options.common.data)?;
    let body = json!({"from": options.from, "to": options.to});
    let found = if home.running().is_ok() {
        agreed(&home, "diff", &body, printer).await?.1
    } else {
        let stored = Stored::open(&home)?;
        compared(&stored.versions, &stored.catalogue, &body).map_err(|error| Stored::refused(&error, printer))?
    };
    if printer.json {
        return printer.line(&found.to_string());
    }
    for line in told::report(&found) {
        printer.line(&line)?;
    }
    Ok(())
}

/// `remit plans`.
pub(crate) async fn plans(options: &Plans) -> Result<(), Failure> {
    let printer = Printer::new(options.common.json);
    let home = Home::existing(&options.common.data)?;
    let (what, body) = if options.withdraw {
        ("withdraw", json!({"plan": options.plan, "by": options.by}))
    } else {
        ("plans", json!({"plan": options.plan}))
    };
    let (_, found) = agreed(&home, what, &body, printer).await?;
    if printer.json {
        return printer.line(&found.to_string());
    }
    let lines = match (&options.plan, options.withdraw) {
        (_, true) => vec!["withdrawn".to_owned()],
        (Some(_), false) => told::plan(&found),
        (None, false) => told::plans(&found),
    };
    for line in lines {
        printer.line(&line)?;
    }
    Ok(())
}

/// `remit review`.
pub(crate) async fn review(options: &Review) -> Result<(), Failure> {
    let printer = Printer::new(options.common.json);
    let home = Home::existing(&options.common.data)?;
    let signer = reviewer(&options.key)?;
    let (_, found) = agreed(&home, "plans", &json!({"plan": options.plan}), printer).await?;
    let gateway = found.get("gateway").and_then(Value::as_str).unwrap_or_default();
    let waiting = found.get("waiting").cloned().unwrap_or_default();
    let waiting: Waiting =
        serde_json::from_value(waiting).map_err(|error| Failure::new(format!("the gateway's answer: {error}")))?;
    // The digest is signed, so it is made here once more from what it is the digest of.
    if plan_digest(gateway, waiting.base, &waiting.base_digest, &waiting.digest) != waiting.plan {
        return Err(Failure::new("the gateway shows a plan whose digest is not the plan's: nothing was signed"));
    }
    let answer = if options.approve { Answer::Approve } else { Answer::Reject };
    let note = sign(&signer, gateway, &waiting, answer, &options.comment).map_err(|error| Failure::invalid(error.to_string()))?;
    let (_, said) = agreed(&home, "review", &json!({"plan": waiting.plan, "note": note}), printer).await?;
    if printer.json {
        let mut said = said;
        crate::change::merge(&mut said, json!({"note": note}));
        return printer.line(&said.to_string());
    }
    printer.line(&format!("signed and recorded:\n\n{note}"))?;
    for line in told::standing(said.get("review"), &waiting.plan) {
        printer.line(&line)?;
    }
    Ok(())
}

/// `remit review-key`.
pub(crate) fn review_key(options: &ReviewKey) -> Result<(), Failure> {
    let printer = Printer::new(options.json);
    let path = options.out.clone().unwrap_or_else(|| format!("{}.key", options.name.replace(['/', '\\'], "-")).into());
    let key = SigningKey::generate().ok_or_else(|| Failure::new("the system has no randomness"))?;
    let public = key.verifier_key(&options.name).map_err(|error| Failure::invalid(error.to_string()))?;
    let seed = Zeroizing::new(remit_mcp::canonical::hex(key.seed()));
    let text = Zeroizing::new(format!("{KEY_HEAD} {} {}\n", options.name, seed.as_str()));
    write_new_private(&path, text.as_bytes())?;
    if printer.json {
        return printer.line(&json!({"reviewer": options.name, "public_key": public, "file": path}).to_string());
    }
    printer.line(&format!(
        "{public}\n\nThe private half is in `{}`, which only you may read: keep it to yourself. The line above goes into the configuration:\n\n  \
         change_review:\n    required: true\n    approvals: 1\n    reviewers:\n      - {public}",
        path.display()
    ))
}

/// The key of a reviewer's file, which nobody else may read.
pub(crate) fn reviewer(path: &Path) -> Result<Signer, Failure> {
    let text = crate::home::read_private(path)?;
    let malformed = || Failure::invalid(format!("`{}` is no reviewer's key: make one with `remit review-key`", path.display()));
    let mut words = text.split_whitespace();
    let (Some(KEY_HEAD), Some(name), Some(digits), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(malformed());
    };
    let seed = crate::home::bytes_of(digits).ok_or_else(malformed)?;
    Signer::from_seed(name, &seed).map_err(|error| Failure::invalid(error.to_string()))
}
