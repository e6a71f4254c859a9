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
async fn of_seconds_and_minutes() {
    settles(SECOND, 1).await;
    settles(SECOND, 64).await;
    settles(60 * SECOND, 4).await;
    settles(60 * SECOND, 7).await;
}

#[tokio::test]
async fn of_hours_and_days() {
    settles(HOUR, 1).await;
    settles(2 * HOUR, 64).await;
    settles(20 * DAY, 4).await;
}

#[tokio::test]
async fn of_a_year_and_a_day() {
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
