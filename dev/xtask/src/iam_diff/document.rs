//! The cases of `docs/reference/iam-deviations.md`: the document says what both engines decide, and that is checked.

use std::{error::Error, fs};

use serde_json::{Map, Value, json};

use crate::root;

/// A case that the document tells.
pub(crate) struct Told {
    /// The rule that it is an example of.
    pub(crate) rule: String,
    /// The case, whole.
    pub(crate) case: Value,
    /// What Remit decides.
    pub(crate) ours: String,
    /// What the other engine decides.
    pub(crate) theirs: String,
}

/// Reads the document.
pub(crate) fn told() -> Result<Vec<Told>, Box<dyn Error>> {
    read(&fs::read_to_string(root().join("docs/reference/iam-deviations.md"))?)
}

/// A section is a heading `### rule`, a block of JSON, and a line `Remit: `decision`. The other: `decision`.`
fn read(text: &str) -> Result<Vec<Told>, Box<dyn Error>> {
    let mut told = Vec::new();
    let mut sections = text.split("\n### ");
    let start = sections.next().and_then(|head| block(head, "```json default\n"));
    let start: Value = serde_json::from_str(start.ok_or("the document has no case that stands for what others leave out")?)?;
    for section in sections {
        let rule = section.lines().next().unwrap_or_default().trim().to_owned();
        let incomplete = || format!("`{rule}`: a case and a line `Remit: …. The other: ….` are missing");
        let case = block(section, "```json\n").ok_or_else(incomplete)?;
        let case: Value = serde_json::from_str(case).map_err(|error| format!("`{rule}`: {error}"))?;
        let answers = section.lines().find_map(|line| line.strip_prefix("Remit: `")).ok_or_else(incomplete)?;
        let (ours, rest) = answers.split_once("`. The other: `").ok_or_else(incomplete)?;
        let (theirs, _) = rest.split_once('`').ok_or_else(incomplete)?;
        let case = whole(&start, case, told.len());
        told.push(Told { rule, case, ours: ours.to_owned(), theirs: theirs.to_owned() });
    }
    Ok(told)
}

fn block<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    text.split_once(start)?.1.split_once("\n```").map(|(block, _)| block)
}

/// The case with what it leaves out.
fn whole(start: &Value, case: Value, id: usize) -> Value {
    let mut full = start.clone();
    let Value::Object(case) = case else { return full };
    for (field, mut value) in case {
        if let (Some(request), Some(given)) = (full.get_mut(&field).and_then(Value::as_object_mut), value.as_object()) {
            request.extend(given.clone());
        } else if let Some(full) = full.as_object_mut() {
            version(&mut value);
            full.insert(field, value);
        }
    }
    if let Some(full) = full.as_object_mut() {
        full.entry("identityPolicies").or_insert(json!([]));
        full.insert("id".into(), id.into());
    }
    full
}

fn version(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(version),
        Value::Object(policy) if policy.contains_key("Statement") => {
            let mut first = Map::new();
            first.insert("Version".into(), "2012-10-17".into());
            first.append(policy);
            *policy = first;
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam_diff::rules::RULES;

    #[test]
    fn each_rule_is_told_once() {
        let mut told: Vec<String> = told().unwrap().into_iter().map(|told| told.rule).collect();
        let mut rules: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        told.sort_unstable();
        rules.sort_unstable();
        assert_eq!(told, rules);
    }

    #[test]
    fn what_a_case_leaves_out() {
        let text = "```json default\n{\"request\": {\"a\": 1, \"b\": 2}}\n```\n\n### rule\n\n```json\n{\"identityPolicies\": \
                    [{\"Statement\": []}],\n \"request\": {\"b\": 3}}\n```\n\nRemit: `Allowed`. The other: `Denied`: why.\n";
        let told = read(text).unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].rule.as_str(), told[0].ours.as_str(), told[0].theirs.as_str()), ("rule", "Allowed", "Denied"));
        let policy = json!({ "Version": "2012-10-17", "Statement": [] });
        assert_eq!(told[0].case, json!({ "id": 0, "identityPolicies": [policy], "request": { "a": 1, "b": 3 } }));
        assert!(read("### rule\n").is_err());
    }
}
