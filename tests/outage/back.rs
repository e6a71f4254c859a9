//! Redis is killed and comes back soon, empty or with all it had: in the long run nobody gains anything by it.

use std::time::Duration;

use crate::harness::Setup;
use crate::length::Length;
use crate::{Disturbed, Fleet, SOON};

pub async fn comes_back_empty() -> Result<(), Disturbed> {
    for absence in Length::chosen().absences() {
        comes_back(Setup::default(), "Redis comes back empty", absence).await?;
    }
    Ok(())
}

pub async fn comes_back_with_its_data() -> Result<(), Disturbed> {
    for absence in Length::chosen().absences() {
        comes_back(Setup::plain(&["--appendonly", "yes"]), "Redis comes back with its data", absence).await?;
    }
    Ok(())
}

async fn comes_back(setup: Setup, what: &str, absence: Duration) -> Result<(), Disturbed> {
    let mut fleet = Fleet::on(&setup).await;
    let before = fleet.warms_up().await;
    fleet.redis.signal("KILL");
    let start = fleet.goes_on(absence).await.start;
    fleet.redis.restart().await;
    let outage = start..fleet.traffic.now();
    let after = fleet.until_quiet(fleet.length.scale.window).await;
    let run = fleet.ends().await?;
    let tally = fleet.tally(&run.log).await;
    let all = before.start..after.end;
    let phases = [("before", &before), ("outage", &outage), ("after", &after), ("all", &all)];
    run.show(&format!("{what} after {absence:?}; {tally}"), &phases);
    run.log.no_request_failed();
    run.log.honest_clients_were_admitted();
    run.log.no_window_exceeded(&(after.start + SOON..after.end), 110);
    run.log.limits_held(&run.log.whole(), 5);
    Ok(())
}
