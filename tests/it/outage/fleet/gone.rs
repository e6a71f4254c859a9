//! Redis is killed, and does not come back.

use super::{Disturbed, Fleet, undisturbed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_limits_hold_and_no_honest_client_is_refused() {
    undisturbed(is_killed).await;
}

async fn is_killed() -> Result<(), Disturbed> {
    let mut fleet = Fleet::start().await;
    let before = fleet.warms_up().await;
    fleet.redis.signal("KILL");
    let outage = fleet.goes_on(fleet.scale.window).await;
    let log = fleet.ends().await?;
    log.show("Redis is killed", &[("before", &before), ("outage", &outage)]);
    log.nobody_noticed();
    log.honest_clients_were_let_through();
    log.limits_held(&outage, 10);
    Ok(())
}
