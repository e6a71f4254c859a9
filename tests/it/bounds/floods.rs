//! HTTP/2 clients that send what costs them little and a server much.

use super::{bounded, exceeded, is_counted, others_are_served};
use crate::harness::h2_wire::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, PING, PRIORITY, RST_STREAM,
    SETTINGS, UNKNOWN, WINDOW_UPDATE, block, frame,
};
use crate::harness::{Dialect, Tidegate, Upstream, chunks};

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "app.test")];
const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "app.test")];

/// Many times what any client would do.
const MANY: u32 = 20_000;

/// The flood ends with the connection or does no harm, costs no memory, and disturbs nobody.
async fn survives(bytes: impl Fn(u32) -> Vec<u8>, must_end: bool) -> (Tidegate, Upstream) {
    let upstream = Upstream::start().await;
    let tidegate = bounded(&upstream, "resets: 20").await;
    others_are_served(&tidegate).await;
    let before = tidegate.rss();
    let mut frames = Frames::to(tidegate.address).await;
    let outcome = frames.flood(MANY, bytes).await;
    assert!(!must_end || outcome.ends_connection(), "{outcome:?}");
    let growth = tidegate.rss().saturating_sub(before);
    assert!(growth < 30_000_000, "{growth} bytes more than before");
    others_are_served(&tidegate).await;
    (tidegate, upstream)
}

fn stream(number: u32) -> u32 {
    2 * number + 1
}

#[tokio::test]
async fn rapid_reset() {
    let (tidegate, upstream) = survives(
        |number| {
            let headers = frame(HEADERS, END_HEADERS | END_STREAM, stream(number), &block(&GET));
            [headers, frame(RST_STREAM, 0, stream(number), &8u32.to_be_bytes())].concat()
        },
        true,
    )
    .await;
    is_counted(&tidegate, "resets", 1.0).await;
    assert!(upstream.seen().len() < 2000, "{} requests were forwarded", upstream.seen().len());
}

/// The server is made to reset the streams itself: by a window that overflows, or frames that it must refuse.
#[tokio::test]
async fn made_you_reset() {
    let provocations: [fn(u32) -> Vec<u8>; 3] = [
        |number| frame(WINDOW_UPDATE, 0, stream(number), &0x7fff_ffffu32.to_be_bytes()),
        |number| frame(WINDOW_UPDATE, 0, stream(number), &0u32.to_be_bytes()),
        |number| frame(DATA, END_STREAM, stream(number), b"after the end"),
    ];
    for provocation in provocations {
        let (_, upstream) = survives(
            |number| {
                let headers = frame(HEADERS, END_HEADERS | END_STREAM, stream(number), &block(&GET));
                [headers, provocation(number)].concat()
            },
            true,
        )
        .await;
        assert!(upstream.seen().len() < 4000, "{} requests were forwarded", upstream.seen().len());
    }
}

#[tokio::test]
async fn a_header_that_goes_on_for_ever() {
    let part = block(&[("x", &"y".repeat(1000))]);
    survives(
        |number| match number {
            0 => frame(HEADERS, END_STREAM, 1, &block(&GET)),
            _ => frame(CONTINUATION, 0, 1, &part),
        },
        true,
    )
    .await;
    survives(
        |number| match number {
            0 => frame(HEADERS, END_STREAM, 1, &block(&GET)),
            _ => frame(CONTINUATION, 0, 1, &[]),
        },
        true,
    )
    .await;
}

/// ENHANCE_YOUR_CALM.
const CALM: Outcome = Outcome::GoAway(11);

/// What becomes of a connection on which such frames are sent without end.
async fn flooded_with(bytes: impl Fn(u32) -> Vec<u8>) -> (Outcome, Tidegate) {
    let upstream = Upstream::start().await;
    let tidegate = bounded(&upstream, "control_frames: 100").await;
    let outcome = Frames::to(tidegate.address).await.flood(MANY, bytes).await;
    others_are_served(&tidegate).await;
    (outcome, tidegate)
}

#[tokio::test]
async fn control_frames_without_end_are_ended_with_goaway() {
    const ACK: u8 = 1;
    let kinds: [(u8, u8, &[u8]); 6] = [
        (SETTINGS, 0, &[0, 3, 0, 0, 0, 100]),
        (SETTINGS, 0, &[]),
        (PING, 0, b"are you?"),
        // It acknowledges nothing.
        (PING, ACK, b"here I am"),
        (PRIORITY, 0, &[0, 0, 0, 0, 16]),
        (UNKNOWN, 0, &[]),
    ];
    for (kind, flags, payload) in kinds {
        let payload = &payload[..payload.len().min(8)];
        let stream = u32::from(kind == PRIORITY);
        let (outcome, tidegate) = flooded_with(|_| frame(kind, flags, stream, payload)).await;
        assert_eq!(outcome, CALM, "kind {kind}, flags {flags}");
        is_counted(&tidegate, "control_frames", 1.0).await;
        assert_eq!(exceeded(&tidegate, "resets").await, 0.0);
    }
}

#[tokio::test]
async fn acknowledgements_that_answer_no_ping_write_no_log_lines() {
    const ACK: u8 = 1;
    let (_, tidegate) = flooded_with(|_| frame(PING, ACK, 0, b"here I am".get(..8).unwrap())).await;
    let lines = tidegate.logged("");
    assert!(lines.iter().all(|line| line["level"] != "WARN"), "{lines:#?}");
}

#[tokio::test]
async fn resets_of_a_stream_that_is_closed_already_are_ended_with_goaway() {
    let (outcome, tidegate) = flooded_with(|number| match number {
        0 => frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&GET)),
        _ => frame(RST_STREAM, 0, 1, &8u32.to_be_bytes()),
    })
    .await;
    assert_eq!(outcome, CALM);
    is_counted(&tidegate, "control_frames", 1.0).await;
}

#[tokio::test]
async fn a_connection_that_control_frames_ended_cuts_its_streams() {
    let upstream = Upstream::serving(async |request: http::Request<hyper::body::Incoming>| {
        if request.method() == "GET" {
            std::future::pending::<()>().await;
        }
        http::Response::new(crate::harness::full("ok"))
    })
    .await;
    let tidegate = bounded(&upstream, "requests_per_client: 1").await;
    let mut frames = Frames::to(tidegate.address).await;
    frames.headers(1, &GET, END_STREAM).await;
    assert_eq!(frames.flood(MANY, |_| frame(PING, 0, 0, b"are you?")).await, CALM);
    drop(frames);
    // The only place is free again.
    others_are_served(&tidegate).await;
}

#[tokio::test]
async fn nine_hundred_pings_at_once_are_no_flood() {
    let upstream = Upstream::start().await;
    let tidegate = bounded(&upstream, "control_frames: 100").await;
    let mut frames = Frames::to(tidegate.address).await;
    assert_eq!(frames.flood(900, |_| frame(PING, 0, 0, b"are you?")).await, Outcome::Open);
    frames.headers(1, &POST, END_STREAM).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    assert_eq!(exceeded(&tidegate, "control_frames").await, 0.0);
}

#[tokio::test]
async fn window_updates_without_end_are_ended_with_goaway() {
    let request = |number| match number {
        0 => frame(HEADERS, END_HEADERS, 1, &block(&POST)),
        _ => Vec::new(),
    };
    for stream in [0, 1] {
        let (outcome, tidegate) = flooded_with(|number| {
            [request(number), frame(WINDOW_UPDATE, 0, stream, &1u32.to_be_bytes())].concat()
        })
        .await;
        assert_eq!(outcome, CALM, "on stream {stream}");
        is_counted(&tidegate, "control_frames", 1.0).await;
    }
}

/// As clients open their windows before they send a request, and another time for each stream.
#[tokio::test]
async fn window_updates_before_a_response_are_no_flood() {
    let upstream = Upstream::start().await;
    let tidegate = bounded(&upstream, "control_frames: 1").await;
    let mut frames = Frames::to(tidegate.address).await;
    let update = frame(WINDOW_UPDATE, 0, 0, &1000u32.to_be_bytes());
    assert_eq!(frames.flood(5, |_| update.clone()).await, Outcome::Open);
    for number in 0..50 {
        frames.headers(stream(number), &GET, END_STREAM).await;
        frames.send(WINDOW_UPDATE, 0, stream(number), &1000u32.to_be_bytes()).await;
        assert_eq!(frames.outcome(stream(number)).await, Outcome::Status(200));
    }
    assert_eq!(exceeded(&tidegate, "control_frames").await, 0.0);
}

/// As gRPC clients measure the bandwidth.
#[tokio::test]
async fn a_ping_for_each_frame_of_a_download_is_no_flood() {
    let (wanted, wishes) = tokio::sync::watch::channel(0);
    let upstream = Upstream::speaking(Dialect::H2c, move |_| {
        let mut wishes = wishes.clone();
        async move {
            let (sender, body) = chunks();
            tokio::spawn(async move {
                for number in 1.. {
                    if wishes.wait_for(|wanted| *wanted >= number).await.is_err()
                        || sender.send("message".into()).await.is_err()
                    {
                        return;
                    }
                }
            });
            http::Response::new(body)
        }
    })
    .await;
    let tidegate = bounded(&upstream, "control_frames: 1").await;
    let mut frames = Frames::to(tidegate.address).await;
    frames.headers(1, &GET, END_STREAM).await;
    for number in 1..=500 {
        wanted.send_replace(number);
        assert_eq!(frames.ping_on_data(1).await, Outcome::Open, "ping {number}");
    }
    assert_eq!(exceeded(&tidegate, "control_frames").await, 0.0);
}

/// A client that sends pings and never reads the answers must not make them pile up.
#[tokio::test]
async fn answers_that_nobody_reads_do_not_pile_up() {
    for (kind, payload) in [(PING, &b"are you?"[..]), (SETTINGS, &[])] {
        let upstream = Upstream::start().await;
        let tidegate = bounded(&upstream, "first_byte_timeout: 10s").await;
        others_are_served(&tidegate).await;
        let before = tidegate.rss();
        let mut frames = Frames::to(tidegate.address).await;
        frames.push(&frame(kind, 0, 0, payload).repeat(1000), 500).await;
        let growth = tidegate.rss().saturating_sub(before);
        assert!(growth < 10_000_000, "{growth} bytes for answers that nobody reads");
        others_are_served(&tidegate).await;
    }
}

#[tokio::test]
async fn empty_frames_without_end() {
    survives(
        |number| match number {
            0 => frame(HEADERS, END_HEADERS, 1, &block(&POST)),
            _ => frame(DATA, 0, 1, &[]),
        },
        true,
    )
    .await;
}

#[tokio::test]
async fn tiny_frames_are_not_held_at_the_price_of_large_ones() {
    survives(
        |number| match number {
            0 => frame(HEADERS, END_HEADERS, 1, &block(&POST)),
            _ => frame(DATA, 0, 1, b"x"),
        },
        false,
    )
    .await;
}

#[tokio::test]
async fn a_header_that_unpacks_to_much_is_refused() {
    // A field of 4 KiB that is remembered, and then named again and again for a byte each.
    let value = "y".repeat(3900);
    let mut block = block(&GET);
    let mut remembered = crate::harness::h2_wire::block(&[("x", &value)]);
    remembered[0] = 0x40;
    block.extend(remembered);
    block.extend([0xbe; 10_000]);
    let upstream = Upstream::start().await;
    let tidegate = bounded(&upstream, "header_bytes: 65536").await;
    let before = tidegate.rss();
    let mut frames = Frames::to(tidegate.address).await;
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block).await;
    let outcome = frames.outcome(1).await;
    assert!(matches!(outcome, Outcome::Status(431) | Outcome::Reset(_) | Outcome::GoAway(_)), "{outcome:?}");
    let growth = tidegate.rss().saturating_sub(before);
    assert!(growth < 10_000_000, "{growth} bytes for a header of 14 KB");
    others_are_served(&tidegate).await;
    assert!(upstream.seen().iter().all(|seen| seen.method == "POST"), "it was forwarded");
}

#[tokio::test]
async fn streams_of_one_connection_are_bounded() {
    let upstream = Upstream::serving(async |request: http::Request<hyper::body::Incoming>| {
        if request.method() == "GET" {
            std::future::pending::<()>().await;
        }
        http::Response::new(crate::harness::full("ok"))
    })
    .await;
    let tidegate = bounded(&upstream, "streams: 10").await;
    let mut frames = Frames::to(tidegate.address).await;
    for number in 0..11 {
        frames.headers(stream(number), &GET, END_STREAM).await;
    }
    // REFUSED_STREAM: it was not processed, and may be sent again.
    assert_eq!(frames.outcome(stream(10)).await, Outcome::Reset(7));
    assert!(upstream.seen().len() <= 10);
    others_are_served(&tidegate).await;
    assert_eq!(exceeded(&tidegate, "resets").await, 0.0);
}
