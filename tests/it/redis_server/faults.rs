//! Redis loses what it had, cuts connections, or takes no more: the outage policy holds meanwhile, and limits after.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::{
    DOWN, UP, Visitor, configured, counting_in, decides, does_without, does_without_because, settings,
};
use crate::harness::{Redis, Setup, eventually, flood};

#[tokio::test]
async fn scripts_that_are_flushed_come_back_without_anybody_noticing() {
    let redis = Redis::start().await;
    let (_upstream, tidegate) = counting_in(&redis, 10).await;
    let visitor = Visitor::new(&tidegate);
    for left in (0..10).rev() {
        let _: String = redis.command(&["SCRIPT", "FLUSH"]).await;
        let told = visitor.ask("/closed").await;
        assert_eq!((told.status, told.left), (200, Some(left)));
    }
    let _: String = redis.command(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(visitor.status("/closed").await, 429);
    assert_eq!(tidegate.metric(UP).await, Some(1.0));
    assert!(tidegate.logged(DOWN).is_empty());
}

async fn cut(redis: &Redis) {
    let _: i64 = redis.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
}

#[tokio::test]
async fn connections_that_are_cut_between_requests_cost_no_count() {
    let redis = Redis::start().await;
    let (_upstream, tidegate) = counting_in(&redis, 20).await;
    let visitor = Visitor::new(&tidegate);
    let (mut left, mut unchecked) = (Vec::new(), 0);
    // What meets a connection that is gone already passes unchecked: it is not known to be gone before.
    for cuts in 1..=21 {
        decides(&tidegate).await;
        cut(&redis).await;
        let counted = async || {
            let told = visitor.ask("/open").await;
            unchecked += usize::from(told.left.is_none());
            told.left.map(|left| (told.status, left))
        };
        let (status, now_left) = eventually("the next count", counted).await;
        assert_eq!(status, if cuts <= 20 { 200 } else { 429 });
        left.push(now_left);
    }
    assert_eq!(left, (0..20).rev().chain([0]).collect::<Vec<_>>());
    // Of each connection, of which there are 4 at most.
    assert!(unchecked <= 4 * 21, "{unchecked} requests were not checked");
    assert!(tidegate.logged(DOWN).is_empty(), "{:#?}", tidegate.logged(DOWN));
}

#[tokio::test]
async fn connections_that_are_cut_under_load_lose_at_most_what_was_under_way() {
    let redis = Redis::start().await;
    let (_upstream, tidegate) = counting_in(&redis, 400).await;
    let visitor = Visitor::new(&tidegate);
    let mut statuses = BTreeMap::new();
    for _ in 0..10 {
        let (answers, ()) = tokio::join!(flood(30, |_| visitor.request("/closed")), cut(&redis));
        for (status, count) in answers {
            *statuses.entry(status).or_insert(0) += count;
        }
    }
    let failed = statuses.remove(&503).unwrap_or_default();
    assert_eq!(statuses, [(200, 300 - failed)].into());
    decides(&tidegate).await;
    let after = visitor.ask("/closed").await;
    let counted = 400 - usize::try_from(after.left.unwrap()).unwrap() - 1;
    assert!(
        (300 - failed..=300).contains(&counted),
        "{counted} counted of 300, {failed} of which had no decision"
    );
}

#[tokio::test]
async fn a_redis_without_memory_is_an_outage_until_it_has_some() {
    let redis = Redis::with(&Setup::plain(&["--maxmemory-policy", "noeviction"])).await;
    let (_upstream, tidegate) = counting_in(&redis, 3).await;
    let visitor = Visitor::new(&tidegate);
    assert_eq!(visitor.ask("/open").await.left, Some(2));
    let _: String = redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    does_without_because(&tidegate, 1, |error| error.contains("OOM")).await;
    assert_eq!(visitor.ask("/open").await.left, None);
    let _: String = redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    decides(&tidegate).await;
    assert_eq!(visitor.ask("/open").await.left, Some(1), "what was not counted is, or the other way round");
}

#[tokio::test]
async fn counters_that_are_deleted_start_anew_even_for_those_refused() {
    let redis = Redis::start().await;
    let (_upstream, tidegate) = counting_in(&redis, 2).await;
    // First: what was counted before there was a connection is settled by then.
    decides(&tidegate).await;
    let [some, all] = [Visitor::new(&tidegate), Visitor::new(&tidegate)];
    assert_eq!(some.ask("/open").await.left, Some(1));
    for status in [200, 200, 429, 429] {
        assert_eq!(all.status("/open").await, status);
    }
    let _: String = redis.command(&["FLUSHALL"]).await;
    assert_eq!(some.ask("/open").await.left, Some(1));
    // The refusal is remembered for a while.
    let admitted = async || Some(all.ask("/open").await).filter(|told| told.status != 429);
    let admitted = eventually("the refusal to be forgotten", admitted).await;
    assert_eq!((admitted.status, admitted.left), (200, Some(1)));
    assert!(tidegate.logged(DOWN).is_empty());
}

#[tokio::test]
async fn a_replica_is_an_outage_until_it_is_promoted() {
    let (primary, replica) = (Redis::start().await, Redis::start().await);
    replica.replica_of(&primary).await;
    let (_upstream, tidegate) = counting_in(&replica, 5).await;
    does_without_because(&tidegate, 1, |error| error.contains("ReadOnly")).await;
    let _: String = replica.command(&["REPLICAOF", "NO", "ONE"]).await;
    decides(&tidegate).await;
    assert_eq!(Visitor::new(&tidegate).ask("/open").await.left, Some(4));
}

#[tokio::test]
async fn while_redis_loads_its_data_the_outage_policy_holds() {
    let slow = ["--loading-process-events-interval-bytes", "1024", "--enable-debug-command", "yes"];
    let redis = Redis::with(&Setup::plain(&slow)).await;
    let (_upstream, tidegate) = counting_in(&redis, 5).await;
    let visitor = Visitor::new(&tidegate);
    assert_eq!(visitor.ask("/open").await.left, Some(4));
    let _: String = redis.command(&["DEBUG", "POPULATE", "20000", "key", "1024"]).await;
    let _: String = redis.command(&["CONFIG", "SET", "key-load-delay", "5000"]).await;
    let loads = async {
        let _ = redis.try_command::<String>(&["DEBUG", "RELOAD"]).await;
    };
    let outage = async {
        does_without_because(&tidegate, 1, |error| error.contains("loading")).await;
        let _: String = redis.command(&["CONFIG", "SET", "key-load-delay", "0"]).await;
    };
    tokio::join!(outage, loads);
    decides(&tidegate).await;
    assert_eq!(visitor.ask("/open").await.left, Some(3), "what was counted before is forgotten");
}

#[tokio::test]
async fn all_instances_join_again_when_redis_is_back_on_its_port() {
    let mut redis = Redis::start().await;
    let config = settings(&format!("url: '{}'", redis.url()), 12);
    let mut fleet = Vec::new();
    for _ in 0..3 {
        fleet.push(configured(&config).await);
    }
    for outages in 1..=2 {
        redis.kill().await;
        join_all(fleet.iter().map(async |(_, tidegate)| does_without(tidegate, outages).await)).await;
        redis.restart().await;
        join_all(fleet.iter().map(async |(_, tidegate)| decides(tidegate).await)).await;
    }
    let mut left = Vec::new();
    for _ in 0..2 {
        for (_, tidegate) in &fleet {
            left.extend(Visitor::of(tidegate, "everywhere").ask("/open").await.left);
        }
    }
    assert_eq!(left, (6..12).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_key_of_another_type_under_the_name_of_a_counter_switches_no_limit_off() {
    let redis = Redis::start().await;
    let (_upstream, tidegate) = counting_in(&redis, 2).await;
    // First: what was counted before there was a connection is settled by then.
    decides(&tidegate).await;
    let visitor = Visitor::new(&tidegate);
    for path in ["/open", "/closed"] {
        assert_eq!(visitor.ask(path).await.left, Some(1));
    }
    let mut counters = redis.counters().await;
    counters.retain(|counter| !counter.contains(":scout:"));
    assert_eq!(counters.len(), 2);
    for counter in &counters {
        let _: i64 = redis.command(&["DEL", counter]).await;
        let _: i64 = redis.command(&["RPUSH", counter, "a list"]).await;
    }
    for path in ["/open", "/closed"] {
        for (status, left) in [(200, 1), (200, 0), (429, 0)] {
            let told = visitor.ask(path).await;
            assert_eq!((told.status, told.left), (status, Some(left)), "{path}");
        }
    }
    assert!(tidegate.logged(DOWN).is_empty());
}
