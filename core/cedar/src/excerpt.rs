//! Parts of a file as one text, with the way back to their places.

use crate::source::{File, Source};
use crate::split::{Unit, split};

/// What a file is made of.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) definitions: Vec<Unit>,
    pub(crate) policies: Vec<Unit>,
    /// The number of each policy in its set.
    pub(crate) rules: Vec<usize>,
}

impl Parts {
    /// Those of each file of a set.
    pub(crate) fn of(source: &Source) -> Vec<Self> {
        let mut parts: Vec<Self> = source
            .files
            .iter()
            .map(|file| {
                let (definitions, policies) = split(&file.text).into_iter().partition(|unit| unit.is_def);
                Self { definitions, policies, rules: Vec::new() }
            })
            .collect();
        for (index, rule) in source.rules.iter().enumerate() {
            if let Some(of_file) = parts.get_mut(rule.place.0) {
                of_file.rules.push(index);
            }
        }
        parts
    }

    /// The rules that something at a place is of: the one that stands there, and of a definition all of the file, as whichever may use it.
    pub(crate) fn rules_at(&self, at: usize) -> Vec<usize> {
        let place = self.policies.partition_point(|unit| unit.span.end <= at);
        match (self.policies.get(place), self.rules.get(place)) {
            (Some(unit), Some(rule)) if unit.span.contains(&at) => vec![*rule],
            _ => self.rules.clone(),
        }
    }
}

/// Policies and definitions of one file, one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Excerpt {
    pub(crate) text: String,
    /// Where each part begins here, and where in its file.
    parts: Vec<(usize, usize)>,
}

impl Excerpt {
    /// All definitions of a file, and then these.
    pub(crate) fn of<'a>(file: &File, parts: &'a Parts, policies: impl Iterator<Item = &'a Unit>) -> Self {
        let mut excerpt = Self::default();
        for unit in parts.definitions.iter().chain(policies) {
            excerpt.parts.push((excerpt.text.len(), unit.span.start));
            excerpt.text.push_str(file.text.get(unit.span.clone()).unwrap_or_default());
            excerpt.text.push('\n');
        }
        excerpt
    }

    /// Where in the file something stands.
    pub(crate) fn place(&self, at: usize) -> usize {
        let part = self.parts.partition_point(|(here, _)| *here <= at);
        self.parts.get(part.saturating_sub(1)).map_or(0, |(here, there)| there + at.saturating_sub(*here))
    }
}
