//! Each check of one attestation, and what comes of all. The order is Sigstore's ("Sigstore client specification", verification).
//!
//! The library verifies all of it or says the first thing that is wrong. So where it is content, every check of its has held; where it isn't,
//! the one that failed is told, and of the others is said that nobody looked.

use serde_json::Value;
use sigstore_verify::error::{CertificateError, Error, TransparencyLogError};
use sigstore_verify::types::bundle::VerificationMaterialContent;
use sigstore_verify::types::{Artifact, ArtifactDigest, Bundle, HashAlgorithm, Sha256Hash, Sha512Hash, SignatureContent};
use sigstore_verify::{VerificationPolicy, VerificationResult};

use crate::document::{self, STATEMENT_TYPE};
use crate::statement::{By, Statement};
use crate::{Digests, Expected, Signer, TrustRoot, Unreadable, plain};

/// The media types of bundles (Sigstore bundle format, v0.1 to v0.3, the last in both spellings).
const MEDIA_TYPES: [&str; 4] = [
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
];
/// The most of each list in a bundle.
const LISTS_MAX: [(&str, usize); 4] = [
    ("/verificationMaterial/tlogEntries", 16),
    ("/verificationMaterial/x509CertificateChain/certificates", 16),
    ("/verificationMaterial/timestampVerificationData/rfc3161Timestamps", 16),
    ("/dsseEnvelope/signatures", 16),
];
/// The most hashes of an inclusion proof: more than any tree of 64-bit size needs.
const HASHES_MAX: usize = 64;

/// What can be done where the trust root lacks something.
const OLDER: &str = "if it was signed after this trust root was published, give a newer one: --trust-root FILE";
/// What becomes of a signature beside a check that didn't hold.
const COUNTS_NOT: &str = "it counts for nothing while something of it is wrong";

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It held.
    Ok,
    /// It was looked at, and doesn't hold.
    Failed,
    /// It couldn't be looked at, so it proves nothing.
    NotVerified,
}

/// What was checked, how it came out, and why; where it didn't hold, what can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub what: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// Why.
    pub why: String,
}

/// What an attestation proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// What kind of statement it says to be (the type of its predicate).
    pub kind: Option<String>,
    /// Every check, in order.
    pub checks: Vec<Check>,
    /// Who signed it; nobody unless the signature holds.
    pub signer: Option<Signer>,
    /// What the statement says of itself; nothing unless the signature holds and nothing failed.
    pub claims: Vec<(&'static str, String)>,
}

/// What the attestations of a document prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Each, in the document's order.
    pub attestations: Vec<Attestation>,
}

impl Attestation {
    /// Failed if any check failed, not verified if any couldn't be looked at, else ok.
    pub fn outcome(&self) -> Outcome {
        let any = |outcome| self.checks.iter().any(|check| check.outcome == outcome);
        match () {
            () if any(Outcome::Failed) => Outcome::Failed,
            () if any(Outcome::NotVerified) || self.checks.is_empty() => Outcome::NotVerified,
            () => Outcome::Ok,
        }
    }
}

impl Report {
    /// Ok if one attestation is and none failed: what isn't verified beside it proves nothing and spoils nothing.
    pub fn outcome(&self) -> Outcome {
        let any = |outcome| self.attestations.iter().any(|attestation| attestation.outcome() == outcome);
        match () {
            () if any(Outcome::Failed) => Outcome::Failed,
            () if any(Outcome::Ok) => Outcome::Ok,
            () => Outcome::NotVerified,
        }
    }
}

/// Verifies every attestation of a document against a file's digests.
pub fn verify(document: &str, file: &Digests<'_>, expected: &Expected, trust: &TrustRoot) -> Result<Report, Unreadable> {
    let bundles = document::bundles(document)?;
    Ok(Report { attestations: bundles.iter().map(|bundle| attestation(bundle, file, expected, trust)).collect() })
}

fn attestation(bundle: &Value, file: &Digests<'_>, expected: &Expected, trust: &TrustRoot) -> Attestation {
    let mut attestation = Attestation { kind: None, checks: Vec::new(), signer: None, claims: Vec::new() };
    let (bundle, statement) = match opened(bundle) {
        Ok(opened) => opened,
        Err(check) => {
            attestation.checks.push(check);
            return attestation;
        }
    };
    attestation.kind = Some(plain(statement.kind()));
    let named = statement.names(file);
    attestation.checks.push(match named {
        Some(_) => ok("subject", "the statement names this very file"),
        None => failed("subject", "the statement is about another file: this one isn't what was built, don't install it"),
    });
    if let VerificationMaterialContent::PublicKey(key) = &bundle.verification_material.content {
        let hint = plain(&key.hint);
        let why = format!(
            "it is signed with a key of somebody's own ({hint}), as npm signs that it published: such keys aren't held here"
        );
        attestation.checks.push(unverified("signature", &why));
        return attestation;
    }
    let entries = &bundle.verification_material.tlog_entries;
    if let Some(entry) = entries.iter().find(|entry| !trust.knows_log(entry.log_id.key_id.as_bytes())) {
        let why = format!("the trust root doesn't know the log {}; {OLDER}", plain(&entry.log_id.key_id.to_string()));
        attestation.checks.extend([unverified("transparency log", &why), unverified("signature", COUNTS_NOT)]);
        return attestation;
    }
    // Which digest is given matters only where one of them fits; the subject has failed already otherwise.
    let digest = match named.unwrap_or(By::Sha256) {
        By::Sha256 => Sha256Hash::from_hex(file.sha256).map(ArtifactDigest::sha256),
        By::Sha512 => Sha512Hash::from_hex(file.sha512)
            .and_then(|digest| ArtifactDigest::new(HashAlgorithm::Sha2512, digest.as_bytes().to_vec())),
    };
    let Ok(digest) = digest else {
        attestation.checks.push(failed("subject", "the file's digest can't be read"));
        return attestation;
    };
    match trust.verifier.verify(Artifact::from_digest(digest), &bundle, &VerificationPolicy::any_identity()) {
        Ok(result) => signed(&mut attestation, &bundle, &statement, &result, expected),
        Err(error) => unsigned(&mut attestation, &error),
    }
    attestation
}

/// A bundle of a known form, and its statement.
fn opened(bundle: &Value) -> Result<(Bundle, Statement), Check> {
    let media_type = bundle.get("mediaType").and_then(Value::as_str).unwrap_or_default();
    if !MEDIA_TYPES.contains(&media_type) {
        let why = format!("`{}` is no form of a bundle that this Remit knows: update Remit", plain(media_type));
        return Err(unverified("bundle", &why));
    }
    let count = |of: &Value, pointer: &str| of.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len);
    if let Some((list, _)) = LISTS_MAX.iter().find(|(list, max)| count(bundle, list) > *max) {
        return Err(failed("bundle", &format!("`{list}` is longer than any honest bundle's")));
    }
    let entries = bundle.pointer("/verificationMaterial/tlogEntries").and_then(Value::as_array);
    if entries.into_iter().flatten().any(|entry| count(entry, "/inclusionProof/hashes") > HASHES_MAX) {
        return Err(failed("bundle", "an inclusion proof is longer than any tree needs"));
    }
    if bundle.get("messageSignature").is_some() {
        return Err(unverified(
            "bundle",
            "it is a signature of a file, and states nothing of where that is from: give the attestation",
        ));
    }
    let bundle = Bundle::from_json(&bundle.to_string())
        .map_err(|error| failed("bundle", &format!("it can't be read: {}; fetch it again", plain(&error.to_string()))))?;
    let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
        return Err(unverified("bundle", "it has no envelope with a statement"));
    };
    if envelope.payload_type != STATEMENT_TYPE {
        return Err(unverified("bundle", &format!("its envelope holds `{}`, and no statement", plain(&envelope.payload_type))));
    }
    let statement = Statement::read(envelope.payload.as_bytes()).map_err(|why| unverified("bundle", &why))?;
    Ok((bundle, statement))
}

/// What the library verified, check by check, and what is left to ask: whose signature it is, and what kind of statement.
fn signed(
    attestation: &mut Attestation,
    bundle: &Bundle,
    statement: &Statement,
    result: &VerificationResult,
    expected: &Expected,
) {
    let (Some(certificate), Some(first)) = (result.certificate(), result.verified_timestamps().iter().min()) else {
        attestation.checks.push(failed("signature", "it has no certificate, or no time"));
        return;
    };
    let held = |what, held: bool, why: String| if held { ok(what, &why) } else { failed(what, "it wasn't looked at") };
    let signer = Signer::of(certificate);
    attestation.checks.extend([
        ok("signature", "the statement is as the certificate's key signed it"),
        ok("signing time", &format!("{first}, by a timestamp that the trust root vouches for")),
        held(
            "certificate",
            result.certificate_verified(),
            format!(
                "it is for signing code, of an authority of the trust root's, and was valid then (until {})",
                certificate.not_after
            ),
        ),
        held("certificate's log", result.sct_verified(), "a log of certificates has it (its SCT is the log's)".to_owned()),
        logged(bundle, result.tlog_verified()),
        identity(&signer, expected.differs(certificate), expected.is_anybody()),
        if statement.is_known() {
            ok("statement", &format!("it is of a kind that says where a file is from: {}", plain(statement.kind())))
        } else {
            unverified("statement", &format!("`{}` is no kind that says where a file is from", plain(statement.kind())))
        },
    ]);
    let failed = |check: &&Check| check.outcome == Outcome::Failed;
    let wrong: Vec<&str> = attestation.checks.iter().filter(failed).map(|check| check.what).collect();
    // Nothing of what it says is repeated while anything is wrong; whose it is, if it isn't whose it must be, is.
    if wrong.iter().all(|what| *what == "identity") {
        let claims = if wrong.is_empty() { statement.claims() } else { Vec::new() };
        (attestation.signer, attestation.claims) = (Some(signer), claims);
    }
}

/// Where the log has it, and how that is known. Of several entries each has to be known so: one that nothing proves is no one's word.
fn logged(bundle: &Bundle, verified: bool) -> Check {
    let entries = &bundle.verification_material.tlog_entries;
    let told = entries.iter().map(|entry| {
        let how = match (&entry.inclusion_proof, &entry.inclusion_promise) {
            (Some(_), Some(_)) => "by its inclusion proof in a signed tree head and by the log's signed promise",
            (Some(_), None) => "by its inclusion proof in a signed tree head",
            (None, Some(_)) => "by the log's signed promise alone",
            (None, None) => return None,
        };
        Some(format!("entry {} ({}) is of this very envelope, {how}", entry.log_index.get(), entry.kind_version.kind()))
    });
    match told.collect::<Option<Vec<_>>>().filter(|told| verified && !told.is_empty()) {
        Some(told) => ok("transparency log", &told.join("; ")),
        None => failed("transparency log", "no entry, or one of several, has a proof or a promise of the log's"),
    }
}

/// Whether it is whose it must be.
fn identity(signer: &Signer, differs: Option<String>, is_anybody: bool) -> Check {
    let told = |text: &Option<String>| text.clone().unwrap_or_else(|| "nobody".to_owned());
    let parts = [("built from", &signer.source), ("at", &signer.reference), ("commit", &signer.commit)];
    let from: String = parts.iter().filter_map(|(what, is)| Some(format!(", {what} {}", is.as_ref()?))).collect();
    let by = format!("signed by {}, vouched for by {}{from}", told(&signer.identity), told(&signer.issuer));
    if is_anybody {
        let mend = "give --source https://github.com/OWNER/REPOSITORY, --server-json FILE, or --identity and --issuer";
        return unverified("identity", &format!("{by}: YOU SAID NOT WHOSE IT MUST BE, and anybody can sign; {mend}"));
    }
    match differs {
        None => ok("identity", &by),
        Some(how) => failed("identity", &format!("{by}: {how}; it is somebody else's, don't install the file")),
    }
}

/// The one check that failed. Nobody looked at those after it, and what those before it said counts for nothing.
fn unsigned(attestation: &mut Attestation, error: &Error) {
    let (what, outcome, mend) = verdict(error);
    // The library's own word for it: the subject was told of before.
    if matches!(error, Error::ArtifactMismatch(_)) && attestation.checks.iter().any(|check| check.outcome == Outcome::Failed) {
        attestation.checks.push(unverified("signature", "whose statement about another file this is doesn't matter"));
        return;
    }
    attestation.checks.push(Check { what, outcome, why: format!("{}; {mend}", plain(&error.to_string())) });
    if what != "signature" {
        attestation.checks.push(unverified("signature", COUNTS_NOT));
    }
}

/// Which check it is that failed, whether it failed or couldn't be made, and what can be done.
fn verdict(error: &Error) -> (&'static str, Outcome, &'static str) {
    const OTHER: &str = "the bundle was changed, or is another one's: fetch it again, and don't install the file meanwhile";
    match error {
        Error::SignatureInvalid(_) => (
            "signature",
            Outcome::Failed,
            "the statement was changed after it was signed, or by another key: don't install the file",
        ),
        Error::ArtifactMismatch(_) | Error::UnsupportedArtifact(_) => {
            ("subject", Outcome::Failed, "the statement is about another file: don't install this one")
        }
        Error::Certificate(CertificateError::NoValidAuthority { .. }) => ("certificate", Outcome::NotVerified, OLDER),
        Error::Certificate(CertificateError::Sct(_)) => ("certificate's log", Outcome::Failed, OLDER),
        Error::Certificate(_) => ("certificate", Outcome::Failed, OLDER),
        Error::TransparencyLog(TransparencyLogError::UnknownLog { .. }) => ("transparency log", Outcome::NotVerified, OLDER),
        Error::TransparencyLog(_) => ("transparency log", Outcome::Failed, OTHER),
        Error::Timestamp(_) => ("signing time", Outcome::Failed, OLDER),
        Error::TrustRoot(_) | Error::InvalidTrustRoot(_) | Error::TrustedCertificate(_) => {
            ("trust root", Outcome::NotVerified, OLDER)
        }
        Error::UnsupportedBundle(_) => ("bundle", Outcome::NotVerified, "update Remit, if this form is a newer one"),
        _ => ("bundle", Outcome::Failed, OTHER),
    }
}

fn ok(what: &'static str, why: &str) -> Check {
    Check { what, outcome: Outcome::Ok, why: why.to_owned() }
}

fn failed(what: &'static str, why: &str) -> Check {
    Check { what, outcome: Outcome::Failed, why: why.to_owned() }
}

fn unverified(what: &'static str, why: &str) -> Check {
    Check { what, outcome: Outcome::NotVerified, why: why.to_owned() }
}
