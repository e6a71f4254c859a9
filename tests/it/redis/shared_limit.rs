//! One limit for everybody beside one for each client, in different slots of a cluster: who is over the own limit
//! costs the others nothing of theirs.

mod remembered;

use futures_util::future::join_all;
use tidegate::store::{KeyedCharge, RedisStore};

use super::{PATIENT, ask, on_cluster, used};
use crate::harness::{Cluster, Tidegate, Upstream, Wire, client, eventually};

/// So many requests an hour for everybody, and for each client.
const ALL: i64 = 50;
const EACH: usize = 10;
/// Requests under way at once: many times what the limit of all has room for.
const AT_ONCE: usize = 300;

/// A client that is not greedy.
const SOMEBODY: &str = "198.51.100.7";

/// tidegate on a cluster, and the counter of all.
struct Shared {
    cluster: Cluster,
    _upstream: Upstream,
    tidegate: Tidegate,
    store: RedisStore,
    all: KeyedCharge,
    /// A client whose own counter is on another master than that of all.
    greedy: String,
    /// The master of that.
    elsewhere: usize,
}

impl Shared {
    async fn start() -> Self {
        let (cluster, upstream) = (Cluster::start().await, Upstream::start().await);
        let urls = cluster.urls().join("', '").replace("/0", "");
        let config = format!(
            "store: {{ redis: {{ cluster: ['{urls}'], key_prefix: tg, timeout: 10s }} }}
client: {{ trusted_proxies: [127.0.0.1] }}
rules: [{{ name: each, key: [client_ip], rate: {EACH}/h }}]
global: [{{ name: all, rate: {ALL}/h }}]"
        );
        let tidegate = Tidegate::configured(upstream.address, &config).await;
        let store = on_cluster(&cluster, PATIENT);
        let all = ask("{*}:all:3600000:4", ALL);
        let elsewhere = (cluster.owner(cluster.slot_of(&all.key).await).await + 1) % 3;
        let key = cluster.key_on(elsewhere, |count| format!("{{203.0.113.{count}}}:each")).await;
        let greedy = key.split(['{', '}']).nth(1).unwrap().to_owned();
        Self { cluster, _upstream: upstream, tidegate, store, all, greedy, elsewhere }
    }

    async fn status(&self, of: &str) -> u16 {
        client()
            .get(self.tidegate.url("/"))
            .header("X-Forwarded-For", of)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    }

    /// Connections on which a request of the greedy client has been sent.
    async fn requests(&self, count: usize) -> Vec<Wire> {
        let mut wires = join_all((0..count).map(|_| Wire::to(self.tidegate.address))).await;
        let request = format!("GET / HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: {}\r\n\r\n", self.greedy);
        join_all(wires.iter_mut().map(|wire| wire.send(&request))).await;
        wires
    }

    /// Sends all at once. Returns how many were admitted.
    async fn burst(&self) -> usize {
        let mut wires = self.requests(AT_ONCE).await;
        let replies = join_all(wires.iter_mut().map(Wire::reply)).await;
        assert!(replies.iter().all(|reply| [200, 429].contains(&reply.status)), "{replies:?}");
        replies.iter().filter(|reply| reply.status == 200).count()
    }

    /// Others are let in, if not at once, then later. (How soon: see `remembered`.)
    async fn lets_in_somebody(&self) {
        let let_in = async || (self.status(SOMEBODY).await == 200).then_some(());
        eventually("others to be let in", let_in).await;
    }

    /// Returns how many requests Redis decided about.
    async fn asked(&self) -> usize {
        let asked = self.tidegate.metric("tidegate_decisions_total{origin=\"store\"}").await.unwrap();
        asked.to_string().parse().unwrap()
    }

    /// Waits until the counter of all has counted this and no more.
    async fn counts(&self, admitted: usize) {
        let mut last = -1;
        let admitted = i64::try_from(admitted).unwrap();
        let counted = async || {
            last = used(&self.store, &self.all).await;
            (last == admitted).then_some(())
        };
        eventually(&format!("{admitted} to be counted"), counted).await;
    }
}

#[tokio::test]
async fn a_client_far_over_its_own_limit_shuts_nobody_out() {
    let shared = Shared::start().await;
    let admitted = shared.burst().await;
    assert!((1..=EACH).contains(&admitted), "{admitted}");
    shared.lets_in_somebody().await;
    shared.counts(admitted + 1).await;
}

#[tokio::test]
async fn a_client_that_will_not_stop_shuts_nobody_out() {
    let shared = Shared::start().await;
    let mut admitted = shared.burst().await;
    // Until what is remembered of the first burst is forgotten, and Redis decides about a whole burst again.
    let first = shared.asked().await;
    while shared.asked().await < first + AT_ONCE * 9 / 10 {
        admitted += shared.burst().await;
    }
    assert!((1..=EACH).contains(&admitted), "{admitted}");
    shared.lets_in_somebody().await;
    shared.counts(admitted + 1).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_before_it_is_refused_leaves_nothing_behind() {
    let shared = Shared::start().await;
    for _ in 0..EACH {
        assert_eq!(shared.status(&shared.greedy).await, 200);
    }
    shared.counts(EACH).await;
    // The own limit's refusal is late, so that the client is gone when it comes.
    let own = &shared.cluster.nodes[shared.elsewhere];
    let _: String = own.command(&["CLIENT", "PAUSE", "600000", "WRITE"]).await;
    let wires = shared.requests(20).await;
    shared.counts(EACH + 20).await;
    drop(wires);
    let gone = async || (shared.tidegate.metric("tidegate_connections").await? <= 1.0).then_some(());
    eventually("tidegate to notice", gone).await;
    let _: String = own.command(&["CLIENT", "UNPAUSE"]).await;
    shared.counts(EACH).await;
    assert_eq!(shared.status(SOMEBODY).await, 200);
}
