//! How many requests Redis has counted in all: the rule's second limit, which nobody reaches and which forgets nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, Method};
use tidegate::clock::Clock;
use tidegate::policy::Facts;
use tidegate::policy::key::{HashKey, KeyPart, KeySpec, OnMissing, Resolved};
use tidegate::policy::template::Template;
use tidegate::store::{Ask, RedisStore};
use tidegate::window::{Charge, Limit};

use super::Fleet;
use super::log::Log;

/// As the configuration has it.
pub const RATE: &str = "1000000/h";
const QUOTA: i64 = 1_000_000;
const HOUR_MS: i64 = 3_600_000;

/// For each client, how many requests Redis has counted, and how many were let through.
pub struct Tally(Vec<(String, usize, usize)>);

impl Fleet {
    /// The counts that Redis has at the end of the traffic.
    pub async fn tally(&self, log: &Log) -> Tally {
        let store = self.redis.store("tidegate", Clock::Real);
        let mut tally = Vec::new();
        for (number, client) in log.clients.iter().enumerate() {
            let counted = counted_of(&store, &client.name).await;
            tally.push((client.name.clone(), counted, log.admitted(number, &log.whole())));
        }
        Tally(tally)
    }
}

impl Tally {
    /// # Panics
    /// When more was counted of a client than was let through.
    pub fn counts_nothing_twice(&self) {
        let wrong: Vec<_> = self.0.iter().filter(|(_, counted, admitted)| counted > admitted).collect();
        assert!(wrong.is_empty(), "counted, and let through: {wrong:?}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut counted, mut admitted) = (0, 0);
        for (_, each_counted, each_admitted) in &self.0 {
            counted += each_counted;
            admitted += each_admitted;
        }
        write!(f, "{counted} of {admitted} requests that were let through are counted")
    }
}

async fn counted_of(store: &RedisStore, client: &str) -> usize {
    let limit = Limit::new(QUOTA, 0, HOUR_MS, Limit::DEFAULT_SLICES).unwrap();
    let key = format!("{{{}}}:each:{HOUR_MS}:{}", shared_by(client), limit.slices());
    // To ask for too much changes nothing.
    let ask = Ask { key, charge: Charge { limit, cost: QUOTA + 1, group: Charge::BINDING } };
    let decision = store.take(&[ask]).await.remove(0).unwrap();
    usize::try_from(decision.counter.used(&limit, decision.now_ms)).unwrap()
}

/// What stands for a client in the names of its counters.
fn shared_by(client: &str) -> String {
    let name = HeaderName::from_static("x-client");
    let headers: HeaderMap = [(name.clone(), client.parse().unwrap())].into_iter().collect();
    let anybody = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let facts = Facts {
        method: &Method::GET,
        host: "",
        path: "/",
        query: "",
        headers: &headers,
        websocket: false,
        peer: anybody,
        direct: true,
        client: anybody,
        names: &[],
    };
    let key = KeySpec { parts: vec![KeyPart::Header(name)], on_missing: OnMissing::Skip };
    match key.resolve(&facts, &Template::any(), 64, &HashKey::default()) {
        Resolved::Client(client) => client,
        other => panic!("{other:?}"),
    }
}
