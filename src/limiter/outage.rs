//! What the limiter does about outages of the store. It takes part in each check with three calls:
//!
//! 1. [`Outage::store_may_decide`] before the check: a store that is back after an outage may lack so much of a counter that it
//!    must not decide before the counter is settled.
//! 2. [`Outage::observe`] after the check: what the store decided shows which part of a client's traffic comes through
//!    this instance.
//! 3. [`Outage::decide_locally`] for the charges about which the store made no decision.
//!
//! In the background it sends heartbeats, by which the instances count each other, and settles counters.

mod heartbeat;
mod ledger;
mod membership;
mod settler;
mod shared_counter;
mod store_clock;
mod undecided;

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::charges::{DecidedCharge, Decider, PendingCharge};
use crate::clock::Timeline;
use crate::policy::OnOutage;
use crate::store::{Generation, GenerationSpan, RedisStore};
use ledger::Ledger;

/// What this instance needs to do without the store.
#[derive(Debug)]
pub(super) struct Outage {
    ledger: Arc<Ledger>,
    _upkeep: AbortOnDropHandle<()>,
}

impl Outage {
    /// Starts heartbeats and settlement in the background. Assumes to be one of `instances` until the store reports their
    /// number.
    pub(super) fn new(store: &RedisStore, instances: u32, timeline: Timeline) -> Self {
        let ledger = Arc::new(Ledger::new(instances, timeline));
        let upkeep = tokio::spawn(upkeep(store.clone(), Arc::clone(&ledger)));
        Self { ledger, _upkeep: AbortOnDropHandle::new(upkeep) }
    }

    /// Returns whether the store may decide about the charges. If it lacks something of their counters, starts to settle
    /// them. If it lacks too much, and all rules can decide locally, it may not. For other rules it decides all the same,
    /// after a wait for the settlements that this call has started.
    pub(super) async fn store_may_decide(
        &self,
        store: &RedisStore,
        charges: &[PendingCharge<'_>],
        generation: Generation,
    ) -> bool {
        if store.is_down() {
            // Nothing can be settled now. The store then fails at once, with the error that says why.
            return true;
        }
        let (due, is_blocked) = self.ledger.unsettled_keys(charges, generation);
        let settlements: Vec<_> = due.into_iter().map(|key| self.settle(store, key)).collect();
        if !is_blocked {
            return true;
        }
        if charges.iter().all(|charge| charge.rule.on_outage == OnOutage::Local) {
            return false;
        }
        // This comes before the check and has a time of its own: half of what the check itself may take.
        let _ = timeout(store.timeout() / 2, join_all(settlements)).await;
        true
    }

    /// Records what the store decided.
    pub(super) fn observe(&self, charges: &[DecidedCharge<'_, '_>], generations: GenerationSpan) {
        self.ledger.observe(charges, generations);
    }

    /// Decides about the charges about which the store made no decision, where their rules allow that. Returns which side
    /// has decided about the request.
    pub(super) fn decide_locally(
        &self,
        charges: &mut [DecidedCharge<'_, '_>],
        generation: Generation,
    ) -> Decider {
        if charges.iter().all(|charge| charge.decision.is_ok()) || undecided::is_refused(charges) {
            return Decider::Store;
        }
        let mut local: Vec<_> = charges.iter_mut().filter(|charge| undecided::is_local(charge)).collect();
        let keyed: Vec<_> = local.iter().map(|charge| &charge.pending.keyed).collect();
        let decisions = self.ledger.take(&keyed, generation);
        let decider = if decisions.is_empty() { Decider::Store } else { Decider::Instance };
        for (charge, decision) in local.iter_mut().zip(decisions) {
            charge.decision = Ok(decision);
        }
        decider
    }

    /// Forgets counters that were deleted: they must not be put back after a restart of the store.
    pub(super) fn forget(&self, keys: &[String]) {
        self.ledger.forget(keys);
    }

    /// Returns whether an instance of another build may have been alive in the last `window_ms` milliseconds.
    pub(super) fn had_other_builds(&self, window_ms: i64) -> bool {
        self.ledger.membership.had_other_builds(window_ms, self.ledger.local())
    }

    /// Returns how many instances share the limits, as far as this one knows.
    pub(super) fn instances(&self) -> i64 {
        self.ledger.membership.instances()
    }

    /// Returns whether the store may lack something of any counter.
    pub(super) fn needs_settlement(&self, generation: Generation) -> bool {
        self.ledger.needs_settlement(generation)
    }

    /// Settles a counter in a task of its own: it goes on when the request does not wait for it.
    fn settle(&self, store: &RedisStore, key: &str) -> JoinHandle<()> {
        let (store, ledger, key) = (store.clone(), Arc::clone(&self.ledger), key.to_owned());
        tokio::spawn(async move { settler::settle(&store, &ledger, &key).await })
    }
}

/// Sends heartbeats and settles counters for as long as the process runs.
async fn upkeep(store: RedisStore, ledger: Arc<Ledger>) {
    tokio::join!(heartbeat::send_all(&store, &ledger), settler::settle_all(&store, &ledger));
}
