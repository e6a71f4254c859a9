//! Requests whose counters are in several slots of a cluster, on several servers.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate::clock::{Clock, Driven};
use tidegate::settings::RedisTopology;
use tidegate::store::{KeyedCharge, MemoryStore, RedisStore};
use tidegate::window::{Charge, Limit};
use tokio::task::JoinSet;

use super::{PATIENT, PLENTY, addresses, ask, client_on, on_cluster, passes, store, used};
use crate::harness::Cluster;

/// One client on each master.
async fn clients(cluster: &Cluster) -> [String; 3] {
    [client_on(cluster, 0).await, client_on(cluster, 1).await, client_on(cluster, 2).await]
}

/// Requests of some rules, each of one client with several limits; some rules are trials.
struct Requests {
    random: rand_mt::Mt,
    clients: [String; 3],
    windows: [i64; 3],
}

impl Requests {
    fn up_to(&mut self, most: u32) -> i64 {
        i64::from(self.random.next_u32() % (most + 1))
    }

    /// The charges of one request, at least one.
    fn next(&mut self) -> Vec<KeyedCharge> {
        let mut asks = Vec::new();
        while asks.is_empty() {
            for (place, client) in self.clients.clone().into_iter().enumerate() {
                let group = if self.up_to(3) == 0 { u32::try_from(place + 1).unwrap() } else { 0 };
                for window in self.windows {
                    if self.up_to(1) == 0 {
                        let limit = Limit::new(1 + self.up_to(12), self.up_to(6), window, 4).unwrap();
                        let charge = Charge { limit, cost: 1 + self.up_to(2), group };
                        asks.push(KeyedCharge { key: format!("{client}:{window}"), charge });
                    }
                }
            }
        }
        asks
    }
}

#[tokio::test]
async fn a_cluster_decides_as_memory_does() {
    let cluster = Cluster::start().await;
    let clock = Driven::default();
    let topology = RedisTopology::Cluster(addresses(&cluster.nodes));
    let shared = store(topology, PATIENT, Clock::Driven(clock.clone()));
    let memory = MemoryStore::new(100_000, Clock::Driven(clock.clone()));
    let random = rand_mt::Mt::new(20_270_214);
    let windows = [1_000, 60_000, 86_400_000];
    let mut requests = Requests { random, clients: clients(&cluster).await, windows };
    let (mut now, mut refused) = (1_700_000_000_000, 0);
    for _ in 0..1_500 {
        let window = windows[usize::try_from(requests.up_to(2)).unwrap()];
        now += match requests.up_to(9) {
            0 => window * (1 + requests.up_to(2)),
            1..=4 => 0,
            5 => -(window * requests.up_to(5)) / 2,
            _ => window * requests.up_to(100) / 800,
        };
        clock.set_ms(now);
        let asks = requests.next();
        let expected = memory.take(&asks);
        let answer: Vec<_> = shared.take(&asks).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answer, expected, "{asks:?}");
        let is_refusal = expected.iter().all(|decision| !decision.taken.charged);
        refused += usize::from(is_refusal && expected.iter().any(|decision| decision.taken.fits));
    }
    assert!(refused > 100, "only {refused} requests were refused by some limits and not by others");
    for master in &cluster.nodes[..3] {
        assert_eq!(master.counters().await.len(), 3, "each master has the counters of its client");
    }
}

/// Makes the charges of each of four clients from several tasks. Returns how many requests were admitted.
async fn all_at_once(store: &Arc<RedisStore>, asks: &[Vec<KeyedCharge>]) -> BTreeMap<usize, i64> {
    let mut tasks = JoinSet::new();
    for (client, asks) in asks.iter().enumerate().cycle().take(4 * asks.len()) {
        let (store, asks) = (Arc::clone(store), asks.clone());
        tasks.spawn(async move {
            let mut admitted = 0;
            for _ in 0..20 {
                admitted += i64::from(passes(&store, &asks).await);
            }
            (client, admitted)
        });
    }
    let mut admitted = BTreeMap::new();
    for (client, count) in tasks.join_all().await {
        *admitted.entry(client).or_default() += count;
    }
    admitted
}

#[tokio::test]
async fn at_the_same_time_what_tight_limits_refuse_is_given_back_to_a_shared_one() {
    let cluster = Cluster::start().await;
    let store = Arc::new(on_cluster(&cluster, PATIENT));
    let [a, b, everybody] = clients(&cluster).await;
    let total = ask(&format!("{everybody}:all"), PLENTY);
    let own = [ask(&format!("{a}:own"), 25), ask(&format!("{b}:own"), 30)];
    let asks = own.clone().map(|own| vec![total.clone(), own]);
    assert_eq!(all_at_once(&store, &asks).await, [(0, 25), (1, 30)].into());
    assert_eq!(
        used(&store, &total).await,
        55,
        "the limit of all has counted other requests than were let through"
    );
}

#[tokio::test]
async fn at_the_same_time_what_a_tight_shared_limit_refuses_is_given_back_to_the_others() {
    let cluster = Cluster::start().await;
    let store = Arc::new(on_cluster(&cluster, PATIENT));
    let [a, b, everybody] = clients(&cluster).await;
    let trial = |key: &str| {
        let mut ask = ask(key, PLENTY);
        ask.charge.group = 1;
        ask
    };
    let total = ask(&format!("{everybody}:tight"), 45);
    let own =
        [a, b].map(|client| [ask(&format!("{client}:loose"), PLENTY), trial(&format!("{client}:trial"))]);
    let asks = own.clone().map(|own| [&own[..], std::slice::from_ref(&total)].concat());
    let admitted = all_at_once(&store, &asks).await;
    assert_eq!(admitted.values().sum::<i64>(), 45, "{admitted:?}");
    for (client, asks) in own.iter().enumerate() {
        for ask in asks {
            assert_eq!(used(&store, ask).await, admitted[&client], "{} of {admitted:?}", ask.key);
        }
    }
}
