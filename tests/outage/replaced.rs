//! An instance dies while Redis is away, and another takes its place, which knows of nobody what they have used.

use crate::run::Timed;
use crate::{Disturbed, Fleet};

/// The place that changes hands.
const PLACE: usize = 1;

pub async fn loses_an_instance() -> Result<(), Disturbed> {
    let mut fleet = Fleet::start().await;
    let before = fleet.warms_up().await;
    fleet.redis.signal("KILL");
    let four = fleet.goes_on(fleet.length.scale.windows(0.25)).await;
    fleet.loses(PLACE);
    let three = fleet.goes_on(fleet.length.scale.windows(0.25)).await;
    fleet.gains(PLACE).await;
    let replaced = fleet.until(four.start + fleet.length.scale.window).await;
    let outage = four.start..replaced.end;
    let phases = [
        ("before", &before),
        ("four", &four),
        ("three", &three),
        ("four again", &replaced),
        ("outage", &outage),
    ];
    let run = fleet.ends().await?;
    run.show("An instance is replaced while Redis is away", &phases);
    // What was under way to the one that died has no response.
    let lost = |timed: &&Timed| {
        timed.record.status.is_none() && timed.instance == PLACE && timed.record.sent <= three.start
    };
    let failed: Vec<_> =
        run.timed.iter().filter(|timed| timed.record.has_failed() && !lost(timed)).take(5).collect();
    assert!(failed.is_empty(), "an outage of Redis became one of the upstream: {failed:#?}");
    let log = &run.log;
    for client in log.greedy() {
        let (admitted, quota) = (log.admitted(client, &outage), log.quota());
        let name = &log.clients[client].name;
        assert!(
            (quota / 2..=quota * 2).contains(&admitted),
            "{name}: {admitted} requests were admitted, with a limit of {quota}"
        );
    }
    Ok(())
}
