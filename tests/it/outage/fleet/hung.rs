//! Redis hangs, and goes on later with what has been sent to it meanwhile.

use super::{Disturbed, Fleet, SOON, undisturbed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_hangs_limits_hold_and_nothing_is_counted_twice_afterwards() {
    undisturbed(hangs).await;
}

async fn hangs() -> Result<(), Disturbed> {
    let mut fleet = Fleet::start().await;
    let before = fleet.warms_up().await;
    fleet.redis.signal("STOP");
    let outage = fleet.goes_on(fleet.scale.hang()).await;
    fleet.redis.signal("CONT");
    let after = fleet.until_quiet(fleet.scale.window / 2).await;
    let log = fleet.ends().await?;
    let tally = fleet.tally(&log).await;
    let phases = [("before", &before), ("outage", &outage), ("after", &after)];
    log.show(&format!("Redis hangs; {tally}"), &phases);
    log.nobody_noticed();
    tally.counts_nothing_twice();
    log.honest_clients_were_let_through();
    log.limits_held(&outage, 10);
    log.no_window_had_too_many(&(after.start + SOON..after.end));
    Ok(())
}
