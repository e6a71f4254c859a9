//! One suite for both stores, with a driven clock.

use tidegate::clock::{Clock, Driven};
use tidegate::store::{Decision, Decisions, KeyedCharge, MemoryStore, Store};
use tidegate::window::{Charge, Counter, Limit};

use crate::golden;
use crate::harness::Redis;

/// A store whose time stands still until it is moved.
struct Bench {
    store: Store,
    clock: Driven,
    /// Ends with the test.
    _redis: Option<Redis>,
}

impl Bench {
    fn memory() -> Self {
        let clock = Driven::default();
        let store = Store::Memory(MemoryStore::new(100_000, Clock::Driven(clock.clone())));
        Self { store, clock, _redis: None }
    }

    async fn redis() -> Self {
        let redis = Redis::start().await;
        let clock = Driven::default();
        let store = Store::Redis(redis.store("conformance", Clock::Driven(clock.clone())));
        Self { store, clock, _redis: Some(redis) }
    }

    async fn take(&self, now_ms: i64, asks: &[KeyedCharge]) -> Vec<Decision> {
        self.clock.set_ms(now_ms);
        let decisions = decided(self.store.take(asks).await);
        assert!(decisions.iter().all(|decision| decision.now.as_i64() == now_ms));
        decisions
    }

    async fn take_one(&self, now_ms: i64, key: &str, limit: Limit, cost: i64) -> (bool, Counter) {
        let decision = self.take(now_ms, &[ask(key, limit, cost)]).await.remove(0);
        (decision.taken.charged, decision.counter)
    }
}

/// Of a store that answers.
fn decided(answer: Decisions) -> Vec<Decision> {
    answer.into_iter().map(Result::unwrap).collect()
}

/// Whether the first ask was charged.
fn charged(answer: Decisions) -> bool {
    decided(answer)[0].taken.charged
}

fn ask(key: &str, limit: Limit, cost: i64) -> KeyedCharge {
    KeyedCharge { key: key.to_owned(), charge: Charge { limit, cost, group: Charge::BINDING } }
}

fn minute(quota: i64, burst: i64) -> Limit {
    Limit::new(quota, burst, 60_000, 4).unwrap()
}

/// Runs a scenario against both stores, each as a test of its own.
macro_rules! for_both_stores {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $name() { super::$name(super::Bench::memory()).await; })*
        }
        mod redis {
            $(#[tokio::test] async fn $name() { super::$name(super::Bench::redis().await).await; })*
        }
    };
}

for_both_stores!(
    every_decision_of_the_specification_first_quarter,
    every_decision_of_the_specification_second_quarter,
    every_decision_of_the_specification_third_quarter,
    every_decision_of_the_specification_last_quarter,
    all_are_charged_or_none,
    a_trial_stands_alone,
    counters_of_different_keys_do_not_share,
    a_changed_rate_keeps_the_counts,
    a_clock_that_steps_back_frees_nothing,
    a_clock_that_steps_back_is_waited_for_two_windows_at_most,
    a_refusal_writes_nothing,
    real_time_is_never_mixed_in,
);

// In four parts, which run beside each other: it is a third of a million round trips.
async fn every_decision_of_the_specification_first_quarter(bench: Bench) {
    decisions_of(bench, 0).await;
}

async fn every_decision_of_the_specification_second_quarter(bench: Bench) {
    decisions_of(bench, 1).await;
}

async fn every_decision_of_the_specification_third_quarter(bench: Bench) {
    decisions_of(bench, 2).await;
}

async fn every_decision_of_the_specification_last_quarter(bench: Bench) {
    decisions_of(bench, 3).await;
}

async fn decisions_of(bench: Bench, quarter: usize) {
    for (number, trace) in
        golden::traces().into_iter().enumerate().filter(|(number, _)| number % 4 == quarter)
    {
        let key = format!("{{client}}:trace-{number}");
        for (place, row) in trace.rows().enumerate() {
            let limit = row.limit;
            let (admitted, counter) = bench.take_one(row.now_ms, &key, limit, row.cost).await;
            let at = format!("{limit:?} {} row {place}", trace.shape);
            assert_eq!(admitted, row.admitted, "{at}");
            assert_eq!(counter.used(&limit, row.now_ms), row.used, "{at}");
            assert_eq!(counter.remaining(&limit, row.now_ms), row.remaining, "{at}");
            if !admitted {
                assert_eq!(
                    counter.retry_after(&limit, row.now_ms, row.cost),
                    Some(row.retry_after_ms),
                    "{at}"
                );
            }
        }
    }
}

async fn all_are_charged_or_none(bench: Bench) {
    let (wide, narrow) = (minute(10, 0), minute(3, 0));
    let both = [ask("{a}:wide", wide, 1), ask("{a}:narrow", narrow, 1)];
    for _ in 0..3 {
        assert!(bench.take(5_000, &both).await.iter().all(|decision| decision.taken.charged));
    }
    let refused = bench.take(5_000, &both).await;
    assert_eq!(
        refused.iter().map(|Decision { taken, .. }| (taken.fits, taken.charged)).collect::<Vec<_>>(),
        [(true, false), (false, false)]
    );
    let (_, counter) = bench.take_one(5_000, "{a}:wide", wide, 11).await;
    assert_eq!(counter.used(&wide, 5_000), 3, "the refused request was charged to the wider limit");
}

async fn a_trial_stands_alone(bench: Bench) {
    let trial = |key: &str, quota| KeyedCharge {
        key: key.to_owned(),
        charge: Charge { limit: minute(quota, 0), cost: 1, group: 2 },
    };
    let asks = [ask("{a}:enforced", minute(2, 0), 1), trial("{a}:shadow", 1), trial("{a}:shadow-too", 9)];
    let charged = async |now| {
        let decisions = bench.take(now, &asks).await;
        decisions.iter().map(|decision| decision.taken.charged).collect::<Vec<_>>()
    };
    assert_eq!(charged(1_000).await, [true, true, true]);
    assert_eq!(charged(1_001).await, [true, false, false], "one rule's limits stand or fall together");
    assert_eq!(charged(1_002).await, [false, false, false]);
}

async fn counters_of_different_keys_do_not_share(bench: Bench) {
    let limit = minute(2, 1);
    for key in ["{a}:one", "{b}:one", "{a}:two"] {
        let mut admitted = 0;
        for _ in 0..10 {
            admitted += i32::from(bench.take_one(7_000, key, limit, 1).await.0);
        }
        assert_eq!(admitted, 3, "{key}");
    }
}

async fn a_changed_rate_keeps_the_counts(bench: Bench) {
    for _ in 0..5 {
        assert!(bench.take_one(1_000, "{a}:x", minute(5, 0), 1).await.0);
    }
    assert!(!bench.take_one(1_000, "{a}:x", minute(5, 0), 1).await.0);
    for _ in 0..2 {
        assert!(bench.take_one(1_000, "{a}:x", minute(7, 0), 1).await.0);
    }
    assert!(!bench.take_one(1_000, "{a}:x", minute(7, 0), 1).await.0);
    assert!(!bench.take_one(1_000, "{a}:x", minute(2, 0), 1).await.0);
}

const HOUR: i64 = 3_600_000;

/// Uses the limit up, then takes once more an hour earlier.
async fn an_hour_back(bench: &Bench, limit: Limit) -> (bool, Counter) {
    for _ in 0..limit.quota() {
        assert!(bench.take_one(2 * HOUR, "{a}:x", limit, 1).await.0);
    }
    bench.take_one(HOUR, "{a}:x", limit, 1).await
}

async fn a_clock_that_steps_back_frees_nothing(bench: Bench) {
    let (admitted, _) = an_hour_back(&bench, minute(3, 0)).await;
    assert!(!admitted, "an hour back, and the client had a second helping");
}

async fn a_clock_that_steps_back_is_waited_for_two_windows_at_most(bench: Bench) {
    let limit = minute(3, 0);
    let (_, counter) = an_hour_back(&bench, limit).await;
    let wait = counter.retry_after(&limit, HOUR, 1).unwrap();
    assert!(wait <= 120_000, "{wait} ms");
    assert!(!bench.take_one(HOUR + wait - 1, "{a}:x", limit, 1).await.0);
    assert!(bench.take_one(HOUR + wait, "{a}:x", limit, 1).await.0, "the store forgot the step back");
}

async fn a_refusal_writes_nothing(bench: Bench) {
    let limit = minute(1, 0);
    assert!(bench.take_one(1_000, "{a}:x", limit, 1).await.0);
    let (_, before) = bench.take_one(1_001, "{a}:x", limit, 1).await;
    let (_, after) = bench.take_one(1_002, "{a}:x", limit, 1).await;
    assert_eq!(before, after);
}

async fn real_time_is_never_mixed_in(bench: Bench) {
    // 10 ms windows of a clock that stands still: however long the test takes, nothing expires.
    let limit = Limit::new(1, 0, 10, 1).unwrap();
    assert!(bench.take_one(1_000, "{a}:x", limit, 1).await.0);
    for _ in 0..200 {
        assert!(!bench.take_one(1_000, "{a}:x", limit, 1).await.0);
    }
    assert!(bench.take_one(1_010, "{a}:x", limit, 1).await.0);
}

/// A store of 640 counters at most, after 10,000 clients.
fn crowded(clock: &Driven) -> MemoryStore {
    let store = MemoryStore::new(640, Clock::Driven(clock.clone()));
    for client in 0..10_000 {
        store.take(&[ask(&format!("{{{client}}}:x"), minute(5, 0), 1)]);
    }
    store
}

#[tokio::test]
async fn the_memory_store_is_bounded() {
    let store = crowded(&Driven::default());
    assert!(store.len() <= 640, "{} counters", store.len());
    assert!(store.len() > 320, "{} counters: more were dropped than needed", store.len());
}

#[tokio::test]
async fn a_sweep_of_the_memory_store_drops_expired_counters_only() {
    let clock = Driven::default();
    let store = crowded(&clock);
    clock.set_ms(59_999);
    store.sweep();
    assert!(!store.is_empty(), "counters were dropped that still matter");
    clock.set_ms(60_000);
    store.sweep();
    assert!(store.is_empty(), "{} expired counters are left", store.len());
}

#[tokio::test]
async fn the_memory_store_drops_the_one_idle_longest() {
    let store = MemoryStore::new(128, Clock::Driven(Driven::default()));
    let admitted = |key: &str| store.take(&[ask(key, minute(1, 0), 1)])[0].taken.charged;
    assert!(admitted("{busy}:x") && admitted("{idle}:x"));
    for other in 0..2_000 {
        admitted(&format!("{{{other}}}:x"));
        assert!(!admitted("{busy}:x"), "a client that never paused was forgotten after {other} others");
    }
    assert!(admitted("{idle}:x"), "2,000 newer clients, and the idle one is still there");
}

#[tokio::test]
async fn counters_in_redis_are_named_for_what_they_are() {
    let redis = Redis::start().await;
    let store = redis.store("tg", Clock::Real);
    store.take(&[ask("{203.0.113.7}:create-task:60000:4", minute(5, 0), 1)]).await;
    assert_eq!(redis.counters().await, ["tg:{203.0.113.7}:create-task:60000:4"]);
}

#[tokio::test]
async fn counters_in_redis_expire() {
    let redis = Redis::start().await;
    let store = redis.store("tg", Clock::Real);
    store.take(&[ask("{a}:x", minute(5, 0), 1)]).await;
    let ttl: i64 = redis.command(&["PTTL", "tg:{a}:x"]).await;
    assert!((1..=60_000).contains(&ttl), "{ttl} ms");
}

#[tokio::test]
async fn a_refusal_does_not_even_touch_redis_keys() {
    let redis = Redis::start().await;
    let clock = Driven::default();
    let store = redis.store("tg", Clock::Driven(clock.clone()));
    let asks = [ask("{a}:x", minute(1, 0), 1)];
    clock.set_ms(1_000);
    assert!(charged(store.take(&asks).await));
    let _: i64 = redis.command(&["PEXPIRE", "tg:{a}:x", "3600000"]).await;
    for _ in 0..20 {
        assert!(!charged(store.take(&asks).await));
    }
    let ttl: i64 = redis.command(&["PTTL", "tg:{a}:x"]).await;
    assert!(ttl > 600_000, "a refusal wrote the counter again: it lives for {ttl} ms");
}

/// What no trace holds: clocks that step back with limits that change, several counters and groups at once.
#[tokio::test]
async fn both_stores_decide_alike_whatever_comes() {
    let redis = Redis::start().await;
    let clock = Driven::default();
    let mut random = rand_mt::Mt::new(20_261_123);
    let mut up_to = |most: u32| i64::from(random.next_u32() % (most + 1));
    for round in 0..25 {
        let memory = MemoryStore::new(100_000, Clock::Driven(clock.clone()));
        let shared = redis.store(&format!("round-{round}"), Clock::Driven(clock.clone()));
        let windows = [1 + up_to(20), 1_000 + up_to(100_000), 86_400_000 * (1 + up_to(300))];
        let mut now = 1_700_000_000_000 + up_to(1 << 30);
        for _ in 0..200 {
            let window = windows[usize::try_from(up_to(2)).unwrap()];
            now += match up_to(9) {
                0 => window * (1 + up_to(2)),
                1 => -(window * up_to(5)) / 2,
                2 => -1,
                3..=5 => 0,
                _ => window * up_to(100) / 800,
            };
            clock.set_ms(now);
            let asks: Vec<KeyedCharge> = (0..windows.len())
                .map(|place| {
                    let (quota, burst) = (1 + up_to(20), up_to(10));
                    let slices = 1 + up_to(63) % windows[place];
                    let limit = Limit::new(quota, burst, windows[place], slices).unwrap();
                    let charge =
                        Charge { limit, cost: 1 + up_to(3), group: u32::try_from(up_to(2)).unwrap() };
                    KeyedCharge { key: format!("{{c}}:{place}"), charge }
                })
                .collect();
            assert_eq!(memory.take(&asks), decided(shared.take(&asks).await), "{asks:?}");
        }
    }
}

#[tokio::test]
async fn redis_decides_after_its_scripts_were_flushed() {
    let redis = Redis::start().await;
    let store = redis.store("tg", Clock::Real);
    let asks = [ask("{a}:x", minute(2, 0), 1)];
    assert!(charged(store.take(&asks).await));
    let _: String = redis.command(&["SCRIPT", "FLUSH"]).await;
    assert!(charged(store.take(&asks).await));
    assert!(!charged(store.take(&asks).await), "the flush made it count nothing, or twice");
}

#[tokio::test]
async fn redis_decides_in_the_place_of_a_foreign_value() {
    let redis = Redis::start().await;
    let store = redis.store("tg", Clock::Real);
    let asks = [ask("{a}:x", minute(2, 0), 1)];
    let _: String = redis.command(&["SET", "tg:{a}:x", "somebody else's"]).await;
    assert!(charged(store.take(&asks).await));
    let _: i64 = redis.command(&["DEL", "tg:{a}:x"]).await;
    let _: i64 = redis.command(&["LPUSH", "tg:{a}:x", "a list"]).await;
    assert!(charged(store.take(&asks).await), "a key of another type stopped the limit");
}
