//! How far a server's clock is from ours, so that a deadline can be told in the server's time.
//!
//! Each answer tells the server's time at which it was made; by the time it is read here some has passed. So every
//! sample is too low, by as long as the answer was under way, and the highest of the recent ones is the best. A
//! deadline that is told a little early does no harm; one that is told late could count for a caller who has gone.

/// How long a sample counts, at least; a quartz clock strays less than 1 ms meanwhile.
const RECENT_MS: i64 = 10_000;
/// A sample that is so much too low, by more than a trip takes, means that the server's clock was set back.
const SET_BACK_MS: i64 = 250;

/// The offset of one server's clock. Pure: all times are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offset {
    current: i64,
    previous: i64,
    since_ms: i64,
}

impl Offset {
    /// From the first sample: see [`Offset::learn`].
    pub(crate) fn new(local_ms: i64, server_ms: i64) -> Self {
        let seen = server_ms - local_ms;
        Self { current: seen, previous: seen, since_ms: local_ms }
    }

    /// An answer of `server_ms` was read at `local_ms`.
    pub(crate) fn learn(&mut self, local_ms: i64, server_ms: i64) {
        let seen = server_ms - local_ms;
        if seen < self.get() - SET_BACK_MS {
            *self = Self::new(local_ms, server_ms);
        } else if local_ms - self.since_ms > RECENT_MS {
            *self = Self { current: seen, previous: self.current, since_ms: local_ms };
        } else {
            self.current = self.current.max(seen);
        }
    }

    /// The server's time at `local_ms`.
    pub(crate) fn server_ms(&self, local_ms: i64) -> i64 {
        local_ms + self.get()
    }

    fn get(&self) -> i64 {
        self.current.max(self.previous)
    }
}

#[cfg(test)]
mod tests {
    use super::Offset;

    #[test]
    fn the_quickest_answer_is_believed() {
        let mut offset = Offset::new(0, 5_000);
        offset.learn(110, 5_100);
        assert_eq!(offset.server_ms(200), 5_200, "a slow answer tells less");
        offset.learn(300, 5_302);
        assert_eq!(offset.server_ms(400), 5_402);
    }

    #[test]
    fn old_samples_are_forgotten() {
        let mut offset = Offset::new(0, 1_000);
        offset.learn(10_001, 10_991);
        assert_eq!(offset.server_ms(10_001), 11_001);
        offset.learn(20_002, 20_992);
        assert_eq!(offset.server_ms(20_002), 20_992);
    }

    #[test]
    fn a_clock_that_is_set_is_followed() {
        let mut offset = Offset::new(0, 100_000);
        offset.learn(10, 700_010);
        assert_eq!(offset.server_ms(20), 700_020);
        offset.learn(30, 100_030);
        assert_eq!(offset.server_ms(40), 100_040);
    }
}
