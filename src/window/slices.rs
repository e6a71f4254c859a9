//! Into how many slices a window is cut.

use super::Limit;

/// The slices of a window as a rule sets them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slices {
    /// As many as the limit needs to be exact, and no more: see [`Slices::number`].
    #[default]
    Auto,
    /// This number, from 1 (the classic pair of buckets) to [`Limit::MAX_SLICES`].
    Exactly(i64),
}

impl Slices {
    /// The most units of quota and burst for which a window is cut into this many slices.
    ///
    /// A bucket of one or two units is exact, so small limits need the finest slices; and as a counter never has more
    /// buckets than arrivals, there they cost little. Tuned by `make accuracy` (none of its rows below 99.5 %, adversaries
    /// apart) against what Redis has to keep and to read: at 0.3 of its limit, a client takes about 200 bytes on average, name
    /// and all; and at its limit, a check executes at most 1.2 times the instructions of one with 4 slices. The odd numbers are better than
    /// their even neighbors for traffic that comes in the rhythm of its window.
    const STEPS: [(i64, i64); 4] = [(13, 64), (20, 32), (36, 13), (60, 9)];
    const COARSEST: i64 = 7;

    /// The number of slices for a limit of `quota` and `burst` units per `window_ms` milliseconds. A slice is never
    /// shorter than a millisecond, unless the rule's own number makes it so.
    #[must_use]
    pub fn number(self, quota: i64, burst: i64, window_ms: i64) -> i64 {
        match self {
            Self::Exactly(slices) => slices,
            Self::Auto => {
                let units = quota.saturating_add(burst);
                let step = Self::STEPS.into_iter().find(|(most, _)| units <= *most);
                step.map_or(Self::COARSEST, |(_, slices)| slices).min(window_ms.max(1)).min(Limit::MAX_SLICES)
            }
        }
    }
}

impl Limit {
    /// Returns the number of slices that [`Slices::Auto`] chooses for this limit.
    #[must_use]
    pub fn auto_slices(&self) -> i64 {
        Slices::Auto.number(self.quota, self.burst, self.window_ms)
    }
}
