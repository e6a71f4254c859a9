//! Outages, requests, changes of the limit, recoveries and charges that are given back, in an order that a seed draws. In the
//! end, Redis has counted what was admitted: no more, no less. (All of it is within one window, so nothing expires.)

use std::time::Duration;

use futures_util::future::join_all;
use tidegate::clock::{Clock, Driven};
use tidegate::config::{Overrides, compile_text};
use tidegate::limiter::{Charges, Limiter, Verdict};
use tidegate::policy::{Check, Policy};
use tidegate::store::{Decisions, KeyedCharge, RedisStore, Store};
use tidegate::window::Charge;

use super::fleet::{START_MS, is_down, store};
use crate::harness::{Redis, Setup, eventually};
use crate::traffic::counted;

const INSTANCES: usize = 2;
const CLIENTS: usize = 3;
const STEPS: usize = 60;
/// At most this long passes between two steps. Less than the window passes in all.
const STEP_MS: i64 = 40_000;
/// The limit as it may change.
const LIMITS: [&str; 6] = [
    "40/h",
    "40/h, slices: 4",
    "40/h, slices: 63, burst: 5",
    "60/h, burst: 10",
    "25/h, burst: 3, slices: 1",
    "200/h, slices: 64",
];

/// How Redis becomes unavailable.
#[derive(Clone, Copy, PartialEq)]
enum Outage {
    Hangs,
    /// It comes back with all that it had.
    Dies,
}

struct Play {
    random: fastrand::Rng,
    outage: Outage,
    redis: Redis,
    is_up: bool,
    clock: Driven,
    policies: Vec<Policy>,
    /// The one in force.
    policy: usize,
    instances: Vec<Limiter>,
    store: RedisStore,
    /// Charges that will be given back.
    borrowed: Vec<(KeyedCharge, Decisions)>,
    admitted: [usize; CLIENTS],
    steps: Vec<String>,
}

impl Play {
    async fn start(seed: u64, outage: Outage) -> Self {
        let redis = Redis::with(&match outage {
            Outage::Hangs => Setup::default(),
            // Each write is the kernel's before Redis replies, so it outlives the process.
            Outage::Dies => Setup::plain(&["--appendonly", "yes", "--appendfsync", "no"]),
        })
        .await;
        let clock = Driven::default();
        clock.set_ms(START_MS);
        let policy = |limit: &&str| {
            let rule = format!("{{ name: each, key: ['header:X-Client'], rate: {limit} }}");
            let text = format!("upstream: http://127.0.0.1:1\nrules: [{rule}]");
            compile_text("shuffled", text.as_bytes(), &Overrides::default(), &|_| Ok(None)).unwrap().policy
        };
        let instance = || {
            let store = Store::Redis(store(redis.port(), &clock));
            Limiter::new(store, 1, Clock::Driven(clock.clone()))
        };
        let play = Self {
            random: fastrand::Rng::with_seed(seed),
            outage,
            is_up: true,
            policies: LIMITS.iter().map(policy).collect(),
            policy: 0,
            instances: (0..INSTANCES).map(|_| instance()).collect(),
            store: store(redis.port(), &clock),
            borrowed: Vec::new(),
            admitted: [0; CLIENTS],
            steps: Vec::new(),
            redis,
            clock,
        };
        play.each("knows of all", |limiter| limiter.status().unwrap().instances == 2).await;
        play
    }

    async fn each(&self, what: &str, is_so: impl Fn(&Limiter) -> bool) {
        let what = format!("the moment when each instance {what}, after {:#?}", self.steps);
        eventually(&what, async || self.instances.iter().all(&is_so).then_some(())).await;
    }

    async fn steps(&mut self) {
        for _ in 0..STEPS {
            self.clock.set_ms(self.clock.now_ms() + self.random.i64(0..STEP_MS));
            match self.random.u8(0..10) {
                0..5 => self.requests().await,
                5..7 => self.changes(),
                7 if self.outage == Outage::Hangs && self.is_up => self.borrows().await,
                8 => self.gives_back().await,
                _ if self.is_up => self.loses_redis().await,
                _ => self.has_redis_back().await,
            }
        }
        if !self.is_up {
            self.has_redis_back().await;
        }
        self.each("has settled", settled).await;
        self.gives_back().await;
    }

    /// Some requests at once.
    async fn requests(&mut self) {
        let count = self.random.usize(1..8);
        let requests: Vec<_> =
            (0..count).map(|_| (self.random.usize(0..INSTANCES), self.random.usize(0..CLIENTS))).collect();
        let passed = join_all(requests.iter().map(|&(instance, client)| self.passes(instance, client))).await;
        for ((_, client), _) in requests.iter().zip(&passed).filter(|(_, passed)| **passed) {
            self.admitted[*client] += 1;
        }
        self.steps.push(format!("requests (instance, client) {requests:?}: {passed:?}"));
    }

    async fn passes(&self, instance: usize, client: usize) -> bool {
        let check =
            Check { rule: &self.policies[self.policy].rules()[0], client: format!("client-{client}") };
        match self.instances[instance].charge(&Charges::of([check])).await {
            Verdict::Pass { .. } => true,
            Verdict::Refuse(_) => false,
            other => panic!("{other:?}"),
        }
    }

    fn changes(&mut self) {
        self.policy = self.random.usize(0..LIMITS.len());
        self.steps.push(format!("the limit becomes {}", LIMITS[self.policy]));
    }

    /// Charges a counter, for a request that will be refused for another reason.
    async fn borrows(&mut self) {
        let limit = self.policies[self.policy].rules()[0].limits[0].limit;
        let client = self.random.usize(0..CLIENTS);
        let key = format!("{}:each:3600000:4", name(client));
        let ask = KeyedCharge { key, charge: Charge { limit, cost: 1, group: Charge::BINDING } };
        let decisions = self.store.take(std::slice::from_ref(&ask)).await;
        self.steps.push(format!("client {client} is charged: {decisions:?}"));
        self.borrowed.push((ask, decisions));
    }

    async fn gives_back(&mut self) {
        if self.is_up {
            self.steps.push(format!("{} charges are given back", self.borrowed.len()));
            for (ask, decisions) in self.borrowed.drain(..) {
                let decided: Vec<_> = decisions.iter().flatten().map(|decision| (&ask, decision)).collect();
                self.store.give_back(&decided).await;
            }
        }
    }

    async fn loses_redis(&mut self) {
        self.gives_back().await;
        self.is_up = false;
        match self.outage {
            Outage::Hangs => self.redis.stop().await,
            Outage::Dies => self.redis.kill().await,
        }
        self.steps.push("Redis is gone".to_owned());
        if self.random.bool() {
            // One request finds out. Whether it is admitted, chance decides: it is of a client that nobody counts.
            join_all((0..INSTANCES).map(|instance| self.passes(instance, CLIENTS))).await;
            self.each("decides without Redis", |limiter| is_down(&limiter.status().unwrap())).await;
            self.steps.push("each instance has noticed".to_owned());
        }
    }

    async fn has_redis_back(&mut self) {
        self.is_up = true;
        match self.outage {
            Outage::Hangs => self.redis.signal("CONT"),
            Outage::Dies => self.redis.restart().await,
        }
        // The store that borrows has no requests that could find out.
        let store = &self.store;
        eventually("Redis to be back", async || (!store.is_down()).then_some(())).await;
        self.steps.push("Redis is back".to_owned());
        if self.random.bool() {
            self.each("has settled", settled).await;
            self.steps.push("each instance has settled".to_owned());
        }
    }

    /// What differs, if anything does.
    async fn difference(&self) -> Option<String> {
        for client in 0..CLIENTS {
            let counted = counted(&self.store, &format!("{}:each:3600000:4", name(client))).await;
            if counted != self.admitted[client] {
                let admitted = self.admitted[client];
                return Some(format!("client {client}: {counted} counted, {admitted} admitted"));
            }
        }
        None
    }
}

fn name(client: usize) -> String {
    format!("{{client-{client}}}")
}

fn settled(limiter: &Limiter) -> bool {
    let status = limiter.status().unwrap();
    !is_down(&status) && !status.needs_settlement
}

async fn is_exact(outage: Outage) {
    let plays = (1..=SEEDS).map(async |seed| {
        let mut play = Play::start(seed, outage).await;
        play.steps().await;
        play.difference().await.map(|wrong| format!("seed {seed}: {wrong}\n{:#?}", play.steps))
    });
    let wrong: Vec<String> = join_all(plays).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// How many orders are played.
const SEEDS: u64 = 8;
/// Whole seconds pass in an outage: the instances wait for a Redis that hangs.
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_admitted_request_is_counted_once_by_a_redis_that_hangs() {
    tokio::time::timeout(PATIENCE, is_exact(Outage::Hangs)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_admitted_request_is_counted_once_by_a_redis_that_dies() {
    tokio::time::timeout(PATIENCE, is_exact(Outage::Dies)).await.unwrap();
}
