//! `remit pins`: what servers show, compared with what was accepted, and pins as code.

use std::path::Path;

use http::Method;
use remit_gateway::Pins as _;
use remit_trial::Lock;
use serde_json::{Value, json};

use crate::cli::{Common, Pins, PinsOf};
use crate::commands::operator;
use crate::files;
use crate::home::{Home, StoredPins};
use crate::output::{Failure, Printer};

/// `remit pins`.
pub(crate) async fn pins(options: PinsOf) -> Result<(), Failure> {
    let PinsOf { export: file, common, command } = options;
    if let Some(file) = file {
        return export(&common, &file);
    }
    match command.unwrap_or(Pins::List(common)) {
        Pins::Accept { common, server, tool, by } => {
            let request = json!({"server": server, "tool": tool, "by": by});
            let accepted = operator(&Home::existing(&common.data)?, Method::POST, "/v1/pins/accept", Some(&request)).await?;
            Printer::new(common.json).line(&accepted.to_string())
        }
        Pins::List(common) => {
            let printer = Printer::new(common.json);
            let status = operator(&Home::existing(&common.data)?, Method::GET, "/v1/status", None).await?;
            let servers = status.get("servers").and_then(Value::as_array).cloned().unwrap_or_default();
            let mut waiting = 0;
            for server in &servers {
                let name = server.get("server").and_then(Value::as_str).unwrap_or_default();
                for tool in server.get("tools").and_then(Value::as_array).into_iter().flatten() {
                    let pin = tool.get("pin").and_then(Value::as_str).unwrap_or_default();
                    if pin == "intact" {
                        continue;
                    }
                    waiting += 1;
                    if printer.json {
                        printer.line(&json!({"server": name, "tool": tool}).to_string())?;
                    } else {
                        printer.line(&difference(name, pin, tool))?;
                    }
                }
            }
            printer.say(&format!("{waiting} tools wait"))
        }
    }
}

/// What changed in a definition, line by line.
fn difference(server: &str, pin: &str, tool: &Value) -> String {
    let text = |key: &str| tool.get(key).and_then(Value::as_str).unwrap_or_default();
    let lines = |key: &str| -> Vec<String> {
        let value: Value = serde_json::from_str(text(key)).unwrap_or_default();
        if value.is_null() {
            return Vec::new();
        }
        let pretty = serde_json::to_string_pretty(&value).unwrap_or_default();
        pretty.lines().map(|line| line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()).collect()
    };
    let (before, after) = (lines("accepted"), lines("shown"));
    let mut out = format!("{server} {} is {pin}\n", text("tool"));
    for line in before.iter().filter(|line| !after.contains(line)) {
        out.push_str(&format!("  - {line}\n"));
    }
    for line in after.iter().filter(|line| !before.contains(line)) {
        out.push_str(&format!("  + {line}\n"));
    }
    out
}

/// Writes every accepted definition of the data directory to a lock. Pins change with what an operator accepts, and the store has them at
/// once: the gateway may be up or not.
fn export(common: &Common, file: &Path) -> Result<(), Failure> {
    let (pins, _) = StoredPins(Home::existing(&common.data)?.store()?).load().map_err(Failure::new)?;
    let lock = Lock::of(pins).map_err(Failure::new)?;
    files::write(file, &lock.to_text())?;
    let (servers, tools) = lock.counts();
    let printer = Printer::new(common.json);
    if printer.json {
        return printer.line(&json!({"file": file, "servers": servers, "tools": tools}).to_string());
    }
    printer.line(&format!("{tools} tools of {servers} servers written to {}", file.display()))
}
