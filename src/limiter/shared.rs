//! The limiter on a store that all instances share.

use super::charges::{Charges, DecidedCharge, Decider, PendingCharge};
use super::outage::Outage;
use crate::clock::Timeline;
use crate::store::{GenerationSpan, RedisStore, StoreError, StoreHealth};

/// Decides in the shared store, and locally where that makes no decision.
#[derive(Debug)]
pub(super) struct SharedLimiter {
    pub(super) store: RedisStore,
    outage: Outage,
}

/// The state of the shared store.
#[derive(Clone, Debug)]
pub struct Status {
    /// The state of its servers.
    pub health: StoreHealth,
    /// How many instances share the limits, as far as this one knows.
    pub instances: i64,
    /// Whether the store may still lack something that was admitted without it.
    pub needs_settlement: bool,
}

impl SharedLimiter {
    /// Creates a limiter that assumes to be one of `instances` until the store reports their number. Needs a Tokio
    /// runtime.
    pub(super) fn new(store: RedisStore, instances: u32, timeline: Timeline) -> Self {
        let outage = Outage::new(&store, instances, timeline);
        Self { store, outage }
    }

    /// Decides about the charges of one request. A settlement may come before the check: then the wait is up to one and a
    /// half times the timeout of a check.
    pub(super) async fn decide<'c, 'p>(
        &self,
        charges: &'c [PendingCharge<'p>],
    ) -> (Vec<DecidedCharge<'c, 'p>>, Decider) {
        let Self { store, outage } = self;
        let before = store.generation();
        // Boxed: what is rare must not make the future of each request larger.
        let may_decide = !outage.needs_settlement(before)
            || Box::pin(outage.store_may_decide(store, charges, before)).await;
        let mut charges = if may_decide {
            let charges = DecidedCharge::join(charges, store.take(charges).await);
            outage.observe(&charges, GenerationSpan { before, after: store.generation() });
            charges
        } else {
            DecidedCharge::join(charges, std::iter::repeat_with(|| Err(StoreError::Unsettled)))
        };
        let decider = outage.decide_locally(&mut charges, store.generation());
        (charges, decider)
    }

    /// Returns the charges together with those of the counters of the previous version, if it has others.
    pub(super) fn with_former<'p>(&self, charges: &Charges<'p>) -> Option<Charges<'p>> {
        charges.with_former(|window_ms| self.outage.had_other_builds(window_ms))
    }

    /// Takes back what the store charged for a request that is refused.
    pub(super) async fn give_back(&self, charges: &[DecidedCharge<'_, '_>]) {
        let decided = charges.iter().filter_map(|charge| {
            let decision = charge.decision.as_ref().ok()?;
            Some((&charge.pending.keyed, decision))
        });
        Box::pin(self.store.give_back(&decided.collect::<Vec<_>>())).await;
    }

    /// Forgets what is known here of counters that were deleted.
    pub(super) fn forget(&self, keys: &[String]) {
        self.outage.forget(keys);
    }

    /// Returns the state of the store.
    pub(super) fn status(&self) -> Status {
        let Self { store, outage } = self;
        Status {
            health: store.health(),
            instances: outage.instances(),
            needs_settlement: outage.needs_settlement(store.generation()),
        }
    }
}
