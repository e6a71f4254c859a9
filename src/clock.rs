//! The only reader of time.
//!
//! Decisions take their time from here and nowhere else, so that a test can drive it. (Redis has its own
//! clock, which all instances share; see `store/redis.rs`.)

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the milliseconds of a store and of the limiter come from.
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

/// Whole milliseconds of a [`Clock`]: of the real one, those since this was begun.
#[derive(Clone, Debug)]
pub struct Timeline {
    clock: Clock,
    begun: Stopwatch,
}

impl Timeline {
    /// Begins now.
    #[must_use]
    pub fn begin(clock: Clock) -> Self {
        Self { clock, begun: Stopwatch::start() }
    }

    /// The time in milliseconds. That of the real clock never runs backwards.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        match &self.clock {
            Clock::Real => self.begun.millis(),
            Clock::Driven(driven) => driven.now_ms(),
        }
    }

    /// Unix time in milliseconds: the best guess at a store's time until the store reports it. A driven clock shows
    /// Unix time.
    #[must_use]
    pub fn unix_ms(&self) -> i64 {
        match &self.clock {
            Clock::Real => i64::try_from(unix_time().as_millis()).unwrap_or(i64::MAX),
            Clock::Driven(driven) => driven.now_ms(),
        }
    }
}

/// Measures how long something takes, and says until when it may.
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

    /// The point in time that is so long after the start.
    #[must_use]
    pub fn deadline(&self, after: Duration) -> Deadline {
        // Beyond what the clock can tell there is nothing to wait for: the farthest that it can.
        Deadline(self.0.checked_add(after).unwrap_or_else(|| self.0 + Duration::from_secs(86_400 * 365)))
    }

    /// Whole milliseconds from the start to `deadline`.
    #[must_use]
    pub fn millis_to(&self, deadline: Deadline) -> i64 {
        i64::try_from(deadline.0.saturating_duration_since(self.0).as_millis()).unwrap_or(i64::MAX)
    }
}

/// When something is given up. Comparing it with others, and waiting for it, need no reading of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// For a timer.
    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }

    /// How long ago it was; nothing if it is still to come.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn passed_by(self) -> Duration {
        self.0.elapsed()
    }
}

/// Seconds of Unix time, for a human or a dashboard to read; nothing is decided by it.
#[must_use]
pub fn unix_seconds() -> f64 {
    unix_time().as_secs_f64()
}

/// The time since 1970, as certificates are valid by it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
