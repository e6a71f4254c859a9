//! Overrides as clients, logs and metrics show them, of a process that another instance changes.

use serde_json::Value;
use tidegate::clock::Clock;
use tidegate::limiter::Limiter;
use tidegate::overrides::{Effect, Overrides, Subject};
use tidegate::policy::Mode;
use tidegate::store::Store;

use super::{Instance, client_rate, each, mode, policy_of};
use crate::harness::{Redis, Tidegate, Upstream, client, eventually};

/// The client's id, its token being hashed.
const PEER: &str = "127.0.0.1";
const SECRET: &str = "hunter2-is-a-secret";

fn rules(each: usize) -> String {
    format!(
        "
  - {{ name: each, match: {{ path: /each }}, key: [client_ip], rate: {each}/h }}
  - {{ name: token, match: {{ path: /token }}, key: ['header:X-Token'], rate: 5/h }}
"
    )
}

struct Fixture {
    redis: Redis,
    upstream: Upstream,
    tidegate: Tidegate,
    operator: Instance,
}

fn config(redis: &Redis, each: usize) -> String {
    format!("store: {{ redis: {{ timeout: 3s, url: '{}' }} }}\nrules: {}", redis.url(), rules(each))
}

async fn start() -> Fixture {
    let (redis, upstream) = (Redis::start().await, Upstream::start().await);
    let tidegate = Tidegate::configured(upstream.address, &config(&redis, 2)).await;
    let store = Store::Redis(redis.store("tidegate", Clock::Real));
    let limiter = std::sync::Arc::new(Limiter::new(store, 1, Clock::Real));
    let overrides = Overrides::new(policy_of(&rules(2)), std::sync::Arc::clone(&limiter));
    let operator = Instance { overrides, limiter };
    Fixture { redis, upstream, tidegate, operator }
}

impl Fixture {
    async fn status(&self, path: &str) -> u16 {
        client().get(self.tidegate.url(path)).send().await.unwrap().status().as_u16()
    }

    async fn comes_to(&self, path: &str, status: u16) {
        eventually("the status", async || (self.status(path).await == status).then_some(())).await;
    }
}

fn peer() -> Subject {
    Subject::Client { rule: "each".into(), client: PEER.into() }
}

#[tokio::test]
async fn a_blocked_client_gets_403() {
    let fixture = start().await;
    fixture.operator.set(&peer(), Effect::Blocked).await;
    fixture.comes_to("/each", 403).await;
    let passed = fixture.upstream.seen().len();
    let refused = client().get(fixture.tidegate.url("/each")).send().await.unwrap();
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert!(!refused.headers().contains_key("retry-after"));
    let problem: Value = refused.json().await.unwrap();
    let problem_type = "https://iana.org/assignments/http-problem-types#abnormal-usage-detected";
    assert_eq!((problem["type"].as_str(), problem["status"].as_u64()), (Some(problem_type), Some(403)));
    assert_eq!(fixture.upstream.seen().len(), passed);
    assert!(fixture.tidegate.counted("each", "blocked").await >= 2.0);
    assert_eq!(fixture.status("/token").await, 200, "another rule");
}

#[tokio::test]
async fn a_blocked_client_of_grpc_gets_status_7() {
    let fixture = start().await;
    fixture.operator.set(&peer(), Effect::Blocked).await;
    fixture.comes_to("/each", 403).await;
    let request = client().post(fixture.tidegate.url("/each")).header("content-type", "application/grpc");
    let refused = request.send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["grpc-status"]), (200, &"7".parse().unwrap()));
    assert!(!refused.headers().contains_key("grpc-retry-pushback-ms"));
}

#[tokio::test]
async fn an_unlimited_client_is_counted_as_such() {
    let fixture = start().await;
    fixture.comes_to("/each", 429).await;
    fixture.operator.set(&peer(), Effect::Unlimited).await;
    fixture.comes_to("/each", 200).await;
    for _ in 0..5 {
        assert_eq!(fixture.status("/each").await, 200);
    }
    assert_eq!(fixture.tidegate.counted("each", "unlimited").await, 6.0);
}

#[tokio::test]
async fn an_override_outlasts_a_reload() {
    let fixture = start().await;
    fixture.comes_to("/each", 429).await;
    fixture.operator.set(&peer(), client_rate(1_000)).await;
    fixture.comes_to("/each", 200).await;
    fixture.tidegate.rewrite(&config(&fixture.redis, 1));
    let read = "tidegate_config_reloads_total{result=\"ok\"}";
    eventually("the reload", async || (fixture.tidegate.metric(read).await? >= 2.0).then_some(())).await;
    assert_eq!(fixture.status("/each").await, 200);
    fixture.operator.unset(&peer()).await;
    fixture.comes_to("/each", 429).await;
}

#[tokio::test]
async fn a_change_is_logged_with_its_author_and_counted() {
    let fixture = start().await;
    let kind = |kind: &str| format!("tidegate_overrides{{kind=\"{kind}\"}}");
    assert_eq!(fixture.tidegate.metric(&kind("rule")).await, Some(0.0));
    fixture.operator.set(&each(), mode(Mode::Off)).await;
    let logged = async || fixture.tidegate.logged("override set").pop();
    let line = eventually("the log line", logged).await;
    for (field, value) in
        [("rule", "each"), ("effect", "mode=off"), ("author", "oncall"), ("reason", "incident 7")]
    {
        assert_eq!(line[field].as_str(), Some(value), "{line}");
    }
    assert_eq!(fixture.tidegate.metric(&kind("rule")).await, Some(1.0));
    fixture.operator.unset(&each()).await;
    let line = eventually("the log line", async || fixture.tidegate.logged("override removed").pop()).await;
    assert_eq!((line["rule"].as_str(), line["author"].as_str()), (Some("each"), Some("oncall")));
    assert_eq!(fixture.tidegate.metric(&kind("rule")).await, Some(0.0));
}

#[tokio::test]
async fn no_secret_is_kept_of_a_client() {
    let fixture = start().await;
    let ask = client().get(fixture.tidegate.url("/token")).header("X-Token", SECRET);
    assert_eq!(ask.try_clone().unwrap().send().await.unwrap().status(), 200);
    let counters = fixture.redis.counters().await;
    let id =
        counters.iter().find_map(|key| key.strip_suffix("}:token:3600000:4")?.strip_prefix("tidegate:{"));
    let subject = Subject::Client { rule: "token".into(), client: id.unwrap().into() };
    fixture.operator.set(&subject, Effect::Blocked).await;
    eventually("the block", async || {
        (ask.try_clone().unwrap().send().await.unwrap().status() == 403).then_some(())
    })
    .await;
    let kept: String = fixture.redis.command(&["GET", "tidegate:overrides"]).await;
    assert!(kept.contains(id.unwrap()) && !kept.contains(SECRET), "{kept}");
    assert!(fixture.tidegate.logged("").iter().all(|line| !line.to_string().contains(SECRET)));
}
