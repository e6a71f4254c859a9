//! Whether a condition holds for a request that can be read in more than one way.

/// Whether a condition holds.
///
/// An upstream may take any one of several values of a name, or take an empty one for a missing one. Each choice is a
/// reading of the request, and a rule must find the request in whichever reading it falls under the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    /// In no reading.
    Never,
    /// In some readings, and not in others.
    Perhaps,
    /// In every reading.
    Always,
}

impl Holds {
    /// Returns whether it holds in any reading.
    #[must_use]
    pub fn is_possible(self) -> bool {
        self != Self::Never
    }

    /// Both conditions.
    #[must_use]
    pub(super) fn and(self, other: Self) -> Self {
        self.min(other)
    }

    /// At least one of the two conditions.
    #[must_use]
    pub(super) fn or(self, other: Self) -> Self {
        self.max(other)
    }

    /// The opposite of the condition.
    #[must_use]
    pub(super) fn not(self) -> Self {
        match self {
            Self::Never => Self::Always,
            Self::Perhaps => Self::Perhaps,
            Self::Always => Self::Never,
        }
    }

    /// The same condition in two readings.
    #[must_use]
    pub(super) fn in_either_reading(self, other: Self) -> Self {
        if self == other { self } else { Self::Perhaps }
    }
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::Always } else { Self::Never }
    }
}
