//! Three-valued logic (Kleene's): what could not be found out must neither grant nor fail to deny.

/// What a test came to.
///
/// An Allow statement applies only if everything it says is [`Truth::Yes`]; a Deny statement applies unless something it
/// says is [`Truth::No`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Truth {
    /// It doesn't match.
    No,
    /// It can't be told: a fact is unknown, a variable has no value, or a value isn't of the operator's type.
    Maybe,
    /// It matches.
    Yes,
}

impl Truth {
    /// Both.
    #[must_use]
    #[inline]
    pub fn and(self, other: Self) -> Self {
        self.min(other)
    }

    /// Either.
    #[must_use]
    #[inline]
    pub fn or(self, other: Self) -> Self {
        self.max(other)
    }

    /// The opposite; what can't be told stays so.
    #[must_use]
    #[inline]
    pub fn negate(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
            Self::Yes => Self::No,
        }
    }
}

impl From<bool> for Truth {
    fn from(flag: bool) -> Self {
        if flag { Self::Yes } else { Self::No }
    }
}
