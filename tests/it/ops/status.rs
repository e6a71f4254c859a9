//! What `/status` says, and the figures that go with it.

use serde_json::{Value, json};

use crate::harness::{Redis, Tidegate, Upstream, client, eventually};

const OUTAGES: &str = "tidegate_store_outages_total";
const SETTLED: &str = "tidegate_settled_units_total";

/// A rule of that many an hour and client that goes on without Redis.
fn config(redis: &Redis) -> String {
    format!(
        "store: {{ redis: {{ url: '{}', timeout: 5s }}, on_outage: local }}
rules: [{{ name: each, key: ['header:X-Client'], rate: 10/h }}]",
        redis.url()
    )
}

async fn status(tidegate: &Tidegate) -> Value {
    let answer = client().get(tidegate.ops_url("/status")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    answer.json().await.unwrap()
}

/// Waits until the store is up or down, and all that was admitted without it is added there, or not yet. What
/// `/status` says of it then.
async fn store_is(tidegate: &Tidegate, state: &str, settled: bool) -> Value {
    eventually(&format!("the store to be {state}, settled: {settled}"), async || {
        let store = status(tidegate).await["store"].take();
        (store["state"] == state && store["settled"] == settled).then_some(store)
    })
    .await
}

async fn decided(tidegate: &Tidegate, origin: &str) -> Option<f64> {
    tidegate.metric(&format!("tidegate_decisions_total{{origin=\"{origin}\"}}")).await
}

/// How many of a client's requests pass, of ten that it sends one after the other.
async fn admitted(tidegate: &Tidegate, of: &str) -> usize {
    let (http, mut admitted) = (client(), 0);
    for _ in 0..10 {
        let answer = http.get(tidegate.url("/")).header("X-Client", of).send().await.unwrap();
        assert!([200, 429].contains(&answer.status().as_u16()), "{answer:?}");
        admitted += usize::from(answer.status() == 200);
    }
    admitted
}

/// The states that the servers went through, oldest first.
fn changes(store: &Value) -> Vec<&str> {
    let changes = store["changes"].as_array().unwrap();
    changes.iter().map(|change| change["state"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn status_reports_each_change_of_the_store() {
    let (upstream, mut redis) = (Upstream::start().await, Redis::start().await);
    let tidegate = Tidegate::configured(upstream.address, &config(&redis)).await;
    let server = format!("127.0.0.1:{}", redis.port());
    let store = store_is(&tidegate, "up", true).await;
    assert_eq!((&store["kind"], &store["changes"]), (&json!("redis"), &json!([])));
    assert_eq!(store["servers"].as_array().unwrap().len(), 1);
    let known = |store: &Value| store["servers"][0].clone();
    assert_eq!((&known(&store)["server"], &known(&store)["error"]), (&json!(server), &Value::Null));

    for outages in 1..=2 {
        redis.kill().await;
        let store = store_is(&tidegate, "down", true).await;
        let down = known(&store);
        assert_eq!((&down["server"], &down["state"]), (&json!(server), &json!("down")));
        let reason = down["error"].as_str().unwrap();
        assert!(reason.contains("refused") || reason.contains("connection"), "{reason}");
        assert_eq!(changes(&store), ["down", "up"].repeat(outages)[..2 * outages - 1]);
        let last = store["changes"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["server"], &last["at"]), (&json!(server), &down["since"]));
        assert!(last["error"].is_string(), "{last}");

        assert_eq!(admitted(&tidegate, &format!("client {outages}")).await, 10);
        store_is(&tidegate, "down", false).await;
        redis.restart().await;
        let store = store_is(&tidegate, "up", true).await;
        assert_eq!(changes(&store), ["down", "up"].repeat(outages));
        let up = known(&store);
        assert_eq!((&up["state"], &up["error"]), (&json!("up"), &Value::Null));
        assert!(up["since"].as_f64() > down["since"].as_f64());
    }
}

#[tokio::test]
async fn counters_in_memory_are_always_there() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/*=1/h"]).await;
    let status = status(&tidegate).await;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["store"], json!({ "kind": "memory", "state": "up" }));
    assert_eq!(tidegate.metric("tidegate_store_up").await, Some(1.0));
}

#[tokio::test]
async fn status_is_asked_for_like_the_other_paths() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/*=1/h"]).await;
    let url = tidegate.ops_url("/status");
    let head = client().head(&url).send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    assert_eq!(head.text().await.unwrap(), "");
    let post = client().post(&url).body("x").send().await.unwrap();
    assert_eq!((post.status().as_u16(), &post.headers()["allow"]), (405, &"GET, HEAD".parse().unwrap()));
    assert_eq!(client().get(tidegate.url("/status")).send().await.unwrap().status(), 200);
    assert_eq!(upstream.last().target, "/status", "on the proxy's own listener it is the application's");
}

#[tokio::test]
async fn the_figures_of_an_outage_are_exact() {
    let (upstream, mut redis) = (Upstream::start().await, Redis::start().await);
    let config = config(&redis);
    let one = Tidegate::configured(upstream.address, &config).await;
    let other = Tidegate::configured(upstream.address, &config).await;
    for instance in [&one, &other] {
        let two = async || (instance.metric("tidegate_instances").await == Some(2.0)).then_some(());
        eventually("both to know of each other", two).await;
        assert_eq!(instance.metric("tidegate_store_up").await, Some(1.0));
    }
    assert_eq!(admitted(&one, "regular").await, 10);
    redis.kill().await;
    for instance in [&one, &other] {
        store_is(instance, "down", true).await;
        assert_eq!(instance.metric("tidegate_store_up").await, Some(0.0));
    }
    // Refused, and so nothing to add; a half of the limit; and what nobody else has seen.
    assert_eq!(admitted(&other, "new").await, 5);
    assert_eq!(admitted(&one, "new").await, 5);
    assert_eq!(decided(&one, "local").await, Some(10.0));
    assert_eq!(decided(&other, "local").await, Some(10.0));
    redis.restart().await;
    for instance in [&one, &other] {
        store_is(instance, "up", true).await;
    }
    for instance in [&one, &other] {
        assert_eq!(instance.metric("tidegate_store_up").await, Some(1.0));
        assert_eq!(instance.metric(OUTAGES).await, Some(1.0));
        assert_eq!(instance.metric(SETTLED).await, Some(5.0));
        assert_eq!(instance.metric("tidegate_instances").await, Some(2.0));
        for of in ["new", "regular"] {
            assert_eq!(admitted(instance, of).await, 0, "{of}");
        }
        assert_eq!(decided(instance, "local").await, Some(10.0));
    }
}

#[tokio::test]
async fn the_first_outage_is_an_increase_from_zero() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let tidegate = Tidegate::configured(upstream.address, &config(&redis)).await;
    store_is(&tidegate, "up", true).await;
    for series in [OUTAGES, SETTLED] {
        assert_eq!(tidegate.metric(series).await, Some(0.0), "{series}: an alert would miss the first one");
    }
}
