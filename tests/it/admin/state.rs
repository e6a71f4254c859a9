//! What the API shows: the instance, and its rules.

use serde_json::{Value, json};

use super::{get, open_instance, responded};
use crate::harness::{Redis, Tidegate, Upstream, client};

#[tokio::test]
async fn the_status_names_the_build_and_the_configuration() {
    let (_upstream, tidegate) = open_instance().await;
    let (status, body) = get(&tidegate, "/v1/status").await;
    assert_eq!(status, 200);
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
    assert!(body["target"].as_str().unwrap().contains('-'), "{body}");
    assert!(body["uptime_seconds"].as_f64().unwrap() > 0.0, "{body}");
    assert_eq!(body["rules"], 4);
    assert_eq!(body["store"], json!({ "kind": "memory", "state": "up" }));
    let file = tidegate.directory().join("tidegate.yaml");
    let configuration = &body["configuration"];
    assert!(configuration["file"].as_str().unwrap().ends_with("tidegate.yaml"), "{body}");
    let hash = blake3::hash(&std::fs::read(file).unwrap()).to_hex();
    assert_eq!(configuration["hash"], hash.as_str());
    assert_eq!(configuration.get("last_reload"), None);
}

#[tokio::test]
async fn without_a_file_the_status_names_none() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/*=1/h"]).await;
    let body = get(&tidegate, "/v1/status").await.1;
    assert_eq!((body["configuration"].get("file"), body["configuration"].get("hash")), (None, None));
}

#[tokio::test]
async fn the_status_has_each_server_of_the_store() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let store = format!("--redis={}", redis.url());
    let tidegate = Tidegate::start(upstream.address, &["--limit=/*=1/h", &store]).await;
    let store = get(&tidegate, "/v1/status").await.1["store"].take();
    assert_eq!(store["kind"], "redis");
    assert_eq!(store["servers"][0]["server"], json!(format!("127.0.0.1:{}", redis.port())));
    let ops: Value = client().get(tidegate.ops_url("/status")).send().await.unwrap().json().await.unwrap();
    assert_eq!(ops["store"]["servers"][0]["server"], store["servers"][0]["server"]);
}

#[tokio::test]
async fn the_rules_are_listed_in_their_order() {
    let (_upstream, tidegate) = open_instance().await;
    let body = get(&tidegate, "/v1/rules").await.1;
    let rules = body["rules"].as_array().unwrap();
    let names: Vec<(&str, &str)> =
        rules.iter().map(|rule| (rule["name"].as_str().unwrap(), rule["kind"].as_str().unwrap())).collect();
    let endpoint = |name| (name, "endpoint");
    assert_eq!(names, [endpoint("tasks"), endpoint("keyed"), endpoint("trial"), ("all", "global")]);
    for rule in rules {
        let path = format!("/v1/rules/{}", rule["name"].as_str().unwrap());
        assert_eq!(get(&tidegate, &path).await, (200, rule.clone()));
    }
}

#[tokio::test]
async fn a_rule_is_shown_as_it_is_configured() {
    let (_upstream, tidegate) = open_instance().await;
    let trial = get(&tidegate, "/v1/rules/trial").await.1;
    assert_eq!((&trial["on_outage"], &trial["key"]), (&json!("open"), &json!(["client_ip"])));
    assert_eq!(trial["configured"], trial["effective"]);
    assert_eq!(trial["configured"]["mode"], "shadow");
    let rates: Vec<&str> = trial["configured"]["limits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|limit| limit["rate"].as_str().unwrap())
        .collect();
    assert_eq!(rates, ["5/min", "100/day"]);
    let tasks = get(&tidegate, "/v1/rules/tasks").await.1;
    let limit = &tasks["configured"]["limits"][0];
    assert_eq!(
        (&limit["quota"], &limit["burst"], &limit["window_ms"]),
        (&json!(3), &json!(2), &json!(3_600_000))
    );
    assert_eq!(limit["name"], "tasks");
    assert_eq!(tasks["trial"]["rate"], "2/h");
    assert_eq!(
        (&tasks["tiers"][0]["name"], &tasks["tiers"][0]["limits"][0]["rate"]),
        (&json!("internal"), &json!("9/h"))
    );
}

#[tokio::test]
async fn a_rule_that_is_not_there_gets_404() {
    let (_upstream, tidegate) = open_instance().await;
    assert_eq!(get(&tidegate, "/v1/rules/none").await.0, 404);
    let request = client().post(tidegate.admin_url("/v1/rules/none/client-id")).json(&json!({ "key": [] }));
    assert_eq!(responded(request).await.0, 404);
}

async fn client_id(tidegate: &Tidegate, rule: &str, key: Value) -> (u16, Value) {
    let url = tidegate.admin_url(&format!("/v1/rules/{rule}/client-id"));
    responded(client().post(url).json(&json!({ "key": key }))).await
}

#[tokio::test]
async fn values_in_clear_become_an_id_without_them() {
    let (_upstream, tidegate) = open_instance().await;
    assert_eq!(client_id(&tidegate, "tasks", json!(["203.0.113.9"])).await.1["id"], "203.0.113.9");
    assert_eq!(client_id(&tidegate, "tasks", json!(["2001:db8::1"])).await.1["id"], "2001:db8::/64");
    assert_eq!(client_id(&tidegate, "all", json!([])).await.1["id"], "*");
    let (status, body) = client_id(&tidegate, "keyed", json!(["203.0.113.9", "hunter2"])).await;
    let id = body["id"].as_str().unwrap();
    assert_eq!(status, 200);
    assert!(id.starts_with("203.0.113.9,~") && !id.contains("hunter2"), "{id}");
}

#[tokio::test]
async fn the_id_is_the_one_in_the_keys_of_redis() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let config = format!(
        "store: {{ redis: {{ url: '{}', timeout: 5s }} }}\nrules: [{{ name: x, key: ['header:X-Api-Key'], rate: 9/h }}]",
        redis.url()
    );
    let tidegate = Tidegate::configured(upstream.address, &config).await;
    client().get(tidegate.url("/")).header("X-Api-Key", "hunter2").send().await.unwrap();
    let id = client_id(&tidegate, "x", json!(["hunter2"])).await.1["id"].as_str().unwrap().to_owned();
    let keys = async || {
        let keys: Vec<String> = redis.command(&["KEYS", "*"]).await;
        keys.iter().any(|key| key.contains(&id)).then_some(())
    };
    crate::harness::eventually("the counter of the id", keys).await;
}

#[tokio::test]
async fn values_that_do_not_fit_the_key_are_refused_without_being_repeated() {
    let (_upstream, tidegate) = open_instance().await;
    for (rule, key) in [
        ("tasks", json!([])),
        ("tasks", json!(["hunter2"])),
        ("tasks", json!(["1.2.3.4", "hunter2"])),
        ("keyed", json!(["1.2.3.4", null])),
        ("keyed", json!(["1.2.3.4", " "])),
        ("all", json!(["hunter2"])),
    ] {
        let (status, problem) = client_id(&tidegate, rule, key).await;
        assert_eq!(status, 422, "{problem}");
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
    }
}

#[tokio::test]
async fn instances_that_share_a_redis_know_each_other() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let config = |rate: &str| {
        let store = format!("store: {{ redis: {{ url: '{}', timeout: 5s }} }}", redis.url());
        format!("{store}\nrules: [{{ name: x, rate: {rate} }}]")
    };
    let fleet = [
        Tidegate::configured(upstream.address, &config("1/s")).await,
        Tidegate::configured(upstream.address, &config("2/s")).await,
    ];
    let hash =
        async |tidegate: &Tidegate| get(tidegate, "/v1/status").await.1["configuration"]["hash"].take();
    let hashes = [hash(&fleet[0]).await, hash(&fleet[1]).await];
    let url = fleet[0].admin_url("/v1/override");
    let set = client().put(url).json(&json!({ "mode": "shadow" }));
    let version = responded(set).await.1["version"].take();
    for (tidegate, own, other) in [(&fleet[0], 0, 1), (&fleet[1], 1, 0)] {
        crate::harness::eventually("the other instance", async || {
            let body = get(tidegate, "/v1/instances").await.1;
            let shown = body["instances"].as_array().unwrap();
            let known: Vec<_> =
                shown.iter().map(|it| (&it["own"], &it["config_hash"], &it["overrides"])).collect();
            let expected =
                [(&json!(true), &hashes[own], &version), (&json!(false), &hashes[other], &version)];
            (known == expected && body["alive"] == 2).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn the_own_instance_is_among_the_instances() {
    let (_upstream, tidegate) = open_instance().await;
    let body = get(&tidegate, "/v1/instances").await.1;
    assert_eq!((&body["alive"], body["instances"].as_array().unwrap().len()), (&json!(1), 1));
    let own = &body["instances"][0];
    assert_eq!((&own["version"], &own["store"]), (&json!(env!("CARGO_PKG_VERSION")), &json!("up")));
    assert!(!own["name"].as_str().unwrap().is_empty());
    assert_eq!(own["config_hash"], get(&tidegate, "/v1/status").await.1["configuration"]["hash"]);
}
