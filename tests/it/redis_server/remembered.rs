//! Refusals are remembered: a client over its limit costs Redis next to nothing, and other clients nothing.

use bb8_redis::redis::{FromRedisValue as _, Value};
use tidegate::clock::Stopwatch;

use super::{Visitor, configured, counting_in, settings};
use crate::harness::{Redis, Tidegate, Upstream, eventually};

/// More commands than any test sends.
const PLENTY: &str = "100000";

/// Has Redis take note of all the commands that it is sent from now on.
async fn takes_notes(redis: &Redis) {
    for (setting, value) in [("slowlog-max-len", PLENTY), ("slowlog-log-slower-than", "0")] {
        let _: String = redis.command(&["CONFIG", "SET", setting, value]).await;
    }
}

/// Returns how often Redis has decided about one client by this rule since then. (Settling a counter takes two keys, and
/// heartbeats concern no rule.)
async fn asked(redis: &Redis, rule: &str) -> usize {
    let notes: Vec<Vec<Value>> = redis.command(&["SLOWLOG", "GET", PLENTY]).await;
    let rule = format!(":{rule}:");
    let asks = |mut note: Vec<Value>| {
        let command = <Vec<Vec<u8>>>::from_redis_value(note.remove(3)).unwrap();
        let words: Vec<_> = command.iter().map(|word| String::from_utf8_lossy(word)).collect();
        matches!(&words[..], [name, _, keys, key, ..] if name == "EVALSHA" && keys == "1" && key.contains(&rule))
    };
    notes.into_iter().map(asks).filter(|asks| *asks).count()
}

async fn decisions(tidegate: &Tidegate, origin: &str) -> usize {
    let series = format!("tidegate_decisions_total{{origin=\"{origin}\"}}");
    format!("{}", tidegate.metric(&series).await.unwrap()).parse().unwrap()
}

/// Waits until the process has read so many configurations, the first included.
async fn read(tidegate: &Tidegate, times: f64) {
    let series = "tidegate_config_reloads_total{result=\"ok\"}";
    let done = async || (tidegate.metric(series).await? >= times).then_some(());
    eventually("the configuration to be read", done).await;
}

fn config(redis: &Redis, quota: usize) -> String {
    settings(&format!("url: '{}'", redis.url()), quota)
}

#[tokio::test]
async fn a_client_that_will_not_stop_costs_redis_next_to_nothing() {
    let redis = Redis::start().await;
    takes_notes(&redis).await;
    let (upstream, tidegate) = counting_in(&redis, 10).await;
    let (visitor, watch) = (Visitor::new(&tidegate), Stopwatch::start());
    let mut refused = Vec::new();
    for request in 0..300 {
        let told = visitor.ask("/open").await;
        assert_eq!(told.status, if request < 10 { 200 } else { 429 });
        refused.extend(told.retry_after);
    }
    assert_eq!((upstream.seen().len(), refused.len()), (10, 290));
    assert!((1..=3_600).contains(&refused[0]));
    assert!(refused.is_sorted_by(|earlier, later| earlier >= later), "{refused:?}");
    let asked = asked(&redis, "open").await;
    // A refusal is remembered for 5 s.
    let most = 2 + usize::try_from(watch.millis() / 5_000).unwrap();
    assert!(asked - 10 <= most, "{asked} calls");
    let origins = [("store", asked), ("denied_cache", 300 - asked), ("open", 0), ("closed", 0)];
    for (origin, count) in origins {
        assert_eq!(decisions(&tidegate, origin).await, count, "{origin}");
    }
    assert_eq!(tidegate.counted("open", "limited").await, 290.0);
    let falls = async || (visitor.ask("/open").await.retry_after? < refused[0]).then_some(());
    eventually("Retry-After to fall", falls).await;
}

#[tokio::test]
async fn what_is_remembered_of_one_holds_for_nobody_else() {
    let redis = Redis::start().await;
    let (_upstream, tidegate) = counting_in(&redis, 1).await;
    let (_other_upstream, elsewhere) = counting_in(&redis, 1).await;
    let [one, other] = [Visitor::new(&tidegate), Visitor::new(&tidegate)];
    for status in [200, 429, 429] {
        assert_eq!(one.status("/open").await, status);
    }
    assert_eq!(other.status("/open").await, 200);
    assert_eq!(one.status("/closed").await, 200, "another rule's counter");
    let there = Visitor::of(&elsewhere, &one.name);
    assert_eq!(there.status("/open").await, 429, "the other instance queries Redis");
    assert_eq!(decisions(&elsewhere, "denied_cache").await, 0);
    assert_eq!(there.status("/closed").await, 429);
    assert_eq!(Visitor::new(&elsewhere).status("/open").await, 200);
}

#[tokio::test]
async fn a_rule_that_changes_is_another_question() {
    let redis = Redis::start().await;
    let (_upstream, tidegate) = counting_in(&redis, 2).await;
    let visitor = Visitor::new(&tidegate);
    for status in [200, 200, 429, 429] {
        assert_eq!(visitor.status("/open").await, status);
    }
    // Each refusal before the change is remembered for seconds, and each change acts at once.
    for (times, quota, statuses) in
        [(2.0, 4, [200, 200, 429]), (3.0, 3, [429, 429, 429]), (4.0, 6, [200, 200, 429])]
    {
        tidegate.rewrite(&config(&redis, quota));
        read(&tidegate, times).await;
        for status in statuses {
            assert_eq!(visitor.status("/open").await, status, "of {quota}");
        }
    }
    tidegate.rewrite(&config(&redis, 6).replace("name: open,", "name: open, burst: 2,"));
    read(&tidegate, 5.0).await;
    for status in [200, 200, 429] {
        assert_eq!(visitor.status("/open").await, status, "with the burst allowance");
    }
    for (times, mode, status) in [(6.0, "shadow", 200), (7.0, "enforce", 429), (8.0, "off", 200)] {
        let named = format!("name: open, mode: {mode}, burst: 2,");
        let changed = config(&redis, 6).replace("name: open,", &named);
        tidegate.rewrite(&changed);
        read(&tidegate, times).await;
        for _ in 0..2 {
            assert_eq!(visitor.status("/open").await, status, "mode: {mode}");
        }
    }
}

#[tokio::test]
async fn a_remembered_refusal_of_one_limit_leaves_the_other_uncharged() {
    let redis = Redis::start().await;
    let limits = |minute: usize| {
        let one = "rate: 3/h".to_owned();
        let two = format!("limits: [{{ rate: {minute}/min }}, {{ rate: 5/day }}]");
        config(&redis, 3).replacen(&one, &two, 1)
    };
    let (_upstream, tidegate) = configured(&limits(3)).await;
    let visitor = Visitor::new(&tidegate);
    for status in [200, 200, 200, 429, 429, 429, 429] {
        assert_eq!(visitor.status("/open").await, status);
    }
    assert!(
        visitor.ask("/open").await.retry_after.unwrap() <= 60,
        "the day's limit was charged for refusals"
    );
    assert!(decisions(&tidegate, "denied_cache").await > 0);
    tidegate.rewrite(&limits(1_000));
    read(&tidegate, 2.0).await;
    for status in [200, 200, 429, 429] {
        assert_eq!(visitor.status("/open").await, status, "the day's limit has room for two more");
    }
    assert!(visitor.ask("/open").await.retry_after.unwrap() > 60);
}

#[tokio::test]
async fn a_shadow_rule_lets_pass_whatever_is_remembered() {
    let redis = Redis::start().await;
    let shadow = "global: [{ name: all, rate: 2/h, mode: shadow }]\n";
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, &(config(&redis, 5) + shadow)).await;
    let visitor = Visitor::new(&tidegate);
    for request in 0..5 {
        assert_eq!(visitor.status("/open").await, 200);
        let marked = upstream.last().headers.contains_key("x-ratelimit-exceeded");
        assert_eq!(marked, request >= 2);
    }
    assert_eq!(tidegate.counted("all", "shadow_limited").await, 3.0);
    assert_eq!(decisions(&tidegate, "denied_cache").await, 0);
    // The rule that refuses is remembered; the one beside it is not checked and does not refuse.
    for status in [429, 429, 429] {
        assert_eq!(visitor.status("/open").await, status);
    }
    assert_eq!(Visitor::new(&tidegate).status("/open").await, 200);
}
