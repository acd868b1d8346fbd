//! What of its context a policy reads.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::look::Look;

/// What a lowered policy reads of `context`, and of the arguments and results in it.
#[allow(clippy::struct_excessive_bools, reason = "each is a thing of its own that may be read")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// The context as a value: all that is in it.
    pub(crate) everything: bool,
    /// Its attributes: `input`, `output`, `remit`, a temporal condition's field.
    pub(crate) of_context: BTreeSet<String>,
    /// Whether arguments or results are a value as a whole.
    pub(crate) whole_records: bool,
    /// The properties of arguments and results.
    pub(crate) properties: BTreeSet<String>,
    /// How it looks at the values of properties, where it looks at more of one than whether it is there.
    pub(crate) looks: BTreeMap<String, Look>,
    /// Whether Remit's own facts are a value as a whole.
    pub(crate) whole_facts: bool,
    /// Remit's own facts: `risk`, `sourceIp`.
    pub(crate) facts: BTreeSet<String>,
    /// Whether its conditions speak of actions, whose groups must be known then.
    pub(crate) actions: bool,
    /// Whether it asks who calls, and not only of which kind whoever calls is.
    pub(crate) principal: bool,
}

impl Reads {
    /// Of a policy as JSON (Cedar's "JSON policy format").
    pub(crate) fn of(policy: &Value) -> Self {
        let conditions = policy.get("conditions").map(Value::to_string).unwrap_or_default();
        let actions = conditions.contains("\"action\"") || conditions.contains("Action");
        let scope = |key: &str| policy.get("principal").and_then(|scope| scope.get(key));
        let of_any = match scope("op").and_then(Value::as_str) {
            Some("All") => true,
            Some("is") => scope("in").is_none(),
            _ => false,
        };
        let principal = !of_any || conditions.contains("\"principal\"");
        let mut reads = Self { actions, principal, ..Self::default() };
        reads.walk(policy);
        reads
    }

    /// Whether it reads the tool's result: `context.output`, `context.isOutput`, or the context as a whole.
    pub(crate) fn output(&self) -> bool {
        self.everything || self.of_context.contains("output") || self.of_context.contains("isOutput")
    }

    /// Whether it reads what sessions have touched, or what stands behind arguments.
    pub(crate) fn origin(&self) -> bool {
        self.everything
            || self.of_context.contains(PROVENANCE)
            || ["integrity", "confidentiality", "confidentialityLevel", "requested"].iter().any(|name| self.fact(name))
    }

    /// Takes over what another policy reads of Remit's own facts and of arguments.
    pub(crate) fn add_facts(&mut self, other: &Self) {
        if other.everything || other.of_context.contains(FACTS) {
            self.of_context.insert(FACTS.to_owned());
        }
        if other.everything || other.of_context.contains(PROVENANCE) {
            self.of_context.insert(PROVENANCE.to_owned());
        }
        self.whole_facts |= other.whole_facts || other.everything;
        self.everything |= other.everything;
        self.whole_records |= other.whole_records;
        self.principal |= other.principal;
        self.properties.extend(other.properties.iter().cloned());
        other.looks.iter().for_each(|(name, look)| self.looks.entry(name.clone()).or_default().add(look));
        self.facts.extend(other.facts.iter().cloned());
    }

    /// Whether one of Remit's own facts is read.
    pub(crate) fn fact(&self, name: &str) -> bool {
        self.whole_facts || self.everything || self.facts.contains(name)
    }

    fn walk(&mut self, value: &Value) {
        match value {
            Value::Object(_) if is_context(value) => self.everything = true,
            Value::Object(map) => {
                for (key, inner) in map {
                    if !self.comparison(key, inner) && !((key == "." || key == "has") && self.access(inner, key == ".")) {
                        self.walk(inner);
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.walk(value)),
            _ => {}
        }
    }

    /// Whether it was a comparison of an argument with what is known without it; then nothing is left to walk through.
    fn comparison(&mut self, operator: &str, operands: &Value) -> bool {
        fn fact(with: &Value) -> Option<&str> {
            let access = with.get(".")?;
            let of_principal = access.get("left").and_then(|left| left.get("Var")).is_some_and(|name| name == "principal");
            if of_principal && access.get("attr").is_some_and(|name| name == "id") {
                return Some(PRINCIPAL_ID);
            }
            in_record(access).filter(|(record, _)| *record == FACTS).map(|(_, name)| name)
        }
        let Some((compared, with, look)) = Look::of_comparison(operator, operands, fact) else { return false };
        let Some((INPUT, name)) = compared.get(".").and_then(in_record) else { return false };
        self.of_context.insert(INPUT.to_owned());
        self.properties.insert(name.to_owned());
        self.looks.entry(name.to_owned()).or_default().add(&look);
        with.into_iter().for_each(|with| self.walk(with));
        true
    }

    /// Whether it was an access to the context or to a record in it; then nothing is left to walk through.
    fn access(&mut self, access: &Value, reached: bool) -> bool {
        let (Some(left), Some(attribute)) = (access.get("left"), access.get("attr").and_then(Value::as_str)) else {
            return false;
        };
        if is_context(left) {
            self.of_context.insert(attribute.to_owned());
            self.whole_records |= reached && is_record(attribute);
            self.whole_facts |= reached && attribute == FACTS;
            return true;
        }
        let Some((record, _)) = in_record(access).filter(|(record, _)| is_record(record) || *record == FACTS) else {
            return false;
        };
        self.of_context.insert(record.to_owned());
        let names = if record == FACTS { &mut self.facts } else { &mut self.properties };
        names.insert(attribute.to_owned());
        if reached && record == INPUT {
            self.looks.insert(attribute.to_owned(), Look::whole());
        }
        true
    }
}

/// What an access to something in a record of the context reaches: the record's name and its own. `context.input.amount`
fn in_record(access: &Value) -> Option<(&str, &str)> {
    let record = access.get("left")?.get(".").filter(|record| record.get("left").is_some_and(is_context))?;
    Some((record.get("attr")?.as_str()?, access.get("attr")?.as_str()?))
}

fn is_context(value: &Value) -> bool {
    value.get("Var").is_some_and(|name| name == "context")
}

/// What stands behind the arguments, in the context.
pub(crate) const PROVENANCE: &str = "provenance";
/// The arguments, in the context.
const INPUT: &str = "input";
/// What callers are called, which is told with them: it is compared with as with a fact.
pub(crate) const PRINCIPAL_ID: &str = "principal.id";
/// Remit's own facts in the context.
const FACTS: &str = "remit";

fn is_record(name: &str) -> bool {
    name == INPUT || name == "output" || name == PROVENANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str) -> Reads {
        let policy: cedar_policy::Policy = text.parse().unwrap();
        Reads::of(&policy.to_json().unwrap())
    }

    #[test]
    fn who_speaks_of_actions_is_told() {
        assert!(!reads("permit (principal, action in [A::Action::\"x\"], resource) when { context.input.b == 1 };").actions);
        for condition in [
            "action in A::Action::\"g\"",
            "action == A::\"g\"",
            "A::Action::\"x\" in A::Action::\"g\"",
            "[action].contains(action)",
        ] {
            assert!(reads(&format!("permit (principal, action, resource) when {{ {condition} }};")).actions, "{condition}");
            assert!(
                reads(&format!("permit (principal, action, resource) unless {{ true && {condition} }};")).actions,
                "{condition}"
            );
        }
    }

    #[test]
    fn what_is_read_is_told() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
        let told = reads(
            r#"permit (principal, action, resource) when { context.input has amount && context.input.amount.cents < 5 && context["remit"].risk == "low" };"#,
        );
        assert_eq!(told.of_context, set(&["input", "remit"]));
        assert_eq!((told.properties.clone(), told.facts.clone()), (set(&["amount"]), set(&["risk"])));
        assert!(told.fact("risk") && !told.fact("sourceIp"));
        assert!(reads("permit (principal, action, resource) when { context.remit has user };").fact("user"));
        for whole in ["context.remit == {}", "context == {}", "[context.remit].isEmpty()", "{a: context.remit}.a.user == \"x\""] {
            assert!(reads(&format!("permit (principal, action, resource) when {{ {whole} }};")).fact("user"), "{whole}");
        }
        for compared in ["context.input.a == context.remit.user", "context.remit.user != context.input.a"] {
            let told = reads(&format!("permit (principal, action, resource) when {{ {compared} }};"));
            assert!(told.fact("user") && told.properties.contains("a") && told.of_context.contains("remit"), "{compared}");
        }
        assert!(!told.everything && !told.whole_records && !told.output());
        assert!(reads("permit (principal, action, resource) when { context has output };").output());
        assert!(reads("permit (principal, action, resource) when { context == {} };").everything);
        assert!(reads("permit (principal, action, resource) when { context.input == {} };").whole_records);
        assert!(reads("permit (principal, action, resource) when { {a: context}.a.input.b == 1 };").everything);
    }
}
