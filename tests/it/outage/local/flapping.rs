//! Redis comes and goes: what that costs operators and Redis itself. (`driven/flapping.rs`: what it costs clients.)

use tidegate::clock::Stopwatch;

use super::{admitted, does_without, has_settled, impatient};
use crate::harness::{Redis, Relay, Upstream, eventually};

const TIMES: usize = 3;
/// Nobody is refused.
const RULES: &str = "rules: [{ name: each, key: ['header:X-Client'], rate: 1000000/h }]";

#[derive(Clone, Copy)]
enum Away {
    Hangs,
    Dead,
}

impl Redis {
    async fn goes(&self, away: Away) {
        match away {
            Away::Hangs => self.stop().await,
            Away::Dead => self.kill().await,
        }
    }

    async fn comes_back(&mut self, away: Away) {
        match away {
            Away::Hangs => self.signal("CONT"),
            Away::Dead => self.restart().await,
        }
    }
}

async fn an_outage_is_two_lines(away: Away) {
    let (upstream, mut redis) = (Upstream::start().await, Redis::start().await);
    let tidegate = impatient(&upstream, &redis.url(), RULES).await;
    let before = tidegate.logged("").len();
    for outages in 1..=TIMES {
        redis.goes(away).await;
        assert_eq!(admitted(&tidegate, "/", "a", 40).await, 40);
        does_without(&tidegate).await;
        redis.comes_back(away).await;
        has_settled(&tidegate).await;
        assert_eq!(admitted(&tidegate, "/", "a", 40).await, 40);
        let told = async || (tidegate.logged("").len() >= before + 2 * outages).then_some(());
        eventually("the log lines", told).await;
    }
    let lines = &tidegate.logged("")[before..];
    assert_eq!(lines.len(), 2 * TIMES, "{lines:#?}");
}

#[tokio::test]
async fn a_redis_that_hangs_repeatedly_is_two_lines_in_the_log_each_time() {
    an_outage_is_two_lines(Away::Hangs).await;
}

#[tokio::test]
async fn a_redis_that_dies_repeatedly_is_two_lines_in_the_log_each_time() {
    an_outage_is_two_lines(Away::Dead).await;
}

/// While Redis is away, connections are a matter of time, not of requests. (On a slow machine there are fewer in a second.)
async fn requests_make_no_connections(away: Away) {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let relay = Relay::to(redis.port()).await;
    let tidegate = impatient(&upstream, &relay.url(), RULES).await;
    redis.goes(away).await;
    assert_eq!(admitted(&tidegate, "/", "a", 40).await, 40);
    does_without(&tidegate).await;
    let (before, watch) = (relay.connections(), Stopwatch::start());
    assert_eq!(admitted(&tidegate, "/", "a", 1_000).await, 1_000);
    let (made, seconds) = (relay.connections() - before, watch.millis().unsigned_abs().div_ceil(1_000));
    let most = 20 * (1 + usize::try_from(seconds).unwrap());
    assert!(made <= most, "{made} connections in {seconds} s");
}

#[tokio::test]
async fn requests_make_no_connections_to_a_redis_that_hangs() {
    requests_make_no_connections(Away::Hangs).await;
}

#[tokio::test]
async fn requests_make_no_connections_to_a_redis_that_is_dead() {
    requests_make_no_connections(Away::Dead).await;
}
