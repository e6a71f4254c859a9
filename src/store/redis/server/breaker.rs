//! Whether a server is asked at all: once it is known to be down, nobody waits for it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::health::Health;
use crate::store::StoreError;

/// The breaker of one server. What fails makes it doubtful; only a probe opens and closes it (`probe.rs`).
#[derive(Debug)]
pub(crate) struct Breaker {
    open: AtomicBool,
    answers: AtomicU64,
    failures: AtomicU64,
    /// Failures since the last answer.
    in_a_row: AtomicU64,
    reason: ArcSwap<String>,
    /// Notified when something has failed.
    doubted: Notify,
    /// Notified when it opens.
    opened: Notify,
    /// Whether the store goes on without the server.
    retired: AtomicBool,
    server: String,
    health: Arc<Health>,
}

impl Breaker {
    /// The breaker of a server that nothing is known about.
    pub(crate) fn new(server: String, health: Arc<Health>) -> Self {
        health.joins(&server);
        Self {
            open: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            in_a_row: AtomicU64::new(0),
            reason: ArcSwap::default(),
            doubted: Notify::new(),
            opened: Notify::new(),
            retired: AtomicBool::new(false),
            server,
            health,
        }
    }

    /// Why the server is not to be asked, if it is not.
    pub(crate) fn down(&self) -> Option<StoreError> {
        self.is_open().then(|| StoreError::Down(self.reason.load_full()))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// A check has its answer.
    pub(crate) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// Something has failed, for whatever reason.
    pub(crate) fn doubt(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.in_a_row.fetch_add(1, Ordering::Relaxed);
        self.doubted.notify_one();
    }

    /// How many answers and failures there have been.
    pub(crate) fn tally(&self) -> (u64, u64) {
        (self.answers.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }

    /// How many failures there have been since the last answer.
    pub(crate) fn in_a_row(&self) -> u64 {
        self.in_a_row.load(Ordering::Relaxed)
    }

    /// Waits until something has failed.
    pub(crate) async fn doubted(&self) {
        self.doubted.notified().await;
    }

    /// The server is down, or still is, for this reason.
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

    /// Waits until it opens.
    pub(crate) async fn opened(&self) {
        self.opened.notified().await;
    }

    /// Notes that the store goes on without the server, so that the end of this breaker ends its outage.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// The server is well.
    pub(crate) fn close(&self) {
        if self.open.swap(false, Ordering::AcqRel) {
            self.health.up(&self.server);
        }
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        // A breaker that was not retired ends with the whole store, at shutdown: then no limit is shared again.
        if *self.retired.get_mut() {
            self.health.leaves(&self.server);
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

    /// The states that a server went through until the end of its breaker, true for up.
    fn states_until_the_end(change: impl FnOnce(&Breaker)) -> Vec<bool> {
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
        assert_eq!(states_until_the_end(open), [false]);
    }

    #[test]
    fn a_store_that_goes_on_without_the_server_ends_its_outage() {
        let states = states_until_the_end(|breaker| {
            open(breaker);
            breaker.retire();
        });
        assert_eq!(states, [false, true]);
    }
}
