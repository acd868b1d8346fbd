//! The same language once more, as plainly as it can be said, straight from the documents: no index, no classes of patterns,
//! no values read ahead. `None` is what can't be told.

use std::collections::BTreeMap;
use std::net::IpAddr;

use remit_iam::document::{Data, Node};

/// What a context key holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fact {
    /// One text.
    One(String),
    /// Several.
    Many(Vec<String>),
    /// Nobody knows.
    Unknown,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// The ARN of a session or a user.
    pub(crate) principal: String,
    /// The ARN of the session's role.
    pub(crate) role: Option<String>,
    /// The action.
    pub(crate) action: String,
    /// The resource.
    pub(crate) resource: String,
    /// The resource's account.
    pub(crate) account: String,
    /// The facts, by key in lower case.
    pub(crate) facts: BTreeMap<String, Fact>,
}

/// The policies of all layers, as documents.
#[derive(Debug, Clone, Default)]
pub(crate) struct Documents {
    /// Identity policies.
    pub(crate) identity: Vec<Node>,
    /// The boundary.
    pub(crate) boundary: Option<Node>,
    /// The session's policy.
    pub(crate) session: Option<Node>,
    /// The resource's policy.
    pub(crate) resource: Option<Node>,
    /// Service control policies by level.
    pub(crate) service_control: Vec<Vec<Node>>,
    /// Resource control policies by level.
    pub(crate) resource_control: Vec<Vec<Node>>,
}

/// Decides: `Some(true)` allowed, `Some(false)` implicitly denied, `None` explicitly denied.
pub(crate) fn decide(world: &World, documents: &Documents) -> Option<bool> {
    let bounded = documents.boundary.is_some();
    let levels = documents.service_control.iter().chain(&documents.resource_control);
    let mut layers: Vec<Vec<&Node>> = levels.map(|level| level.iter().collect()).collect();
    let guards = layers.len();
    layers.push(documents.identity.iter().collect());
    for one in [&documents.boundary, &documents.session, &documents.resource].into_iter().flatten() {
        layers.push(vec![one]);
    }
    if layers.iter().flatten().any(|policy| applies(world, policy, "Deny", bounded)) {
        return None;
    }
    let allows = |policies: &[&Node]| policies.iter().any(|policy| applies(world, policy, "Allow", bounded));
    let guarded = layers[..guards].iter().all(|level| allows(level));
    let within = |policy: &Option<Node>| policy.as_ref().is_none_or(|policy| allows(&[policy]));
    let (boundary, session) = (within(&documents.boundary), within(&documents.session));
    let own = allows(&documents.identity.iter().collect::<Vec<_>>()) && boundary && session;
    let named = documents.resource.as_ref().map(|policy| standing(world, policy)).unwrap_or_default();
    let same = world.principal.split(':').nth(4) == Some(&world.account);
    let is_session = world.role.is_some();
    let granted = if same {
        own || named.iter().any(|how| match how.as_str() {
            "own" | "everyone by arn" => is_session || session,
            "role" | "everyone" => boundary && session,
            _ => false,
        })
    } else {
        own && !named.is_empty()
    };
    Some(guarded && granted)
}

/// The ways in which a resource's policy allows the principal.
fn standing(world: &World, policy: &Node) -> Vec<String> {
    let statements = statements(policy).into_iter();
    let allowing = statements.filter(|one| effect(one) == "Allow" && truth(world, one, false) == Some(true));
    allowing.flat_map(|statement| names(world, statement)).collect()
}

fn names(world: &World, statement: &Node) -> Vec<String> {
    let account = world.principal.split(':').nth(4).unwrap_or_default();
    let principals = match statement.get("Principal") {
        Some(node) if node.text() == Some("*") => vec!["*".to_owned()],
        Some(node) => node.get("AWS").map(texts).unwrap_or_default(),
        None => Vec::new(),
    };
    let by_arn = statement.get("Condition").is_some_and(|condition| {
        ["StringEquals", "StringLike", "ArnEquals", "ArnLike"].iter().any(|operator| {
            matches!(condition.get(operator).map(|tests| &tests.data), Some(Data::Map(tests)) if tests.iter().any(|test| test.key.eq_ignore_ascii_case("aws:PrincipalArn")))
        })
    });
    let how = |name: &String| match name.as_str() {
        "*" if by_arn => Some("everyone by arn"),
        "*" => Some("everyone"),
        name if name == account || *name == format!("arn:aws:iam::{account}:root") => Some("account"),
        name if Some(name) == world.role.as_deref() => Some("role"),
        name if name == world.principal => Some("own"),
        _ => None,
    };
    principals.iter().filter_map(how).map(str::to_owned).collect()
}

fn applies(world: &World, policy: &Node, kind: &str, bounded: bool) -> bool {
    statements(policy).into_iter().filter(|one| effect(one) == kind).any(|one| {
        let truth = truth(world, one, bounded);
        if kind == "Deny" { truth != Some(false) } else { truth == Some(true) }
    })
}

fn statements(policy: &Node) -> Vec<&Node> {
    match policy.get("Statement").map(|node| (&node.data, node)) {
        Some((Data::List(list), _)) => list.iter().collect(),
        Some((_, one)) => vec![one],
        None => Vec::new(),
    }
}

fn effect(statement: &Node) -> &str {
    statement.get("Effect").and_then(Node::text).unwrap_or_default()
}

fn texts(node: &Node) -> Vec<String> {
    match &node.data {
        Data::List(list) => list.iter().flat_map(texts).collect(),
        Data::Text(text) | Data::Number(text) => vec![text.clone()],
        Data::Bool(flag) => vec![flag.to_string()],
        _ => Vec::new(),
    }
}

fn and(all: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let all: Vec<Option<bool>> = all.into_iter().collect();
    if all.contains(&Some(false)) {
        Some(false)
    } else if all.contains(&None) {
        None
    } else {
        Some(true)
    }
}

fn or(any: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    and(any.into_iter().map(|one| one.map(|one| !one))).map(|none| !none)
}

fn truth(world: &World, statement: &Node, bounded: bool) -> Option<bool> {
    let mut all = vec![Some(action(world, statement)), resource(world, statement), Some(principal(world, statement, bounded))];
    if let Some(Data::Map(operators)) = statement.get("Condition").map(|node| &node.data) {
        for operator in operators {
            if let Data::Map(tests) = &operator.value.data {
                all.extend(tests.iter().map(|test| condition(world, &operator.key, &test.key, &texts(&test.value))));
            }
        }
    }
    and(all)
}

fn action(world: &World, statement: &Node) -> bool {
    let asked = world.action.to_lowercase();
    let matches = |node: &Node| texts(node).iter().any(|pattern| wild(&plain(&pattern.to_lowercase()), &asked));
    match (statement.get("Action"), statement.get("NotAction")) {
        (Some(node), _) => matches(node),
        (_, Some(node)) => !matches(node),
        _ => false,
    }
}

fn principal(world: &World, statement: &Node, bounded: bool) -> bool {
    if statement.get("Principal").is_some() {
        return !names(world, statement).is_empty();
    }
    let Some(named) = statement.get("NotPrincipal") else { return true };
    let named = named.get("AWS").map(texts).unwrap_or_default();
    let account = world.principal.split(':').nth(4).unwrap_or_default();
    let own = world.role.as_ref().unwrap_or(&world.principal);
    let by_account = named.iter().any(|name| name == account || *name == format!("arn:aws:iam::{account}:root"));
    bounded || !(by_account && named.contains(own))
}

/// A character of a pattern, a wildcard, or one that stops at colons.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// Itself.
    Char(char),
    /// `?`.
    One,
    /// `*`.
    Run,
    /// `?` before the fifth colon of a resource.
    OneInPart,
    /// `*` there, within its part.
    RunInPart,
}

/// A pattern without variables.
pub(crate) fn plain(pattern: &str) -> Vec<Token> {
    pattern
        .chars()
        .map(|c| match c {
            '*' => Token::Run,
            '?' => Token::One,
            c => Token::Char(c),
        })
        .collect()
}

/// Matches by trying everything.
pub(crate) fn wild(pattern: &[Token], text: &str) -> bool {
    let Some((token, rest)) = pattern.split_first() else { return text.is_empty() };
    let next = text.chars().next();
    let after = |c: char| &text[c.len_utf8()..];
    match token {
        Token::Char(token) => next == Some(*token) && wild(rest, after(*token)),
        Token::One => next.is_some_and(|c| wild(rest, after(c))),
        Token::OneInPart => next.is_some_and(|c| c != ':' && wild(rest, after(c))),
        Token::Run => wild(rest, text) || next.is_some_and(|c| wild(pattern, after(c))),
        Token::RunInPart => wild(rest, text) || next.is_some_and(|c| c != ':' && wild(pattern, after(c))),
    }
}

/// A pattern with its variables put in; and whether all had a value. One without becomes a star.
fn filled(world: &World, pattern: &str, wildcards: bool) -> (Vec<Token>, bool) {
    let (mut tokens, mut whole) = (Vec::new(), true);
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if let Some((inside, after)) = rest.strip_prefix("${").and_then(|rest| rest.split_once('}')) {
            rest = after;
            let (key, default) = match inside.split_once(", ") {
                Some((key, default)) => (key, Some(default.trim_matches('\'').to_owned())),
                None => (inside, None),
            };
            let value = match (key, world.facts.get(&key.to_lowercase())) {
                ("*" | "?" | "$", _) => Some(key.to_owned()),
                (_, None) => default,
                (_, Some(Fact::One(text))) if !text.is_empty() => Some(text.clone()),
                _ => None,
            };
            if let Some(value) = value {
                tokens.extend(value.chars().map(Token::Char));
            } else {
                whole = false;
                tokens.push(Token::Run);
            }
            continue;
        }
        rest = &rest[c.len_utf8()..];
        tokens.push(if wildcards { plain(&c.to_string()).remove(0) } else { Token::Char(c) });
    }
    (tokens, whole)
}

/// Whether a text matches a pattern, and whether a variable of it had no value.
fn like(world: &World, pattern: &str, text: &str, wildcards: bool) -> Option<bool> {
    let (tokens, whole) = filled(world, pattern, wildcards);
    if wild(&tokens, text) { whole.then_some(true) } else { Some(false) }
}

fn resource(world: &World, statement: &Node) -> Option<bool> {
    let any = |node: &Node| or(texts(node).iter().map(|pattern| one_resource(world, pattern)));
    match (statement.get("Resource"), statement.get("NotResource")) {
        (Some(node), _) => any(node),
        (_, Some(node)) => match any(node) {
            Some(false) if texts(node).iter().any(|pattern| !filled(world, pattern, true).1) => None,
            truth => truth.map(|truth| !truth),
        },
        _ => Some(true),
    }
}

fn one_resource(world: &World, pattern: &str) -> Option<bool> {
    if pattern == "*" {
        return Some(true);
    }
    let (tokens, whole) = filled(world, pattern, true);
    if !wild(&tokens, &world.resource) {
        return Some(false);
    }
    let parts: Vec<&str> = pattern.splitn(6, ':').collect();
    let mut bound: Vec<Token> = Vec::new();
    for part in &parts[..5] {
        let mut tokens = plain(part);
        let last = tokens.len().saturating_sub(1);
        for (index, token) in tokens.iter_mut().enumerate() {
            match token {
                Token::One => *token = Token::OneInPart,
                Token::Run if index < last => *token = Token::RunInPart,
                _ => {}
            }
        }
        bound.extend(tokens);
        bound.push(Token::Char(':'));
    }
    bound.extend(filled(world, parts[5], true).0);
    let head = parts[5].split(['/', ':']).next().unwrap_or_default();
    let typed = world.resource.splitn(6, ':').nth(5).is_some_and(|last| last.contains(['/', ':']));
    let any_type = head.contains(['*', '?', '$']) && parts[5] != "*" && !(parts[3].is_empty() && parts[4].is_empty()) && typed;
    let sure = whole && wild(&bound, &world.resource) && !parts[2].contains(['*', '?']) && !any_type;
    sure.then_some(true)
}

fn condition(world: &World, name: &str, key: &str, values: &[String]) -> Option<bool> {
    let (set, base) = match name.split_once(':') {
        Some((set, base)) => (set, base),
        None => ("", name),
    };
    let (base, if_exists) = base.strip_suffix("IfExists").map_or((base, false), |base| (base, true));
    let negated = base.contains("Not");
    let fact = world.facts.get(&key.to_lowercase());
    let empty = fact.is_none() || fact == Some(&Fact::Many(Vec::new()));
    if fact == Some(&Fact::Unknown) {
        return None;
    }
    if base == "Null" {
        return Some(values.iter().any(|value| value.eq_ignore_ascii_case("true") == empty));
    }
    let found: Vec<String> = match fact {
        Some(Fact::One(text)) => vec![text.clone()],
        Some(Fact::Many(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    let one = |text: &String| {
        let any = or(values.iter().map(|value| compare(world, base, value, text)));
        match any {
            Some(false) if negated && values.iter().any(|value| value.contains("${") && !filled(world, value, true).1) => None,
            any if negated => any.map(|any| !any),
            any => any,
        }
    };
    match (set, fact) {
        ("", None) => Some(if_exists || negated),
        ("", Some(Fact::One(text))) => one(text),
        ("", _) => None,
        ("ForAllValues", _) if empty => Some(true),
        ("ForAllValues", _) if found == [""] => one(&found[0]).filter(|truth| *truth),
        ("ForAllValues", _) => and(found.iter().map(one)),
        _ if empty => {
            if if_exists {
                None
            } else {
                Some(false)
            }
        }
        _ if found == [""] => one(&found[0]).filter(|truth| !*truth),
        _ => or(found.iter().map(one)),
    }
}

/// Compares a value of the policy with one of the request.
fn compare(world: &World, base: &str, value: &str, text: &str) -> Option<bool> {
    if base.starts_with("String") {
        return match base {
            "StringLike" | "StringNotLike" => like(world, value, text, true),
            "StringEquals" | "StringNotEquals" => like(world, value, text, false),
            _ => {
                let (tokens, whole) = filled(world, value, false);
                let value: String =
                    tokens.iter().filter_map(|token| if let Token::Char(c) = token { Some(*c) } else { None }).collect();
                whole.then(|| value.eq_ignore_ascii_case(text))
            }
        };
    }
    if base.starts_with("Arn") {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        if parts.len() < 6 || parts[0] != "arn" {
            return None;
        }
        return and(split(value).iter().zip(parts).map(|(pattern, part)| like(world, pattern, part, true)));
    }
    match base {
        "IpAddress" | "NotIpAddress" => {
            let address: IpAddr = text.parse().ok()?;
            let (network, bits) =
                value.split_once('/').map_or((value, None), |(network, bits)| (network, bits.parse::<u32>().ok()));
            Some(match (network.parse::<IpAddr>().ok()?, address) {
                (IpAddr::V4(network), IpAddr::V4(address)) => {
                    let bits = bits.unwrap_or(32);
                    (0..bits).all(|bit| (u32::from(network) >> (31 - bit)) & 1 == (u32::from(address) >> (31 - bit)) & 1)
                }
                (IpAddr::V6(network), IpAddr::V6(address)) => {
                    let bits = bits.unwrap_or(128);
                    (0..bits).all(|bit| (u128::from(network) >> (127 - bit)) & 1 == (u128::from(address) >> (127 - bit)) & 1)
                }
                _ => false,
            })
        }
        "Bool" => {
            let found = ["true", "false"].contains(&text.to_lowercase().as_str());
            found.then(|| value.eq_ignore_ascii_case(text))
        }
        "BinaryEquals" => Some(value == text),
        _ => {
            let amount = |text: &str| SCALE.iter().position(|same| same.contains(&text));
            let (value, text) = (amount(value)?, amount(text)?);
            let base = base.trim_start_matches("Numeric").trim_start_matches("Date");
            Some(match base {
                "Equals" | "NotEquals" => text == value,
                "LessThan" => text < value,
                "LessThanEquals" => text <= value,
                "GreaterThan" => text > value,
                "GreaterThanEquals" => text >= value,
                _ => return None,
            })
        }
    }
}

/// Splits a pattern of an ARN at its colons, not at those of variables.
fn split(pattern: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut inside = false;
    for c in pattern.chars() {
        inside = (inside || c == '{') && c != '}';
        if c == ':' && !inside && parts.len() < 6 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

/// The numbers and dates of the tests, from the least to the greatest; those of one line are equal.
pub(crate) const SCALE: [&[&str]; 10] = [
    &["-1.5", "-1.50"],
    &["-1", "-1.00"],
    &["0", "-0", "0.000"],
    &["0.3"],
    &["0.30000000000000004"],
    &["10", "10.0", "010"],
    &["946684800", "2000-01-01", "2000-01-01T01:00:00+01:00"],
    &["1769862600", "2026-01-31T12:30Z", "2026-01-31T13:30:00.000+01:00"],
    &["2026-01-31T12:30:00.000000001Z"],
    &["9007199254740993"],
];
