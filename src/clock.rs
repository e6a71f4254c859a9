//! The only reader of time.
//!
//! Decisions take their time from here and nowhere else, so that a test can drive it. (Redis has its own
//! clock, which all instances share; see `store/redis.rs`.)

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where a store's milliseconds come from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The real one: for the memory store a monotonic clock, for the Redis store that of Redis.
    Real,
    /// One that a test moves by hand: see [`Driven`].
    Driven(Driven),
}

/// A clock that stands still until it is told the time.
#[derive(Clone, Debug, Default)]
pub struct Driven(Arc<AtomicI64>);

impl Driven {
    /// Sets the time in milliseconds, forward or back.
    pub fn set_ms(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::Release);
    }

    /// The time in milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Measures how long something takes; the one other use of time beside deciding.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    /// Whole milliseconds since the start; never runs backwards.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn millis(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// Seconds of Unix time, for a human or a dashboard to read; nothing is decided by it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
