//! `remit servers import` and `remit servers verify`: what the official MCP registry publishes as a draft, and what of a package's file can be
//! verified here. Nothing is fetched.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256, SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_trial::server_json::{self, Wanted};
use serde_json::{Value, json};

use crate::cli::{ImportServer, VerifyPackage};
use crate::files;
use crate::offline::Refused;
use crate::output::{Failure, Printer, warn};

/// The largest `server.json`, in bytes.
const SERVER_JSON_BYTES_MAX: usize = 1024 * 1024;
/// The largest bundle of a provenance, in bytes.
const BUNDLE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The largest file of a package, in bytes.
const PACKAGE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// The most subjects of a statement.
const SUBJECTS_MAX: usize = 10_000;

/// What was checked of a file: what, and how it came out.
struct Checked {
    what: &'static str,
    /// `None`: it couldn't be verified here.
    fits: Option<bool>,
    why: String,
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
    if checks.iter().any(|check| check.fits == Some(false)) { Err(Failure::said(crate::output::FAILURE)) } else { Ok(()) }
}

/// `remit servers verify`.
pub(crate) fn verify(options: &VerifyPackage) -> Result<(), Failure> {
    let printer = Printer::new(options.json);
    let own = digests(&options.file)?;
    let mut checks = Vec::new();
    checks.extend(options.sha256.as_deref().map(|declared| sha256(&own, declared)));
    checks.extend(options.integrity.as_deref().map(|declared| integrity(&own, declared)));
    if let Some(bundle) = &options.provenance {
        checks.extend(provenance(&own, &files::read(bundle, BUNDLE_BYTES_MAX)?));
    }
    if checks.is_empty() {
        return Err(Failure::invalid("there is nothing to hold it against: give --sha256, --integrity or --provenance"));
    }
    if printer.json {
        let told: Vec<Value> = checks.iter().map(Checked::json).collect();
        printer.line(&json!({"file": options.file, "sha256": own.sha256, "sha512": own.sha512, "checks": told}).to_string())?;
    } else {
        checks.iter().try_for_each(|check| printer.line(&check.line()))?;
    }
    let (fits, fails) =
        (checks.iter().any(|check| check.fits == Some(true)), checks.iter().any(|check| check.fits == Some(false)));
    if fits && !fails { Ok(()) } else { Err(Failure::said(crate::output::FAILURE)) }
}

impl Checked {
    fn line(&self) -> String {
        let word = match self.fits {
            Some(true) => "verified",
            Some(false) => "WRONG",
            None => "not verified",
        };
        format!("{}: {word}: {}", self.what, self.why)
    }

    fn json(&self) -> Value {
        json!({"check": self.what, "verified": self.fits, "why": self.why})
    }
}

fn unverified(what: &'static str, why: &str) -> Checked {
    Checked { what, fits: None, why: why.to_owned() }
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
    Checked { what, fits: Some(fits), why: why.to_owned() }
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

/// A Sigstore bundle: whether its statement names this file. Whose signature that is isn't verified.
fn provenance(own: &Digests, bundle: &str) -> Vec<Checked> {
    let statement = || -> Option<Value> {
        let bundle: Value = serde_json::from_str(bundle).ok()?;
        // npm's interface lists attestations; a file of Sigstore's is one.
        let all = bundle.get("attestations").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![bundle.clone()]);
        let payloads = all.iter().filter_map(|one| {
            let one = one.get("bundle").unwrap_or(one);
            let payload = STANDARD.decode(one.pointer("/dsseEnvelope/payload")?.as_str()?).ok()?;
            serde_json::from_slice::<Value>(&payload).ok()
        });
        let is_slsa = |one: &Value| {
            one.get("predicateType").and_then(Value::as_str).is_some_and(|kind| kind.contains("slsa.dev/provenance"))
        };
        payloads.into_iter().find(is_slsa)
    };
    let Some(statement) = statement() else {
        return vec![unverified("provenance", "this holds no SLSA provenance in a DSSE envelope")];
    };
    let subjects = statement.get("subject").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_own = |subject: &Value| {
        let digest =
            |kind: &str| subject.pointer(&format!("/digest/{kind}")).and_then(Value::as_str).map(str::to_ascii_lowercase);
        digest("sha512").is_some_and(|digest| digest == own.sha512) || digest("sha256").is_some_and(|digest| digest == own.sha256)
    };
    let named = subjects.iter().take(SUBJECTS_MAX).any(is_own);
    let why = if named { "the statement names this very file" } else { "the statement is about another file" };
    let signature = "who signed the statement can't be told without Sigstore's trust root and transparency log, which are fetched from the network: verify it with `cosign verify-blob-attestation` or `npm audit signatures`";
    vec![
        Checked { what: "provenance's subject", fits: Some(named), why: why.to_owned() },
        unverified("provenance's signature", signature),
    ]
}
