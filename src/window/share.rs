//! A limit that several instances share, cut into parts for the time when Redis cannot count for all of them.
//!
//! An instance that has seen a client's traffic takes a part in proportion to the traffic that came through it: these
//! parts add up to the limit, and a client that stays at one instance keeps its whole limit. Where nothing is known the
//! parts are equal, and add up too. A client that moves to an instance which has not seen it gets an equal part there
//! beside the part of the instance that it left: for that time it has more than its limit.

use super::{Bucket, Counter, Limit, Round, scaled};

impl Limit {
    /// Returns the part of the instance at `place` among `instances`, where nothing is known of a client. Units that
    /// cannot be divided go to the first instances, and those of the burst to the last ones. Each instance gets at least
    /// 1 unit, so the parts of a quota below the number of instances add up to more than the quota.
    #[must_use]
    pub fn equal_part(&self, place: i64, instances: i64) -> Self {
        let instances = instances.max(1);
        let place = place.rem_euclid(instances);
        let part = |whole: i64, place: i64| whole / instances + i64::from(place < whole % instances);
        Self {
            quota: part(self.quota, place).max(1),
            burst: part(self.burst, instances - 1 - place),
            ..*self
        }
    }

    /// Returns the part of an instance through which `traffic` came. `equal` is its part where nothing is known.
    ///
    /// The part is `quota * own / all`, plus an allowance for the chance by which arrivals spread over instances: up to
    /// `equal` where that is larger, plus `2 * sqrt(part)`. All instances make the same allowance, so it is bounded by the
    /// square of `4 * room / quota`, as a part of the larger of the two: a client at its limit gets no allowance, one that
    /// has a twentieth of its quota left gets 4 % in all, and one that has a quarter left gets what chance needs.
    #[must_use]
    pub fn part_of_traffic(&self, traffic: Traffic, equal: &Self) -> Self {
        let Traffic { own, all, room } = traffic;
        if own >= all {
            return *self;
        }
        let own = own.max(0);
        let part = |whole: i64| scaled(whole, own, all, Round::Nearest);
        let quota = part(self.quota);
        let larger = quota.max(equal.quota);
        let room_left = |of: i64| scaled(of, 4 * room.clamp(0, self.quota), self.quota, Round::Down);
        let chance = (larger - quota + (4 * larger).isqrt()).min(room_left(room_left(larger)));
        Self { quota: (quota + chance).clamp(1, self.quota), burst: part(self.burst), ..*self }
    }
}

impl Limit {
    /// This part of `whole`, now that `whole` has become `changed`: as large a part of the quota, and of the burst.
    #[must_use]
    pub fn part_of_changed(&self, whole: &Self, changed: &Self) -> Self {
        let scaled = |changed: i64, part: i64, whole: i64| scaled(changed, part, whole, Round::Nearest);
        let quota = scaled(changed.quota, self.quota, whole.quota).clamp(1, changed.quota);
        let burst = match whole.burst {
            0 => scaled(changed.burst, self.quota, whole.quota),
            _ => scaled(changed.burst, self.burst, whole.burst),
        };
        Self { quota, burst: burst.min(changed.burst), ..*changed }
    }
}

/// A client's traffic of late, in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// What came through this instance.
    pub own: i64,
    /// What came through all of them.
    pub all: i64,
    /// What it has left of its quota.
    pub room: i64,
}

impl Counter {
    /// Counts `cost` units without asking whether they fit; `lent` of them are owed by the burst allowance.
    pub fn record(&mut self, limit: &Limit, now_ms: i64, cost: i64, lent: i64) {
        let now = now_ms.max(self.last_ms);
        self.debt = self.debt_at(limit, now) + lent * limit.window_ms;
        self.last_ms = now;
        let here = limit.slice_of(now);
        self.buckets.retain(|bucket| bucket.last_ms > now - limit.window_ms);
        match self.buckets.last_mut() {
            Some(bucket) if limit.slice_of(bucket.first_ms) == here => {
                bucket.count += cost;
                bucket.last_ms = now;
            }
            _ => {
                // A counter lives for as long as its client comes, so it takes no more memory than it needs.
                self.buckets.reserve_exact(1);
                self.buckets.push(Bucket { count: cost, first_ms: now, last_ms: now });
            }
        }
        self.merge_oldest(limit);
    }

    /// Merges the oldest buckets while there are too many. There can be, if the number of slices has changed to one
    /// that does not divide the other.
    fn merge_oldest(&mut self, limit: &Limit) {
        while self.buckets.len() > Self::MAX_BUCKETS {
            let oldest = self.buckets.remove(0);
            if let Some(next) = self.buckets.first_mut() {
                *next = oldest.merged(*next, limit.window_ms);
            }
        }
    }

    /// Units that arrived in the window before `now_ms`, but not before `since_ms`.
    #[must_use]
    pub fn used_since(&self, limit: &Limit, now_ms: i64, since_ms: i64) -> i64 {
        let cut = (now_ms.max(self.last_ms) - limit.window_ms).max(since_ms - 1);
        self.buckets.iter().map(|bucket| bucket.survivors(cut)).sum()
    }

    /// Makes this the counter of a `part` of `limit`: it owes the part of what the `whole` counter owes.
    pub fn owe_part(&mut self, whole: &Self, limit: &Limit, part: &Limit, now_ms: i64) {
        let now = now_ms.max(self.last_ms).max(whole.last_ms);
        let owed = whole.debt_at(limit, now);
        let owed = i128::from(owed) * i128::from(part.burst) / i128::from(limit.burst.max(1));
        self.debt = i64::try_from(owed).unwrap_or_default();
        self.last_ms = now;
    }
}
