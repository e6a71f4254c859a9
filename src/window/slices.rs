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
    /// Up to how many units of quota and burst a window is cut into how many slices, and into how many above.
    ///
    /// A bucket of one or two units is exact, so small limits need the finest slices; and as a counter never has more
    /// buckets than arrivals, there they cost little. Tuned by `make accuracy` (no shape of traffic below 99.5 %) against
    /// what Redis has to keep: at 0.3 of its limit a client has about as many buckets as with 8 slices throughout.
    const STEPS: [(i64, i64); 3] = [(24, 64), (36, 32), (64, 16)];
    const COARSEST: i64 = 8;

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
