//! `remit iam can` and `remit iam who`.

use http::Method;
use serde_json::{Value, json};

use crate::cli::Common;
use crate::commands::operator;
use crate::home::Home;
use crate::output::{DENIED, Failure, Printer};

/// Whether somebody can.
pub(crate) async fn can(common: &Common, who: &str, action: &str, resource: &str) -> Result<(), Failure> {
    let asked = json!({"who": who, "action": action, "resource": resource});
    let found = ask(common, &asked).await?;
    let ways = ways(&found);
    let allowed = ways.iter().any(is_allowed);
    if common.json {
        Printer::new(true).line(&json!({"allowed": allowed, "ways": ways}).to_string())?;
    } else {
        let printer = Printer::new(false);
        printer.line(if allowed { "yes" } else { "no" })?;
        if ways.is_empty() {
            printer.line(&format!("  there is no way on which {who} could try {action} on {resource}"))?;
        }
        for way in &ways {
            printer.line(&told(way))?;
        }
    }
    if allowed { Ok(()) } else { Err(Failure::said(DENIED)) }
}

/// Who can.
pub(crate) async fn who(common: &Common, action: &str, resource: &str, all: bool) -> Result<(), Failure> {
    let found = ask(common, &json!({"action": action, "resource": resource})).await?;
    let ways: Vec<Value> = ways(&found).into_iter().filter(|way| all || is_allowed(way)).collect();
    let printer = Printer::new(common.json);
    if common.json {
        return printer.line(&json!({"action": action, "resource": resource, "ways": ways}).to_string());
    }
    if ways.is_empty() {
        return printer.line("nobody");
    }
    ways.iter().try_for_each(|way| printer.line(&told(way)))
}

async fn ask(common: &Common, question: &Value) -> Result<Value, Failure> {
    let home = Home::existing(&common.data)?;
    operator(&home, Method::POST, "/v1/ways", Some(question)).await
}

fn ways(found: &Value) -> Vec<Value> {
    found.get("ways").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn is_allowed(way: &Value) -> bool {
    way.get("allowed").and_then(Value::as_bool) == Some(true)
}

/// A way for people: who, the path, and the statements by which it is allowed, or the first that is against it.
fn told(way: &Value) -> String {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let path: Vec<&str> = way.get("path").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mark = if is_allowed(way) { "✓" } else { "✗" };
    let mut told = format!("{mark} {}", text(way, "who"));
    for step in path {
        told.push_str(&format!("\n    → {step}"));
    }
    let layers = way.get("layers").and_then(Value::as_array).into_iter().flatten();
    for layer in layers {
        let effect = text(layer, "effect");
        let against = !matches!(effect.as_str(), "ALLOW" | "NO_IMPACT");
        let origin = layer.get("origin").and_then(Value::as_str);
        if against || (is_allowed(way) && origin.is_some()) {
            let origin = origin.map(|origin| format!("  [{origin}]")).unwrap_or_default();
            told.push_str(&format!("\n      {:<23} {effect:<13} {}{origin}", text(layer, "checkType"), text(layer, "statement")));
        }
        if against {
            break;
        }
    }
    told
}
