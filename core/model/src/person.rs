//! People who operate Remit: whom a record names, and how far it was proved who it was.

/// A person who operates Remit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Person {
    /// The name in records, such as an address. Two people never have the same.
    pub id: String,
    /// How it was proved.
    pub proof: Proof,
}

/// How it was proved who a person is, the weakest first.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", tag = "kind")]
pub enum Proof {
    /// Whoever holds the operator's token said so: it is the machine's administrator, under a name that nothing proves.
    Token,
    /// A signature by the key that the configuration names for the person.
    Key,
    /// A channel that the configuration names, over an authenticated connection, such as a state machine's result.
    Channel,
    /// An identity provider vouched for it (OpenID Connect Core 1.0).
    SignIn {
        /// The provider.
        issuer: String,
        /// Its name for the person: `sub`.
        subject: String,
        /// How strongly the person authenticated: `acr`, where the provider says so.
        acr: Option<String>,
        /// When the person last authenticated, in seconds since the epoch: `auth_time`, where the provider says so.
        auth_time_secs: Option<u64>,
    },
}

impl Proof {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Token => "TOKEN",
            Self::Key => "KEY",
            Self::Channel => "CHANNEL",
            Self::SignIn { .. } => "SIGN_IN",
        }
    }
}
