//! Journals of a few entries, and what a plain filter finds in them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use remit_index::{Bounds, Builder, Found, Index, Page, Question, Verdict};
use remit_journal::{Journal, Options, SigningKey};
use serde_json::Value;
use tempfile::TempDir;

/// A journal and the place of its index.
pub(crate) struct Log {
    dir: TempDir,
    pub(crate) entries: Vec<Vec<u8>>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), entries: Vec::new() }
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    pub(crate) fn place(&self) -> PathBuf {
        self.dir.path().join("index")
    }

    /// Appends entries, so many in a batch.
    pub(crate) fn append(&mut self, entries: &[Vec<u8>], batch: usize) {
        append_to(&self.journal(), entries, batch);
        self.entries.extend_from_slice(entries);
    }

    pub(crate) fn caught_up(&self) -> Index {
        let mut builder = Builder::open(self.place(), self.journal()).unwrap();
        builder.catch_up().unwrap();
        assert_eq!(builder.entries(), self.entries.len() as u64);
        self.index()
    }

    pub(crate) fn index(&self) -> Index {
        Index::new(self.place(), self.journal())
    }

    /// What a plain filter over the entries finds, the newest first.
    pub(crate) fn filtered(&self, question: &Question) -> Vec<Found> {
        filtered(&self.entries, question)
    }
}

pub(crate) fn append_to(journal: &Path, entries: &[Vec<u8>], batch: usize) {
    let key = SigningKey::from_seed(&[7; 32]);
    let options = Options { segment_bytes: 256 * 1024, reserve_bytes: 4096, ..Options::new(journal, "index.test/log") };
    let (journal, _) = Journal::open(options, key, |_, _| {}).unwrap();
    for entries in entries.chunks(batch.max(1)) {
        journal.append_many(entries.to_vec()).wait().unwrap();
    }
    journal.close();
}

pub(crate) fn filtered(entries: &[Vec<u8>], question: &Question) -> Vec<Found> {
    let values: Vec<Value> = entries.iter().map(|bytes| serde_json::from_slice(bytes).unwrap_or_default()).collect();
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let outcomes: HashMap<Option<String>, &Value> =
        values.iter().filter(|value| value["type"] == "outcome").map(|value| (text(value, "decision"), value)).collect();
    let mut found = Vec::new();
    for (index, value) in values.iter().enumerate() {
        if value["type"] != "decision" {
            continue;
        }
        let id = text(value, "id").unwrap_or_default();
        let outcome = outcomes.get(&text(value, "id"));
        let one = Found {
            index: index as u64,
            at_ms: remit_model::time_ms(value["time"].as_str().unwrap()).unwrap(),
            agent: text(value, "agent"),
            user: text(value, "user"),
            space: text(value, "space"),
            tool: text(value, "tool"),
            verdict: Verdict::parse(value["verdict"].as_str().unwrap()).unwrap(),
            reason: text(value, "reason"),
            risk: text(value, "risk"),
            outcome: outcome.and_then(|outcome| text(outcome, "outcome")),
            trace_id: text(value, "trace_id").unwrap_or_default(),
            approval: text(value, "approval"),
            id,
        };
        let is = |asked: &Option<String>, found: &Option<String>| asked.is_none() || asked == found;
        let line = |line: &Value| {
            let agrees = ["ALLOW", "NO_IMPACT"].contains(&line["effect"].as_str().unwrap());
            let decided = if one.verdict == Verdict::Allow { line["effect"] == "ALLOW" } else { !agrees };
            decided
                && question.layer.as_ref().is_none_or(|layer| line["checkType"] == layer.as_str())
                && question.statement.as_ref().is_none_or(|text| line["statement"].as_str().unwrap().contains(text.as_str()))
        };
        let said =
            (question.layer.is_none() && question.statement.is_none()) || value["layers"].as_array().unwrap().iter().any(line);
        if said
            && is(&question.agent, &one.agent)
            && is(&question.user, &one.user)
            && is(&question.space, &one.space)
            && is(&question.tool, &one.tool)
            && is(&question.reason, &one.reason)
            && is(&question.approval, &one.approval)
            && question.trace_id.as_ref().is_none_or(|trace| *trace == one.trace_id)
            && question.decision.as_ref().is_none_or(|id| *id == one.id)
            && question.verdict.is_none_or(|verdict| verdict == one.verdict)
            && question.since_ms.is_none_or(|since| one.at_ms >= since)
            && question.until_ms.is_none_or(|until| one.at_ms < until)
        {
            found.push(one);
        }
    }
    found.reverse();
    found
}

/// All pages of a question, put together.
pub(crate) fn all(index: &Index, question: &Question) -> Vec<Found> {
    let mut question = question.clone();
    let mut all = Vec::new();
    loop {
        let Page { decisions, next_cursor } = index.search(&question).unwrap();
        assert!(decisions.len() <= question.limit.max(1));
        all.extend(decisions);
        match next_cursor {
            Some(cursor) => question.cursor = Some(cursor),
            None => return all,
        }
    }
}

/// Bounds so low that every way of answering is taken.
pub(crate) fn tight() -> Bounds {
    Bounds { kinds_max: 3, decisions_max: 7, statements_max: 3, paths_max: 2 }
}
