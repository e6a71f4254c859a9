//! Where Redis should be is something else.

use tokio::io::AsyncReadExt as _;

use super::{Visitor, configured, decides, does_without, settings};
use crate::harness::{Redis, Upstream, eventually};

/// Returns why there is no decision with this server.
async fn instead_of_redis(stranger: &Upstream) -> String {
    let (_upstream, mut tidegate) =
        configured(&settings(&format!("url: 'redis://{}'", stranger.address), 5)).await;
    let error = does_without(&tidegate, 1).await;
    assert!(stranger.connections() > 0);
    assert!(tidegate.is_running());
    error
}

#[tokio::test]
async fn a_web_server_is_no_store() {
    let error = instead_of_redis(&Upstream::start().await).await;
    assert!(error.starts_with("no connection"), "{error}");
}

#[tokio::test]
async fn a_listener_that_says_nothing_is_no_store() {
    let silent = Upstream::raw(async |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let error = instead_of_redis(&silent.await).await;
    assert!(error.starts_with("no connection"), "{error}");
}

#[tokio::test]
async fn whoever_hangs_up_is_no_store() {
    let error = instead_of_redis(&Upstream::raw(async |stream| drop(stream)).await).await;
    assert!(error.starts_with("no connection"), "{error}");
}

#[tokio::test]
async fn redis_in_the_place_of_a_stranger_is_used() {
    let stranger = Upstream::start().await;
    let port = stranger.address.port();
    let (_upstream, tidegate) =
        configured(&settings(&format!("url: 'redis://{}'", stranger.address), 5)).await;
    does_without(&tidegate, 1).await;
    drop(stranger);
    let _redis = eventually("redis-server to have the port", async || Redis::start_on(port).await).await;
    decides(&tidegate).await;
    assert_eq!(Visitor::new(&tidegate).ask("/open").await.left, Some(4));
}
