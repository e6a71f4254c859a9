//! Rules that go on without Redis: each instance decides with its part of the limit.

mod beside;
mod changes;
mod flapping;
mod network;
mod one_master;

use serde_json::Value;

use crate::harness::{Redis, Tidegate, Upstream, client, eventually, flood};

const UP: &str = "tidegate_store_up";
/// The rules of most tests, with a place for the rate.
const EACH: &str = "rules: [{ name: each, key: ['header:X-Client'], rate: RATE }]";

/// Two instances on one Redis.
struct Pair {
    upstream: Upstream,
    redis: Redis,
    instances: [Tidegate; 2],
}

/// A store on this Redis, and these rules.
fn config(url: &str, rules: &str) -> String {
    format!("store: {{ redis: {{ url: '{url}', timeout: 5s }}, on_outage: local }}\n{rules}")
}

impl Pair {
    /// They know of each other.
    async fn with(rules: &str) -> Self {
        let (upstream, redis) = (Upstream::start().await, Redis::start().await);
        let config = config(&redis.url(), rules);
        let start = async || Tidegate::configured(upstream.address, &config).await;
        let instances = [start().await, start().await];
        for instance in &instances {
            let two = async || (instance.metric("tidegate_instances").await == Some(2.0)).then_some(());
            eventually("both to know of each other", two).await;
        }
        Self { upstream, redis, instances }
    }

    /// Redis is gone, and everybody knows.
    async fn loses_redis(&self) {
        self.redis.kill().await;
        for instance in &self.instances {
            does_without(instance).await;
        }
    }

    /// The configuration changes, and is in force.
    async fn changes(&self, rules: &str) {
        for instance in &self.instances {
            changes(instance, &config(&self.redis.url(), rules)).await;
        }
    }

    /// How many of a client's requests pass at each, if it asks for so many there.
    async fn admit(&self, of: &str, offered: usize) -> [usize; 2] {
        let [one, other] = &self.instances;
        [admitted(one, "/", of, offered).await, admitted(other, "/", of, offered).await]
    }
}

/// In front of this upstream, with a Redis that is given up soon.
async fn impatient(upstream: &Upstream, url: &str, rules: &str) -> Tidegate {
    Tidegate::configured(upstream.address, &config(url, rules).replace("timeout: 5s", "timeout: 1s")).await
}

async fn does_without(instance: &Tidegate) {
    eventually("Redis to be missed", async || (instance.metric(UP).await == Some(0.0)).then_some(())).await;
}

/// Redis decides again, and has been told all that it missed.
async fn has_settled(instance: &Tidegate) {
    let settled = async || {
        let status = client().get(instance.ops_url("/status")).send().await.unwrap();
        let status: Value = status.json().await.unwrap();
        (status["store"]["state"] == "up" && status["store"]["settled"] == true).then_some(())
    };
    eventually("Redis to decide again", settled).await;
}

async fn changes(instance: &Tidegate, config: &str) {
    let series = "tidegate_config_reloads_total{result=\"ok\"}";
    let before = instance.metric(series).await;
    instance.rewrite(config);
    let read = async || (instance.metric(series).await > before).then_some(());
    eventually("the configuration to be read", read).await;
}

/// How many of so many requests pass. The others are refused, and nothing else happens to them.
async fn admitted(instance: &Tidegate, path: &str, of: &str, offered: usize) -> usize {
    let http = client();
    let mut answers = flood(offered, |_| http.get(instance.url(path)).header("X-Client", of)).await;
    let admitted = answers.remove(&200).unwrap_or_default();
    assert_eq!(answers.remove(&429).unwrap_or_default(), offered - admitted, "{answers:?}");
    admitted
}

#[tokio::test]
async fn a_client_that_stays_at_one_instance_keeps_its_whole_limit() {
    let pair = Pair::with("rules: [{ name: each, key: ['header:X-Client'], rate: 10/h, burst: 5 }]").await;
    let [one, _] = &pair.instances;
    for (of, before) in [("began", 4), ("within its burst", 12), ("at its limit", 15)] {
        assert_eq!(admitted(one, "/", of, before).await, before);
    }
    pair.loses_redis().await;
    for (of, after) in [("began", 11), ("within its burst", 3), ("at its limit", 0)] {
        assert_eq!(admitted(one, "/", of, 30).await, after, "{of}");
    }
}

#[tokio::test]
async fn a_client_that_was_at_its_limit_at_two_instances_gets_nothing_more_from_either() {
    let pair = Pair::with(&EACH.replace("RATE", "20/h")).await;
    for _ in 0..5 {
        assert_eq!(pair.admit("spread", 2).await, [2, 2]);
    }
    // Each has been told that there is no more.
    assert_eq!(pair.admit("spread", 1).await, [0, 0]);
    pair.loses_redis().await;
    assert_eq!(pair.admit("spread", 30).await, [0, 0]);
}

#[tokio::test]
async fn a_client_spread_over_two_instances_gets_its_limit_with_a_margin_for_chance() {
    const QUOTA: usize = 400;
    let pair = Pair::with(&EACH.replace("RATE", "400/h")).await;
    for _ in 0..10 {
        assert_eq!(pair.admit("spread", 10).await, [10, 10]);
    }
    pair.loses_redis().await;
    let [one, other] = pair.admit("spread", QUOTA).await;
    let total = 200 + one + other;
    // Its part of each is about a half, and for chance twice the square root of that; and what one instance has not seen
    // of the last requests at the other.
    let chance = 2 * (2 * (QUOTA / 2).isqrt() + 10);
    assert!((QUOTA..=QUOTA + chance).contains(&total), "{total}: {one} and {other}");
}

#[tokio::test]
async fn a_client_that_nobody_knows_gets_its_part_from_each() {
    let pair = Pair::with(&EACH.replace("RATE", "11/h")).await;
    pair.loses_redis().await;
    for of in ["a", "b", "c", "d"] {
        let parts = pair.admit(of, 20).await;
        assert!(parts == [5, 6] || parts == [6, 5], "{of}: {parts:?}");
    }
}

#[tokio::test]
async fn without_redis_from_the_start_each_admits_its_part_of_what_it_is_told_to_assume() {
    let upstream = Upstream::start().await;
    let rules = EACH.replace("RATE", "10/h");
    for (instances, part) in [("", 10), (", instances: 2", 5), (", instances: 100", 1)] {
        let config = config("redis://127.0.0.1:1/0", &rules);
        let config = config.replace("timeout: 5s", &format!("timeout: 5s{instances}"));
        for _ in 0..2 {
            let tidegate = Tidegate::configured(upstream.address, &config).await;
            does_without(&tidegate).await;
            assert_eq!(admitted(&tidegate, "/", "somebody", 20).await, part, "{config}");
        }
    }
}

#[tokio::test]
async fn an_admitted_client_learns_what_is_left() {
    let pair = Pair::with(&EACH.replace("RATE", "4/h")).await;
    pair.loses_redis().await;
    for left in [1, 0] {
        let request = client().get(pair.instances[0].url("/")).header("X-Client", "new");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(crate::harness::standing(answer.headers()), Some(("each".to_owned(), left)));
    }
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() {
    let pair = Pair::with(&EACH.replace("RATE", "4/h")).await;
    pair.loses_redis().await;
    let [one, _] = &pair.instances;
    assert_eq!(admitted(one, "/", "new", 2).await, 2);
    let refused = client().get(one.url("/")).header("X-Client", "new").send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let again: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=3600).contains(&again), "{again}");
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["status"], 429);
}

#[tokio::test]
async fn a_changed_rate_acts_at_once_on_who_stays_at_one_instance() {
    let pair = Pair::with(&EACH.replace("RATE", "10/h")).await;
    let [one, _] = &pair.instances;
    assert_eq!(admitted(one, "/", "regular", 4).await, 4);
    pair.loses_redis().await;
    assert_eq!(admitted(one, "/", "regular", 20).await, 6);
    pair.changes(&EACH.replace("RATE", "15/h")).await;
    assert_eq!(admitted(one, "/", "regular", 20).await, 5);
    pair.changes(&EACH.replace("RATE", "12/h")).await;
    assert_eq!(admitted(one, "/", "regular", 20).await, 0);
}
