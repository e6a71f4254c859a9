//! Into how many slices a window is cut.

use std::cmp::Ordering;

use super::Limit;

/// How much of its traffic a limit admits, compared with an exact log: the worst of what was measured with the shapes of
/// `make accuracy` and seeds 1 to 4, for limits of 5 to 1,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accuracy {
    /// It differs by at most 0.7 %. [`Slices::Auto`] chooses the number for that.
    Fine,
    /// By at most 1 %: there are more slices, which may not suit the rhythm of the traffic as well.
    Medium,
    /// By at most 2.5 %: there are fewer slices.
    Coarse,
}

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
    /// buckets than arrivals, there they cost little. Tuned by `make accuracy` (no shape of traffic below 99.5 %) against
    /// what Redis has to keep and to read: at 0.3 of its limit, a client takes at most 200 bytes on average, name and all; and
    /// at its limit, a check executes at most 1.2 times the instructions of one with 4 slices. The odd numbers are better than
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
    /// How accurate the limit is with its slices.
    #[must_use]
    pub fn accuracy(&self) -> Accuracy {
        match self.slices.cmp(&Slices::Auto.number(self.quota, self.burst, self.window_ms)) {
            Ordering::Equal => Accuracy::Fine,
            Ordering::Greater => Accuracy::Medium,
            Ordering::Less => Accuracy::Coarse,
        }
    }
}
