//! The journal's entries, as far as the index reads them. Any field may be missing, and what isn't understood is passed over.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::question::{TEXT_BYTES_MAX, Verdict};

/// The most lines of layers that are indexed of one decision.
const LINES_MAX: usize = 64;

/// What an entry is to the index.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    Decision(Box<Decision<'a>>),
    Outcome {
        decision: Text<'a>,
        outcome: Text<'a>,
    },
    /// Erased entries of this range are back.
    Restored(u64, u64),
    /// Entries that are erased: the first of each range, and the one after its last.
    Erased(Vec<[u64; 2]>),
    Other,
}

/// One decision.
#[derive(Debug)]
pub(crate) struct Decision<'a> {
    pub(crate) id: Text<'a>,
    pub(crate) trace_id: Text<'a>,
    pub(crate) approval: Text<'a>,
    pub(crate) at_ms: u64,
    pub(crate) agent: Text<'a>,
    pub(crate) user: Text<'a>,
    pub(crate) space: Text<'a>,
    pub(crate) tool: Text<'a>,
    pub(crate) reason: Text<'a>,
    pub(crate) risk: Text<'a>,
    pub(crate) verdict: Verdict,
    /// The layers that decided: those that agreed to what was allowed, or the one that didn't.
    pub(crate) lines: Vec<Line<'a>>,
}

/// What one layer said.
#[derive(Debug, Deserialize)]
pub(crate) struct Line<'a> {
    #[serde(borrow, rename = "checkType", default)]
    pub(crate) layer: Text<'a>,
    #[serde(borrow, default)]
    effect: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) statement: Text<'a>,
}

/// A text of an entry, cut to what the index keeps of it, and not copied where it need not be. What is no text is an empty one: the index
/// never gives up an entry for one field.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Text<'a>(Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Texts).map(Text)
    }
}

struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(clip(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(clip(text).to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cow::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Cow::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Cow::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Cow::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Cow::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        while all.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Cow::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        while all.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cow::default())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Whole<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    time: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    trace_id: Text<'a>,
    #[serde(borrow)]
    approval: Text<'a>,
    #[serde(borrow)]
    agent: Text<'a>,
    #[serde(borrow)]
    user: Text<'a>,
    #[serde(borrow)]
    space: Text<'a>,
    #[serde(borrow)]
    tool: Text<'a>,
    #[serde(borrow)]
    reason: Text<'a>,
    #[serde(borrow)]
    risk: Text<'a>,
    #[serde(borrow)]
    verdict: Text<'a>,
    #[serde(borrow, deserialize_with = "lines")]
    layers: Vec<Line<'a>>,
    #[serde(borrow)]
    decision: Text<'a>,
    #[serde(borrow)]
    outcome: Text<'a>,
}

/// Lines of layers, the first of them. Of what has another shape there are none.
fn lines<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Line<'a>>, D::Error> {
    let raw = <&'de RawValue>::deserialize(deserializer)?;
    let mut all: Vec<Line<'a>> = serde_json::from_str(raw.get()).unwrap_or_default();
    all.truncate(LINES_MAX);
    Ok(all)
}

impl<'a> Entry<'a> {
    /// Reads an entry's bytes.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        #[derive(Deserialize)]
        struct Typed<'a> {
            #[serde(borrow, rename = "type", default)]
            kind: Text<'a>,
        }
        #[derive(Deserialize)]
        struct Span {
            first_index: u64,
            end_index: u64,
        }
        #[derive(Deserialize)]
        struct Ranges {
            ranges: Vec<[u64; 2]>,
        }
        // As Remit writes them; others are asked what they are before they are read whole.
        let known = [&b"{\"v\":1,\"type\":\"decision\""[..], b"{\"v\":1,\"type\":\"outcome\""];
        if !known.iter().any(|known| bytes.starts_with(known)) {
            match serde_json::from_slice::<Typed<'_>>(bytes) {
                Ok(typed) if matches!(&*typed.kind, "decision" | "outcome") => {}
                Ok(typed) if &*typed.kind == "segment_restored" => {
                    return serde_json::from_slice(bytes)
                        .map_or(Self::Other, |Span { first_index, end_index }| Self::Restored(first_index, end_index));
                }
                Ok(typed) if &*typed.kind == "entries_erased" => {
                    return serde_json::from_slice(bytes).map_or(Self::Other, |Ranges { ranges }| Self::Erased(ranges));
                }
                _ => return Self::Other,
            }
        }
        match serde_json::from_slice::<Whole<'a>>(bytes) {
            Ok(whole) if &*whole.kind == "decision" => Self::Decision(Box::new(whole.decision())),
            Ok(whole) => Self::Outcome { decision: whole.decision, outcome: whole.outcome },
            Err(_) => Self::Other,
        }
    }
}

impl<'a> Whole<'a> {
    fn decision(self) -> Decision<'a> {
        // What no version of Remit writes is shown as what it can't be worse than.
        let verdict = Verdict::parse(&self.verdict).unwrap_or(Verdict::Deny);
        let mut lines = self.layers;
        lines.retain(|line| match verdict {
            Verdict::Allow => &*line.effect == "ALLOW",
            Verdict::Deny | Verdict::Hold => !matches!(&*line.effect, "ALLOW" | "NO_IMPACT"),
        });
        Decision {
            id: self.id,
            trace_id: self.trace_id,
            approval: self.approval,
            at_ms: remit_model::time_ms(&self.time).unwrap_or_default(),
            agent: self.agent,
            user: self.user,
            space: self.space,
            tool: self.tool,
            reason: self.reason,
            risk: self.risk,
            verdict,
            lines,
        }
    }
}

/// A text, cut to what the index keeps of it.
fn clip(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
