//! Which statements might be about an action and a resource, found without looking at the others.
//!
//! The index answers with too many, never with too few: each answer is still matched in full. Statements are found by the
//! action they name, or the service of a pattern of actions, or are always looked at; among those, where there are many, by
//! what their resources begin with, cut at the last colon or slash.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// The most colons and slashes of a resource that are told apart.
const MARKS_MAX: usize = 24;
/// Lists up to this length are read from end to end.
const SHORT: usize = 4;

/// The hashes of a name and of its beginnings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    whole: u64,
    heads: [u64; MARKS_MAX],
    len: usize,
}

impl Marks {
    pub(crate) fn of(text: &str) -> Self {
        let mut marks = Self { whole: 0, heads: [0; MARKS_MAX], len: 0 };
        let mut hash = SEED;
        let mut start = 0;
        for (at, byte) in text.bytes().enumerate() {
            if !matches!(byte, b':' | b'/') {
                continue;
            }
            let Some(place) = marks.heads.get_mut(marks.len) else { break };
            hash = mix(hash, text.as_bytes().get(start..=at).unwrap_or_default());
            *place = hash;
            marks.len += 1;
            start = at + 1;
        }
        marks.whole = mix(hash, text.as_bytes().get(start..).unwrap_or_default());
        marks
    }

    /// How many colons and slashes were told apart, and the hash up to the last of them.
    fn last(&self) -> Option<(usize, u64)> {
        let last = self.len.checked_sub(1)?;
        Some((last, *self.heads.get(last)?))
    }
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes eight bytes at a time. Whoever makes names collide makes more statements be looked at: they come from policies.
fn mix(mut hash: u64, bytes: &[u8]) -> u64 {
    for chunk in bytes.chunks(8) {
        let word = chunk.iter().fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
        hash = (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 32;
    }
    (hash ^ (bytes.len() as u64)).wrapping_mul(SEED)
}

pub(crate) fn hash(text: &[u8]) -> u64 {
    mix(SEED, text)
}

/// The keys are hashes already.
#[derive(Debug, Clone, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = mix(self.0, bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Map<T> = HashMap<u64, T, BuildHasherDefault<Hashed>>;

/// What the resources of a statement begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lead {
    /// Anything.
    Any,
    /// This many colons and slashes and one more, hashed up to there.
    Head(usize, u64),
    /// Exactly one resource.
    Whole(u64),
}

impl Lead {
    /// From the text that every resource of a pattern begins with, and whether it is all of it.
    pub(crate) fn of(literal: &str, is_whole: bool) -> Self {
        let marks = Marks::of(literal);
        if is_whole {
            return Self::Whole(marks.whole);
        }
        marks.last().map_or(Self::Any, |(last, hash)| Self::Head(last, hash))
    }
}

/// Statements of one effect, by number, found by resource.
#[derive(Debug, Clone, Default)]
struct List {
    always: Vec<u32>,
    /// By the hash of the whole resource or of a head.
    by_lead: Map<Vec<u32>>,
    /// Which heads are asked for, a bit each.
    heads: u32,
    wholes: bool,
}

impl List {
    fn build(entries: &[(u32, Vec<Lead>)]) -> Self {
        let mut list = Self::default();
        if entries.len() <= SHORT || entries.iter().all(|(_, leads)| leads.contains(&Lead::Any)) {
            list.always = entries.iter().map(|(id, _)| *id).collect();
            return list;
        }
        for (id, leads) in entries {
            if leads.contains(&Lead::Any) {
                list.always.push(*id);
                continue;
            }
            for lead in leads {
                let hash = match lead {
                    Lead::Any => continue,
                    Lead::Head(mark, hash) => {
                        list.heads |= 1 << mark;
                        *hash
                    }
                    Lead::Whole(hash) => {
                        list.wholes = true;
                        *hash
                    }
                };
                let ids = list.by_lead.entry(hash).or_default();
                if ids.last() != Some(id) {
                    ids.push(*id);
                }
            }
        }
        list
    }

    /// Visits the statements until one says to stop; whether one did.
    fn visit(&self, marks: &Marks, visit: &mut impl FnMut(u32) -> bool) -> bool {
        if self.always.iter().any(|id| visit(*id)) {
            return true;
        }
        if self.wholes && self.found(marks.whole, visit) {
            return true;
        }
        let mut heads = self.heads;
        while heads != 0 {
            let last = heads.trailing_zeros() as usize;
            heads &= heads - 1;
            if last >= marks.len {
                break;
            }
            if marks.heads.get(last).is_some_and(|hash| self.found(*hash, visit)) {
                return true;
            }
        }
        false
    }

    fn found(&self, hash: u64, visit: &mut impl FnMut(u32) -> bool) -> bool {
        self.by_lead.get(&hash).is_some_and(|ids| ids.iter().any(|id| visit(*id)))
    }
}

/// How a statement names actions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Call {
    /// By a name in lower case.
    Named(Box<str>),
    /// By a pattern within a service, in lower case.
    Service(Box<str>),
    /// Any.
    Any,
}

/// Which statements of a set might be about a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    named: Map<Lists>,
    services: Map<Lists>,
    any: Lists,
}

#[derive(Debug, Clone, Default)]
struct Lists {
    deny: List,
    allow: List,
}

/// A statement to be indexed.
pub(crate) struct Entry {
    pub(crate) id: u32,
    pub(crate) denies: bool,
    pub(crate) calls: Vec<Call>,
    pub(crate) leads: Vec<Lead>,
}

impl Index {
    pub(crate) fn build(entries: &[Entry]) -> Self {
        let mut by_call: HashMap<&Call, Vec<&Entry>> = HashMap::new();
        for entry in entries {
            let mut calls: Vec<&Call> = entry.calls.iter().collect();
            calls.sort();
            calls.dedup();
            for call in calls {
                by_call.entry(call).or_default().push(entry);
            }
        }
        let mut named: Map<Vec<&Entry>> = Map::default();
        let mut services: Map<Vec<&Entry>> = Map::default();
        let mut any = Vec::new();
        for (call, entries) in by_call {
            match call {
                Call::Named(name) => named.entry(hash(name.as_bytes())).or_default().extend(entries),
                Call::Service(name) => services.entry(hash(name.as_bytes())).or_default().extend(entries),
                Call::Any => any = entries,
            }
        }
        let build = |map: Map<Vec<&Entry>>| map.into_iter().map(|(hash, entries)| (hash, Lists::build(entries))).collect();
        Self { named: build(named), services: build(services), any: Lists::build(any) }
    }

    /// Visits the statements of one effect that might apply, until one says to stop. A statement may come twice.
    pub(crate) fn visit(&self, denies: bool, action: u64, service: u64, marks: &Marks, mut visit: impl FnMut(u32) -> bool) {
        let lists = |lists: &Lists, visit: &mut dyn FnMut(u32) -> bool| {
            let list = if denies { &lists.deny } else { &lists.allow };
            list.visit(marks, &mut |id| visit(id))
        };
        let stopped = !self.named.is_empty() && self.named.get(&action).is_some_and(|found| lists(found, &mut visit));
        let stopped =
            stopped || !self.services.is_empty() && self.services.get(&service).is_some_and(|found| lists(found, &mut visit));
        if !stopped {
            lists(&self.any, &mut visit);
        }
    }
}

impl Lists {
    fn build(mut entries: Vec<&Entry>) -> Self {
        entries.sort_by_key(|entry| entry.id);
        let of = |denies| -> List {
            let chosen = entries.iter().filter(|entry| entry.denies == denies);
            List::build(&chosen.map(|entry| (entry.id, entry.leads.clone())).collect::<Vec<_>>())
        };
        Self { deny: of(true), allow: of(false) }
    }
}
