//! What an index of millions of entries costs, and how long questions take:
//! `cargo run --release -p remit-index --example millions [DIR] [ENTRIES]`.
//!
//! It writes a journal of decisions and outcomes as the gateway writes them (200 agents, 40 users, 300 tools and 10 spaces, few of which are
//! used much, over 90 days), indexes it, and asks each question five times, from a cold reader on: the slowest and the middle one are told.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use remit_index::{Builder, By, Counts, Index, Question, Verdict};
use remit_journal::{Journal, Options, SigningKey};

/// How many entries are appended at once.
const BATCH: usize = 2_000;
/// 1 March 2026, in milliseconds since the epoch.
const BEGIN_MS: u64 = 1_772_323_200_000;
const DAYS: u64 = 90;

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().map_or_else(|| std::env::temp_dir().join("remit-millions"), PathBuf::from);
    let entries: u64 = arguments.next().map_or(Ok(10_000_000), |text| text.parse())?;
    let (journal, index) = (dir.join("journal"), dir.join("index"));
    let mut out = std::io::stdout();
    if !journal.exists() {
        let began = Instant::now();
        write(&journal, entries)?;
        writeln!(out, "written   {entries} entries in {:.0} s, {} MiB", began.elapsed().as_secs_f64(), bytes(&journal)? >> 20)?;
    }
    Builder::wipe(&index)?;
    let began = Instant::now();
    let mut builder = Builder::open(&index, &journal)?;
    builder.catch_up()?;
    let (count, took) = (builder.entries(), began.elapsed().as_secs_f64());
    drop(builder);
    let size = bytes(&index)?;
    writeln!(out, "indexed   {count} entries in {took:.1} s: {:.0} a second", count as f64 / took)?;
    writeln!(out, "size      {} MiB: {:.1} bytes an entry", size >> 20, size as f64 / count as f64)?;
    let began = Instant::now();
    drop(Builder::open(&index, &journal)?);
    writeln!(out, "resumed   in {:.1} ms", began.elapsed().as_secs_f64() * 1e3)?;
    searched(&mut out, &index, &journal, count)?;
    let since_secs = BEGIN_MS / 1000;
    for (what, days, step_secs, by) in [
        ("counts, 90 days by day and agent", DAYS, 86_400, Some(By::Agent)),
        ("counts, 30 days by hour and space", 30, 3_600, Some(By::Space)),
        ("counts, 30 days by hour and agent", 30, 3_600, Some(By::Agent)),
        ("counts, 5 days by 5 minutes and tool", 5, 300, Some(By::Tool)),
        ("counts, 90 days by hour", 80, 3_600, None),
    ] {
        let counts = Counts { since_secs, until_secs: since_secs + days * 86_400, step_secs, by };
        time(&mut out, what, &index, &journal, |index| Ok(index.counts(&counts)?.len()))?;
    }
    for (what, at) in [("entry in the middle", count / 2), ("entry at the end", count - 1)] {
        time(&mut out, what, &index, &journal, |index| Ok(usize::from(index.entry(at)?.is_some())))?;
        time(&mut out, "    with its proof", &index, &journal, |index| Ok(index.proof(at)?.map_or(0, |proof| proof.path.len())))?;
    }
    Ok(())
}

/// Every kind of question, and the page after the first one.
fn searched(out: &mut impl std::io::Write, index: &Path, journal: &Path, count: u64) -> Fallible<()> {
    let asked = |text: &str| Some(text.to_owned());
    let middle = BEGIN_MS + DAYS / 2 * 86_400_000;
    for (what, question) in [
        ("newest", Question::default()),
        ("agent, often", Question { agent: asked("agent-0"), ..Question::default() }),
        ("agent, seldom", Question { agent: asked("agent-199"), ..Question::default() }),
        ("tool, seldom", Question { tool: asked("server-9___tool-299"), ..Question::default() }),
        ("user", Question { user: asked("user-7@acme.example"), ..Question::default() }),
        ("space and DENY", Question { space: asked("space-3"), verdict: Some(Verdict::Deny), ..Question::default() }),
        ("ALLOW", Question { verdict: Some(Verdict::Allow), limit: 500, ..Question::default() }),
        ("reason", Question { reason: asked("risk_exceeds_policy"), ..Question::default() }),
        ("statement, in few", Question { statement: asked("row 1234 "), ..Question::default() }),
        ("statement, in most", Question { statement: asked("authenticated"), ..Question::default() }),
        ("layer", Question { layer: asked("TOOL_POLICY"), verdict: Some(Verdict::Deny), ..Question::default() }),
        (
            "agent and tool never together",
            Question { agent: asked("agent-198"), tool: asked("server-8___tool-298"), ..Question::default() },
        ),
        ("45 days ago", Question { until_ms: Some(middle), ..Question::default() }),
        (
            "one hour, 45 days ago, DENY",
            Question {
                since_ms: Some(middle - 3_600_000),
                until_ms: Some(middle),
                verdict: Some(Verdict::Deny),
                ..Question::default()
            },
        ),
        ("decision", Question { decision: Some(id(count / 2 - count / 2 % 2)), ..Question::default() }),
        ("trace", Question { trace_id: Some(trace(count / 2 - count / 2 % 10)), ..Question::default() }),
    ] {
        time(out, what, index, journal, |index| Ok(index.search(&question)?.decisions.len()))?;
        let Some(cursor) = Index::new(index, journal).search(&question)?.next_cursor else { continue };
        let next = Question { cursor: Some(cursor), ..question };
        time(out, "    its second page", index, journal, |index| Ok(index.search(&next)?.decisions.len()))?;
    }
    Ok(())
}

fn time(
    out: &mut impl std::io::Write,
    what: &str,
    index: &Path,
    journal: &Path,
    mut ask: impl FnMut(&Index) -> Fallible<usize>,
) -> Fallible<()> {
    let index = Index::new(index, journal);
    let mut took: Vec<Duration> = Vec::new();
    let mut found = 0;
    for _ in 0..5 {
        let began = Instant::now();
        found = ask(&index)?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let ms = |place: usize| took.get(place).map_or(0.0, |took| took.as_secs_f64() * 1e3);
    Ok(writeln!(out, "{what:<36} {found:5} found   {:8.2} ms, at most {:8.2} ms", ms(2), ms(4))?)
}

fn bytes(dir: &Path) -> Fallible<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        sum += entry?.metadata()?.len();
    }
    Ok(sum)
}

/// A number that looks random, of a number.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One of `count`, the first ones much more often than the last.
fn skewed(random: u64, count: u64) -> u64 {
    let part = (random % 1_000_000) as f64 / 1e6;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the count")]
    let place = (part * part * part * count as f64) as u64;
    place.min(count - 1)
}

fn id(number: u64) -> String {
    format!("{:016x}{:016x}", BEGIN_MS << 16 | number >> 24, mixed(number ^ 0x55))
}

/// One call in five brings its own trace.
fn trace(number: u64) -> String {
    if number.is_multiple_of(10) { format!("{:016x}{:016x}", mixed(number ^ 0xaa), mixed(number)) } else { id(number) }
}

fn write(journal: &Path, entries: u64) -> Fallible<()> {
    let key = SigningKey::from_seed(&[7; 32]);
    let (journal, _) = Journal::open(Options::new(journal, "millions.example/log"), key, |_, _| {})?;
    let mut number = 0;
    while number < entries {
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH && number < entries {
            batch.push(entry(number, entries).into_bytes());
            number += 1;
        }
        journal.append_many(batch).wait()?;
    }
    journal.close();
    Ok(())
}

/// Decisions at even places, and what came of them after them; of what was denied, nothing comes.
fn entry(number: u64, entries: u64) -> String {
    let of = number - number % 2;
    let random = mixed(of);
    let agent = skewed(random, 200);
    let tool = skewed(mixed(random), 300);
    let server = tool % 10;
    let (space, denied) = (agent % 10, mixed(random ^ 3).is_multiple_of(12));
    let at = remit_time(BEGIN_MS + number * (DAYS * 86_400_000) / entries);
    let tool = format!("server-{server}___tool-{tool}");
    if number % 2 == 1 && !denied {
        let decision = id(of);
        return format!(
            r#"{{"v":1,"type":"outcome","time":"{at}","trace_id":"{}","decision":"{decision}","agent":"agent-{agent}","space":"space-{space}","tool":"{tool}","outcome":"{}","result_commitment":"sha256:{}{}{}{}","result_bytes":812,"latency_us":{},"upstream_us":{}}}"#,
            trace(of),
            if random.is_multiple_of(40) { "tool_error" } else { "ok" },
            id(of),
            id(of + 1),
            "",
            "",
            1_500 + random % 90_000,
            1_200 + random % 90_000,
        );
    }
    let user = if random.is_multiple_of(4) {
        format!(r#""user":"user-{}@acme.example","#, mixed(random ^ 5) % 40)
    } else {
        String::new()
    };
    let row = agent * 300 + skewed(mixed(random), 300);
    let (verdict, last) = if denied {
        (
            r#""DENY","reason":"risk_exceeds_policy""#,
            format!(
                r#"{{"checkType":"TOOL_POLICY","effect":"EXPLICIT_DENY","statement":"risk high is above risk_max medium: row {row} of agent-{agent}","origin":"tool-policies.yaml:{row}:5"}}"#
            ),
        )
    } else {
        (
            r#""ALLOW""#,
            format!(
                r#"{{"checkType":"TOOL_POLICY","effect":"ALLOW","statement":"row {row} of agent-{agent}","origin":"tool-policies.yaml:{row}:5"}},{{"checkType":"ARGUMENT_SCHEMA","effect":"ALLOW","statement":"the arguments keep the pinned schema"}},{{"checkType":"POLICY_SET","effect":"ALLOW","statement":"policy `support-hours-{}` of space-{space}/policies.cedar"}}"#,
                agent % 7
            ),
        )
    };
    format!(
        r#"{{"v":1,"type":"decision","time":"{at}","id":"{}","trace_id":"{}","agent":"agent-{agent}",{user}"credential_id":"{}","principal_arn":"arn:aws:sts::111122223333:assumed-role/agents/agent-{agent}","source_ip":"127.0.0.1","space":"space-{space}","server":"111122223333/server-{server}","tool":"{tool}","method":"tools/call","protocol":"2026-07-28","arguments_commitment":"sha256:{}{}","tool_digest":"sha256:{}{}","risk":"high","class":"MUTATIVE","verdict":{verdict},"layers":[{{"checkType":"IDENTITY","effect":"ALLOW","statement":"authenticated"}},{{"checkType":"SPACE","effect":"ALLOW","statement":"admitted by the space"}},{{"checkType":"SERVICE_CONTROL_POLICY","effect":"ALLOW","statement":"FullAccess of the root"}},{last}],"facts_digest":"sha256:{}{}","snapshot":12}}"#,
        id(number),
        trace(number),
        id(number + 1),
        id(number + 2),
        id(number + 3),
        id(agent),
        id(space),
        id(number + 4),
        id(number + 5),
    )
}

/// A time as the journal writes it, within 2026.
fn remit_time(ms: u64) -> String {
    let (mut day, in_day) = ((ms - BEGIN_MS) / 86_400_000, ms % 86_400_000);
    let mut month = 3;
    for length in [31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second, milli) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60, in_day % 1000);
    format!("2026-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", day + 1)
}
