//! `remit credentials`, `remit revoke`, `remit iam`.

use std::io::{BufRead as _, Write as _};

use http::Method;
use serde_json::{Value, json};

use crate::aws::set;
use crate::cli::{Because, Credentials, Iam, Revoke};
use crate::commands::operator;
use crate::home::Home;
use crate::output::{FAILURE, Failure, Printer};
use crate::{lint, new_access, reach};

/// The longest case of `remit iam simulate`, in bytes.
const CASE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// `remit credentials`.
pub(crate) async fn credentials(options: &Credentials) -> Result<(), Failure> {
    let home = Home::existing(&options.data)?;
    let mut asked = json!({"principal": options.principal, "by": options.by});
    if let Some(name) = &options.session_name {
        set(&mut asked, "session_name", name.as_str());
    }
    if let Some(secs) = options.duration_secs {
        set(&mut asked, "duration_secs", secs);
    }
    let pair = operator(&home, Method::POST, "/v1/credentials", Some(&asked)).await?;
    Printer::new(true).line(&pair.to_string())
}

/// `remit revoke`.
pub(crate) async fn revoke(options: &Revoke) -> Result<(), Failure> {
    let (because, mut asked, what) = match options {
        Revoke::Session { id, because } => (because, json!({"credential": id}), format!("the credential {id}")),
        Revoke::Agent { agent, because } => (because, json!({"agent": agent}), format!("what agent {agent} was issued")),
        Revoke::Role { arn, because } => (because, json!({"role": arn}), format!("the sessions of {arn}")),
        Revoke::Everything { before_secs, because } => {
            let mut asked = json!({"everything": true});
            if let Some(secs) = before_secs {
                set(&mut asked, "before_secs", *secs);
            }
            (because, asked, "everything".to_owned())
        }
    };
    let Because { common, reason, by } = because;
    set(&mut asked, "by", by.as_str());
    set(&mut asked, "reason", reason.as_str());
    let home = Home::existing(&common.data)?;
    let all = operator(&home, Method::POST, "/v1/revoke", Some(&asked)).await?;
    let printer = Printer::new(common.json);
    if common.json { printer.line(&all.to_string()) } else { printer.line(&format!("revoked: {what}")) }
}

/// `remit iam …`.
pub(crate) async fn iam(options: &Iam) -> Result<(), Failure> {
    match options {
        Iam::Simulate => simulate(),
        Iam::Lint { paths, kind, json } => lint::run(paths, kind, *json),
        Iam::NewAccess { old, new, kind, json } => new_access::run(old, new, kind, *json),
        Iam::Can { common, who, action, resource } => reach::can(common, who, action, resource).await,
        Iam::Who { common, action, resource, all } => reach::who(common, action, resource, *all).await,
        Iam::Effective { common, space } => {
            let home = Home::existing(&common.data)?;
            let found = operator(&home, Method::POST, "/v1/effective", Some(&json!({"space": space}))).await?;
            let printer = Printer::new(common.json);
            if common.json {
                return printer.line(&found.to_string());
            }
            let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            printer.line(&format!("{}\n{}", text(&found, "arn"), text(&found, "path")))?;
            let mut last = String::new();
            for policy in found.get("policies").and_then(Value::as_array).into_iter().flatten() {
                let node = text(policy, "attached_to");
                if node != last {
                    printer.line(&format!("\n{node}"))?;
                    last = node;
                }
                printer.line(&format!("  {:<24} {}", text(policy, "type"), text(policy, "policy")))?;
                for statement in policy.get("statements").and_then(Value::as_array).into_iter().flatten() {
                    let sid = statement.get("sid").and_then(Value::as_str).unwrap_or("-");
                    printer.line(&format!("    {:<6} {sid:<32} {}", text(statement, "effect"), text(statement, "origin")))?;
                }
            }
            Ok(())
        }
    }
}

fn simulate() -> Result<(), Failure> {
    let mut input = std::io::stdin().lock();
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    let fault = |error: std::io::Error| Failure::new(format!("standard input or output: {error}"));
    let (mut line, mut failed) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        let limit = u64::try_from(CASE_BYTES_MAX).unwrap_or(u64::MAX);
        let read = std::io::Read::take(&mut input, limit).read_until(b'\n', &mut line).map_err(fault)?;
        if read == 0 {
            break;
        }
        if line.len() >= CASE_BYTES_MAX {
            return Err(Failure::invalid(format!("a case is at most {CASE_BYTES_MAX} bytes")));
        }
        let Ok(text) = std::str::from_utf8(&line) else { return Err(Failure::invalid("a case is not UTF-8")) };
        if text.trim().is_empty() {
            continue;
        }
        let answer = match remit_iam::simulate::simulate_line(text.trim()) {
            Ok(answer) => answer,
            Err(answer) => {
                failed += 1;
                answer
            }
        };
        writeln!(output, "{answer}").map_err(fault)?;
    }
    output.flush().map_err(fault)?;
    if failed > 0 {
        return Err(Failure { code: FAILURE, message: format!("{failed} cases could not be read"), quiet: false });
    }
    Ok(())
}
