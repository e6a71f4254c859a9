//! Overrides of rules, by the API.

use serde_json::{Value, json};

use super::{READ, WRITE, get, guarded_instance, open_instance, responded};
use crate::harness::{Redis, Tidegate, Upstream, client, eventually};

/// The response to a request that changes something: status, ETag and body.
async fn sent(request: reqwest::RequestBuilder) -> (u16, Option<String>, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
    let body = response.bytes().await.unwrap();
    (status, tag, serde_json::from_slice(&body).unwrap_or_default())
}

async fn put(tidegate: &Tidegate, path: &str, body: &Value) -> (u16, Option<String>, Value) {
    sent(client().put(tidegate.admin_url(path)).json(body)).await
}

async fn delete(tidegate: &Tidegate, path: &str) -> u16 {
    sent(client().delete(tidegate.admin_url(path))).await.0
}

const TASKS: &str = "/v1/rules/tasks/override";

async fn status(tidegate: &Tidegate, path: &str) -> u16 {
    client().get(tidegate.url(path)).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_rule_gets_another_rate_and_keeps_its_counts() {
    let (_upstream, tidegate) = open_instance().await;
    for expected in [200, 200, 200, 200, 200, 429] {
        assert_eq!(status(&tidegate, "/tasks").await, expected);
    }
    let (code, _, set) =
        put(&tidegate, TASKS, &json!({ "rate": "6/h", "burst": 2, "reason": "a sale" })).await;
    assert_eq!(code, 200, "{set}");
    assert_eq!(
        (&set["rule"], &set["rate"], &set["burst"], &set["author"], &set["reason"]),
        (&json!("tasks"), &json!("6/h"), &json!(2), &json!("anonymous"), &json!("a sale"))
    );
    assert_eq!((status(&tidegate, "/tasks").await, status(&tidegate, "/tasks").await), (200, 429));
    let rule = get(&tidegate, "/v1/rules/tasks").await.1;
    let rate = |behavior: &str| rule[behavior]["limits"][0]["rate"].clone();
    assert_eq!((rate("configured"), rate("effective")), (json!("3/h"), json!("6/h")));
    assert_eq!(rule["override"]["rate"], "6/h");
    assert_eq!(delete(&tidegate, TASKS).await, 204);
    let rule = get(&tidegate, "/v1/rules/tasks").await.1;
    assert_eq!((&rule["effective"], rule.get("override")), (&rule["configured"], None));
}

#[tokio::test]
async fn all_rules_at_once_are_put_into_shadow_mode() {
    let (_upstream, tidegate) = open_instance().await;
    assert_eq!(
        put(&tidegate, "/v1/override", &json!({ "mode": "shadow", "expires_in": "30m" })).await.0,
        200
    );
    for _ in 0..8 {
        assert_eq!(status(&tidegate, "/tasks").await, 200);
    }
    let shown = get(&tidegate, "/v1/override").await.1;
    assert_eq!((&shown["mode"], shown.get("rule")), (&json!("shadow"), None));
    assert!((1700.0..=1800.0).contains(&shown["expires_in_seconds"].as_f64().unwrap()), "{shown}");
    assert_eq!(put(&tidegate, "/v1/override", &json!({ "mode": "enforce" })).await.0, 422);
    assert_eq!(delete(&tidegate, "/v1/override").await, 204);
    assert_eq!(get(&tidegate, "/v1/override").await.0, 404);
    assert_eq!(status(&tidegate, "/tasks").await, 429);
}

#[tokio::test]
async fn an_override_ends_by_itself() {
    let (_upstream, tidegate) = open_instance().await;
    assert_eq!(put(&tidegate, TASKS, &json!({ "mode": "off", "expires_in": "300ms" })).await.0, 200);
    eventually("its end", async || (get(&tidegate, TASKS).await.0 == 404).then_some(())).await;
    assert_eq!(get(&tidegate, "/v1/overrides").await.1["overrides"], json!([]));
}

#[tokio::test]
async fn to_set_or_remove_twice_is_the_same_as_once() {
    let (_upstream, tidegate) = open_instance().await;
    for _ in 0..2 {
        assert_eq!(put(&tidegate, TASKS, &json!({ "mode": "off" })).await.0, 200);
    }
    assert_eq!(get(&tidegate, "/v1/overrides").await.1["overrides"].as_array().unwrap().len(), 1);
    for _ in 0..2 {
        assert_eq!(delete(&tidegate, TASKS).await, 204);
    }
    assert_eq!(delete(&tidegate, "/v1/rules/gone/override").await, 204);
}

#[tokio::test]
async fn a_change_may_depend_on_what_there_is() {
    let (_upstream, tidegate) = open_instance().await;
    let change = async |name: &str, value: &str| {
        let request = client().put(tidegate.admin_url(TASKS)).header(name, value);
        sent(request.json(&json!({ "mode": "off" }))).await
    };
    assert_eq!(change("If-Match", "*").await.0, 412, "there is none yet");
    let (code, first, _) = change("If-None-Match", "*").await;
    assert_eq!(code, 200);
    assert_eq!(change("If-None-Match", "*").await.0, 412, "now there is one");
    let first = first.unwrap();
    let (code, second, body) = change("If-Match", &first).await;
    let second = second.unwrap();
    assert_eq!((code, &*second), (200, &*format!("\"{}\"", body["version"])));
    let (code, current, problem) = change("If-Match", &first).await;
    assert_eq!((code, current.as_deref()), (412, Some(&*second)), "{problem}");
    let shown = sent(client().get(tidegate.admin_url(TASKS))).await;
    assert_eq!((shown.0, shown.1.as_deref()), (200, Some(&*second)));
    for foreign in ["W/\"1\"", "\"x\"", "1"] {
        assert_eq!(change("If-Match", foreign).await.0, 412, "{foreign}");
    }
    assert_eq!(change("If-None-Match", &second).await.0, 400);
    let remove =
        async |tag: &str| sent(client().delete(tidegate.admin_url(TASKS)).header("If-Match", tag)).await.0;
    assert_eq!((remove(&first).await, remove(&second).await, remove(&second).await), (412, 204, 412));
}

#[tokio::test]
async fn what_a_rule_cannot_have_is_refused_with_the_reason() {
    let (_upstream, tidegate) = open_instance().await;
    for (rule, body, part) in [
        ("tasks", json!({}), "needs a rate, a burst or a mode"),
        ("tasks", json!({ "rate": "often" }), "invalid rate 'often'"),
        ("tasks", json!({ "rate": "0/s" }), "at least 1"),
        ("tasks", json!({ "burst": -1 }), "burst"),
        ("tasks", json!({ "mode": "tarpit" }), "tarpit"),
        ("tasks", json!({ "mode": "off", "expires_in": "soon" }), "invalid duration 'soon'"),
        ("tasks", json!({ "mode": "off", "expires_in": "500d" }), "366 days"),
        ("tasks", json!({ "mode": "off", "reason": "x".repeat(300) }), "longer than 200"),
        ("tasks", json!({ "blocked": true }), "blocked"),
        ("trial", json!({ "rate": "7/h" }), "none per 3600s: expected a rate per 60s and 86400s"),
    ] {
        let (code, _, problem) = put(&tidegate, &format!("/v1/rules/{rule}/override"), &body).await;
        assert_eq!(code, 422, "{body} {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{part}: {problem}");
    }
    assert_eq!(put(&tidegate, "/v1/rules/none/override", &json!({ "mode": "off" })).await.0, 404);
    assert_eq!(get(&tidegate, "/v1/overrides").await.1["overrides"], json!([]));
}

#[tokio::test]
async fn the_author_is_the_name_of_the_token() {
    let (_upstream, tidegate, _files) = guarded_instance().await;
    let change = |token| {
        let request = client().put(tidegate.admin_url(TASKS)).bearer_auth(token);
        sent(request.json(&json!({ "mode": "off", "reason": "incident 7" })))
    };
    assert_eq!(change(READ).await.0, 403);
    let (code, _, set) = change(WRITE).await;
    assert_eq!((code, &set["author"]), (200, &json!("oncall")));
    let line = eventually("the line", async || tidegate.logged("override set").pop()).await;
    assert_eq!((&line["author"], &line["reason"]), (&json!("oncall"), &json!("incident 7")));
    for request in [
        client().delete(tidegate.admin_url(TASKS)),
        client().delete(tidegate.admin_url("/v1/rules/tasks/clients/a")),
    ] {
        assert_eq!(sent(request.bearer_auth(READ)).await.0, 403);
    }
    let list = responded(client().get(tidegate.admin_url("/v1/overrides")).bearer_auth(READ)).await.1;
    assert_eq!(list["overrides"], json!([set]).as_array().map_or(json!([]), |all| json!(all)));
    assert_eq!(tidegate.logged("override set").len(), 1);
}

#[tokio::test]
async fn the_metrics_have_the_limit_in_force_and_the_configured_one() {
    let (_upstream, tidegate) = open_instance().await;
    let limit = async |name: &str, window: &str| {
        tidegate.metric(&format!("tidegate_rule_{name}{{rule=\"tasks\",window=\"{window}\"}}")).await
    };
    assert_eq!((limit("limit", "3600s").await, limit("burst", "3600s").await), (Some(3.0), Some(2.0)));
    assert_eq!(put(&tidegate, TASKS, &json!({ "rate": "9/min", "burst": 1 })).await.0, 200);
    assert_eq!((limit("limit", "60s").await, limit("burst", "60s").await), (Some(9.0), Some(1.0)));
    assert!(limit("limit", "3600s").await.unwrap().is_nan());
    assert_eq!(limit("configured_limit", "3600s").await, Some(3.0));
    assert!(limit("configured_limit", "60s").await.unwrap().is_nan());
    assert_eq!(delete(&tidegate, TASKS).await, 204);
    assert_eq!(limit("limit", "3600s").await, Some(3.0));
}

#[tokio::test]
async fn overrides_of_many_windows_add_a_bounded_number_of_series() {
    let (_upstream, tidegate) = open_instance().await;
    for seconds in 1..=40 {
        let rate = format!("9/{seconds}s");
        assert_eq!(put(&tidegate, TASKS, &json!({ "rate": rate })).await.0, 200);
    }
    let metrics = tidegate.metrics().await;
    let series =
        metrics.lines().filter(|line| line.starts_with("tidegate_rule_limit{rule=\"tasks\"")).count();
    assert_eq!(series, 8);
}

#[tokio::test]
async fn whether_overrides_are_shared_is_shown() {
    let (upstream, tidegate) = open_instance().await;
    assert_eq!(put(&tidegate, TASKS, &json!({ "mode": "off" })).await.2["shared"], false);
    assert_eq!(get(&tidegate, "/v1/overrides").await.1["state"]["shared"], false);
    let redis = Redis::start().await;
    let tidegate = Tidegate::configured(upstream.address, &on(&redis)).await;
    assert_eq!(put(&tidegate, TASKS, &json!({ "mode": "off" })).await.2["shared"], true);
    let state = get(&tidegate, "/v1/status").await.1["overrides"].take();
    assert_eq!(
        (&state["shared"], &state["in_force"], &state["missing_rights"]),
        (&json!(true), &json!(1), &json!([]))
    );
}

/// The rules with counters in Redis.
fn on(redis: &Redis) -> String {
    let store = format!("store: {{ redis: {{ url: '{}', timeout: 3s }} }}", redis.url());
    super::RULES.replace("store: { memory: {} }", &store)
}

#[tokio::test]
async fn a_change_at_one_instance_acts_on_the_others() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let fleet = [
        Tidegate::configured(upstream.address, &on(&redis)).await,
        Tidegate::configured(upstream.address, &on(&redis)).await,
    ];
    let (_, _, set) = put(&fleet[0], TASKS, &json!({ "mode": "off" })).await;
    let same = async || (get(&fleet[1], TASKS).await.1["version"] == set["version"]).then_some(());
    eventually("the override", same).await;
    assert_eq!(delete(&fleet[1], TASKS).await, 204);
    eventually("its end", async || (get(&fleet[0], TASKS).await.0 == 404).then_some(())).await;
}

#[tokio::test]
async fn the_status_names_the_rights_that_redis_lacks() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let _: String = redis.command(&["ACL", "SETUSER", "default", "resetchannels"]).await;
    let tidegate = Tidegate::configured(upstream.address, &on(&redis)).await;
    let rights = json!(["&tidegate:overrides", "+subscribe"]);
    eventually("the rights", async || {
        let state = get(&tidegate, "/v1/status").await.1["overrides"].take();
        (state["missing_rights"] == rights && state["not_subscribed"].is_string()).then_some(())
    })
    .await;
    assert_eq!(put(&tidegate, TASKS, &json!({ "mode": "off" })).await.0, 200);
}

#[tokio::test]
async fn without_redis_a_change_is_refused_and_the_known_ones_hold() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let tidegate = Tidegate::configured(upstream.address, &on(&redis)).await;
    assert_eq!(put(&tidegate, TASKS, &json!({ "mode": "off" })).await.0, 200);
    redis.kill().await;
    let (code, _, problem) = put(&tidegate, TASKS, &json!({ "mode": "enforce" })).await;
    assert_eq!(code, 503, "{problem}");
    assert_eq!(get(&tidegate, TASKS).await.1["mode"], "off");
    for _ in 0..8 {
        assert_eq!(status(&tidegate, "/tasks").await, 200);
    }
}

#[tokio::test]
async fn an_override_of_a_rule_that_is_gone_is_shown_and_removed() {
    let (_upstream, tidegate) = open_instance().await;
    assert_eq!(put(&tidegate, TASKS, &json!({ "mode": "off" })).await.0, 200);
    tidegate.rewrite(&super::RULES.replace("name: tasks", "name: renamed"));
    assert_eq!(responded(client().post(tidegate.admin_url("/v1/reload"))).await.0, 200);
    let idle = get(&tidegate, "/v1/overrides").await.1["overrides"][0]["idle"].take();
    assert!(idle.as_str().unwrap().contains("does not exist"), "{idle}");
    assert_eq!(delete(&tidegate, TASKS).await, 204);
    assert_eq!(get(&tidegate, "/v1/overrides").await.1["overrides"], json!([]));
}

async fn explain(tidegate: &Tidegate, question: Value) -> (u16, Value) {
    responded(client().post(tidegate.admin_url("/v1/explain")).json(&question)).await
}

#[tokio::test]
async fn explain_sees_the_overrides() {
    let (_upstream, tidegate) = open_instance().await;
    let question = json!({ "url": "/tasks", "peer": "203.0.113.9" });
    let explained = explain(&tidegate, question.clone()).await.1;
    assert_eq!(
        (&explained["decision"], &explained["checks"][1]["limits"][0]["rate"]),
        (&json!("checked"), &json!("3/h"))
    );
    assert_eq!(explained["checks"][1]["counter"], "203.0.113.9");
    put(&tidegate, TASKS, &json!({ "rate": "8/h" })).await;
    assert_eq!(explain(&tidegate, question.clone()).await.1["checks"][1]["limits"][0]["rate"], "8/h");
    put(&tidegate, "/v1/rules/tasks/clients/203.0.113.9/override", &json!({ "blocked": true })).await;
    let explained = explain(&tidegate, question).await.1;
    assert_eq!((&explained["decision"], &explained["status"]), (&json!("blocked"), &json!(403)));
}

#[tokio::test]
async fn explain_counts_nothing_and_repeats_no_secret() {
    let (_upstream, tidegate) = open_instance().await;
    let question = json!({ "method": "GET", "url": "/keyed/7", "headers": ["X-Api-Key: hunter2"] });
    let (code, explained) = explain(&tidegate, question).await;
    assert_eq!(code, 200);
    let counter = explained["checks"][1]["counter"].as_str().unwrap();
    assert!(counter.starts_with("127.0.0.1,~") && !explained.to_string().contains("hunter2"), "{explained}");
    let shown = get(&tidegate, &format!("/v1/rules/keyed/clients/{counter}")).await.1;
    assert_eq!(shown["limits"][0]["used"], 0);
    for (question, part) in [
        (json!({ "url": "/", "headers": ["hunter2"] }), "header field 0"),
        (json!({ "url": "/", "headers": ["X-Api-Key: hunter2\n"], "peer": "x" }), "not an IP address"),
        (json!({ "url": "/ /" }), "invalid url"),
        (json!({ "url": "/", "method": "G T" }), "invalid method"),
    ] {
        let (code, problem) = explain(&tidegate, question).await;
        assert_eq!(code, 422, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
    }
}
