//! The tree above the accounts, and what in an account may be acted as: roles and users, in IAM's words.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use remit_iam::Policy;

use crate::{AccountId, OuId, PolicyName, RoleName, UserName};

/// The service principal that Remit is when a space acts in its role, as AWS DevOps Agent's guide writes it.
pub const SPACE_SERVICE: &str = "aidevops.amazonaws.com";

/// Tags by key, as IAM compares them: keys without regard to case, values with it. Keys are kept as they were written.
pub type Tags = BTreeMap<String, String>;

/// The control policies that are attached to one node of the tree.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Controls {
    /// Service control policies. `None`: only `FullAWSAccess`, as AWS Organizations attaches it to every node. An empty list
    /// lets nothing through.
    pub service_control: Option<Vec<Arc<Policy>>>,
    /// Resource control policies; as above with `RCPFullAWSAccess`.
    pub resource_control: Option<Vec<Arc<Policy>>>,
    /// With which findings of the scan of definitions a tool is admitted at first sight: nothing below this node may ask for less.
    pub findings_admitted: Option<FindingsAdmitted>,
}

/// How grave what the scan of definitions finds may be for a tool to be admitted at first sight, without a named person's acceptance. The
/// strictest first: what is grave is never admitted so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum FindingsAdmitted {
    /// Nothing may be found.
    None,
    /// What is worth knowing may be found, and no more.
    Low,
    /// What is worth a look may be found, too.
    #[default]
    Medium,
}

/// An organizational unit.
#[derive(Debug, Clone, PartialEq)]
pub struct OrganizationalUnit {
    /// Its id, such as `ou-prod`.
    pub id: OuId,
    /// Its name, for people.
    pub name: String,
    /// The unit above it; `None` hangs it below the root.
    pub parent: Option<OuId>,
    /// What is attached to it.
    pub controls: Controls,
}

/// A policy that is attached to a role or a user, managed or inline.
#[derive(Debug, Clone, PartialEq)]
pub struct Attached {
    /// Its name.
    pub name: PolicyName,
    /// The ARN of a managed policy; an inline one has none.
    pub arn: Option<String>,
    /// What it says.
    pub policy: Arc<Policy>,
    /// The document as JSON text, for `iam:GetRolePolicy` and `iam:GetPolicyVersion`.
    pub document: Arc<str>,
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident, $of:ident, $word:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            /// The account.
            pub account: AccountId,
            /// The name, unique there without regard to its path.
            pub name: $of,
        }

        impl $name {
            #[doc = concat!("The key that an ARN names: `arn:<partition>:iam::<account>:", $word, "/<path><name>`. The path is not part of it.")]
            pub fn of_arn(arn: &str) -> Option<Self> {
                let mut parts = arn.splitn(6, ':');
                let ("arn", Some(_), "iam", "") = (parts.next()?, parts.next(), parts.next()?, parts.next()?) else { return None };
                let account = AccountId::new(parts.next()?).ok()?;
                let path = parts.next()?.strip_prefix(concat!($word, "/"))?;
                let name = $of::new(path.rsplit('/').next()?).ok()?;
                Some(Self { account, name })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.account, self.name)
            }
        }
    };
}

key!(
    /// A role's place.
    RoleKey, RoleName, "role"
);
key!(
    /// A user's place.
    UserKey, UserName, "user"
);

/// A role: who may act in it, what it may do at most, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// Its place.
    pub key: RoleKey,
    /// Its path, `/` or `/…/`.
    pub path: String,
    /// What it is for.
    pub description: String,
    /// Who may assume it.
    pub trust: Arc<Policy>,
    /// The trust policy as JSON text.
    pub trust_document: Arc<str>,
    /// What it may do: managed and inline policies together.
    pub policies: Vec<Attached>,
    /// What it may do at most: its own boundary, else the account's.
    pub permissions_boundary: Option<Attached>,
    /// The longest session, in seconds: 3,600 to 43,200.
    pub session_max_secs: u64,
    /// Its tags.
    pub tags: Tags,
    /// The trust zone whose servers it calls.
    pub zone: Option<String>,
    /// Where it stands: file and line.
    pub origin: String,
}

impl Role {
    /// Its ARN.
    pub fn arn(&self, partition: &str) -> String {
        format!("arn:{partition}:iam::{}:role{}{}", self.key.account, self.path, self.key.name)
    }

    /// The ARN of one of its sessions: `arn:aws:sts::<account>:assumed-role/<role>/<session>`; the path is not part of it.
    pub fn session_arn(&self, partition: &str, session: &str) -> String {
        format!("arn:{partition}:sts::{}:assumed-role/{}/{session}", self.key.account, self.key.name)
    }

    /// Its unique id, in the form of IAM's (`AROA` and 17 characters), derived from its place.
    pub fn unique_id(&self) -> String {
        unique_id("AROA", &self.key.account, self.key.name.as_str())
    }
}

/// A user: a person or an automation outside Remit that signs its requests.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// Its place.
    pub key: UserKey,
    /// Its path, `/` or `/…/`.
    pub path: String,
    /// What it may do.
    pub policies: Vec<Attached>,
    /// What it may do at most.
    pub permissions_boundary: Option<Attached>,
    /// Its tags.
    pub tags: Tags,
    /// Where it stands: file and line.
    pub origin: String,
}

impl User {
    /// Its ARN.
    pub fn arn(&self, partition: &str) -> String {
        format!("arn:{partition}:iam::{}:user{}{}", self.key.account, self.path, self.key.name)
    }

    /// Its unique id, in the form of IAM's (`AIDA` and 17 characters), derived from its place.
    pub fn unique_id(&self) -> String {
        unique_id("AIDA", &self.key.account, self.key.name.as_str())
    }
}

/// Two FNV-1a sums over the place: the same place always has the same id, and nobody takes it for a secret.
fn unique_id(prefix: &str, account: &AccountId, name: &str) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let sum = |seed: u64| {
        let bytes = prefix.bytes().chain(account.as_str().bytes()).chain([b'/']).chain(name.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325 ^ seed, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    let (mut bits, mut id) = ((u128::from(sum(0)) << 64) | u128::from(sum(0x5bd1_e995)), prefix.to_owned());
    for _ in 0..17 {
        let place = usize::try_from(bits & 31).unwrap_or_default();
        id.push(char::from(ALPHABET.get(place).copied().unwrap_or(b'A')));
        bits >>= 5;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_arns() {
        let key = RoleKey::of_arn("arn:aws:iam::444455556666:role/service-role/DevOpsAgentSpaceRole");
        assert_eq!(key.map(|key| key.to_string()).as_deref(), Some("444455556666/DevOpsAgentSpaceRole"));
        assert_eq!(RoleKey::of_arn("arn:aws:iam::444455556666:user/alice"), None);
        assert_eq!(RoleKey::of_arn("arn:aws:iam:us-east-1:444455556666:role/R"), None);
        assert!(UserKey::of_arn("arn:aws:iam::444455556666:user/alice").is_some());
    }

    #[test]
    fn unique_ids_have_the_form_of_iams() {
        let account = AccountId::new("444455556666").unwrap();
        let (one, other) = (unique_id("AROA", &account, "A"), unique_id("AROA", &account, "B"));
        assert!(one.len() == 21 && one != other && one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
