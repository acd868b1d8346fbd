//! Comma-separated values (RFC 4180), as people export them: with a byte order mark or without, in quotes or not, with commas, semicolons
//! or tabs.

use super::{ATTRIBUTES, Attributes, Reader, Row};

/// What values may be separated by.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// A line of names, and one for each row.
pub(super) fn write(rows: &[Row]) -> String {
    let mut out = format!("{}\r\n", ATTRIBUTES.join(","));
    for row in rows {
        let fields = [row.agent.as_str(), &row.tool, if row.allowed { "true" } else { "false" }, row.risk_max.as_str()];
        out.push_str(&fields.map(quoted).join(","));
        out.push_str("\r\n");
    }
    out
}

/// A value in quotes, if it needs them.
fn quoted(text: &str) -> String {
    let needs = text.contains(['"', '\r', '\n']) || text.contains(SEPARATORS) || text.starts_with(' ') || text.ends_with(' ');
    if needs { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// One record: where it begins, and its values.
struct Record {
    offset: usize,
    values: Vec<String>,
}

/// Reads a line of names, and a row from each line after it.
pub(super) fn read(reader: &mut Reader<'_>) {
    let Some(separator) = separator(reader.text) else {
        let mend = "begin with the line `agent_id,tool_id,allowed,max_risk`";
        reader.fault(0, "the first line doesn't name the attributes".to_owned(), mend);
        return;
    };
    let Some(records) = records(reader, separator) else { return };
    let mut records = records.into_iter();
    let Some(head) = records.next() else { return };
    let mut columns = Vec::new();
    for name in &head.values {
        let name = name.trim();
        let place = reader.attribute(head.offset, name, "there is");
        if place.is_some() && columns.contains(&place) {
            reader.fault(head.offset, format!("`{name}` stands twice in the first line"), "keep one of the columns");
        }
        columns.push(place);
    }
    if !reader.faults.is_empty() {
        return;
    }
    for Record { offset, values } in records {
        reader.number += 1;
        if values.len() != columns.len() {
            let what = format!("it has {} values, and the first line {} names", values.len(), columns.len());
            reader.row_fault(offset, &what, "put a value that holds the separator in quotes");
            continue;
        }
        let mut attributes = Attributes::default();
        for (value, place) in values.into_iter().zip(&columns) {
            if let Some(slot) = place.and_then(|place| attributes.values.get_mut(place)) {
                *slot = Some(value).filter(|value| !value.is_empty());
            }
        }
        reader.row(offset, &attributes);
    }
}

/// By what the first line's names are separated.
fn separator(text: &str) -> Option<char> {
    let first = text.lines().next().unwrap_or_default();
    let has = |name: &str| first.to_ascii_lowercase().contains(name);
    if !has("agent_id") || !has("tool_id") {
        return None;
    }
    SEPARATORS.into_iter().find(|separator| first.contains(*separator))
}

/// The records. Lines that hold nothing are left out.
fn records(reader: &mut Reader<'_>, separator: char) -> Option<Vec<Record>> {
    let text = reader.text;
    let mut records = Vec::new();
    let mut record = Record { offset: 0, values: Vec::new() };
    let mut value = String::new();
    // Whether the value began with a quote, and whether that is closed.
    let (mut in_quotes, mut closed) = (false, false);
    let mut chars = text.char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        match c {
            '"' if in_quotes && chars.next_if(|(_, next)| *next == '"').is_some() => value.push('"'),
            '"' if in_quotes => (in_quotes, closed) = (false, true),
            _ if in_quotes => value.push(c),
            '"' if value.is_empty() && !closed => in_quotes = true,
            '"' => {
                reader.fault(offset, "a quote stands inside a value".to_owned(), "put the value in quotes and double the quote");
                return None;
            }
            _ if c == separator => {
                record.values.push(std::mem::take(&mut value));
                closed = false;
            }
            '\r' if chars.peek().is_some_and(|(_, next)| *next == '\n') => {}
            '\n' => {
                record.values.push(std::mem::take(&mut value));
                closed = false;
                let next = Record { offset: offset + 1, values: Vec::new() };
                let done = std::mem::replace(&mut record, next);
                records.extend(Some(done).filter(|done| done.values.iter().any(|value| !value.is_empty())));
            }
            _ if closed => {
                reader.fault(offset, "something follows a closing quote".to_owned(), "end the value with its quote");
                return None;
            }
            _ => value.push(c),
        }
    }
    if in_quotes {
        reader.fault(record.offset, "a quote isn't closed".to_owned(), "close it");
        return None;
    }
    record.values.push(value);
    records.extend(Some(record).filter(|done| done.values.iter().any(|value| !value.is_empty())));
    Some(records)
}
