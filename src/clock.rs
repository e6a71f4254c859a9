//! The only reader of time.
//!
//! Everything that decides takes its time from here, so that a test can drive it. (The clock of Redis, which all instances
//! share, is read by its scripts.)

use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The source of the milliseconds of a store and of the limiter.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The real one: for the memory store a monotonic clock, for the Redis store that of Redis.
    Real,
    /// One that a test moves by hand: see [`Driven`].
    Driven(Driven),
}

/// A clock that stands still until a test sets its time.
#[derive(Clone, Debug, Default)]
pub struct Driven(Arc<AtomicI64>);

impl Driven {
    /// Sets the time in milliseconds, forward or back.
    pub fn set_ms(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::Release);
    }

    /// Returns the time in milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}

/// A time on a [`Timeline`], in milliseconds. The store's time has a type of its own, so that the two are never mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalMs(i64);

impl LocalMs {
    /// Wraps milliseconds of a timeline.
    #[must_use]
    pub const fn new(ms: i64) -> Self {
        Self(ms)
    }

    /// Returns the milliseconds.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        self.0
    }
}

impl Add<i64> for LocalMs {
    type Output = Self;

    /// Adds milliseconds.
    fn add(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

impl Sub for LocalMs {
    /// Milliseconds.
    type Output = i64;

    fn sub(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

/// Whole milliseconds of a [`Clock`]: of the real one, those since the beginning of the timeline.
#[derive(Clone, Debug)]
pub struct Timeline {
    clock: Clock,
    begun: Stopwatch,
}

impl Timeline {
    /// Begins a timeline now.
    #[must_use]
    pub fn begin(clock: Clock) -> Self {
        Self { clock, begun: Stopwatch::start() }
    }

    /// Returns the time. That of the real clock never runs backwards.
    #[must_use]
    pub fn now(&self) -> LocalMs {
        self.at(Stopwatch::start())
    }

    /// Returns the time at which `watch` was started; of a driven clock, the time that it shows now.
    #[must_use]
    pub fn at(&self, watch: Stopwatch) -> LocalMs {
        LocalMs(match &self.clock {
            Clock::Real => self.begun.millis_to(Deadline(watch.0)),
            Clock::Driven(driven) => driven.now_ms(),
        })
    }

    /// Returns Unix time in milliseconds: the best estimate of a store's time until the store reports it. A driven clock
    /// shows Unix time.
    #[must_use]
    pub fn unix_ms(&self) -> i64 {
        match &self.clock {
            Clock::Real => i64::try_from(unix_time().as_millis()).unwrap_or(i64::MAX),
            Clock::Driven(driven) => driven.now_ms(),
        }
    }
}

/// Measures how long something takes, and computes deadlines.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts the stopwatch now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns the seconds since the start.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    /// Returns the whole milliseconds since the start. They never run backwards.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn millis(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Returns the point in time that comes `after` the start.
    #[must_use]
    pub fn deadline(&self, after: Duration) -> Deadline {
        // A time that the clock cannot represent is never reached: a year is as good.
        Deadline(self.0.checked_add(after).unwrap_or_else(|| self.0 + Duration::from_secs(86_400 * 365)))
    }

    /// Returns the whole milliseconds from the start to `deadline`.
    #[must_use]
    pub fn millis_to(&self, deadline: Deadline) -> i64 {
        i64::try_from(deadline.0.saturating_duration_since(self.0).as_millis()).unwrap_or(i64::MAX)
    }
}

/// The time at which a task gives up. Comparing it with others and waiting for it read no clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// Returns the time for a timer.
    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Returns how long ago the deadline was; zero if it is still to come.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn passed_by(self) -> Duration {
        self.0.elapsed()
    }
}

/// Returns Unix time in seconds, for a human or a dashboard to read. Nothing is decided by it.
#[must_use]
pub fn unix_seconds() -> f64 {
    unix_time().as_secs_f64()
}

/// Returns the time since 1970, by which certificates are valid.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
