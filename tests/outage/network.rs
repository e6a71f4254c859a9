//! The network between the instances and Redis is slow, silent, or cuts connections.

use std::time::Duration;

use crate::harness::{Network, Relay};
use crate::traffic::Span;
use crate::{Disturbed, Fleet};

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

pub async fn fails() -> Result<(), Disturbed> {
    let (mut fleet, relay) = Fleet::behind_a_relay().await;
    let mut spans = vec![("before", fleet.warms_up().await)];
    for (name, network) in TROUBLES {
        spans.push((name, trouble(&fleet, &relay, network).await));
        relay.becomes(AT_ONCE);
        fleet.goes_on(fleet.length.rest()).await;
    }
    spans.push(("after", fleet.until_quiet(Duration::ZERO).await));
    let mut phases: Vec<(&str, &Span)> = spans.iter().map(|(name, span)| (*name, span)).collect();
    let all = Duration::ZERO..fleet.traffic.now();
    phases.push(("all", &all));
    let run = fleet.ends().await?;
    run.show("The network to Redis", &phases);
    run.log.no_request_failed();
    run.log.limits_held(&run.log.whole(), 10);
    // In parts of a window it matters when exactly requests are admitted.
    for (_, span) in spans.iter().filter(|(_, span)| span.end - span.start >= fleet.length.scale.window) {
        run.log.limits_held(span, 10);
    }
    Ok(())
}

async fn trouble(fleet: &Fleet, relay: &Relay, network: Network) -> Span {
    let start = fleet.traffic.now();
    let end = start + fleet.length.failure();
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
