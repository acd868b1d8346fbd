//! The configuration in effect and how it changes: versions, plans, reviews; and the directory, which may drive or only differ.
//!
//! A change is whole or not at all: it is kept in the store, then recorded in the journal, then swapped in. A crash before the store leaves
//! the old version, a crash after it the new one, which the next start records and puts into effect. What the journal refuses is taken back.

use std::path::Path;
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError};

use remit_authority::Directory as _;
use remit_control::versions::{Candidate, Origin, Version, VersionError, Versions};
use remit_control::{DirectoryError, Source, plan};
use remit_model::{ChangeReview, Organization};
use serde_json::{Value, json};

use crate::home::Home;
use crate::output::{Failure, INVALID, Printer, warn};
use crate::shared::sample_secrets;
use crate::up::World;
use crate::{now_secs, sample};

/// The most changes, or faults, that a drift tells one by one.
const DRIFT_MAX: usize = 50;

/// The most bytes, as JSON, of the violated invariants that a refusal tells.
const VIOLATED_BYTES_MAX: usize = 64 * 1024;

/// What becomes of a version of which it isn't known whether the store has it.
const OPEN: &str =
    "what was in effect still is; if the store has the new version, the next change takes it back, or the next start takes it";

/// What is in effect.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// The version, and what it says.
    current: Option<(Version, Arc<Source>)>,
    /// Whether the directory drives: what it says is put into effect as it changes.
    follows: bool,
    /// How the directory differs from what is in effect, where it does.
    drift: Option<Arc<Drift>>,
    /// What was planned last: it is probably what is applied next, and needn't be read again.
    planned: Option<Source>,
}

/// A directory that isn't what is in effect. What differs is only looked for when somebody asks.
#[derive(Debug)]
struct Drift {
    directory: String,
    given: Result<Source, DirectoryError>,
    in_effect: Arc<Source>,
    told: OnceLock<Value>,
}

impl Drift {
    fn told(&self) -> &Value {
        self.told.get_or_init(|| match &self.given {
            Ok(given) => {
                let mut told = plan::differences(&self.in_effect.files, &given.files, DRIFT_MAX);
                merge(&mut told, json!({"directory": self.directory, "digest": given.digest}));
                told
            }
            Err(DirectoryError::Faults(faults)) => {
                let first: Vec<_> = faults.iter().take(DRIFT_MAX).collect();
                json!({"directory": self.directory, "faults": first, "faults_count": faults.len()})
            }
            Err(error) => json!({"directory": self.directory, "error": error.to_string()}),
        })
    }
}

impl Standing {
    /// Whether the version in effect lets nothing take effect without a review.
    fn is_reviewed(&self) -> bool {
        self.current.as_ref().is_some_and(|(_, source)| required(&source.loaded.organization).is_some())
    }
}

/// What a start puts into effect.
pub(crate) struct Beginning {
    source: Source,
    /// The stored version that it is; without one it is a new version.
    version: Option<Version>,
    follows: bool,
    /// What the directory says, where it isn't what is in effect.
    differs: Option<Result<Source, DirectoryError>>,
}

/// What is given from outside: the directory, or else the sample organization.
fn given(config: Option<&Path>) -> Result<Source, DirectoryError> {
    config.map_or_else(sample::acme, remit_control::read)
}

/// Who has to agree to a change.
pub(crate) fn required(organization: &Organization) -> Option<ChangeReview> {
    organization.change_review.clone().filter(|review| review.required)
}

/// Who runs this process, for the record.
pub(crate) fn operator() -> String {
    std::env::var("USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "operator".to_owned())
}

impl Beginning {
    /// Chooses between what is stored and what is given: the newest version, where its changes must be reviewed or where it came by `remit
    /// apply` or `remit rollback`; else what is given.
    pub(crate) fn choose(home: &Home, config: Option<&Path>, printer: Printer) -> Result<Self, Failure> {
        let versions = Versions::new(home.store()?);
        let head = versions.head().map_err(|error| Failure::new(error.to_string()))?;
        let Some(head) = head else {
            return Ok(Self { source: sound(given(config), printer)?, version: None, follows: true, differs: None });
        };
        let from_given = match head.entry.origin {
            Origin::Directory => config.is_some(),
            Origin::Sample => true,
            Origin::Apply | Origin::Rollback => false,
        };
        // Without a directory there is nothing that an applied version could differ from.
        let given = (config.is_some() || from_given).then(|| given(config));
        let same = matches!(&given, Some(Ok(source)) if source.digest == head.entry.digest);
        let drives = head.entry.review.is_none() && (from_given || same);
        let differs = match given {
            Some(given) if drives => {
                let source = sound(given, printer)?;
                return Ok(Self { source, version: same.then_some(head), follows: true, differs: None });
            }
            given => given.filter(|_| !same),
        };
        let files = versions.files(&head).map_err(|error| Failure::new(error.to_string()))?;
        let source = Source::of(files).map_err(|error| {
            tell(&error);
            Failure::invalid(format!(
                "version {} of the configuration, which is in effect, can't be read by this Remit: start the one that wrote it",
                head.version
            ))
        })?;
        Ok(Self { source, version: Some(head), follows: false, differs })
    }
}

/// A source without a fault; else all faults are told.
fn sound(read: Result<Source, DirectoryError>, printer: Printer) -> Result<Source, Failure> {
    match read {
        Ok(source) => {
            source.loaded.warnings.iter().for_each(|warning| warn(&format!("warning: {warning}")));
            Ok(source)
        }
        Err(DirectoryError::Faults(faults)) => {
            if printer.json {
                printer.line(&json!({"faults": faults}).to_string())?;
            } else {
                faults.iter().for_each(|fault| warn(&fault.to_string()));
                warn(&format!("{} faults: nothing was started", faults.len()));
            }
            Err(Failure::said(INVALID))
        }
        Err(error) => Err(Failure::invalid(error.to_string())),
    }
}

fn tell(error: &DirectoryError) {
    match error {
        DirectoryError::Faults(faults) => faults.iter().for_each(|fault| warn(&fault.to_string())),
        other => warn(&other.to_string()),
    }
}

/// What is to take effect: the version that there is, once more, or a new one.
enum Next {
    Same(Version),
    New(Candidate),
}

impl World {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version in effect, and what it says.
    pub(crate) fn current(&self) -> Option<(Version, Arc<Source>)> {
        self.standing().current.clone()
    }

    /// Where what is given comes from, for people.
    fn given_name(&self) -> String {
        self.config.as_ref().map_or_else(|| "sample organization".to_owned(), |path| path.display().to_string())
    }

    /// Puts into effect what a start has chosen.
    pub(crate) async fn begin(&self, beginning: Beginning) -> Result<(), Failure> {
        let Beginning { source, version, follows, differs } = beginning;
        let _one = self.reloading.lock().await;
        let next = match version {
            Some(version) => Next::Same(version),
            None => Next::New(self.given_candidate(&source, "taken from what the gateway was started with")),
        };
        self.enact(source, next).await.map_err(|fault| Failure::new(detail(&fault)))?;
        let drift = differs.and_then(|differs| self.drift_of(differs));
        if drift.is_some() {
            warn(&format!(
                "`{}` is not what is in effect: see `remit status`, and `remit apply` it if it is to be",
                self.given_name()
            ));
        }
        let mut standing = self.standing();
        (standing.follows, standing.drift) = (follows && !standing.is_reviewed(), drift);
        Ok(())
    }

    /// A new version out of the directory, or the sample organization.
    fn given_candidate(&self, source: &Source, reason: &str) -> Candidate {
        Candidate {
            files: source.files.clone(),
            review: required(&source.loaded.organization),
            origin: if self.config.is_some() { Origin::Directory } else { Origin::Sample },
            source: self.given_name(),
            again: None,
            by: operator(),
            reason: reason.to_owned(),
            plan: None,
        }
    }

    /// Puts a candidate into effect. Only one change is under way at a time: the caller holds `reloading`.
    pub(crate) async fn take(&self, source: Source, candidate: Candidate) -> Result<u64, Value> {
        self.enact(source, Next::New(candidate)).await
    }

    /// Puts a configuration into effect: all of it or nothing. Answers the snapshot.
    async fn enact(&self, source: Source, next: Next) -> Result<u64, Value> {
        let fault = |what: String| json!({"error": what});
        let mut organization = source.loaded.organization.clone();
        if sample::is_acme(&source.digest) {
            let store = self.home.store().map_err(|failure| fault(failure.message))?;
            sample_secrets(&store, &organization).map_err(|failure| fault(failure.message))?;
        }
        let mut launched = self.launched.lock().await;
        let before = self.shared.organization();
        let started = launched.start(&mut organization, &self.program).await;
        let prepared = started.and_then(|()| self.shared.prepare(&organization, &self.home).map_err(|failure| failure.message));
        let prepared = prepared.and_then(|prepared| match before.guardrails.changed(&organization.guardrails) {
            None => Ok(prepared),
            Some(key) => Err(format!("guardrail `{key}` has changed, and a numbered version never does: write the next one")),
        });
        let kept = match (&prepared, next) {
            (Err(why), _) => Err(why.clone()),
            (Ok(_), Next::Same(version)) => Ok((version, false)),
            (Ok(_), Next::New(candidate)) => match self.keep(&candidate) {
                Ok(version) => Ok((version, true)),
                Err(error @ VersionError::Uncertain(_)) => {
                    launched.settle(&before);
                    return Err(json!({"error": error.to_string(), "open": OPEN}));
                }
                Err(error) => Err(error.to_string()),
            },
        };
        let (prepared, (version, new)) = match (prepared, kept) {
            (Ok(prepared), Ok(kept)) => (prepared, kept),
            (Err(why), _) | (_, Err(why)) => {
                launched.settle(&before);
                return Err(fault(why));
            }
        };
        let event = recorded(&version, organization.id.as_str());
        let identities = || {
            self.shared.replace(prepared);
            self.authenticator.invalidate();
        };
        match self.gateway.apply(organization, event, identities).await {
            Ok(snapshot) => {
                launched.settle(&self.shared.organization());
                self.standing().current = Some((version, Arc::new(source)));
                Ok(snapshot)
            }
            Err(why) => {
                launched.settle(&before);
                if new && let Err(error) = self.settle_store() {
                    let why = format!("{why}; and the store, which has version {} already: {error}", version.version);
                    return Err(json!({"error": why, "open": OPEN}));
                }
                Err(fault(why))
            }
        }
    }

    /// Makes the next version of the one in effect.
    fn keep(&self, candidate: &Candidate) -> Result<Version, VersionError> {
        let base = self.settle_store()?;
        self.versions.keep(base, candidate, now_secs())
    }

    /// The number of the newest version, which is the one in effect: one that was kept and never took effect, because the journal refused it
    /// or the store couldn't tell, is taken back first.
    fn settle_store(&self) -> Result<Option<u64>, VersionError> {
        let head = self.versions.head()?;
        let Some((current, source)) = self.current() else { return Ok(head.map(|head| head.version)) };
        let Some(head) = head.filter(|head| head.version != current.version) else { return Ok(Some(current.version)) };
        let candidate = Candidate {
            files: source.files.clone(),
            review: required(&source.loaded.organization),
            // It is what the version before was: what drove then drives on.
            origin: current.entry.origin,
            source: current.entry.source.clone(),
            again: Some(current.version),
            by: "remit".to_owned(),
            reason: format!("version {} never took effect", head.version),
            plan: None,
        };
        let version = self.versions.keep(Some(head.version), &candidate, now_secs())?;
        let number = version.version;
        self.standing().current = Some((version, source));
        Ok(Some(number))
    }

    /// Looks at the directory again. Where it drives, what it says takes effect; a bad one replaces nothing, and is recorded. Where it
    /// doesn't, what is in effect is put into effect once more, and the difference is told.
    pub(crate) async fn reload_now(&self) -> Result<Value, Value> {
        let _one = self.reloading.lock().await;
        let done = self.reload().await;
        if let Err(why) = &done {
            warn(&format!("the configuration was refused; the one in effect stays: {why}"));
            let _ = self.gateway.record("configuration_refused", why.clone()).await;
        }
        let said = match &done {
            Ok(applied) => json!({"applied": applied}),
            Err(why) => json!({"refused": why}),
        };
        *self.last_reload.lock().unwrap_or_else(PoisonError::into_inner) = said;
        done
    }

    async fn reload(&self) -> Result<Value, Value> {
        let Some((current, source)) = self.current() else { return Err(json!({"error": "nothing is in effect"})) };
        if !self.looked().await {
            let snapshot = self.enact((*source).clone(), Next::Same(current.clone())).await?;
            let drift = self.standing().drift.clone();
            let drift = drift.as_ref().map(|drift| drift.told());
            return Ok(json!({"snapshot": snapshot, "digest": source.digest, "version": current.version, "drift": drift}));
        }
        let read = match self.given_now().await {
            Ok(read) => read,
            Err(DirectoryError::Faults(faults)) => return Err(json!({"faults": faults})),
            Err(error) => return Err(json!({"error": error.to_string()})),
        };
        let digest = read.digest.clone();
        if digest != source.digest {
            let organization = Arc::new(read.loaded.organization.clone());
            let catalogue = self.gateway.catalogue();
            let checked = tokio::task::spawn_blocking(move || {
                let prover = crate::prover();
                plan::invariants(&organization, &catalogue, &|question| prover.answer(question), now_secs())
            });
            // What isn't known to hold its invariants doesn't take effect.
            let checked = checked.await.map_err(|_| json!({"error": "the invariants could not be checked"}))?;
            let violated = plan::violated(&checked);
            if !violated.is_empty() {
                let why = "the configuration allows what its invariants forbid";
                return Err(json!({"error": why, "invariants": plan::within(&violated, VIOLATED_BYTES_MAX)}));
            }
        }
        let next = if digest == source.digest {
            Next::Same(current)
        } else {
            Next::New(self.given_candidate(&read, "the directory changed"))
        };
        let snapshot = self.enact(read, next).await?;
        let version = self.current().map(|(version, _)| version.version);
        self.looked().await;
        Ok(json!({"snapshot": snapshot, "digest": digest, "version": version}))
    }

    /// Looks at how the directory stands to what is in effect; answers whether it drives. It does as long as what is in effect came from it,
    /// and again as soon as both say the same; never where changes must be reviewed.
    pub(crate) async fn looked(&self) -> bool {
        let (follows, reviewed) = {
            let standing = self.standing();
            (standing.follows, standing.is_reviewed())
        };
        if follows && !reviewed {
            return true;
        }
        let drift = if self.config.is_some() { self.drift_of(self.given_now().await) } else { None };
        let mut standing = self.standing();
        standing.follows = !reviewed && drift.is_none() && self.config.is_some();
        standing.drift = drift;
        standing.follows
    }

    /// After a version was applied: the directory drives on only if it says the same.
    pub(crate) async fn unfollow(&self) {
        self.standing().follows = false;
        self.looked().await;
    }

    /// Reads the directory, or the sample organization, beside those who serve.
    async fn given_now(&self) -> Result<Source, DirectoryError> {
        let config = self.config.clone();
        let read = tokio::task::spawn_blocking(move || given(config.as_deref())).await;
        let path = self.config.clone().unwrap_or_default();
        read.unwrap_or_else(|error| Err(DirectoryError::Io { path, source: std::io::Error::other(error) }))
    }

    /// Whether the directory says this.
    pub(crate) fn directory_says(&self, digest: &str) -> bool {
        let files = self.config.as_deref().map(remit_control::directory::texts);
        matches!(files, Some(Ok(files)) if remit_control::directory::digest(&files) == digest)
    }

    fn drift_of(&self, given: Result<Source, DirectoryError>) -> Option<Arc<Drift>> {
        let (current, in_effect) = self.current()?;
        if given.as_ref().is_ok_and(|given| given.digest == current.entry.digest) {
            return None;
        }
        Some(Arc::new(Drift { directory: self.given_name(), given, in_effect, told: OnceLock::new() }))
    }

    /// Keeps what was planned for the one who applies it.
    pub(crate) fn keep_planned(&self, source: Source) {
        self.standing().planned = Some(source);
    }

    /// What was planned last, if it is this.
    pub(crate) fn take_planned(&self, digest: &str) -> Option<Source> {
        self.standing().planned.take().filter(|source| source.digest == digest)
    }

    /// The version in effect and how the directory stands to it, for `remit status`.
    pub(crate) fn configuration_status(&self) -> Value {
        let (follows, drift) = {
            let standing = self.standing();
            (standing.follows, standing.drift.clone())
        };
        let Some((version, source)) = self.current() else { return Value::Null };
        let review = required(&source.loaded.organization);
        let mut told = json!(version);
        merge(
            &mut told,
            json!({
                "follows": follows.then(|| self.given_name()),
                "approvals_needed": review.map(|review| review.approvals),
                "drift": drift.as_ref().map(|drift| drift.told()),
            }),
        );
        told
    }
}

/// A version as the journal records it.
fn recorded(version: &Version, organization: &str) -> Value {
    let entry = &version.entry;
    let mut event = json!({
        "digest": entry.digest, "source": entry.source, "organization": organization, "version": version.version, "origin": entry.origin,
        "by": version.by, "reason": version.reason,
    });
    for (key, value) in [
        ("plan", json!(entry.plan)),
        ("applied_by", json!(entry.applied_by)),
        ("again", json!(entry.again)),
        ("reviewers", if entry.reviewers.is_empty() { Value::Null } else { json!(entry.reviewers) }),
    ] {
        if !value.is_null() {
            merge(&mut event, json!({key: value}));
        }
    }
    event
}

/// Puts the members of an object into another one.
pub(crate) fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// What a fault says, for people.
fn detail(fault: &Value) -> String {
    fault.get("error").and_then(Value::as_str).map_or_else(|| fault.to_string(), str::to_owned)
}
