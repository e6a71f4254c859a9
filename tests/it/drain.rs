//! Ending without losing a request.

mod fleet;
mod rolling;
mod socket_unit;

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{Semaphore, mpsc};

use crate::harness::{Tidegate, Upstream, Wire, chunks, client, eventually, full, h2_client};

/// A rule that holds nobody, and so long for clients to notice.
fn settling(settle: &str, grace: &str) -> String {
    format!(
        "store: {{ memory: {{}} }}\nshutdown: {{ settle: {settle}, grace: {grace} }}\n\
         rules: [{{ name: x, rate: 1000000/s }}]"
    )
}

/// tidegate after SIGTERM, no longer ready, and a connection from before.
async fn settling_for_an_hour(upstream: &Upstream) -> (Tidegate, Wire) {
    let tidegate = Tidegate::configured(upstream.address, &settling("1h", "1h")).await;
    let mut wire = Wire::to(tidegate.address).await;
    assert!(!wire.ask("GET /", &[]).await.headers.contains_key("connection"));
    let ready = async || client().get(tidegate.ops_url("/readyz")).send().await.unwrap().status().as_u16();
    assert_eq!(ready().await, 200);
    tidegate.signal("TERM");
    eventually("readiness to end", async || (ready().await == 503).then_some(())).await;
    (tidegate, wire)
}

#[tokio::test]
async fn after_sigterm_it_is_alive_without_being_ready() {
    let upstream = Upstream::start().await;
    let (tidegate, _wire) = settling_for_an_hour(&upstream).await;
    assert_eq!(
        client().get(tidegate.ops_url("/livez")).send().await.unwrap().status(),
        200,
        "it would be killed"
    );
}

#[tokio::test]
async fn after_sigterm_it_serves_until_balancers_have_noticed() {
    let upstream = Upstream::start().await;
    let (mut tidegate, wire) = settling_for_an_hour(&upstream).await;
    // On the connection that was open, and on new ones.
    for mut wire in [wire, Wire::to(tidegate.address).await] {
        let answer = wire.ask("GET /", &[]).await;
        assert_eq!((answer.status, &answer.headers["connection"]), (200, &"close".parse().unwrap()));
        assert!(wire.is_closed().await);
    }
    let answer = h2_client().get(tidegate.url("/")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("connection"), "a field that HTTP/2 does not know");
    assert!(tidegate.is_running());
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once() {
    let upstream = Upstream::start().await;
    let (mut tidegate, _wire) = settling_for_an_hour(&upstream).await;
    tidegate.signal("TERM");
    assert!(tidegate.ended().await.success());
}

#[tokio::test]
async fn requests_that_arrive_with_sigterm_are_answered() {
    requests_that_arrive_with_the_signal_are_answered("TERM").await;
}

#[tokio::test]
async fn requests_that_arrive_with_sigint_are_answered() {
    requests_that_arrive_with_the_signal_are_answered("INT").await;
}

async fn requests_that_arrive_with_the_signal_are_answered(signal: &str) {
    let upstream = Upstream::start().await;
    let mut tidegate = Tidegate::configured(upstream.address, &settling("0s", "1h")).await;
    let mut wires = Vec::new();
    for _ in 0..20 {
        let mut wire = Wire::to(tidegate.address).await;
        assert_eq!(wire.ask("GET /", &[]).await.status, 200);
        wires.push(("a connection that was open", wire));
    }
    // While the process stands still the kernel takes connections and requests for it, and keeps the signal.
    tidegate.signal("STOP");
    for _ in 0..20 {
        wires.push(("a new connection", Wire::to(tidegate.address).await));
    }
    for (_, wire) in &mut wires {
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    }
    tidegate.signal(signal);
    tidegate.signal("CONT");
    let mut lost = Vec::new();
    for (kind, mut wire) in wires {
        let answered = wire.head().await.is_some_and(|head| head.starts_with("HTTP/1.1 200"));
        lost.extend((!answered).then_some(kind));
    }
    assert!(lost.is_empty(), "no answer on {} connections: {lost:?}", lost.len());
    assert!(tidegate.ended().await.success());
}

#[tokio::test]
async fn a_connection_that_never_said_anything_does_not_hold_up_the_end() {
    let upstream = Upstream::start().await;
    let mut tidegate = Tidegate::configured(upstream.address, &settling("0s", "1h")).await;
    let _silent = Wire::to(tidegate.address).await;
    let open = async || tidegate.metric("tidegate_connections").await.filter(|&count| count >= 1.0);
    eventually("the connection to be accepted", open).await;
    tidegate.signal("TERM");
    assert!(tidegate.ended().await.success());
    assert_eq!(
        tidegate.logged("grace period is over").len(),
        0,
        "it waited for somebody who had not asked anything"
    );
}

/// An application that tells of each request, and answers when it is let.
async fn slow() -> (Upstream, mpsc::Receiver<()>, Arc<Semaphore>) {
    let (asked, asks) = mpsc::channel(64);
    let gate = Arc::new(Semaphore::new(0));
    let key = Arc::clone(&gate);
    let upstream = Upstream::serving(move |request: Request<Incoming>| {
        let (asked, gate) = (asked.clone(), Arc::clone(&gate));
        async move {
            request.into_body().collect().await.unwrap();
            asked.send(()).await.unwrap();
            gate.acquire().await.unwrap().forget();
            Response::new(full("at last"))
        }
    });
    (upstream.await, asks, key)
}

async fn asked(asks: &mut mpsc::Receiver<()>) {
    eventually("the request at the application", async || asks.try_recv().ok()).await;
}

async fn stops_listening(tidegate: &Tidegate) {
    let refused = async || Wire::try_to(tidegate.address).await.is_none().then_some(());
    eventually("the listener to close", refused).await;
}

#[tokio::test]
async fn requests_under_way_are_finished() {
    let (upstream, mut asks, gate) = slow().await;
    let mut tidegate = Tidegate::configured(upstream.address, &settling("0s", "1h")).await;
    let mut answers = Vec::new();
    for client in [client(), h2_client()] {
        answers.push(tokio::spawn(client.post(tidegate.url("/")).body("x").send()));
        asked(&mut asks).await;
    }
    let mut idle = Wire::to(tidegate.address).await;
    tidegate.signal("TERM");
    stops_listening(&tidegate).await;
    assert!(idle.is_closed().await, "an idle connection holds up the end");
    assert!(tidegate.is_running());
    gate.add_permits(2);
    for answer in answers {
        let answer = answer.await.unwrap().expect("the request was lost");
        assert_eq!((answer.status().as_u16(), &*answer.text().await.unwrap()), (200, "at last"));
    }
    assert!(tidegate.ended().await.success());
}

#[tokio::test]
async fn an_answer_that_has_begun_is_finished() {
    let bodies = Arc::new(std::sync::Mutex::new(Vec::new()));
    let senders = Arc::clone(&bodies);
    let upstream = Upstream::serving(move |_| {
        let (sender, body) = chunks();
        senders.lock().unwrap().push(sender);
        async move { Response::new(body) }
    });
    let upstream = upstream.await;
    let mut tidegate = Tidegate::configured(upstream.address, &settling("0s", "1h")).await;
    let mut answers = Vec::new();
    for client in [client(), h2_client()] {
        answers.push(client.get(tidegate.url("/")).send().await.unwrap());
    }
    tidegate.signal("TERM");
    stops_listening(&tidegate).await;
    let senders = std::mem::take(&mut *bodies.lock().unwrap());
    for sender in senders {
        sender.send("the rest".into()).await.unwrap();
    }
    for answer in answers {
        assert_eq!(answer.text().await.expect("the answer was cut"), "the rest");
    }
    assert!(tidegate.ended().await.success());
}

#[tokio::test]
async fn what_outlasts_the_grace_period_is_cut() {
    let (upstream, mut asks, _gate) = slow().await;
    let mut tidegate = Tidegate::configured(upstream.address, &settling("0s", "100ms")).await;
    let answer = tokio::spawn(client().get(tidegate.url("/")).send());
    asked(&mut asks).await;
    tidegate.signal("TERM");
    assert!(tidegate.ended().await.success());
    assert!(answer.await.unwrap().is_err());
    assert_eq!(tidegate.logged("grace period is over").len(), 1);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let (upstream, mut asks, _gate) = slow().await;
        let mut tidegate = Tidegate::configured(upstream.address, &settling("0s", "1h")).await;
        let answer = tokio::spawn(client().get(tidegate.url("/")).send());
        asked(&mut asks).await;
        tidegate.signal(first);
        stops_listening(&tidegate).await;
        // Not a wish to end.
        tidegate.signal("HUP");
        assert_eq!(client().get(tidegate.ops_url("/livez")).send().await.unwrap().status(), 200);
        assert!(tidegate.is_running());
        tidegate.signal(second);
        assert!(tidegate.ended().await.success(), "{first}, {second}");
        assert!(answer.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn sigint_does_not_wait_for_balancers() {
    let upstream = Upstream::start().await;
    let mut tidegate = Tidegate::configured(upstream.address, &settling("1h", "1h")).await;
    assert_eq!(client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
    tidegate.signal("INT");
    assert!(tidegate.ended().await.success());
    assert_eq!(tidegate.logged("shutdown complete").len(), 1);
}

#[tokio::test]
async fn signals_of_log_rotation_end_nothing() {
    let upstream = Upstream::start().await;
    let mut tidegate = Tidegate::configured(upstream.address, &settling("1h", "1h")).await;
    for signal in ["USR1", "USR2"] {
        tidegate.signal(signal);
        let line = eventually("a log line", async || {
            let mut lines = tidegate.logged("signal ignored").into_iter();
            lines.find(|line| line["signal"] == format!("SIG{signal}"))
        });
        let line = line.await;
        assert_eq!(line["level"], "WARN");
        assert!(line["message"].as_str().unwrap().contains("standard error"), "{line}");
        assert!(tidegate.is_running());
    }
    assert_eq!(client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_signal_of_log_rotation_is_no_second_wish_to_end() {
    let upstream = Upstream::start().await;
    let mut tidegate = Tidegate::configured(upstream.address, &settling("1h", "1h")).await;
    tidegate.signal("TERM");
    eventually("the end to begin", async || tidegate.logged("shutting down").pop()).await;
    tidegate.signal("USR1");
    eventually("a log line", async || tidegate.logged("signal ignored").pop()).await;
    assert!(tidegate.is_running());
    tidegate.signal("TERM");
    assert!(tidegate.ended().await.success());
}
