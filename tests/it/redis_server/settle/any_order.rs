//! Settlements of any instances, in any order: the counter becomes what it would be if it had seen all requests.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tidegate::clock::{Clock, Driven};
use tidegate::store::{KeyedCharge, RedisStore, Settlement, StoreMs};
use tidegate::window::{Charge, Counter, Limit};

use super::NOW;
use crate::harness::{Redis, eventually};

const INSTANCES: usize = 3;
/// More than comes.
const QUOTA: i64 = 10_000;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many units come through an instance, and Redis decides.
    Taken(usize, i64),
    /// So many units come through an instance that cannot ask.
    Missed(usize, i64),
    /// An instance settles, perhaps twice.
    Tells(usize, bool),
}

/// Steps, how many thousandths of the window pass before each, and by which of two limits it counts.
fn steps() -> impl Strategy<Value = Vec<(i64, Step, usize)>> {
    let (instance, count) = (0..INSTANCES, 1..4_i64);
    let step = prop_oneof![
        3 => (instance.clone(), count.clone()).prop_map(|(instance, count)| Step::Taken(instance, count)),
        4 => (instance.clone(), count).prop_map(|(instance, count)| Step::Missed(instance, count)),
        1 => (instance, any::<bool>()).prop_map(|(instance, twice)| Step::Tells(instance, twice)),
    ];
    let gap = prop_oneof![3 => 0..3_i64, 4 => 3..80_i64, 1 => 200..700_i64];
    prop::collection::vec((gap, step, 0..2_usize), 1..60)
}

/// Two limits that differ in the number of slices, or not even in that.
fn limits() -> impl Strategy<Value = [Limit; 2]> {
    let window = prop::sample::select(vec![1_000, 60_000, 3_600_000, 20 * 86_400_000, 366 * 86_400_000]);
    let slices = || prop::sample::select(vec![1, 2, 4, 7, 64]);
    let limit = |window, slices| Limit::new(QUOTA, 0, window, slices).unwrap();
    prop_oneof![
        (window.clone(), slices()).prop_map(move |(window, slices)| [limit(window, slices); 2]),
        (window, slices(), slices())
            .prop_map(move |(window, one, other)| [limit(window, one), limit(window, other)]),
    ]
}

/// The instances on one counter, and the counter that sees all at once.
struct Bench<'a> {
    instances: &'a [RedisStore],
    clock: &'a Driven,
    key: String,
    limits: [Limit; 2],
    /// The one that is in force.
    limit: Limit,
    /// What each has admitted and not settled.
    missed: Vec<Counter>,
    whole: Counter,
    /// Each arrival's time and units.
    arrivals: Vec<(i64, i64)>,
    /// The number of the last addition.
    number: u64,
}

impl Bench<'_> {
    fn arrives(&mut self, units: i64) {
        let now_ms = self.clock.now_ms();
        self.whole.record(&self.limit, now_ms, units, 0);
        self.arrivals.push((now_ms, units));
    }

    async fn plays(&mut self, step: Step) {
        match step {
            Step::Taken(instance, units) => {
                self.arrives(units);
                let charge = Charge { limit: self.limit, cost: units, group: Charge::BINDING };
                let asks = [KeyedCharge { key: self.key.clone(), charge }];
                let decision = self.instances[instance].take(&asks).await.remove(0).unwrap();
                assert!(decision.taken.charged);
            }
            Step::Missed(instance, units) => {
                self.arrives(units);
                self.missed[instance].record(&self.limit, self.clock.now_ms(), units, 0);
            }
            Step::Tells(instance, twice) => {
                self.number += 1;
                let missed = std::mem::take(&mut self.missed[instance]);
                for _ in 0..=usize::from(twice) {
                    self.tells(instance, &missed).await;
                }
            }
        }
    }

    async fn tells(&self, instance: usize, missed: &Counter) {
        let now = StoreMs::new(self.clock.now_ms());
        let (key, limit, number, seen) = (&self.key, &self.limit, self.number, &Counter::default());
        let settlement = Settlement { key, limit, seen, unsettled: missed, number, now };
        let told = async || self.instances[instance].settle(&settlement).await.ok();
        eventually("the counter to be settled", told).await;
    }

    /// Returns what the client has used according to Redis.
    async fn used(&self) -> i64 {
        let charge = Charge { limit: self.limit, cost: QUOTA + 1, group: Charge::BINDING };
        let asks = [KeyedCharge { key: self.key.clone(), charge }];
        let decision = self.instances[0].take(&asks).await.remove(0).unwrap();
        decision.counter.used(&self.limit, decision.now.as_i64())
    }

    /// Units of which it is not known whether they have expired: those that came in the slice in which the window
    /// begins. Buckets of different slices that reach into each other became one, so there it is those around that time.
    fn uncertain(&self) -> i64 {
        let begins = self.clock.now_ms() - self.limit.window_ms();
        let [one, other] = self.limits.map(|limit| limit.slices());
        let slice = |at_ms: i64| at_ms * one / self.limit.window_ms();
        let around = 2 * (self.limit.window_ms() / one.min(other) + 1);
        let uncertain = |at_ms: i64| {
            if one == other { slice(at_ms) == slice(begins) } else { (at_ms - begins).abs() < around }
        };
        let there = self.arrivals.iter().filter(|(at_ms, _)| uncertain(*at_ms));
        there.map(|(_, units)| units).sum()
    }

    /// Each slice has the units that came in it, whoever told of them. Only of the slice in which the window begins is it
    /// not known when within it they came: there any number may be left, from none to all. The others must match exactly.
    async fn agrees(&self) -> Result<(), TestCaseError> {
        let (used, whole, uncertain) =
            (self.used().await, self.whole.used(&self.limit, self.clock.now_ms()), self.uncertain());
        let within = (used - whole).abs() <= uncertain;
        prop_assert!(within, "{used}, and one that saw all: {whole}; {uncertain} are expiring");
        Ok(())
    }
}

async fn agree(
    mut bench: Bench<'_>,
    steps: Vec<(i64, Step, usize)>,
    last: Vec<usize>,
) -> Result<(), TestCaseError> {
    let mut now_ms = NOW;
    for (gap, step, limit) in steps {
        bench.limit = bench.limits[limit];
        now_ms += gap * bench.limit.window_ms() / 1000;
        bench.clock.set_ms(now_ms);
        bench.plays(step).await;
    }
    for instance in last {
        bench.plays(Step::Tells(instance, false)).await;
    }
    bench.agrees().await?;
    // And while it expires.
    for tenth in 1..10 {
        bench.clock.set_ms(now_ms + tenth * bench.limit.window_ms() / 10);
        bench.agrees().await?;
    }
    bench.clock.set_ms(now_ms + bench.limit.window_ms());
    prop_assert_eq!(bench.used().await, 0);
    Ok(())
}

#[test]
fn the_counter_is_as_if_it_had_been_asked_each_time() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (redis, clock) = (runtime.block_on(Redis::start()), Driven::default());
    let instances: Vec<RedisStore> = runtime.block_on(async {
        (0..INSTANCES).map(|_| redis.store("tg", Clock::Driven(clock.clone()))).collect()
    });
    let cases = (limits(), steps(), Just((0..INSTANCES).collect::<Vec<_>>()).prop_shuffle());
    let played = std::cell::Cell::new(0);
    let config = Config { cases: 96, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&cases, |(limits, steps, last)| {
        played.set(played.get() + 1);
        let bench = Bench {
            instances: &instances,
            clock: &clock,
            key: format!("{{client-{}}}:rule", played.get()),
            limits,
            limit: limits[0],
            missed: vec![Counter::default(); INSTANCES],
            whole: Counter::default(),
            arrivals: Vec::new(),
            number: 0,
        };
        runtime.block_on(agree(bench, steps, last))
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
