//! The network between the instances and Redis is slow, silent, or cuts connections.

use std::time::Duration;

use super::fleet::TIMEOUT;
use super::{Fleet, Run, Scenario};
use crate::harness::Network;

/// A check has its reply in time.
const NEAR: Network = Network::Delay(Duration::from_millis(2));
/// A check reaches Redis when its caller has timed out.
const FAR: Network = Network::Delay(TIMEOUT.saturating_mul(2));
const WELL: Network = Network::Delay(Duration::ZERO);
const SECOND: Duration = Duration::from_secs(1);

/// The network is slow, but not too slow: no instance decides without Redis.
async fn is_slow() -> Run {
    let (mut fleet, relay) = Fleet::behind_a_relay().await;
    fleet.warms_up().await;
    relay.becomes(NEAR);
    let slow = fleet.goes_on(SECOND).await;
    relay.becomes(WELL);
    let after = fleet.goes_on(fleet.scale.window).await;
    fleet.ends(slow, after).await
}

/// Redis is out of reach for a window.
async fn fails(network: Network) -> Run {
    let (mut fleet, relay) = Fleet::behind_a_relay().await;
    fleet.warms_up().await;
    relay.becomes(network);
    let start = fleet.now;
    fleet.misses_redis().await;
    let outage = start..fleet.until(start + fleet.scale.window).await.end;
    relay.becomes(WELL);
    fleet.has_redis_back().await;
    let after = fleet.goes_on(fleet.scale.window).await;
    fleet.ends(outage, after).await
}

/// All connections are cut once a second, and some of the new ones too.
async fn resets() -> Run {
    let (mut fleet, relay) = Fleet::behind_a_relay().await;
    let start = fleet.warms_up().await.end;
    relay.becomes(Network::ResetEvery(10));
    while fleet.now < start + fleet.scale.window {
        relay.cut();
        fleet.reaches_each_instance().await;
        fleet.has_redis_back().await;
        fleet.goes_on(SECOND).await;
    }
    let outage = start..fleet.now;
    relay.becomes(WELL);
    let after = fleet.goes_on(fleet.scale.window).await;
    fleet.ends(outage, after).await
}

/// The same promises, whatever the network does.
macro_rules! promises_hold {
    ($($name:ident: $script:expr;)*) => {
        $(mod $name {
            use super::*;

            static SCENARIO: Scenario = Scenario::new();

            fn run() -> &'static Run {
                SCENARIO.played(async || $script.await)
            }

            #[test]
            fn no_request_fails() {
                run().log.no_request_failed();
            }

            #[test]
            fn honest_clients_are_admitted() {
                run().log.honest_clients_were_admitted();
            }

            #[test]
            fn limits_hold() {
                let Run { log, outage, .. } = run();
                log.limits_held(outage, 10);
                log.limits_held(&log.whole(), 10);
            }

            #[test]
            fn each_admitted_request_is_counted_once() {
                run().tally.is_complete();
            }
        })*
    };
}

promises_hold! {
    slow: is_slow();
    far_away: fails(FAR);
    mute: fails(Network::Mute);
    half_open: fails(Network::Hold);
    resetting: resets();
}
