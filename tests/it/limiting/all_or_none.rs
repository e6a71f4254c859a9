//! A request with several counters is charged to all of them or to none, wherever they are.

use crate::harness::{Cluster, Redis, Tidegate, Upstream, client, eventually};

/// `total` has a counter of its own, in a cluster in another slot than those of keys.
const RULES: &str = "
rules:
  - { name: second, match: { path: /limits }, key: ['header:X-Api-Key'], rate: 1/h }
  - { name: values, match: { path: /values }, key: ['header:X-Api-Key'], rate: 1/h }
  - { name: sent, match: { path: '/p/{id}' }, key: ['header:X-Api-Key'], rate: 3/h }
  - { name: decoded, match: { path: /p/a/b }, key: [], rate: 1/h }
global:
  - { name: total, match: { path: /limits }, key: [], rate: 4/h }
";

struct Proxied {
    tidegate: Tidegate,
    _upstream: Upstream,
}

impl Proxied {
    async fn with(store: &str) -> Self {
        let upstream = Upstream::start().await;
        let config = format!("store: {{ {store} }}\n{RULES}");
        let tidegate = Tidegate::configured(upstream.address, &config).await;
        Self { tidegate, _upstream: upstream }
    }

    async fn status(&self, path: &str, keys: &[&str]) -> u16 {
        let request = client().get(self.tidegate.url(path));
        let request = keys.iter().fold(request, |request, key| request.header("X-Api-Key", *key));
        request.send().await.unwrap().status().as_u16()
    }

    async fn refuses(&self, path: &str, keys: &[&str]) {
        assert_eq!(self.status(path, keys).await, 429, "{path} {keys:?}");
    }

    /// In a cluster, what is given back may be missing for a moment.
    async fn admits(&self, path: &str, keys: &[&str]) {
        let admitted = async || (self.status(path, keys).await == 200).then_some(());
        eventually(&format!("{path} to be admitted for {keys:?}"), admitted).await;
    }

    /// What the second of two limits refuses leaves the first as it was.
    async fn check_limits(&self) {
        self.admits("/limits", &["a"]).await;
        for _ in 0..5 {
            self.refuses("/limits", &["a"]).await;
        }
        for key in ["b", "c", "d"] {
            self.admits("/limits", &[key]).await;
        }
        self.refuses("/limits", &["e"]).await;
    }

    /// What one of several keys refuses leaves the others as they were.
    async fn check_values(&self) {
        self.admits("/values", &["a"]).await;
        for keys in [&["a", "b"][..], &["b", "a"], &["b", "c", "d", "a"]] {
            self.refuses("/values", keys).await;
        }
        for key in ["b", "c"] {
            self.admits("/values", &[key]).await;
        }
        self.admits("/values", &["d", "e"]).await;
        for key in ["d", "e"] {
            self.refuses("/values", &[key]).await;
        }
    }

    /// What the rule of one reading refuses leaves that of the other as it was.
    async fn check_readings(&self) {
        self.admits("/p/a%2Fb", &["a"]).await;
        for _ in 0..4 {
            self.refuses("/p/a%2Fb", &["a"]).await;
        }
        for _ in 0..2 {
            self.admits("/p/other", &["a"]).await;
        }
        self.refuses("/p/other", &["a"]).await;
        self.refuses("/p/a/b", &["b"]).await;
    }

    async fn check_all(&self) {
        self.check_limits().await;
        self.check_values().await;
        self.check_readings().await;
    }
}

#[tokio::test]
async fn a_refused_request_charges_nothing_in_memory() {
    Proxied::with("memory: {}").await.check_all().await;
}

#[tokio::test]
async fn a_refused_request_charges_nothing_in_redis() {
    let redis = Redis::start().await;
    Proxied::with(&format!("redis: {{ url: '{}', timeout: 10s }}", redis.url())).await.check_all().await;
}

#[tokio::test]
async fn a_refused_request_charges_nothing_in_a_cluster() {
    let cluster = Cluster::start().await;
    let urls = cluster.urls().join(", ");
    let proxied = Proxied::with(&format!("redis: {{ cluster: [{urls}], timeout: 10s }}")).await;
    proxied.check_all().await;
}
