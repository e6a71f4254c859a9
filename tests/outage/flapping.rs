//! Redis comes and goes all the time.

use std::time::Duration;

use crate::traffic::INSTANCES;
use crate::{Disturbed, Fleet};

const SECOND: Duration = Duration::from_secs(1);
/// The most lines that an instance may log about it.
const LINES: usize = 20;
/// The most connections to Redis that an instance may make in a second.
const CONNECTIONS: usize = 5;

#[derive(Clone, Copy)]
enum Away {
    Hangs,
    Dead,
}

pub async fn hangs_repeatedly() -> Result<(), Disturbed> {
    flaps(Away::Hangs, "Redis hangs every other second").await
}

pub async fn dies_repeatedly() -> Result<(), Disturbed> {
    flaps(Away::Dead, "Redis is dead every other second").await
}

async fn flaps(away: Away, title: &str) -> Result<(), Disturbed> {
    let mut fleet = Fleet::start().await;
    let before = fleet.goes_on(SECOND).await;
    let lines_before = lines(&fleet);
    let (mut seen, mut made) = (connections(&fleet).await, 0);
    for _ in 0..fleet.length.flaps() {
        match away {
            Away::Hangs => fleet.redis.signal("STOP"),
            Away::Dead => fleet.redis.kill().await,
        }
        fleet.goes_on(SECOND).await;
        match away {
            Away::Hangs => fleet.redis.signal("CONT"),
            Away::Dead => {
                fleet.redis.restart().await;
                seen = 0;
            }
        }
        fleet.goes_on(SECOND).await;
        let now = connections(&fleet).await;
        made += now - seen;
        seen = now;
    }
    let flapping = before.end..fleet.traffic.now();
    let logged = lines(&fleet).into_iter().zip(lines_before).map(|(now, before)| now - before).max().unwrap();
    let what = format!("{title}: {made} connections to it, at most {logged} lines in a log");
    let run = fleet.ends().await?;
    run.show(&what, &[("before", &before), ("flapping", &flapping)]);
    run.log.no_request_failed();
    assert!(logged <= LINES, "{logged} lines in one instance's log");
    let seconds = usize::try_from((flapping.end - flapping.start).as_secs()).unwrap();
    assert!(made <= CONNECTIONS * INSTANCES * seconds, "{made} connections were made in {seconds} s");
    Ok(())
}

/// How many lines each instance has logged.
fn lines(fleet: &Fleet) -> Vec<usize> {
    fleet.instances.iter().map(|instance| instance.logged("").len()).collect()
}

/// How many connections Redis has seen since it was started, those of the tests included.
async fn connections(fleet: &Fleet) -> usize {
    fleet.redis.info("total_connections_received").await.unwrap().parse().unwrap()
}
