//! Tunnels while tidegate ends.

use tokio_tungstenite::tungstenite::Message;

use super::{RULES, before, echo, h2_client, h2_tunnel, open, talk, tunnels_are};
use crate::harness::h2_wire::{END_STREAM, Frames, Outcome};
use crate::harness::{Tidegate, Wire, client, eventually};

fn ending(grace: &str) -> String {
    format!("shutdown: {{ settle: 0s, grace: {grace} }}\n{RULES}")
}

async fn stops_listening(tidegate: &Tidegate) {
    let refused = async || Wire::try_to(tidegate.address).await.is_none().then_some(());
    eventually("the listener to close", refused).await;
}

async fn is_ready(tidegate: &Tidegate) -> bool {
    client().get(tidegate.ops_url("/readyz")).send().await.unwrap().status() == 200
}

#[tokio::test]
async fn draining_waits_until_the_last_tunnel_is_closed() {
    let upstream = echo().await;
    let mut tidegate = before(&upstream, &ending("1h")).await;
    let mut socket = open(&tidegate).await.unwrap();
    let mut sender = h2_client(&tidegate).await;
    let mut shared = h2_tunnel(&mut sender).await;
    talk(&mut socket, "before").await;
    talk(&mut shared, "before").await;
    tunnels_are(&tidegate, 2.0).await;
    tidegate.signal("TERM");
    stops_listening(&tidegate).await;
    assert!(!is_ready(&tidegate).await);
    for round in 0..3 {
        talk(&mut socket, &format!("after {round}")).await;
        talk(&mut shared, &format!("after {round}")).await;
    }
    socket.close(None).await.unwrap();
    while let Some(Ok(message)) = futures_util::StreamExt::next(&mut socket).await {
        assert!(matches!(message, Message::Close(_)));
    }
    drop(socket);
    tunnels_are(&tidegate, 1.0).await;
    talk(&mut shared, "the other one stays").await;
    assert!(tidegate.is_running());
    drop((shared, sender));
    assert!(tidegate.ended().await.success());
    assert_eq!(tidegate.logged("all connections ended").len(), 1);
}

#[tokio::test]
async fn a_tunnel_that_stays_is_cut_at_the_end_of_the_grace_period() {
    let upstream = echo().await;
    let mut tidegate = before(&upstream, &ending("300ms")).await;
    let mut socket = open(&tidegate).await.unwrap();
    talk(&mut socket, "hello").await;
    tidegate.signal("TERM");
    assert!(tidegate.ended().await.success());
    assert_eq!(tidegate.logged("grace period is over").len(), 1);
    let end = futures_util::StreamExt::next(&mut socket).await;
    assert!(end.is_none_or(|end| end.is_err()));
}

#[tokio::test]
async fn an_http2_connection_that_stays_after_goaway_holds_nothing_up() {
    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "app.test")];
    let upstream = crate::harness::Upstream::start().await;
    let mut tidegate = before(&upstream, &ending("1h")).await;
    let mut frames = Frames::to(tidegate.address).await;
    frames.headers(1, &GET, END_STREAM).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    tidegate.signal("TERM");
    assert_eq!(frames.body_until_reset(3).await.1, Outcome::GoAway(0));
    // One sent before that word arrived is served.
    frames.headers(3, &GET, END_STREAM).await;
    assert_eq!(frames.outcome(3).await, Outcome::Status(200));
    assert!(tidegate.ended().await.success());
    assert_eq!(tidegate.logged("all connections ended").len(), 1);
}
