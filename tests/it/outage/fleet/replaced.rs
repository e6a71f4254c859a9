//! An instance dies while Redis is away, and another takes its place, which knows of nobody what they have used.

use super::log::none;
use super::traffic::Record;
use super::{Disturbed, Fleet, undisturbed};

/// The place that changes hands.
const PLACE: usize = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_replaced_during_an_outage_frees_nobody_and_shuts_nobody_out() {
    undisturbed(loses_an_instance).await;
}

async fn loses_an_instance() -> Result<(), Disturbed> {
    let mut fleet = Fleet::start().await;
    let before = fleet.warms_up().await;
    fleet.redis.signal("KILL");
    let four = fleet.goes_on(fleet.scale.windows(0.25)).await;
    fleet.loses(PLACE);
    let three = fleet.goes_on(fleet.scale.windows(0.25)).await;
    fleet.gains(PLACE).await;
    let replaced = fleet.until(four.start + fleet.scale.window).await;
    let outage = four.start..replaced.end;
    let phases = [
        ("before", &before),
        ("four", &four),
        ("three", &three),
        ("four again", &replaced),
        ("outage", &outage),
    ];
    let log = fleet.ends().await?;
    log.show("An instance is replaced while Redis is away", &phases);
    // What was under way to the one that died has no answer.
    let lost =
        |record: &&Record| record.status.is_none() && record.instance == PLACE && record.sent <= three.start;
    let others: Vec<&Record> = log.failed().into_iter().filter(|record| !lost(record)).collect();
    none("an outage of Redis became one of the application", &others);
    for client in log.greedy() {
        let (admitted, quota) = (log.admitted(client, &outage), log.quota());
        let name = &log.clients[client].name;
        assert!(
            (quota / 2..=quota * 2).contains(&admitted),
            "{name}: {admitted} requests were let through, with a limit of {quota}"
        );
    }
    Ok(())
}
