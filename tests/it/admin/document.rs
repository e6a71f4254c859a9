//! The OpenAPI document, compared with what the API does.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::schema::faults;
use super::{RULES, get, guarded_instance, open_instance};
use crate::harness::{Redis, Tidegate, Upstream, client};

/// A request, and the status of its response.
struct Case {
    method: &'static str,
    /// As in the document.
    template: &'static str,
    path: &'static str,
    body: Value,
    status: u16,
}

const NONE: Value = Value::Null;

fn case(method: &'static str, template: &'static str, path: &'static str, body: Value, status: u16) -> Case {
    Case { method, template, path, body, status }
}

fn cases() -> Vec<Case> {
    let id = "/v1/rules/{rule}/client-id";
    vec![
        case("get", "/v1/status", "/v1/status", NONE, 200),
        case("get", "/v1/instances", "/v1/instances", NONE, 200),
        case("get", "/v1/openapi.json", "/v1/openapi.json", NONE, 200),
        case("get", "/v1/rules", "/v1/rules", NONE, 200),
        case("get", "/v1/rules/{rule}", "/v1/rules/trial", NONE, 200),
        case("get", "/v1/rules/{rule}", "/v1/rules/none", NONE, 404),
        case("get", "/v1/rules/{rule}", "/v1/rules/%ff", NONE, 400),
        case("post", id, "/v1/rules/tasks/client-id", json!({ "key": ["203.0.113.9"] }), 200),
        case("post", id, "/v1/rules/none/client-id", json!({ "key": [] }), 404),
        case("post", id, "/v1/rules/tasks/client-id", json!({ "key": [] }), 422),
        case("post", id, "/v1/rules/tasks/client-id", json!({ "key": "x".repeat(100_000) }), 413),
        case("post", id, "/v1/rules/tasks/client-id", NONE, 415),
        case("post", "/v1/reload", "/v1/reload", NONE, 200),
        case(
            "post",
            "/v1/explain",
            "/v1/explain",
            json!({ "url": "/tasks", "headers": ["X-Api-Key: a"] }),
            200,
        ),
        case("post", "/v1/explain", "/v1/explain", json!({ "url": "/a%00b" }), 200),
        case("post", "/v1/explain", "/v1/explain", json!({ "url": "/", "peer": "x" }), 422),
        case("get", "/v1/overrides", "/v1/overrides", NONE, 200),
    ]
    .into_iter()
    .chain(override_cases("/v1/override", "/v1/override", json!({ "mode": "shadow", "expires_in": "30m" })))
    .chain(override_cases(
        "/v1/rules/{rule}/override",
        "/v1/rules/tasks/override",
        json!({ "rate": "5/h", "burst": 1, "mode": "off", "reason": "x" }),
    ))
    .chain(override_cases(
        "/v1/rules/{rule}/clients/{id}/override",
        "/v1/rules/tasks/clients/203.0.113.9/override",
        json!({ "blocked": true, "expires_in": "1h" }),
    ))
    .chain(client_cases())
    .collect()
}

/// Each method of an override, which is there in the end.
fn override_cases(template: &'static str, path: &'static str, body: Value) -> Vec<Case> {
    vec![
        case("get", template, path, NONE, 404),
        case("put", template, path, json!({ "rate": "often" }), 422),
        case("put", template, path, body.clone(), 200),
        case("get", template, path, NONE, 200),
        case("delete", template, path, NONE, 204),
        case("put", template, path, body, 200),
    ]
}

/// Those of a client, which has an override.
fn client_cases() -> Vec<Case> {
    let (template, path) = ("/v1/rules/{rule}/clients/{id}", "/v1/rules/tasks/clients/203.0.113.9");
    vec![
        case("get", template, path, NONE, 200),
        case("get", template, "/v1/rules/none/clients/a", NONE, 404),
        case("get", template, "/v1/rules/tasks/clients/%7B", NONE, 422),
        case("delete", template, path, NONE, 204),
        case("delete", template, "/v1/rules/none/clients/a", NONE, 404),
        case("get", "/v1/overrides", "/v1/overrides", NONE, 200),
        case("get", "/v1/rules", "/v1/rules", NONE, 200),
        case("get", "/v1/status", "/v1/status", NONE, 200),
    ]
}

async fn document(tidegate: &Tidegate) -> Value {
    let (status, document) = get(tidegate, "/v1/openapi.json").await;
    assert_eq!(status, 200);
    document
}

/// Sends the requests, and compares each response with what the document says of it.
async fn compare(tidegate: &Tidegate, cases: &[Case]) {
    let document = document(tidegate).await;
    for Case { method, template, path, body, status } in cases {
        let request = client().request(method.to_uppercase().parse().unwrap(), tidegate.admin_url(path));
        let request = if body.is_null() { request } else { request.json(body) };
        let response = request.send().await.unwrap();
        let what = format!("{method} {path}: {status}");
        assert_eq!(response.status(), *status, "{what}");
        if *status == 204 {
            let described = &document["paths"][template][method]["responses"]["204"];
            assert!(described.is_object() && described.get("content").is_none(), "{what}");
            continue;
        }
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let value: Value = response.json().await.unwrap();
        let described = &document["paths"][template][method]["responses"][status.to_string()];
        let schema = &described["content"][&kind]["schema"];
        assert!(schema.is_object(), "{what} with {kind} is not described");
        let faults = faults(&document, schema, &value, "");
        assert!(faults.is_empty(), "{what}\n{}\n{value:#}", faults.join("\n"));
    }
}

#[tokio::test]
async fn each_response_is_as_the_document_describes_it() {
    let (_upstream, tidegate) = open_instance().await;
    compare(&tidegate, &cases()).await;
}

#[tokio::test]
async fn each_operation_of_the_document_is_compared() {
    let (_upstream, tidegate) = open_instance().await;
    let document = document(&tidegate).await;
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))
        })
        .collect();
    let compared = cases().iter().map(|case| (case.method.to_owned(), case.template.to_owned())).collect();
    assert_eq!(described, compared);
}

#[tokio::test]
async fn the_state_of_redis_is_as_the_document_describes_it() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let store = format!("store: {{ redis: {{ url: '{}' }} }}", redis.url());
    let rules = RULES.replace("store: { memory: {} }", &store);
    let tidegate = Tidegate::configured(upstream.address, &rules).await;
    redis.kill().await;
    client().get(tidegate.url("/tasks")).send().await.unwrap();
    crate::harness::eventually("the store to be down", async || {
        (get(&tidegate, "/v1/status").await.1["store"]["state"] == "down").then_some(())
    })
    .await;
    compare(&tidegate, &[case("get", "/v1/status", "/v1/status", NONE, 200)]).await;
}

#[tokio::test]
async fn a_failed_reload_is_as_the_document_describes_it() {
    let (_upstream, tidegate) = open_instance().await;
    tidegate.rewrite("rules: 1\n");
    compare(
        &tidegate,
        &[
            case("post", "/v1/reload", "/v1/reload", NONE, 422),
            case("get", "/v1/status", "/v1/status", NONE, 200),
        ],
    )
    .await;
}

#[tokio::test]
async fn without_a_token_each_response_is_as_the_document_describes_it() {
    let (_other, open) = open_instance().await;
    let document = document(&open).await;
    // Fewer than the failed logins that may come at once.
    for cases in cases().chunks(15) {
        let (_upstream, guarded, _files) = guarded_instance().await;
        for Case { method, template, path, .. } in cases {
            let request = client().request(method.to_uppercase().parse().unwrap(), guarded.admin_url(path));
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 401, "{method} {path}");
            let value: Value = response.json().await.unwrap();
            let described = &document["paths"][template][method]["responses"]["401"];
            let schema = &described["content"]["application/problem+json"]["schema"];
            let faults = faults(&document, schema, &value, "");
            assert!(schema.is_object() && faults.is_empty(), "{method} {path}: {faults:?}");
        }
    }
}

#[tokio::test]
async fn the_document_needs_no_other_one() {
    let (_upstream, tidegate) = open_instance().await;
    let document = document(&tidegate).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        let target = document.pointer(reference.trim_start_matches('#'));
        assert!(reference.starts_with("#/") && target.is_some(), "{reference}");
    }
}
