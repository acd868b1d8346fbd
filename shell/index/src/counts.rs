//! Numbers of decisions over time.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::params;

use crate::IndexError;
use crate::page::{Index, signed, unsigned, word};
use crate::question::Verdict;
use crate::rows::STEPS_SECS;

/// The most steps of one answer.
const STEPS_MAX: u64 = 2_000;
/// The most keys of one answer; the decisions of the others are counted together.
const KEYS_MAX: usize = 50;
/// The most rows that are read for one answer.
const ROWS_MAX: usize = 400_000;

/// By what decisions are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The space.
    Space,
    /// The agent.
    Agent,
    /// The tool.
    Tool,
    /// The verdict.
    Verdict,
}

impl By {
    /// The word for it.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "space" => Some(Self::Space),
            "agent" => Some(Self::Agent),
            "tool" => Some(Self::Tool),
            "verdict" => Some(Self::Verdict),
            _ => None,
        }
    }
}

/// What is to be counted: decisions from one time until before another, in steps. Both ends are widened to whole steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// From when, in seconds since the epoch.
    pub since_secs: u64,
    /// Until when.
    pub until_secs: u64,
    /// How long a step is: a multiple of 300.
    pub step_secs: u64,
    /// By what they are told apart; `None` counts them together.
    pub by: Option<By>,
}

/// What was decided within one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// When the step begins.
    pub at_secs: u64,
    /// Of which space, agent or tool, or which verdict; `None` where they aren't told apart, where a decision has none, and for those that are not
    /// among the most frequent.
    pub key: Option<String>,
    /// How many were allowed.
    pub allow: u64,
    /// How many were denied.
    pub deny: u64,
    /// How many had to wait for a person.
    pub hold: u64,
}

impl Index {
    /// Counts decisions, step by step; steps in which there were none are left out.
    pub fn counts(&self, asked: &Counts) -> Result<Vec<Count>, IndexError> {
        let Counts { since_secs, until_secs, step_secs, by } = *asked;
        let refused = |why: String| Err(IndexError::Question(why));
        let step = signed(step_secs);
        if step_secs == 0 || !step_secs.is_multiple_of(300) || step == i64::MAX {
            return refused("a step is a multiple of 300 seconds".to_owned());
        }
        let since = since_secs / step_secs * step_secs;
        if until_secs <= since_secs || (until_secs - since).div_ceil(step_secs) > STEPS_MAX {
            return refused(format!("the time is 1 to {STEPS_MAX} steps long"));
        }
        let until = (until_secs - since).div_ceil(step_secs).saturating_mul(step_secs).saturating_add(since);
        let kept = STEPS_SECS.into_iter().rev().find(|kept| step % kept == 0).unwrap_or(300);
        let dimension = match by {
            None | Some(By::Verdict) => 0,
            Some(By::Space) => 1,
            Some(By::Agent) => 2,
            Some(By::Tool) => 3,
        };
        self.read(|connection| {
            let mut sums: BTreeMap<(i64, i64), [i64; 3]> = BTreeMap::new();
            let mut of = connection.prepare_cached(
                "SELECT at_secs, key, allow, deny, hold FROM tally WHERE step_secs = ?1 AND by = ?2 AND at_secs >= ?3 AND at_secs < ?4",
            )?;
            let mut rows = of.query(params![kept, dimension, signed(since), signed(until)])?;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                count += 1;
                if count > ROWS_MAX {
                    return Err(IndexError::Question("that is too much to count at once: ask for longer steps or less time".to_owned()));
                }
                let at: i64 = row.get(0)?;
                let sum = sums.entry((at / step * step, row.get(1)?)).or_default();
                for (place, sum) in sum.iter_mut().enumerate() {
                    *sum += row.get::<_, i64>(place + 2)?;
                }
            }
            if by == Some(By::Verdict) {
                return Ok(by_verdict(&sums));
            }
            let most = frequent(&sums);
            let mut told: BTreeMap<(i64, i64), [i64; 3]> = BTreeMap::new();
            for ((at, key), counts) in sums {
                let sum = told.entry((at, if most.contains(&key) { key } else { 0 })).or_default();
                sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
            let mut words: HashMap<i64, Option<String>> = HashMap::new();
            for key in most {
                words.insert(key, word(connection, key)?);
            }
            let point = |((at, key), [allow, deny, hold]): ((i64, i64), [i64; 3])| Count {
                at_secs: unsigned(at),
                key: words.get(&key).cloned().flatten(),
                allow: unsigned(allow),
                deny: unsigned(deny),
                hold: unsigned(hold),
            };
            Ok(told.into_iter().map(point).collect())
        })
    }
}

/// The keys of the most decisions.
fn frequent(sums: &BTreeMap<(i64, i64), [i64; 3]>) -> HashSet<i64> {
    let mut totals: HashMap<i64, i64> = HashMap::new();
    for ((_, key), counts) in sums {
        *totals.entry(*key).or_default() += counts.iter().sum::<i64>();
    }
    let mut totals: Vec<(i64, i64)> = totals.into_iter().map(|(key, total)| (-total, key)).collect();
    totals.sort_unstable();
    totals.into_iter().take(KEYS_MAX).map(|(_, key)| key).collect()
}

fn by_verdict(sums: &BTreeMap<(i64, i64), [i64; 3]>) -> Vec<Count> {
    let mut told = Vec::new();
    for ((at, _), [allow, deny, hold]) in sums {
        for (verdict, [allow, deny, hold]) in
            [(Verdict::Allow, [*allow, 0, 0]), (Verdict::Deny, [0, *deny, 0]), (Verdict::Hold, [0, 0, *hold])]
        {
            if allow + deny + hold > 0 {
                told.push(Count {
                    at_secs: unsigned(*at),
                    key: Some(verdict.as_str().to_owned()),
                    allow: unsigned(allow),
                    deny: unsigned(deny),
                    hold: unsigned(hold),
                });
            }
        }
    }
    told
}
