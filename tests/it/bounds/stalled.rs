//! HTTP/2 clients that ask for much and never open the window for it.

use super::{bounded, is_counted, others_are_served};
use crate::harness::h2_wire::{END_STREAM, Frames, Outcome, WINDOW};
use crate::harness::{Upstream, zeros};

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "app.test")];

/// No request has this number.
const NO_STREAM: u32 = 0;

async fn large() -> Upstream {
    Upstream::serving(async |request: http::Request<hyper::body::Incoming>| {
        let length = if request.method() == "GET" { 1 << 30 } else { 0 };
        let mut answer = http::Response::new(zeros(length));
        if length == 0 {
            *answer.body_mut() = crate::harness::full("ok");
        }
        answer
    })
    .await
}

#[tokio::test]
async fn a_stream_whose_window_stays_closed_is_reset() {
    for window in [0, 1000] {
        let upstream = large().await;
        let tidegate = bounded(&upstream, "body_idle_timeout: 1s").await;
        let mut frames = Frames::with(tidegate.address, &[(WINDOW, window)]).await;
        frames.headers(1, &GET, END_STREAM).await;
        assert_eq!(frames.outcome(1).await, Outcome::Status(200));
        let (length, outcome) = frames.body_until_reset(1).await;
        assert_eq!(length, usize::try_from(window).unwrap(), "beyond the window");
        assert!(matches!(outcome, Outcome::Reset(_)), "the fault of one stream: {outcome:?}");
        is_counted(&tidegate, "body_idle", 1.0).await;
        others_are_served(&tidegate).await;
    }
}

#[tokio::test]
async fn many_stalled_streams_take_no_memory() {
    let upstream = large().await;
    // Long enough for all of them to stall at once, however slow the machine is.
    let tidegate = bounded(&upstream, "body_idle_timeout: 10s").await;
    others_are_served(&tidegate).await;
    let before = tidegate.rss();
    for _ in 0..5 {
        let mut frames = Frames::with(tidegate.address, &[(WINDOW, 0)]).await;
        for number in 0..100 {
            frames.headers(2 * number + 1, &GET, END_STREAM).await;
        }
        assert_eq!(frames.outcome(1).await, Outcome::Status(200));
        // The connection stays open, however slow the machine is, for as long as its pings are acknowledged.
        tokio::spawn(async move { frames.outcome(NO_STREAM).await });
    }
    others_are_served(&tidegate).await;
    let growth = tidegate.rss().saturating_sub(before);
    assert!(growth < 100_000_000, "{growth} bytes for 500 stalled streams");
    is_counted(&tidegate, "body_idle", 500.0).await;
}
