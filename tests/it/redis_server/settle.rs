//! Settlement: what instances admitted without Redis is added to counters, and what Redis lost is put back.

mod any_order;
mod debt;
mod lost;
mod odd;
mod shapes;

use bb8_redis::redis::Value;
use tidegate::clock::{Clock, Driven};
use tidegate::store::{KeyedCharge, RedisStore, Settlement, StoreMs};
use tidegate::window::{Bucket, Charge, Counter, Limit};

use crate::harness::{Redis, eventually};

const MINUTE: i64 = 60_000;
/// In the middle of a slice of all the windows here.
const NOW: i64 = 1_700_000_000_000;

/// One counter in Redis, in a time that stands still until it is moved.
struct Bench {
    redis: Redis,
    clock: Driven,
    limit: Limit,
}

/// How a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    used: i64,
    remaining: i64,
}

impl Bench {
    async fn new(limit: Limit) -> Self {
        let clock = Driven::default();
        clock.set_ms(NOW);
        Self { redis: Redis::start().await, clock, limit }
    }

    /// A limit of so many a minute.
    async fn minute(quota: i64, burst: i64) -> Self {
        Self::new(Limit::new(quota, burst, MINUTE, 4).unwrap()).await
    }

    fn instance(&self) -> RedisStore {
        self.redis.store("tg", Clock::Driven(self.clock.clone()))
    }

    fn ask(&self, cost: i64) -> KeyedCharge {
        let charge = Charge { limit: self.limit, cost, group: Charge::BINDING };
        KeyedCharge { key: KEY.to_owned(), charge }
    }

    /// Sends so many requests, one after the other. How many were admitted.
    async fn takes(&self, instance: &RedisStore, requests: usize) -> usize {
        let mut admitted = 0;
        for _ in 0..requests {
            let decision = instance.take(&[self.ask(1)]).await.remove(0).unwrap();
            admitted += usize::from(decision.taken.charged);
        }
        admitted
    }

    /// Returns the counter as a decision reports it. A charge that is too large changes nothing.
    async fn counter(&self, instance: &RedisStore) -> Counter {
        let too_much = self.ask(self.limit.quota() + self.limit.burst() + 1);
        let decision = instance.take(&[too_much]).await.remove(0).unwrap();
        assert!(!decision.taken.fits);
        decision.counter
    }

    async fn standing(&self, instance: &RedisStore) -> Standing {
        let (counter, now_ms) = (self.counter(instance).await, self.clock.now_ms());
        let (used, remaining) = (counter.used(&self.limit, now_ms), counter.remaining(&self.limit, now_ms));
        Standing { used, remaining }
    }

    /// Tells the counter what it missed, and what it was; again if a busy machine took too long, which is no second
    /// time. The counter as Redis answers.
    async fn told(&self, by: &RedisStore, seen: &Counter, missed: &Counter, number: u64) -> Counter {
        let now = StoreMs::new(self.clock.now_ms());
        let settlement = Settlement { key: KEY, limit: &self.limit, seen, unsettled: missed, number, now };
        eventually("the counter to be settled", async || by.settle(&settlement).await.ok()).await
    }

    async fn missed(&self, by: &RedisStore, missed: &Counter, number: u64) -> Counter {
        self.told(by, &Counter::default(), missed, number).await
    }

    async fn seen(&self, by: &RedisStore, seen: &Counter) -> Counter {
        self.told(by, seen, &Counter::default(), 0).await
    }

    /// Redis loses the counter.
    async fn loses(&self) {
        let _: i64 = self.redis.command(&["DEL", STORED]).await;
    }

    /// So many arrivals at once, so long ago.
    fn arrivals(&self, count: i64, ago_ms: i64) -> Counter {
        at(NOW - ago_ms, count)
    }
}

const KEY: &str = "{client}:rule";
/// As it is called in Redis.
const STORED: &str = "tg:{client}:rule";

/// So many arrivals at one time.
fn at(time_ms: i64, count: i64) -> Counter {
    let bucket = Bucket { count, first_ms: time_ms, last_ms: time_ms };
    Counter::from_parts(vec![bucket], 0, time_ms)
}

#[tokio::test]
async fn what_was_missed_counts_against_the_limit() {
    let bench = Bench::minute(10, 0).await;
    let instance = bench.instance();
    assert_eq!(bench.takes(&instance, 2).await, 2);
    let counter = bench.missed(&instance, &bench.arrivals(5, 20_000), 1).await;
    assert_eq!(counter.used(&bench.limit, NOW), 7);
    assert_eq!(bench.standing(&instance).await, Standing { used: 7, remaining: 3 });
    assert_eq!(bench.takes(&instance, 9).await, 3);
}

#[tokio::test]
async fn a_counter_that_was_never_there_is_made_of_what_was_missed() {
    let bench = Bench::minute(10, 0).await;
    let instance = bench.instance();
    bench.missed(&instance, &bench.arrivals(4, 0), 1).await;
    assert_eq!(bench.standing(&instance).await, Standing { used: 4, remaining: 6 });
    let ttl: i64 = bench.redis.command(&["PTTL", STORED]).await;
    assert!(ttl > 0, "it would never be gone");
}

#[tokio::test]
async fn each_addition_of_each_instance_counts_once() {
    let bench = Bench::minute(20, 0).await;
    let (instance, other) = (bench.instance(), bench.instance());
    let missed = bench.arrivals(3, 1_000);
    for _ in 0..3 {
        bench.missed(&instance, &missed, 7).await;
        assert_eq!(bench.standing(&instance).await.used, 3);
    }
    bench.missed(&instance, &missed, 8).await;
    assert_eq!(bench.standing(&instance).await.used, 6);
    // Numbers are each instance's own.
    bench.missed(&other, &missed, 8).await;
    bench.missed(&other, &missed, 8).await;
    assert_eq!(bench.standing(&instance).await, Standing { used: 9, remaining: 11 });
}

#[tokio::test]
async fn after_more_than_the_limit_no_request_is_served_until_it_expires() {
    let bench = Bench::minute(5, 0).await;
    let instance = bench.instance();
    bench.missed(&instance, &bench.arrivals(12, 0), 1).await;
    assert_eq!(bench.standing(&instance).await, Standing { used: 12, remaining: 0 });
    assert_eq!(bench.takes(&instance, 3).await, 0);
    bench.clock.set_ms(NOW + MINUTE);
    assert_eq!(bench.takes(&instance, 7).await, 5);
}

#[tokio::test]
async fn what_has_expired_is_not_added() {
    let bench = Bench::minute(10, 0).await;
    let instance = bench.instance();
    bench.missed(&instance, &bench.arrivals(5, MINUTE), 1).await;
    assert!(bench.redis.counters().await.is_empty(), "an empty counter was written");
    bench.missed(&instance, &bench.arrivals(4, MINUTE - 1), 2).await;
    assert_eq!(bench.standing(&instance).await.used, 4);
    let old = Bucket { count: 5, first_ms: NOW - MINUTE - 9, last_ms: NOW - MINUTE };
    let new = Bucket { count: 2, first_ms: NOW - 100, last_ms: NOW - 50 };
    bench.missed(&instance, &Counter::from_parts(vec![old, new], 0, NOW - 50), 3).await;
    assert_eq!(bench.standing(&instance).await, Standing { used: 6, remaining: 4 });
}

/// Something else is in the place of the counter.
async fn is_overwritten(command: &[&str]) {
    let bench = Bench::minute(10, 0).await;
    let instance = bench.instance();
    let _: Value = bench.redis.command(command).await;
    bench.told(&instance, &bench.arrivals(2, 20_000), &bench.arrivals(3, 0), 1).await;
    assert_eq!(bench.standing(&instance).await, Standing { used: 5, remaining: 5 }, "{command:?}");
    assert_eq!(bench.takes(&instance, 9).await, 5);
}

/// A counter of one bucket, of so many units over so long until then, is.
async fn is_overwritten_packed(last_ms: i64, count: i64, span: i64) {
    let pack = format!("struct.pack('<I6I7I4I3', {last_ms}, 0, {count}, {span})");
    let script = format!("return redis.call('SET', KEYS[1], {pack})");
    is_overwritten(&["EVAL", &script, "1", STORED]).await;
}

#[tokio::test]
async fn what_is_no_counter_is_overwritten() {
    is_overwritten(&["LPUSH", STORED, "a list"]).await;
    is_overwritten(&["SET", STORED, "somebody else's"]).await;
    is_overwritten(&["SET", STORED, ""]).await;
}

#[tokio::test]
async fn a_damaged_counter_that_take_would_not_count_is_overwritten() {
    // As long as a counter of one bucket is, and of two.
    for length in [20, 30] {
        is_overwritten(&["SET", STORED, &"a".repeat(length)]).await;
    }
}

#[tokio::test]
async fn a_counter_that_take_would_count_as_nothing_is_nothing() {
    // A bucket of more units over a longer time than is exact.
    is_overwritten_packed(NOW, 4_294_967_295, 16_777_215).await;
}
