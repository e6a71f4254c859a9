//! Redis hangs, and goes on later with what has been sent to it meanwhile.

use super::{Fleet, Run, Scenario};

static HUNG: Scenario = Scenario::new();

fn hung() -> &'static Run {
    HUNG.played(async || {
        let mut fleet = Fleet::start().await;
        fleet.warms_up().await;
        fleet.redis.stop().await;
        let start = fleet.now;
        fleet.misses_redis().await;
        let outage = start..fleet.until(start + fleet.scale.window).await.end;
        fleet.redis.signal("CONT");
        fleet.has_redis_back().await;
        let after = fleet.goes_on(fleet.scale.window).await;
        fleet.ends(outage, after).await
    })
}

#[test]
fn no_request_fails() {
    hung().log.no_request_failed();
}

#[test]
fn honest_clients_are_admitted() {
    hung().log.honest_clients_were_admitted();
}

#[test]
fn limits_hold_while_redis_hangs() {
    let Run { log, outage, .. } = hung();
    log.limits_held(outage, 10);
}

#[test]
fn limits_hold_afterwards() {
    let Run { log, after, .. } = hung();
    log.no_window_exceeded(after, 110);
}

#[test]
fn each_admitted_request_is_counted_once() {
    hung().tally.is_complete();
}
