//! Texts by what matches them: one example of every combination of patterns that some text can match.
//!
//! Two texts that the same patterns match are the same to a policy. The combinations are found by walking all patterns at once, character
//! by character (the product of their automata), so none is missed; a walk that grows too large is given up, and that is told.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::glob::{Pattern, Piece};

/// One step of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// This character.
    Is(char),
    /// This character, of either case.
    Either(char),
    /// Any character; a colon only if so.
    One { colon: bool },
    /// Any characters, or none; a colon only if so.
    Run { colon: bool },
}

/// A pattern as a sequence of steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Language(Vec<Step>);

impl Language {
    /// An action's form: `service:name`, both not empty.
    pub(crate) fn action() -> Self {
        let part = [Step::One { colon: false }, Step::Run { colon: false }];
        Self([&part[..], &[Step::Is(':')], &part[..]].concat())
    }

    /// An ARN's form: six parts, of which region and account may be empty.
    pub(crate) fn arn() -> Self {
        let (part, colon) = ([Step::One { colon: false }, Step::Run { colon: false }], [Step::Is(':')]);
        let run = [Step::Run { colon: false }];
        let rest = [Step::One { colon: true }, Step::Run { colon: true }];
        let arn = ['a', 'r', 'n'].map(Step::Is);
        Self([&arn[..], &colon, &part, &colon, &part, &colon, &run, &colon, &run, &colon, &rest].concat())
    }

    /// Any text that isn't empty.
    pub(crate) fn some() -> Self {
        Self(vec![Step::One { colon: true }, Step::Run { colon: true }])
    }

    /// A literal, or a pattern without wildcards, its case ignored or not.
    pub(crate) fn text(text: &str, ignoring_case: bool) -> Self {
        Self(text.chars().map(|c| if ignoring_case { Step::Either(c) } else { Step::Is(c) }).collect())
    }

    /// A pattern whose variables have these values; `None` if one has none.
    pub(crate) fn pattern(pattern: &Pattern, ignoring_case: bool, value: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let mut steps = Vec::new();
        for piece in &pattern.0 {
            match piece {
                Piece::Text(text) => steps.extend(Self::text(text, ignoring_case).0),
                Piece::Variable { key, default } => {
                    let value = value(key).or_else(|| default.as_deref().map(str::to_owned))?;
                    steps.extend(Self::text(&value, ignoring_case).0);
                }
                Piece::One => steps.push(Step::One { colon: true }),
                Piece::Run => steps.push(Step::Run { colon: true }),
                Piece::OneInside => steps.push(Step::One { colon: false }),
                Piece::RunInside => steps.push(Step::Run { colon: false }),
            }
        }
        Some(Self(steps))
    }

    /// The six patterns of an ARN operator: in the first five parts no wildcard crosses a colon.
    pub(crate) fn arn_parts(parts: &[Pattern; 6], value: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let mut steps = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            if number > 0 {
                steps.push(Step::Is(':'));
            }
            let within = |step: Step| match step {
                Step::One { .. } if number < 5 => Step::One { colon: false },
                Step::Run { .. } if number < 5 => Step::Run { colon: false },
                step => step,
            };
            steps.extend(Self::pattern(part, false, value)?.0.into_iter().map(within));
        }
        Some(Self(steps))
    }

    /// The places that are reached from a place without reading: over runs, which may be empty.
    fn closed(&self, places: &mut Vec<u16>) {
        let mut next = 0;
        while let Some(place) = places.get(next).copied() {
            next += 1;
            let over = matches!(self.0.get(usize::from(place)), Some(Step::Run { .. }));
            if over && !places.contains(&(place + 1)) {
                places.push(place + 1);
            }
        }
        places.sort_unstable();
    }

    fn begin(&self) -> Vec<u16> {
        let mut places = vec![0];
        self.closed(&mut places);
        places
    }

    fn read(&self, places: &[u16], c: char) -> Vec<u16> {
        let mut reached = Vec::new();
        for place in places {
            let to = match self.0.get(usize::from(*place)) {
                Some(Step::Is(wanted)) if *wanted == c => place + 1,
                Some(Step::Either(wanted)) if wanted.eq_ignore_ascii_case(&c) => place + 1,
                Some(Step::One { colon }) if *colon || c != ':' => place + 1,
                Some(Step::Run { colon }) if *colon || c != ':' => *place,
                _ => continue,
            };
            if !reached.contains(&to) {
                reached.push(to);
            }
        }
        self.closed(&mut reached);
        reached
    }

    fn accepts(&self, places: &[u16]) -> bool {
        u16::try_from(self.0.len()).is_ok_and(|end| places.contains(&end))
    }
}

/// A text, and which of the languages it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) text: String,
    pub(crate) of: Vec<bool>,
}

/// Where every language is, after some text.
type State = Vec<Vec<u16>>;

/// The longest pattern, in steps.
const STEPS_MAX: usize = 4096;

/// An example of every combination of `languages` that a text of `form` can be of, the shortest there is. `None` if there are more than
/// `states_max` states to walk through.
pub(crate) fn classes(form: &Language, languages: &[Language], states_max: usize) -> Option<Vec<Class>> {
    if languages.iter().any(|language| language.0.len() > STEPS_MAX) {
        return None;
    }
    let alphabet = alphabet(form, languages);
    let all: Vec<&Language> = std::iter::once(form).chain(languages).collect();
    let begin: State = all.iter().map(|language| language.begin()).collect();
    // Each state with the text that leads to it, as the state before and the last character.
    let mut states: Vec<(State, Option<(usize, char)>)> = vec![(begin.clone(), None)];
    let mut known: HashSet<State> = HashSet::from([begin]);
    let mut found: HashMap<Vec<bool>, usize> = HashMap::new();
    let mut queue = VecDeque::from([0_usize]);
    while let Some(number) = queue.pop_front() {
        let Some((state, _)) = states.get(number).cloned() else { continue };
        let accepted = |(language, places): (&&Language, &Vec<u16>)| language.accepts(places);
        let mut accepts: Vec<bool> = all.iter().zip(&state).map(accepted).collect();
        if accepts.first() == Some(&true) {
            accepts.remove(0);
            found.entry(accepts).or_insert(number);
        }
        for c in &alphabet {
            let next: State = all.iter().zip(&state).map(|(language, places)| language.read(places, *c)).collect();
            // What can't be completed to the form leads nowhere.
            if next.first().is_none_or(Vec::is_empty) || known.contains(&next) {
                continue;
            }
            if states.len() >= states_max {
                return None;
            }
            known.insert(next.clone());
            states.push((next, Some((number, *c))));
            queue.push_back(states.len() - 1);
        }
    }
    let text = |mut number: usize| {
        let mut text: Vec<char> = Vec::new();
        while let Some((_, Some((before, c)))) = states.get(number) {
            text.push(*c);
            number = *before;
        }
        text.into_iter().rev().collect::<String>()
    };
    let mut classes: Vec<Class> = found.into_iter().map(|(of, number)| Class { text: text(number), of }).collect();
    classes.sort_by(|a, b| (a.text.len(), &a.text).cmp(&(b.text.len(), &b.text)));
    Some(classes)
}

/// Every character that some pattern names, a colon if wildcards mind it, and one that nothing names.
fn alphabet(form: &Language, languages: &[Language]) -> Vec<char> {
    let mut alphabet: Vec<char> = Vec::new();
    let mut add = |c: char| {
        if !alphabet.contains(&c) {
            alphabet.push(c);
        }
    };
    for step in std::iter::once(form).chain(languages).flat_map(|language| &language.0) {
        match step {
            Step::Is(c) => add(*c),
            Step::Either(c) => {
                c.to_lowercase().for_each(&mut add);
                c.to_uppercase().for_each(&mut add);
            }
            Step::One { colon: false } | Step::Run { colon: false } => add(':'),
            Step::One { .. } | Step::Run { .. } => {}
        }
    }
    let fresh = ('a'..='z').chain('0'..='9').chain('A'..='Z').chain('\u{e0}'..='\u{ff}').find(|c| !alphabet.contains(c));
    alphabet.extend(fresh);
    alphabet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glob::Wildcards;

    fn language(text: &str) -> Language {
        Language::pattern(&Pattern::read(text, Wildcards::Free).unwrap(), false, &|_| None).unwrap()
    }

    #[test]
    fn every_combination_has_an_example() {
        let patterns = ["s3:*", "s3:Get*", "*:GetObject", "s3:GetObject", "*"];
        let languages: Vec<Language> = patterns.iter().map(|text| language(text)).collect();
        let found = classes(&Language::action(), &languages, 10_000).unwrap();
        let of: Vec<Vec<bool>> = found.iter().map(|class| class.of.clone()).collect();
        for expected in [
            vec![true, false, false, false, true],
            vec![true, true, false, false, true],
            vec![true, true, true, true, true],
            vec![false, false, true, false, true],
            vec![false, false, false, false, true],
        ] {
            assert!(of.contains(&expected), "{expected:?} of {found:?}");
        }
        assert_eq!(found.len(), 5);
        assert!(found.iter().all(|class| class.text.split_once(':').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())));
    }

    #[test]
    fn too_large_is_told() {
        let languages: Vec<Language> = (0..12).map(|n| language(&format!("*{}*", char::from(b'a' + n)))).collect();
        assert_eq!(classes(&Language::some(), &languages, 1000), None);
    }
}
