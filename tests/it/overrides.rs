//! Overrides: what operators change at run time, for one instance and for all that share a Redis.

mod effect;
mod lost;
mod proxy;
mod rights;
mod shared;
mod topologies;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use tidegate::clock::Clock;
use tidegate::config::{Overrides as Flags, compile_text};
use tidegate::limiter::{Charges, Limiter, Verdict};
use tidegate::overrides::{Effect, Expected, Listed, Overrides, Proposal, Rate, Subject};
use tidegate::policy::client::Client;
use tidegate::policy::query::Query;
use tidegate::policy::{Facts, Mode, Plan, Policy};
use tidegate::settings::RedisTopology;
use tidegate::store::{MemoryStore, Store};

use crate::harness::{Redis, eventually};
use crate::redis::{PATIENT, addresses, store};

/// The rule `each` admits this many requests of a client in an hour.
const EACH: usize = 5;
const HOUR_MS: i64 = 3_600_000;
const CLIENT: &str = "203.0.113.7";
const OTHER: &str = "203.0.113.8";
const AUTHOR: &str = "oncall";

fn policy() -> Policy {
    policy_of(&format!(
        "
  - {{ name: each, match: {{ path: /each }}, key: [client_ip], rate: {EACH}/h }}
  - {{ name: trial, match: {{ path: /trial }}, key: [client_ip], rate: {EACH}/h, mode: shadow }}
  - {{ name: off, match: {{ path: /off }}, key: [client_ip], rate: {EACH}/h, mode: off }}"
    ))
}

fn policy_of(rules: &str) -> Policy {
    let text = format!("upstream: http://127.0.0.1:1\nrules: {rules}");
    compile_text("overrides", text.as_bytes(), &Flags::default(), &|_| Ok(None)).unwrap().policy
}

/// An instance, but for HTTP.
struct Instance {
    overrides: Overrides,
    limiter: Arc<Limiter>,
}

impl Instance {
    fn with(store: Store) -> Self {
        let limiter = Arc::new(Limiter::new(store, 1, Clock::Real));
        Self { overrides: Overrides::new(policy(), Arc::clone(&limiter)), limiter }
    }

    fn in_memory() -> Self {
        Self::with(Store::Memory(MemoryStore::new(1_000, Clock::Real)))
    }

    fn at(topology: RedisTopology) -> Self {
        Self::with(Store::Redis(store(topology, PATIENT, Clock::Real)))
    }

    fn on(redis: &Redis) -> Self {
        let address = addresses(std::slice::from_ref(redis)).remove(0);
        Self::at(RedisTopology::Standalone(address))
    }

    /// The outcome of a request.
    async fn ask(&self, path: &str, client: &str) -> &'static str {
        let (policy, headers) = (self.overrides.policy(), HeaderMap::new());
        let address = client.parse().unwrap();
        let client = Client { peer: address, address, direct: true, trusted_peer: false };
        let facts = Facts {
            method: &Method::GET,
            host: "",
            path,
            decoded_path: None,
            query: Query::new(""),
            headers: &headers,
            websocket: false,
            client,
            names: &[],
        };
        let checks = match policy.plan(&facts) {
            Plan::Blocked { .. } => return "blocked",
            Plan::Check { checks, .. } if checks.is_empty() => return "unlimited",
            Plan::Check { checks, .. } => checks,
            other => panic!("{other:?}"),
        };
        let charges = Charges::of(checks);
        if self.limiter.recall(&charges).is_some() {
            return "limited";
        }
        match self.limiter.charge(&charges).await {
            Verdict::Pass { exceeded, .. } if exceeded.is_empty() => "allowed",
            Verdict::Pass { .. } => "shadow_limited",
            Verdict::Refuse(_) => "limited",
            other => panic!("{other:?}"),
        }
    }

    /// How many requests of the client the rule `each` admits before it refuses one.
    async fn admits(&self, client: &str) -> usize {
        let mut admitted = 0;
        while self.ask("/each", client).await == "allowed" {
            admitted += 1;
        }
        admitted
    }

    async fn set(&self, subject: &Subject, effect: Effect) -> Listed {
        self.set_for(subject, effect, None).await
    }

    async fn set_for(&self, subject: &Subject, effect: Effect, expires_in: Option<Duration>) -> Listed {
        let proposal = Proposal { expires_in, ..proposal(effect) };
        self.overrides.put(subject, &proposal, Expected::Anything).await.unwrap()
    }

    async fn unset(&self, subject: &Subject) {
        self.overrides.remove(subject, Expected::Anything, AUTHOR).await.unwrap();
    }

    /// The quota that the rule `each` has.
    fn quota(&self) -> i64 {
        self.overrides.policy().named("each").unwrap().limits[0].limit.quota()
    }

    async fn gets_quota(&self, quota: i64) {
        eventually("the quota", async || (self.quota() == quota).then_some(())).await;
    }

    /// Waits until the outcome of a request is this one.
    async fn comes_to(&self, path: &str, client: &str, outcome: &str) {
        eventually(outcome, async || (self.ask(path, client).await == outcome).then_some(())).await;
    }
}

fn proposal(effect: Effect) -> Proposal {
    Proposal { effect, reason: "incident 7".to_owned(), author: AUTHOR.to_owned(), expires_in: None }
}

fn each() -> Subject {
    Subject::Rule("each".into())
}

fn client(rule: &str) -> Subject {
    Subject::Client { rule: rule.into(), client: CLIENT.into() }
}

/// A rate of this many an hour.
fn rate(quota: i64) -> Effect {
    Effect::Rule { rate: Some(Rate { quota, window_ms: HOUR_MS }), burst: None, mode: None }
}

fn mode(mode: Mode) -> Effect {
    Effect::Rule { rate: None, burst: None, mode: Some(mode) }
}

fn client_rate(quota: i64) -> Effect {
    Effect::ClientRate { rate: Rate { quota, window_ms: HOUR_MS }, burst: None }
}
