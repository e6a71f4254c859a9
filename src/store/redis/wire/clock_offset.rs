//! The offset between a server's clock and this process's, which turns a deadline into the server's time.
//!
//! Each reply carries the server's time at which it was made, and takes some time to arrive. So every sample of the
//! offset is too low by the time that the reply traveled, and the highest of the recent samples is the best. A deadline
//! that is sent a little too early does no harm; one sent too late could count a request whose caller has timed out.
//!
//! `server/connector.rs` takes the first sample of a connection, and `server/queue/worker.rs` one from each round trip.

/// How long a sample counts, at least, in milliseconds; a quartz clock drifts less than 1 ms meanwhile.
const RECENT_MS: i64 = 10_000;
/// A sample that is lower by this many milliseconds, more than a round trip takes, means that the server's clock was
/// set back.
const SET_BACK_MS: i64 = 250;

/// The offset of one server's clock. Pure: all times are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockOffset {
    current: i64,
    previous: i64,
    since_ms: i64,
}

impl ClockOffset {
    /// Creates an offset from its first sample: see [`ClockOffset::learn`].
    pub(crate) fn new(local_ms: i64, server_ms: i64) -> Self {
        let sample = server_ms - local_ms;
        Self { current: sample, previous: sample, since_ms: local_ms }
    }

    /// Records that a reply made at `server_ms` was read at `local_ms`.
    pub(crate) fn learn(&mut self, local_ms: i64, server_ms: i64) {
        let sample = server_ms - local_ms;
        if sample < self.get() - SET_BACK_MS {
            *self = Self::new(local_ms, server_ms);
        } else if local_ms - self.since_ms > RECENT_MS {
            *self = Self { current: sample, previous: self.current, since_ms: local_ms };
        } else {
            self.current = self.current.max(sample);
        }
    }

    /// Returns the server's time at `local_ms`.
    pub(crate) fn server_ms(&self, local_ms: i64) -> i64 {
        local_ms + self.get()
    }

    fn get(&self) -> i64 {
        self.current.max(self.previous)
    }
}

#[cfg(test)]
mod tests {
    use super::ClockOffset;

    #[test]
    fn the_quickest_reply_wins() {
        let mut offset = ClockOffset::new(0, 5_000);
        offset.learn(110, 5_100);
        assert_eq!(offset.server_ms(200), 5_200, "a slow reply is a worse sample");
        offset.learn(300, 5_302);
        assert_eq!(offset.server_ms(400), 5_402);
    }

    #[test]
    fn old_samples_expire() {
        let mut offset = ClockOffset::new(0, 1_000);
        offset.learn(10_001, 10_991);
        assert_eq!(offset.server_ms(10_001), 11_001);
        offset.learn(20_002, 20_992);
        assert_eq!(offset.server_ms(20_002), 20_992);
    }

    #[test]
    fn a_clock_that_is_set_is_followed() {
        let mut offset = ClockOffset::new(0, 100_000);
        offset.learn(10, 700_010);
        assert_eq!(offset.server_ms(20), 700_020);
        offset.learn(30, 100_030);
        assert_eq!(offset.server_ms(40), 100_040);
    }
}
