//! Rows as YAML for a configuration directory.

use remit_config::{Fault, Severity};

use super::{Placed, Row};

/// The most rows of one file: a configuration's file has at most 1 MiB and 100,000 values.
pub const ROWS_MAX: usize = 10_000;
/// The largest configuration file, in bytes.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// A configuration file with these rows, one a line, and the line of each: `first` plus its place. `source` says where they come from.
/// `file` is what a fault calls what was read.
pub fn yaml(rows: &[Placed], source: &str, file: &str) -> Result<String, Box<Fault>> {
    let mut out = format!("# From {}.\ntool_policies:\n", source.replace(char::is_control, " "));
    out.extend(rows.iter().map(|placed| line(&placed.row)));
    if rows.len() <= ROWS_MAX && out.len() <= FILE_BYTES_MAX {
        return Ok(out);
    }
    let what = format!("{} rows are more than one file of a configuration holds", rows.len());
    Err(Box::new(Fault {
        severity: Severity::Error,
        file: file.to_owned(),
        line: 1,
        column: 1,
        pointer: String::new(),
        what,
        mend: format!("split them into files of at most {ROWS_MAX} rows and 1 MiB"),
    }))
}

/// On which line of [`yaml`] the first row stands.
pub(super) const FIRST_LINE: usize = 3;

fn line(row: &Row) -> String {
    let allowed = if row.allowed { "" } else { ", allowed: false" };
    format!("  - {{ agent: {}, tool: {}{allowed}, max_risk: {} }}\n", scalar(row.agent.as_str()), scalar(&row.tool), row.risk_max)
}

/// A text as YAML reads it back: plain where nobody could take it for something else, else in quotes as in JSON.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && !matches!(text.to_ascii_lowercase().as_str(), "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n");
    if plain { text.to_owned() } else { remit_mcp::json::quote(text) }
}
