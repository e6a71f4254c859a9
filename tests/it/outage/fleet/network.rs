//! The network between the instances and Redis is slow, silent, or cuts connections.

use std::time::Duration;

use super::{Disturbed, Fleet, Span, undisturbed};
use crate::harness::{Network, Relay};

const fn round_trip(millis: u64) -> Network {
    Network::Delay(Duration::from_millis(millis))
}

const TROUBLES: [(&str, Network); 6] = [
    ("15 ms", round_trip(15)),
    ("50 ms", round_trip(50)),
    ("500 ms", round_trip(500)),
    ("mute", Network::Mute),
    ("resets", Network::ResetEvery(10)),
    ("half-open", Network::Hold),
];
const AT_ONCE: Network = round_trip(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_network_to_redis_does_nobody_notices_and_limits_hold() {
    undisturbed(has_a_bad_network).await;
}

async fn has_a_bad_network() -> Result<(), Disturbed> {
    let (mut fleet, relay) = Fleet::behind_a_relay().await;
    let mut spans = vec![("before", fleet.warms_up().await)];
    for (name, network) in TROUBLES {
        spans.push((name, trouble(&fleet, &relay, network).await));
        relay.becomes(AT_ONCE);
        fleet.goes_on(fleet.scale.rest()).await;
    }
    spans.push(("after", fleet.until_quiet(Duration::ZERO).await));
    let mut phases: Vec<(&str, &Span)> = spans.iter().map(|(name, span)| (*name, span)).collect();
    let all = Duration::ZERO..fleet.traffic.now();
    phases.push(("all", &all));
    let log = fleet.ends().await?;
    log.show("The network to Redis", &phases);
    log.nobody_noticed();
    log.limits_held(&log.whole(), 10);
    // In parts of a window it matters when exactly requests are let through.
    for (_, span) in spans.iter().filter(|(_, span)| span.end - span.start >= fleet.scale.window) {
        log.limits_held(span, 10);
    }
    Ok(())
}

async fn trouble(fleet: &Fleet, relay: &Relay, network: Network) -> Span {
    let start = fleet.traffic.now();
    let end = start + fleet.scale.trouble();
    relay.becomes(network);
    while fleet.traffic.now() < end {
        fleet.until(end.min(fleet.traffic.now() + Duration::from_secs(1))).await;
        // Connections live long: without this there would be no new ones to be reset.
        if matches!(network, Network::ResetEvery(_)) {
            relay.cut();
        }
    }
    start..end
}
