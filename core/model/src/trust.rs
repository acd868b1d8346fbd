//! How much autonomy an agent has earned.

/// An agent's trust tier in one category of tools, the least autonomous first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustTier {
    /// It has to show that it can be trusted with anything, or has lost what trust it had.
    Probation,
    /// People look over its shoulder.
    Supervised,
    /// It has a record.
    Trusted,
    /// It acts by itself.
    Autonomous,
}

impl TrustTier {
    /// Every tier, the least autonomous first.
    pub const ALL: &[Self] = &[Self::Probation, Self::Supervised, Self::Trusted, Self::Autonomous];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Probation => "probation",
            Self::Supervised => "supervised",
            Self::Trusted => "trusted",
            Self::Autonomous => "autonomous",
        }
    }

    /// The tier of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|tier| tier.as_str() == word)
    }
}

impl std::fmt::Display for TrustTier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
