//! Counters that Redis may have lost, and instances that have seen them.

use tidegate::window::{Bucket, Counter};

use super::{Bench, MINUTE, NOW, STORED, Standing};
use crate::harness::eventually;

#[tokio::test]
async fn a_counter_that_is_still_there_is_not_put_back_on_top_of_itself() {
    let bench = Bench::minute(10, 0).await;
    let instance = bench.instance();
    for later in [0, 15_000, 30_000] {
        bench.clock.set_ms(NOW + later);
        assert_eq!(bench.takes(&instance, 2).await, 2);
    }
    let seen = bench.counter(&instance).await;
    bench.takes(&instance, 1).await;
    for _ in 0..2 {
        bench.seen(&instance, &seen).await;
        assert_eq!(bench.standing(&instance).await, Standing { used: 7, remaining: 3 });
    }
}

#[tokio::test]
async fn a_counter_that_was_lost_is_put_back_as_it_was() {
    let bench = Bench::minute(10, 3).await;
    let instance = bench.instance();
    for later in [0, 9_000, 15_000, 47_000] {
        bench.clock.set_ms(NOW + later);
        assert_eq!(bench.takes(&instance, 3).await, 3);
    }
    let seen = bench.counter(&instance).await;
    bench.loses().await;
    assert_eq!(bench.seen(&instance, &seen).await, seen);
    assert_eq!(bench.counter(&instance).await, seen);
    let ttl: i64 = bench.redis.command(&["PTTL", STORED]).await;
    assert!(ttl > 0, "it would never be gone");
}

#[tokio::test]
async fn a_redis_that_was_restarted_is_told_what_it_was() {
    let mut bench = Bench::minute(10, 0).await;
    let instance = bench.instance();
    assert_eq!(bench.takes(&instance, 6).await, 6);
    let (seen, generation) = (bench.counter(&instance).await, instance.generation());
    bench.redis.restart().await;
    // So an instance notices that counters may be lost.
    eventually("another run of the server to decide", async || {
        let too_much = bench.ask(bench.limit.quota() + 1);
        let decides = instance.take(&[too_much]).await.iter().all(Result::is_ok);
        (decides && instance.generation() > generation).then_some(())
    })
    .await;
    assert_eq!(bench.standing(&instance).await.used, 0);
    bench.seen(&instance, &seen).await;
    assert_eq!(bench.standing(&instance).await, Standing { used: 6, remaining: 4 });
}

#[tokio::test]
async fn what_several_have_seen_is_put_back_once_with_the_larger_count() {
    for larger_first in [true, false] {
        let bench = Bench::minute(20, 0).await;
        let (early, late) = (bench.instance(), bench.instance());
        assert_eq!(bench.takes(&early, 4).await, 4);
        let seen_early = bench.counter(&early).await;
        assert_eq!(bench.takes(&late, 5).await, 5);
        let seen_late = bench.counter(&late).await;
        bench.loses().await;
        let mut tellers = [(&early, &seen_early), (&late, &seen_late)];
        if larger_first {
            tellers.reverse();
        }
        for (instance, seen) in tellers {
            bench.seen(instance, seen).await;
        }
        assert_eq!(bench.standing(&early).await, Standing { used: 9, remaining: 11 });
    }
}

#[tokio::test]
async fn it_is_put_back_beside_what_has_come_since() {
    let bench = Bench::minute(20, 0).await;
    let (old, new) = (bench.instance(), bench.instance());
    assert_eq!(bench.takes(&old, 4).await, 4);
    let seen = bench.counter(&old).await;
    bench.loses().await;
    // In the same slice, and in a later one.
    for later in [10, 20_000] {
        bench.clock.set_ms(NOW + later);
        assert_eq!(bench.takes(&new, 3).await, 3);
    }
    for _ in 0..2 {
        bench.seen(&old, &seen).await;
        assert_eq!(bench.standing(&new).await, Standing { used: 10, remaining: 10 });
    }
}

#[tokio::test]
async fn it_is_put_back_together_with_what_was_missed() {
    let bench = Bench::minute(20, 0).await;
    let instance = bench.instance();
    assert_eq!(bench.takes(&instance, 4).await, 4);
    let seen = bench.counter(&instance).await;
    bench.loses().await;
    bench.clock.set_ms(NOW + 100);
    let missed = super::at(NOW + 50, 3);
    for _ in 0..2 {
        bench.told(&instance, &seen, &missed, 1).await;
        assert_eq!(bench.standing(&instance).await, Standing { used: 7, remaining: 13 });
    }
}

#[tokio::test]
async fn of_what_was_lost_only_what_still_counts_is_put_back() {
    let bench = Bench::minute(20, 0).await;
    let instance = bench.instance();
    let bucket = |count, ago| Bucket { count, first_ms: NOW - ago, last_ms: NOW - ago };
    let seen =
        Counter::from_parts(vec![bucket(9, MINUTE), bucket(2, MINUTE - 1), bucket(4, 10)], 0, NOW - 10);
    bench.seen(&instance, &seen).await;
    assert_eq!(bench.standing(&instance).await, Standing { used: 6, remaining: 14 });
}
