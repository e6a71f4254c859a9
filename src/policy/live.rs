//! The policy in force.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Policy;

/// Holds the current policy. Whoever handles a request loads it once and keeps it to the end.
#[derive(Debug, Default)]
pub(crate) struct Live(ArcSwap<Policy>);

impl Live {
    /// Puts the first policy in force.
    #[must_use]
    pub(crate) fn new(policy: impl Into<Arc<Policy>>) -> Self {
        Self(ArcSwap::new(policy.into()))
    }

    /// The policy in force now.
    #[must_use]
    pub(crate) fn load(&self) -> Arc<Policy> {
        self.0.load_full()
    }

    /// Puts another policy in force. Counters live in the store and do not notice.
    pub(crate) fn replace(&self, policy: impl Into<Arc<Policy>>) {
        self.0.store(policy.into());
    }
}
