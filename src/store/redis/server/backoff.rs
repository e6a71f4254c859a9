//! How long to wait before connecting again: longer after each failure, and never in step with the other instances,
//! which lost their connections at the same moment.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(25);
/// Limits must be shared again within a second of Redis being back.
const LONGEST: Duration = Duration::from_millis(400);

/// The number of failures in a row of one server.
#[derive(Debug, Default)]
pub(crate) struct Backoff(AtomicU32);

impl Backoff {
    /// Waits before an attempt to connect; not at all after a success.
    pub(crate) async fn pause(&self) {
        let failures = self.0.load(Ordering::Relaxed);
        if failures > 0 {
            pause(longest(failures)).await;
        }
    }

    /// Records that a connection that had worked was lost. All others may be lost with it, so this is one failure.
    pub(crate) fn lost(&self) {
        self.0.fetch_max(1, Ordering::Relaxed);
    }

    /// Records that connecting failed, or that a connection never worked.
    pub(crate) fn failed(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that the server replied.
    pub(crate) fn succeeded(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Returns the longest pause after this many failures in a row, which are 1 or more.
fn longest(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST)
}

/// Waits for a random time between half of `longest` and all of it.
pub(crate) async fn pause(longest: Duration) {
    tokio::time::sleep(longest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
}

#[cfg(test)]
mod tests {
    use super::longest;

    #[test]
    fn each_failure_doubles_the_pause_up_to_the_longest() {
        let pauses = [1, 2, 3, 4, 5, 6, 100, u32::MAX].map(|failures| longest(failures).as_millis());
        assert_eq!(pauses, [25, 50, 100, 200, 400, 400, 400, 400]);
    }
}
