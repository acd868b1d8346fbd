//! Entries into rows, a batch at a time: all of a batch or nothing.

use std::collections::HashMap;

use remit_tlog::Hash;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::entry::{Decision, Entry, Line};
use crate::question::Verdict;
use crate::tables::{BLOCK, Id};

/// How many texts and kinds are remembered so that they need not be looked up.
const REMEMBERED_MAX: usize = 200_000;
/// The steps in which decisions are counted, in seconds.
pub(crate) const STEPS_SECS: [i64; 3] = [300, 3_600, 86_400];

/// What decisions have in common: the ids of words, the verdict, the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    agent: i64,
    space: i64,
    tool: i64,
    verdict: i64,
    reason: i64,
    risk: i64,
    path: i64,
}

/// A decision that is yet to be written.
struct Row {
    at: i64,
    kind: i64,
    time_ms: i64,
    id: Id,
    trace: Option<Id>,
    approval: Option<Id>,
    user: Option<i64>,
    outcome: Option<(i64, i64)>,
}

/// What a batch has gathered, written when it ends.
#[derive(Default)]
struct Gathered {
    rows: Vec<Row>,
    by_id: HashMap<Id, usize>,
    tallies: HashMap<(i64, i64, i64, i64), [i64; 3]>,
    blocks: HashMap<i64, (i64, i64)>,
    lasts: HashMap<i64, i64>,
    tiles: Vec<(i64, Hash)>,
    erased: Vec<[u64; 2]>,
}

/// Ids that were looked up or given out. They hold only while their batch does: a batch that failed forgets them.
#[derive(Default)]
pub(crate) struct Memory {
    words: HashMap<String, i64>,
    paths: HashMap<String, i64>,
    kinds: HashMap<Kind, i64>,
}

impl Memory {
    fn trim(&mut self) {
        if self.words.len() > REMEMBERED_MAX || self.paths.len() > REMEMBERED_MAX || self.kinds.len() > REMEMBERED_MAX {
            *self = Self::default();
        }
    }
}

/// A batch that is being written.
pub(crate) struct Writing<'a> {
    transaction: Transaction<'a>,
    memory: &'a mut Memory,
    gathered: Gathered,
    /// Whether rows were erased before the last of what is gathered.
    erased: bool,
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl<'a> Writing<'a> {
    pub(crate) fn begin(connection: &'a mut Connection, memory: &'a mut Memory) -> rusqlite::Result<Self> {
        memory.trim();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        Ok(Self { transaction, memory, gathered: Gathered::default(), erased: false })
    }

    /// Takes an entry.
    ///
    /// Answers the range of entries that were erased and are back, if it says that there is one: they are to be [taken again](Self::retake).
    pub(crate) fn take(&mut self, index: u64, bytes: &[u8]) -> rusqlite::Result<Option<(u64, u64)>> {
        match Entry::read(bytes) {
            Entry::Decision(decision) => self.decision(signed(index), &decision, true)?,
            Entry::Outcome { decision, outcome } => self.outcome(signed(index), &Id::of(&decision), &outcome)?,
            Entry::Restored(first, end) => return Ok(Some((first, end))),
            Entry::Erased(ranges) => self.gathered.erased.extend(ranges),
            Entry::Other => {}
        }
        Ok(None)
    }

    /// Takes an entry that was taken before and was erased meanwhile: it was counted then, and isn't again.
    pub(crate) fn retake(&mut self, index: u64, bytes: &[u8]) -> rusqlite::Result<()> {
        match Entry::read(bytes) {
            Entry::Decision(decision) => self.decision(signed(index), &decision, false),
            Entry::Outcome { decision, outcome } => self.outcome(signed(index), &Id::of(&decision), &outcome),
            _ => Ok(()),
        }
    }

    /// Writes what was gathered so far, without ending the batch.
    pub(crate) fn flush(&mut self, entries: u64) -> rusqlite::Result<bool> {
        self.write(entries)?;
        self.erase()?;
        let erased = !self.gathered.erased.is_empty();
        if erased {
            // Words may be gone with them.
            *self.memory = Memory::default();
        }
        self.erased |= erased;
        self.gathered = Gathered::default();
        Ok(erased)
    }

    /// Takes the root of 256 entries.
    pub(crate) fn tile(&mut self, number: u64, root: Hash) {
        self.gathered.tiles.push((signed(number), root));
    }

    fn decision(&mut self, at: i64, decision: &Decision<'_>, counts: bool) -> rusqlite::Result<()> {
        let kind = Kind {
            agent: self.word(&decision.agent)?,
            space: self.word(&decision.space)?,
            tool: self.word(&decision.tool)?,
            verdict: decision.verdict.code(),
            reason: self.word(&decision.reason)?,
            risk: self.word(&decision.risk)?,
            path: self.path(&decision.lines)?,
        };
        let (number, time_ms) = (self.kind(kind)?, signed(decision.at_ms));
        let id = Id::of(&decision.id);
        let trace = Some(Id::of(&decision.trace_id)).filter(|trace| *trace != id);
        let approval = Some(&decision.approval).filter(|approval| !approval.is_empty()).map(|approval| Id::of(approval));
        let user = Some(self.word(&decision.user)?).filter(|user| *user > 0);
        let gathered = &mut self.gathered;
        gathered.by_id.insert(id.clone(), gathered.rows.len());
        gathered.rows.push(Row { at, kind: number, time_ms, id, trace, approval, user, outcome: None });
        gathered.lasts.insert(number, at);
        let block = gathered.blocks.entry(at / BLOCK).or_insert((time_ms, time_ms));
        *block = (block.0.min(time_ms), block.1.max(time_ms));
        for step in STEPS_SECS.into_iter().filter(|_| counts) {
            let from = (time_ms / 1000).div_euclid(step) * step;
            for (by, key) in [(0, 0), (1, kind.space), (2, kind.agent), (3, kind.tool)] {
                let counts = gathered.tallies.entry((step, by, from, key)).or_default();
                for verdict in Verdict::ALL {
                    if let Some(count) = usize::try_from(verdict.code()).ok().and_then(|place| counts.get_mut(place)) {
                        *count += i64::from(verdict == decision.verdict);
                    }
                }
            }
        }
        Ok(())
    }

    fn outcome(&mut self, at: i64, decision: &Id, outcome: &str) -> rusqlite::Result<()> {
        let outcome = self.word(outcome)?;
        if let Some(row) = self.gathered.by_id.get(decision).and_then(|place| self.gathered.rows.get_mut(*place)) {
            row.outcome = Some((outcome, at));
            return Ok(());
        }
        let update = "UPDATE decision SET outcome = ?2, outcome_at = ?3 WHERE id = ?1";
        self.transaction.prepare_cached(update)?.execute(params![decision, outcome, at]).map(drop)
    }

    /// The id of a word; 0 is none.
    fn word(&mut self, text: &str) -> rusqlite::Result<i64> {
        if text.is_empty() {
            return Ok(0);
        }
        if let Some(known) = self.memory.words.get(text) {
            return Ok(*known);
        }
        let found = self.transaction.prepare_cached("SELECT id FROM word WHERE text = ?1")?.query_row([text], |row| row.get(0));
        let id = match found.optional()? {
            Some(id) => id,
            None => self.transaction.prepare_cached("INSERT INTO word (text) VALUES (?1)")?.insert([text])?,
        };
        self.memory.words.insert(text.to_owned(), id);
        Ok(id)
    }

    /// The id of everything that a decision's layers said; 0 where none said anything.
    fn path(&mut self, lines: &[Line<'_>]) -> rusqlite::Result<i64> {
        if lines.is_empty() {
            return Ok(0);
        }
        let mut said = String::with_capacity(512);
        for line in lines {
            said.extend([&*line.layer, "\u{1}", &*line.statement, "\u{2}"]);
        }
        if let Some(known) = self.memory.paths.get(&said) {
            return Ok(*known);
        }
        let mut statements = lines.iter().map(|line| self.statement(line)).collect::<rusqlite::Result<Vec<i64>>>()?;
        statements.dedup();
        let text = statements.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let find = self.transaction.prepare_cached("SELECT id FROM path WHERE statements = ?1");
        let found: Option<i64> = find?.query_row([&text], |row| row.get(0)).optional()?;
        let id = match found {
            Some(id) => id,
            None => self.path_new(&text, &statements)?,
        };
        self.memory.paths.insert(said, id);
        Ok(id)
    }

    fn path_new(&self, text: &str, statements: &[i64]) -> rusqlite::Result<i64> {
        let id = self.prepared("INSERT INTO path (statements) VALUES (?1)")?.insert([text])?;
        let mut line = self.prepared("INSERT OR IGNORE INTO path_line (statement, path) VALUES (?1, ?2)")?;
        for statement in statements {
            line.execute([*statement, id])?;
        }
        Ok(id)
    }

    fn statement(&self, line: &Line<'_>) -> rusqlite::Result<i64> {
        let (layer, text) = (&*line.layer, &*line.statement);
        let mut find = self.transaction.prepare_cached("SELECT id FROM statement WHERE layer = ?1 AND text = ?2")?;
        if let Some(id) = find.query_row([layer, text], |row| row.get(0)).optional()? {
            return Ok(id);
        }
        let insert = self.transaction.prepare_cached("INSERT INTO statement (layer, text) VALUES (?1, ?2)");
        let id = insert?.insert([layer, text])?;
        let insert = self.transaction.prepare_cached("INSERT INTO statement_text (rowid, text) VALUES (?1, ?2)");
        insert?.execute(params![id, text])?;
        Ok(id)
    }

    fn kind(&mut self, kind: Kind) -> rusqlite::Result<i64> {
        if let Some(known) = self.memory.kinds.get(&kind) {
            return Ok(*known);
        }
        let Kind { agent, space, tool, verdict, reason, risk, path } = kind;
        let all = [agent, space, tool, verdict, reason, risk, path];
        let find = "SELECT id FROM kind WHERE agent = ?1 AND space = ?2 AND tool = ?3 AND verdict = ?4 AND reason = ?5
            AND risk = ?6 AND path = ?7";
        let insert =
            "INSERT INTO kind (agent, space, tool, verdict, reason, risk, path, last) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, -1)";
        let id = match self.transaction.prepare_cached(find)?.query_row(all, |row| row.get(0)).optional()? {
            Some(id) => id,
            None => self.transaction.prepare_cached(insert)?.insert(all)?,
        };
        self.memory.kinds.insert(kind, id);
        Ok(id)
    }

    /// Writes what was gathered. `entries` is how many the index holds with this batch. Says whether rows were erased.
    pub(crate) fn commit(mut self, entries: u64) -> rusqlite::Result<bool> {
        let erased = self.flush(entries)?;
        self.transaction.commit()?;
        Ok(erased || self.erased)
    }

    /// Removes the rows of entries that are erased, and the names of people that nothing speaks of any more. Counts stay: they name nobody.
    fn erase(&self) -> rusqlite::Result<()> {
        let ids = |sql: &str, range: [i64; 2]| -> rusqlite::Result<Vec<i64>> {
            self.prepared(sql)?.query_map(range, |row| row.get(0))?.collect()
        };
        for [first, end] in &self.gathered.erased {
            let range = [signed(*first), signed(*end)];
            let kinds = ids("SELECT DISTINCT kind FROM decision WHERE at >= ?1 AND at < ?2", range)?;
            let users = ids("SELECT DISTINCT user FROM decision WHERE at >= ?1 AND at < ?2 AND user IS NOT NULL", range)?;
            let gone = self.prepared("DELETE FROM decision WHERE at >= ?1 AND at < ?2")?.execute(range)?;
            let gone = i64::try_from(gone).unwrap_or_default();
            self.prepared("UPDATE progress SET decisions = decisions - ?1")?.execute([gone])?;
            for kind in kinds {
                let newest = "UPDATE kind SET last = coalesce((SELECT max(at) FROM decision WHERE kind = ?1), -1) WHERE id = ?1";
                self.prepared(newest)?.execute([kind])?;
            }
            for user in users {
                let unused = "DELETE FROM word WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM decision WHERE user = ?1)
                    AND NOT EXISTS (SELECT 1 FROM kind WHERE ?1 IN (agent, space, tool, reason, risk))";
                self.prepared(unused)?.execute([user])?;
            }
        }
        Ok(())
    }

    fn prepared(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.transaction.prepare_cached(sql)
    }

    fn write(&self, entries: u64) -> rusqlite::Result<()> {
        let gathered = &self.gathered;
        let mut insert = self.prepared(
            "INSERT OR IGNORE INTO decision (at, kind, time_ms, id, trace, approval, user, outcome, outcome_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        let mut written = 0;
        for row in &gathered.rows {
            let (outcome, outcome_at) = row.outcome.unzip();
            written += insert.execute(params![
                row.at,
                row.kind,
                row.time_ms,
                row.id,
                row.trace,
                row.approval,
                row.user,
                outcome,
                outcome_at
            ])?;
        }
        let mut last = self.prepared("UPDATE kind SET last = max(last, ?2) WHERE id = ?1")?;
        for (kind, at) in &gathered.lasts {
            last.execute([kind, at])?;
        }
        let mut tally = self.prepared(
            "INSERT INTO tally (step_secs, by, at_secs, key, allow, deny, hold) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
            ON CONFLICT DO UPDATE SET allow = allow + excluded.allow, deny = deny + excluded.deny, hold = hold + excluded.hold",
        )?;
        let mut tallies: Vec<_> = gathered.tallies.iter().collect();
        // In the table's order, so that neighbours are written together.
        tallies.sort_unstable();
        for ((step, by, from, key), [allow, deny, hold]) in tallies {
            tally.execute(params![step, by, from, key, allow, deny, hold])?;
        }
        let mut block = self.prepared(
            "INSERT INTO block (id, first_ms, last_ms) VALUES (?1, ?2, ?3)
            ON CONFLICT DO UPDATE SET first_ms = min(first_ms, excluded.first_ms), last_ms = max(last_ms, excluded.last_ms)",
        )?;
        for (id, (first, last)) in &gathered.blocks {
            block.execute([id, first, last])?;
        }
        let mut tile = self.prepared("INSERT INTO tile (id, root) VALUES (?1, ?2)")?;
        for (id, root) in &gathered.tiles {
            tile.execute(params![id, root.as_bytes().as_slice()])?;
        }
        let decisions = signed(u64::try_from(written).unwrap_or(u64::MAX));
        let mut progress = self.prepared("UPDATE progress SET entries = ?1, decisions = decisions + ?2")?;
        progress.execute([signed(entries), decisions]).map(drop)
    }
}
