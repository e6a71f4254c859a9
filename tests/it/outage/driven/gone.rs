//! Redis is killed, and does not come back.

use super::{Fleet, Run, Scenario};

static GONE: Scenario = Scenario::new();

fn gone() -> &'static Run {
    GONE.played(async || {
        let mut fleet = Fleet::start().await;
        fleet.warms_up().await;
        fleet.redis.kill().await;
        let start = fleet.now;
        fleet.misses_redis().await;
        let end = start + fleet.scale.window;
        fleet.until(end).await;
        fleet.ends(start..end, end..end).await
    })
}

#[test]
fn no_request_fails() {
    gone().log.no_request_failed();
}

#[test]
fn honest_clients_are_admitted() {
    gone().log.honest_clients_were_admitted();
}

#[test]
fn limits_hold() {
    let Run { log, outage, .. } = gone();
    log.limits_held(outage, 10);
}
