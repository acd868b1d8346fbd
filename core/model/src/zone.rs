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
