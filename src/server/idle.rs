//! Tracks how many requests are under way on a connection, and for how long it has been idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::timer::LastMove;

/// Tracks the requests of one connection.
#[derive(Debug)]
pub(super) struct IdleTracker {
    under_way: AtomicUsize,
    /// When the last request ended.
    last_end: LastMove,
    /// Whether all bytes that hyper wrote have been sent to the client.
    flushed: Arc<AtomicBool>,
}

impl IdleTracker {
    pub(super) fn start(flushed: Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self { under_way: AtomicUsize::new(0), last_end: LastMove::start(), flushed })
    }

    /// Notes that a request begins, and returns how many are under way with it. The request ends when the guard is
    /// dropped.
    pub(super) fn begin(self: &Arc<Self>) -> (UnderWay, usize) {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        (UnderWay(Arc::clone(self)), before + 1)
    }

    /// Returns how long no request has been under way, or `None` if one is.
    pub(super) fn idle(&self) -> Option<Duration> {
        let quiet = self.under_way.load(Ordering::Relaxed) == 0 && self.flushed.load(Ordering::Relaxed);
        quiet.then(|| self.last_end.elapsed())
    }

    /// Waits until no request has been under way for `timeout`, and at most `look_every` longer: looking now and then
    /// costs less than a timer for each request. A connection that is seen busy is looked at less and less often.
    pub(super) async fn idle_for(&self, timeout: Duration, look_every: Duration) {
        let mut busy = timeout.min(look_every);
        loop {
            let wait = match self.idle() {
                Some(idle) if idle >= timeout => return,
                Some(idle) => timeout.saturating_sub(idle),
                None => {
                    let wait = busy;
                    busy = busy.saturating_mul(2).min(look_every);
                    wait
                }
            };
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<IdleTracker>);

impl Clone for UnderWay {
    fn clone(&self) -> Self {
        self.0.begin().0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.last_end.note();
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
