//! Versions of the configuration: whole, immutable, each by somebody and for a reason; and the changes that wait for their reviewers.
//!
//! A version is one record of the store, which names a list of files, which names the texts. Lists and texts go by their SHA-256, so that a
//! text is kept once however many versions have it, and of a long one only the parts that are new (`parts`). All of it lands together, at
//! the version after the one that it was made from: of two that were made from the same version one is refused.

use std::sync::Arc;

use remit_config::SourceFile;
use remit_mcp::canonical::{hex, sha256};
use remit_model::ChangeReview;
use remit_store::{Note, Record, Store, StoreError, Write};
use serde::{Deserialize, Serialize};

use crate::{directory, parts};

const VERSION_KIND: &str = "configuration";
const VERSION_KEY: &str = "versions";
const PLAN_KIND: &str = "plan";
const REVIEW_KIND: &str = "plan_review";

/// The most versions that a store keeps.
pub const VERSIONS_MAX: u64 = 1_000_000;
/// The most plans that wait for a review at a time.
const PLANS_MAX: usize = 100;
/// How many versions are looked at in one go.
const FIND_COUNT: usize = 200;
/// The most reviews of one plan.
const REVIEWS_MAX: usize = 200;

/// Where a version came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The directory that the gateway was started with.
    Directory,
    /// The sample organization, which is part of the program.
    Sample,
    /// `remit apply`.
    Apply,
    /// `remit rollback`.
    Rollback,
}

/// What a version's record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The digest of all its files.
    pub digest: String,
    /// The list of its files, by the SHA-256 of the list.
    list: String,
    /// Where it came from.
    pub origin: Origin,
    /// Where it came from, for people: the directory's path.
    pub source: String,
    /// The version whose files it has again, for a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<u64>,
    /// Who has to agree to the next change; absent where nobody has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ChangeReview>,
    /// The digest of the plan that was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Who applied it, where that isn't its author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_by: Option<String>,
    /// The reviewers' signed notes that approved it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<String>,
    /// The names in those notes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<String>,
}

/// One version of the configuration. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Its number, from 1, without gaps.
    pub version: u64,
    /// Its author.
    pub by: String,
    /// Why it was made.
    pub reason: String,
    /// When, in seconds since the epoch.
    pub at_secs: u64,
    /// What its record says.
    #[serde(flatten)]
    pub entry: Entry,
}

/// A change that is to be: what [`Versions::keep`] makes a version of.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its files, by path.
    pub files: Vec<SourceFile>,
    /// Who has to agree to a change of it, if anybody.
    pub review: Option<ChangeReview>,
    /// Where it came from.
    pub origin: Origin,
    /// The same for people.
    pub source: String,
    /// The version whose files it has again.
    pub again: Option<u64>,
    /// Its author.
    pub by: String,
    /// Why.
    pub reason: String,
    /// The plan that it is, with its approvals.
    pub plan: Option<Approved>,
}

/// A plan that may be applied.
#[derive(Debug, Clone, Default)]
pub struct Approved {
    /// The plan's digest.
    pub plan: String,
    /// Who applies it.
    pub applied_by: Option<String>,
    /// The notes that approve it, each with its reviewer's name.
    pub approvals: Vec<(String, String)>,
}

/// A change that waits for its reviewers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its digest: [`plan_digest`].
    pub plan: String,
    /// The number of the version that it changes.
    pub base: u64,
    /// That version's digest.
    pub base_digest: String,
    /// The digest of the files that are to be.
    pub digest: String,
    list: String,
    /// Where it came from.
    pub origin: Origin,
    /// The same for people.
    pub source: String,
    /// The version whose files it has again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<u64>,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when, in seconds since the epoch.
    pub at_secs: u64,
}

/// Why versions could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is not what this program writes.
    #[error("the store's {0} can't be read: it was written by a newer Remit, or damaged")]
    Unreadable(String),
    /// A limit.
    #[error("{0}")]
    Limit(String),
    /// The store failed while it wrote, and again when it was asked whether it had written.
    #[error("the store failed and can't tell whether it kept the version: {0}")]
    Uncertain(StoreError),
}

/// The digest of a plan: of what it changes and what it makes of it. The version's number and the gateway's journal key make it one that
/// never comes again: an approval can't be used twice, nor elsewhere.
pub fn plan_digest(gateway: &str, base: u64, base_digest: &str, candidate: &str) -> String {
    let text = format!("remit plan\ngateway {gateway}\nbase {base} {base_digest}\ncandidate {candidate}\n");
    format!("sha256:{}", hex(&sha256(text.as_bytes())))
}

/// The versions of a store.
#[derive(Clone)]
pub struct Versions {
    store: Arc<dyn Store>,
}

impl std::fmt::Debug for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Versions")
    }
}

impl Versions {
    /// The versions of this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The newest version; `None` before the first.
    pub fn head(&self) -> Result<Option<Version>, VersionError> {
        self.store.get(VERSION_KIND, VERSION_KEY)?.as_ref().map(version).transpose()
    }

    /// One version; `None` if there is none of that number.
    pub fn version(&self, number: u64) -> Result<Option<Version>, VersionError> {
        let found = self.store.versions(VERSION_KIND, VERSION_KEY, number.saturating_add(1), 1)?;
        let found = found.first().map(version).transpose()?;
        Ok(found.filter(|found| found.version == number))
    }

    /// The versions below `before`, the newest first, at most `count`.
    pub fn recent(&self, before: u64, count: usize) -> Result<Vec<Version>, VersionError> {
        self.store.versions(VERSION_KIND, VERSION_KEY, before, count)?.iter().map(version).collect()
    }

    /// The newest version whose files have this digest; `None` if no version has.
    pub fn find(&self, digest: &str) -> Result<Option<Version>, VersionError> {
        let mut before = u64::MAX;
        loop {
            let some = self.recent(before, FIND_COUNT)?;
            let Some(last) = some.last() else { return Ok(None) };
            before = last.version;
            if let Some(found) = some.into_iter().find(|version| version.entry.digest == digest) {
                return Ok(Some(found));
            }
        }
    }

    /// The files of a version.
    pub fn files(&self, version: &Version) -> Result<Vec<SourceFile>, VersionError> {
        let files = self.texts(&self.list(&version.entry.list)?)?;
        whole(files, &version.entry.digest, &format!("version {}", version.version))
    }

    /// The paths of a version's files, each with the SHA-256 of its text.
    pub fn paths(&self, version: &Version) -> Result<Vec<(String, String)>, VersionError> {
        self.list(&version.entry.list)
    }

    /// One text by its SHA-256.
    pub fn text(&self, digest: &str) -> Result<String, VersionError> {
        parts::text(&*self.store, digest)?.ok_or_else(|| VersionError::Unreadable(format!("text {digest}")))
    }

    /// Makes the next version: durable and whole when this answers. `base` is the version that it was made from; if another one is the
    /// newest by now, nothing is written and the store's conflict is the answer.
    pub fn keep(&self, base: Option<u64>, candidate: &Candidate, now_secs: u64) -> Result<Version, VersionError> {
        if base.unwrap_or_default() >= VERSIONS_MAX {
            return Err(VersionError::Limit(format!(
                "the store holds {VERSIONS_MAX} versions and takes no more: go on with a new data directory"
            )));
        }
        let approved = candidate.plan.clone().unwrap_or_default();
        let (list, texts) = self.absent(&candidate.files)?;
        let entry = Entry {
            digest: directory::digest(&candidate.files),
            list,
            origin: candidate.origin,
            source: candidate.source.clone(),
            again: candidate.again,
            review: candidate.review.clone(),
            plan: candidate.plan.as_ref().map(|plan| plan.plan.clone()),
            applied_by: approved.applied_by,
            reviewers: approved.approvals.iter().map(|(name, _)| name.clone()).collect(),
            approvals: approved.approvals.into_iter().map(|(_, note)| note).collect(),
        };
        let body = serde_json::to_vec(&entry).map_err(|error| VersionError::Unreadable(error.to_string()))?;
        let note = Note { author: &candidate.by, reason: &candidate.reason, now_secs };
        let own = Write { kind: VERSION_KIND, key: VERSION_KEY, expected: base, body: &body };
        let mut writes: Vec<Write<'_>> = texts.iter().map(parts::Part::write).collect();
        writes.push(own);
        let number = base.unwrap_or_default() + 1;
        let kept =
            Version { version: number, by: candidate.by.clone(), reason: candidate.reason.clone(), at_secs: now_secs, entry };
        match self.store.put_all(&writes, note) {
            Ok(_) => Ok(kept),
            // It may have landed all the same: what is there tells.
            Err(failed @ StoreError::Unavailable(_)) => match self.version(number) {
                Ok(Some(found)) if found == kept => Ok(kept),
                Ok(_) => Err(failed.into()),
                Err(_) => Err(VersionError::Uncertain(failed)),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps a plan for its reviewers; one that is kept already stays as it is, and is the answer.
    pub fn submit(&self, head: &Version, gateway: &str, candidate: &Candidate, now_secs: u64) -> Result<Plan, VersionError> {
        let digest = directory::digest(&candidate.files);
        let plan = plan_digest(gateway, head.version, &head.entry.digest, &digest);
        if let Some(kept) = self.plan(&plan)? {
            return Ok(kept);
        }
        for stale in self.plans()?.into_iter().filter(|plan| plan.base != head.version) {
            self.close(&stale, now_secs)?;
        }
        if self.plans()?.len() >= PLANS_MAX {
            return Err(VersionError::Limit(format!(
                "{PLANS_MAX} plans wait for a review: apply one, or withdraw some with `remit plans --withdraw PLAN`"
            )));
        }
        let (list, texts) = self.absent(&candidate.files)?;
        let plan = Plan {
            plan,
            base: head.version,
            base_digest: head.entry.digest.clone(),
            digest,
            list,
            origin: candidate.origin,
            source: candidate.source.clone(),
            again: candidate.again,
            by: candidate.by.clone(),
            reason: candidate.reason.clone(),
            at_secs: now_secs,
        };
        let body = serde_json::to_vec(&plan).map_err(|error| VersionError::Unreadable(error.to_string()))?;
        let mut writes: Vec<Write<'_>> = texts.iter().map(parts::Part::write).collect();
        writes.push(Write { kind: PLAN_KIND, key: &plan.plan, expected: None, body: &body });
        self.store.put_all(&writes, Note { author: &plan.by, reason: &plan.reason, now_secs })?;
        Ok(plan)
    }

    /// A plan that waits, by its digest.
    pub fn plan(&self, digest: &str) -> Result<Option<Plan>, VersionError> {
        self.store.get(PLAN_KIND, digest)?.as_ref().map(plan).transpose()
    }

    /// A plan that no longer waits: it was applied, withdrawn or overtaken.
    pub fn closed(&self, digest: &str) -> Result<Option<Plan>, VersionError> {
        let history = self.store.versions(PLAN_KIND, digest, u64::MAX, 2)?;
        let gone = history.first().is_some_and(|last| last.deleted);
        history.iter().find(|record| gone && !record.deleted).map(plan).transpose()
    }

    /// Every plan that waits, the oldest first.
    pub fn plans(&self) -> Result<Vec<Plan>, VersionError> {
        let mut plans = self.store.list(PLAN_KIND)?.iter().map(plan).collect::<Result<Vec<_>, _>>()?;
        plans.sort_by(|a, b| (a.at_secs, &a.plan).cmp(&(b.at_secs, &b.plan)));
        Ok(plans)
    }

    /// The files of a plan.
    pub fn plan_files(&self, plan: &Plan) -> Result<Vec<SourceFile>, VersionError> {
        let files = self.texts(&self.list(&plan.list)?)?;
        whole(files, &plan.digest, "plan")
    }

    /// Ends a plan's waiting. It stays in the store as what it was.
    pub fn close(&self, plan: &Plan, now_secs: u64) -> Result<(), VersionError> {
        let Some(record) = self.store.get(PLAN_KIND, &plan.plan)? else { return Ok(()) };
        let note = Note { author: "remit", reason: "no longer waits", now_secs };
        self.store.delete(PLAN_KIND, &plan.plan, record.version, note)?;
        Ok(())
    }

    /// Keeps a review of a plan: a signed note that was verified.
    pub fn add_review(&self, plan: &str, reviewer: &str, note: &str, now_secs: u64) -> Result<(), VersionError> {
        let current = self.store.get(REVIEW_KIND, plan)?.map(|record| record.version);
        if current.is_some_and(|count| count >= REVIEWS_MAX as u64) {
            return Err(VersionError::Limit(format!("a plan takes at most {REVIEWS_MAX} reviews")));
        }
        let said = Note { author: reviewer, reason: "review", now_secs };
        self.store.put(REVIEW_KIND, plan, current, note.as_bytes(), said)?;
        Ok(())
    }

    /// The reviews of a plan, the oldest first: who, and the signed note.
    pub fn reviews(&self, plan: &str) -> Result<Vec<(String, String)>, VersionError> {
        let text = |record: Record| {
            let note = String::from_utf8(record.body).map_err(|_| VersionError::Unreadable("review".to_owned()))?;
            Ok((record.author, note))
        };
        self.store.history(REVIEW_KIND, plan)?.into_iter().map(text).collect()
    }

    /// What of these files the store doesn't have yet, with their list, whose SHA-256 comes first.
    fn absent(&self, files: &[SourceFile]) -> Result<(String, Vec<parts::Part>), VersionError> {
        let mut list = String::new();
        let digests: Vec<String> = files.iter().map(|file| parts::key(&file.text)).collect();
        for (file, digest) in files.iter().zip(&digests) {
            list.push_str(&format!("{digest} {}\n", serde_json::Value::from(file.path.as_str())));
        }
        let list_key = parts::key(&list);
        let mut absent = parts::Absent::new(&*self.store);
        if !absent.has(&list_key)? {
            // What the newest version has needn't be asked for one by one.
            if let Some(head) = self.head()? {
                absent.known(self.paths(&head)?.into_iter().map(|(_, digest)| digest));
            }
            for (file, digest) in files.iter().zip(&digests) {
                absent.add(digest, &file.text)?;
            }
            absent.add(&list_key, &list)?;
        }
        Ok((list_key, absent.into_parts()))
    }

    fn list(&self, list: &str) -> Result<Vec<(String, String)>, VersionError> {
        let unreadable = || VersionError::Unreadable(format!("list of files {list}"));
        let text = self.text(list)?;
        let line = |line: &str| {
            let (digest, path) = line.split_once(' ')?;
            Some((serde_json::from_str(path).ok()?, digest.to_owned()))
        };
        text.lines().map(|text| line(text).ok_or_else(unreadable)).collect()
    }

    fn texts(&self, list: &[(String, String)]) -> Result<Vec<SourceFile>, VersionError> {
        list.iter().map(|(path, digest)| Ok(SourceFile { path: path.clone(), text: self.text(digest)? })).collect()
    }
}

/// Only what was stored counts: texts that were changed in the store are nobody's version.
fn whole(files: Vec<SourceFile>, digest: &str, what: &str) -> Result<Vec<SourceFile>, VersionError> {
    if directory::digest(&files) == digest { Ok(files) } else { Err(VersionError::Unreadable(what.to_owned())) }
}

fn version(record: &Record) -> Result<Version, VersionError> {
    let entry =
        serde_json::from_slice(&record.body).map_err(|_| VersionError::Unreadable(format!("version {}", record.version)))?;
    let (by, reason) = (record.author.clone(), record.reason.clone());
    Ok(Version { version: record.version, by, reason, at_secs: record.at_secs, entry })
}

fn plan(record: &Record) -> Result<Plan, VersionError> {
    serde_json::from_slice(&record.body).map_err(|_| VersionError::Unreadable("plan".to_owned()))
}
