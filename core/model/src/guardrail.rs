//! Guardrails and where they are attached.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::{AccountId, Network, OuId, Risk, SecretRef, SpaceId};

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
    /// Its definition: JSON text, checked; none where only Bedrock's stands behind it.
    pub definition: Option<Arc<str>>,
    /// The guardrail of Amazon Bedrock that stands behind it, after its definition.
    pub bedrock: Option<Arc<BedrockGuardrail>>,
}

impl Guardrail {
    /// Whether both let the same pass. How Bedrock is reached makes no difference.
    pub fn says_what(&self, other: &Self) -> bool {
        let behind = |of: &Self| {
            let which = |one: &Arc<BedrockGuardrail>| (one.identifier.clone(), one.version, one.region.clone(), one.risk_min);
            of.bedrock.as_ref().map(which)
        };
        self.definition == other.definition && behind(self) == behind(other)
    }
}

/// A guardrail of Amazon Bedrock, and how it is asked (API reference of Amazon Bedrock Runtime: `ApplyGuardrail`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BedrockGuardrail {
    /// Its id or its ARN.
    pub identifier: String,
    /// Its version there.
    pub version: GuardrailVersion,
    /// The region that it is in.
    pub region: String,
    /// The endpoint; `None` is AWS's own for the region.
    pub endpoint: Option<String>,
    /// The secret that holds the access key: `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, with `:SESSION_TOKEN` if there is one.
    pub credentials: SecretRef,
    /// Which addresses the endpoint may resolve to.
    pub network: Network,
    /// How long one request may take, in milliseconds.
    pub timeout_ms: u64,
    /// The least risk of a tool whose texts it sees.
    pub risk_min: Risk,
}

impl BedrockGuardrail {
    /// The longest id, in bytes (API reference: `guardrailIdentifier`).
    const ID_BYTES_MAX: usize = 64;
    /// The longest identifier, in bytes.
    const IDENTIFIER_BYTES_MAX: usize = 2048;

    /// Whether a text is an id of Bedrock's (lower-case letters and digits) or a guardrail's ARN.
    pub fn is_identifier(text: &str) -> bool {
        let plain = |part: &str| {
            (1..=Self::ID_BYTES_MAX).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        if text.len() > Self::IDENTIFIER_BYTES_MAX {
            return false;
        }
        let Some(rest) = text.strip_prefix("arn:") else { return plain(text) };
        let parts: Vec<&str> = rest.splitn(5, ':').collect();
        let [partition, "bedrock", region, account, resource] = parts.as_slice() else { return false };
        let account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        plain(partition) && plain(region) && account && resource.strip_prefix("guardrail/").is_some_and(plain)
    }

    /// The region of an ARN.
    pub fn region_of(identifier: &str) -> Option<&str> {
        identifier.strip_prefix("arn:")?.split(':').nth(2)
    }
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
            guardrail.key.version != GuardrailVersion::Draft && here.is_some_and(|here| !here.says_what(guardrail))
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
    fn identifiers_of_bedrock_are_ids_or_whole_arns() {
        let arn = "arn:aws:bedrock:us-east-1:111122223333:guardrail/a1b2c3";
        assert!(BedrockGuardrail::is_identifier("a1b2c3") && BedrockGuardrail::is_identifier(arn));
        assert_eq!((BedrockGuardrail::region_of(arn), BedrockGuardrail::region_of("a1b2c3")), (Some("us-east-1"), None));
        for wrong in [
            "",
            "A1",
            "a/../b",
            "a b",
            "arn:aws:bedrock:us-east-1:1:guardrail/a",
            "arn:aws:s3:us-east-1:111122223333:guardrail/a",
        ] {
            assert!(!BedrockGuardrail::is_identifier(wrong), "{wrong}");
        }
        assert!(!BedrockGuardrail::is_identifier(&format!("{arn}/version/1/apply?")));
    }

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
