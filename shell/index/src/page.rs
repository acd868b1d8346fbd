//! The answers: a page of decisions, the newest first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params, params_from_iter};

use crate::IndexError;
use crate::question::{Question, Verdict};
use crate::tables::{self, BLOCK, Id};

/// What a page may cost. Where it is too little for a whole page, the page is short, and its cursor goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most kinds whose decisions are merged, and the most decisions that are taken of them; of more kinds, decisions are looked at one
    /// by one.
    pub kinds_max: usize,
    /// The most decisions that are looked at one by one.
    pub decisions_max: usize,
    /// The most statements that are told apart before decisions are looked at one by one.
    pub statements_max: usize,
    /// The most combinations of them.
    pub paths_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { kinds_max: 4_096, decisions_max: 50_000, statements_max: 20_000, paths_max: 20_000 }
    }
}

/// A decision, as far as the index knows it. The journal has the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The index of its entry.
    pub index: u64,
    /// Its id.
    pub id: String,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The agent, if it was known.
    pub agent: Option<String>,
    /// The user for whom it acted.
    pub user: Option<String>,
    /// The space.
    pub space: Option<String>,
    /// The tool, prompt or resource.
    pub tool: Option<String>,
    /// What was decided.
    pub verdict: Verdict,
    /// Why it was refused.
    pub reason: Option<String>,
    /// The risk.
    pub risk: Option<String>,
    /// How it ended, if it has.
    pub outcome: Option<String>,
    /// The trace.
    pub trace_id: String,
    /// The approval.
    pub approval: Option<String>,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The decisions, the newest first. There may be fewer than the limit, and even none, while there are more.
    pub decisions: Vec<Found>,
    /// Where to go on; `None` at the end.
    pub next_cursor: Option<String>,
}

/// The index, to be asked. It opens the file as it is there, and anew when another one is in its place.
#[derive(Debug)]
pub struct Index {
    pub(crate) dir: PathBuf,
    pub(crate) journal: PathBuf,
    bounds: Bounds,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    file: Option<(u64, u64)>,
}

/// A decision's row.
struct Raw {
    at: i64,
    kind: i64,
    time_ms: i64,
    id: Option<Id>,
    trace: Option<Id>,
    approval: Option<Id>,
    user: Option<i64>,
    outcome: Option<i64>,
}

const RAW: &str = "at, kind, time_ms, id, trace, approval, user, outcome";

impl Raw {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            at: row.get(0)?,
            kind: row.get(1)?,
            time_ms: row.get(2)?,
            id: row.get(3)?,
            trace: row.get(4)?,
            approval: row.get(5)?,
            user: row.get(6)?,
            outcome: row.get(7)?,
        })
    }
}

pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Index {
    /// The index in `dir` of the journal in `journal`; neither need exist yet.
    pub fn new(dir: impl Into<PathBuf>, journal: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), journal: journal.into(), bounds: Bounds::default(), open: Mutex::new(None) }
    }

    /// The same with other bounds.
    #[must_use]
    pub fn bounded(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Where it lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A page of the decisions that a question is about.
    pub fn search(&self, question: &Question) -> Result<Page, IndexError> {
        question.check()?;
        let (limit, before) = (question.limit()?, question.before()?);
        self.read(|connection| {
            let mut search = Search::new(connection, question, self.bounds)?;
            let Some(range) = search.range(before)? else { return Ok(Page { decisions: Vec::new(), next_cursor: None }) };
            let (rows, goes_on) = search.rows(range, limit)?;
            let decisions = rows.into_iter().map(|row| search.found(row)).collect::<Result<_, _>>()?;
            Ok(Page { decisions, next_cursor: goes_on.map(|at| question.cursor_at(unsigned(at))) })
        })
    }

    /// Where the decision with this id stands in the journal, and its outcome.
    pub fn places(&self, decision: &str) -> Result<Option<(u64, Option<u64>)>, IndexError> {
        self.place("SELECT at, outcome_at FROM decision WHERE id = ?1 ORDER BY at DESC LIMIT 1", &Id::of(decision))
    }

    /// The same of the decision at this place.
    pub fn places_at(&self, index: u64) -> Result<Option<(u64, Option<u64>)>, IndexError> {
        self.place("SELECT at, outcome_at FROM decision WHERE at = ?1", &signed(index))
    }

    fn place(&self, sql: &str, key: &dyn ToSql) -> Result<Option<(u64, Option<u64>)>, IndexError> {
        self.read(|connection| {
            let mut find = connection.prepare_cached(sql)?;
            let found: Option<(i64, Option<i64>)> = find.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            Ok(found.map(|(at, outcome)| (unsigned(at), outcome.map(unsigned))))
        })
    }

    /// How many entries it holds, and how many decisions are among them.
    pub fn size(&self) -> Result<(u64, u64), IndexError> {
        self.read(|connection| {
            let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let (entries, decisions): (i64, i64) =
                connection.prepare_cached("SELECT entries, decisions FROM progress")?.query_row([], read)?;
            Ok((unsigned(entries), unsigned(decisions)))
        })
    }

    /// Reads at one moment of the index.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, IndexError>) -> Result<T, IndexError> {
        let mut open: MutexGuard<'_, Option<Open>> = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let file = tables::identity(&self.dir);
        if open.as_ref().is_none_or(|open| open.file != file) {
            *open = None;
            *open = Some(Open { connection: tables::open_reader(&self.dir)?, file });
        }
        let Some(Open { connection, .. }) = &mut *open else { return Err(IndexError::Missing) };
        let transaction = connection.transaction()?;
        let done = read(&transaction);
        drop(transaction);
        if done.is_err() {
            *open = None;
        }
        done
    }
}

/// What a decision's user and kind must be.
struct Wanted {
    user: Option<i64>,
    /// Columns of `kind` and their values.
    columns: Vec<(&'static str, i64)>,
    said: Option<Said>,
}

/// What a layer must have said.
struct Said {
    /// One of these; `None` if they are too many.
    statements: Option<HashSet<i64>>,
    /// What they are of and hold; empty where nobody asks.
    layer: String,
    text: String,
    /// The combinations that hold one of them; `None` if they are too many.
    paths: Option<HashSet<i64>>,
}

impl Said {
    fn is_in(&self, connection: &Connection, path: i64) -> Result<bool, IndexError> {
        if let Some(paths) = &self.paths {
            return Ok(paths.contains(&path));
        }
        let mut get = connection.prepare_cached("SELECT statements FROM path WHERE id = ?1")?;
        let found: Option<String> = get.query_row([path], |row| row.get(0)).optional()?;
        let mut is_of = connection.prepare_cached(
            "SELECT 1 FROM statement WHERE id = ?1 AND (?2 = '' OR layer = ?2) AND (?3 = '' OR instr(text, ?3) > 0)",
        )?;
        for id in found.unwrap_or_default().split(',').filter_map(|id| id.parse::<i64>().ok()) {
            let meant = match &self.statements {
                Some(statements) => statements.contains(&id),
                None => is_of.exists(params![id, self.layer, self.text])?,
            };
            if meant {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// One search at one moment.
struct Search<'a> {
    connection: &'a Connection,
    question: &'a Question,
    bounds: Bounds,
    /// `None` if no decision can be meant.
    wanted: Option<Wanted>,
    judged: HashMap<i64, bool>,
    words: HashMap<i64, Option<String>>,
}

/// From which index to which: `low <= at < high`.
#[derive(Clone, Copy)]
struct Range {
    low: i64,
    high: i64,
}

impl<'a> Search<'a> {
    fn new(connection: &'a Connection, question: &'a Question, bounds: Bounds) -> Result<Self, IndexError> {
        let wanted = Wanted::of(connection, question, bounds)?;
        Ok(Self { connection, question, bounds, wanted, judged: HashMap::new(), words: HashMap::new() })
    }

    /// The indexes between which the time and the cursor leave decisions; `None` if nothing can be found.
    fn range(&self, before: Option<u64>) -> Result<Option<Range>, IndexError> {
        if self.wanted.is_none() {
            return Ok(None);
        }
        let block = |sql: &str, ms: u64| -> Result<Option<i64>, IndexError> {
            Ok(self.connection.prepare_cached(sql)?.query_row([signed(ms)], |row| row.get(0))?)
        };
        let mut range = Range { low: 0, high: before.map_or(i64::MAX, signed) };
        if let Some(since) = self.question.since_ms {
            match block("SELECT min(id) FROM block WHERE last_ms >= ?1", since)? {
                Some(first) => range.low = first.saturating_mul(BLOCK),
                None => return Ok(None),
            }
        }
        if let Some(until) = self.question.until_ms {
            match block("SELECT max(id) FROM block WHERE first_ms < ?1", until)? {
                Some(last) => range.high = range.high.min(last.saturating_add(1).saturating_mul(BLOCK)),
                None => return Ok(None),
            }
        }
        Ok((range.low < range.high).then_some(range))
    }

    /// The rows of a page, and where it goes on.
    fn rows(&mut self, range: Range, limit: usize) -> Result<(Vec<Raw>, Option<i64>), IndexError> {
        let Question { trace_id, approval, decision, .. } = self.question;
        if let Some(id) = decision {
            return self.among("id = ?1", &Id::of(id), range, limit);
        }
        if let Some(approval) = approval {
            return self.among("approval = ?1", &Id::of(approval), range, limit);
        }
        if let Some(trace) = trace_id {
            return self.traced(&Id::of(trace), range, limit);
        }
        if let Some(user) = self.wanted.as_ref().and_then(|wanted| wanted.user) {
            return self.among("user = ?1", &user, range, limit);
        }
        if self.wanted.as_ref().is_none_or(|wanted| wanted.is_any() || !wanted.is_told()) {
            return self.scan(range, limit, Vec::new());
        }
        self.merge(range, limit)
    }

    /// Those of a trace: named so, or whose own id it is.
    fn traced(&mut self, trace: &Id, range: Range, limit: usize) -> Result<(Vec<Raw>, Option<i64>), IndexError> {
        let (mut rows, mut goes_on) = self.among("trace = ?1", trace, range, limit)?;
        let low = Range { low: goes_on.unwrap_or(range.low), ..range };
        let (own, _) = self.among("id = ?1 AND trace IS NULL", trace, low, limit)?;
        rows.extend(own);
        rows.sort_by_key(|row| Reverse(row.at));
        if rows.len() > limit {
            rows.truncate(limit);
            goes_on = rows.last().map(|row| row.at);
        }
        Ok((rows, goes_on))
    }

    /// Those for which an indexed condition holds.
    fn among(&mut self, is: &str, key: &dyn ToSql, range: Range, limit: usize) -> Result<(Vec<Raw>, Option<i64>), IndexError> {
        let sql = format!("SELECT {RAW} FROM decision WHERE {is} AND at >= ?2 AND at < ?3 ORDER BY at DESC");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![key, range.low, range.high], Raw::read)?;
        self.take(rows, limit, range.high, Vec::new())
    }

    /// Looks at decisions one by one.
    fn scan(&mut self, range: Range, limit: usize, found: Vec<Raw>) -> Result<(Vec<Raw>, Option<i64>), IndexError> {
        let sql = format!("SELECT {RAW} FROM decision WHERE at >= ?1 AND at < ?2 ORDER BY at DESC");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([range.low, range.high], Raw::read)?;
        self.take(rows, limit, range.high, found)
    }

    /// Takes what is meant until the page is full, or enough was looked at.
    fn take(
        &mut self,
        rows: impl Iterator<Item = rusqlite::Result<Raw>>,
        limit: usize,
        mut high: i64,
        mut found: Vec<Raw>,
    ) -> Result<(Vec<Raw>, Option<i64>), IndexError> {
        for (looked_at, row) in rows.enumerate() {
            if found.len() >= limit || looked_at >= self.bounds.decisions_max {
                return Ok((found, Some(high)));
            }
            let row = row?;
            high = row.at;
            if self.is_meant(&row)? {
                found.push(row);
            }
        }
        Ok((found, None))
    }

    fn is_in_time(&self, row: &Raw) -> bool {
        self.question.since_ms.is_none_or(|since| row.time_ms >= signed(since))
            && self.question.until_ms.is_none_or(|until| row.time_ms < signed(until))
    }

    fn is_meant(&mut self, row: &Raw) -> Result<bool, IndexError> {
        let Some(wanted) = &self.wanted else { return Ok(false) };
        let same = |asked: &Option<String>, found: &Option<Id>| {
            asked.as_ref().is_none_or(|asked| found.as_ref() == Some(&Id::of(asked)))
        };
        let named = same(&self.question.trace_id, if row.trace.is_some() { &row.trace } else { &row.id })
            && same(&self.question.approval, &row.approval)
            && same(&self.question.decision, &row.id);
        if !named || !self.is_in_time(row) || wanted.user.is_some_and(|user| row.user != Some(user)) {
            return Ok(false);
        }
        if let Some(judged) = self.judged.get(&row.kind) {
            return Ok(*judged);
        }
        let meant = wanted.has(self.connection, row.kind)?;
        self.judged.insert(row.kind, meant);
        Ok(meant)
    }

    /// Merges the decisions of the kinds that are meant, the newest first.
    fn merge(&mut self, range: Range, limit: usize) -> Result<(Vec<Raw>, Option<i64>), IndexError> {
        let Some(wanted) = &self.wanted else { return Ok((Vec::new(), None)) };
        let kinds_max = self.bounds.kinds_max;
        let mut kinds = wanted.kinds(self.connection, kinds_max)?;
        // What a kind that is left out has is older than this.
        let floor = if kinds.len() > kinds_max { kinds.pop().map(|(_, last)| last) } else { None };
        let mut newest = self.connection.prepare_cached("SELECT max(at) FROM decision WHERE kind = ?1 AND at < ?2")?;
        let mut before = |kind: i64, high: i64| newest.query_row([kind, high], |row| row.get::<_, Option<i64>>(0));
        let mut heads = BinaryHeap::with_capacity(kinds.len());
        for (kind, last) in kinds {
            let head = if last < range.high { Some(last) } else { before(kind, range.high)? };
            heads.extend(head.filter(|head| *head >= range.low).map(|head| (head, kind)));
        }
        let mut get = self.connection.prepare_cached(&format!("SELECT {RAW} FROM decision WHERE at = ?1"))?;
        let (mut found, mut looked_at, mut last) = (Vec::new(), 0, None);
        while let Some((at, kind)) = heads.pop() {
            if floor.is_some_and(|floor| at <= floor) {
                break;
            }
            if found.len() >= limit || looked_at >= kinds_max {
                return Ok((found, last));
            }
            looked_at += 1;
            last = Some(at);
            let row = get.query_row([at], Raw::read)?;
            if self.is_in_time(&row) {
                found.push(row);
            }
            heads.extend(before(kind, at)?.filter(|head| *head >= range.low).map(|head| (head, kind)));
        }
        match floor {
            Some(floor) => {
                let high = last.unwrap_or(range.high).min(floor.saturating_add(1));
                self.scan(Range { high, ..range }, limit, found)
            }
            None => Ok((found, None)),
        }
    }

    fn found(&mut self, row: Raw) -> Result<Found, IndexError> {
        let columns = "SELECT agent, space, tool, reason, risk, verdict FROM kind WHERE id = ?1";
        let read = |row: &Row<'_>| -> rusqlite::Result<([i64; 5], i64)> {
            Ok(([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?], row.get(5)?))
        };
        let ([agent, space, tool, reason, risk], verdict) =
            self.connection.prepare_cached(columns)?.query_row([row.kind], read)?;
        let id = row.id.map(Id::text).unwrap_or_default();
        Ok(Found {
            index: unsigned(row.at),
            trace_id: row.trace.map_or_else(|| id.clone(), Id::text),
            id,
            at_ms: unsigned(row.time_ms),
            agent: self.word(agent)?,
            user: self.word(row.user.unwrap_or_default())?,
            space: self.word(space)?,
            tool: self.word(tool)?,
            verdict: Verdict::of_code(verdict),
            reason: self.word(reason)?,
            risk: self.word(risk)?,
            outcome: self.word(row.outcome.unwrap_or_default())?,
            approval: row.approval.map(Id::text),
        })
    }

    fn word(&mut self, id: i64) -> Result<Option<String>, IndexError> {
        if let Some(known) = self.words.get(&id) {
            return Ok(known.clone());
        }
        let word = word(self.connection, id)?;
        self.words.insert(id, word.clone());
        Ok(word)
    }
}

/// The word with this id.
pub(crate) fn word(connection: &Connection, id: i64) -> rusqlite::Result<Option<String>> {
    connection.prepare_cached("SELECT text FROM word WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()
}

impl Wanted {
    /// `None` if a text is asked for that stands nowhere.
    fn of(connection: &Connection, question: &Question, bounds: Bounds) -> Result<Option<Self>, IndexError> {
        let Question { agent, user, space, tool, reason, .. } = question;
        let mut columns = Vec::new();
        let mut user_id = None;
        for (column, text) in [("agent", agent), ("user", user), ("space", space), ("tool", tool), ("reason", reason)] {
            let Some(text) = text else { continue };
            let mut find = connection.prepare_cached("SELECT id FROM word WHERE text = ?1")?;
            let Some(id) = find.query_row([text], |row| row.get(0)).optional()? else { return Ok(None) };
            if column == "user" {
                user_id = Some(id);
            } else {
                columns.push((column, id));
            }
        }
        columns.extend(question.verdict.map(|verdict| ("verdict", verdict.code())));
        let said = said(connection, question.statement.as_deref(), question.layer.as_deref(), bounds)?;
        if said.as_ref().and_then(|said| said.statements.as_ref()).is_some_and(HashSet::is_empty) {
            return Ok(None);
        }
        Ok(Some(Self { user: user_id, columns, said }))
    }

    /// Whether every kind is meant.
    fn is_any(&self) -> bool {
        self.columns.is_empty() && self.said.is_none()
    }

    /// Whether its kinds can be told without looking at each.
    fn is_told(&self) -> bool {
        self.said.as_ref().is_none_or(|said| said.paths.is_some())
    }

    /// The kinds that are meant with the newest decision of each, those with the newest first, and one more than are merged.
    fn kinds(&self, connection: &Connection, most: usize) -> Result<Vec<(i64, i64)>, IndexError> {
        let mut sql = "SELECT id, last FROM kind WHERE last >= 0".to_owned();
        let mut values: Vec<Value> = Vec::new();
        for (column, value) in &self.columns {
            values.push(Value::Integer(*value));
            sql.push_str(&format!(" AND {column} = ?{}", values.len()));
        }
        if let Some(paths) = self.said.as_ref().and_then(|said| said.paths.as_ref()) {
            let list = paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            values.push(Value::Text(format!("[{list}]")));
            sql.push_str(&format!(" AND path IN (SELECT value FROM json_each(?{}))", values.len()));
        }
        sql.push_str(&format!(" ORDER BY last DESC LIMIT {}", most + 1));
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether a kind is meant.
    fn has(&self, connection: &Connection, kind: i64) -> Result<bool, IndexError> {
        if self.is_any() {
            return Ok(true);
        }
        let names = ["agent", "space", "tool", "reason", "verdict", "path"];
        let mut get = connection.prepare_cached("SELECT agent, space, tool, reason, verdict, path FROM kind WHERE id = ?1")?;
        let mut rows = get.query([kind])?;
        let Some(row) = rows.next()? else { return Ok(false) };
        for (place, name) in names.into_iter().enumerate() {
            let value: i64 = row.get(place)?;
            let differs = self.columns.iter().any(|(column, wanted)| *column == name && *wanted != value);
            if differs {
                return Ok(false);
            }
            if let (true, Some(said)) = (name == "path", &self.said) {
                return said.is_in(connection, value);
            }
        }
        Ok(true)
    }
}

/// The statements that are of this layer and hold this text.
fn said(connection: &Connection, text: Option<&str>, layer: Option<&str>, bounds: Bounds) -> Result<Option<Said>, IndexError> {
    let sql = match (text, layer) {
        (None, None) => return Ok(None),
        (None, Some(_)) => "SELECT id FROM statement WHERE layer = ?2 AND ?1 = '' ORDER BY id DESC LIMIT ?3",
        (Some(_), None) => {
            "SELECT rowid FROM statement_text WHERE statement_text MATCH ?1 AND ?2 = '' ORDER BY rowid DESC LIMIT ?3"
        }
        (Some(_), Some(_)) => {
            "SELECT statement.id FROM statement_text JOIN statement ON statement.id = statement_text.rowid
            WHERE statement_text MATCH ?1 AND statement.layer = ?2 ORDER BY statement_text.rowid DESC LIMIT ?3"
        }
    };
    // A phrase, in which nothing but the text stands.
    let phrase = text.map(|text| format!("\"{}\"", text.replace('"', "\"\""))).unwrap_or_default();
    let mut find = connection.prepare_cached(sql)?;
    let most = bounds.statements_max;
    let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
    let found = find.query_map(params![phrase, layer.unwrap_or_default(), limit], |row| row.get(0))?;
    let statements: HashSet<i64> = found.collect::<Result<_, _>>()?;
    let mut said = Said {
        statements: None,
        layer: layer.unwrap_or_default().to_owned(),
        text: text.unwrap_or_default().to_owned(),
        paths: None,
    };
    if statements.len() > most {
        return Ok(Some(said));
    }
    let mut of = connection.prepare_cached("SELECT path FROM path_line WHERE statement = ?1")?;
    let mut paths = HashSet::new();
    for statement in &statements {
        for path in of.query_map([statement], |row| row.get(0))? {
            if paths.len() <= bounds.paths_max {
                paths.insert(path?);
            }
        }
    }
    said.paths = Some(paths).filter(|paths| paths.len() <= bounds.paths_max);
    said.statements = Some(statements);
    Ok(Some(said))
}
