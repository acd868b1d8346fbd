//! Trust zones: servers that are trusted alike, and kept from all others.

use crate::Sandbox;

/// A trust zone. Its servers are called in its roles, and its roles call its servers, and no others; no secret is of two zones.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustZone {
    /// Its name.
    pub name: String,
    /// What its servers run in, where Remit starts them; `None`: what each of them says.
    pub sandbox: Option<Sandbox>,
    /// Where it stands: file and line.
    pub origin: String,
}

impl TrustZone {
    /// Of which zone something is, in words.
    pub fn told(zone: Option<&String>) -> String {
        zone.map_or("of no trust zone".to_owned(), |zone| format!("of trust zone `{zone}`"))
    }
}
