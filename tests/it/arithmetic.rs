//! The arithmetic against its specification, and the properties that it promises.

mod changes;

use proptest::prelude::*;
use tidegate::window::{Charge, Counter, Limit, LimitError, take_all};

use crate::golden;

#[test]
fn every_decision_of_the_specification() {
    let mut rows = 0;
    for trace in golden::traces() {
        let mut counter = Counter::default();
        for (place, row) in trace.rows().enumerate() {
            let limit = row.limit;
            let at = format!("{limit:?} {} row {place}", trace.shape);
            assert_eq!(counter.take(&limit, row.now_ms, row.cost), row.admitted, "{at}");
            assert_eq!(counter.used(&limit, row.now_ms), row.used, "{at}");
            assert_eq!(counter.remaining(&limit, row.now_ms), row.remaining, "{at}");
            if !row.admitted {
                assert_eq!(
                    counter.retry_after(&limit, row.now_ms, row.cost),
                    Some(row.retry_after_ms),
                    "{at}"
                );
            }
            rows += 1;
        }
    }
    assert!(rows > 100_000, "only {rows} rows were compared");
}

fn limits(slices: std::ops::RangeInclusive<i64>) -> impl Strategy<Value = Limit> {
    (1..60i64, 0..30i64, 8..20_000i64, slices)
        .prop_map(|(quota, burst, window, slices)| Limit::new(quota, burst, window, slices).unwrap())
}

/// Gaps between arrivals in thousandths of the window, many of them nil or small, and costs.
fn arrivals() -> impl Strategy<Value = Vec<(i64, i64)>> {
    let gap = prop_oneof![4 => 0..3i64, 3 => 0..60i64, 2 => 100..700i64, 1 => 900..2_500i64];
    let cost = prop_oneof![9 => Just(1i64), 1 => 1..6i64];
    proptest::collection::vec((gap, cost), 1..400)
}

/// Offers the arrivals; returns the counter, the time, and what was admitted when.
fn offer(limit: &Limit, arrivals: &[(i64, i64)]) -> (Counter, i64, Vec<(i64, i64)>) {
    let (mut counter, mut now, mut admitted) = (Counter::default(), 1_000_000, Vec::new());
    for (gap, cost) in arrivals {
        now += gap * limit.window_ms() / 1000;
        if counter.take(limit, now, *cost) {
            admitted.push((now, *cost));
        }
    }
    (counter, now, admitted)
}

proptest! {
    #[test]
    fn no_span_shorter_by_a_slice_admits_more_than_quota_plus_burst(limit in limits(2..=8), arrivals in arrivals()) {
        let (_, _, admitted) = offer(&limit, &arrivals);
        let slice = (limit.window_ms() + limit.slices() - 1) / limit.slices();
        let span = limit.window_ms() - slice;
        for (place, (start, _)) in admitted.iter().enumerate() {
            let inside = admitted[place..].iter().take_while(|(at, _)| at - start < span);
            let sum: i64 = inside.map(|(_, cost)| cost).sum();
            prop_assert!(sum <= limit.quota() + limit.burst(), "{sum} in {span} ms from {start}");
        }
    }

    #[test]
    fn retry_after_is_the_shortest_wait_that_admits(limit in limits(1..=8), arrivals in arrivals(), cost in 1..8i64) {
        let (counter, now, _) = offer(&limit, &arrivals);
        match counter.retry_after(&limit, now, cost) {
            None => prop_assert!(cost > limit.quota() + limit.burst()),
            Some(wait) => {
                prop_assert!(counter.clone().take(&limit, now + wait, cost));
                prop_assert!(wait == 0 || !counter.clone().take(&limit, now + wait - 1, cost));
            }
        }
    }

    #[test]
    fn retry_after_is_what_a_bisection_finds(
        limit in limits(1..=8), arrivals in arrivals(), later in -30_000..30_000i64, cost in 1..100i64,
    ) {
        let (counter, now, _) = offer(&limit, &arrivals);
        let now = now + later;
        let fits = |wait| counter.fits(&limit, now + wait, cost);
        // The clock may be behind the last arrival: then nothing falls until it has caught up.
        let longest = 2 * limit.window_ms() + 30_000;
        let (mut low, mut high) = (0, longest);
        while low < high {
            let middle = i64::midpoint(low, high);
            (low, high) = if fits(middle) { (low, middle) } else { (middle + 1, high) };
        }
        let bisected = (cost <= limit.quota() + limit.burst()).then_some(low);
        prop_assert_eq!(counter.retry_after(&limit, now, cost), bisected);
    }

    #[test]
    fn a_clock_that_steps_back_frees_nothing(
        limit in limits(1..=8), arrivals in arrivals(), back in 1..500_000i64, cost in 1..4i64,
    ) {
        let (mut counter, now, _) = offer(&limit, &arrivals);
        let before = counter.remaining(&limit, now);
        let mut admitted = 0;
        while counter.take(&limit, now - back, cost) {
            admitted += cost;
        }
        prop_assert!(admitted <= before, "{admitted} admitted where {before} were left");
    }

    #[test]
    fn a_clock_that_stepped_back_holds_nobody_for_more_than_two_windows(
        limit in limits(1..=8), arrivals in arrivals(), back in 1..900_000i64,
    ) {
        let (mut counter, now, _) = offer(&limit, &arrivals);
        counter.take(&limit, now - back, 1);
        let wait = counter.retry_after(&limit, now - back, 1).unwrap();
        prop_assert!(wait <= 2 * limit.window_ms(), "{wait} ms");
        prop_assert!(counter.clone().take(&limit, now - back + wait, 1));
        prop_assert!(wait == 0 || !counter.take(&limit, now - back + wait - 1, 1));
    }

    #[test]
    fn remaining_is_the_largest_cost_that_fits(limit in limits(1..=8), arrivals in arrivals(), later in 0..30_000i64) {
        let (counter, now, _) = offer(&limit, &arrivals);
        let remaining = counter.remaining(&limit, now + later);
        prop_assert!(remaining == 0 || counter.fits(&limit, now + later, remaining));
        prop_assert!(!counter.fits(&limit, now + later, remaining + 1));
    }

    #[test]
    fn what_is_refused_changes_nothing(limit in limits(1..=8), arrivals in arrivals()) {
        let (counter, now, _) = offer(&limit, &arrivals);
        let mut after = counter.clone();
        if !after.take(&limit, now, counter.remaining(&limit, now) + 1) {
            prop_assert_eq!(after, counter);
        }
    }

    #[test]
    fn another_rate_keeps_the_counts(
        limit in limits(1..=8), arrivals in arrivals(), quota in 1..200i64, burst in 0..100i64,
    ) {
        let (counter, now, _) = offer(&limit, &arrivals);
        let other = Limit::new(quota, burst, limit.window_ms(), limit.slices()).unwrap();
        prop_assert_eq!(counter.used(&other, now), counter.used(&limit, now));
    }

    #[test]
    fn another_rate_acts_at_once(
        limit in limits(1..=8), arrivals in arrivals(), quota in 1..200i64, burst in 0..100i64,
    ) {
        let (mut counter, now, _) = offer(&limit, &arrivals);
        let used = counter.used(&limit, now);
        let other = Limit::new(quota, burst, limit.window_ms(), limit.slices()).unwrap();
        // Within the new quota everybody is served, whatever the old burst was.
        let free = (quota - used).max(0);
        prop_assert!(free == 0 || counter.take(&other, now, free));
        prop_assert!(counter.remaining(&other, now) <= (quota + burst - used - free).max(0));
    }

    #[test]
    fn several_limits_are_all_charged_or_none(
        first in limits(1..=4), second in limits(1..=4), arrivals in arrivals(),
    ) {
        let mut counters = [Counter::default(), Counter::default()];
        let mut now = 1_000_000;
        for (gap, cost) in arrivals {
            now += gap * first.window_ms() / 1000;
            let before = counters.clone();
            let charges = [first, second].map(|limit| Charge { limit, cost, group: Charge::BINDING });
            let taken = take_all(&mut counters, &charges, now);
            let fits = taken.iter().all(|taken| taken.fits);
            prop_assert!(taken.iter().all(|taken| taken.charged == fits));
            if !fits {
                prop_assert_eq!(&counters, &before);
            }
        }
    }
}

/// Whether each of three requests is charged to a binding limit and to one on trial, of these quotas.
fn charged_beside_a_trial(binding: i64, trial: i64) -> [[bool; 2]; 3] {
    let limit = |quota| Limit::new(quota, 0, 60_000, 4).unwrap();
    let binding = Charge { limit: limit(binding), cost: 1, group: Charge::BINDING };
    let trial = Charge { limit: limit(trial), cost: 1, group: 7 };
    let mut counters = [Counter::default(), Counter::default()];
    [(); 3].map(|()| {
        let taken = take_all(&mut counters, &[binding, trial], 5_000);
        [taken[0].charged, taken[1].charged]
    })
}

#[test]
fn a_full_trial_stops_no_request() {
    assert_eq!(charged_beside_a_trial(2, 1), [[true, true], [true, false], [false, false]]);
}

#[test]
fn a_trial_is_charged_only_with_the_request() {
    assert_eq!(charged_beside_a_trial(1, 2), [[true, true], [false, false], [false, false]]);
}

#[test]
fn limits_that_cannot_be_exact_are_refused() {
    for (quota, burst, window, slices, why) in [
        (0, 0, 1000, 4, LimitError::NoQuota),
        (-1, 0, 1000, 4, LimitError::NoQuota),
        (1, -1, 1000, 4, LimitError::NegativeBurst),
        (1, 0, 0, 4, LimitError::Window),
        (1, 0, Limit::MAX_WINDOW_MS + 1, 4, LimitError::Window),
        (1, 0, 1000, 0, LimitError::Slices),
        (1, 0, 1000, 65, LimitError::Slices),
        (1, 0, 3, 4, LimitError::Slices),
        (i64::MAX, 1, 1000, 4, LimitError::Count),
        (1 << 32, 0, 1000, 4, LimitError::Count),
        (1 << 31, 0, 60_000_000, 4, LimitError::Precision),
    ] {
        assert_eq!(Limit::new(quota, burst, window, slices), Err(why), "{quota} {burst} {window} {slices}");
    }
}

#[test]
fn a_damaged_record_overflows_nothing() {
    use tidegate::window::Bucket;
    let limit = Limit::new(u32::MAX.into(), 0, 1_000_000, 4).unwrap();
    let most = (1 << 48) - 1;
    let bucket = Bucket { count: u32::MAX.into(), first_ms: 0, last_ms: most };
    let mut counter = Counter::from_parts(vec![bucket; 50], (1 << 56) - 1, most);
    for now in [0, 1, most / 2, most, most + 1, most * 2] {
        let _ = (
            counter.take(&limit, now, 1),
            counter.remaining(&limit, now),
            counter.retry_after(&limit, now, 1),
        );
    }
}
