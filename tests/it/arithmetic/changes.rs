//! A limit that changes while its counter lives: its rate, its burst, and its slices.

use proptest::prelude::*;
use tidegate::window::{Charge, Counter, Limit, take_all};

const SLICES: [i64; 10] = [1, 2, 4, 7, 12, 16, 32, 61, 63, 64];

fn windows() -> impl Strategy<Value = i64> {
    prop_oneof![64..3_000i64, Just(60_000), Just(86_400_000), Just(20 * 86_400_000)]
}

/// Limits of one window.
fn limits(window_ms: i64) -> impl Strategy<Value = Limit> {
    (1..400i64, 0..60i64, prop::sample::select(&SLICES[..]))
        .prop_map(move |(quota, burst, slices)| Limit::new(quota, burst, window_ms, slices).unwrap())
}

/// Gaps in thousandths of the window, costs, and which limit is in force: mostly the same as before.
fn steps() -> impl Strategy<Value = Vec<(i64, i64, usize)>> {
    let gap = prop_oneof![6 => 0..3i64, 4 => 3..30i64, 1 => 100..1_400i64];
    let cost = prop_oneof![9 => Just(1i64), 1 => 1..6i64];
    let limit = prop_oneof![8 => Just(0usize), 2 => 1..4usize];
    prop::collection::vec((gap, cost, limit), 1..400)
}

fn cases() -> impl Strategy<Value = (Vec<Limit>, Vec<(i64, i64, usize)>)> {
    windows().prop_flat_map(|window_ms| (prop::collection::vec(limits(window_ms), 4), steps()))
}

/// The specification's way to the earliest time: a bisection over all that the counter holds.
fn bisected(counter: &Counter, limit: &Limit, now_ms: i64, cost: i64) -> Option<i64> {
    if cost > limit.quota() + limit.burst() {
        return None;
    }
    let (mut low, mut high) = (0, (counter.last_ms() - now_ms).max(0) + limit.window_ms());
    while low < high {
        let middle = i64::midpoint(low, high);
        if counter.fits(limit, now_ms + middle, cost) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(low)
}

proptest! {
    #[test]
    fn the_wait_is_the_one_that_a_bisection_finds(
        (limits, steps) in cases(), later in -3_000..3_000i64, cost in 1..500i64, part in 0..5_000i64,
    ) {
        let (mut counter, mut now) = (Counter::default(), 1_700_000_000_000);
        for (gap, cost, limit) in steps {
            now += gap * limits[limit].window_ms() / 1000;
            counter.take(&limits[limit], now, cost);
        }
        // A part of a limit has a counter that last owed later than it last admitted.
        let limit = &limits[0];
        let whole = counter.clone();
        if part > 2_500 {
            counter.owe_part(&whole, limit, &limits[1], now + part);
        }
        let at = now + later * limit.window_ms() / 1000;
        for cost in [1, counter.remaining(limit, at) + 1, cost] {
            prop_assert_eq!(counter.retry_after(limit, at, cost), bisected(&counter, limit, at, cost));
        }
    }

    #[test]
    fn a_counter_never_has_too_many_buckets((limits, steps) in cases()) {
        let (mut counter, mut now) = (Counter::default(), 1_000_000);
        for (gap, cost, limit) in steps {
            now += gap * limits[limit].window_ms() / 1000;
            counter.take(&limits[limit], now, cost);
            prop_assert!(counter.buckets().len() <= Counter::MAX_BUCKETS);
        }
    }

    #[test]
    fn a_change_keeps_the_count((limits, steps) in cases()) {
        let (mut counter, mut now, mut limit) = (Counter::default(), 1_000_000, 0);
        for (gap, cost, next) in steps {
            now += gap * limits[0].window_ms() / 1000;
            let used = counter.used(&limits[limit], now);
            limit = next;
            prop_assert_eq!(counter.used(&limits[limit], now), used);
            let charged = counter.take(&limits[limit], now, cost);
            let after = counter.used(&limits[limit], now);
            // Buckets that are merged are taken to be evenly spaced together: that moves what has partly expired.
            let merged = counter.buckets().len() == Counter::MAX_BUCKETS;
            prop_assert!(merged || after == used + if charged { cost } else { 0 }, "{used} + {cost}: {after}");
        }
    }

    /// The bound is that of the coarsest slices in use.
    #[test]
    fn no_span_shorter_by_the_coarsest_slice_admits_more_than_the_limit(
        (limits, steps) in cases(),
    ) {
        let coarsest = limits.iter().map(Limit::slices).min().unwrap();
        prop_assume!(coarsest > 1);
        let (window, mut now) = (limits[0].window_ms(), 1_000_000);
        let same = limits.iter().map(|limit| Limit::new(20, 5, window, limit.slices()).unwrap());
        let same: Vec<Limit> = same.collect();
        let (mut counter, mut admitted) = (Counter::default(), Vec::new());
        for (gap, cost, limit) in steps {
            now += gap * window / 1000;
            if counter.take(&same[limit], now, cost) {
                admitted.push((now, cost));
            }
        }
        let span = window - (window + coarsest - 1) / coarsest;
        for (place, (start, _)) in admitted.iter().enumerate() {
            let inside = admitted[place..].iter().take_while(|(at, _)| at - start < span);
            let sum: i64 = inside.map(|(_, cost)| cost).sum();
            prop_assert!(sum <= 25, "{sum} in {span} ms from {start}");
        }
    }
}

/// Slices that alternate between two numbers of which neither divides the other, for longer than a window.
#[test]
fn merging_the_oldest_buckets_loses_no_count() {
    let limits = [61, 64].map(|slices| Limit::new(1_000, 0, 64_000, slices).unwrap());
    let mut counter = Counter::default();
    for arrival in 0..600 {
        let charge = Charge { limit: limits[arrival % 2], cost: 1, group: Charge::BINDING };
        let now_ms = 1_000_000 + 100 * i64::try_from(arrival).unwrap();
        take_all(std::slice::from_mut(&mut counter), &[charge], now_ms);
    }
    assert_eq!(counter.buckets().len(), Counter::MAX_BUCKETS);
    assert_eq!(counter.buckets().iter().map(|bucket| bucket.count).sum::<i64>(), 600);
    assert_eq!(counter.used(&limits[0], 1_000_000 + 59_900), 600);
}
