//! What a rule demands of a value: of a header field, or of a query parameter.

use std::fmt;

use super::holds::Holds;

/// What the value of a name must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValuePattern {
    /// Any value, but the name must be there.
    Present,
    /// This value, in the form in which values are compared.
    Equals(Box<[u8]>),
    /// A value that starts with this. Nothing has to follow.
    StartsWith(Box<[u8]>),
}

impl ValuePattern {
    /// Returns whether the values of one name, of which the upstream takes one, are as demanded.
    pub(super) fn holds<V: Iterator<Item = u8>>(&self, values: impl Iterator<Item = V>) -> Holds {
        values.map(|value| self.holds_for(value)).reduce(Holds::in_either_reading).unwrap_or(Holds::Never)
    }

    fn holds_for(&self, mut value: impl Iterator<Item = u8>) -> Holds {
        match self {
            // Many upstreams take an empty value for a missing one.
            Self::Present if value.next().is_none() => Holds::Perhaps,
            Self::Present => Holds::Always,
            Self::Equals(whole) => value.eq(whole.iter().copied()).into(),
            Self::StartsWith(start) => value.take(start.len()).eq(start.iter().copied()).into(),
        }
    }

    /// Returns whether every value that is as this one demands is also as `other` demands. Both are of one name.
    #[must_use]
    pub(super) fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Present) => true,
            (Self::Equals(mine), Self::Equals(theirs)) => mine == theirs,
            (Self::Equals(mine) | Self::StartsWith(mine), Self::StartsWith(theirs)) => {
                mine.starts_with(theirs)
            }
            (Self::Present | Self::StartsWith(_), _) => false,
        }
    }
}

/// As the configuration has it, but for blanks and upper case that make no difference.
impl fmt::Display for ValuePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, star) = match self {
            Self::Present => (&[][..], "*"),
            Self::Equals(value) => (&**value, ""),
            Self::StartsWith(start) => (&**start, "*"),
        };
        write!(f, "\"{}{star}\"", String::from_utf8_lossy(value))
    }
}
