//! How long others are refused for charges that are about to be given back, in a time that stands still until it is moved.

use futures_util::future::join_all;
use tidegate::clock::{Clock, Driven};
use tidegate::config::{Overrides, compile_text};
use tidegate::limiter::{Charges, Limiter, Verdict};
use tidegate::policy::{Check, Policy};
use tidegate::settings::RedisTopology;
use tidegate::store::{KeyedCharge, RedisStore, Store};

use super::{ALL, AT_ONCE, EACH, SOMEBODY};
use crate::harness::{Cluster, eventually};
use crate::redis::{PATIENT, addresses, ask, store, used};

/// A refusal that may be one of a moment only is remembered for this long.
const MOMENT_MS: i64 = 100;
/// Longer than any refusal is remembered.
const FORGOTTEN_MS: i64 = 6_000;

/// An instance on a cluster.
struct Instance {
    clock: Driven,
    policy: Policy,
    limiter: Limiter,
    store: RedisStore,
    /// The counter of all.
    all: KeyedCharge,
    /// A client whose own counter is on another master than that of all.
    greedy: String,
}

impl Instance {
    async fn on(cluster: &Cluster) -> Self {
        let text = format!(
            "upstream: http://127.0.0.1:1
rules: [{{ name: each, key: [client_ip], rate: {EACH}/h }}]
global: [{{ name: all, rate: {ALL}/h }}]"
        );
        let config = compile_text("shared", text.as_bytes(), &Overrides::default(), &|_| Ok(None)).unwrap();
        let clock = Driven::default();
        clock.set_ms(1_700_000_000_000);
        let store = || {
            let topology = RedisTopology::Cluster(addresses(&cluster.nodes));
            store(topology, PATIENT, Clock::Driven(clock.clone()))
        };
        let limiter = Limiter::new(Store::Redis(store()), 1, Clock::Driven(clock.clone()));
        let all = ask("{*}:all:3600000:4", ALL);
        let elsewhere = (cluster.owner(cluster.slot_of(&all.key).await).await + 1) % 3;
        let key = cluster.key_on(elsewhere, |count| format!("{{203.0.113.{count}}}:each")).await;
        let greedy = key.split(['{', '}']).nth(1).unwrap().to_owned();
        Self { store: store(), clock, policy: config.policy, limiter, all, greedy }
    }

    async fn admits(&self, client: &str) -> bool {
        let checks = [
            Check { rule: &self.policy.global()[0], client: "*".to_owned() },
            Check { rule: &self.policy.rules()[0], client: client.to_owned() },
        ];
        let charges = Charges::of(checks);
        if self.limiter.recall(&charges).is_some() {
            return false;
        }
        match self.limiter.charge(&charges).await {
            Verdict::Pass { .. } => true,
            Verdict::Refuse { .. } => false,
            other => panic!("{other:?}"),
        }
    }

    /// How many of many requests of the greedy client at once are admitted.
    async fn burst(&self) -> usize {
        let admitted = join_all((0..AT_ONCE).map(|_| self.admits(&self.greedy))).await;
        admitted.into_iter().filter(|admitted| *admitted).count()
    }

    /// Waits until the counter of all has nothing but what was admitted.
    async fn has_given_back(&self, admitted: usize) {
        let admitted = i64::try_from(admitted).unwrap();
        let given = async || (used(&self.store, &self.all).await == admitted).then_some(());
        eventually("what was refused to be given back", given).await;
    }

    fn wait(&self, ms: i64) {
        self.clock.set_ms(self.clock.now_ms() + ms);
    }
}

#[tokio::test]
async fn others_are_admitted_a_moment_after_a_burst_of_one_client() {
    let cluster = Cluster::start().await;
    let instance = Instance::on(&cluster).await;
    let mut admitted = instance.burst().await;
    assert!((1..=EACH).contains(&admitted), "{admitted}");
    admitted += usize::from(instance.admits(SOMEBODY).await);
    instance.has_given_back(admitted).await;
    instance.wait(MOMENT_MS);
    assert!(instance.admits(SOMEBODY).await, "others were shut out");
}

#[tokio::test]
async fn others_are_admitted_a_moment_after_each_burst_of_a_client_that_will_not_stop() {
    let cluster = Cluster::start().await;
    let instance = Instance::on(&cluster).await;
    let (mut admitted, mut others) = (0, 0);
    for _ in 0..3 {
        admitted += instance.burst().await;
        others += usize::from(instance.admits(SOMEBODY).await);
        instance.has_given_back(admitted + others).await;
        instance.wait(MOMENT_MS);
        assert!(instance.admits(SOMEBODY).await, "others were shut out");
        others += 1;
        instance.wait(FORGOTTEN_MS);
    }
    assert!((1..=EACH).contains(&admitted), "{admitted}");
}
