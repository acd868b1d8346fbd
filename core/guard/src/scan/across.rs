//! What servers say, copy or claim of one another.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "scores: counts of words are far below 2^23, and the model's head holds small whole numbers"
)]

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Rule, ServerDefinition, Severity, Tool, within::about};
use crate::{
    hidden::Normal,
    topic::{stem, words},
};

/// The most tools that are compared with each other.
const TOOLS_MAX: usize = 5_000;

/// From how many bytes on two descriptions aren't equal by chance.
const DESCRIBED_BYTES_MIN: usize = 40;

/// Every rule that needs more than one server, and the wish to be preferred.
pub(super) fn all(servers: &[ServerDefinition], tools: &[Tool<'_>], findings: &mut Vec<Finding>) {
    let mut named: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, tool) in tools.iter().enumerate().take(TOOLS_MAX) {
        named.entry(tool.name.to_lowercase()).or_default().push(i);
    }
    let mut alike: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut described: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, tool) in tools.iter().enumerate().take(TOOLS_MAX) {
        alike.entry(plain(tool.name)).or_default().push(i);
        if tool.description.len() >= DESCRIBED_BYTES_MIN {
            described.entry(described_as(tool)).or_default().push(i);
        }
    }
    for (i, tool) in tools.iter().enumerate().take(TOOLS_MAX) {
        let text = Normal::new(tool.description).text.to_lowercase();
        let preferred = preference(&text, |sentence| names_own(sentence, tools, tool.server, tool.name));
        if let Some(reason) = preferred {
            findings.push(about(tool, Severity::Medium, Rule::Preference, "/description", reason));
        }
        let plain = plain(tool.name);
        let elsewhere = |all: Option<&Vec<usize>>| {
            let mut others = all.into_iter().flatten().filter_map(|&j| tools.get(j));
            others.find(|other| !other.server.is(tool.server))
        };
        let twin = elsewhere(alike.get(&plain));
        if let Some(twin) = twin {
            let first = alike.get(&plain).and_then(|all| all.first()) == Some(&i);
            let copied = likeness(tool.description, twin.description) >= 0.8;
            let severity = if copied && !first { Severity::Medium } else { Severity::Low };
            let reason = format!(
                "`{}` has a tool of this name{}",
                twin.server.id(),
                if copied { " with nearly the same description" } else { "" }
            );
            findings.push(about(tool, severity, Rule::Duplicate, "/name", reason));
        } else if let Some(all) = described.get(&described_as(tool))
            && let Some(copied) = elsewhere(Some(all)).filter(|_| all.first() != Some(&i))
        {
            let reason = format!("it is described word by word as `{}` of `{}` is", copied.name, copied.server.id());
            findings.push(about(tool, Severity::Medium, Rule::Duplicate, "/description", reason));
        }
        let known = Known { tools, named: &named, servers };
        let place = |pointer: &str, severity, reason| about(tool, severity, Rule::Shadowing, pointer, reason);
        if let Some((severity, reason)) = known.shadowed(tool.server, &text) {
            findings.push(place("/description", severity, reason));
        }
        let properties = tool.value.pointer("/inputSchema/properties").and_then(serde_json::Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            let described = schema.get("description").and_then(serde_json::Value::as_str).unwrap_or_default();
            if let Some((severity, reason)) = known.shadowed(tool.server, &Normal::new(described).text.to_lowercase()) {
                let pointer = format!("/inputSchema/properties/{}/description", name.replace('~', "~0").replace('/', "~1"));
                findings.push(place(&pointer, severity, reason));
            }
        }
    }
    for server in servers {
        let Some(text) = server.instructions.as_deref().map(|text| Normal::new(text).text.to_lowercase()) else { continue };
        let shadowed = Known { tools, named: &named, servers }.shadowed(server, &text);
        let preferred = preference(&text, |sentence| names_own(sentence, tools, server, ""))
            .map(|reason| (Severity::Medium, Rule::Preference, reason.to_owned()));
        let found = shadowed.map(|(severity, reason)| (severity, Rule::Shadowing, reason)).or(preferred);
        if let Some((severity, rule, reason)) = found {
            let (server, pointer) = (server.id(), "/instructions".to_owned());
            findings.push(Finding { severity, rule, server, tool: None, pointer, reason });
        }
    }
    look_alikes(servers, findings);
}

/// Above all others.
const OVER_ALL: &[&str] = &[
    "instead of any other",
    "instead of other tools",
    "instead of all other",
    "over any other tool",
    "over all other",
    "over other tools",
    "rather than other tools",
    "ignore other tools",
    "ignore all other tools",
    "do not use other tools",
    "don't use other tools",
    "never use any other",
    "do not use any other",
    "always use this tool first",
    "always choose this tool",
    "always prefer this",
    "always pick this",
    "always select this tool",
    "prefer this tool for all",
    "prefer this tool over all",
    "must be preferred",
    "should be preferred over",
    "the best tool available",
    "superior to all",
    "better than all other",
    "better than any other",
    "only trust this tool",
    "the only tool you",
    "only tool you should",
    "the only trustworthy",
    "use this tool for everything",
    "use this tool for every",
    "always call this tool before any",
    "highest priority tool",
    "replaces all other",
    "supersedes all",
    "other tools are deprecated",
    "other tools are unreliable",
    "other tools are insecure",
    "other tools are broken",
    "all other tools are",
    "alternatives are",
    "competing tools",
    "this tool must be used for all",
    "before any other tool",
    "before all other tools",
    "before any other",
    "before anything else",
    "over all similar",
    "over any similar",
    "over similar tools",
    "results of other tools are",
    "the only tool that",
    "must always be used first",
];
/// The others, and what is said of them in one sentence.
const OTHERS: &[&str] = &["other tools", "similar tools", "other servers", "competing", "alternatives", "any other tool"];
/// That they are worse.
const WORSE: &[&str] = &[
    "unreliable",
    "slower",
    "wrong",
    "insecure",
    "deprecated",
    "outdated",
    "broken",
    "unsafe",
    "worse",
    "inferior",
    "untrusted",
    "not needed",
    "no need",
    "unnecessary",
    "less accurate",
    "should be avoided",
    "should not be used",
    "must not be used",
];

/// Why a description asks to be preferred to tools that it doesn't name. A sentence that speaks of the server's own tools may.
pub(super) fn preference(text: &str, speaks_of_own: impl Fn(&str) -> bool) -> Option<&'static str> {
    let has = |sentence: &str, words: &[&str]| words.iter().any(|word| sentence.contains(word));
    let preferring = |sentence: &str| has(sentence, OVER_ALL) || has(sentence, OTHERS) && has(sentence, WORSE);
    let found = text.split(['.', '!', '\n']).any(|sentence| preferring(sentence) && !speaks_of_own(sentence));
    found.then_some("it asks to be preferred to tools of others")
}

/// Whether a sentence names a tool of the server itself, other than this one, as a name: in quotes, or with what only names have.
fn names_own(sentence: &str, tools: &[Tool<'_>], server: &ServerDefinition, this: &str) -> bool {
    let own =
        |word: &str| tools.iter().any(|tool| tool.server.is(server) && tool.name != this && tool.name.eq_ignore_ascii_case(word));
    let quoted = sentence.split(['\'', '`', '"', '“', '”']).skip(1).step_by(2);
    let named = sentence.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).filter(|word| word.contains('_'));
    quoted.chain(named).any(own)
}

/// What a tool is described as, without what it is written with.
fn described_as(tool: &Tool<'_>) -> String {
    plain(tool.description)
}

/// A name without what it is written with: `createIssue` and `create_issue` are one.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// All that is offered together.
struct Known<'a> {
    tools: &'a [Tool<'a>],
    /// By names in lower case.
    named: &'a BTreeMap<String, Vec<usize>>,
    servers: &'a [ServerDefinition],
}

impl Known<'_> {
    /// Whether a text of a server names another server's tool and tells what to do about it, or speaks against another server.
    fn shadowed(&self, by: &ServerDefinition, text: &str) -> Option<(Severity, String)> {
        const TELLING: &[&str] = &[
            "when calling",
            "when using",
            "whenever",
            "before calling",
            "before using",
            "after calling",
            "instead of",
            "must",
            "always",
            "should",
            "redirect",
            "replace",
            "override",
            "do not use",
            "don't use",
            "never use",
            "is deprecated",
            "is broken",
            "is insecure",
            "change the",
            "set the",
            "every time",
            "use this",
            "call this",
            "would use",
            "rather than",
            "in place of",
            "also call",
            "also pass",
            "then call",
            "forward",
        ];
        // What is said of a server by its name must be more: `mail` is a word, too.
        const AGAINST: &[&str] = &[
            "instead of",
            "redirect",
            "replace",
            "override",
            "do not use",
            "don't use",
            "never use",
            "is deprecated",
            "is broken",
            "is insecure",
            "not trust",
            "forward",
        ];
        if !TELLING.iter().any(|phrase| text.contains(phrase)) {
            return None;
        }
        let identifiers = text
            .split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
            .filter(|word| word.len() >= 5 && word.contains(['_', '-']));
        for word in identifiers {
            let mut all = self.named.get(word).into_iter().flatten().filter_map(|&j| self.tools.get(j));
            let Some(other) = all.clone().next().filter(|_| !all.any(|tool| tool.server.is(by))) else { continue };
            return Some((Severity::High, format!("it tells what to do about `{}` of `{}`", other.name, other.server.id())));
        }
        if !AGAINST.iter().any(|phrase| text.contains(phrase)) {
            return None;
        }
        let server = self.servers.iter().find(|other| {
            let name = other.name.to_lowercase();
            !other.is(by)
                && name.len() >= 4
                && name != by.name.to_lowercase()
                && (text.contains(&format!("{name} server")) || text.contains(&format!("`{name}`")))
        })?;
        Some((Severity::Medium, format!("it speaks of the server `{}`", server.id())))
    }
}

/// How alike two texts are: the words that they share, of all their words.
fn likeness(a: &str, b: &str) -> f32 {
    let set = |text: &str| words(text).filter_map(|(_, word)| stem(word)).collect::<BTreeSet<_>>();
    let (a, b) = (set(a), set(b));
    let shared = a.intersection(&b).count() as f32;
    let all = a.union(&b).count() as f32;
    if all == 0.0 { 0.0 } else { shared / all }
}

/// Names that differ from another's by one or two letters.
fn look_alikes(servers: &[ServerDefinition], findings: &mut Vec<Finding>) {
    for (i, server) in servers.iter().enumerate().take(500) {
        let name = Normal::new(&server.name).text.to_lowercase();
        for other in servers.iter().take(i) {
            let known = other.name.to_lowercase();
            let near = name != known && known.len() >= 6 && distance(&name, &known) <= usize::from(known.len() >= 10) + 1;
            if near || server.name != other.name && name == known {
                findings.push(Finding {
                    severity: Severity::Medium,
                    rule: Rule::LookAlike,
                    server: server.id(),
                    tool: None,
                    pointer: "/name".to_owned(),
                    reason: format!("the name is nearly that of `{}`", other.id()),
                });
            }
        }
    }
}

/// Levenshtein's distance, at most 3, of names of at most 64 bytes. A digit for another is a series, not a disguise.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let letters = |name: &[u8]| name.iter().filter(|b| !b.is_ascii_digit()).copied().collect::<Vec<_>>();
    if a.len() > 64 || b.len() > 64 || a.len().abs_diff(b.len()) > 2 || letters(a) == letters(b) {
        return 3;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (&y, &above) in b.iter().zip(row.iter().skip(1)) {
            let value = if x == y { corner } else { 1 + corner.min(above).min(left) };
            corner = above;
            left = value;
            next.push(value);
        }
        row = next;
    }
    row.last().copied().unwrap_or(3)
}
