//! Redis hangs, and goes on later with what has been sent to it meanwhile.

use crate::{Disturbed, Fleet, SOON};

pub async fn hangs() -> Result<(), Disturbed> {
    let mut fleet = Fleet::start().await;
    let before = fleet.warms_up().await;
    fleet.redis.signal("STOP");
    let outage = fleet.goes_on(fleet.length.hang()).await;
    fleet.redis.signal("CONT");
    let after = fleet.until_quiet(fleet.length.scale.window / 2).await;
    let run = fleet.ends().await?;
    let tally = fleet.tally(&run.log).await;
    let phases = [("before", &before), ("outage", &outage), ("after", &after)];
    run.show(&format!("Redis hangs; {tally}"), &phases);
    run.log.no_request_failed();
    tally.counts_nothing_twice();
    run.log.honest_clients_were_admitted();
    run.log.limits_held(&outage, 10);
    run.log.no_window_exceeded(&(after.start + SOON..after.end), 110);
    Ok(())
}
