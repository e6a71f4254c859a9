//! The breaker of one server: while it is open, no check waits for the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

pub(super) mod state_machine;

use super::health::Health;
use crate::store::StoreError;

/// The breaker of one server, as the tasks that use the server see it. They report their successes and failures; its
/// [`state_machine`] alone opens and closes it. (A cluster has a breaker of its own, for the time in which no server has
/// told its slots; `route/topology.rs` opens and closes that one.)
#[derive(Debug)]
pub(crate) struct Breaker {
    open: AtomicBool,
    successes: AtomicU64,
    failures: AtomicU64,
    failures_in_a_row: AtomicU64,
    reason: ArcSwap<String>,
    /// Notified of each failure.
    failed: Notify,
    /// Notified when the breaker opens.
    opened: Notify,
    /// Whether the store goes on without the server.
    retired: AtomicBool,
    server: String,
    health: Arc<Health>,
}

/// The number of successes and failures since the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(crate) successes: u64,
    pub(crate) failures: u64,
}

impl Breaker {
    /// Creates the breaker of a server, closed.
    pub(crate) fn new(server: String, health: Arc<Health>) -> Self {
        health.register(&server);
        Self {
            open: AtomicBool::new(false),
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            failures_in_a_row: AtomicU64::new(0),
            reason: ArcSwap::default(),
            failed: Notify::new(),
            opened: Notify::new(),
            retired: AtomicBool::new(false),
            server,
            health,
        }
    }

    /// Returns whether the server must not be used at the moment.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Returns the error of calls that are not made because the breaker is open. None: it is closed.
    pub(crate) fn error(&self) -> Option<StoreError> {
        self.is_open().then(|| StoreError::Down(self.reason.load_full()))
    }

    /// Reports that a call got its reply.
    pub(crate) fn report_success(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        if self.failures_in_a_row.load(Ordering::Relaxed) != 0 {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// Reports that something failed, for whatever reason.
    pub(crate) fn report_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failures_in_a_row.fetch_add(1, Ordering::Relaxed);
        self.failed.notify_one();
    }

    /// Waits until a failure is reported.
    pub(crate) async fn wait_for_failure(&self) {
        self.failed.notified().await;
    }

    /// Waits until the breaker opens.
    pub(crate) async fn wait_until_open(&self) {
        self.opened.notified().await;
    }

    pub(crate) fn tally(&self) -> Tally {
        Tally {
            successes: self.successes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    /// Returns the number of failures since the last success.
    pub(crate) fn failures_in_a_row(&self) -> u64 {
        self.failures_in_a_row.load(Ordering::Relaxed)
    }

    /// Opens the breaker, or replaces the reason for which it is open.
    pub(crate) fn open(&self, reason: &StoreError) {
        let reason = Health::shortened(reason);
        self.reason.store(Arc::new(reason.clone()));
        if self.open.swap(true, Ordering::AcqRel) {
            self.health.still_down(&self.server, reason);
        } else {
            self.health.down(&self.server, reason);
            self.opened.notify_waiters();
        }
    }

    /// Closes the breaker: the server is used again.
    pub(crate) fn close(&self) {
        if self.open.swap(false, Ordering::AcqRel) {
            self.health.up(&self.server);
        }
    }

    /// Records that the store goes on without the server, so that dropping this breaker ends the outage.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        // A breaker that was not retired is dropped with the whole store, at shutdown: no limit is shared again then.
        if *self.retired.get_mut() {
            self.health.unregister(&self.server);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::Breaker;
    use crate::store::StoreError;
    use crate::store::redis::server::health::Health;

    /// Returns the states that a server went through until its breaker was dropped, true for available.
    fn states_until_dropped(change: impl FnOnce(&Breaker)) -> Vec<bool> {
        let health = Arc::new(Health::default());
        let breaker = Breaker::new("127.0.0.1:6379".to_owned(), Arc::clone(&health));
        change(&breaker);
        drop(breaker);
        health.report().changes.iter().map(|change| change.error.is_none()).collect()
    }

    fn open(breaker: &Breaker) {
        breaker.open(&StoreError::Timeout(Duration::from_millis(20)));
    }

    #[test]
    fn the_end_of_the_store_does_not_end_an_outage() {
        assert_eq!(states_until_dropped(open), [false]);
    }

    #[test]
    fn a_store_that_goes_on_without_the_server_ends_its_outage() {
        let states = states_until_dropped(|breaker| {
            open(breaker);
            breaker.retire();
        });
        assert_eq!(states, [false, true]);
    }
}
