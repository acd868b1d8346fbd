//! What the arguments of a tool do: by the operator's word, else by what its pinned schema says.

use std::collections::{BTreeMap, BTreeSet};

use remit_model::ArgumentRole;
use serde_json::Value;

/// How deep schemas are read.
const DEPTH_MAX: usize = 8;

/// The roles of a tool's arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roles {
    by_argument: BTreeMap<String, ArgumentRole>,
    /// The values that the schema lists for an argument, as JSON.
    listed: BTreeMap<String, BTreeSet<String>>,
    /// What the tool's name says it is about, singular, in lower case.
    pub(crate) about: BTreeSet<String>,
}

impl Roles {
    /// Of a tool, by the server's own name for it, its input schema, and the operator's word on its arguments.
    ///
    /// Content is what reaches a destination: where the tool has none, it is a parameter like any other.
    /// Where neither the operator nor the schema names anything that a call reaches or acts on, all its arguments are what it acts on.
    pub fn of(tool: &str, schema: &Value, said: &BTreeMap<String, ArgumentRole>) -> Self {
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut roles = Self { about: nouns(tool), ..Self::default() };
        for (name, property) in properties.into_iter().flatten() {
            let role = said.get(name).copied().unwrap_or_else(|| derived(name, property, schema));
            roles.by_argument.insert(name.clone(), role);
            let mut listed = BTreeSet::new();
            if lists(property, schema, 0, &mut listed) {
                roles.listed.insert(name.clone(), listed);
            }
        }
        roles.by_argument.extend(said.iter().map(|(name, role)| (name.clone(), *role)));
        // What reaches nobody is kept where it is put.
        if !roles.by_argument.values().any(|role| *role == ArgumentRole::Destination) {
            for (name, role) in &mut roles.by_argument {
                if *role == ArgumentRole::Content && !said.contains_key(name) {
                    *role = ArgumentRole::Parameter;
                }
            }
        }
        let aims =
            |role: &ArgumentRole| matches!(role, ArgumentRole::Destination | ArgumentRole::Identifier | ArgumentRole::Credential);
        if !roles.by_argument.values().any(aims) {
            for (name, role) in &mut roles.by_argument {
                if *role == ArgumentRole::Parameter && by_name(name).is_none() && !said.contains_key(name) {
                    *role = ArgumentRole::Identifier;
                }
            }
        }
        roles
    }

    /// What an argument does.
    pub fn role(&self, argument: &str) -> ArgumentRole {
        // What no schema names is nothing that anybody has judged.
        self.by_argument.get(argument).copied().unwrap_or(ArgumentRole::Identifier)
    }

    /// Whether the schema or the operator names an argument.
    pub(crate) fn knows(&self, argument: &str) -> bool {
        self.by_argument.contains_key(argument)
    }

    /// The arguments and what they do.
    pub fn all(&self) -> impl Iterator<Item = (&str, ArgumentRole)> {
        self.by_argument.iter().map(|(name, role)| (name.as_str(), *role))
    }

    /// Whether the schema lists a value of an argument.
    pub(crate) fn lists(&self, argument: &str, value: &Value) -> bool {
        self.listed.get(argument).is_some_and(|listed| listed.contains(&value.to_string()))
    }
}

/// The words of a name: parted at marks and where capitals begin, in lower case.
pub(crate) fn name_words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    let mut lower_before = false;
    for c in name.chars() {
        if !c.is_alphanumeric() {
            open = false;
            continue;
        }
        let begins = !open || (c.is_uppercase() && lower_before);
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
        open = true;
        lower_before = c.is_lowercase() || c.is_numeric();
    }
    words
}

/// A word without the end of its plural.
pub(crate) fn singular(word: &str) -> &str {
    if word.len() > 3 && !word.ends_with("ss") { word.strip_suffix('s').unwrap_or(word) } else { word }
}

/// What a name speaks of: its words but for those that say what is done.
pub(crate) fn nouns(name: &str) -> BTreeSet<String> {
    const VERBS: &[&str] = &[
        "get", "list", "search", "find", "read", "fetch", "query", "create", "add", "new", "make", "update", "set", "edit",
        "change", "delete", "remove", "cancel", "send", "post", "put", "by", "id", "ids", "for", "of", "to", "from", "in", "the",
        "all", "most", "recent", "uuid", "name",
    ];
    name_words(name).iter().filter(|word| !VERBS.contains(&word.as_str())).map(|word| singular(word).to_owned()).collect()
}

const DESTINATIONS: &[&str] = &[
    "recipient",
    "to",
    "cc",
    "bcc",
    "email",
    "mail",
    "participant",
    "attendee",
    "invitee",
    "guest",
    "member",
    "user",
    "username",
    "people",
    "person",
    "contact",
    "channel",
    "room",
    "url",
    "uri",
    "link",
    "href",
    "host",
    "hostname",
    "endpoint",
    "webhook",
    "callback",
    "domain",
    "site",
    "website",
    "iban",
    "account",
    "payee",
    "beneficiary",
    "phone",
    "destination",
    "target",
    "receiver",
    "assignee",
    "reviewer",
    "audience",
    "remote",
    "address",
];
const IDENTIFIERS: &[&str] = &["id", "uuid", "guid", "arn", "path", "file", "filename", "folder", "directory", "ref", "key"];
const CREDENTIALS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "pin",
    "credential",
    "permission",
    "role",
    "scope",
    "privilege",
    "policy",
];
const AMOUNTS: &[&str] = &["amount", "price", "total", "sum", "quantity", "fee", "budget"];
const CONTENTS: &[&str] = &[
    "body",
    "content",
    "text",
    "message",
    "subject",
    "title",
    "description",
    "note",
    "comment",
    "summary",
    "html",
    "markdown",
    "caption",
    "data",
    "payload",
    "attachment",
    "reason",
    "memo",
    "reply",
];

const TIMES: &[&str] =
    &["date", "time", "day", "month", "year", "start", "end", "duration", "deadline", "due", "at", "when", "timezone"];

/// What a name says that an argument does; `None` if nothing.
pub(crate) fn by_name(name: &str) -> Option<ArgumentRole> {
    let words = name_words(name);
    let last = words.last().map(|word| singular(word))?;
    // A name says what it is at its end: `email_id` is an id, `user_email` an address.
    let of = |word: &str| {
        if IDENTIFIERS.contains(&word) {
            Some(ArgumentRole::Identifier)
        } else if CREDENTIALS.contains(&word) {
            Some(ArgumentRole::Credential)
        } else if DESTINATIONS.contains(&word) {
            Some(ArgumentRole::Destination)
        } else if AMOUNTS.contains(&word) {
            Some(ArgumentRole::Amount)
        } else if CONTENTS.contains(&word) {
            Some(ArgumentRole::Content)
        } else {
            None
        }
    };
    // When something is stands at the end alone: `time_limit` is none.
    let time = TIMES.contains(&last).then_some(ArgumentRole::Time);
    of(last).or(time).or_else(|| (words.len() > 1 && last != "name").then(|| of(singular(words.first()?))).flatten())
}

fn derived(name: &str, property: &Value, root: &Value) -> ArgumentRole {
    if let Some(role) = by_name(name) {
        return role;
    }
    let format = format(property, root, 0);
    match format.as_deref() {
        // JSON Schema Validation, section 7.3: what is an address, and what is a time.
        Some("email" | "idn-email" | "uri" | "uri-reference" | "iri" | "hostname" | "idn-hostname" | "ipv4" | "ipv6") => {
            ArgumentRole::Destination
        }
        Some("uuid") => ArgumentRole::Identifier,
        Some("password") => ArgumentRole::Credential,
        Some("date" | "date-time" | "time" | "duration") => ArgumentRole::Time,
        _ => ArgumentRole::Parameter,
    }
}

/// The schemas that a schema stands for: itself, what it refers to, its alternatives, its items.
fn alternatives<'a>(schema: &'a Value, root: &'a Value) -> Vec<&'a Value> {
    let mut found = Vec::new();
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str)
        && let Some(target) = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer))
    {
        found.push(target);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        found.extend(schema.get(key).and_then(Value::as_array).into_iter().flatten());
    }
    found
}

fn format(schema: &Value, root: &Value, depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return None;
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str) {
        return Some(format.to_owned());
    }
    let items = schema.get("items");
    alternatives(schema, root).into_iter().chain(items).find_map(|other| format(other, root, depth + 1))
}

/// Gathers what a schema lists; `false` if it allows anything that it doesn't list.
fn lists(schema: &Value, root: &Value, depth: usize, listed: &mut BTreeSet<String>) -> bool {
    if depth > DEPTH_MAX {
        return false;
    }
    if let Some(constant) = schema.get("const") {
        listed.insert(constant.to_string());
        return true;
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        listed.extend(values.iter().map(Value::to_string));
        return true;
    }
    if let Some(items) = schema.get("items") {
        return lists(items, root, depth + 1, listed);
    }
    if matches!(schema.get("type").and_then(Value::as_str), Some("null" | "boolean")) {
        return true;
    }
    let others = alternatives(schema, root);
    !others.is_empty() && others.into_iter().all(|other| lists(other, root, depth + 1, listed))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn roles(tool: &str, properties: &Value) -> Roles {
        Roles::of(
            tool,
            &json!({"type": "object", "properties": properties, "$defs": {"P": {"enum": ["r", "rw"]}}}),
            &BTreeMap::new(),
        )
    }

    #[test]
    fn a_schema_says_what_its_arguments_do() {
        let text = json!({"type": "string"});
        let roles = roles(
            "send_email",
            &json!({"recipients": {"type": "array", "items": text}, "subject": text, "fileId": text, "newPassword": text, "when": text,
                   "amount_cents": {"type": "integer"}, "site": {"type": "string", "format": "uri"}, "permission": {"$ref": "#/$defs/P"}}),
        );
        let of = |name: &str| roles.role(name);
        assert_eq!(of("recipients"), ArgumentRole::Destination);
        assert_eq!(of("subject"), ArgumentRole::Content);
        assert_eq!(of("fileId"), ArgumentRole::Identifier);
        assert_eq!(of("newPassword"), ArgumentRole::Credential);
        assert_eq!(of("when"), ArgumentRole::Time);
        assert_eq!(of("amount_cents"), ArgumentRole::Amount);
        assert_eq!(of("site"), ArgumentRole::Destination);
        assert!(roles.lists("permission", &json!("rw")) && !roles.lists("permission", &json!("x")));
        assert_eq!(of("unheard_of"), ArgumentRole::Identifier);
    }

    #[test]
    fn a_tool_that_names_nothing_acts_on_all_that_it_takes() {
        let text = json!({"type": "string"});
        let roles = roles("book", &json!({"hotel": text, "start_day": text, "body": text}));
        assert_eq!(roles.role("hotel"), ArgumentRole::Identifier);
        assert_eq!(roles.role("start_day"), ArgumentRole::Time);
        assert_eq!(roles.role("body"), ArgumentRole::Parameter);
    }

    #[test]
    fn the_operators_word_stands_above_the_schema() {
        let said = BTreeMap::from([("recipient".to_owned(), ArgumentRole::Parameter)]);
        let schema = json!({"properties": {"recipient": {"type": "string"}, "name": {"type": "string"}}});
        let roles = Roles::of("x", &schema, &said);
        assert_eq!(roles.role("recipient"), ArgumentRole::Parameter);
        assert_eq!(roles.role("name"), ArgumentRole::Identifier);
    }

    #[test]
    fn names_are_parted_into_words() {
        assert_eq!(name_words("get_URLById-2"), ["get", "urlby", "id", "2"]);
        assert_eq!(nouns("search_files_by_filename"), BTreeSet::from(["file".to_owned(), "filename".to_owned()]));
    }
}
