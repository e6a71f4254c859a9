//! Windows of all lengths, and of few and many slices.

use tidegate::window::{Bucket, Counter, Limit};

use super::{Bench, NOW};

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// All steps of a settlement with a limit of 40 per window, with arrivals spread over it.
async fn settles(window_ms: i64, slices: i64) {
    let limit = Limit::new(40, 0, window_ms, slices).unwrap();
    let bench = Bench::new(limit).await;
    let (one, other) = (bench.instance(), bench.instance());
    let shape = format!("{window_ms} ms in {slices}");
    // The first eighth of a window is left out: nothing may expire here.
    let times: Vec<i64> = (1..8).map(|eighth| NOW - window_ms * (8 - eighth) / 8).collect();
    for now_ms in &times {
        bench.clock.set_ms(*now_ms);
        assert_eq!(bench.takes(&one, 2).await, 2, "{shape}");
    }
    bench.clock.set_ms(NOW);
    let seen = bench.counter(&one).await;
    let mut missed = Counter::default();
    times.iter().for_each(|now_ms| missed.record(&limit, now_ms + 1, 1, 0));
    for _ in 0..2 {
        bench.told(&one, &seen, &missed, 1).await;
        assert_eq!(bench.standing(&other).await.used, 14 + 7, "{shape}: still there");
    }
    let seen = bench.counter(&other).await;
    bench.loses().await;
    for by in [&one, &other] {
        bench.seen(by, &seen).await;
    }
    assert_eq!(bench.counter(&one).await, seen, "{shape}: lost");
    bench.told(&other, &seen, &missed, 1).await;
    assert_eq!(bench.standing(&other).await.used, 14 + 2 * 7, "{shape}: more");
    assert_eq!(bench.takes(&one, 20).await, 12, "{shape}");
    bench.clock.set_ms(NOW + window_ms);
    assert_eq!(bench.takes(&one, 50).await, 40, "{shape}: it does not expire");
}

#[tokio::test]
async fn of_up_to_a_minute() {
    settles(SECOND, 1).await;
    settles(SECOND, 64).await;
    settles(60 * SECOND, 4).await;
    settles(60 * SECOND, 7).await;
}

#[tokio::test]
async fn of_up_to_twenty_days() {
    settles(HOUR, 1).await;
    settles(2 * HOUR, 64).await;
    settles(20 * DAY, 4).await;
}

#[tokio::test]
async fn of_more_than_a_year() {
    settles(366 * DAY, 1).await;
    settles(366 * DAY, 64).await;
}

#[tokio::test]
async fn a_counter_of_all_slices_is_told_something_in_each() {
    let limit = Limit::new(10_000, 0, 64_000, 64).unwrap();
    let bench = Bench::new(limit).await;
    let instance = bench.instance();
    let bucket = |slice: i64, count| Bucket { count, first_ms: slice * 1_000, last_ms: slice * 1_000 + 500 };
    let now = NOW / 64_000 * 64_000 + 63_900;
    bench.clock.set_ms(now);
    let slices = now / 1_000 - 63..=now / 1_000;
    let all =
        |count| Counter::from_parts(slices.clone().map(|slice| bucket(slice, count)).collect(), 0, now - 400);
    bench.seen(&instance, &all(2)).await;
    bench.missed(&instance, &all(3), 1).await;
    assert_eq!(bench.counter(&instance).await, all(5));
    assert_eq!(bench.takes(&instance, 1).await, 1);
}

/// So many units in each of the last slices of a limit, as long ago as they are.
fn in_each(limit: &Limit, slices: i64, count: i64) -> Counter {
    let mut counter = Counter::default();
    for slice in 0..slices {
        for unit in 0..count {
            let ago = (slices - slice) * limit.window_ms() / limit.slices();
            counter.record(limit, NOW - ago + unit, 1, 0);
        }
    }
    counter
}

#[tokio::test]
async fn a_counter_of_finer_slices_is_kept_by_an_instance_of_coarser_ones() {
    let [coarse, fine] = [4, 64].map(|slices| Limit::new(10_000, 0, 64_000, slices).unwrap());
    let bench = Bench::new(coarse).await;
    let (one, other) = (bench.instance(), bench.instance());
    let seen = in_each(&fine, 60, 2);
    for by in [&one, &other, &one] {
        bench.seen(by, &seen).await;
        assert_eq!(bench.counter(by).await, seen, "it was lost, and is not as it was");
    }
    bench.missed(&one, &in_each(&coarse, 3, 5), 1).await;
    bench.missed(&other, &in_each(&fine, 10, 1), 1).await;
    bench.seen(&one, &seen).await;
    assert_eq!(bench.standing(&one).await.used, 120 + 15 + 10);
}

#[tokio::test]
async fn a_counter_of_coarser_slices_is_kept_by_an_instance_of_finer_ones() {
    let [coarse, fine] = [4, 64].map(|slices| Limit::new(10_000, 0, 64_000, slices).unwrap());
    let bench = Bench::new(fine).await;
    let (one, other) = (bench.instance(), bench.instance());
    let seen = in_each(&coarse, 3, 100);
    bench.seen(&one, &seen).await;
    bench.missed(&one, &in_each(&fine, 60, 2), 1).await;
    for by in [&other, &one] {
        bench.seen(by, &seen).await;
        assert_eq!(bench.standing(by).await.used, 300 + 120);
    }
}

#[tokio::test]
async fn a_counter_that_is_told_of_more_buckets_than_there_may_be_loses_no_unit() {
    let limit = Limit::new(10_000, 0, 64_000, 64).unwrap();
    let bench = Bench::new(limit).await;
    let instance = bench.instance();
    let bucket =
        |place: i64| Bucket { count: 3, first_ms: NOW - 900 * place, last_ms: NOW - 900 * place + 40 };
    let seen = Counter::from_parts((0..65).rev().map(bucket).collect(), 0, NOW + 40);
    bench.clock.set_ms(NOW + 40);
    bench.seen(&instance, &seen).await;
    let others: Vec<Bucket> = (0..65).rev().map(|place| Bucket { count: 1, ..bucket(place) }).collect();
    let others = others.into_iter().map(|bucket| Bucket {
        first_ms: bucket.first_ms - 400,
        last_ms: bucket.last_ms - 400,
        ..bucket
    });
    let others = Counter::from_parts(others.collect(), 0, NOW - 360);
    bench.seen(&instance, &others).await;
    let counter = bench.counter(&instance).await;
    assert_eq!(counter.buckets().len(), Counter::MAX_BUCKETS);
    assert_eq!(counter.buckets().iter().map(|bucket| bucket.count).sum::<i64>(), 65 * 4);
}
