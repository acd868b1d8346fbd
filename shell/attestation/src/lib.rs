//! What a package's attestations prove, held against a trust root without a network.
//!
//! An attestation is a signed statement (in-toto) about a file: who built it, from what. Its signature is of a key that lived for minutes, its
//! certificate says whose, and a transparency log says when. That mathematics is `sigstore-verify`'s, of the Sigstore project itself; here is
//! what is asked of it and what of its answers counts: the forms in which registries publish attestations, whose signature it must be, and
//! what is told of each check. Nothing is fetched. The clock is read for one thing alone: what was signed in the future isn't believed.
//!
//! | file | what | rules |
//! |---|---|---|
//! | `document.rs` | the forms: Sigstore's bundle, npm's list, PyPI's attestation and provenance | Sigstore bundle format, PEP 740 |
//! | `statement.rs` | what a statement says: about which file, and what of itself | in-toto attestation framework v1, SLSA provenance v0.2 and v1 |
//! | `trust.rs` | whom to trust, and for when | Sigstore `trusted_root.json` |
//! | `expected.rs` | whose signature it must be | Fulcio OID information |
//! | `verify.rs` | each check of one attestation, and what comes of all | Sigstore client specification |

mod document;
mod expected;
mod statement;
mod trust;
mod verify;

use sigstore_verify::crypto::CertificateInfo;

pub use document::Unreadable;
pub use expected::{Expected, ExpectedError};
pub use trust::{BUILT_IN_DATE, TrustRoot, TrustRootError};
pub use verify::{Attestation, Check, Outcome, Report, verify};

/// The longest text of somebody else's that is told, in characters.
const TOLD_CHARS_MAX: usize = 400;

/// The digests of a file, hexadecimal in lower case.
#[derive(Debug, Clone, Copy)]
pub struct Digests<'a> {
    /// Its SHA-256.
    pub sha256: &'a str,
    /// Its SHA-512.
    pub sha512: &'a str,
}

/// Who signed, as the certificate says. Texts are made [`plain`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Its subject: the URI of a workflow, or an address.
    pub identity: Option<String>,
    /// Who vouched for that: the issuer of the token that the certificate was given for (1.3.6.1.4.1.57264.1.8).
    pub issuer: Option<String>,
    /// The repository that was built from (1.3.6.1.4.1.57264.1.12).
    pub source: Option<String>,
    /// The branch or tag of it (1.3.6.1.4.1.57264.1.14).
    pub reference: Option<String>,
    /// The commit of it (1.3.6.1.4.1.57264.1.13).
    pub commit: Option<String>,
    /// The run that it was built in (1.3.6.1.4.1.57264.1.21).
    pub run: Option<String>,
}

impl Signer {
    fn of(certificate: &CertificateInfo) -> Self {
        let told = |text: &Option<String>| text.as_deref().map(plain);
        let claims = &certificate.ci_claims;
        Self {
            identity: certificate.identity.as_ref().map(|identity| plain(identity.as_str())),
            issuer: told(&certificate.issuer),
            source: told(&claims.source_repository_uri),
            reference: told(&claims.source_repository_ref),
            commit: told(&claims.source_repository_digest),
            run: told(&claims.run_invocation_uri),
        }
    }
}

/// Somebody else's text in a line of one's own: nothing in it moves a terminal's cursor or ends the line, and it has a bound.
fn plain(text: &str) -> String {
    let mut told = String::new();
    for (place, c) in text.chars().enumerate() {
        if place == TOLD_CHARS_MAX {
            told.push('…');
            break;
        }
        if c.is_ascii_graphic() || c == ' ' { told.push(c) } else { told.extend(c.escape_unicode()) }
    }
    told
}
