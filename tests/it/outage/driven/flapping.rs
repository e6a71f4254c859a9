//! Redis comes and goes.

use std::time::Duration;

use super::{Fleet, Run, Scenario};
use crate::harness::Setup;

const SECOND: Duration = Duration::from_secs(1);
const TIMES: usize = 3;

static HANGS: Scenario = Scenario::new();
static DIES: Scenario = Scenario::new();

fn hangs() -> &'static Run {
    HANGS.played(async || {
        let mut fleet = Fleet::start().await;
        let start = fleet.warms_up().await.end;
        for _ in 0..TIMES {
            fleet.redis.stop().await;
            fleet.misses_redis().await;
            fleet.goes_on(SECOND).await;
            fleet.redis.signal("CONT");
            fleet.has_redis_back().await;
            fleet.goes_on(SECOND).await;
        }
        let flapping = start..fleet.now;
        let after = fleet.goes_on(fleet.scale.window).await;
        fleet.ends(flapping, after).await
    })
}

fn dies() -> &'static Run {
    DIES.played(async || {
        let mut fleet = Fleet::on(&Setup::default()).await;
        let start = fleet.warms_up().await.end;
        for _ in 0..TIMES {
            fleet.redis.kill().await;
            fleet.misses_redis().await;
            fleet.goes_on(SECOND).await;
            fleet.redis.restart().await;
            fleet.has_redis_back().await;
            fleet.goes_on(SECOND).await;
        }
        let flapping = start..fleet.now;
        let after = fleet.goes_on(fleet.scale.window).await;
        fleet.ends(flapping, after).await
    })
}

#[test]
fn no_request_fails_with_a_redis_that_hangs_repeatedly() {
    hangs().log.no_request_failed();
}

#[test]
fn no_request_fails_with_a_redis_that_dies_repeatedly() {
    dies().log.no_request_failed();
}

#[test]
fn limits_hold_with_a_redis_that_hangs_repeatedly() {
    let Run { log, outage, .. } = hangs();
    log.limits_held(outage, 10);
}

#[test]
fn limits_hold_with_a_redis_that_dies_repeatedly() {
    let Run { log, outage, .. } = dies();
    log.limits_held(outage, 10);
}

#[test]
fn each_admitted_request_is_counted_once_by_a_redis_that_hangs_repeatedly() {
    hangs().tally.is_complete();
}
