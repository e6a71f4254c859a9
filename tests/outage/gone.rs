//! Redis is killed, and does not come back.

use crate::{Disturbed, Fleet};

pub async fn is_killed() -> Result<(), Disturbed> {
    let mut fleet = Fleet::start().await;
    let before = fleet.warms_up().await;
    fleet.redis.signal("KILL");
    let outage = fleet.goes_on(fleet.length.scale.window).await;
    let run = fleet.ends().await?;
    run.show("Redis is killed", &[("before", &before), ("outage", &outage)]);
    run.log.no_request_failed();
    run.log.honest_clients_were_admitted();
    run.log.limits_held(&outage, 10);
    Ok(())
}
