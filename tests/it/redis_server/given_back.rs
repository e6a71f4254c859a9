//! Charges that are taken back, of counters in which others have counted meanwhile, perhaps by other slices.

use tidegate::clock::{Clock, Driven};
use tidegate::store::{Decision, KeyedCharge, RedisStore};
use tidegate::window::{Charge, Limit};

use crate::harness::Redis;

const NOW: i64 = 1_700_000_000_000;
const WINDOW_MS: i64 = 64_000;

fn ask(slices: i64, quota: i64, cost: i64) -> KeyedCharge {
    let limit = Limit::new(quota, 0, WINDOW_MS, slices).unwrap();
    KeyedCharge { key: "{client}:rule".to_owned(), charge: Charge { limit, cost, group: Charge::BINDING } }
}

async fn taken(store: &RedisStore, ask: &KeyedCharge) -> Decision {
    store.take(std::slice::from_ref(ask)).await.remove(0).unwrap()
}

/// Units that count now. To ask for too much changes nothing.
async fn used(store: &RedisStore, clock: &Driven) -> i64 {
    let ask = ask(4, 1_000, 1_001);
    taken(store, &ask).await.counter.used(&ask.charge.limit, clock.now_ms())
}

/// A charge by some slices, after arrivals in each second and before others, is taken back.
async fn only_the_charge_is_taken_back(by: i64, others: i64) {
    let (redis, clock) = (Redis::start().await, Driven::default());
    let store = redis.store("tg", Clock::Driven(clock.clone()));
    for second in 0..20 {
        clock.set_ms(NOW + 1_000 * second);
        assert!(taken(&store, &ask(others, 1_000, 1)).await.taken.charged);
    }
    let charge = ask(by, 1_000, 3);
    let decision = taken(&store, &charge).await;
    assert!(decision.taken.charged);
    for second in 20..25 {
        clock.set_ms(NOW + 1_000 * second);
        assert!(taken(&store, &ask(others, 1_000, 1)).await.taken.charged);
    }
    assert_eq!(used(&store, &clock).await, 20 + 3 + 5);
    store.give_back(&[(&charge, &decision)]).await;
    assert_eq!(used(&store, &clock).await, 20 + 5, "charged by {by} slices, others by {others}");
}

#[tokio::test]
async fn only_the_charge_is_taken_back_from_a_counter_of_finer_slices() {
    only_the_charge_is_taken_back(4, 64).await;
}

#[tokio::test]
async fn only_the_charge_is_taken_back_from_a_counter_of_coarser_slices() {
    only_the_charge_is_taken_back(64, 4).await;
}

/// Charges of one unit each at these times are taken back in this order, all of them.
async fn nothing_is_left(store: &RedisStore, clock: &Driven, times: [i64; 3], order: [usize; 3]) {
    let charge = ask(4, 1_000, 1);
    let mut decisions = Vec::new();
    for later in times {
        clock.set_ms(NOW + later);
        decisions.push(taken(store, &charge).await);
    }
    for (left, place) in (0..3).rev().zip(order) {
        store.give_back(&[(&charge, &decisions[place])]).await;
        assert_eq!(used(store, clock).await, left, "charged at {times:?}, taken back in the order {order:?}");
    }
}

#[tokio::test]
async fn charges_of_one_slice_are_taken_back_in_any_order() {
    let (redis, clock) = (Redis::start().await, Driven::default());
    let store = redis.store("tg", Clock::Driven(clock.clone()));
    for times in [[0, 0, 0], [0, 0, 5], [0, 5, 5], [0, 5, 9]] {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            nothing_is_left(&store, &clock, times, order).await;
        }
    }
}
