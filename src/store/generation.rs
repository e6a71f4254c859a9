//! Which set of server processes holds the counters.

use std::sync::atomic::{AtomicU64, Ordering};

/// Changes whenever a server may have lost counters: it was restarted, or another one took its place. A counter last
/// seen in another generation may be gone since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(u64);

/// The generations around a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationSpan {
    /// The one before the check was sent.
    pub before: Generation,
    /// The one after its reply arrived. If the two differ, the reply may come from a server that lost counters.
    pub after: Generation,
}

/// A [`Generation`] that tasks share.
#[derive(Debug, Default)]
pub struct AtomicGeneration(AtomicU64);

impl AtomicGeneration {
    /// Returns the current generation.
    #[must_use]
    pub fn load(&self) -> Generation {
        Generation(self.0.load(Ordering::Acquire))
    }

    /// Replaces the generation.
    pub fn store(&self, generation: Generation) {
        self.0.store(generation.0, Ordering::Release);
    }

    /// Begins the next generation.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}
