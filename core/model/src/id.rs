//! Identifiers. Each is checked once, where it enters, and is a plain string after that.

use std::fmt;
use std::sync::Arc;

/// What separates a server's name from a tool's in an exposed name, as AgentCore Gateway writes it.
pub const TOOL_SEPARATOR: &str = "___";

/// The longest tool name that no client rejects, in bytes.
pub const TOOL_NAME_LEN_MAX: usize = 64;

/// Why a text is not an identifier of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {kind}: {rule}")]
pub struct IdError {
    /// The kind of identifier, with its article.
    pub kind: &'static str,
    /// The rule in words, so that the reader can mend it.
    pub rule: &'static str,
    /// The text as it was given, cut to 80 characters.
    pub text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Checks that the text is ", $kind, ": ", $rule, ".")]
            pub fn new(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(IdError { kind: $kind, rule: $rule, text: text.chars().take(80).collect() })
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, shared.
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

fn of_bytes(text: &str, len_max: usize, allowed: impl Fn(u8) -> bool) -> bool {
    (1..=len_max).contains(&text.len()) && text.bytes().all(allowed)
}

fn slug(text: &str, len_max: usize) -> bool {
    of_bytes(text, len_max, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

id!(
    /// An AWS account: twelve digits.
    AccountId,
    "an account id",
    "exactly twelve digits",
    |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
);
id!(
    /// A region, such as `us-east-1`.
    Region,
    "a region",
    "lower-case letters, digits and single hyphens inside, at most 32",
    |text| slug(text, 32)
);
id!(
    /// An agent space: the last part of its ARN and of its endpoint's path.
    SpaceId,
    "a space id",
    "1 to 63 lower-case letters, digits and inner hyphens",
    |text| slug(text, 63)
);
id!(
    /// An agent: a workload identity as AgentCore Identity names it.
    AgentId,
    "an agent id",
    "3 to 255 of letters, digits, `_`, `.` and `-`",
    |text| text.len() >= 3 && of_bytes(text, 255, |b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
);
id!(
    /// An MCP server's name in its account; the first part of an exposed tool name, so it can't hold `___`.
    ServerName,
    "a server name",
    "1 to 40 of letters, digits, `-` and single `_`, and no `___`",
    |text| of_bytes(text, 40, |b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        && !text.contains(TOOL_SEPARATOR)
        && !text.ends_with('_')
);
id!(
    /// A name under which a tool is exposed to clients.
    ToolName,
    "a tool name",
    "1 to 64 of letters, digits, `_` and `-`",
    |text| of_bytes(text, TOOL_NAME_LEN_MAX, |b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
);

/// IAM's alphabet of names: `[\w+=,.@-]`.
fn iam_name(text: &str, len_max: usize) -> bool {
    of_bytes(text, len_max, |b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b))
}

id!(
    /// An organizational unit.
    OuId,
    "an organizational unit's id",
    "`ou-` and 1 to 65 lower-case letters, digits and inner hyphens",
    |text| text.strip_prefix("ou-").is_some_and(|rest| slug(rest, 65))
);
id!(
    /// A policy's name (IAM: at most 128 of `[\w+=,.@-]`).
    PolicyName,
    "a policy name",
    "1 to 128 of letters, digits and `_+=,.@-`",
    |text| iam_name(text, 128)
);
id!(
    /// A role's name (IAM: at most 64 of `[\w+=,.@-]`).
    RoleName,
    "a role name",
    "1 to 64 of letters, digits and `_+=,.@-`",
    |text| iam_name(text, 64)
);
id!(
    /// A user's name (IAM: at most 64 of `[\w+=,.@-]`).
    UserName,
    "a user name",
    "1 to 64 of letters, digits and `_+=,.@-`",
    |text| iam_name(text, 64)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_hold_their_rules() {
        assert!(AccountId::new("111122223333").is_ok());
        assert!(AccountId::new("11112222333").is_err());
        assert!(SpaceId::new("prod-sre").is_ok());
        assert!(SpaceId::new("-sre").is_err());
        assert!(SpaceId::new("a/../b").is_err());
        assert!(AgentId::new("agent-ops-1").is_ok());
        assert!(AgentId::new("ab").is_err());
        assert!(ServerName::new("help_desk").is_ok());
        assert!(ServerName::new("help___desk").is_err());
        assert!(ServerName::new("help_").is_err());
        assert!(ToolName::new(&"x".repeat(64)).is_ok());
        assert!(ToolName::new(&"x".repeat(65)).is_err());
        let said = ToolName::new("a b").map_err(|e| e.to_string());
        assert_eq!(said, Err("`a b` is not a tool name: 1 to 64 of letters, digits, `_` and `-`".into()));
    }
}
