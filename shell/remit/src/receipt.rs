//! Receipts: an entry with the proof that it is in the log, for whoever made the call; and their verification, which needs nothing but keys.

use std::path::Path;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use remit_gateway::{Body, Gateway, SALT_BYTES, commitment};
use remit_kernel::{Fact, Identity, Principal};
use remit_tlog::{Hash, Note, TlogProof, Verifier, WitnessKey};
use serde_json::{Value, json};

use crate::cli;
use crate::commands::operator;
use crate::decisions::Receipt;
use crate::home::Home;
use crate::now_secs;
use crate::output::{FAILURE, Failure, Printer};
use crate::up::World;

/// Where agents fetch them: the index follows.
pub(crate) const RECEIPTS_PATH: &str = "/receipts/";
/// The largest receipt that is read, in bytes.
const RECEIPT_BYTES_MAX: usize = 1024 * 1024;

impl World {
    /// Answers an agent that asks for the receipt of a decision about its own call. Whatever is not its own isn't there.
    pub(crate) async fn receipt(&self, index: &str, headers: &HeaderMap) -> Response<Body> {
        let problem = |status: StatusCode, detail: &str| {
            let body = json!({"title": status.canonical_reason(), "status": status.as_u16(), "detail": detail});
            let mut response = Response::new(Body::Full(Bytes::from(body.to_string())));
            *response.status_mut() = status;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
            response
        };
        let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let principal = match self.authenticator.authenticate(authorization, now_secs()).await {
            Fact::Known(Identity::Authenticated(principal)) => principal,
            Fact::Known(Identity::Rejected(_)) => {
                return problem(StatusCode::UNAUTHORIZED, "show the token that the call was made with");
            }
            Fact::Unknown(_) => return problem(StatusCode::SERVICE_UNAVAILABLE, "who you are can't be found out now"),
        };
        let none = || problem(StatusCode::NOT_FOUND, "there is no such entry, or it isn't yours");
        let Ok(index) = index.parse::<u64>() else { return none() };
        let durable = self.journal.checkpoint().size;
        if index >= durable {
            return none();
        }
        let gateway = self.gateway.clone();
        let own = move |entry: &[u8]| is_own(&gateway, &principal, entry);
        let Some(receipt) = self.decisions.receipt(durable, index, self.cosigned(), own).await else {
            return problem(StatusCode::SERVICE_UNAVAILABLE, "the index of the journal isn't there yet: ask again");
        };
        let Some(receipt) = receipt else { return none() };
        let mut response = Response::new(Body::Full(Bytes::from(proof(index, receipt).to_string())));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

/// Whether an entry is a decision about a call of this agent, for this user, in a space that its token is for.
fn is_own(gateway: &Gateway, principal: &Principal, entry: &[u8]) -> bool {
    let entry: Value = serde_json::from_slice(entry).unwrap_or_default();
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let space = text("space").map(|space| gateway.space_address(space));
    text("type") == Some("decision")
        && text("agent") == Some(principal.agent.as_str())
        && text("user") == principal.user.as_deref()
        && space.is_some_and(|space| principal.audiences.contains(&space))
}

/// As a file.
fn proof(index: u64, receipt: Receipt) -> TlogProof {
    TlogProof { extra: Some(receipt.bytes), index, path: receipt.proof.path, note: receipt.proof.checkpoint.note }
}

/// `remit receipt`: the receipt of an entry, from the running gateway.
pub(crate) async fn run(options: &cli::Receipt) -> Result<(), Failure> {
    let told =
        operator(&Home::existing(&options.common.data)?, Method::GET, &format!("/v1/journal/{}", options.index), None).await?;
    let text = |key: &str| told.get(key).and_then(Value::as_str).unwrap_or_default();
    let unreadable = || Failure::new("the gateway's answer is no entry with its proof");
    let entry = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text("entry")).map_err(|_| unreadable())?;
    let hashes = told.get("proof").and_then(Value::as_array).into_iter().flatten();
    let path: Option<Vec<Hash>> = hashes.map(|hash| Hash::from_base64(hash.as_str()?)).collect();
    let made = TlogProof {
        extra: Some(entry),
        index: options.index,
        path: path.ok_or_else(unreadable)?,
        note: text("checkpoint").to_owned(),
    };
    match &options.output {
        Some(output) => std::fs::write(output, made.to_string()).map_err(|error| Failure::io(output, &error)),
        None => Printer::new(false).line(made.to_string().trim_end()),
    }
}

/// What an entry is to have committed to: arguments, and the salt that came with the receipt.
#[derive(Debug)]
pub(crate) struct Opening {
    arguments: Vec<u8>,
    salt: [u8; SALT_BYTES],
}

impl Opening {
    /// Reads both. What surrounds the arguments in the file, such as a line feed at its end, was not sent.
    pub(crate) fn read(arguments: &Path, salt: &str) -> Result<Self, Failure> {
        let invalid = || Failure::invalid(format!("a salt is {} hexadecimal digits", 2 * SALT_BYTES));
        if salt.len() != 2 * SALT_BYTES || !salt.is_ascii() {
            return Err(invalid());
        }
        let mut bytes = [0; SALT_BYTES];
        for (byte, digits) in bytes.iter_mut().zip(salt.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| invalid())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| invalid())?;
        }
        let arguments = std::fs::read(arguments).map_err(|error| Failure::io(arguments, &error))?;
        Ok(Self { arguments: arguments.trim_ascii().to_vec(), salt: bytes })
    }

    fn commitment(&self) -> String {
        commitment(&self.salt, &self.arguments)
    }
}

/// What somebody trusts: the log's key, and so many of these witnesses.
#[derive(Debug)]
pub(crate) struct Trusted {
    log: Verifier,
    witnesses: Vec<WitnessKey>,
    witnesses_min: usize,
}

impl Trusted {
    pub(crate) fn new(vkey: &str, witnesses: &[String], witnesses_min: Option<usize>) -> Result<Self, Failure> {
        let log = Verifier::parse(vkey.trim()).map_err(|error| Failure::invalid(format!("`{}`: {error}", vkey.trim())))?;
        let witnesses: Vec<WitnessKey> = witnesses
            .iter()
            .map(|key| {
                WitnessKey::parse(key).map_err(|error| Failure::invalid(format!("`{key}` is no key of a witness: {error}")))
            })
            .collect::<Result<_, _>>()?;
        let witnesses_min = witnesses_min.unwrap_or(witnesses.len());
        if witnesses_min > witnesses.len() {
            return Err(Failure::invalid(format!(
                "{witnesses_min} witnesses are demanded and {} are named: add their keys with --witness",
                witnesses.len()
            )));
        }
        Ok(Self { log, witnesses, witnesses_min })
    }

    /// The witnesses that cosigned a checkpoint, each with when; a failure if they are too few, or one's cosignature is forged.
    pub(crate) fn cosigned(&self, note: &str) -> Result<Vec<(String, u64)>, String> {
        let note = Note::parse(note).map_err(|error| error.to_string())?;
        let mut cosigned = Vec::new();
        for key in &self.witnesses {
            let at_secs = key.cosigned_at(&note).map_err(|error| error.to_string())?;
            cosigned.extend(at_secs.map(|at_secs| (key.name().to_owned(), at_secs)));
        }
        if cosigned.len() < self.witnesses_min {
            return Err(format!(
                "{} of the {} witnesses cosigned its checkpoint, and {} are demanded",
                cosigned.len(),
                self.witnesses.len(),
                self.witnesses_min
            ));
        }
        Ok(cosigned)
    }

    /// `remit verify --receipt`: what a receipt proves, and what it doesn't. Nothing but the file and the keys is looked at.
    pub(crate) fn receipt(
        &self,
        path: &Path,
        entry: Option<&Path>,
        opening: Option<&Opening>,
        printer: Printer,
    ) -> Result<(), Failure> {
        let text = crate::files::read(path, RECEIPT_BYTES_MAX)?;
        let refused = |why: String| {
            if printer.json {
                printer.line(&json!({"proved": false, "why": why}).to_string())?;
            } else {
                printer.line(&format!("NOT PROVED: {why}"))?;
            }
            Err(Failure::said(FAILURE))
        };
        let proof: TlogProof = match text.parse() {
            Ok(proof) => proof,
            Err(error) => return Err(Failure::invalid(format!("`{}` is no receipt: {error}", path.display()))),
        };
        let bytes = match (entry, &proof.extra) {
            (Some(path), _) => std::fs::read(path).map_err(|error| Failure::io(path, &error))?,
            (None, Some(bytes)) => bytes.clone(),
            (None, None) => return Err(Failure::invalid("the receipt doesn't hold its entry: give it with --entry FILE")),
        };
        let checkpoint = match proof.verify(&bytes, &self.log) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return refused(error.to_string()),
        };
        let cosigned = match self.cosigned(&proof.note) {
            Ok(cosigned) => cosigned,
            Err(why) => return refused(why),
        };
        let entry: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let committed = entry.get("arguments_commitment").and_then(Value::as_str);
        if opening.is_some_and(|opening| Some(opening.commitment().as_str()) != committed) {
            return refused("the entry is about other arguments, or the salt is another one's".to_owned());
        }
        let by: Vec<Value> = cosigned.iter().map(|(name, at)| json!({"witness": name, "at_secs": at})).collect();
        if printer.json {
            return printer.line(
                &json!({
                    "proved": true, "log": checkpoint.origin, "index": proof.index, "size": checkpoint.size,
                    "root": checkpoint.root.to_base64(), "cosigned": by, "arguments": opening.map(|_| true), "entry": entry,
                })
                .to_string(),
            );
        }
        printer.line(&crate::audit::line(proof.index, &entry))?;
        printer.line(&format!(
            "PROVED: this is entry {} of the log `{}`, byte for byte, as its key signed when it had {} entries.",
            proof.index, checkpoint.origin, checkpoint.size
        ))?;
        for (name, at_secs) in &cosigned {
            let at = remit_gateway::rfc3339(at_secs.saturating_mul(1000));
            printer.line(&format!("  {name} cosigned at {at} that this tree extends all that it had seen of the log."))?;
        }
        if opening.is_some() {
            printer.line("PROVED: the call that it is about had these arguments, byte for byte.")?;
        } else if committed.is_some() {
            printer.line("Not proved: which arguments the call had. They and their salt would show it (--arguments, --salt).")?;
        }
        printer.line(
            "Not proved: that the entry is true (the gateway wrote it), or how the call ended (its outcome is another entry).",
        )?;
        if cosigned.is_empty() {
            printer.line("Not proved: that others were shown the same log. A witness's cosignature would (--witness), or a checkpoint that you kept.")?;
        }
        Ok(())
    }
}
