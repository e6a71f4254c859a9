//! Redis is killed and comes back soon, empty or with all it had: in the long run nobody gains anything by it.

use std::time::Duration;

use super::{Fleet, Run, Scenario};
use crate::harness::Setup;
use crate::traffic::INSTANCES;

/// Less than a window, so that what was before counts still.
const AWAY: Duration = Duration::from_secs(2);

static EMPTY: Scenario = Scenario::new();
static WITH_ITS_DATA: Scenario = Scenario::new();

fn empty() -> &'static Run {
    EMPTY.played(async || comes_back(Setup::default()).await)
}

fn with_its_data() -> &'static Run {
    // Each write is the kernel's before Redis replies, so it outlives the process.
    let durable = Setup::plain(&["--appendonly", "yes", "--appendfsync", "no"]);
    WITH_ITS_DATA.played(async || comes_back(durable).await)
}

async fn comes_back(setup: Setup) -> Run {
    let mut fleet = Fleet::on(&setup).await;
    fleet.warms_up().await;
    fleet.redis.kill().await;
    let start = fleet.now;
    fleet.misses_redis().await;
    let outage = start..fleet.until(start + AWAY).await.end;
    fleet.redis.restart().await;
    fleet.has_redis_back().await;
    let after = fleet.goes_on(fleet.scale.windows(1.5)).await;
    fleet.ends(outage, after).await
}

#[test]
fn no_request_fails_with_a_redis_that_comes_back_empty() {
    empty().log.no_request_failed();
}

#[test]
fn no_request_fails_with_a_redis_that_comes_back_with_its_data() {
    with_its_data().log.no_request_failed();
}

#[test]
fn honest_clients_are_admitted_with_a_redis_that_comes_back_empty() {
    empty().log.honest_clients_were_admitted();
}

#[test]
fn honest_clients_are_admitted_with_a_redis_that_comes_back_with_its_data() {
    with_its_data().log.honest_clients_were_admitted();
}

#[test]
fn limits_hold_with_a_redis_that_comes_back_empty() {
    let Run { log, after, .. } = empty();
    log.limits_held(&log.whole(), 5);
    log.no_window_exceeded(after, 110);
}

#[test]
fn limits_hold_with_a_redis_that_comes_back_with_its_data() {
    let Run { log, after, .. } = with_its_data();
    log.limits_held(&log.whole(), 5);
    log.no_window_exceeded(after, 110);
}

#[test]
fn a_redis_that_comes_back_empty_counts_nearly_all_that_was_admitted() {
    // What an instance has admitted since another one last looked may be taken for what that one adds.
    empty().tally.lacks_at_most(INSTANCES);
}

#[test]
fn a_redis_that_comes_back_with_its_data_counts_all_that_was_admitted() {
    with_its_data().tally.is_complete();
}
