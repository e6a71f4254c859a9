//! The burst allowance: a client that used it before or during an outage does not get it again.

use tidegate::window::{Counter, Limit};

use super::{Bench, MINUTE, NOW, Standing};

/// What an instance notes of requests that it admits at these times without Redis, with this limit.
fn admitted(limit: &Limit, times: impl IntoIterator<Item = i64>) -> Counter {
    let mut counter = Counter::default();
    for now_ms in times {
        assert!(counter.take(limit, now_ms, 1));
    }
    counter
}

#[tokio::test]
async fn a_burst_used_without_redis_is_used() {
    let bench = Bench::minute(10, 5).await;
    let instance = bench.instance();
    let missed = admitted(&bench.limit, [NOW; 15]);
    bench.missed(&instance, &missed, 1).await;
    assert_eq!(bench.standing(&instance).await, Standing { used: 15, remaining: 0 });
    // The arrivals have expired by then, and the debt is paid.
    bench.clock.set_ms(NOW + MINUTE - 1);
    assert_eq!(bench.takes(&instance, 1).await, 0);
    bench.clock.set_ms(NOW + MINUTE);
    assert_eq!(bench.takes(&instance, 30).await, 15);
}

#[tokio::test]
async fn what_is_owed_is_added_to_what_was_owed() {
    let bench = Bench::minute(10, 5).await;
    let instance = bench.instance();
    assert_eq!(bench.takes(&instance, 12).await, 12);
    let mut missed = Counter::default();
    missed.record(&bench.limit, NOW, 2, 2);
    for _ in 0..2 {
        bench.missed(&instance, &missed, 1).await;
        assert_eq!(bench.standing(&instance).await, Standing { used: 14, remaining: 1 });
    }
}

#[tokio::test]
async fn a_debt_is_paid_back_from_when_it_was_made() {
    let bench = Bench::minute(10, 6).await;
    let instance = bench.instance();
    let missed = admitted(&bench.limit, [NOW; 16]);
    bench.clock.set_ms(NOW + MINUTE / 2);
    bench.missed(&instance, &missed, 1).await;
    let counter = bench.counter(&instance).await;
    assert_eq!(counter.used(&bench.limit, NOW + MINUTE / 2), 16);
    assert_eq!((counter.last_ms(), counter.debt()), (NOW, 6 * MINUTE), "as if Redis had been there");
}

#[tokio::test]
async fn a_debt_that_was_lost_is_put_back_once() {
    let bench = Bench::minute(10, 5).await;
    let (instance, other) = (bench.instance(), bench.instance());
    assert_eq!(bench.takes(&instance, 13).await, 13);
    let seen = bench.counter(&instance).await;
    bench.loses().await;
    for by in [&instance, &other] {
        assert_eq!(bench.seen(by, &seen).await, seen);
    }
    assert_eq!(bench.standing(&other).await, Standing { used: 13, remaining: 2 });
    assert_eq!(bench.takes(&other, 9).await, 2);
}

#[tokio::test]
async fn nobody_owes_more_than_the_allowance() {
    let bench = Bench::minute(10, 5).await;
    let (one, other) = (bench.instance(), bench.instance());
    for by in [&one, &other] {
        bench.missed(by, &admitted(&bench.limit, [NOW; 15]), 1).await;
    }
    assert_eq!(bench.standing(&one).await, Standing { used: 30, remaining: 0 });
    bench.clock.set_ms(NOW + MINUTE);
    assert_eq!(bench.takes(&one, 20).await, 15);
}
