//! Single clients, by the API: shown, reset, limited and blocked on every instance.

use http::StatusCode;
use serde_json::{Value, json};

use super::{get, open_instance, responded};
use crate::harness::{Redis, Tidegate, Upstream, client, eventually};

/// Two instances that share a Redis.
struct Fleet {
    _redis: Redis,
    _upstream: Upstream,
    instances: [Tidegate; 2],
}

async fn fleet() -> Fleet {
    let (redis, upstream) = (Redis::start().await, Upstream::start().await);
    let config = format!(
        "
store: {{ redis: {{ url: '{}', timeout: 3s }} }}
rules:
  - {{ name: peer, match: {{ path: /peer }}, rate: 3/h }}
  - {{ name: key, match: {{ path: /key }}, key: ['header:X-Api-Key'], rate: 3/h }}
",
        redis.url()
    );
    let instances = [
        Tidegate::configured(upstream.address, &config).await,
        Tidegate::configured(upstream.address, &config).await,
    ];
    Fleet { _redis: redis, _upstream: upstream, instances }
}

/// A client of a rule, as requests and as the API name it.
#[derive(Clone, Copy)]
enum Named {
    Address,
    ApiKey,
}

const SECRET: &str = "hunter2-is-a-secret";

impl Named {
    async fn status(self, tidegate: &Tidegate) -> u16 {
        let path = if let Self::Address = self { "/peer" } else { "/key" };
        let request = client().get(tidegate.url(path)).header("X-Api-Key", SECRET);
        request.send().await.unwrap().status().as_u16()
    }

    /// The path of the client in the API.
    async fn path(self, tidegate: &Tidegate) -> String {
        let (rule, value) = if let Self::Address = self { ("peer", "127.0.0.1") } else { ("key", SECRET) };
        let url = tidegate.admin_url(&format!("/v1/rules/{rule}/client-id"));
        let (_, body) = responded(client().post(url).json(&json!({ "key": [value] }))).await;
        format!("/v1/rules/{rule}/clients/{}", body["id"].as_str().unwrap())
    }

    /// Sends requests to an instance until it refuses one, and then one to each other.
    async fn uses_up(self, fleet: &Fleet) {
        let [first, second] = &fleet.instances;
        assert_eq!(self.status(first).await, 200);
        eventually("a refusal", async || (self.status(first).await == 429).then_some(())).await;
        assert_eq!(self.status(second).await, 429);
    }

    async fn comes_to(self, fleet: &Fleet, status: u16) {
        for tidegate in &fleet.instances {
            eventually("the status", async || (self.status(tidegate).await == status).then_some(())).await;
        }
    }
}

async fn change(request: reqwest::RequestBuilder) {
    let status = request.send().await.unwrap().status();
    assert!(status == StatusCode::OK || status == StatusCode::NO_CONTENT, "{status}");
}

async fn is_shown_and_reset(named: Named) {
    let fleet = fleet().await;
    let [first, second] = &fleet.instances;
    named.uses_up(&fleet).await;
    let path = named.path(second).await;
    let shown = get(second, &path).await.1;
    let limit = &shown["limits"][0];
    assert_eq!((&limit["used"], &limit["remaining"], &limit["rate"]), (&json!(3), &json!(0), &json!("3/h")));
    assert!(limit["retry_after_ms"].as_i64().unwrap() > 0, "{shown}");
    assert!(!shown.to_string().contains(SECRET), "{shown}");
    change(client().delete(second.admin_url(&path))).await;
    assert_eq!(named.status(second).await, 200, "the instance that reset it admits it at once");
    eventually("the other one", async || (named.status(first).await == 200).then_some(())).await;
    let line = eventually("the line", async || first.logged("client reset").pop()).await;
    assert_eq!(line["author"], "anonymous");
    assert!(
        fleet.instances.iter().all(|it| it.logged("").iter().all(|line| !line.to_string().contains(SECRET)))
    );
}

#[tokio::test]
async fn a_limited_client_is_shown_and_reset_by_its_address() {
    is_shown_and_reset(Named::Address).await;
}

#[tokio::test]
async fn a_limited_client_is_shown_and_reset_by_its_api_key() {
    is_shown_and_reset(Named::ApiKey).await;
}

async fn is_blocked_then_unlimited(named: Named) {
    let fleet = fleet().await;
    let [first, second] = &fleet.instances;
    let path = named.path(first).await + "/override";
    let put = |body: Value| client().put(first.admin_url(&path)).json(&body);
    change(put(json!({ "blocked": true, "reason": "abuse" }))).await;
    named.comes_to(&fleet, 403).await;
    change(put(json!({ "unlimited": true }))).await;
    named.comes_to(&fleet, 200).await;
    for _ in 0..5 {
        assert_eq!((named.status(first).await, named.status(second).await), (200, 200));
    }
    change(client().delete(second.admin_url(&path))).await;
    named.comes_to(&fleet, 429).await;
}

#[tokio::test]
async fn a_client_is_blocked_then_unlimited_by_its_address() {
    is_blocked_then_unlimited(Named::Address).await;
}

#[tokio::test]
async fn a_client_is_blocked_then_unlimited_by_its_api_key() {
    is_blocked_then_unlimited(Named::ApiKey).await;
}

#[tokio::test]
async fn a_client_gets_a_rate_of_its_own() {
    let (_upstream, tidegate) = open_instance().await;
    let path = "/v1/rules/tasks/clients/127.0.0.1";
    change(
        client()
            .put(tidegate.admin_url(&format!("{path}/override")))
            .json(&json!({ "rate": "1/h", "burst": 0 })),
    )
    .await;
    let status = async || client().get(tidegate.url("/tasks")).send().await.unwrap().status().as_u16();
    assert_eq!((status().await, status().await), (200, 429));
    let shown = get(&tidegate, path).await.1;
    assert_eq!((&shown["mode"], &shown["limits"][0]["rate"]), (&json!("enforce"), &json!("1/h")));
    assert_eq!(
        (&shown["override"]["client"], &shown["override"]["rate"]),
        (&json!("127.0.0.1"), &json!("1/h"))
    );
}

#[tokio::test]
async fn what_a_client_cannot_have_is_refused_with_the_reason() {
    let (_upstream, tidegate) = open_instance().await;
    for (id, body, part) in [
        ("a", json!({}), "needs one of"),
        ("a", json!({ "unlimited": true, "blocked": true }), "needs one of"),
        ("a", json!({ "burst": 3 }), "needs one of"),
        ("a", json!({ "unlimited": true, "burst": 3 }), "needs one of"),
        ("a", json!({ "mode": "off" }), "mode"),
        ("a%7Db", json!({ "blocked": true }), "not the id of a client"),
        ("a", json!({ "rate": "1/0s" }), "window"),
    ] {
        let url = tidegate.admin_url(&format!("/v1/rules/tasks/clients/{id}/override"));
        let (status, problem) = responded(client().put(url).json(&body)).await;
        assert_eq!(status, 422, "{body} {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{part}: {problem}");
    }
    assert_eq!(get(&tidegate, "/v1/rules/none/clients/a").await.0, 404);
    assert_eq!(get(&tidegate, "/v1/rules/tasks/clients/a/override").await.0, 404);
    let reset = client().delete(tidegate.admin_url("/v1/rules/none/clients/a"));
    assert_eq!(responded(reset).await.0, 404);
}
