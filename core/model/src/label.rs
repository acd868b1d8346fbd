//! Labels: what a session or a value has touched, and what stands behind the arguments of a call.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Whether somebody whom nobody vouches for could have written something. It only rises: once untrusted, always untrusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Integrity {
    /// Only those whom the operator trusts could have.
    #[default]
    Trusted,
    /// Anybody could have: a mail, a page, a ticket.
    Untrusted,
}

impl Integrity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Untrusted => "untrusted",
        }
    }
}

/// How secret something is, the least first. It only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidentiality {
    /// Everybody may know it.
    #[default]
    Public,
    /// For those inside.
    Internal,
    /// For those who need it.
    Confidential,
    /// It opens doors, or it harms whoever it is about.
    Secret,
}

impl Confidentiality {
    /// Every one, the least first.
    pub const ALL: [Self; 4] = [Self::Public, Self::Internal, Self::Confidential, Self::Secret];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Confidential => "confidential",
            Self::Secret => "secret",
        }
    }

    /// As a number, for policies: 1 is the least.
    pub fn level(self) -> i64 {
        i64::from(self as u8) + 1
    }
}

/// What a session has touched so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Labels {
    /// The worst that it has read.
    pub integrity: Integrity,
    /// The most secret that it has read.
    pub confidentiality: Confidentiality,
}

impl Labels {
    /// What nobody knows better: as bad as can be.
    pub const UNKNOWN: Self = Self { integrity: Integrity::Untrusted, confidentiality: Confidentiality::Secret };

    /// Both together: the higher of each.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self { integrity: self.integrity.max(other.integrity), confidentiality: self.confidentiality.max(other.confidentiality) }
    }
}

/// What the results of a tool are, by the operator's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultLabels {
    /// Who could have written them.
    pub integrity: Integrity,
    /// How secret they are.
    pub confidentiality: Confidentiality,
    /// Whether the ids of records in structured results are the server's own making, whoever wrote the rest.
    pub own_identifiers: bool,
    /// Whether strangers write texts of its records at most, and make none.
    pub own_records: bool,
}

impl Default for ResultLabels {
    /// Of a tool of which nobody has said anything.
    fn default() -> Self {
        Self {
            integrity: Integrity::Untrusted,
            confidentiality: Confidentiality::Internal,
            own_identifiers: false,
            own_records: false,
        }
    }
}

impl ResultLabels {
    /// What reading them makes of a session.
    pub fn labels(self) -> Labels {
        Labels { integrity: self.integrity, confidentiality: self.confidentiality }
    }
}

/// What is said of results, in part: what is absent is as it is elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResultWord {
    /// Who could have written them.
    pub integrity: Option<Integrity>,
    /// How secret they are.
    pub confidentiality: Option<Confidentiality>,
    /// Whether ids of records are the server's own making.
    pub own_identifiers: Option<bool>,
    /// Whether strangers make no records.
    pub own_records: Option<bool>,
}

impl ResultWord {
    /// This word where it says something, else the other.
    #[must_use]
    pub fn over(self, other: ResultLabels) -> ResultLabels {
        ResultLabels {
            integrity: self.integrity.unwrap_or(other.integrity),
            confidentiality: self.confidentiality.unwrap_or(other.confidentiality),
            own_identifiers: self.own_identifiers.unwrap_or(other.own_identifiers),
            own_records: self.own_records.unwrap_or(other.own_records),
        }
    }
}

/// What an argument does in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArgumentRole {
    /// Whom or what a call reaches: a recipient, an account, an address.
    Destination,
    /// What a call acts on: an id, a file.
    Identifier,
    /// What lets somebody in: a password, a permission.
    Credential,
    /// An address that stands within a content.
    Link,
    /// How much.
    Amount,
    /// When: a day, a time, how long.
    Time,
    /// What reaches the destination: a body, a subject.
    Content,
    /// Anything else.
    Parameter,
}

impl ArgumentRole {
    /// Every role.
    pub const ALL: [Self; 8] = [
        Self::Destination,
        Self::Identifier,
        Self::Credential,
        Self::Link,
        Self::Amount,
        Self::Time,
        Self::Content,
        Self::Parameter,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Destination => "destination",
            Self::Identifier => "identifier",
            Self::Credential => "credential",
            Self::Link => "link",
            Self::Amount => "amount",
            Self::Time => "time",
            Self::Content => "content",
            Self::Parameter => "parameter",
        }
    }

    /// The role of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// What stands behind a value, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// It can carry nothing: one of the values that the tool's pinned schema lists, a truth value, nothing at all.
    Declared,
    /// The user's request names it, or names the record whose id it is.
    Request,
    /// A trusted result holds it, no untrusted one names it, and nobody put it there in this session.
    Trusted,
    /// It is a field, and no prose, of the one record that the request names.
    Named,
    /// Nobody has seen it in this session: it was made up, or made of something.
    Nowhere,
    /// It stands in an untrusted result, or may have stood in what is no longer known.
    Untrusted,
}

impl Provenance {
    /// Every one, the best first.
    pub const ALL: [Self; 6] = [Self::Declared, Self::Request, Self::Trusted, Self::Named, Self::Nowhere, Self::Untrusted];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Request => "request",
            Self::Trusted => "trusted",
            Self::Named => "named",
            Self::Nowhere => "nowhere",
            Self::Untrusted => "untrusted",
        }
    }

    /// The provenance of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provenance| provenance.as_str() == word)
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What stands behind one value of a call.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ValueOrigin {
    /// Where it stands in the arguments: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What it does.
    pub role: ArgumentRole,
    /// What stands behind it.
    pub provenance: Provenance,
    /// The tool whose result it was first seen in, where it comes from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl ValueOrigin {
    /// The argument that it is in, or is.
    pub fn argument(&self) -> &str {
        self.pointer.get(1..).unwrap_or_default().split('/').next().unwrap_or_default()
    }
}

/// How the user's request stands that came with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestStanding {
    /// It is the client's word, which is good here.
    Unsigned,
    /// It is signed for this call's agent, space and session.
    Signed,
    /// It isn't signed, and must be.
    NotSigned,
    /// Its signature isn't right, or says less than it must.
    Broken,
    /// Its signature has expired.
    Expired,
    /// Its signature was shown in another session, or may have been.
    Replayed,
    /// It was signed for another agent.
    OtherAgent,
    /// It was signed for another space.
    OtherSpace,
    /// It was signed for another session.
    OtherSession,
    /// Another text was signed.
    OtherText,
    /// It was signed with a key that isn't registered for the agent.
    UnknownKey,
    /// More signatures are alive than can be told apart.
    TooMany,
}

impl RequestStanding {
    /// Why nobody vouches for it, in words; `None` where somebody does.
    pub fn doubt(self) -> Option<&'static str> {
        Some(match self {
            Self::Unsigned | Self::Signed => return None,
            Self::NotSigned => "the request, which is not signed",
            Self::Broken => "the request, whose signature is broken",
            Self::Expired => "the request, whose signature has expired",
            Self::Replayed => "the request, whose signature was used before",
            Self::OtherAgent => "the request, which was signed for another agent",
            Self::OtherSpace => "the request, which was signed for another space",
            Self::OtherSession => "the request, which was signed for another session",
            Self::OtherText => "the request, whose text was not signed",
            Self::UnknownKey => "the request, signed with a key that is not registered",
            Self::TooMany => "the request, one of more signed ones than can be told apart",
        })
    }
}

/// What a session has touched before a call, and what stands behind the call's values.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct CallOrigin {
    /// What the session has touched.
    pub labels: Labels,
    /// The values, as far as they could carry something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ValueOrigin>,
    /// Whether the user's request names anything that the call does: whom it reaches, what it acts on, what it lets in, when, or the whole of
    /// a content. Amounts and parameters tell nothing: what is short stands in many texts by chance.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requested: bool,
    /// How the user's request stands, if one came with the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestStanding>,
}

impl CallOrigin {
    /// The worst that stands behind an argument; `None` where it isn't there.
    pub fn of(&self, argument: &str) -> Option<Provenance> {
        let escaped = argument.replace('~', "~0").replace('/', "~1");
        self.values.iter().filter(|value| value.argument() == escaped).map(|value| value.provenance).max()
    }
}

/// What must stand behind the values of a call, for rules: roles, and what counts as bad of each.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct OriginMeant {
    /// The session has read what is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<Integrity>,
    /// The session has read what is at least this secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidentiality_min: Option<Confidentiality>,
    /// A value of one of these roles has one of these origins. Empty: whatever stands behind them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub provenance: BTreeMap<ArgumentRole, BTreeSet<Provenance>>,
    /// Whether the user's request names anything that the call does ([`CallOrigin::requested`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<bool>,
}

impl OriginMeant {
    /// Whether it says anything.
    pub fn is_empty(&self) -> bool {
        self.integrity.is_none() && self.confidentiality_min.is_none() && self.provenance.is_empty() && self.requested.is_none()
    }

    /// Whether a call is one that is meant.
    pub fn means(&self, origin: &CallOrigin) -> bool {
        let bad = |value: &ValueOrigin| {
            self.provenance.get(&value.role).is_some_and(|provenances| provenances.contains(&value.provenance))
        };
        self.integrity.is_none_or(|integrity| origin.labels.integrity >= integrity)
            && self.confidentiality_min.is_none_or(|min| origin.labels.confidentiality >= min)
            && (self.provenance.is_empty() || origin.values.iter().any(bad))
            && self.requested.is_none_or(|requested| origin.requested == requested)
    }
}

/// A JSON pointer (RFC 6901) as records may hold it: names that are more than names, such as addresses that an object is keyed by, are
/// data, and stand there as `*`.
pub fn plain_pointer(pointer: &str) -> String {
    const STEP_BYTES_MAX: usize = 64;
    let plain = |step: &str| {
        step.len() <= STEP_BYTES_MAX
            && step.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'#'))
    };
    let steps = pointer.split('/').map(|step| if plain(step) { step } else { "*" });
    steps.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_data_is_no_name() {
        assert_eq!(plain_pointer("/to/0/user_email"), "/to/0/user_email");
        assert_eq!(plain_pointer("/shared/ann@example.com/role"), "/shared/*/role");
        assert_eq!(plain_pointer(&format!("/{}", "a".repeat(65))), "/*");
        assert_eq!(plain_pointer(""), "");
    }
}
