//! The operator's requests about changes: plan, apply, roll back, review, and look back. What they say, without a gateway's being up, the
//! command line says from the store with the same functions.

use std::sync::Arc;

use http::StatusCode;
use remit_config::SourceFile;
use remit_control::versions::{Approved, Candidate, Origin, Plan, Version, VersionError, Versions, plan_digest};
use remit_control::{DirectoryError, Source, history, plan, review};
use remit_kernel::Catalogue;
use remit_store::StoreError;
use serde_json::{Value, json};

use crate::change::{merge, required};
use crate::now_secs;
use crate::up::World;

/// The most versions of one answer.
const HISTORY_MAX: usize = 1_000;
/// The most bytes of one answer's versions, as JSON.
const HISTORY_BYTES_MAX: usize = 512 * 1024;
/// How many are answered where nobody says.
const HISTORY: usize = 20;
/// The longest author or reason, in bytes.
const SAID_BYTES_MAX: usize = 1_000;
/// The longest path of a file, in bytes.
const PATH_BYTES_MAX: usize = 1_024;
/// The most files of a configuration.
const FILES_MAX: usize = 10_000;
/// How many changes are told of what happened in between.
const SINCE_MAX: usize = 50;

/// Why a request came to nothing: the status, and what is to be said.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) Value);

impl Refused {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or_default();
        Self(status, json!({"title": title, "status": status.as_u16(), "detail": detail.into()}))
    }

    fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    fn with(mut self, more: Value) -> Self {
        merge(&mut self.1, more);
        self
    }
}

impl From<VersionError> for Refused {
    fn from(error: VersionError) -> Self {
        let status = match &error {
            VersionError::Limit(_) | VersionError::Store(StoreError::Conflict { .. }) => StatusCode::CONFLICT,
            VersionError::Store(StoreError::Invalid(_)) => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl From<DirectoryError> for Refused {
    fn from(error: DirectoryError) -> Self {
        let refused = Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
        match error {
            DirectoryError::Faults(faults) => {
                refused.with(json!({"faults": plan::within(&faults, HISTORY_BYTES_MAX), "faults_count": faults.len()}))
            }
            _ => refused,
        }
    }
}

/// What came of a request.
type Answer = Result<(StatusCode, Value), Refused>;

/// What somebody wants to be in effect.
struct Wanted {
    files: Vec<SourceFile>,
    origin: Origin,
    source: String,
    again: Option<u64>,
    by: String,
    reason: String,
    /// The plan that was shown, or the first digits of its digest: nothing else is applied.
    expect: Option<String>,
}

fn text<'a>(request: &'a Value, key: &str) -> Result<Option<&'a str>, Refused> {
    match request.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= SAID_BYTES_MAX => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(_) => Err(Refused::bad(format!("`{key}` is a text of at most {SAID_BYTES_MAX} bytes"))),
    }
}

fn number(request: &Value, key: &str) -> Result<Option<u64>, Refused> {
    match request.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| Refused::bad(format!("`{key}` is a whole number"))),
    }
}

fn needed<'a>(request: &'a Value, key: &str, why: &str) -> Result<&'a str, Refused> {
    text(request, key)?.ok_or_else(|| Refused::bad(format!("`{key}` is missing: {why}")))
}

fn files(request: &Value) -> Result<Vec<SourceFile>, Refused> {
    let list = request.get("files").and_then(Value::as_array);
    let list = list.ok_or_else(|| Refused::bad("`files` is missing: a list of `path` and `text`"))?;
    if list.len() > FILES_MAX {
        return Err(Refused::bad(format!("a configuration has at most {FILES_MAX} files")));
    }
    let file = |file: &Value| {
        let (path, text) = (file.get("path").and_then(Value::as_str)?, file.get("text").and_then(Value::as_str)?);
        let inside = !path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let fits = path.len() <= PATH_BYTES_MAX && inside && remit_config::is_source(path);
        fits.then(|| SourceFile { path: path.to_owned(), text: text.to_owned() })
    };
    let unfit = || Refused::bad("each of `files` has a `path` below the directory that is a configuration's, and a `text`");
    let mut files: Vec<SourceFile> = list.iter().map(|one| file(one).ok_or_else(unfit)).collect::<Result<_, _>>()?;
    files.sort();
    let twice = files.windows(2).find(|pair| matches!(pair, [one, other] if one.path == other.path));
    match twice.and_then(|pair| pair.first()) {
        Some(file) => Err(Refused::bad(format!("the file `{}` was given twice", file.path))),
        None => Ok(files),
    }
}

/// Runs what takes long beside those who serve.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refused> + Send + 'static) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the request failed")))
}

/// What a candidate would change, with the plan's digest.
pub(crate) fn planned(gateway: &str, base: &Version, before: &Source, after: &Source, catalogue: &Catalogue) -> Value {
    let prover = crate::prover();
    let mut told = plan::report(Some(before), after, catalogue, &|question| prover.answer(question), now_secs());
    merge(
        &mut told,
        json!({
            "plan": plan_digest(gateway, base.version, &base.entry.digest, &after.digest),
            "base": {"version": base.version, "digest": base.entry.digest},
            "candidate": after.digest,
            "unchanged": base.entry.digest == after.digest,
        }),
    );
    told
}

fn stored(versions: &Versions, number: u64) -> Result<Version, Refused> {
    let none = || Refused::new(StatusCode::NOT_FOUND, format!("there is no version {number}: see `remit history`"));
    versions.version(number)?.ok_or_else(none)
}

/// What two versions say differently, and what the later one newly grants and denies: `{from, to}` in.
pub(crate) fn compared(versions: &Versions, catalogue: &Catalogue, request: &Value) -> Result<Value, Refused> {
    let of =
        |key: &str| number(request, key)?.ok_or_else(|| Refused::bad(format!("`{key}` is missing: the number of a version")));
    let (from, to) = (stored(versions, of("from")?)?, stored(versions, of("to")?)?);
    let (before, after) = (Source::of(versions.files(&from)?)?, Source::of(versions.files(&to)?)?);
    let prover = crate::prover();
    let mut told = plan::report(Some(&before), &after, catalogue, &|question| prover.answer(question), now_secs());
    merge(&mut told, json!({"from": from, "to": to, "unchanged": before.digest == after.digest}));
    Ok(told)
}

/// The versions, the newest first: `{before?, count?}` in; with `{agent, tool}` those that changed the row of both.
pub(crate) fn looked_back(versions: &Versions, request: &Value) -> Result<Value, Refused> {
    let count = number(request, "count")?.map_or(HISTORY, |count| usize::try_from(count).unwrap_or(HISTORY_MAX));
    if !(1..=HISTORY_MAX).contains(&count) {
        return Err(Refused::bad(format!("`count` is 1 to {HISTORY_MAX}")));
    }
    if let (Some(agent), Some(tool)) = (text(request, "agent")?, text(request, "tool")?) {
        let (steps, more) = history::tool_policy(versions, agent, tool, count)?;
        let told = plan::within(&steps, HISTORY_BYTES_MAX);
        return Ok(json!({"agent": agent, "tool": tool, "more": more || told.len() < steps.len(), "versions": told}));
    }
    let before = number(request, "before")?.unwrap_or(u64::MAX);
    let mut found = versions.recent(before, count + 1)?;
    let more = found.len() > count;
    found.truncate(count);
    let told = plan::within(&found, HISTORY_BYTES_MAX);
    Ok(json!({"more": more || told.len() < found.len(), "versions": told}))
}

impl World {
    /// Answers a request about changes; `None` if there is no such request.
    pub(crate) async fn answer_change(&self, what: &str, request: Value) -> Option<(StatusCode, Value)> {
        let done = match what {
            "plan" => self.plan(&request).await,
            "apply" => self.apply(&request).await,
            "rollback" => self.rollback(&request).await,
            "plans" => self.plans(&request).await,
            "review" => self.review(&request).await,
            "withdraw" => self.withdraw(&request).await,
            "history" => {
                let versions = self.versions.clone();
                beside(move || looked_back(&versions, &request)).await.map(|told| (StatusCode::OK, told))
            }
            "files" => self.file(&request),
            "diff" => {
                let (versions, catalogue) = (self.versions.clone(), self.gateway.catalogue());
                beside(move || compared(&versions, &catalogue, &request)).await.map(|told| (StatusCode::OK, told))
            }
            _ => return None,
        };
        Some(done.unwrap_or_else(|Refused(status, said)| (status, said)))
    }

    fn in_effect(&self) -> Result<(Version, std::sync::Arc<Source>), Refused> {
        self.current().ok_or_else(|| Refused::new(StatusCode::SERVICE_UNAVAILABLE, "no configuration is in effect yet"))
    }

    /// The text of a file of the version in effect: `{path}` in.
    fn file(&self, request: &Value) -> Answer {
        let path = needed(request, "path", "which file?")?;
        let (version, source) = self.in_effect()?;
        let file = source.files.iter().find(|file| file.path == path);
        let file =
            file.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, format!("the version in effect has no file `{path}`")))?;
        Ok((StatusCode::OK, json!({"version": version.version, "path": file.path, "text": file.text})))
    }

    async fn plan(&self, request: &Value) -> Answer {
        let files = files(request)?;
        let (version, before) = self.in_effect()?;
        let review = required(&before.loaded.organization);
        let (catalogue, gateway) = (self.gateway.catalogue(), self.journal.verifier_key());
        let base = version.clone();
        let (source, mut told) = beside(move || {
            let source = Source::of(files)?;
            let told = planned(&gateway, &base, &before, &source, &catalogue);
            Ok((source, told))
        })
        .await?;
        if let Some(rule) = review
            && source.digest != version.entry.digest
        {
            let why = "changes are reviewed here, so the plan is kept: `--by` and `--reason` say whose it is and why";
            let wanted = Wanted {
                origin: Origin::Apply,
                source: text(request, "source")?.unwrap_or_default().to_owned(),
                again: None,
                by: needed(request, "by", why)?.to_owned(),
                reason: needed(request, "reason", why)?.to_owned(),
                expect: None,
                files: source.files.clone(),
            };
            let _one = self.reloading.lock().await;
            let (now, _) = self.in_effect()?;
            if now.version != version.version {
                let why = format!("version {} took effect while this was planned: plan again", now.version);
                return Err(Refused::new(StatusCode::CONFLICT, why));
            }
            let kept = self.submitted(&version, &source, &wanted).await?;
            merge(&mut told, json!({"review": self.standing_of(&rule, &kept)?}));
        }
        self.keep_planned(source);
        Ok((StatusCode::OK, told))
    }

    /// Keeps a plan for its reviewers.
    async fn submitted(&self, head: &Version, source: &Source, wanted: &Wanted) -> Result<Plan, Refused> {
        let gateway = self.journal.verifier_key();
        let digest = plan_digest(&gateway, head.version, &head.entry.digest, &source.digest);
        if let Some(kept) = self.versions.plan(&digest)? {
            return Ok(kept);
        }
        self.note(
            "plan_submitted",
            json!({"plan": digest, "base": head.version, "digest": source.digest, "by": wanted.by, "reason": wanted.reason}),
        )
        .await?;
        Ok(self.versions.submit(head, &gateway, &candidate(source, wanted, None), now_secs())?)
    }

    async fn note(&self, kind: &str, event: Value) -> Result<(), Refused> {
        let recorded = self.gateway.record(kind, event).await;
        recorded.map(|_| ()).map_err(|why| Refused::new(StatusCode::SERVICE_UNAVAILABLE, why))
    }

    fn standing_of(&self, rule: &remit_model::ChangeReview, plan: &Plan) -> Result<review::Standing, Refused> {
        Ok(review::standing(rule, &self.journal.verifier_key(), plan, &self.versions.reviews(&plan.plan)?))
    }

    async fn apply(&self, request: &Value) -> Answer {
        let _one = self.reloading.lock().await;
        let by = needed(request, "by", "who applies?")?.to_owned();
        let expect = text(request, "expect")?.map(str::to_owned);
        let wanted = match text(request, "plan")? {
            Some(digest) => {
                let plan = self.waiting(digest)?;
                Wanted {
                    files: self.versions.plan_files(&plan)?,
                    expect: Some(plan.plan.clone()),
                    origin: plan.origin,
                    source: plan.source,
                    again: plan.again,
                    by,
                    reason: plan.reason,
                }
            }
            None => Wanted {
                files: files(request)?,
                origin: Origin::Apply,
                source: text(request, "source")?.unwrap_or_default().to_owned(),
                again: None,
                by,
                reason: needed(request, "reason", "why is it applied?")?.to_owned(),
                expect,
            },
        };
        self.apply_wanted(wanted).await
    }

    async fn rollback(&self, request: &Value) -> Answer {
        let _one = self.reloading.lock().await;
        let to = number(request, "version")?.ok_or_else(|| Refused::bad("`version` is missing: to which?"))?;
        let version = stored(&self.versions, to)?;
        let (now, _) = self.in_effect()?;
        if let Some(base) = number(request, "base")?.filter(|base| *base != now.version) {
            let why = format!("version {} is in effect, not {base} from which it was to be rolled back: look again", now.version);
            return Err(Refused::new(StatusCode::CONFLICT, why));
        }
        let wanted = Wanted {
            files: self.versions.files(&version)?,
            origin: Origin::Rollback,
            source: format!("version {to}"),
            again: Some(to),
            by: needed(request, "by", "who rolls back?")?.to_owned(),
            reason: needed(request, "reason", "why is it rolled back?")?.to_owned(),
            expect: None,
        };
        self.apply_wanted(wanted).await
    }

    /// Applies what somebody wants, if nothing was changed in between and whoever must agree does. The caller holds `reloading`.
    async fn apply_wanted(&self, mut wanted: Wanted) -> Answer {
        let (version, before) = self.in_effect()?;
        let mut files = std::mem::take(&mut wanted.files);
        files.sort();
        let source = match self.take_planned(&remit_control::directory::digest(&files)) {
            Some(source) => source,
            None => beside(move || Ok(Source::of(files)?)).await?,
        };
        if source.digest == version.entry.digest {
            return Ok((StatusCode::OK, json!({"unchanged": true, "version": version.version, "digest": source.digest})));
        }
        let source = self.unviolated(source).await?;
        let digest = plan_digest(&self.journal.verifier_key(), version.version, &version.entry.digest, &source.digest);
        if let Some(shown) = wanted.expect.as_deref().filter(|shown| !names(shown, &digest)) {
            // Of which version it is the plan can be told: there are only so many.
            let recent = self.versions.recent(version.version, SINCE_MAX)?;
            let gateway = self.journal.verifier_key();
            let made_of = |old: &&Version| names(shown, &plan_digest(&gateway, old.version, &old.entry.digest, &source.digest));
            return Err(match recent.iter().find(made_of) {
                Some(old) => self.stale(shown, old.version, &version)?,
                None => Refused::new(
                    StatusCode::CONFLICT,
                    format!("this is not what the plan {shown} was made from: the files changed since, so plan again"),
                ),
            });
        }
        let mut approved = Approved { plan: digest.clone(), ..Approved::default() };
        let mut plan = None;
        if let Some(rule) = required(&before.loaded.organization) {
            let kept = self.submitted(&version, &source, &wanted).await?;
            let standing = self.standing_of(&rule, &kept)?;
            if !standing.approved {
                let held = json!({"held": true, "plan": digest, "base": version.version, "review": standing});
                return Ok((StatusCode::ACCEPTED, held));
            }
            approved.applied_by = Some(std::mem::take(&mut wanted.by)).filter(|by| *by != kept.by);
            approved.approvals = standing.approvals;
            // The version is what was reviewed: its author's, for its reason.
            wanted = Wanted {
                origin: kept.origin,
                source: kept.source.clone(),
                again: kept.again,
                by: kept.by.clone(),
                reason: kept.reason.clone(),
                ..wanted
            };
            plan = Some(kept);
        }
        // What the directory says already came from the directory: it goes on driving.
        if wanted.origin == Origin::Apply && self.directory_says(&source.digest) {
            wanted.origin = Origin::Directory;
        }
        let candidate = candidate(&source, &wanted, Some(approved));
        let warnings = source.loaded.warnings.clone();
        let snapshot = self.take(source, candidate).await.map_err(|fault| {
            let said = |key: &str| fault.get(key).and_then(Value::as_str);
            let (why, what) = (said("error").unwrap_or_default(), said("open").unwrap_or("nothing was changed"));
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, format!("{why}; {what}"))
        })?;
        self.unfollow().await;
        if let Some(plan) = plan {
            // One that stays is overtaken now, and can't be applied again.
            let _ = self.versions.close(&plan, now_secs());
        }
        let (version, _) = self.in_effect()?;
        let mut told = json!(version);
        merge(&mut told, json!({"snapshot": snapshot, "warnings": warnings}));
        Ok((StatusCode::OK, told))
    }

    /// A source none of whose invariants is violated.
    async fn unviolated(&self, source: Source) -> Result<Source, Refused> {
        let catalogue = self.gateway.catalogue();
        beside(move || {
            let organization = Arc::new(source.loaded.organization.clone());
            let prover = crate::prover();
            let checked = plan::invariants(&organization, &catalogue, &|question| prover.answer(question), now_secs());
            let violated = plan::violated(&checked);
            if violated.is_empty() {
                return Ok(source);
            }
            let names: Vec<String> = violated.iter().map(|checked| format!("`{}`", checked.invariant)).collect();
            let why = format!("the configuration allows what its invariants forbid: {}", names.join(", "));
            let told = json!({"invariants": plan::within(&violated, HISTORY_BYTES_MAX), "invariants_violated": violated.len()});
            Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, why).with(told))
        })
        .await
    }

    /// What happened since the version that a plan was made from.
    fn stale(&self, shown: &str, base: u64, now: &Version) -> Result<Refused, Refused> {
        let detail = format!(
            "the plan {shown} changes version {base}, and version {} is in effect by now: look at what happened in between, and plan again",
            now.version
        );
        let mut said = json!({"plan": shown, "base": base, "current": now.version});
        if base < now.version
            && let Some(old) = self.versions.version(base)?
        {
            let count = usize::try_from(now.version - base).unwrap_or(SINCE_MAX).min(SINCE_MAX);
            merge(&mut said, json!({"since": plan::within(&self.versions.recent(u64::MAX, count)?, HISTORY_BYTES_MAX)}));
            merge(&mut said, plan::differences(&self.versions.files(&old)?, &self.versions.files(now)?, SINCE_MAX));
        }
        Ok(Refused::new(StatusCode::CONFLICT, detail).with(said))
    }

    /// A plan that waits for its review. It may be named by the first digits of its digest.
    fn waiting(&self, digest: &str) -> Result<Plan, Refused> {
        let mut found = self.versions.plans()?.into_iter().filter(|plan| names(digest, &plan.plan));
        let (first, second) = (found.next(), found.next());
        match (first, second) {
            (Some(plan), None) => {
                let (version, _) = self.in_effect()?;
                if plan.base == version.version { Ok(plan) } else { Err(self.stale(&plan.plan, plan.base, &version)?) }
            }
            (Some(_), Some(_)) => Err(Refused::bad(format!("several plans begin with `{digest}`: write more of it"))),
            (None, _) => match self.versions.closed(digest)? {
                Some(plan) => {
                    let (version, _) = self.in_effect()?;
                    if plan.base == version.version {
                        return Err(Refused::new(StatusCode::CONFLICT, format!("the plan {} was withdrawn", plan.plan)));
                    }
                    Err(self.stale(&plan.plan, plan.base, &version)?)
                }
                None => Err(Refused::new(StatusCode::NOT_FOUND, format!("no plan `{digest}` waits: see `remit plans`"))),
            },
        }
    }

    async fn plans(&self, request: &Value) -> Answer {
        let (version, before) = self.in_effect()?;
        let rule = required(&before.loaded.organization);
        let standing = |plan: &Plan| rule.as_ref().map(|rule| self.standing_of(rule, plan)).transpose();
        let gateway = self.journal.verifier_key();
        let Some(digest) = text(request, "plan")? else {
            let mut all = Vec::new();
            for plan in self.versions.plans()?.into_iter().filter(|plan| plan.base == version.version) {
                let mut told = json!(plan);
                merge(&mut told, json!({"review": standing(&plan)?}));
                all.push(told);
            }
            let told = plan::within(&all, HISTORY_BYTES_MAX);
            return Ok((StatusCode::OK, json!({"plans": told, "plans_count": all.len(), "gateway": gateway})));
        };
        let plan = self.waiting(digest)?;
        let files = self.versions.plan_files(&plan)?;
        let (catalogue, named) = (self.gateway.catalogue(), gateway.clone());
        let mut told = beside(move || Ok(planned(&named, &version, &before, &Source::of(files)?, &catalogue))).await?;
        merge(&mut told, json!({"waiting": plan, "review": standing(&plan)?, "gateway": gateway}));
        Ok((StatusCode::OK, told))
    }

    async fn review(&self, request: &Value) -> Answer {
        let _one = self.reloading.lock().await;
        let plan = self.waiting(needed(request, "plan", "which one is reviewed?")?)?;
        let note =
            request.get("note").and_then(Value::as_str).ok_or_else(|| Refused::bad("`note` is missing: the signed review"))?;
        let (_, before) = self.in_effect()?;
        let rule = required(&before.loaded.organization);
        let refused = |error: review::ReviewError| Refused::new(StatusCode::FORBIDDEN, error.to_string());
        let said = review::verify(rule.as_ref(), &self.journal.verifier_key(), &plan, note).map_err(refused)?;
        let Some(rule) = rule else { return Err(refused(review::ReviewError::NoReviewers)) };
        self.note(
            "plan_reviewed",
            json!({"plan": plan.plan, "reviewer": said.reviewer, "answer": said.answer, "comment": said.comment, "note": note}),
        )
        .await?;
        self.versions.add_review(&plan.plan, &said.reviewer, note, now_secs())?;
        Ok((StatusCode::OK, json!({"plan": plan.plan, "said": said, "review": self.standing_of(&rule, &plan)?})))
    }

    async fn withdraw(&self, request: &Value) -> Answer {
        let _one = self.reloading.lock().await;
        let plan = self.waiting(needed(request, "plan", "which one is withdrawn?")?)?;
        let by = needed(request, "by", "who withdraws it?")?;
        self.note("plan_withdrawn", json!({"plan": plan.plan, "by": by})).await?;
        self.versions.close(&plan, now_secs())?;
        Ok((StatusCode::OK, json!({"plan": plan.plan, "withdrawn": true})))
    }
}

/// Whether this is a plan's digest, or the first of its digits, twelve at least.
fn names(shown: &str, plan: &str) -> bool {
    let digits = |text: &str| text.trim().trim_start_matches("sha256:").to_ascii_lowercase();
    let (shown, plan) = (digits(shown), digits(plan));
    shown.len() >= 12 && plan.starts_with(&shown)
}

fn candidate(source: &Source, wanted: &Wanted, plan: Option<Approved>) -> Candidate {
    Candidate {
        files: source.files.clone(),
        review: required(&source.loaded.organization),
        origin: wanted.origin,
        source: wanted.source.clone(),
        again: wanted.again,
        by: wanted.by.clone(),
        reason: wanted.reason.clone(),
        plan,
    }
}
