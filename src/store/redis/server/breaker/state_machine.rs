//! The state machine that opens and closes the breaker of one server.
//!
//! ```text
//! closed ---a call fails---> suspect ---the server fails probes---> open
//!   ^ ^                         |                                   |  ^
//!   | +------probes succeed-----+                     probe succeeds|  |probe fails
//!   |                                                               v  |
//!   +------------probes succeed for as long as required---------recovering
//! ```
//!
//! - Only probes open and close the breaker: no request is ever sacrificed to find out how the server is.
//! - A process that is short of CPU misses the deadlines of its requests: that is not an outage. Probes run on a thread
//!   and a connection of their own; only a server that misses their deadlines too is down.
//! - A server that goes down again and again is used again after a longer time each time: rules that switch between
//!   the shared and the local limit twice a second are worse than either.

use std::sync::Arc;
use std::time::Duration;

use super::{Breaker, Tally};
use crate::clock::Stopwatch;
use crate::store::StoreError;
use crate::store::redis::server::backoff;
use crate::store::redis::server::probe::Probe;

/// The longest pause before a closed breaker reacts to failures again.
const CLOSED_PAUSE: Duration = Duration::from_millis(10);
/// The pause between the first two probes of a server that is down, with jitter up to this. It doubles each time, up to a
/// maximum: limits must be shared again within a second.
const OPEN_PAUSE: Duration = Duration::from_millis(50);
const MAX_OPEN_PAUSE: Duration = Duration::from_millis(400);
/// If more than this many calls fail during one probe, the process is busy.
const BUSY_FAILURES: u64 = 32;
/// The number of probes that are made of a suspect server while the process is busy.
const BUSY_PROBES: u32 = 3;
/// After more than this many failures in a row, a probe on an old connection proves too little: perhaps only new
/// connections fail.
const OLD_CONNECTION_FAILURES: u64 = 8;
/// For how long a server must succeed in probes before it is used again.
const STEADY: Duration = Duration::from_millis(50);
/// The maximum of that time, for a server that goes down again and again.
const MAX_STEADY: Duration = Duration::from_secs(5);
/// A server that is down again after less than this time is in the same trouble as before.
const FLAPPING: Duration = Duration::from_secs(30);

/// Probes one server, and drives its breaker.
pub(crate) struct Supervisor {
    breaker: Arc<Breaker>,
    probe: Probe,
    /// For how long the server must succeed in probes before it is used again.
    steady: Duration,
    /// When the breaker last closed.
    closed: Option<Stopwatch>,
}

#[derive(Debug)]
enum State {
    /// The server is used, and nothing has failed since the last probe.
    Closed,
    /// The server is used, but something has failed.
    Suspect,
    /// The server is not used: it failed its last probe.
    Open {
        /// The longest pause before the next probe.
        pause: Duration,
    },
    /// The server is not used yet: it succeeds in probes since `since`.
    Recovering { since: Stopwatch },
}

impl Supervisor {
    pub(crate) fn new(breaker: Arc<Breaker>, probe: Probe) -> Self {
        Self { breaker, probe, steady: STEADY, closed: None }
    }

    /// Runs for as long as the server is one of the store's. Begins with a probe: the server may be down at the start.
    pub(crate) async fn run(mut self) {
        let mut state = State::Suspect;
        loop {
            state = match state {
                State::Closed => self.closed().await,
                State::Suspect => self.suspect().await,
                State::Open { pause } => self.open(pause).await,
                State::Recovering { since } => self.recovering(since).await,
            };
        }
    }

    async fn closed(&self) -> State {
        backoff::pause(CLOSED_PAUSE).await;
        self.breaker.wait_for_failure().await;
        State::Suspect
    }

    async fn suspect(&mut self) -> State {
        let Err(error) = self.judge().await else { return State::Closed };
        self.steady = damped(self.steady, self.closed.map(|closed| closed.seconds()));
        self.down(&error, OPEN_PAUSE)
    }

    async fn open(&mut self, pause: Duration) -> State {
        backoff::pause(pause).await;
        match self.probe.run().await {
            Ok(()) => State::Recovering { since: Stopwatch::start() },
            Err(error) => self.down(&error, (pause * 2).min(MAX_OPEN_PAUSE)),
        }
    }

    async fn recovering(&mut self, since: Stopwatch) -> State {
        if since.seconds() >= self.steady.as_secs_f64() {
            self.breaker.close();
            self.closed = Some(Stopwatch::start());
            return State::Closed;
        }
        backoff::pause(OPEN_PAUSE).await;
        match self.probe.run().await {
            Ok(()) => State::Recovering { since },
            Err(error) => self.down(&error, OPEN_PAUSE * 2),
        }
    }

    fn down(&self, error: &StoreError, pause: Duration) -> State {
        self.breaker.open(error);
        State::Open { pause }
    }

    /// Returns why a suspect server is down, if it is.
    async fn judge(&mut self) -> Result<(), StoreError> {
        let mut probes = 0;
        loop {
            probes += 1;
            let before = self.breaker.tally();
            let mut probed = self.probe.run().await;
            if probed.is_ok() && self.breaker.failures_in_a_row() > OLD_CONNECTION_FAILURES {
                probed = self.probe.run_on_new_connection().await;
            }
            let Tally { successes, failures } = self.breaker.tally();
            let failures = failures - before.failures;
            match probed {
                // A server that replies to most calls is not down, whatever is wrong with the probe.
                Err(_) if successes - before.successes > failures => return Ok(()),
                // The process is so busy that the probe may have been delayed as well.
                Err(StoreError::Timeout(_)) if failures > BUSY_FAILURES && probes < BUSY_PROBES => {}
                probed => return probed,
            }
        }
    }
}

/// Returns for how long a server that is down must succeed in probes, if that was `before` the last time and the server
/// was well for `well_seconds` since. None: it was never down.
fn damped(before: Duration, well_seconds: Option<f64>) -> Duration {
    let again = well_seconds.is_some_and(|seconds| seconds < FLAPPING.as_secs_f64());
    if again { before.saturating_mul(4).min(MAX_STEADY) } else { STEADY }
}

#[cfg(test)]
mod tests {
    use super::{STEADY, damped};

    /// Returns for how long a server must be well after each of several outages, before which it was well for these
    /// seconds.
    fn after(outages: &[Option<f64>]) -> Vec<u128> {
        let mut steady = STEADY;
        let after = |well: &Option<f64>| {
            steady = damped(steady, *well);
            steady.as_millis()
        };
        outages.iter().map(after).collect()
    }

    #[test]
    fn a_server_that_is_down_again_soon_must_be_well_for_longer_each_time() {
        assert_eq!(after(&[None, Some(1.0), Some(29.9), Some(0.0)]), [50, 200, 800, 3_200]);
    }

    #[test]
    fn no_server_must_be_well_for_longer_than_five_seconds() {
        assert_eq!(
            after(&[None, Some(1.0), Some(1.0), Some(1.0), Some(1.0), Some(1.0)])[4..],
            [5_000, 5_000]
        );
    }

    #[test]
    fn a_server_that_was_well_for_a_while_is_used_again_at_once() {
        assert_eq!(after(&[None, Some(1.0), Some(30.0)]), [50, 200, 50]);
    }
}
