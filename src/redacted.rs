//! Values that must not be printed, such as passwords and keys. Pure.

use std::fmt;

/// A value that debugging output, and so the log, does not show.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value itself, which must not be printed.
    #[must_use]
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redacted(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::Redacted;

    #[test]
    fn the_value_is_not_printed() {
        assert_eq!(format!("{:?}", Redacted::new("hunter2")), "Redacted(..)");
    }

    #[test]
    fn the_value_is_not_printed_in_the_alternate_form() {
        assert_eq!(format!("{:#?}", Some(Redacted::new([1, 2]))), "Some(\n    Redacted(..),\n)");
    }
}
