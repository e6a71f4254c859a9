//! How long a client has to wait.

use super::{Bucket, Counter, Limit};

impl Counter {
    /// Milliseconds from `now_ms` until `cost` units fit if nothing else arrives: refused one millisecond
    /// before, admitted then. `None`: they never fit. `Some(0)`: they fit now.
    #[must_use]
    pub fn retry_after(&self, limit: &Limit, now_ms: i64, cost: i64) -> Option<i64> {
        if cost > limit.quota + limit.burst {
            return None;
        }
        if self.fits(limit, now_ms, cost) {
            return Some(0);
        }
        // Buckets expire one after the other, and while nothing arrives, use and debt only fall. So one walk finds the
        // bucket during whose expiry the units begin to fit, and a bisection the millisecond.
        let mut whole: i64 = self.buckets.iter().map(|bucket| bucket.count).sum();
        let mut full_ms = now_ms;
        let mut rest = &self.buckets[..];
        while let [bucket, newer @ ..] = rest {
            let expired_ms = bucket.last_ms + limit.window_ms;
            let fits = |at_ms| self.has_room(limit, at_ms, self.left_of(rest, whole, limit, at_ms), cost);
            if expired_ms > full_ms {
                if fits(expired_ms) {
                    return Some(first(full_ms, expired_ms, fits) - now_ms);
                }
                full_ms = expired_ms;
            }
            whole -= bucket.count;
            rest = newer;
        }
        // What is left is debt, which is paid one window after the last write.
        let paid_ms = now_ms.max(self.last_ms) + limit.window_ms;
        Some(first(full_ms, paid_ms, |at_ms| self.has_room(limit, at_ms, 0, cost)) - now_ms)
    }

    /// Units that count at `at_ms`, when all buckets before `rest` have expired and `whole` came in `rest`. It looks
    /// only at those that have begun to expire.
    fn left_of(&self, rest: &[Bucket], whole: i64, limit: &Limit, at_ms: i64) -> i64 {
        let cut_ms = at_ms.max(self.last_ms) - limit.window_ms;
        let expiring = rest.iter().take_while(|bucket| bucket.first_ms <= cut_ms);
        whole - expiring.map(|bucket| bucket.count - bucket.survivors(cut_ms)).sum::<i64>()
    }
}

/// The first time after `low` at which `fits` holds. It does not at `low`, and from some time until `high` on it does.
fn first(mut low: i64, mut high: i64, fits: impl Fn(i64) -> bool) -> i64 {
    while high - low > 1 {
        let middle = i64::midpoint(low, high);
        if fits(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}
