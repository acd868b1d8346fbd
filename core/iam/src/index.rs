//! Which statements might be about an action and a resource, found without looking at the others.
//!
//! The index answers with too many, never with too few: each answer is still matched in full. Statements are found by the
//! action they name, or the service of a pattern of actions, or are always looked at; among those, where there are many, by
//! what their resources begin with, cut at the last colon or slash.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    hash::{BuildHasherDefault, Hasher},
};

use crate::bytes;

/// The most colons and slashes of a resource that are told apart.
const MARKS_MAX: usize = 24;
/// Lists up to this length are read from end to end.
const SHORT: usize = 1;

/// A name and where its beginnings end, each with a colon or a slash.
#[derive(Debug, Clone)]
pub(crate) struct Marks<'t> {
    text: &'t [u8],
    ends: [u16; MARKS_MAX],
    len: usize,
    /// The mark that was asked for last, and its hash: one layer asks as the other did.
    last: Cell<(usize, u64)>,
}

impl<'t> Marks<'t> {
    /// Of a name shorter than 64 KiB; what ends later isn't marked.
    pub(crate) fn of(text: &'t str) -> Self {
        Self::of_seen(text, |_, _| {})
    }

    /// The same, and shows where each colon and each slash stands, and which it is: whether a colon.
    #[inline]
    pub(crate) fn of_seen(text: &'t str, mut see: impl FnMut(usize, bool)) -> Self {
        let mut marks = Self { text: text.as_bytes(), ends: [0; MARKS_MAX], len: 0, last: Cell::new((usize::MAX, 0)) };
        bytes::each_of(marks.text, b':', b'/', |at, is_colon| {
            see(at, is_colon);
            if let (Some(place), Ok(end)) = (marks.ends.get_mut(marks.len), u16::try_from(at + 1)) {
                *place = end;
                marks.len += 1;
            }
        });
        marks
    }

    fn whole(&self) -> u64 {
        hash(self.text)
    }

    /// The hash of the beginning up to a mark.
    fn head(&self, mark: usize) -> Option<u64> {
        let (last, found) = self.last.get();
        if last == mark {
            return Some(found);
        }
        let end = self.ends.get(..self.len)?.get(mark)?;
        let found = hash(self.text.get(..usize::from(*end))?);
        self.last.set((mark, found));
        Some(found)
    }
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes eight bytes at a time. Whoever makes names collide makes more statements be looked at: they come from policies.
#[inline]
fn mix(mut hash: u64, bytes: &[u8]) -> u64 {
    hash ^= bytes.len() as u64;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        hash = scramble(hash ^ u64::from_le_bytes(*chunk));
    }
    let rest = match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        _ if rest.is_empty() => return hash,
        (Some(first), Some(last)) => (u64::from(u32::from_le_bytes(*first)) << 32) | u64::from(u32::from_le_bytes(*last)),
        _ => rest.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)),
    };
    scramble(hash ^ rest)
}

#[inline]
fn scramble(hash: u64) -> u64 {
    let hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 32)
}

#[inline]
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
            return Self::Whole(marks.whole());
        }
        let last = marks.len.checked_sub(1);
        last.and_then(|last| Some(Self::Head(last, marks.head(last)?))).unwrap_or(Self::Any)
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

    fn merge(&mut self, other: Self) {
        self.always.extend(other.always);
        for (hash, ids) in other.by_lead {
            self.by_lead.entry(hash).or_default().extend(ids);
        }
        self.heads |= other.heads;
        self.wholes |= other.wholes;
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.always.is_empty() && self.by_lead.is_empty()
    }

    /// Visits lists of statements until one visit says to stop; whether one did.
    fn visit(&self, marks: &Marks<'_>, visit: &mut impl FnMut(&[u32]) -> bool) -> bool {
        (!self.always.is_empty() && visit(&self.always)) || (!self.by_lead.is_empty() && self.visit_by_lead(marks, visit))
    }

    fn visit_by_lead(&self, marks: &Marks<'_>, visit: &mut impl FnMut(&[u32]) -> bool) -> bool {
        let mut found = |hash| self.by_lead.get(&hash).is_some_and(|ids| visit(ids));
        if self.wholes && found(marks.whole()) {
            return true;
        }
        let mut heads = self.heads;
        while heads != 0 {
            let mark = heads.trailing_zeros() as usize;
            heads &= heads - 1;
            match marks.head(mark) {
                Some(hash) if found(hash) => return true,
                Some(_) => {}
                None => break,
            }
        }
        false
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
    /// By action; what is found is about this very action.
    named: Map<(Box<str>, Lists)>,
    services: Map<Lists>,
    any: Lists,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Lists {
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
        let mut by_call: BTreeMap<&Call, Vec<&Entry>> = BTreeMap::new();
        for entry in entries {
            let mut calls: Vec<&Call> = entry.calls.iter().collect();
            calls.sort();
            calls.dedup();
            for call in calls {
                by_call.entry(call).or_default().push(entry);
            }
        }
        let mut index = Self::default();
        for (call, entries) in by_call {
            let lists = Lists::build(entries);
            match call {
                // Two names of one hash, which won't be: the second is looked at whatever the action.
                Call::Named(name) if index.named.contains_key(&hash(name.as_bytes())) => index.any.merge(lists),
                Call::Named(name) => drop(index.named.insert(hash(name.as_bytes()), (name.clone(), lists))),
                Call::Service(name) => {
                    let hash = hash(name.as_bytes());
                    index.services.entry(hash).or_default().merge(lists);
                }
                Call::Any => index.any.merge(lists),
            }
        }
        index
    }

    /// What there is for an action: its name in lower case, its hash, the hash of its service.
    #[inline]
    pub(crate) fn find(&self, name: &[u8], action: u64, service: u64) -> Found<'_> {
        let named = if self.named.is_empty() { None } else { self.named.get(&action) };
        Found {
            named: named.filter(|(found, _)| bytes::same(found.as_bytes(), name)).map(|(_, lists)| lists),
            service: if self.services.is_empty() { None } else { self.services.get(&service) },
            any: &self.any,
        }
    }
}

/// The lists that an action is in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'i> {
    named: Option<&'i Lists>,
    service: Option<&'i Lists>,
    any: &'i Lists,
}

impl Found<'_> {
    /// Visits lists of the statements of one effect that might apply, until a visit says to stop; it is told whether the
    /// statements are about the action for certain. A statement may come twice.
    #[inline]
    pub(crate) fn visit(&self, denies: bool, marks: &Marks<'_>, mut visit: impl FnMut(&[u32], bool) -> bool) {
        let mut list = |lists: &Lists, certain: bool| {
            let list = if denies { &lists.deny } else { &lists.allow };
            !list.is_empty() && list.visit(marks, &mut |ids| visit(ids, certain))
        };
        let stopped = self.named.is_some_and(|lists| list(lists, true)) || self.service.is_some_and(|lists| list(lists, false));
        if !stopped {
            list(self.any, false);
        }
    }
}

impl Lists {
    fn merge(&mut self, other: Self) {
        self.deny.merge(other.deny);
        self.allow.merge(other.allow);
    }

    fn build(mut entries: Vec<&Entry>) -> Self {
        entries.sort_by_key(|entry| entry.id);
        let of = |denies| -> List {
            let chosen = entries.iter().filter(|entry| entry.denies == denies);
            List::build(&chosen.map(|entry| (entry.id, entry.leads.clone())).collect::<Vec<_>>())
        };
        Self { deny: of(true), allow: of(false) }
    }
}
