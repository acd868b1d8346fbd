//! `remit egress import`: MCP servers that agents reached around Remit, out of a log of the network, told and put on record.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

use http::Method;
use remit_trial::egress::{Found, Known, LINE_BYTES_MAX, Reached};
use serde_json::{Value, json};

use crate::cli::{EgressImport, EgressOf};
use crate::commands::operator;
use crate::home::Home;
use crate::offline::Offline;
use crate::output::{Failure, Printer, warn};

/// The largest log, in bytes.
const LOG_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Runs it.
pub(crate) async fn run(command: EgressOf) -> Result<(), Failure> {
    let EgressOf::Import(options) = command;
    let printer = Printer::new(options.common.json);
    let offline = match Offline::read(Some(&options.config)) {
        Ok(offline) => offline,
        Err(refused) => return Err(refused.told(printer)?),
    };
    let known = Known::of(&offline.source.loaded.organization, &options.own);
    let found = read(&options, &known)?;
    if found.lines > 0 && found.unread.0 == found.lines {
        let what = format!("`{}`: no line of it is of a form that is known", options.file.display());
        return Err(Failure::invalid(format!("{what}: VPC flow logs of version 2, Squid's access log, or JSON lines")));
    }
    let home = if options.dry_run { None } else { Some(Home::existing(&options.common.data)?) };
    let log = options.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut count = 0;
    for reached in found.reached() {
        count += 1;
        let mut told = told(reached, &log);
        if let Some(home) = &home {
            crate::aws::set(&mut told, "by", options.by.as_str());
            operator(home, Method::POST, "/v1/servers/reached", Some(&told)).await?;
        }
        if printer.json {
            printer.line(&told.to_string())?;
        } else {
            printer.line(&line(reached))?;
        }
    }
    if let (1.., Some(first)) = found.unread {
        warn(&format!("{} of {} lines couldn't be read, the first of them line {first}", found.unread.0, found.lines));
    }
    if found.more {
        warn("there is more than one log's findings may be: split the log, and import each part");
    }
    printer.say(&format!(
        "{count} servers reached around Remit, in {} lines{}",
        found.lines,
        if options.dry_run { "; nothing is recorded" } else { "" }
    ))?;
    if count > 0 || found.more { Err(Failure::said(crate::output::FAILURE)) } else { Ok(()) }
}

fn read(options: &EgressImport, known: &Known) -> Result<Found, Failure> {
    let fault = |error: std::io::Error| Failure::io(&options.file, &error);
    let file = File::open(&options.file).map_err(fault)?;
    if file.metadata().map_err(fault)?.len() > LOG_BYTES_MAX {
        return Err(Failure::invalid(format!("`{}` is larger than 1 GiB: split it", options.file.display())));
    }
    let mut reader = BufReader::new(file.take(LOG_BYTES_MAX));
    let (mut found, mut number, mut line) = (Found::default(), 0, Vec::new());
    loop {
        line.clear();
        let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX) + 2;
        if reader.by_ref().take(most).read_until(b'\n', &mut line).map_err(fault)? == 0 {
            return Ok(found);
        }
        number += 1;
        // What is left of a line that is too long is no line of its own.
        if line.len() > LINE_BYTES_MAX && !line.ends_with(b"\n") {
            reader.skip_until(b'\n').map_err(fault)?;
        }
        known.look(number, &String::from_utf8_lossy(&line), &mut found);
    }
}

fn told(reached: &Reached, log: &str) -> Value {
    json!({
        "finding": reached.kind.as_str(), "server": reached.server.as_ref().map(ToString::to_string), "source": reached.source, "host": reached.host,
        "path": Some(&reached.path).filter(|path| !path.is_empty()), "count": reached.count, "first_secs": reached.first_secs,
        "last_secs": reached.last_secs, "log": log,
    })
}

fn line(reached: &Reached) -> String {
    let time = |secs: u64| remit_gateway::rfc3339(secs.saturating_mul(1000));
    let what = match &reached.server {
        Some(server) => format!("the registered server {server}"),
        None => "what looks like an MCP server that nobody registered".to_owned(),
    };
    let path: String = reached.path.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    format!(
        "{}: {} reached {}{path} directly, {what}: {} times from {} to {}",
        reached.kind.as_str(),
        reached.source,
        reached.host,
        reached.count,
        time(reached.first_secs),
        time(reached.last_secs)
    )
}
