//! What is usual for one agent.

use std::collections::{BTreeMap, BTreeSet};

use remit_model::{Behaviour, Expectation};
use serde::{Deserialize, Serialize};

use super::arguments::Seen;
use super::event::{Decided, Event, What};
use super::novelty::{Hours, Novelty};
use super::place::Place;
use super::surprise::{Open, Surprise, Told, Verdict, about, broken, item, tenth};
use super::tail::{MANY, Rate, Tail, count_level, level_count, level_size, rarity, real, size_level};
use super::{Counts, DAY_MS, Finding, HOUR_MS, PLACES_MAX, TOOLS_MAX};
use crate::alarm::OTHER;

/// The most tools of an agent.
const AGENT_TOOLS_MAX: usize = 128;
/// The most places of a tool's arguments; where there are more, nothing is said of new ones.
const TOOL_PLACES_MAX: usize = 48;
/// The most sessions of an agent that are told apart.
const SESSIONS_MAX: usize = 32;
/// After so long without a call something new begins.
const PAUSE_MS: u64 = 30 * 60_000;
/// What the first tool of a session comes after.
const BEGIN: &str = "";
/// How many calls there must have been before anything is said of an agent.
const CALLS_LEAST: u64 = 50;
/// Of how many windows of an hour something is said.
const LEAST_HOURS: u32 = 15;
/// Of how many days.
const LEAST_DAYS: u32 = 8;
/// How long a definition is new after somebody accepted it: that it is tried is to be expected.
const NEW_MS: u64 = 14 * DAY_MS;
/// By how many bits a first use is less surprising then.
const NEW_BITS: f64 = 3.0;
/// How much longer than its usual share a required argument must have been there for its absence to be said.
const ALWAYS: f64 = 0.99;

/// What all agents take of what is bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Taken {
    tools: usize,
    places: usize,
}

impl Taken {
    /// Somebody is gone.
    pub(super) fn free(&mut self, gone: Self) {
        self.tools = self.tools.saturating_sub(gone.tools);
        self.places = self.places.saturating_sub(gone.places);
    }
}

/// What is usual for one agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Agent {
    pub(super) first_ms: u64,
    pub(super) last_ms: u64,
    /// On how many days it was there.
    pub(super) days: u32,
    pub(super) calls: u64,
    pub(super) hours: Hours,
    origins: Novelty,
    pub(super) used: Novelty,
    pub(super) tools: BTreeMap<String, Tool>,
    /// Which tool follows which.
    pub(super) next: BTreeMap<String, Novelty>,
    sessions: BTreeMap<String, (String, u64)>,
    pub(super) hour: Rate,
    denials: Rate,
    errors: Rate,
    bytes_hour: Rate,
    bytes_day: Rate,
    told: Told,
}

/// What is usual for one of its tools.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tool {
    /// On how many days the agent had been there when it was first used.
    since_day: u32,
    /// Its definition, as a number.
    definition: u64,
    /// Since when it has been that one.
    since_ms: u64,
    pub(super) hour: Rate,
    pub(super) day: Rate,
    pub(super) results: Tail,
    /// Calls whose arguments are known.
    pub(super) calls: u64,
    pub(super) places: BTreeMap<String, Place>,
    /// There are more places than can be told apart.
    crowded: bool,
}

/// The decision, what is seen of its arguments, and when its tool's definition was accepted.
type Call<'a> = (&'a Decided<'a>, Option<&'a [Seen]>, Option<u64>);

impl Agent {
    pub(super) fn new(at_ms: u64) -> Self {
        Self { first_ms: at_ms, ..Self::default() }
    }

    pub(super) fn last_ms(&self) -> u64 {
        self.last_ms
    }

    /// What it takes of what is bounded.
    pub(super) fn takes(&self) -> Taken {
        Taken { tools: self.tools.len(), places: self.tools.values().map(|tool| tool.places.len()).sum() }
    }

    /// Whether enough is known for anything to be said.
    pub(super) fn is_known(&self, settings: &Behaviour) -> bool {
        self.days > settings.learning_days && self.calls >= CALLS_LEAST
    }

    /// A call was decided.
    pub(super) fn decided(
        &mut self,
        settings: &Behaviour,
        at_ms: u64,
        call: Call<'_>,
        taken: &mut Taken,
        counts: &mut Counts,
    ) -> Option<Finding> {
        let (decided, seen, accepted_ms) = call;
        // A clock that is set back opens no window again.
        let at_ms = at_ms.max(self.last_ms);
        let hour = at_ms / HOUR_MS;
        if at_ms / DAY_MS != self.last_ms / DAY_MS {
            self.days = self.days.saturating_add(1);
        }
        self.last_ms = at_ms;
        self.calls = self.calls.saturating_add(1);
        if decided.known && decided.allowed && !self.tools.contains_key(&*decided.tool) {
            if self.tools.len() >= AGENT_TOOLS_MAX || taken.tools >= TOOLS_MAX {
                counts.unwatched += 1;
            } else {
                taken.tools += 1;
                let tool = Tool { since_day: self.days, ..Tool::default() };
                self.tools.insert(decided.tool.clone().into_owned(), tool);
            }
        }
        let before = self.before(decided, at_ms);
        let mut surprises = Vec::new();
        self.rates(decided, hour, &mut surprises);
        self.novelties(decided, hour, at_ms, accepted_ms, &before, &mut surprises);
        if let (Some(seen), Some(tool)) = (seen, self.tools.get_mut(&*decided.tool)) {
            let days = self.days.saturating_sub(tool.since_day);
            tool.judge(decided, seen, (at_ms, days), &mut surprises);
        }
        if !self.is_known(settings) {
            surprises.clear();
        }
        match self.told.weigh(settings, at_ms / DAY_MS, surprises) {
            Verdict::Usual => {
                self.learn(decided, seen, hour, &before, taken);
                None
            }
            Verdict::Repeated(surprises) => {
                counts.repeated += 1;
                self.alert(&decided.tool, &surprises);
                None
            }
            Verdict::Found(score, surprises) => {
                self.alert(&decided.tool, &surprises);
                // The name of a tool that nobody knows is whatever the caller typed.
                let tool = if decided.known { &*decided.tool } else { OTHER };
                Some(finding(at_ms, (&decided.decision, &decided.agent, &decided.space, tool), score, surprises))
            }
        }
    }

    /// The tool that was called before in the same session; the call is the last one from now on.
    fn before(&mut self, decided: &Decided<'_>, at_ms: u64) -> String {
        if !decided.known {
            return BEGIN.to_owned();
        }
        if self.sessions.len() >= SESSIONS_MAX
            && !self.sessions.contains_key(&*decided.session)
            && let Some(oldest) = self.sessions.iter().min_by_key(|(_, (_, at_ms))| *at_ms).map(|(session, _)| session.clone())
        {
            self.sessions.remove(&oldest);
        }
        let now = (decided.tool.clone().into_owned(), at_ms);
        match self.sessions.insert(decided.session.clone().into_owned(), now) {
            Some((before, then_ms)) if at_ms.saturating_sub(then_ms) < PAUSE_MS => before,
            _ => BEGIN.to_owned(),
        }
    }

    /// Counts, and what is surprising about the counts.
    fn rates(&mut self, decided: &Decided<'_>, hour: u64, surprises: &mut Vec<Surprise>) {
        self.hour.roll(hour, count_level);
        self.denials.roll(hour, count_level);
        let calls = self.hour.add(1);
        let denials = self.denials.add(u64::from(decided.denied));
        let who = &decided.agent;
        let days = self.days;
        let mut say = |expectation, rate: &Rate, (count, least, span): (u64, u32, &str), what: &str, open: Open| {
            if let Some(beyond) = rate.past.above(count_level(count), least, days) {
                let told = format!(
                    "{what}: {count} in this {span}; 98 of 100 have at most {} ({} seen)",
                    about(level_count(beyond.edge)),
                    rate.past.count()
                );
                let item = item(&[Expectation::as_str(expectation), what, span], 0);
                let (bits, size) = (beyond.bits - MANY, beyond.size);
                surprises.push(Surprise { expectation, bits, pointer: None, item, size, told, open: Some(open) });
            }
        };
        say(Expectation::Rate, &self.hour, (calls, LEAST_HOURS, "hour"), &format!("calls of {who}"), Open::Calls);
        if decided.denied {
            say(Expectation::Denials, &self.denials, (denials, LEAST_HOURS, "hour"), &format!("denials of {who}"), Open::Denials);
        }
        if let Some(tool) = self.tools.get_mut(&*decided.tool) {
            tool.hour.roll(hour, count_level);
            tool.day.roll(hour / 24, count_level);
            let (in_hour, in_day) = (tool.hour.add(1), tool.day.add(1));
            let what = format!("calls of {} by {who}", decided.tool);
            say(Expectation::Rate, &tool.hour, (in_hour, LEAST_HOURS, "hour"), &what, Open::ToolHour);
            say(Expectation::Rate, &tool.day, (in_day, LEAST_DAYS, "day"), &what, Open::ToolDay);
        }
    }

    /// What is new about when, from where, what, and after what.
    fn novelties(
        &self,
        decided: &Decided<'_>,
        hour: u64,
        at_ms: u64,
        accepted_ms: Option<u64>,
        before: &str,
        surprises: &mut Vec<Surprise>,
    ) {
        let mut say = |expectation: Expectation, bits: f64, item: u64, told: String| {
            surprises.push(Surprise { expectation, bits, pointer: None, item, size: 0, told, open: None });
        };
        let (who, tool) = (&decided.agent, &decided.tool);
        if let Some(bits) = self.hours.bits(hour, self.days) {
            let weekend = matches!((hour / 24 + 3) % 7, 5 | 6);
            let when = if weekend { "weekend" } else { "day of the week" };
            let told = format!(
                "{who} is there at {:02} h UTC of a {when}; of {} hours it was there, hardly one was so",
                hour % 24,
                self.hours.seen()
            );
            // Six hours are one, and a weekend is: whoever works at night doesn't do so at the same hour.
            let item = item(&[Expectation::TimeOfDay.as_str()], if weekend { 4 } else { hour % 24 / 6 });
            say(Expectation::TimeOfDay, bits, item, told);
        }
        let origin = item(&["from", &decided.source_ip], 0);
        if !decided.source_ip.is_empty()
            && let Some(bits) = self.origins.bits(origin, self.days)
        {
            let known = self.origins.different().unwrap_or_default();
            let told = format!(
                "{who} calls from an address that it never called from; {} calls came from {known}",
                self.origins.count()
            );
            say(Expectation::Origin, bits, origin, told);
        }
        if !decided.known {
            return;
        }
        let name = item(&[tool], 0);
        if let Some(bits) = self.used.bits(name, self.days) {
            let fresh = accepted_ms.is_some_and(|accepted_ms| at_ms.saturating_sub(accepted_ms) < NEW_MS);
            let bits = if fresh { bits - NEW_BITS } else { bits };
            let known = self.used.different().unwrap_or_default();
            let told = format!("{who} calls {tool} for the first time; {} calls were of {known} other tools", self.used.count());
            say(Expectation::FirstUse, bits, item(&[Expectation::FirstUse.as_str(), tool], 0), told);
        } else if self.used.knows(name)
            && let Some(after) = self.next.get(before)
            && let Some(bits) = after.bits(name, self.days)
        {
            let told = if before == BEGIN {
                format!("{who} begins with {tool}; none of {} sessions did", after.count())
            } else {
                format!("{who} calls {tool} after {before}; none of {} calls after that was this one", after.count())
            };
            say(Expectation::Sequence, bits, item(&[Expectation::Sequence.as_str(), before, tool], 0), told);
        }
    }

    /// Takes a call in that was as usual.
    fn learn(&mut self, decided: &Decided<'_>, seen: Option<&[Seen]>, hour: u64, before: &str, taken: &mut Taken) {
        self.hours.add(hour);
        if !decided.source_ip.is_empty() {
            self.origins.add(item(&["from", &decided.source_ip], 0));
        }
        // What was refused or waits for people is no example of what is usual.
        if !decided.known || !decided.allowed {
            return;
        }
        let name = item(&[&decided.tool], 0);
        self.used.add(name);
        if self.next.len() < AGENT_TOOLS_MAX || self.next.contains_key(before) {
            self.next.entry(before.to_owned()).or_default().add(name);
        }
        if let (Some(seen), Some(tool)) = (seen, self.tools.get_mut(&*decided.tool)) {
            tool.learn(seen, taken);
        }
    }

    /// What was found isn't learned.
    fn alert(&mut self, tool: &str, surprises: &[Surprise]) {
        for open in surprises.iter().filter_map(|surprise| surprise.open.as_ref()) {
            match open {
                Open::Calls => self.hour.alert(),
                Open::Denials => self.denials.alert(),
                Open::Errors => self.errors.alert(),
                Open::BytesHour => self.bytes_hour.alert(),
                Open::BytesDay => self.bytes_day.alert(),
                of_tool => {
                    if let Some(tool) = self.tools.get_mut(tool) {
                        tool.alert(of_tool);
                    }
                }
            }
        }
    }

    /// A call ended.
    pub(super) fn ended(&mut self, settings: &Behaviour, event: &Event<'_>, counts: &mut Counts) -> Option<Finding> {
        let What::Ended { decision, agent, space, tool, error, result_bytes } = &event.what else { return None };
        let at_ms = event.at_ms.max(self.last_ms);
        let hour = at_ms / HOUR_MS;
        let mut surprises = Vec::new();
        let days = self.days;
        let mut say =
            |expectation, of: &Tail, level: f64, least: u32, (what, unlevel): (&str, fn(f64) -> f64), open: Option<Open>| {
                if let Some(beyond) = of.above(level, least, days) {
                    let usual = about(unlevel(beyond.edge));
                    let told = format!("{what}: {}; 98 of 100 have at most {usual} ({} seen)", about(unlevel(level)), of.count());
                    let item = item(&[Expectation::as_str(expectation), what], 0);
                    let (bits, size) = (beyond.bits - MANY, beyond.size);
                    surprises.push(Surprise { expectation, bits, pointer: None, item, size, told, open });
                }
            };
        self.errors.roll(hour, count_level);
        let errors = count_level(self.errors.add(u64::from(*error)));
        if *error {
            let what = (&*format!("errors of {agent}'s calls in an hour"), level_count as fn(f64) -> f64);
            say(Expectation::Errors, &self.errors.past, errors, LEAST_HOURS, what, Some(Open::Errors));
        }
        if let Some(bytes) = *result_bytes {
            self.bytes_hour.roll(hour, size_level);
            self.bytes_day.roll(hour / 24, size_level);
            let in_hour = size_level(self.bytes_hour.add(bytes));
            let in_day = size_level(self.bytes_day.add(bytes));
            let level = level_size as fn(f64) -> f64;
            let what = format!("bytes of all results of {agent} in an hour");
            say(Expectation::ResultSize, &self.bytes_hour.past, in_hour, LEAST_HOURS, (&what, level), Some(Open::BytesHour));
            let what = format!("bytes of all results of {agent} in a day");
            say(Expectation::ResultSize, &self.bytes_day.past, in_day, LEAST_DAYS, (&what, level), Some(Open::BytesDay));
            if let Some(known) = self.tools.get(&**tool) {
                let what = format!("bytes of a result of {tool}");
                say(Expectation::ResultSize, &known.results, size_level(bytes), 30, (&what, level), None);
            }
        }
        if !self.is_known(settings) {
            surprises.clear();
        }
        match self.told.weigh(settings, at_ms / DAY_MS, surprises) {
            Verdict::Usual => {
                if let (Some(bytes), Some(known)) = (*result_bytes, self.tools.get_mut(&**tool)) {
                    known.results.add(size_level(bytes));
                }
                None
            }
            Verdict::Repeated(surprises) => {
                counts.repeated += 1;
                self.alert(tool, &surprises);
                None
            }
            Verdict::Found(score, surprises) => {
                self.alert(tool, &surprises);
                Some(finding(at_ms, (decision, agent, space, tool), score, surprises))
            }
        }
    }
}

impl Tool {
    /// Counts, and what is surprising about the arguments.
    fn judge(&mut self, decided: &Decided<'_>, seen: &[Seen], (at_ms, days): (u64, u32), surprises: &mut Vec<Surprise>) {
        let hour = at_ms / HOUR_MS;
        let definition = item(&[&decided.tool_digest], 0);
        if definition != self.definition {
            // The first one is no other one.
            let since_ms = if self.definition == 0 { 0 } else { at_ms };
            (self.definition, self.since_ms) = (definition, since_ms);
        }
        self.shape(&decided.tool, seen, (at_ms, days), surprises);
        for seen in seen {
            let Some(place) = self.places.get_mut(&seen.pointer) else { continue };
            let pointed = place.point(hour, seen);
            place.judge((&decided.tool, days), seen, pointed, surprises);
        }
    }

    /// Arguments that are new, and one that was always there.
    fn shape(&self, tool: &str, seen: &[Seen], (at_ms, days): (u64, u32), surprises: &mut Vec<Surprise>) {
        // Another definition, that somebody has accepted, has other arguments.
        let fresh = self.calls > 0 && at_ms.saturating_sub(self.since_ms) < NEW_MS && self.since_ms > 0;
        if self.calls < 30 || self.crowded || fresh {
            return;
        }
        let mut say = |pointer: &str, bits: f64, told: String, what: &str| {
            let expectation = Expectation::ArgumentShape;
            let item = item(&[expectation.as_str(), tool, pointer, what], 0);
            surprises.push(Surprise { expectation, bits, pointer: Some(pointer.to_owned()), item, size: 0, told, open: None });
        };
        let bits = |as_often: u64| rarity((real(self.calls + 2) / real(as_often + 1)).log2(), self.calls, days);
        let once = self.places.values().filter(|place| place.present == 1).count() as u64;
        for seen in seen.iter().filter(|seen| !self.places.contains_key(&seen.pointer)) {
            let told = format!("{tool} is given {}, which none of {} calls had", seen.pointer, self.calls);
            say(&seen.pointer, bits(once), told, "new");
        }
        for (pointer, place) in &self.places {
            let always = real(place.present) >= real(self.calls) * ALWAYS;
            if always && !seen.iter().any(|seen| seen.pointer == *pointer) {
                let without = self.calls.saturating_sub(place.present);
                let told = format!("{tool} isn't given {pointer}; {} of {} calls had it", place.present, self.calls);
                say(pointer, bits(without), told, "missing");
            }
        }
    }

    fn learn(&mut self, seen: &[Seen], taken: &mut Taken) {
        self.calls += 1;
        let mut in_this = BTreeSet::new();
        for seen in seen {
            if !self.places.contains_key(&seen.pointer) {
                if self.places.len() >= TOOL_PLACES_MAX || taken.places >= PLACES_MAX {
                    self.crowded = true;
                    continue;
                }
                taken.places += 1;
            }
            let place = self.places.entry(seen.pointer.clone()).or_default();
            // Values of one array are one place, once a call.
            place.present += u64::from(in_this.insert(&seen.pointer));
            place.learn(seen);
        }
    }

    fn alert(&mut self, open: &Open) {
        match open {
            Open::ToolHour => self.hour.alert(),
            Open::ToolDay => self.day.alert(),
            Open::TargetsHour(pointer) => {
                if let Some(place) = self.places.get_mut(pointer) {
                    place.hour.alert();
                }
            }
            Open::TargetsDay(pointer) => {
                if let Some(place) = self.places.get_mut(pointer) {
                    place.day.alert();
                }
            }
            _ => {}
        }
    }
}

fn finding(
    at_ms: u64,
    (decision, agent, space, tool): (&str, &str, &str, &str),
    score: f64,
    surprises: Vec<Surprise>,
) -> Finding {
    Finding {
        at_ms,
        decision: decision.to_owned(),
        agent: agent.to_owned(),
        space: space.to_owned(),
        tool: tool.to_owned(),
        score: tenth(score),
        broken: broken(surprises),
    }
}
