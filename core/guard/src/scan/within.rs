//! What one server's own definition says that it shouldn't.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Finding, Rule, STRING_BYTES_MAX, STRINGS_MAX, ServerDefinition, Severity, Tool, across, said};
use crate::{attack, decode, hidden::Normal, signal};

/// The attack score from which a description is a grave instruction, with a telling phrase besides, and from which it is worth a look without
/// one: harmless definitions of real servers score up to 0.8.
const SCORE_GRAVE: f32 = 0.97;
const SCORE_LEAST: f32 = 0.9;
/// From how many bytes on a text is prose to the classifier.
const PROSE_BYTES_MIN: usize = 80;

/// From how many words on a name is read as a sentence.
const NAME_WORDS_MIN: usize = 4;

/// A finding about a tool.
pub(super) fn about(tool: &Tool<'_>, severity: Severity, rule: Rule, pointer: &str, reason: impl Into<String>) -> Finding {
    let (server, name) = (tool.server.id(), Some(tool.name.to_owned()));
    Finding { severity, rule, server, tool: name, pointer: pointer.to_owned(), reason: reason.into() }
}

/// What a server says of itself as a whole.
pub(super) fn instructions(server: &ServerDefinition, findings: &mut Vec<Finding>) {
    let add = |severity, rule, pointer: &str, reason: String| {
        findings.push(Finding { severity, rule, server: server.id(), tool: None, pointer: pointer.to_owned(), reason });
    };
    let mut add = add;
    text(&server.name, "/name", true, &mut add);
    // Instructions are meant for the model: only what no instruction needs is a finding.
    if let Some(instructions) = &server.instructions {
        text(instructions, "/instructions", false, &mut add);
    }
}

/// Everything about one tool.
pub(super) fn tool(tool: &Tool<'_>, findings: &mut Vec<Finding>) {
    let mut strings = Vec::new();
    walk(tool.value, String::new(), 0, &mut strings);
    if strings.len() > STRINGS_MAX {
        findings.push(about(tool, Severity::High, Rule::Undecided, "", "the definition is too large to scan"));
        return;
    }
    for (pointer, value) in &strings {
        let is_name = pointer.ends_with('#') || pointer == "/name";
        text(value, pointer, is_name, &mut |severity, rule, pointer, reason| {
            findings.push(about(tool, severity, rule, pointer, reason));
        });
    }
    parameters(tool, findings);
    annotations(tool, findings);
    icons(tool, findings);
}

/// Every string of a definition, names of members included (their pointer ends in `#`).
fn walk<'v>(value: &'v Value, pointer: String, depth: usize, strings: &mut Vec<(String, &'v str)>) {
    if depth > 64 || strings.len() > STRINGS_MAX {
        return;
    }
    match value {
        Value::String(text) => strings.push((pointer, text)),
        Value::Array(list) => {
            for (i, part) in list.iter().enumerate() {
                walk(part, format!("{pointer}/{i}"), depth + 1, strings);
            }
        }
        Value::Object(object) => {
            for (name, part) in object {
                let below = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                strings.push((format!("{below}#"), name));
                walk(part, below, depth + 1, strings);
            }
        }
        _ => {}
    }
}

/// One string.
fn text(value: &str, pointer: &str, is_name: bool, add: &mut impl FnMut(Severity, Rule, &str, String)) {
    if value.len() > STRING_BYTES_MAX {
        add(Severity::High, Rule::Undecided, pointer, "the text is too long to scan".to_owned());
        return;
    }
    let normal = Normal::new(value);
    if let Some(hidden) = normal.hidden.first() {
        add(Severity::High, Rule::HiddenText, pointer, format!("it holds hidden characters ({})", hidden.kind.name()));
    }
    if is_name {
        // A name of several words is read as a sentence.
        let words = said::words_of(&normal.text);
        if words.split(' ').count() < NAME_WORDS_MIN {
            return;
        }
        if let Some((severity, reason)) = instruction(&words) {
            add(severity, Rule::Instruction, pointer, reason);
        } else if let Some(reason) = across::preference(&words, |_| false) {
            add(Severity::Medium, Rule::Preference, pointer, reason.to_owned());
        }
        return;
    }
    let said = normal.said.iter().find_map(|(_, says)| instruction(says));
    if let Some((severity, reason)) = said.or_else(|| instruction(&normal.text)) {
        add(severity, Rule::Instruction, pointer, reason);
    }
    for piece in decode::all(&normal.text) {
        let telling = instruction(&piece.text).is_some();
        let severity = if telling { Severity::High } else { Severity::Low };
        add(severity, Rule::Encoded, pointer, format!("it holds encoded text: `{}`", crate::definition::cut(&piece.text)));
    }
}

/// Why a text is an instruction to the model about something else than its tool.
fn instruction(text: &str) -> Option<(Severity, String)> {
    let signals = signal::Signals::of(text);
    if let Some(reason) = signals.instruction() {
        return Some((Severity::High, reason.to_owned()));
    }
    if let Some((severity, reason)) = said::instruction(text) {
        return Some((severity, reason.to_owned()));
    }
    // Long prose is what the classifier was trained on; a name or a phrase isn't.
    let score = if text.len() > PROSE_BYTES_MIN { attack::score(text) } else { 0.0 };
    let severity = match score {
        _ if score >= SCORE_GRAVE && signals.count() > 0 => Severity::High,
        _ if score >= SCORE_LEAST => Severity::Medium,
        _ => return None,
    };
    Some((severity, format!("it reads like a prompt attack (score {score:.2})")))
}

/// Parameters that take the conversation, the prompt or what the model thinks.
fn parameters(tool: &Tool<'_>, findings: &mut Vec<Finding>) {
    const TAKING: &[&str] = &[
        "systemprompt",
        "conversationhistory",
        "chathistory",
        "fullconversation",
        "conversation",
        "previousmessages",
        "messagehistory",
        "hiddeninstructions",
        "chainofthought",
        "reasoningtrace",
        "innerthoughts",
        "sidenote",
        "availabletools",
        "alltools",
        "toollist",
        "environmentvariables",
        "envvars",
        "sessiontoken",
        "accesstokens",
        "userpassword",
        "privatekey",
        "sshkey",
        "modelcontext",
        "fullcontext",
        "contextdump",
        "exfil",
        "toolresults",
        "previoustoolresults",
        "othertoolresults",
        "tooloutputs",
        "toolhistory",
        "agentmemory",
    ];
    // What such tools are for: whoever stores conversations takes them.
    const PURPOSE: &[&str] = &["chat", "conversation", "message", "llm", "completion", "ssh", "key", "env", "sampling", "prompt"];
    // Files and keys that are nobody's argument, in the middle of a name.
    const PRIVATE: &[&str] = &["idrsa", "ided25519", "etcpasswd", "etcshadow", "awscredentials", "sshprivatekey", "keychain"];
    let Some(properties) = tool.value.pointer("/inputSchema/properties").and_then(Value::as_object) else { return };
    let name = tool.name.to_lowercase();
    for (parameter, schema) in properties {
        let plain: String = parameter.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
        let described = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        let taking = TAKING.contains(&plain.as_str())
            || PRIVATE.iter().any(|private| plain.contains(private))
            || said::asks_for_too_much(described) && instruction(described).is_none()
            || is_others_key(&plain, tool);
        if taking && !PURPOSE.iter().any(|purpose| name.contains(purpose)) {
            let pointer = format!("/inputSchema/properties/{}", parameter.replace('~', "~0").replace('/', "~1"));
            let reason = format!("the parameter `{}` takes what the tool has no use for", crate::definition::cut(parameter));
            findings.push(about(tool, Severity::Medium, Rule::ExfiltrationParameter, &pointer, reason));
        }
    }
}

/// Whether a parameter is a key to somebody whom neither the tool nor its server is about.
fn is_others_key(plain: &str, tool: &Tool<'_>) -> bool {
    const WHOSE: &[&str] =
        &["aws", "github", "gitlab", "openai", "anthropic", "slack", "stripe", "google", "azure", "npm", "pypi"];
    const KEYS: &[&str] = &["secretaccesskey", "accesskey", "secretkey", "apikey", "accesstoken", "token", "secret", "password"];
    let about = |whose: &str| {
        let says = |text: &str| text.to_lowercase().contains(whose);
        says(tool.name) || says(&tool.server.name) || says(tool.description)
    };
    WHOSE.iter().any(|whose| plain.strip_prefix(whose).is_some_and(|rest| KEYS.contains(&rest)) && !about(whose))
}

/// A hint that contradicts the name.
fn annotations(tool: &Tool<'_>, findings: &mut Vec<Finding>) {
    const CHANGING: &[&str] =
        &["delete", "remove", "drop", "destroy", "wipe", "purge", "transfer", "pay", "execute", "kill", "overwrite", "erase"];
    let hint = |name: &str| tool.value.pointer(&format!("/annotations/{name}")).and_then(Value::as_bool);
    let verb: String = tool.name.chars().take_while(char::is_ascii_lowercase).collect();
    let reads = hint("readOnlyHint") == Some(true)
        || hint("destructiveHint") == Some(false)
            && matches!(verb.as_str(), "delete" | "drop" | "destroy" | "wipe" | "purge" | "erase");
    const FINAL: &[&str] = &["can't be undone", "cannot be undone", "irreversibl", "permanently delete", "permanently remove"];
    let described = tool.description.to_lowercase();
    if hint("readOnlyHint") == Some(true) && FINAL.iter().any(|phrase| described.contains(phrase)) {
        let reason = "it says that it changes nothing, and describes what can't be undone";
        findings.push(about(tool, Severity::Medium, Rule::Annotation, "/annotations", reason));
    } else if reads && CHANGING.contains(&verb.as_str()) {
        let reason = format!("it says that it changes nothing, and its name begins with `{verb}`");
        findings.push(about(tool, Severity::Medium, Rule::Annotation, "/annotations", reason));
    }
}

/// Icons are images that are fetched over TLS or stand in the definition.
fn icons(tool: &Tool<'_>, findings: &mut Vec<Finding>) {
    for (i, icon) in tool.value.get("icons").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let source = icon.get("src").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        let script = source.starts_with("data:image/svg")
            && (source.contains("script") || source.contains("onload") || source.contains("foreignobject"));
        if !(source.starts_with("https://") || source.starts_with("data:image/")) || script {
            findings.push(about(
                tool,
                Severity::Medium,
                Rule::Icon,
                &format!("/icons/{i}/src"),
                "the icon isn't a plain image over https",
            ));
        }
    }
}

/// Three or more descriptions of one server that carry a piece with the same label.
pub(super) fn split(servers: &[ServerDefinition], findings: &mut Vec<Finding>) {
    for server in servers {
        let mut labels: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for tool in &server.tools {
            let text = |key: &str| tool.get(key).and_then(Value::as_str).unwrap_or_default();
            for word in text("description").split_whitespace() {
                let Some((label, piece)) = word.split_once(['=', ':']) else { continue };
                let coded = piece.len() >= 2
                    && piece.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=-_".contains(&b))
                    && piece.bytes().any(|b| b.is_ascii_digit());
                if label.len() >= 3 && label.bytes().all(|b| b.is_ascii_alphabetic()) && coded {
                    labels.entry(label).or_default().push((text("name"), piece));
                }
            }
        }
        for (label, pieces) in labels {
            let mut different: Vec<&str> = pieces.iter().map(|(_, piece)| *piece).collect();
            different.sort_unstable();
            different.dedup();
            if different.len() >= 3 && pieces.len() == different.len() {
                findings.push(Finding {
                    severity: Severity::Medium,
                    rule: Rule::Split,
                    server: server.id(),
                    tool: pieces.first().map(|(tool, _)| (*tool).to_owned()),
                    pointer: "/description".to_owned(),
                    reason: format!(
                        "`{}` carries a different piece in {} descriptions",
                        crate::definition::cut(label),
                        pieces.len()
                    ),
                });
            }
        }
    }
}
