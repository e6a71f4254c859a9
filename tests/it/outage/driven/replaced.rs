//! An instance dies while Redis is away, and another takes its place, which knows of no client what it has used.

use super::{Fleet, Run, Scenario};

/// The place that changes hands.
const PLACE: usize = 1;

static REPLACED: Scenario = Scenario::new();

fn replaced() -> &'static Run {
    REPLACED.played(async || {
        let mut fleet = Fleet::start().await;
        fleet.warms_up().await;
        fleet.redis.kill().await;
        let start = fleet.now;
        fleet.misses_redis().await;
        fleet.until(start + fleet.scale.windows(0.25)).await;
        fleet.loses(PLACE);
        fleet.until(start + fleet.scale.windows(0.5)).await;
        fleet.gains(PLACE);
        let end = fleet.until(start + fleet.scale.window).await.end;
        fleet.ends(start..end, end..end).await
    })
}

#[test]
fn no_request_fails() {
    replaced().log.no_request_failed();
}

#[test]
fn greedy_clients_are_neither_shut_out_nor_freed() {
    let Run { log, outage, .. } = replaced();
    for client in log.greedy() {
        let (admitted, quota) = (log.admitted(client, outage), log.quota());
        let name = &log.clients[client].name;
        assert!(
            (quota / 2..=quota * 2).contains(&admitted),
            "{name}: {admitted} requests were admitted, with a limit of {quota}"
        );
    }
}
