//! Context keys as dense slots, and the facts of one request bound to them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// The number of a context key, dense from 0. It means something only together with the [`Keys`] that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

impl Slot {
    /// From 0.
    #[inline]
    pub fn index(self) -> usize {
        // A u32 fits wherever this runs; if it didn't, no slot would be found, and what isn't found is unknown.
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// The context keys that the policies of one snapshot name, each with its slot.
///
/// Names of keys don't depend on case ([Condition]); they are kept in lower case.
///
/// [Condition]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html
#[derive(Debug, Clone, Default)]
pub struct Keys {
    slots: HashMap<Box<str>, Slot>,
    names: Vec<Box<str>>,
}

impl Keys {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The slot of a key, which is added if it isn't there.
    pub(crate) fn intern(&mut self, name: &str) -> Slot {
        let name = name.to_lowercase();
        if let Some(slot) = self.slots.get(name.as_str()) {
            return *slot;
        }
        let slot = Slot(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(name.clone().into());
        self.slots.insert(name.into(), slot);
        slot
    }

    /// The slot of a key that some policy names, whatever its case.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        self.slots.get(name.to_lowercase().as_str()).copied()
    }

    /// Every key that some policy names, in lower case: what there is to bind.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &str)> {
        self.names.iter().enumerate().map(|(index, name)| (Slot(u32::try_from(index).unwrap_or(u32::MAX)), name.as_ref()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no policy names any.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// What a context key holds in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Value<'a> {
    /// The request has no such key.
    #[default]
    Absent,
    /// One text. Numbers, truth values, dates (ISO 8601, or seconds since the epoch), addresses and ARNs arrive as texts,
    /// binary values in base 64. An IPv4 address must not be written as one of IPv6: see `IpAddr::to_canonical`.
    One(&'a str),
    /// A key of several values, possibly none. Only operators with `ForAllValues:` or `ForAnyValue:` can test it.
    Many(&'a [Cow<'a, str>]),
    /// The request may have it, but it could not be found out: what depends on it doesn't allow, and denies.
    Unknown,
}

/// Where the values of a request come from that are found when a policy asks for them.
pub trait Source {
    /// What a key holds: the same whenever it is asked. Absent, if the request hasn't got it; unknown for a slot of other [`Keys`].
    fn value(&self, slot: Slot) -> Value<'_>;
}

/// The facts of one request, by slot.
#[derive(Clone)]
pub struct Context<'a> {
    values: Values<'a>,
    /// Whether what can't be told counts for the request, not against it.
    lenient: bool,
}

#[derive(Clone)]
enum Values<'a> {
    /// By slot.
    Bound(Vec<Value<'a>>),
    Asked(&'a dyn Source),
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("Context");
        if let Values::Bound(values) = &self.values {
            told.field("values", values);
        }
        told.field("lenient", &self.lenient).finish_non_exhaustive()
    }
}

impl<'a> Context<'a> {
    /// A context in which every key is absent.
    pub fn new(keys: &Keys) -> Self {
        Self { values: Values::Bound(vec![Value::Absent; keys.len()]), lenient: false }
    }

    /// A context whose values are found when a policy asks for them: most policies ask for few.
    pub fn of(source: &'a dyn Source) -> Self {
        Self { values: Values::Asked(source), lenient: false }
    }

    /// Turns the meaning of [`Value::Unknown`] round: what can't be told counts for the request, so that what is allowed here is all that
    /// some values of the unknown keys could be allowed, and maybe more. For proofs that something is never allowed; no decision is made so.
    #[must_use]
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    #[inline]
    pub(crate) fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// Binds a key. A slot of other [`Keys`] is ignored, and so is every one where a source is asked.
    #[inline]
    pub fn set(&mut self, slot: Slot, value: Value<'a>) {
        if let Values::Bound(values) = &mut self.values
            && let Some(place) = values.get_mut(slot.index())
        {
            *place = value;
        }
    }

    /// What a key holds; unknown for a slot of other [`Keys`].
    #[inline]
    pub fn get(&self, slot: Slot) -> Value<'a> {
        match &self.values {
            Values::Asked(source) => source.value(slot),
            Values::Bound(values) => values.get(slot.index()).copied().unwrap_or(Value::Unknown),
        }
    }

    /// What a variable stands for: the one text of its key, or its default if the request hasn't got the key.
    ///
    /// `None` if it has no value. Only keys of one value can be variables, and an empty text counts as no value
    /// ([variables], "Policy variables with no value").
    ///
    /// [variables]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
    #[inline]
    pub(crate) fn variable<'b>(&'b self, slot: Slot, default: Option<&'b str>) -> Option<&'b str> {
        match self.get(slot) {
            Value::One("") | Value::Many(_) | Value::Unknown => None,
            Value::One(text) => Some(text),
            Value::Absent => default,
        }
    }
}
