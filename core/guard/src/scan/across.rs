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

/// Every rule that needs more than one server, and the wish to be preferred.
pub(super) fn all(servers: &[ServerDefinition], tools: &[Tool<'_>], findings: &mut Vec<Finding>) {
    let mut named: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, tool) in tools.iter().enumerate().take(TOOLS_MAX) {
        named.entry(tool.name).or_default().push(i);
    }
    for (i, tool) in tools.iter().enumerate().take(TOOLS_MAX) {
        let text = Normal::new(tool.description).text.to_lowercase();
        let preferred = preference(&text);
        if let Some(reason) = preferred {
            findings.push(about(tool, Severity::Medium, Rule::Preference, "/description", reason));
        }
        let twin = named
            .get(tool.name)
            .into_iter()
            .flatten()
            .filter_map(|&j| tools.get(j))
            .find(|other| other.server.name != tool.server.name);
        if let Some(twin) = twin {
            let first = named.get(tool.name).and_then(|all| all.first()) == Some(&i);
            let copied = likeness(tool.description, twin.description) >= 0.8;
            let severity = if copied && !first { Severity::Medium } else { Severity::Low };
            let reason = format!(
                "`{}` has a tool of this name{}",
                twin.server.name,
                if copied { " with nearly the same description" } else { "" }
            );
            findings.push(about(tool, severity, Rule::Duplicate, "/name", reason));
        }
        shadowing(tool, &text, tools, &named, servers, findings);
    }
    look_alikes(servers, findings);
}

/// Why a description asks to be preferred to tools that it doesn't name.
fn preference(text: &str) -> Option<&'static str> {
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
        "must always be used first",
    ];
    OVER_ALL.iter().any(|phrase| text.contains(phrase)).then_some("it asks to be preferred to tools of others")
}

/// A description that names another server's tool and tells what to do about it.
fn shadowing(
    tool: &Tool<'_>,
    text: &str,
    tools: &[Tool<'_>],
    named: &BTreeMap<&str, Vec<usize>>,
    servers: &[ServerDefinition],
    findings: &mut Vec<Finding>,
) {
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
        "also call",
        "also pass",
        "then call",
        "forward",
    ];
    if !TELLING.iter().any(|phrase| text.contains(phrase)) {
        return;
    }
    let own: BTreeSet<&str> =
        tools.iter().filter(|other| other.server.name == tool.server.name).map(|other| other.name).collect();
    let identifiers = text
        .split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
        .filter(|word| word.len() >= 5 && word.contains(['_', '-']));
    for word in identifiers {
        let other = named
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word) && !own.contains(*name))
            .and_then(|(_, all)| all.first());
        if let Some(other) = other.and_then(|&j| tools.get(j)) {
            let reason = format!("it tells what to do about `{}` of `{}`", other.name, other.server.name);
            findings.push(about(tool, Severity::High, Rule::Shadowing, "/description", reason));
            return;
        }
    }
    let server = servers.iter().find(|other| {
        other.name != tool.server.name
            && other.name.len() >= 4
            && (text.contains(&format!("{} server", other.name.to_lowercase()))
                || text.contains(&format!("`{}`", other.name.to_lowercase())))
    });
    if let Some(server) = server {
        findings.push(about(
            tool,
            Severity::Medium,
            Rule::Shadowing,
            "/description",
            format!("it speaks of the server `{}`", server.name),
        ));
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
                    server: server.name.clone(),
                    tool: None,
                    pointer: "/name".to_owned(),
                    reason: format!("the name is nearly that of `{}`", other.name),
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
