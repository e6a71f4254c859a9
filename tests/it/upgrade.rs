//! Instances of the build before beside instances of this one, on one Redis: no client gets a second quota.
//!
//! The old build is played by its scripts (`tests/fixtures/slices-in-keys`) and its keys, which end with the number of
//! slices.

use bb8_redis::redis::aio::MultiplexedConnection;
use bb8_redis::redis::{Client, Script, Value};
use tidegate::clock::{Clock, Driven};
use tidegate::config::{Overrides, compile_text};
use tidegate::limiter::{Charges, Limiter, Verdict};
use tidegate::policy::{Check, Policy};
use tidegate::store::Store;

use crate::harness::{Redis, eventually};

const MINUTE: i64 = 60_000;
const START_MS: i64 = 1_700_000_000_000;
const QUOTA: usize = 30;

/// An instance of the build before.
struct Old {
    redis: MultiplexedConnection,
    take: Script,
    heartbeat: Script,
    slices: u8,
    clock: Driven,
}

impl Old {
    async fn on(redis: &Redis, slices: u8, clock: &Driven) -> Self {
        let client = Client::open(redis.url()).unwrap();
        Self {
            redis: client.get_multiplexed_async_connection().await.unwrap(),
            take: Script::new(include_str!("../fixtures/slices-in-keys/take.lua")),
            heartbeat: Script::new(include_str!("../fixtures/slices-in-keys/heartbeat.lua")),
            slices,
            clock: clock.clone(),
        }
    }

    async fn admits(&mut self, client: &str) -> bool {
        let mut charge = Vec::new();
        // quota, burst, window, slices, cost, group, time to live
        let quota = u64::try_from(QUOTA).unwrap();
        let window = MINUTE.unsigned_abs();
        for (number, width) in [(quota, 4), (0, 4), (window, 5), (u64::from(self.slices), 1), (1, 5), (0, 4)]
        {
            charge.extend(number.to_le_bytes().into_iter().take(width));
        }
        charge.extend(b"600000");
        let mut call = self.take.key(format!("tg:{{{client}}}:each:{MINUTE}:{}", self.slices));
        call.arg(charge).arg(format!("={}", self.clock.now_ms())).arg(1_u64 << 52);
        let (_now_ms, charged, _before): (i64, i64, Value) =
            call.invoke_async(&mut self.redis).await.unwrap();
        charged == 1
    }

    /// Counts as alive for this long.
    async fn heartbeat(&mut self, alive_ms: u64) {
        let mut call = self.heartbeat.key("tg:instances");
        let _: Value = call.arg(&b"old-pod0"[..]).arg(alive_ms).invoke_async(&mut self.redis).await.unwrap();
    }
}

/// An instance of this build.
struct New {
    policy: Policy,
    limiter: Limiter,
}

impl New {
    fn on(redis: &Redis, slices: &str, clock: &Driven) -> Self {
        let rule = format!("{{ name: each, key: ['header:X-Client'], rate: {QUOTA}/min{slices} }}");
        let text = format!("upstream: http://127.0.0.1:1\nrules: [{rule}]");
        let config = compile_text("new", text.as_bytes(), &Overrides::default(), &|_| Ok(None)).unwrap();
        let store = Store::Redis(redis.store("tg", Clock::Driven(clock.clone())));
        Self { policy: config.policy, limiter: Limiter::new(store, 1, Clock::Driven(clock.clone())) }
    }

    async fn admits(&self, client: &str) -> bool {
        let check = Check { rule: &self.policy.rules()[0], client: client.to_owned() };
        match self.limiter.charge(&Charges::of([check])).await {
            Verdict::Pass { .. } => true,
            Verdict::Refuse(limited) => {
                assert_eq!(limited.violated.len(), 1, "a limit is named once");
                false
            }
            other => panic!("{other:?}"),
        }
    }
}

fn clock() -> Driven {
    let clock = Driven::default();
    clock.set_ms(START_MS);
    clock
}

/// Waits until a first request of a client that nobody knows makes this many counters.
async fn makes_counters(redis: &Redis, new: &New, count: usize) {
    let mut number = 0;
    eventually(&format!("a new client to have {count} counters"), async || {
        number += 1;
        let client = format!("probe-{number}");
        assert!(new.admits(&client).await);
        let names: Vec<String> = redis.counters().await;
        (names.iter().filter(|name| name.contains(&format!("{{{client}}}"))).count() == count).then_some(())
    })
    .await;
}

/// Sends twice the limit to both, in turns within half a window. Returns what was admitted.
async fn in_turns(old: &mut Old, new: &New, client: &str, clock: &Driven) -> [usize; 2] {
    let start = clock.now_ms();
    let mut admitted = [0, 0];
    for turn in 0..QUOTA {
        clock.set_ms(start + MINUTE / 2 * i64::try_from(turn).unwrap() / i64::try_from(QUOTA).unwrap());
        admitted[0] += usize::from(old.admits(client).await);
        admitted[1] += usize::from(new.admits(client).await);
    }
    admitted
}

#[tokio::test]
async fn limits_without_slices_share_their_counter_with_the_build_before() {
    let (redis, clock) = (Redis::start().await, clock());
    let (mut old, new) = (Old::on(&redis, 4, &clock).await, New::on(&redis, "", &clock));
    assert_eq!(in_turns(&mut old, &new, "client", &clock).await, [QUOTA / 2; 2]);
    assert_eq!(redis.counters().await, ["tg:{client}:each:60000:4"]);
}

#[tokio::test]
async fn limits_with_slices_share_their_counter_from_the_start_of_the_new_build() {
    let (redis, clock) = (Redis::start().await, clock());
    let (mut old, new) = (Old::on(&redis, 12, &clock).await, New::on(&redis, ", slices: 12", &clock));
    assert_eq!(in_turns(&mut old, &new, "client", &clock).await, [QUOTA / 2; 2]);
}

#[tokio::test]
async fn limits_with_slices_share_their_counter_while_the_build_before_is_running() {
    let (redis, clock) = (Redis::start().await, clock());
    let (mut old, new) = (Old::on(&redis, 12, &clock).await, New::on(&redis, ", slices: 12", &clock));
    old.heartbeat(600_000).await;
    clock.set_ms(START_MS + 10 * MINUTE);
    makes_counters(&redis, &new, 2).await;
    assert_eq!(in_turns(&mut old, &new, "client", &clock).await, [QUOTA / 2; 2]);
}

#[tokio::test]
async fn a_limit_with_slices_has_one_counter_when_the_build_before_is_gone() {
    let (redis, clock) = (Redis::start().await, clock());
    let (mut old, new) = (Old::on(&redis, 12, &clock).await, New::on(&redis, ", slices: 12", &clock));
    old.heartbeat(600_000).await;
    clock.set_ms(START_MS + 10 * MINUTE);
    makes_counters(&redis, &new, 2).await;
    old.heartbeat(1).await;
    let alone = async || (new.limiter.status().unwrap().instances == 1).then_some(());
    eventually("the old instance to be gone", alone).await;
    clock.set_ms(START_MS + 12 * MINUTE);
    makes_counters(&redis, &new, 1).await;
}

#[tokio::test]
async fn what_the_build_before_has_counted_stays_counted_after_it_is_gone() {
    let (redis, clock) = (Redis::start().await, clock());
    let (mut old, new) = (Old::on(&redis, 12, &clock).await, New::on(&redis, ", slices: 12", &clock));
    for _ in 0..QUOTA {
        assert!(old.admits("client").await);
    }
    clock.set_ms(START_MS + MINUTE - 1);
    assert!(!new.admits("client").await);
    clock.set_ms(START_MS + MINUTE);
    assert!(new.admits("client").await);
}
