//! Labels: what results are, what arguments do, and what must stand behind values.

use std::collections::{BTreeMap, BTreeSet};

use remit_model::{ArgumentRole, Confidentiality, Integrity, OriginMeant, Provenance, ResultWord};

use crate::item::{Item, Object, shown};

/// The words for an integrity.
const INTEGRITIES: [(&str, Integrity); 2] = [("trusted", Integrity::Trusted), ("untrusted", Integrity::Untrusted)];
/// The words for a confidentiality.
const CONFIDENTIALITIES: [(&str, Confidentiality); 4] = [
    ("public", Confidentiality::Public),
    ("internal", Confidentiality::Internal),
    ("confidential", Confidentiality::Confidential),
    ("secret", Confidentiality::Secret),
];
/// The words for whose records, and ids of records, are.
const IDENTIFIERS: [(&str, bool); 2] = [("own", true), ("foreign", false)];
/// The most arguments of a tool of which something is said.
const ARGUMENTS_MAX: usize = 256;

/// What is said of results.
pub(crate) fn results(item: &Item<'_>) -> ResultWord {
    let Some(object) = item.object("what results are", &["integrity", "confidentiality", "identifiers", "records"]) else {
        return ResultWord::default();
    };
    ResultWord {
        integrity: object.get("integrity").and_then(|item| item.choice(&INTEGRITIES)),
        confidentiality: object.get("confidentiality").and_then(|item| item.choice(&CONFIDENTIALITIES)),
        own_identifiers: object.get("identifiers").and_then(|item| item.choice(&IDENTIFIERS)),
        own_records: object.get("records").and_then(|item| item.choice(&IDENTIFIERS)),
    }
}

/// What is said of a tool's arguments.
pub(crate) fn arguments(item: &Item<'_>) -> BTreeMap<String, ArgumentRole> {
    let roles = ArgumentRole::ALL.map(|role| (role.as_str(), role));
    let pairs = item.pairs("a mapping of arguments");
    if pairs.len() > ARGUMENTS_MAX {
        item.error(format!("there are more than {ARGUMENTS_MAX} arguments"), "name those whose role the schema doesn't show");
    }
    pairs.into_iter().filter_map(|(name, item)| Some((name.to_owned(), item.choice(&roles)?))).collect()
}

/// What must stand behind the values of a call: the keys `integrity`, `confidentiality_min`, `provenance` and `requested` of an
/// object.
pub(crate) fn meant(object: &Object<'_>) -> OriginMeant {
    let mut provenance: BTreeMap<ArgumentRole, BTreeSet<Provenance>> = BTreeMap::new();
    for (word, item) in object.get("provenance").map(|item| item.pairs("a mapping of roles")).unwrap_or_default() {
        let Some(role) = ArgumentRole::parse(word) else {
            let known: Vec<&str> = ArgumentRole::ALL.iter().map(|role| role.as_str()).collect();
            item.error(format!("{} is no role of an argument", shown(word)), format!("write one of {}", known.join(", ")));
            continue;
        };
        if item.node.nodes().is_empty() {
            item.error("the list is empty, and an empty list speaks of nothing", "name some, or leave the role out");
        }
        let words = Provenance::ALL.map(|provenance| (provenance.as_str(), provenance));
        let found = item.texts("origins").into_iter().filter_map(|(_, item)| item.choice(&words));
        provenance.insert(role, found.collect());
    }
    OriginMeant {
        integrity: object.get("integrity").and_then(|item| item.choice(&INTEGRITIES)),
        confidentiality_min: object.get("confidentiality_min").and_then(|item| item.choice(&CONFIDENTIALITIES)),
        provenance,
        requested: object.get("requested").and_then(|item| item.flag()),
    }
}
