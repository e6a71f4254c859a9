//! What a rule demands of the host.

use std::fmt;

/// A host name, or all names below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `api.example.com`, in lower case.
    Exact(Box<str>),
    /// `*.example.com`, kept as `.example.com`.
    Below(Box<str>),
}

impl HostPattern {
    /// Returns whether the host is as demanded.
    #[must_use]
    pub(super) fn admits(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
        }
    }

    /// Returns whether every host that `other` admits is admitted by this one too.
    #[must_use]
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(name)) => self.admits(name),
            (Self::Below(mine), Self::Below(theirs)) => theirs.ends_with(&**mine),
            (Self::Exact(_), Self::Below(_)) => false,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}
