//! The policy in force.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Policy;

/// Holds the current policy. Whoever handles a request loads it once and keeps it to the end.
#[derive(Debug, Default)]
pub struct Live(ArcSwap<Policy>);

impl Live {
    /// Puts the first policy in force.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self(ArcSwap::from_pointee(policy))
    }

    /// The policy in force now.
    #[must_use]
    pub fn load(&self) -> Arc<Policy> {
        self.0.load_full()
    }

    /// Puts another policy in force. Counters live in the store and do not notice.
    pub fn replace(&self, policy: Policy) {
        self.0.store(Arc::new(policy));
    }
}
