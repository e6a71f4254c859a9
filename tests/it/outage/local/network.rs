//! The network to Redis is slow, silent, or cuts connections, under whole processes: each request has its response, and a
//! client that has used its limit gets no more. (`driven/network.rs`: steady traffic over several instances.)

use std::time::Duration;

use super::{EACH, admitted, has_settled, impatient};
use crate::harness::{Network, Redis, Relay, Upstream};

/// More than a check waits.
const FAR: Network = Network::Delay(Duration::from_secs(3));
const WELL: Network = Network::Delay(Duration::ZERO);
const QUOTA: usize = 40;
/// A counter that lacks at most one part in 20 of its limit decides before that is added.
const MUCH: usize = QUOTA / 20;

async fn each_request_has_its_response(network: Network) {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let relay = Relay::to(redis.port()).await;
    let tidegate = impatient(&upstream, &relay.url(), &EACH.replace("RATE", "40/h")).await;
    let mut all = admitted(&tidegate, "/", "a", 10).await;
    assert_eq!(all, 10);
    relay.becomes(network);
    all += admitted(&tidegate, "/", "a", 10).await;
    assert_eq!(all, 20, "a client within its limit was refused");
    // Those that are cut now, or time out, are under way.
    relay.becomes(network);
    all += admitted(&tidegate, "/", "a", 2 * QUOTA).await;
    relay.becomes(WELL);
    has_settled(&tidegate).await;
    all += admitted(&tidegate, "/", "a", QUOTA).await;
    assert!((QUOTA..=QUOTA + MUCH).contains(&all), "{all} requests were admitted");
}

#[tokio::test]
async fn while_redis_is_far_away_each_request_has_its_response() {
    each_request_has_its_response(FAR).await;
}

#[tokio::test]
async fn while_the_network_is_mute_each_request_has_its_response() {
    each_request_has_its_response(Network::Mute).await;
}

#[tokio::test]
async fn while_connections_are_half_open_each_request_has_its_response() {
    each_request_has_its_response(Network::Hold).await;
}

#[tokio::test]
async fn while_connections_are_reset_each_request_has_its_response() {
    each_request_has_its_response(Network::ResetEvery(2)).await;
}
