//! Reading the configuration again, by the API, and what the status says of it.

use serde_json::{Value, json};

use super::{RULES, get, open_instance, responded};
use crate::harness::{Tidegate, Upstream, client, eventually};

async fn reload(tidegate: &Tidegate) -> (u16, Value) {
    responded(client().post(tidegate.admin_url("/v1/reload"))).await
}

async fn configuration(tidegate: &Tidegate) -> Value {
    get(tidegate, "/v1/status").await.1["configuration"].take()
}

#[tokio::test]
async fn a_reload_puts_the_file_in_force_before_it_responds() {
    let (_upstream, tidegate) = open_instance().await;
    let before = configuration(&tidegate).await;
    tidegate.rewrite(&RULES.replace("rate: 3/h", "rate: 7/h"));
    let (status, body) = reload(&tidegate).await;
    assert_eq!((status, &body["last_reload"]["ok"]), (200, &json!(true)));
    let rule = get(&tidegate, "/v1/rules/tasks").await.1;
    assert_eq!(rule["effective"]["limits"][0]["rate"], "7/h");
    let after = configuration(&tidegate).await;
    assert_ne!(before["hash"], after["hash"]);
    assert!(before["read_at"].as_f64() < after["read_at"].as_f64());
}

#[tokio::test]
async fn a_reload_of_a_faulty_file_responds_with_its_faults() {
    let (_upstream, tidegate) = open_instance().await;
    let before = configuration(&tidegate).await;
    tidegate.rewrite(&RULES.replace("rate: 3/h", "rate: often"));
    let (status, problem) = reload(&tidegate).await;
    assert_eq!((status, &problem["detail"]), (422, &json!("the file has a fault")));
    let fault = &problem["faults"][0];
    assert!(fault["location"].as_str().unwrap().ends_with("tidegate.yaml:5:51: rules[0].rate"), "{fault}");
    assert!(fault["message"].as_str().unwrap().contains("often"), "{fault}");
    assert!(fault["help"].as_str().unwrap().contains("expected"), "{fault}");
    let after = configuration(&tidegate).await;
    assert_eq!(
        (&before["hash"], &before["read_at"]),
        (&after["hash"], &after["read_at"]),
        "what is in force"
    );
}

#[tokio::test]
async fn the_status_keeps_the_last_failure() {
    let (_upstream, tidegate) = open_instance().await;
    tidegate.rewrite("rules: [{ name: x }]\nstore: { memory: {} }\nno_such_key: 1\n");
    let failed = async || configuration(&tidegate).await.get("last_failure").cloned();
    let failure = eventually("the change to be noticed", failed).await;
    assert_eq!((&failure["ok"], &failure["trigger"]), (&json!(false), &json!("change")));
    assert_eq!(failure["error"], "the file has 2 faults");
    assert_eq!(failure["faults"].as_array().unwrap().len(), 2);
    tidegate.rewrite(RULES);
    tidegate.signal("HUP");
    let read = async || {
        let configuration = configuration(&tidegate).await;
        (configuration["last_reload"]["trigger"] == "signal").then_some(configuration)
    };
    let after = eventually("the signal to be acted on", read).await;
    assert_eq!(after["last_reload"]["ok"], true);
    assert_eq!(after["last_failure"], failure);
}

#[tokio::test]
async fn a_setting_that_cannot_change_is_a_problem() {
    let (_upstream, tidegate) = open_instance().await;
    tidegate.rewrite(&format!("{RULES}\nshutdown: {{ grace: 7s }}\n"));
    let (status, problem) = reload(&tidegate).await;
    assert_eq!(status, 422);
    assert!(problem["detail"].as_str().unwrap().contains("shutdown"), "{problem}");
    assert_eq!(problem.get("faults"), None);
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_reload() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/*=1/h"]).await;
    let (status, problem) = reload(&tidegate).await;
    assert_eq!((status, &problem["help"]), (409, &json!("start tidegate with --config FILE")));
}

#[tokio::test]
async fn many_reloads_at_once_all_get_a_response() {
    let (_upstream, tidegate) = open_instance().await;
    let mut under_way = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let url = tidegate.admin_url("/v1/reload");
        under_way.spawn(async move { responded(client().post(url)).await.0 });
    }
    assert_eq!(under_way.join_all().await, [200; 20]);
}
