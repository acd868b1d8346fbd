//! The policies that attach guardrails in an organization's tree, joined from the root down.
//!
//! Source: the inheritance of AWS Organizations' management policies. `@@assign` overwrites, `@@append` and `@@remove` change lists, and
//! `@@operators_allowed_for_child_policies` says what those below may still use at a place and everything under it. Where AWS drops what a
//! child may not do, this is a fault: an attachment that can't be decided denies.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::definition::{Fault, cut};

/// The most documents from the root to an account.
pub const DOCUMENTS_MAX: usize = 64;
/// The most places in one effective policy.
pub const PLACES_MAX: usize = 10_000;
/// The deepest place.
pub const DEPTH_MAX: usize = 16;

const ALLOWED: &str = "@@operators_allowed_for_child_policies";

/// The operators that set a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operator {
    Assign,
    Append,
    Remove,
}

impl Operator {
    const ALL: [Self; 3] = [Self::Assign, Self::Append, Self::Remove];

    fn name(self) -> &'static str {
        match self {
            Self::Assign => "@@assign",
            Self::Append => "@@append",
            Self::Remove => "@@remove",
        }
    }

    fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.name() == name)
    }
}

/// A place of the joined policy.
struct Node {
    value: Option<Setting>,
    children: BTreeMap<String, Node>,
    /// What the documents below may use here.
    open: BTreeSet<Operator>,
}

#[derive(Clone)]
enum Setting {
    One(String),
    List(Vec<String>),
}

impl Node {
    fn new(open: BTreeSet<Operator>) -> Self {
        Self { value: None, children: BTreeMap::new(), open }
    }
}

/// A guardrail that is attached for a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The region.
    pub region: String,
    /// The name of the configuration, unique within the region.
    pub name: String,
    /// The guardrail: an ARN, with `:` and its version.
    pub identifier: String,
}

/// The policy that is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// Without operators: strings, lists of strings, and objects of them.
    pub policy: Value,
}

impl Effective {
    /// The guardrails that it attaches, by region and name.
    #[must_use]
    pub fn attachments(&self) -> Vec<Attachment> {
        let regions = self.policy.pointer("/bedrock/guardrail_inference").and_then(Value::as_object);
        let mut attachments = Vec::new();
        for (region, configurations) in regions.into_iter().flatten() {
            for (name, configuration) in configurations.as_object().into_iter().flatten() {
                if let Some(identifier) = configuration.get("identifier").and_then(Value::as_str) {
                    let (region, name) = (region.clone(), name.clone());
                    attachments.push(Attachment { region, name, identifier: identifier.to_owned() });
                }
            }
        }
        attachments
    }
}

/// Joins documents, the root's first. A child that uses an operator which a parent has closed is a fault, with the document's number.
pub fn effective(documents: &[Value]) -> Result<Effective, Fault> {
    if documents.len() > DOCUMENTS_MAX {
        return Err(Fault::new("", "there are too many policies from the root to here", format!("at most {DOCUMENTS_MAX}")));
    }
    let mut root = Node::new(Operator::ALL.into());
    let mut places = 0;
    for (number, document) in documents.iter().enumerate() {
        let mut join = Join { number, places: &mut places };
        join.node(&mut root, document, "", 0)?;
        // What a document closes holds for the documents after it, so that it is applied when the whole document is read.
        join.close(&mut root, document, &Operator::ALL.into());
    }
    Ok(Effective { policy: plain(&root) })
}

struct Join<'a> {
    number: usize,
    places: &'a mut usize,
}

impl Join<'_> {
    fn fault<T>(&self, at: &str, message: impl std::fmt::Display, hint: &str) -> Result<T, Fault> {
        Err(Fault::new(format!("/{}{at}", self.number), message.to_string(), hint))
    }

    fn node(&mut self, node: &mut Node, document: &Value, at: &str, depth: usize) -> Result<(), Fault> {
        let Some(object) = document.as_object() else {
            return self.fault(at, "a value stands where an object must", "wrap it: `{\"@@assign\": …}`");
        };
        if depth > DEPTH_MAX {
            return self.fault(at, "it is too deep", "at most 16 levels");
        }
        let sets = object.keys().any(|key| Operator::read(key).is_some());
        if sets && object.keys().any(|key| !key.starts_with("@@")) {
            return self.fault(at, "a place has both a value and places under it", "keep one");
        }
        for (key, value) in object {
            let below = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
            if let Some(operator) = Operator::read(key) {
                self.set(node, operator, value, &below)?;
            } else if key == ALLOWED {
                self.allowed(value, &below)?;
            } else if key.starts_with("@@") {
                return self.fault(
                    &below,
                    format!("there is no operator `{}`", cut(key)),
                    "`@@assign`, `@@append` or `@@remove`",
                );
            } else {
                if node.value.is_some() {
                    return self.fault(&below, "a parent has a value here", "assign to the place above");
                }
                if !node.children.contains_key(key) {
                    *self.places += 1;
                    if *self.places > PLACES_MAX {
                        return self.fault(&below, "there are too many places", "at most 10000 in all");
                    }
                }
                let open = node.open.clone();
                let child = node.children.entry(key.clone()).or_insert_with(|| Node::new(open));
                self.node(child, value, &below, depth + 1)?;
            }
        }
        Ok(())
    }

    fn set(&self, node: &mut Node, operator: Operator, value: &Value, at: &str) -> Result<(), Fault> {
        if !node.open.contains(&operator) {
            let hint = "leave it out, or ask whoever keeps the parent's policy";
            return self.fault(at, format!("a parent doesn't allow `{}` here", operator.name()), hint);
        }
        if !node.children.is_empty() {
            return self.fault(at, "a parent has places under this one", "assign to those");
        }
        let given = match value {
            Value::String(one) => Setting::One(one.clone()),
            Value::Array(list) => match list.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>() {
                Some(list) if list.len() <= PLACES_MAX => Setting::List(list),
                _ => return self.fault(at, "a list holds something else than strings, or too many", "strings only"),
            },
            _ => return self.fault(at, "a value is neither a string nor a list of strings", "a string or a list of strings"),
        };
        let items = |setting: &Setting| match setting {
            Setting::One(one) => vec![one.clone()],
            Setting::List(list) => list.clone(),
        };
        node.value = Some(match (operator, &node.value) {
            (Operator::Assign, _) => given,
            (Operator::Append, known) => {
                let mut list = known.as_ref().map_or_else(Vec::new, items);
                for item in items(&given) {
                    if !list.contains(&item) {
                        list.push(item);
                    }
                }
                if list.len() > PLACES_MAX {
                    return self.fault(at, "the list is too long", "at most 10000 entries");
                }
                Setting::List(list)
            }
            (Operator::Remove, known) => {
                let gone = items(&given);
                Setting::List(
                    known.as_ref().map_or_else(Vec::new, items).into_iter().filter(|item| !gone.contains(item)).collect(),
                )
            }
        });
        Ok(())
    }

    /// What `@@operators_allowed_for_child_policies` leaves.
    fn allowed(&self, value: &Value, at: &str) -> Result<BTreeSet<Operator>, Fault> {
        let mut open = BTreeSet::new();
        let hint = "a list of `@@all`, `@@none`, or of `@@assign`, `@@append`, `@@remove`";
        let Some(list) = value.as_array() else { return self.fault(at, "it is not a list", hint) };
        for entry in list {
            match entry.as_str() {
                Some("@@all") if list.len() == 1 => open.extend(Operator::ALL),
                Some("@@none") if list.len() == 1 => {}
                Some(name) if Operator::read(name).is_some() => open.extend(Operator::read(name)),
                _ => return self.fault(at, "an entry is no operator, or doesn't stand alone", hint),
            }
        }
        Ok(open)
    }

    /// Narrows what is open, here and below: never widens it.
    fn close(&self, node: &mut Node, document: &Value, above: &BTreeSet<Operator>) {
        let own = document.get(ALLOWED).and_then(|value| self.allowed(value, "").ok());
        // A deeper place of the same document says for itself what it leaves open; where it is silent, the place above says it.
        let left = own.unwrap_or_else(|| above.clone());
        node.open = node.open.intersection(&left).copied().collect();
        for (key, child) in &mut node.children {
            let part = document.get(key).unwrap_or(&Value::Null);
            self.close(child, part, &left);
        }
    }
}

/// The joined policy as JSON.
fn plain(node: &Node) -> Value {
    match &node.value {
        Some(Setting::One(one)) => Value::from(one.clone()),
        Some(Setting::List(list)) => Value::from(list.clone()),
        None => {
            let children = node.children.iter().map(|(key, child)| (key.clone(), plain(child)));
            // A place that nothing was ever said of isn't there.
            let known = children.filter(|(_, value)| value.as_object().is_none_or(|object| !object.is_empty()));
            Value::Object(known.collect::<Map<_, _>>())
        }
    }
}
