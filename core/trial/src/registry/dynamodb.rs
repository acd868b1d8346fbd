//! DynamoDB's JSON: each value in an object that names its type ("Data type descriptors", Amazon DynamoDB Developer Guide).

use std::collections::BTreeMap;

use remit_config::item::shown;
use remit_mcp::json::{Limits, scan};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Attributes, Reader, Row};

/// The most rows of one request (BatchWriteItem, Amazon DynamoDB API Reference).
const BATCH_MAX: usize = 25;
/// What a page of a scan says besides its rows.
const OF_A_PAGE: [&str; 4] = ["Items", "Count", "ScannedCount", "ConsumedCapacity"];
/// By what a page says that there are more.
const MORE: [&str; 2] = ["LastEvaluatedKey", "NextToken"];

type Fields<'a> = BTreeMap<String, &'a RawValue>;

fn item(row: &Row) -> Value {
    json!({
        "agent_id": {"S": row.agent}, "tool_id": {"S": row.tool}, "allowed": {"BOOL": row.allowed}, "max_risk": {"S": row.risk_max},
    })
}

/// A line for each row.
pub(super) fn write(rows: &[Row]) -> String {
    rows.iter().map(|row| format!("{}\n", json!({ "Item": item(row) }))).collect()
}

/// A line for each request.
pub(super) fn write_batches(table: &str, rows: &[Row]) -> String {
    let batch = |rows: &[Row]| {
        let requests: Vec<Value> = rows.iter().map(|row| json!({ "PutRequest": { "Item": item(row) } })).collect();
        format!("{}\n", json!({ table: requests }))
    };
    rows.chunks(BATCH_MAX).map(batch).collect()
}

/// Reads documents one after the other, whatever stands between them.
pub(super) fn read(reader: &mut Reader<'_>) {
    let text = reader.text;
    for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        match document {
            Ok(document) => self::document(reader, document),
            Err(error) => {
                let offset = offset_of(text, error.line(), error.column());
                let mend = "give what `aws dynamodb scan` prints, or the lines of an export to S3, unpacked";
                reader.fault(offset, format!("this is no JSON: {error}"), mend);
                return;
            }
        }
    }
}

/// Where a line and a column, both from 1, are in bytes.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let lines: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    lines + column.saturating_sub(1)
}

/// Where a part of the text begins.
fn offset(reader: &Reader<'_>, part: &RawValue) -> usize {
    (part.get().as_ptr() as usize).saturating_sub(reader.text.as_ptr() as usize)
}

fn document(reader: &mut Reader<'_>, document: &RawValue) {
    let at = offset(reader, document);
    let limits = Limits { keys_max: 4_000_000, ..Limits::default() };
    if let Err(error) = scan(document.get().as_bytes(), limits) {
        reader.fault(at + error.offset, format!("this is no acceptable JSON: {}", error.fault), "say everything once");
        return;
    }
    if let Some(items) = list(document) {
        items.into_iter().for_each(|entry| self::entry(reader, entry));
        return;
    }
    let Some(fields) = fields(document) else {
        reader.fault(at, "this is neither an item nor a list of them".to_owned(), "give what `aws dynamodb scan` prints");
        return;
    };
    if fields.contains_key("Items") {
        page(reader, at, &fields);
    } else if fields.contains_key("Item") || fields.contains_key("PutRequest") || is_item(&fields) {
        entry(reader, document);
    } else {
        requests(reader, at, &fields);
    }
}

/// What a scan or a query prints.
fn page(reader: &mut Reader<'_>, at: usize, fields: &Fields<'_>) {
    for name in fields.keys().filter(|name| !OF_A_PAGE.contains(&name.as_str())) {
        if MORE.contains(&name.as_str()) {
            let mend = "scan again without `--max-items`, or give the other pages too and take this key out";
            reader.fault(at, format!("`{name}` says that there are more rows than these"), mend);
        } else {
            reader.fault(at, format!("a page of a scan has no {}", shown(name)), "give what `aws dynamodb scan` prints");
        }
    }
    match fields.get("Items").and_then(|items| list(items)) {
        Some(items) => items.into_iter().for_each(|item| self::item_read(reader, item)),
        None => reader.fault(at, "`Items` is no list".to_owned(), "give what `aws dynamodb scan` prints"),
    }
}

/// Requests of `batch-write-item`, by table.
fn requests(reader: &mut Reader<'_>, at: usize, fields: &Fields<'_>) {
    let Some(tables) = fields.values().map(|value| list(value)).collect::<Option<Vec<_>>>().filter(|tables| !tables.is_empty())
    else {
        reader.fault(at, "this is no item, no page and no request".to_owned(), "an item has `agent_id` and `tool_id`");
        return;
    };
    tables.into_iter().flatten().for_each(|request| entry(reader, request));
}

/// An item, alone or in `{"Item": …}` or `{"PutRequest": {"Item": …}}`.
fn entry(reader: &mut Reader<'_>, entry: &RawValue) {
    let at = offset(reader, entry);
    let Some(found) = fields(entry) else {
        reader.number += 1;
        reader.row_fault(at, "it is no object", "an item has `agent_id` and `tool_id`");
        return;
    };
    let only = |name: &str| if found.len() == 1 { found.get(name).copied() } else { None };
    if let Some(put) = only("PutRequest") {
        match fields(put).filter(|put| put.len() == 1).and_then(|put| put.get("Item").copied()) {
            Some(item) => item_read(reader, item),
            None => reader.fault(at, "`PutRequest` holds one `Item`".to_owned(), "write {\"PutRequest\": {\"Item\": {…}}}"),
        }
    } else if let Some(item) = only("Item") {
        item_read(reader, item);
    } else if found.contains_key("DeleteRequest") {
        reader.fault(at, "`DeleteRequest` takes a row away: only whole tables are read".to_owned(), "leave it out");
    } else {
        item_read(reader, entry);
    }
}

fn item_read(reader: &mut Reader<'_>, item: &RawValue) {
    reader.number += 1;
    let at = offset(reader, item);
    let Some(fields) = fields(item) else {
        reader.row_fault(at, "it is no object", "an item has `agent_id` and `tool_id`");
        return;
    };
    let before = reader.faults.len();
    let mut attributes = Attributes::default();
    for (name, typed) in &fields {
        let whose = format!("row {}: it has", reader.number);
        let Some(place) = reader.attribute(at, name, &whose) else { continue };
        match text(typed) {
            Ok(text) => match attributes.values.get_mut(place) {
                Some(value) if value.is_none() => *value = text,
                _ => reader.row_fault(at, &format!("it says {} twice", shown(name)), "keep one of the two"),
            },
            Err(what) => reader.row_fault(at, &format!("{} {what}", shown(name)), "write {\"S\": \"…\"}, or {\"BOOL\": true}"),
        }
    }
    if reader.faults.len() == before {
        reader.row(at, &attributes);
    }
}

/// The text of a typed value: `S`, `BOOL`; nothing for `NULL`.
fn text(typed: &RawValue) -> Result<Option<String>, String> {
    let value: Value = serde_json::from_str(typed.get()).map_err(|error| format!("can't be read: {error}"))?;
    let Some(Value::Object(map)) = Some(value) else { return Err("doesn't say which type it is".to_owned()) };
    let mut entries = map.into_iter();
    match (entries.next(), entries.next()) {
        (Some((kind, Value::String(text))), None) if kind == "S" => Ok(Some(text)),
        (Some((kind, Value::Bool(flag))), None) if kind == "BOOL" => Ok(Some(flag.to_string())),
        (Some((kind, Value::Bool(true))), None) if kind == "NULL" => Ok(None),
        (Some((kind, _)), None) => Err(format!("has the type {}", shown(&kind))),
        _ => Err("doesn't say which type it is".to_owned()),
    }
}

fn is_item(fields: &Fields<'_>) -> bool {
    fields.contains_key("agent_id") || fields.contains_key("tool_id")
}

fn fields(value: &RawValue) -> Option<Fields<'_>> {
    serde_json::from_str(value.get()).ok()
}

fn list(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}
