//! Reading a policy: what AWS documents, and nothing else, passes. Every fault of a document is told at once.
//!
//! The grammar is [AWS's], the limits of each kind those of its own page: [SCP syntax], [RCP syntax], [Principal].
//!
//! [AWS's]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
//! [SCP syntax]: https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps_syntax.html
//! [RCP syntax]: https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps_syntax.html
//! [Principal]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html

use std::collections::HashSet;

use crate::{
    condition::{Condition, Operator},
    document::{Data, Entry, FAULTS_MAX, Fault, Node, Place, cut, step},
    glob::{Pattern, Piece, Wildcards},
    policy::{Actions, Effect, PolicyKind, Resources, Statement},
    principal::{Named, Principals},
    set::ACTION_BYTES_MAX,
};

/// The most statements of one policy.
const STATEMENTS_MAX: usize = 500;
/// The most values of one element.
const VALUES_MAX: usize = 1_000;
/// The longest text, in bytes.
const TEXT_BYTES_MAX: usize = 2_048;
/// The longest `Sid`.
const SID_BYTES_MAX: usize = 128;
/// The longest name of a context key.
const KEY_BYTES_MAX: usize = 512;

/// Whether this is the name of a context key: `service:name`.
pub(crate) fn is_key(text: &str) -> bool {
    // A service's prefix, or an OpenID Connect provider as its claims name it: `login.example.com/realm:sub`, `localhost:8080:aud`
    // ("Available keys for AWS OIDC federation", IAM User Guide).
    let Some((service, name)) = text.split_once(':') else { return false };
    let service_fits = service.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte));
    let name_fits = name.trim() == name && !name.contains(['*', '?', '$', '{', '}', '\'', ',']);
    !service.is_empty() && !name.is_empty() && text.len() <= KEY_BYTES_MAX && service_fits && name_fits
}

/// Reads the statements of a policy.
pub(crate) fn statements(kind: PolicyKind, name: &str, file: &str, root: &Node) -> Result<Vec<Statement>, Vec<Fault>> {
    let mut reader = Reader { kind, name, file, faults: Vec::new(), broken: false, sids: HashSet::new() };
    if !root.is_bounded() {
        reader.fault(root.place, "", "the document is nested too deeply or has too many values", "no policy needs that");
        return Err(reader.faults);
    }
    let statements = reader.policy(root);
    if reader.faults.is_empty() && !reader.broken {
        return Ok(statements);
    }
    reader.faults.sort_by_key(|fault| fault.place);
    Err(reader.faults)
}

struct Reader<'a> {
    kind: PolicyKind,
    name: &'a str,
    file: &'a str,
    faults: Vec<Fault>,
    broken: bool,
    sids: HashSet<String>,
}

impl Reader<'_> {
    fn fault(&mut self, place: Place, pointer: &str, what: impl Into<String>, mend: impl Into<String>) {
        self.broken = true;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { place, pointer: pointer.to_owned(), what: what.into(), mend: mend.into() });
        }
    }

    /// The entries of a mapping whose keys are known; others are faults.
    fn map<'n>(&mut self, node: &'n Node, pointer: &str, known: &[&str]) -> &'n [Entry] {
        let entries = match &node.data {
            Data::Map(entries) => entries.as_slice(),
            Data::Broken => {
                self.broken = true;
                &[]
            }
            _ => {
                self.fault(node.place, pointer, "this must be a mapping", "write `{ … }`");
                &[]
            }
        };
        let mut seen = HashSet::new();
        for entry in entries {
            if !seen.insert(entry.key.as_str()) {
                self.fault(entry.place, &step(pointer, &entry.key), "this key stands twice in one mapping", "keep one");
            }
            if known.is_empty() || known.contains(&entry.key.as_str()) {
                continue;
            }
            let near = known.iter().find(|known| known.eq_ignore_ascii_case(&entry.key));
            let mend = near.map_or_else(|| format!("use {}", listed(known)), |near| format!("write `{near}`"));
            self.fault(
                entry.place,
                &step(pointer, &entry.key),
                format!("`{}` is no element of a policy here", cut(&entry.key)),
                mend,
            );
        }
        entries
    }

    /// A text; `None` after a fault.
    fn text<'n>(&mut self, node: &'n Node, pointer: &str) -> Option<&'n str> {
        match &node.data {
            Data::Text(text) => self.checked(text, node.place, pointer),
            Data::Broken => {
                self.broken = true;
                None
            }
            _ => {
                self.fault(node.place, pointer, "this must be a text", "put it in double quotes");
                None
            }
        }
    }

    fn checked<'n>(&mut self, text: &'n str, place: Place, pointer: &str) -> Option<&'n str> {
        if text.len() > TEXT_BYTES_MAX {
            self.fault(place, pointer, format!("this text is longer than {TEXT_BYTES_MAX} bytes"), "shorten it");
            return None;
        }
        if text.chars().any(char::is_control) {
            self.fault(place, pointer, "a control character stands in this text", "leave it out");
            return None;
        }
        Some(text)
    }

    /// The values of an element that takes one or several: each with its pointer.
    fn values<'n>(&mut self, node: &'n Node, pointer: &str) -> Vec<(&'n Node, String)> {
        match &node.data {
            Data::List(nodes) => {
                if nodes.is_empty() {
                    self.fault(node.place, pointer, "this list is empty", "write at least one value");
                }
                if nodes.len() > VALUES_MAX {
                    self.fault(
                        node.place,
                        pointer,
                        format!("this list has more than {VALUES_MAX} values"),
                        "split the statement",
                    );
                    return Vec::new();
                }
                nodes.iter().enumerate().map(|(index, node)| (node, step(pointer, &index.to_string()))).collect()
            }
            _ => vec![(node, pointer.to_owned())],
        }
    }

    fn policy(&mut self, root: &Node) -> Vec<Statement> {
        let ids = matches!(self.kind, PolicyKind::Resource | PolicyKind::Trust);
        let known: &[&str] = if ids { &["Version", "Id", "Statement"] } else { &["Version", "Statement"] };
        self.map(root, "", known);
        let chars = root.to_json().chars().count();
        let chars_max = self.kind.chars_max();
        if chars > chars_max {
            let what = format!("this {} has {chars} characters without white space, more than {chars_max}", self.kind.name());
            self.fault(root.place, "", what, "split it into several policies");
        }
        match root.get("Version") {
            None if matches!(root.data, Data::Map(_)) => {
                self.fault(root.place, "", "`Version` is missing", "write `\"Version\": \"2012-10-17\"`");
            }
            None => {}
            Some(version) => {
                let text = self.text(version, "/Version");
                if text.is_some_and(|text| text != "2012-10-17") {
                    let what = "only version `2012-10-17` of the language is known";
                    self.fault(version.place, "/Version", what, "write `2012-10-17`");
                }
            }
        }
        if let Some(id) = root.get("Id").filter(|_| ids) {
            self.text(id, "/Id");
        }
        let nodes = match root.get("Statement") {
            None if matches!(root.data, Data::Map(_)) => {
                self.fault(root.place, "", "`Statement` is missing", "write `\"Statement\": [ … ]`");
                Vec::new()
            }
            None => Vec::new(),
            Some(node) if matches!(node.data, Data::List(_) | Data::Map(_)) => self.values(node, "/Statement"),
            Some(node) => {
                self.map(node, "/Statement", &[]);
                Vec::new()
            }
        };
        if let Some((node, pointer)) = nodes.get(STATEMENTS_MAX) {
            self.fault(node.place, pointer, format!("a policy has at most {STATEMENTS_MAX} statements"), "split it");
            return Vec::new();
        }
        let numbered = nodes.iter().enumerate();
        numbered.filter_map(|(index, (node, pointer))| self.statement(index + 1, node, pointer)).collect()
    }

    fn statement(&mut self, number: usize, node: &Node, pointer: &str) -> Option<Statement> {
        const KNOWN: [&str; 9] =
            ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];
        self.map(node, pointer, &KNOWN);
        if !matches!(node.data, Data::Map(_)) {
            return None;
        }
        let sid = node.get("Sid").and_then(|sid| self.sid(sid, &step(pointer, "Sid")));
        let effect = self.effect(node, pointer);
        let principals = self.principals(node, pointer, effect);
        let actions = self.actions(node, pointer);
        let resources = self.resources(node, pointer);
        let conditions = node.get("Condition").map(|node| self.conditions(node, &step(pointer, "Condition")));
        if self.kind == PolicyKind::ResourceControl && effect == Some(Effect::Allow) {
            self.full_access(node, pointer);
        }
        let label = match sid {
            Some(sid) => format!("{}: {sid}", self.name),
            None => format!("{}: statement {number}", self.name),
        };
        Some(Statement {
            sid: sid.map(Into::into),
            effect: effect?,
            label: label.into(),
            origin: format!("{}:{}", self.file, node.place.line).into(),
            place: node.place,
            principals: principals?,
            actions: actions?,
            resources: resources?,
            conditions: conditions.unwrap_or_default(),
        })
    }

    /// The one statement of a resource control policy that may allow is that of `RCPFullAWSAccess`.
    fn full_access(&mut self, node: &Node, pointer: &str) {
        let star = |key: &str| {
            node.get(key).is_some_and(|node| match &node.data {
                Data::List(nodes) => matches!(nodes.as_slice(), [node] if node.text() == Some("*")),
                _ => node.text() == Some("*"),
            })
        };
        if !(star("Action") && star("Resource")) || node.get("Condition").is_some() {
            let mend = "write `\"Effect\": \"Deny\"`; only `RCPFullAWSAccess` allows, and it allows `*` on `*`";
            self.fault(node.place, pointer, "a resource control policy can't allow", mend);
        }
    }

    fn sid<'n>(&mut self, node: &'n Node, pointer: &str) -> Option<&'n str> {
        let sid = self.text(node, pointer).filter(|sid| !sid.is_empty())?;
        let wide = self.kind == PolicyKind::Resource;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || (wide && b" -_.".contains(&byte));
        if sid.len() > SID_BYTES_MAX || !sid.bytes().all(fits) {
            self.fault(node.place, pointer, "a `Sid` is made of letters and digits", "leave the other characters out");
            return None;
        }
        if !self.sids.insert(sid.to_owned()) {
            self.fault(
                node.place,
                pointer,
                format!("the `Sid` `{sid}` stands twice in this policy"),
                "give each statement its own",
            );
        }
        Some(sid)
    }

    fn effect(&mut self, node: &Node, pointer: &str) -> Option<Effect> {
        let Some(effect) = node.get("Effect") else {
            self.fault(node.place, pointer, "`Effect` is missing", "write `\"Effect\": \"Allow\"` or `\"Effect\": \"Deny\"`");
            return None;
        };
        let pointer = step(pointer, "Effect");
        match self.text(effect, &pointer)? {
            "Allow" => Some(Effect::Allow),
            "Deny" => Some(Effect::Deny),
            _ => {
                self.fault(effect.place, &pointer, "an effect is `Allow` or `Deny`", "write one of them, in this case");
                None
            }
        }
    }

    /// The one of two elements that exclude each other, and whether it is the second.
    fn either<'n>(&mut self, node: &'n Node, pointer: &str, keys: [&str; 2]) -> Option<(&'n Node, String, bool)> {
        let [key, not_key] = keys;
        match (node.get(key), node.get(not_key)) {
            (Some(node), None) => Some((node, step(pointer, key), false)),
            (None, Some(node)) => Some((node, step(pointer, not_key), true)),
            (Some(_), Some(not)) => {
                let what = format!("`{key}` and `{not_key}` exclude each other");
                self.fault(not.place, &step(pointer, not_key), what, "keep one of them");
                None
            }
            (None, None) => {
                self.fault(node.place, pointer, format!("`{key}` is missing"), format!("write `\"{key}\": …`"));
                None
            }
        }
    }

    fn principals(&mut self, node: &Node, pointer: &str, effect: Option<Effect>) -> Option<Principals> {
        if !matches!(self.kind, PolicyKind::Resource | PolicyKind::Trust | PolicyKind::ResourceControl) {
            for key in ["Principal", "NotPrincipal"] {
                if let Some(principal) = node.get(key) {
                    let what = format!("a {} names no principal: it is about those it is attached to", self.kind.name());
                    self.fault(principal.place, &step(pointer, key), what, format!("leave `{key}` out"));
                }
            }
            return Some(Principals::Attached);
        }
        let (node, pointer, not) = self.either(node, pointer, ["Principal", "NotPrincipal"])?;
        if not && effect == Some(Effect::Allow) {
            let mend = "name whom you allow with `Principal`";
            self.fault(node.place, &pointer, "`NotPrincipal` with `Allow` would allow everyone else", mend);
            return None;
        }
        if not && self.kind != PolicyKind::Resource {
            let mend = "use `Principal` with a condition on `aws:PrincipalArn`";
            self.fault(node.place, &pointer, format!("a {} can't have `NotPrincipal`", self.kind.name()), mend);
            return None;
        }
        if self.kind == PolicyKind::ResourceControl {
            if node.text() != Some("*") {
                let mend = "write `\"Principal\": \"*\"` and narrow it with a condition";
                self.fault(node.place, &pointer, "the principal of a resource control policy is `*`", mend);
                return None;
            }
            return Some(Principals::In([Named::Everyone].into()));
        }
        let named = self.named(node, &pointer)?;
        if not && named.contains(&Named::Everyone) {
            self.fault(node.place, &pointer, "`NotPrincipal` `*` leaves nobody", "name those who are not denied");
            return None;
        }
        Some(if not { Principals::NotIn(named.into()) } else { Principals::In(named.into()) })
    }

    fn named(&mut self, node: &Node, pointer: &str) -> Option<Vec<Named>> {
        if let Data::Text(text) = &node.data {
            if text == "*" {
                return Some(vec![Named::Everyone]);
            }
            let mend = "write `\"*\"` or `{ \"AWS\": \"arn:aws:iam::111122223333:role/name\" }`";
            self.fault(node.place, pointer, "a principal needs its type", mend);
            return None;
        }
        const TYPES: [&str; 4] = ["AWS", "Service", "Federated", "CanonicalUser"];
        let entries = self.map(node, pointer, &TYPES);
        if entries.is_empty() && matches!(node.data, Data::Map(_)) {
            self.fault(node.place, pointer, "no principal is named", "write `\"*\"` or `{ \"AWS\": … }`");
        }
        let mut named = Vec::new();
        for entry in entries.iter().filter(|entry| TYPES.contains(&entry.key.as_str())) {
            let pointer = step(pointer, &entry.key);
            for (node, pointer) in self.values(&entry.value, &pointer) {
                let Some(text) = self.text(node, &pointer) else { continue };
                match Named::read(&entry.key, text) {
                    Ok(name) => named.push(name),
                    Err(mend) => self.fault(node.place, &pointer, format!("`{}` is no principal", cut(text)), mend),
                }
            }
        }
        Some(named)
    }

    fn actions(&mut self, node: &Node, pointer: &str) -> Option<Actions> {
        let (node, pointer, not) = self.either(node, pointer, ["Action", "NotAction"])?;
        if not && matches!(self.kind, PolicyKind::Trust | PolicyKind::ResourceControl) {
            self.fault(
                node.place,
                &pointer,
                format!("a {} can't have `NotAction`", self.kind.name()),
                "name the actions with `Action`",
            );
            return None;
        }
        let mut patterns = Vec::new();
        for (node, pointer) in self.values(node, &pointer) {
            let Some(text) = self.text(node, &pointer) else { continue };
            let fits = text == "*" || is_action(text);
            if !fits {
                self.fault(
                    node.place,
                    &pointer,
                    format!("`{}` is no action", cut(text)),
                    "write `service:Name`, wildcards only in the name, or `*`",
                );
                continue;
            }
            let lower = text.to_ascii_lowercase();
            if self.kind == PolicyKind::Trust && !lower.starts_with("sts:") {
                self.fault(
                    node.place,
                    &pointer,
                    "a trust policy is about actions of `sts`",
                    "write `sts:AssumeRole` or another of them",
                );
            }
            patterns.extend(Pattern::read(&lower, Wildcards::Free).ok());
        }
        Some(Actions { not, patterns })
    }

    fn resources(&mut self, node: &Node, pointer: &str) -> Option<Resources> {
        if self.kind == PolicyKind::Trust {
            for key in ["Resource", "NotResource"] {
                if let Some(resource) = node.get(key) {
                    let what = "a trust policy has no resource: it is about the role it is attached to";
                    self.fault(resource.place, &step(pointer, key), what, format!("leave `{key}` out"));
                }
            }
            return Some(Resources::Attached);
        }
        let (node, pointer, not) = self.either(node, pointer, ["Resource", "NotResource"])?;
        let mut patterns = Vec::new();
        for (node, pointer) in self.values(node, &pointer) {
            let Some(text) = self.text(node, &pointer) else { continue };
            match resource(text) {
                Ok(pattern) => patterns.push(pattern),
                Err((what, mend)) => self.fault(node.place, &pointer, format!("`{}`: {what}", cut(text)), mend),
            }
        }
        Some(if not { Resources::NotIn(patterns) } else { Resources::In(patterns) })
    }

    fn conditions(&mut self, node: &Node, pointer: &str) -> Vec<Condition> {
        let mut conditions = Vec::new();
        let operators = self.map(node, pointer, &[]);
        if operators.is_empty() && matches!(node.data, Data::Map(_)) {
            self.fault(node.place, pointer, "this condition says nothing", "leave `Condition` out");
        }
        for entry in operators {
            let pointer = step(pointer, &entry.key);
            let operator = Operator::read(&entry.key);
            if let Err(mend) = &operator {
                self.fault(entry.place, &pointer, format!("`{}` is no operator", cut(&entry.key)), mend);
            }
            let tests = self.map(&entry.value, &pointer, &[]);
            if tests.is_empty() && matches!(entry.value.data, Data::Map(_)) {
                self.fault(entry.value.place, &pointer, "this operator tests nothing", "write `{ \"key\": \"value\" }`");
            }
            let mut seen = HashSet::new();
            for test in tests {
                let pointer = step(&pointer, &test.key);
                if !is_key(&test.key) {
                    let mend = "write `service:name`, like `aws:PrincipalTag/team`";
                    self.fault(test.place, &pointer, format!("`{}` is no context key", cut(&test.key)), mend);
                }
                if !seen.insert(test.key.to_lowercase()) {
                    self.fault(
                        test.place,
                        &pointer,
                        "this key stands twice, for its case doesn't count",
                        "put the values in one list",
                    );
                }
                if let Ok(operator) = &operator {
                    conditions.push(self.condition(*operator, &entry.key, test, &pointer));
                }
            }
        }
        conditions
    }

    fn condition(&mut self, operator: Operator, written: &str, entry: &Entry, pointer: &str) -> Condition {
        let mut condition = Condition {
            place: entry.place,
            name: written.into(),
            operator,
            key: entry.key.as_str().into(),
            written: Vec::new(),
            operands: Vec::new(),
        };
        for (node, pointer) in self.values(&entry.value, pointer) {
            let value = match &node.data {
                Data::Bool(true) => "true",
                Data::Bool(false) => "false",
                Data::Number(string) | Data::Text(string) => string.as_str(),
                Data::Broken => {
                    self.broken = true;
                    continue;
                }
                Data::Null | Data::List(_) | Data::Map(_) => {
                    let what = "a value must be a text, a number or a truth value";
                    self.fault(node.place, &pointer, what, "put it in double quotes");
                    continue;
                }
            };
            let Some(value) = self.checked(value, node.place, &pointer) else { continue };
            match operator.read_value(value) {
                Ok(operand) => {
                    condition.written.push(value.into());
                    condition.operands.push(operand);
                }
                Err((what, mend)) => self.fault(node.place, &pointer, format!("`{}`: {what}", cut(value)), mend),
            }
        }
        condition
    }
}

/// Whether this is a pattern of actions: `service:Name`, wildcards in the name.
fn is_action(text: &str) -> bool {
    let Some((service, name)) = text.split_once(':') else { return false };
    let service_fits = service.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*' | b'?');
    !service.is_empty() && !name.is_empty() && text.len() <= ACTION_BYTES_MAX && service_fits && name.bytes().all(fits)
}

/// Reads `*` or the pattern of an ARN with all six parts, variables only in the last ([Variables], "Resource element").
///
/// [Variables]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
fn resource(text: &str) -> Result<Pattern, (String, String)> {
    if text == "*" {
        return Ok(Pattern(vec![Piece::Run]));
    }
    let wrong = |what: &str, mend: &str| (what.to_owned(), mend.to_owned());
    let short = || wrong("an ARN has six parts", "write all of them, like `arn:aws:s3:::bucket/*`, or `*`");
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [scheme, partition, service, region, account, resource] = parts.as_slice() else { return Err(short()) };
    if *scheme != "arn" || partition.is_empty() || service.is_empty() || resource.is_empty() {
        return Err(short());
    }
    if [partition, service, region, account].iter().any(|part| part.contains(['$', '{', '}'])) {
        return Err(wrong("a variable may stand only after the fifth colon", "write the other parts out, or use wildcards"));
    }
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-*?".contains(&byte);
    if ![partition, service, region, account].iter().all(|part| part.bytes().all(fits)) {
        let mend = "write partition, service, region and account in lower case, letters, digits and hyphens";
        return Err(wrong("no ARN looks like this before the fifth colon", mend));
    }
    Pattern::read(text, Wildcards::Arn(text.len() - resource.len()))
}

fn listed(known: &[&str]) -> String {
    let known: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
    known.join(", ")
}
