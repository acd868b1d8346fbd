//! Witnesses (C2SP tlog-witness): `remit witness` is a small one; and the gateway's side, which brings its checkpoints to those that the
//! configuration names and keeps what they cosigned.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use remit_egress::fetch;
use remit_journal::SignedCheckpoint;
use remit_model::{Witness as Named, Witnessing};
use remit_tlog::note::NoteSignature;
use remit_tlog::witness::{AddCheckpoint, Latest, Refusal};
use remit_tlog::{Cosigner, Note, Verifier, WitnessKey, leaf_hash};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cli;
use crate::home::{Home, random_file, write_private};
use crate::now_secs;
use crate::output::{Failure, Printer, warn};
use crate::serve::{Certificate, serve};
use crate::up::World;
use crate::upkeep::Stops;

/// The largest request, and the largest answer of a witness, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a request may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a witness may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of what a witness says is recorded.
const SAID_CHARS_MAX: usize = 200;
/// How long the gateway looks whether there is something new to be witnessed, at most.
const LOOK: Duration = Duration::from_secs(1);

/// A witness: its key, the logs that it knows, and what it cosigned last of each.
struct Witness {
    cosigner: Cosigner,
    logs: Vec<Verifier>,
    dir: PathBuf,
    /// One at a time: what is compared and what is kept must be the same.
    latest: Mutex<HashMap<String, Latest>>,
    /// The directory is this witness's alone: what two remember is not the same.
    _lock: std::fs::File,
}

impl Witness {
    /// What was cosigned last of a log, from its file the first time.
    fn latest(&self, known: &mut HashMap<String, Latest>, origin: &str) -> Result<Latest, String> {
        if let Some(latest) = known.get(origin) {
            return Ok(*latest);
        }
        let path = self.file(origin);
        let latest = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Latest::default(),
            Err(error) => return Err(format!("`{}`: {error}", path.display())),
            Ok(note) => {
                let kept = SignedCheckpoint::parse(&note).filter(|_| {
                    let note = Note::parse(&note).ok();
                    note.is_some_and(|note| self.cosigner.key().cosigned_at(&note).is_ok_and(|at| at.is_some()))
                });
                let kept = kept.ok_or_else(|| format!("`{}` is no checkpoint that this witness cosigned", path.display()))?;
                Latest { size: kept.size, root: kept.root }
            }
        };
        known.insert(origin.to_owned(), latest);
        Ok(latest)
    }

    fn is_of_log(&self, text: &str, one: &NoteSignature) -> bool {
        let is_key = |log: &&Verifier| log.name() == one.name && log.key_id() == one.key_id;
        self.logs.iter().filter(is_key).any(|log| log.verifies(text, &one.bytes))
    }

    fn file(&self, origin: &str) -> PathBuf {
        self.dir.join(format!("{}.checkpoint", leaf_hash(origin.as_bytes())))
    }

    /// Answers `add-checkpoint`: what is cosigned is kept, durably, before it is told.
    fn add(&self, body: &str) -> Result<String, Unwitnessed> {
        let asked: AddCheckpoint = body.parse()?;
        let origin = asked.origin()?;
        if !self.logs.iter().any(|log| log.name() == origin) {
            return Err(Refusal::UnknownLog.into());
        }
        let mut known = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = self.latest(&mut known, &origin).map_err(Unwitnessed::Away)?;
        let (text, checkpoint) = asked.judge(&self.logs, latest)?;
        let signature = self.cosigner.cosign(&text, now_secs());
        // What others wrote below the checkpoint isn't kept: it could make the note one that can't be read again, or leave no room.
        let mut note = Note::parse(&format!("{text}\n{signature}\n")).map_err(|_| Refusal::Malformed)?;
        let signed = Note::parse(&asked.note).map_err(|_| Refusal::Malformed)?;
        note.add(signed.signatures().iter().filter(|one| self.is_of_log(&text, one)).cloned());
        write_private(&self.file(&origin), note.to_string().as_bytes()).map_err(|failure| Unwitnessed::Away(failure.message))?;
        known.insert(origin, Latest { size: checkpoint.size, root: checkpoint.root });
        Ok(format!("{signature}\n"))
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let said = |status: StatusCode, text: String| {
            let mut response = Response::new(Full::new(Bytes::from(text)));
            *response.status_mut() = status;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            response
        };
        if request.uri().path() == "/healthz" {
            return said(StatusCode::OK, "ok\n".to_owned());
        }
        if request.uri().path() != "/add-checkpoint" {
            return said(StatusCode::NOT_FOUND, "a witness answers POST /add-checkpoint\n".to_owned());
        }
        if request.method() != Method::POST {
            return said(StatusCode::METHOD_NOT_ALLOWED, "ask with POST\n".to_owned());
        }
        let read = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
        let body = match tokio::time::timeout(BODY_TIMEOUT, read).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return said(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large\n".to_owned()),
            Err(_) => return said(StatusCode::REQUEST_TIMEOUT, "the request took too long to come\n".to_owned()),
        };
        let added = tokio::task::spawn_blocking(move || match std::str::from_utf8(&body) {
            Ok(body) => self.add(body),
            Err(_) => Err(Refusal::Malformed.into()),
        });
        match added.await {
            Ok(Ok(signatures)) => said(StatusCode::OK, signatures),
            Ok(Err(Unwitnessed::Refused(Refusal::Conflict(size)))) => {
                let mut response = said(StatusCode::CONFLICT, format!("{size}\n"));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/x.tlog.size"));
                response
            }
            Ok(Err(Unwitnessed::Refused(refusal))) => {
                if refusal == Refusal::Inconsistent {
                    warn(&format!("a log showed a checkpoint that doesn't extend what was cosigned: {refusal}"));
                }
                said(StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST), format!("{refusal}\n"))
            }
            Ok(Err(Unwitnessed::Away(why))) => {
                warn(&format!("nothing can be cosigned: {why}"));
                said(StatusCode::INTERNAL_SERVER_ERROR, "what was cosigned can't be kept\n".to_owned())
            }
            Err(_) => said(StatusCode::INTERNAL_SERVER_ERROR, "the request failed\n".to_owned()),
        }
    }
}

/// Why nothing was cosigned.
enum Unwitnessed {
    Refused(Refusal),
    Away(String),
}

impl From<Refusal> for Unwitnessed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Makes a witness the only one in its directory. Two would cosign two trees, each by its own memory.
fn lock(dir: &Path) -> Result<std::fs::File, Failure> {
    let path = dir.join("lock");
    let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = opened.map_err(|error| Failure::io(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Failure::new(format!(
            "another witness runs in `{}`: stop it, or name another directory with --data",
            dir.display()
        ))),
        Err(std::fs::TryLockError::Error(error)) => Err(Failure::io(&path, &error)),
    }
}

/// `remit witness`.
pub(crate) async fn run(options: &cli::Witness) -> Result<(), Failure> {
    let home = Home::create(&options.common.data)?;
    let dir = home.root().join("witness");
    std::fs::create_dir_all(&dir).map_err(|error| Failure::io(&dir, &error))?;
    let lock = lock(&dir)?;
    let seed = random_file(&dir.join("witness.key"))?;
    let cosigner = Cosigner::from_seed(&options.name, &seed).map_err(|error| Failure::invalid(error.to_string()))?;
    let logs = options.log.iter().map(|key| {
        Verifier::parse(key).map_err(|error| {
            Failure::invalid(format!("`{key}` is no key of a log: {error}; it stands in a log's `journal.vkey`"))
        })
    });
    let logs: Vec<Verifier> = logs.collect::<Result<_, _>>()?;
    if let Some(twice) =
        logs.iter().enumerate().find(|(place, log)| logs.iter().take(*place).any(|known| known.name() == log.name()))
    {
        return Err(Failure::invalid(format!(
            "two logs are named `{}`, and a witness tells logs by their names: start one of the gateways with --log-origin",
            twice.1.name()
        )));
    }
    let certificate = match (&options.tls_cert, &options.tls_key) {
        (Some(chain), Some(key)) => Some(Certificate::read(chain, key).map_err(Failure::invalid)?),
        _ => None,
    };
    let listener =
        TcpListener::bind(options.listen).await.map_err(|error| Failure::new(format!("{}: {error}", options.listen)))?;
    let address = listener.local_addr().map_err(|error| Failure::new(error.to_string()))?;
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let key = cosigner.key().to_string();
    let witness = Arc::new(Witness { cosigner, logs, dir, latest: Mutex::default(), _lock: lock });
    let mut stops = Stops::hear();
    let printer = Printer::new(options.common.json);
    if printer.json {
        printer.line(&json!({"key": key, "url": format!("{scheme}://{address}"), "logs": options.log}).to_string())?;
    } else {
        printer.line(&format!("witness {key}\nat {scheme}://{address}, of {} logs", options.log.len()))?;
    }
    let (stop, stopping) = watch::channel(false);
    let handle = move |request: Request<Incoming>, _: SocketAddr| {
        let witness = Arc::clone(&witness);
        async move { witness.answer(request).await }
    };
    let served = tokio::spawn(serve(listener, certificate, None, handle, stopping));
    stops.stopped().await;
    let _ = stop.send(true);
    let _ = served.await;
    Ok(())
}

/// How the log stands with its witnesses.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// The largest checkpoint that enough of them cosigned.
    cosigned: Mutex<Option<SignedCheckpoint>>,
    /// What each cosigned last, by its key.
    sizes: Mutex<HashMap<String, u64>>,
}

impl Standing {
    /// With what was kept by an earlier run.
    pub(crate) fn new(home: &Home) -> Self {
        let kept = std::fs::read_to_string(home.cosigned()).ok().and_then(|note| SignedCheckpoint::parse(&note));
        Self { cosigned: Mutex::new(kept), sizes: Mutex::default() }
    }
}

impl World {
    /// The largest checkpoint that enough witnesses cosigned.
    pub(crate) fn cosigned(&self) -> Option<SignedCheckpoint> {
        self.witnessed.cosigned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Brings checkpoints to the witnesses until the gateway stops. No call waits for it.
    pub(crate) async fn keep_witnessed(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut told: Option<String> = None;
        loop {
            let witnessing = self.gateway.snapshot().organization.witnessing.clone();
            let pause = witnessing.as_ref().map_or(LOOK, |witnessing| Duration::from_secs(witnessing.interval_secs));
            if let Some(witnessing) = witnessing {
                match self.bring(&witnessing).await {
                    // Nothing was asked, so nothing is better: else what is told would be told again with every entry that it makes itself.
                    Ok(false) => {}
                    Ok(true) => told = None,
                    Err(why) if told.as_ref() == Some(&why) => {}
                    Err(why) => {
                        warn(&format!("the log isn't witnessed as it should be: {why}"));
                        let _ = self.gateway.record("unwitnessed", json!({"why": why})).await;
                        told = Some(why);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Brings the newest checkpoint to all witnesses. What enough of them cosigned is kept. Says whether there was anything new.
    async fn bring(&self, witnessing: &Witnessing) -> Result<bool, String> {
        let last = self.cosigned().map_or(0, |cosigned| cosigned.size);
        // The index may be behind; the log itself never is.
        if self.journal.checkpoint().size < last {
            return Err("the log has fewer entries than witnesses have cosigned: it was cut or rewritten".to_owned());
        }
        let Some(checkpoint) = self.decisions.checkpoint().await else { return Ok(false) };
        if checkpoint.size <= last {
            return Ok(false);
        }
        let mut note = Note::parse(&checkpoint.note).map_err(|error| error.to_string())?;
        let mut count = 0;
        let mut missing = Vec::new();
        for witness in &witnessing.witnesses {
            match self.ask(witness, &checkpoint).await {
                Ok(signature) => {
                    note.add([signature]);
                    count += 1;
                }
                Err(why) => missing.push(format!("{}: {why}", witness.url)),
            }
        }
        if count >= witnessing.quorum {
            let cosigned = SignedCheckpoint { note: note.to_string(), ..checkpoint };
            let path = self.home.cosigned();
            write_private(&path, cosigned.note.as_bytes()).map_err(|failure| failure.message)?;
            *self.witnessed.cosigned.lock().unwrap_or_else(PoisonError::into_inner) = Some(cosigned);
        }
        if missing.is_empty() {
            return Ok(true);
        }
        Err(format!(
            "{count} of {} cosigned ({} demanded): {}",
            witnessing.witnesses.len(),
            witnessing.quorum,
            missing.join("; ")
        ))
    }

    /// One witness's cosignature. It says itself which size it knows, if it isn't the one that was thought.
    async fn ask(&self, witness: &Named, checkpoint: &SignedCheckpoint) -> Result<NoteSignature, String> {
        let key = WitnessKey::parse(&witness.key).map_err(|error| error.to_string())?;
        let sizes = || self.witnessed.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut old_size = sizes().get(&witness.key).copied().unwrap_or_default();
        for _ in 0..2 {
            let proof = self.decisions.consistency(old_size, checkpoint).await;
            // No numbers that grow with the log: what is told is recorded, and would be news each time.
            let proof = proof.ok_or_else(|| {
                let why = if old_size > checkpoint.size {
                    "it knows more entries than the log has"
                } else {
                    "the index is not there yet"
                };
                why.to_owned()
            })?;
            let body = AddCheckpoint { old_size, proof, note: checkpoint.note.clone() }.to_string();
            let request = Request::post("/").body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
            let url = format!("{}/add-checkpoint", witness.url.trim_end_matches('/'));
            let answer =
                fetch(&url, witness.network, &self.tls, ANSWER_TIMEOUT, request).await.map_err(|error| error.to_string())?;
            let (status, body) = (answer.status(), answer.into_body());
            let text = std::str::from_utf8(body.get(..BODY_BYTES_MAX.min(body.len())).unwrap_or_default()).unwrap_or_default();
            match status {
                StatusCode::OK => {
                    let mut note = Note::parse(&checkpoint.note).map_err(|error| error.to_string())?;
                    for signature in text.lines().filter_map(|line| NoteSignature::parse(line).ok()) {
                        let mut one = note.clone();
                        one.add([signature.clone()]);
                        if key.cosigned_at(&one).is_ok_and(|at| at.is_some()) {
                            note = one;
                            sizes().insert(witness.key.clone(), checkpoint.size);
                            return note.signatures().last().cloned().ok_or_else(|| "it signed nothing".to_owned());
                        }
                    }
                    return Err("its answer holds no cosignature of its key".to_owned());
                }
                StatusCode::CONFLICT => match text.trim().parse::<u64>() {
                    Ok(size) if size != old_size => old_size = size,
                    _ => return Err("it has cosigned another tree of the same size: one of the two was rewritten".to_owned()),
                },
                StatusCode::UNPROCESSABLE_ENTITY => {
                    return Err("it says that the log doesn't extend what it cosigned: one of the two was rewritten".to_owned());
                }
                StatusCode::NOT_FOUND => {
                    return Err("it doesn't know this log: start it with --log and the key in `journal.vkey`".to_owned());
                }
                status => {
                    let said: String = text.lines().next().unwrap_or_default().chars().take(SAID_CHARS_MAX).collect();
                    return Err(format!("it answered {status}: {said}"));
                }
            }
        }
        Err("it says each time that it knows another size".to_owned())
    }
}
