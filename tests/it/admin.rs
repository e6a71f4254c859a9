//! The admin API.

mod access;
mod clients;
mod document;
mod flood;
mod listener;
mod overrides;
mod reload;
mod schema;
mod state;

use serde_json::Value;

use crate::harness::{Tidegate, Upstream, client};

const READ: &str = "read-token-0123456789abcdef";
const WRITE: &str = "write-token-0123456789abcdef";

/// Rules of each kind, with counters in memory.
const RULES: &str = "
store: { memory: {} }
tiers: [{ name: internal, match: { hosts: [internal.example.com] } }]
rules:
  - { name: tasks, match: { path: /tasks }, rate: 3/h, burst: 2, trial: { rate: 2/h }, tiers: { internal: { rate: 9/h } } }
  - { name: keyed, match: { path: '/keyed/{id}' }, key: [client_ip, 'header:X-Api-Key'], on_missing: skip, rate: 9/min }
  - { name: trial, match: { path: /trial }, limits: [{ rate: 5/min }, { rate: 100/day }], mode: shadow, on_outage: open }
global:
  - { name: all, key: [], rate: 1000/s }
";

/// An instance with these rules, whose API needs no token.
async fn open_instance() -> (Upstream, Tidegate) {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    (upstream, tidegate)
}

/// The part of a configuration that demands a token, and the files of the tokens.
fn tokens(directory: &std::path::Path) -> String {
    for (name, token) in [("reader", READ), ("writer", WRITE)] {
        std::fs::write(directory.join(name), format!("{token}\n")).unwrap();
    }
    let file = |name: &str| directory.join(name).display().to_string();
    format!(
        "admin: {{ tokens: [{{ name: viewer, file: '{}' }}, {{ name: oncall, file: '{}', role: write }}] }}\n",
        file("reader"),
        file("writer")
    )
}

/// An instance with these rules, whose API needs a token.
async fn guarded_instance() -> (Upstream, Tidegate, tempfile::TempDir) {
    let (upstream, files) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let tidegate = Tidegate::configured(upstream.address, &(tokens(files.path()) + RULES)).await;
    (upstream, tidegate, files)
}

/// The response to a GET: status and body.
async fn get(tidegate: &Tidegate, path: &str) -> (u16, Value) {
    responded(client().get(tidegate.admin_url(path))).await
}

async fn responded(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let wanted = if status < 400 { "application/json" } else { "application/problem+json" };
    assert_eq!(kind, wanted, "{status}");
    assert_eq!(response.headers()["cache-control"], "no-store");
    (status, response.json().await.unwrap())
}
