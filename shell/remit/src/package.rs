//! `remit servers import` and `remit servers verify`: what the official MCP registry publishes as a draft, and what a package's file is, by what
//! was declared and by whose signature. Nothing is fetched.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256, SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_attestation::{Attestation, Digests as Named, Expected, Outcome, Report, Signer, TrustRoot};
use remit_trial::server_json::{self, Wanted};
use serde_json::{Value, json};

use crate::cli::{ImportServer, VerifyPackage};
use crate::files;
use crate::offline::Refused;
use crate::output::{Failure, Printer, warn};

/// The largest `server.json`, in bytes.
const SERVER_JSON_BYTES_MAX: usize = 1024 * 1024;
/// The largest document of attestations, in bytes.
const ATTESTATIONS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The largest trust root, in bytes.
const TRUST_ROOT_BYTES_MAX: usize = 1024 * 1024;
/// The largest file of a package, in bytes.
const PACKAGE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// The most packages of a `server.json`.
const PACKAGES_MAX: usize = 100;

/// What was checked of a file: what, and how it came out.
struct Checked {
    what: &'static str,
    outcome: Outcome,
    why: String,
    /// Which attestation it is a check of.
    attestation: Option<usize>,
}

/// What a `server.json` declares of its packages.
struct Declared {
    repository: Option<String>,
    sha256: Vec<String>,
}

/// The digests of a file, hexadecimal.
struct Digests {
    sha256: String,
    sha512: String,
    sha512_raw: Vec<u8>,
}

/// `remit servers import`.
pub(crate) fn import(options: &ImportServer) -> Result<(), Failure> {
    let printer = Printer::new(options.json);
    let name = options.file.display().to_string();
    let text = files::read_or_stdin(&options.file, SERVER_JSON_BYTES_MAX)?;
    let mut set = BTreeMap::new();
    for pair in &options.set {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| Failure::invalid(format!("`{pair}` sets nothing: write NAME=VALUE")))?;
        set.insert(key.to_owned(), value.to_owned());
    }
    let wanted = Wanted { name: options.name.as_deref(), remote: options.remote, package: options.package, set: Some(&set) };
    let imported = match server_json::import(&name, &text, &wanted) {
        Ok(imported) => imported,
        Err(faults) => return Err(Refused::Faults(faults).told(printer)?),
    };
    let declared = imported.package.as_ref().and_then(|package| package.file_sha256.as_deref());
    let checks = match (&options.package_file, declared) {
        (Some(file), Some(declared)) => vec![sha256(&digests(file)?, declared)],
        (Some(_), None) => {
            return Err(Failure::invalid(
                "it declares no `fileSha256` to hold the file against: `remit servers verify` knows other ways",
            ));
        }
        (None, Some(_)) => vec![unverified("fileSha256", "give the package's file: --package-file FILE")],
        (None, None) if imported.package.is_some() => vec![unverified(
            "fileSha256",
            "it declares none; npm's `dist.integrity` can be held against the file: `remit servers verify`",
        )],
        (None, None) => Vec::new(),
    };
    if printer.json {
        let told: Vec<Value> = checks.iter().map(Checked::json).collect();
        printer.line(&json!({"server": imported.name, "yaml": imported.yaml, "secrets": imported.secrets, "install": imported.install, "checks": told}).to_string())?;
    } else {
        printer.line(imported.yaml.trim_end())?;
        // What stands on standard output is a configuration: the rest is for a person.
        imported
            .install
            .iter()
            .for_each(|install| warn(&format!("install it first, and see that the program is called as above: {install}")));
        imported.secrets.iter().for_each(|secret| warn(&format!("set its secret: remit secret set {secret}")));
        checks.iter().for_each(|check| warn(&check.line()));
    }
    if checks.iter().any(|check| check.outcome == Outcome::Failed) { Err(Failure::said(crate::output::FAILURE)) } else { Ok(()) }
}

/// `remit servers verify`.
pub(crate) fn verify(options: &VerifyPackage) -> Result<(), Failure> {
    let printer = Printer::new(options.json);
    let declared = options.server_json.as_deref().map(declared).transpose()?;
    let own = digests(&options.file)?;
    let mut checks = Vec::new();
    checks.extend(options.sha256.as_deref().map(|declared| sha256(&own, declared)));
    checks.extend(options.integrity.as_deref().map(|declared| integrity(&own, declared)));
    checks.extend(declared.as_ref().and_then(|declared| one_of(&own, &declared.sha256)));
    let source = options.source.as_deref().or(declared.as_ref().and_then(|declared| declared.repository.as_deref()));
    let provenance = options.provenance.as_deref().map(|file| provenance(options, file, &own, source)).transpose()?;
    if checks.is_empty() && provenance.is_none() {
        return Err(Failure::invalid("there is nothing to hold it against: give --sha256, --integrity or --provenance"));
    }
    // What was asked for has to hold, all of it: what couldn't be verified isn't.
    let holds = checks.iter().all(|check| check.outcome == Outcome::Ok)
        && provenance.as_ref().is_none_or(|(_, report)| report.outcome() == Outcome::Ok);
    if let Some((_, report)) = &provenance {
        let all = report.attestations.iter().enumerate();
        checks.extend(all.flat_map(|(n, attestation)| attestation.checks.iter().map(move |check| Checked::of(n, check))));
    }
    let told = provenance.as_ref().map(|(trust, report)| (trust.as_str(), report));
    if printer.json {
        let checks: Vec<Value> = checks.iter().map(Checked::json).collect();
        let mut line =
            json!({"file": options.file, "sha256": own.sha256, "sha512": own.sha512, "verified": holds, "checks": checks});
        if let (Some((trust, report)), Some(line)) = (told, line.as_object_mut()) {
            line.insert("provenance".to_owned(), provenance_json(trust, report));
        }
        printer.line(&line.to_string())?;
    } else {
        tell(printer, &checks, told)?;
    }
    if holds { Ok(()) } else { Err(Failure::said(crate::output::FAILURE)) }
}

/// Verifies attestations: the trust root's name, and what they prove.
fn provenance(options: &VerifyPackage, file: &Path, own: &Digests, source: Option<&str>) -> Result<(String, Report), Failure> {
    let expected = Expected::new(source, options.identity.as_deref(), options.issuer.as_deref())
        .map_err(|error| Failure::invalid(error.to_string()))?;
    let trust = match &options.trust_root {
        Some(file) => TrustRoot::read(&file.display().to_string(), &files::read(file, TRUST_ROOT_BYTES_MAX)?),
        None => TrustRoot::built_in(),
    };
    let trust = trust.map_err(|error| Failure::invalid(format!("the trust root: {error}")))?;
    let document = files::read(file, ATTESTATIONS_BYTES_MAX)?;
    let report = remit_attestation::verify(&document, &Named { sha256: &own.sha256, sha512: &own.sha512 }, &expected, &trust)
        .map_err(|error| Failure::invalid(format!("`{}`: {error}", file.display())))?;
    Ok((trust.name().to_owned(), report))
}

/// Tells a person, with what the attestations come to in the last line.
fn tell(printer: Printer, checks: &[Checked], provenance: Option<(&str, &Report)>) -> Result<(), Failure> {
    let of = |n: Option<usize>| checks.iter().filter(move |check| check.attestation == n);
    of(None).try_for_each(|check| printer.line(&check.line()))?;
    let Some((trust, report)) = provenance else { return Ok(()) };
    printer.line(&format!("trust root: {trust}"))?;
    for (n, attestation) in report.attestations.iter().enumerate() {
        let kind = attestation.kind.as_deref().unwrap_or("of no known form");
        printer.line(&format!("attestation {} of {} ({kind}):", n + 1, report.attestations.len()))?;
        of(Some(n)).try_for_each(|check| printer.line(&format!("  {}", check.line())))?;
        let said: Vec<String> = attestation.claims.iter().map(|(what, said)| format!("{what} {said}")).collect();
        if !said.is_empty() {
            printer.line(&format!("  it says of itself: {}", said.join(", ")))?;
        }
    }
    let told = match report.outcome() {
        Outcome::Ok => "the file is what was signed, by whom it must be",
        Outcome::Failed => "something of it is wrong: don't install the file",
        Outcome::NotVerified => "not all of it could be verified: what is missing stands above",
    };
    printer.line(&format!("provenance: {}: {told}", word(report.outcome())))
}

fn provenance_json(trust: &str, report: &Report) -> Value {
    let signer = |signer: &Signer| {
        json!({
            "identity": signer.identity, "issuer": signer.issuer, "source": signer.source, "ref": signer.reference,
            "commit": signer.commit, "run": signer.run,
        })
    };
    let one = |attestation: &Attestation| {
        let claims: BTreeMap<_, _> = attestation.claims.iter().map(|(what, said)| (*what, said)).collect();
        json!({
            "predicateType": attestation.kind, "outcome": word(attestation.outcome()),
            "signer": attestation.signer.as_ref().map(signer), "claims": claims,
        })
    };
    let all: Vec<Value> = report.attestations.iter().map(one).collect();
    json!({"outcome": word(report.outcome()), "trustRoot": trust, "attestations": all})
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Failed => "failed",
        Outcome::NotVerified => "not verified",
    }
}

impl Checked {
    fn of(attestation: usize, check: &remit_attestation::Check) -> Self {
        Self { what: check.what, outcome: check.outcome, why: check.why.clone(), attestation: Some(attestation) }
    }

    fn line(&self) -> String {
        format!("{}: {}: {}", self.what, word(self.outcome), self.why)
    }

    fn json(&self) -> Value {
        let verified = match self.outcome {
            Outcome::Ok => Some(true),
            Outcome::Failed => Some(false),
            Outcome::NotVerified => None,
        };
        let mut told = json!({"check": self.what, "verified": verified, "why": self.why});
        if let (Some(n), Some(told)) = (self.attestation, told.as_object_mut()) {
            told.insert("attestation".to_owned(), json!(n));
        }
        told
    }
}

fn unverified(what: &'static str, why: &str) -> Checked {
    Checked { what, outcome: Outcome::NotVerified, why: why.to_owned(), attestation: None }
}

/// What a `server.json` says of the repository and of the packages' digests, as it is published or as the registry's interface wraps it.
fn declared(file: &Path) -> Result<Declared, Failure> {
    let text = files::read(file, SERVER_JSON_BYTES_MAX)?;
    let whole: Value =
        serde_json::from_str(&text).map_err(|error| Failure::invalid(format!("`{}` isn't JSON: {error}", file.display())))?;
    let server = whole.get("server").filter(|_| whole.get("name").is_none()).unwrap_or(&whole);
    let repository = server.pointer("/repository/url").and_then(Value::as_str).filter(|url| !url.is_empty()).map(str::to_owned);
    let packages = server.get("packages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if packages.len() > PACKAGES_MAX {
        return Err(Failure::invalid(format!("`{}` has more than {PACKAGES_MAX} packages", file.display())));
    }
    let digest = |package: &Value| package.get("fileSha256").or_else(|| package.get("file_sha256"))?.as_str().map(str::to_owned);
    let sha256: Vec<String> = packages.iter().filter_map(digest).collect();
    if repository.is_none() && sha256.is_empty() {
        let mend = "declares neither a `repository` nor a `fileSha256`: say whose it must be with --source";
        return Err(Failure::invalid(format!("`{}` {mend}", file.display())));
    }
    Ok(Declared { repository, sha256 })
}

/// Whether the file is one of those that are declared; nothing, where none is.
fn one_of(own: &Digests, declared: &[String]) -> Option<Checked> {
    let checks: Vec<Checked> = declared.iter().map(|declared| sha256(own, declared)).collect();
    let fits = checks.iter().any(|check| check.outcome == Outcome::Ok);
    (!checks.is_empty()).then(|| compared("server.json's fileSha256", fits))
}

fn digests(path: &Path) -> Result<Digests, Failure> {
    let fault = |error: std::io::Error| Failure::io(path, &error);
    let mut file = BufReader::new(File::open(path).map_err(fault)?.take(PACKAGE_BYTES_MAX + 1));
    let (mut short, mut long, mut bytes) = (Context::new(&SHA256), Context::new(&SHA512), 0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer).map_err(fault)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        short.update(part);
        long.update(part);
        bytes += part.len() as u64;
    }
    if bytes > PACKAGE_BYTES_MAX {
        return Err(Failure::invalid(format!("`{}` is larger than 4 GiB", path.display())));
    }
    let (short, long) = (short.finish(), long.finish());
    let hex = remit_mcp::canonical::hex;
    Ok(Digests { sha256: hex(short.as_ref()), sha512: hex(long.as_ref()), sha512_raw: long.as_ref().to_vec() })
}

fn compared(what: &'static str, fits: bool) -> Checked {
    let why =
        if fits { "the file is the one that is declared" } else { "the file isn't the one that is declared: don't install it" };
    let outcome = if fits { Outcome::Ok } else { Outcome::Failed };
    Checked { what, outcome, why: why.to_owned(), attestation: None }
}

fn sha256(own: &Digests, declared: &str) -> Checked {
    compared("fileSha256", own.sha256.eq_ignore_ascii_case(declared.trim_start_matches("sha256:")))
}

/// Subresource integrity, as npm's `dist.integrity` and lock files have it: the strongest that is given counts.
fn integrity(own: &Digests, declared: &str) -> Checked {
    let strong: Vec<&str> = declared.split_whitespace().filter_map(|one| one.strip_prefix("sha512-")).collect();
    if strong.is_empty() {
        return unverified("integrity", "it has no `sha512-…`, and weaker digests prove nothing");
    }
    let fits =
        |one: &&str| STANDARD.decode(one.split('?').next().unwrap_or_default()).is_ok_and(|digest| digest == own.sha512_raw);
    compared("integrity", strong.iter().any(fits))
}
