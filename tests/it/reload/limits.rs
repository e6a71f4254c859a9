//! A limit that changes under load: from 30 an hour to 300 to 3,000 and back, and the slices with it. Nobody gets a second
//! helping, and nobody is refused for more than what is counted. (Nothing expires within an hour.)

use std::collections::BTreeMap;

use super::{configured, read};
use crate::harness::{Redis, Tidegate, Upstream, client, flood};

const STAGES: [(&str, usize); 6] = [
    ("300/h", 300),
    ("3000/h", 3_000),
    ("300/h, slices: 64", 300),
    ("3000/h, burst: 5, slices: 1", 3_005),
    ("3000/h, slices: auto", 3_000),
    ("30/h", 30),
];

/// tidegate with a limit per client.
struct Limited {
    _upstream: Upstream,
    tidegate: Tidegate,
    store: String,
}

impl Limited {
    async fn to(rate: &str, store: &str) -> Self {
        let (_upstream, tidegate) = configured(&config(rate, store)).await;
        Self { _upstream, tidegate, store: store.to_owned() }
    }

    /// How many of a client's requests are admitted.
    async fn admitted(&self, of: &str, offered: usize) -> usize {
        let http = client();
        let statuses: BTreeMap<u16, usize> =
            flood(offered, |_| http.get(self.tidegate.url("/x")).header("X-Client", of)).await;
        let [admitted, refused] = [200, 429].map(|status| statuses.get(&status).copied().unwrap_or_default());
        assert_eq!(admitted + refused, offered, "{statuses:?}");
        admitted
    }

    async fn changes(&self, rate: &str, stage: usize) {
        self.tidegate.rewrite(&config(rate, &self.store));
        read(&self.tidegate, stage as f64 + 2.0).await;
    }
}

fn config(rate: &str, store: &str) -> String {
    format!("store: {store}\nrules: [{{ name: x, key: ['header:X-Client'], rate: {rate} }}]\n")
}

/// A greedy client sends more than its limit all the time; a modest one is at 20, and never sends more than it has left.
async fn holds_through_each_change(store: &str) {
    let limited = Limited::to("30/h", store).await;
    let mut greedy = limited.admitted("greedy", 60).await;
    assert_eq!(greedy, 30);
    let mut modest = limited.admitted("modest", 20).await;
    for (stage, (rate, quota)) in STAGES.into_iter().enumerate() {
        let most = greedy.max(quota);
        let (during, ()) = tokio::join!(limited.admitted("greedy", 100), limited.changes(rate, stage));
        greedy += during;
        assert!(greedy <= most, "{greedy} admitted while the limit became {rate}");
        greedy += limited.admitted("greedy", most - greedy + 50).await;
        assert_eq!(greedy, most, "{rate}");
        modest += limited.admitted("modest", 1).await;
    }
    assert_eq!(modest, 20 + STAGES.len(), "a request of a client within each of the limits was refused");
    assert_eq!(limited.admitted("modest", 30).await, 30 - modest);
}

#[tokio::test]
async fn counts_in_memory_outlive_each_change_of_the_limit() {
    holds_through_each_change("{ memory: {} }").await;
}

#[tokio::test]
async fn counts_in_redis_outlive_each_change_of_the_limit() {
    let redis = Redis::start().await;
    holds_through_each_change(&format!("{{ redis: {{ url: '{}', timeout: 10s }} }}", redis.url())).await;
}
