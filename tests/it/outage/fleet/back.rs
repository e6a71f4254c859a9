//! Redis is killed and comes back soon, empty or with all it had: in the long run nobody gains anything by it.

use std::time::Duration;

use super::{Disturbed, Fleet, SOON, Scale, undisturbed};
use crate::harness::Setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_empty_gives_no_client_more_than_its_limit() {
    for outage in outages() {
        undisturbed(async || comes_back(Setup::default(), "Redis comes back empty", outage).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_with_its_data_gives_no_client_more_than_its_limit() {
    for outage in outages() {
        let durable = || Setup::plain(&["--appendonly", "yes"]);
        undisturbed(async || comes_back(durable(), "Redis comes back with its data", outage).await).await;
    }
}

/// How long Redis is away, in seconds: less than a window, so that what was before counts still.
fn outages() -> Vec<u64> {
    if Scale::chosen().full { vec![2, 20] } else { vec![2] }
}

async fn comes_back(setup: Setup, what: &str, seconds: u64) -> Result<(), Disturbed> {
    let mut fleet = Fleet::on(&setup).await;
    let before = fleet.warms_up().await;
    fleet.redis.signal("KILL");
    let start = fleet.goes_on(Duration::from_secs(seconds)).await.start;
    fleet.redis.restart().await;
    let outage = start..fleet.traffic.now();
    let after = fleet.until_quiet(fleet.scale.window).await;
    let log = fleet.ends().await?;
    let tally = fleet.tally(&log).await;
    let all = before.start..after.end;
    let phases = [("before", &before), ("outage", &outage), ("after", &after), ("all", &all)];
    log.show(&format!("{what} after {seconds} s; {tally}"), &phases);
    log.nobody_noticed();
    log.honest_clients_were_let_through();
    log.no_window_had_too_many(&(after.start + SOON..after.end));
    log.limits_held(&log.whole(), 5);
    Ok(())
}
