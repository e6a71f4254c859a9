//! How long to wait before connecting again: longer each time, and never in step with the other instances, which
//! have lost their connections in the same moment.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(25);
/// Limits are to hold again within a second of Redis being back.
const LONGEST: Duration = Duration::from_millis(400);

/// The failures in a row of one server.
#[derive(Debug, Default)]
pub(super) struct Backoff(AtomicU32);

impl Backoff {
    /// Waits before an attempt to connect; not at all if nothing has failed.
    pub(super) async fn pause(&self) {
        let failures = self.0.load(Ordering::Relaxed);
        if failures > 0 {
            pause(FIRST.saturating_mul(1 << (failures - 1).min(8)).min(LONGEST)).await;
        }
    }

    /// A connection that had worked was lost: with it all the others, perhaps, so it is one failure.
    pub(super) fn lost(&self) {
        self.0.fetch_max(1, Ordering::Relaxed);
    }

    /// A connection could not be made, or did not work from the start.
    pub(super) fn failed(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The server has answered.
    pub(super) fn succeeded(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Waits for something between half of `longest` and all of it.
pub(super) async fn pause(longest: Duration) {
    tokio::time::sleep(longest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
}
