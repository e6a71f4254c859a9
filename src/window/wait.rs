//! How long a client has to wait.

use super::{Counter, Limit, Round, needs, scaled};

impl Counter {
    /// Milliseconds from `now_ms` until `cost` units fit if nothing else arrives: refused one millisecond
    /// before, admitted then. `None`: they never fit. `Some(0)`: they fit now.
    #[must_use]
    pub fn retry_after(&self, limit: &Limit, now_ms: i64, cost: i64) -> Option<i64> {
        let most_used = limit.quota + limit.burst - cost;
        if most_used < 0 {
            return None;
        }
        // While nothing arrives, use and debt only fall. The more units have expired, the less the burst allowance has to
        // lend, and the less of the debt has to be paid before.
        let expired = |used| self.first_use_of(limit, now_ms, used);
        let paid = |used| self.first_debt_below(limit, now_ms, needs(limit, used, cost));
        let (mut low, mut high) = ((limit.quota - cost).max(0), most_used);
        let soonest = expired(high);
        let fits = if soonest >= paid(high) {
            // Without debt it is always so.
            soonest
        } else if expired(low) <= paid(low) {
            paid(low)
        } else {
            while high - low > 1 {
                let middle = i64::midpoint(low, high);
                if expired(middle) >= paid(middle) {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            expired(low).min(paid(high))
        };
        Some(fits - now_ms)
    }

    /// The first time from `now_ms` on at which at most `used` units count, if nothing arrives.
    fn first_use_of(&self, limit: &Limit, now_ms: i64, used: i64) -> i64 {
        let mut newer: i64 = self.buckets.iter().map(|bucket| bucket.count).sum();
        if newer <= used {
            return now_ms;
        }
        for bucket in &self.buckets {
            newer -= bucket.count;
            if newer <= used {
                // Buckets expire one after the other, so all older ones have. Of this one, the first unit expires at its
                // first arrival, and the others evenly until its last.
                let (others, steps) = (bucket.count - (used - newer) - 1, (bucket.count - 1).max(1));
                let after_first_ms = scaled(others, bucket.last_ms - bucket.first_ms, steps, Round::Up);
                let expired_ms = bucket.first_ms + after_first_ms + limit.window_ms;
                // A clock that stepped back stands still until it has caught up.
                return if expired_ms <= now_ms.max(self.last_ms) { now_ms } else { expired_ms };
            }
        }
        now_ms
    }

    /// The first time from `now_ms` on at which the burst allowance can lend `lent` units, if nothing arrives.
    fn first_debt_below(&self, limit: &Limit, now_ms: i64, lent: i64) -> i64 {
        let owed = self.debt.min(limit.burst * limit.window_ms) - (limit.burst - lent) * limit.window_ms;
        if owed <= 0 {
            return now_ms;
        }
        // Every millisecond pays back `burst`. Without a burst nothing is owed.
        let paid_ms = self.last_ms + (owed - 1) / limit.burst.max(1) + 1;
        paid_ms.max(now_ms)
    }
}
