//! Guardrails and where they are attached.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::{AccountId, OuId, SpaceId};

/// A version of a guardrail, as Amazon Bedrock has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GuardrailVersion {
    /// The working draft: it may change with every configuration.
    Draft,
    /// A numbered one, from 1: it never changes.
    Numbered(u32),
}

impl fmt::Display for GuardrailVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draft => f.write_str("DRAFT"),
            Self::Numbered(number) => write!(f, "{number}"),
        }
    }
}

impl GuardrailVersion {
    /// The version of this word: `DRAFT`, or a number without leading zeros.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "DRAFT" => Some(Self::Draft),
            _ if word.starts_with('0') || word.starts_with('+') => None,
            _ => word.parse().ok().map(Self::Numbered),
        }
    }
}

/// One version of one guardrail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuardrailKey {
    /// Its id, unique in the organization.
    pub id: String,
    /// Its version.
    pub version: GuardrailVersion,
}

impl fmt::Display for GuardrailKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.version)
    }
}

impl GuardrailKey {
    /// The longest id, in bytes (Bedrock: `guardrailIdentifier`).
    pub const ID_BYTES_MAX: usize = 64;

    /// Whether a text can be a guardrail's id: lower-case letters, digits and `-`.
    pub fn is_id(text: &str) -> bool {
        (1..=Self::ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    }

    /// The guardrail of an identifier as Bedrock's policies write it: an ARN, or the id alone, each with `:` and the version.
    pub fn parse(identifier: &str) -> Option<Self> {
        let (start, version) = identifier.rsplit_once(':')?;
        let id = start.rsplit_once(":guardrail/").map_or(start, |(_, id)| id);
        let version = GuardrailVersion::parse(version)?;
        Self::is_id(id).then(|| Self { id: id.to_owned(), version })
    }
}

/// A version of a guardrail and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guardrail {
    /// Which it is.
    pub key: GuardrailKey,
    /// The account that it belongs to.
    pub account: AccountId,
    /// Where it stands: file and line.
    pub origin: String,
    /// Its definition: JSON text, checked.
    pub definition: Arc<str>,
}

/// Where a policy that attaches guardrails is attached itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GuardrailTarget {
    /// The root of the tree.
    Root,
    /// A unit.
    Unit(OuId),
    /// An account.
    Account(AccountId),
    /// A space.
    Space(SpaceId),
}

/// A policy that attaches guardrails, in the syntax of AWS Organizations' Bedrock policies, with inheritance operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardrailPolicy {
    /// Its name, unique in the organization.
    pub name: String,
    /// Where it stands: file and line.
    pub origin: String,
    /// Where it is attached.
    pub targets: Vec<GuardrailTarget>,
    /// The document: JSON text.
    pub document: Arc<str>,
}

/// The guardrails of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guardrails {
    /// Every version of every one.
    pub versions: BTreeMap<GuardrailKey, Guardrail>,
    /// What attaches them.
    pub policies: Vec<GuardrailPolicy>,
}

impl Guardrails {
    /// A numbered version that says something else there than it does here, if there is one.
    pub fn changed<'a>(&self, there: &'a Self) -> Option<&'a GuardrailKey> {
        let is_changed = |guardrail: &&Guardrail| {
            let here = self.versions.get(&guardrail.key);
            guardrail.key.version != GuardrailVersion::Draft && here.is_some_and(|here| here.definition != guardrail.definition)
        };
        there.versions.values().find(is_changed).map(|guardrail| &guardrail.key)
    }

    /// The documents of these places, in their order: from the root down.
    pub fn documents(&self, path: &[GuardrailTarget]) -> Vec<&GuardrailPolicy> {
        let at = |target: &GuardrailTarget| {
            self.policies.iter().filter(move |policy| policy.targets.contains(target)).collect::<Vec<_>>()
        };
        path.iter().flat_map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_arns_or_ids_with_a_version() {
        let key = |id: &str, version| Some(GuardrailKey { id: id.to_owned(), version });
        assert_eq!(
            GuardrailKey::parse("arn:aws:bedrock:us-east-1:111122223333:guardrail/pii:3"),
            key("pii", GuardrailVersion::Numbered(3))
        );
        assert_eq!(GuardrailKey::parse("pii:DRAFT"), key("pii", GuardrailVersion::Draft));
        for wrong in ["pii", "pii:", "pii:0", "pii:01", "pii:+1", ":1", "Pii:1", "arn:aws:bedrock:us-east-1:1:other/pii:3"] {
            assert_eq!(GuardrailKey::parse(wrong), None, "{wrong}");
        }
    }
}
