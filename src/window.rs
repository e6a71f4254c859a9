//! The limiter's arithmetic: a sliding-window counter in a handful of integers, with a burst allowance.
//!
//! The window is cut into `slices` buckets; one more is partly expired. Each bucket keeps its count and the
//! times of its first and last arrival, and its arrivals are taken to be evenly spaced between the two
//! instead of over the whole bucket. That keeps periodic bursts right, which the classic two-bucket form
//! refuses by half, and evenly spaced traffic exact.
//!
//! Guarantees (tested in `tests/it/arithmetic.rs`):
//! - no span shorter than the window by one slice ever admits more than quota + burst (two slices or more);
//! - what is refused changes nothing, and [`Counter::retry_after`] is exact and minimal;
//! - a clock that steps back frees nothing.
//!
//! Pure: time comes in as `now_ms`, whole milliseconds of the store's clock; counts are whole units of cost.
//! `store/redis/wire/scripts/take.lua` is the same arithmetic, decision for decision. What may not differ between the two stays
//! below 2^53, the integers that Lua's numbers hold exactly; [`Limit::new`] sees to that.

mod share;
mod slices;
mod take;
mod wait;

pub use share::Traffic;
pub use slices::Slices;
pub(crate) use take::RefusedGroups;
pub use take::{Charge, Taken, take_all};

/// What a client may use: `quota` units per window, and `burst` units above it after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    quota: i64,
    burst: i64,
    window_ms: i64,
    slices: i64,
}

/// Why a [`Limit`] cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// A rate of zero refuses everything: that is no rate limit.
    #[error("the rate must be at least 1")]
    NoQuota,
    /// The burst is negative.
    #[error("the burst must not be negative")]
    NegativeBurst,
    /// The window is empty or longer than [`Limit::MAX_WINDOW_MS`].
    #[error("the window must be between 1 ms and 366 days")]
    Window,
    /// The number of slices is outside 1..=[`Limit::MAX_SLICES`], or a slice would be shorter than 1 ms.
    #[error("slices must be between 1 and 64, and no more than the window has milliseconds")]
    Slices,
    /// quota + burst does not fit the counter.
    #[error("rate + burst must be at most 4294967295")]
    Count,
    /// The product that the arithmetic needs would not be exact.
    #[error("(rate + burst) x window in milliseconds must be below 2^53: a shorter window, or a lower rate")]
    Precision,
}

impl Limit {
    /// The longest window, in milliseconds.
    pub const MAX_WINDOW_MS: i64 = 366 * 24 * 3_600_000;
    /// The most slices that a window may be cut into.
    pub const MAX_SLICES: i64 = 64;
    /// The limit that probes of a store are charged to. It always has room.
    pub const PROBE: Self = Self { quota: 1_000_000, burst: 0, window_ms: 1_000, slices: 1 };

    /// A limit of `quota` units per `window_ms` milliseconds, with an allowance of `burst` units.
    ///
    /// # Errors
    /// When a value is out of its range, or the products of the arithmetic would not be exact in Lua.
    pub fn new(quota: i64, burst: i64, window_ms: i64, slices: i64) -> Result<Self, LimitError> {
        if quota < 1 {
            return Err(LimitError::NoQuota);
        }
        if burst < 0 {
            return Err(LimitError::NegativeBurst);
        }
        if !(1..=Self::MAX_WINDOW_MS).contains(&window_ms) {
            return Err(LimitError::Window);
        }
        if !(1..=Self::MAX_SLICES).contains(&slices) || slices > window_ms {
            return Err(LimitError::Slices);
        }
        let most =
            quota.checked_add(burst).filter(|&sum| sum <= i64::from(u32::MAX)).ok_or(LimitError::Count)?;
        if most.checked_mul(window_ms).is_none_or(|product| product >= 1 << 53) {
            return Err(LimitError::Precision);
        }
        Ok(Self { quota, burst, window_ms, slices })
    }

    /// A limit with as many slices as it needs: see [`Slices::Auto`].
    ///
    /// # Errors
    /// As [`Limit::new`].
    pub fn auto(quota: i64, burst: i64, window_ms: i64) -> Result<Self, LimitError> {
        Self::new(quota, burst, window_ms, Slices::Auto.number(quota, burst, window_ms))
    }

    /// Units per window.
    #[must_use]
    pub fn quota(&self) -> i64 {
        self.quota
    }

    /// Units above the quota that a rested client may use.
    #[must_use]
    pub fn burst(&self) -> i64 {
        self.burst
    }

    /// Length of the window in milliseconds. It is also how long a counter matters after its last write:
    /// by then every arrival has left the window and the burst allowance is whole again.
    #[must_use]
    pub fn window_ms(&self) -> i64 {
        self.window_ms
    }

    /// Buckets per window.
    #[must_use]
    pub fn slices(&self) -> i64 {
        self.slices
    }

    /// The longest span, in milliseconds, that never admits more than quota + burst, wherever it begins: the window
    /// without one slice. None with a single slice, which promises that of no span.
    #[must_use]
    pub fn strict_span_ms(&self) -> Option<i64> {
        let slice = (self.window_ms + self.slices - 1) / self.slices;
        Some(self.window_ms - slice).filter(|&span| span > 0)
    }

    fn slice_of(&self, at_ms: i64) -> i64 {
        (at_ms * self.slices).div_euclid(self.window_ms)
    }
}

/// The arrivals of one slice of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Units admitted, at least 1.
    pub count: i64,
    /// When the first of them came.
    pub first_ms: i64,
    /// When the last of them came.
    pub last_ms: i64,
}

impl Bucket {
    /// The largest count that a record holds: 4 bytes.
    const MOST: i64 = u32::MAX as i64;

    /// This bucket and the next newer one as one bucket.
    ///
    /// Its span is at most two windows, and exact in Lua for its count: a record of a damaged counter stays one.
    fn merged(self, newer: Self, window_ms: i64) -> Self {
        let count = (self.count + newer.count).clamp(1, Self::MOST);
        let longest = (2 * window_ms).min(((1 << 53) - 1) / count);
        Self { count, first_ms: self.first_ms.max(newer.last_ms - longest), last_ms: newer.last_ms }
    }

    /// How many of the arrivals lie after `cut_ms` (one exactly at the cut has expired).
    fn survivors(&self, cut_ms: i64) -> i64 {
        if cut_ms < self.first_ms {
            return self.count;
        }
        if cut_ms >= self.last_ms {
            return 0;
        }
        let others = self.count - 1;
        others - scaled(others, cut_ms - self.first_ms, self.last_ms - self.first_ms, Round::Down)
    }
}

/// What one client has used of one limit. The limit itself is not in it: a changed rate, burst or number of slices acts
/// at once and keeps the counts, as each bucket has its own span. (A changed window is another counter.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Oldest first, at most [`Counter::MAX_BUCKETS`]. Each is one slice, of the slices in force when it was written.
    buckets: Vec<Bucket>,
    /// The burst units that are spent, each times the window in milliseconds. Every millisecond pays back `burst` of this,
    /// so that a whole burst takes one window.
    debt: i64,
    /// When the counter last admitted something.
    last_ms: i64,
}

impl Counter {
    /// The most buckets: those of the finest slices, and the one that is partly expired.
    pub const MAX_BUCKETS: usize = 65;

    /// A counter as a store kept it: see [`Counter::buckets`], [`Counter::debt`], [`Counter::last_ms`].
    #[must_use]
    pub fn from_parts(buckets: Vec<Bucket>, debt: i64, last_ms: i64) -> Self {
        Self { buckets, debt, last_ms }
    }

    /// The live buckets, oldest first.
    #[must_use]
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// Burst units spent, times the window in milliseconds, as of [`Counter::last_ms`].
    #[must_use]
    pub fn debt(&self) -> i64 {
        self.debt
    }

    /// When the counter last admitted something, in milliseconds of the store's clock.
    #[must_use]
    pub fn last_ms(&self) -> i64 {
        self.last_ms
    }

    /// Units that count against the limit at `now_ms`.
    #[must_use]
    pub fn used(&self, limit: &Limit, now_ms: i64) -> i64 {
        // Never before the last write: a clock that stepped back stands still until it has caught up.
        let now = now_ms.max(self.last_ms);
        self.buckets.iter().map(|bucket| bucket.survivors(now - limit.window_ms)).sum()
    }

    /// Whether `cost` units would be admitted at `now_ms`.
    #[must_use]
    pub fn fits(&self, limit: &Limit, now_ms: i64, cost: i64) -> bool {
        self.has_room(limit, now_ms, self.used(limit, now_ms), cost)
    }

    /// Admits and counts `cost` units at `now_ms`, or refuses and counts nothing.
    pub fn take(&mut self, limit: &Limit, now_ms: i64, cost: i64) -> bool {
        self.rebase(limit, now_ms);
        let fits = self.fits(limit, now_ms, cost);
        if fits {
            self.add(limit, now_ms, cost);
        }
        fits
    }

    /// Of `cost` units charged at `now_ms`, those that the burst allowance lends.
    #[must_use]
    pub fn lent(&self, limit: &Limit, now_ms: i64, cost: i64) -> i64 {
        needs(limit, self.used(limit, now_ms), cost)
    }

    /// The largest cost that would be admitted at `now_ms`.
    #[must_use]
    pub fn remaining(&self, limit: &Limit, now_ms: i64) -> i64 {
        let used = self.used(limit, now_ms);
        let allowance = self.burst_left(limit, now_ms);
        ((limit.quota - used).max(0) + allowance).min(limit.quota + limit.burst - used).max(0)
    }

    /// Units of the burst allowance that are not spent at `now_ms`.
    #[must_use]
    pub fn burst_left(&self, limit: &Limit, now_ms: i64) -> i64 {
        (limit.burst * limit.window_ms - self.debt_at(limit, now_ms)) / limit.window_ms
    }

    /// The counter as a refusal at `now_ms` leaves it: nothing is counted, but its times are moved if the clock has
    /// stepped far back.
    #[must_use]
    pub fn rebased(&self, limit: &Limit, now_ms: i64) -> Self {
        let mut rebased = self.clone();
        rebased.rebase(limit, now_ms);
        rebased
    }

    /// Whether `cost` units would be admitted at `now_ms`, when `used` count then.
    fn has_room(&self, limit: &Limit, now_ms: i64, used: i64, cost: i64) -> bool {
        let most = limit.quota + limit.burst;
        cost <= most
            && used + cost <= most
            && self.debt_at(limit, now_ms) + needs(limit, used, cost) * limit.window_ms
                <= limit.burst * limit.window_ms
    }

    /// Counts `cost` units without asking whether they fit.
    fn add(&mut self, limit: &Limit, now_ms: i64, cost: i64) {
        let lent = self.lent(limit, now_ms, cost);
        self.record(limit, now_ms, cost, lent);
    }

    /// What is left of the debt. A burst lowered since caps it: nobody owes more than the allowance.
    fn debt_at(&self, limit: &Limit, now_ms: i64) -> i64 {
        let paid = (now_ms - self.last_ms).max(0).saturating_mul(limit.burst);
        (self.debt.min(limit.burst * limit.window_ms) - paid).max(0)
    }

    /// Moves the counter by whole windows when the clock has stepped back by one or more. It then stands
    /// still for less than a window, instead of refusing until the clock has caught up, perhaps in an hour;
    /// and as nothing moves against anything else, nothing is freed. Kept even when the request is refused:
    /// else a full counter would never get out.
    fn rebase(&mut self, limit: &Limit, now_ms: i64) {
        let shift = (self.last_ms - now_ms) / limit.window_ms * limit.window_ms;
        if shift > 0 {
            self.last_ms -= shift;
            for bucket in &mut self.buckets {
                bucket.first_ms -= shift;
                bucket.last_ms -= shift;
            }
        }
    }
}

/// In which direction a quotient is rounded.
#[derive(Clone, Copy)]
enum Round {
    Down,
    Nearest,
    Up,
}

/// `count * part / whole`, none of them negative.
fn scaled(count: i64, part: i64, whole: i64, round: Round) -> i64 {
    let more = match round {
        Round::Down => 0,
        Round::Nearest => whole / 2,
        Round::Up => whole - 1,
    };
    match count.checked_mul(part).and_then(|product| product.checked_add(more)) {
        Some(product) => product / whole,
        // No Limit lets in so much, but a damaged record in Redis may hold it.
        None => {
            let product = i128::from(count) * i128::from(part) + i128::from(more);
            i64::try_from(product / i128::from(whole)).unwrap_or(count)
        }
    }
}

/// Units of `cost` that the plain quota does not cover, so that the burst allowance must.
fn needs(limit: &Limit, used: i64, cost: i64) -> i64 {
    (used + cost - limit.quota).min(cost).max(0)
}
