//! The first requests after the start, while the map of a cluster is still being drawn.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::harness::{Cluster, Tidegate, Upstream, Wire, standing};

/// tidegate in front of an application, patient, and with these seeds. What is not checked in the cluster is told no
/// limit.
async fn seeded(upstream: &Upstream, seeds: &[String]) -> Tidegate {
    let seeds = seeds.join("', '");
    let config = format!(
        "store: {{ redis: {{ cluster: ['{seeds}'], timeout: 5s }}, on_outage: open }}
rules: [{{ name: each, key: ['header:X-Client'], rate: 3/h }}]
global: [{{ name: all, rate: 1000000/h }}]"
    );
    Tidegate::configured(upstream.address, &config).await
}

fn url(listening: &Upstream) -> String {
    format!("redis://{}", listening.address)
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: app.test\r\nX-Client: first\r\n\r\n";

/// Returns whether the response names a limit of which it has used one.
async fn was_checked(wire: &mut Wire) {
    let reply = wire.reply().await;
    assert_eq!((reply.status, standing(&reply.headers)), (200, Some(("each".to_owned(), 2))), "{reply:?}");
}

#[tokio::test]
async fn the_first_request_is_checked_although_the_first_seed_is_silent() {
    let (cluster, upstream) = (Cluster::start().await, Upstream::start().await);
    let silent = Upstream::raw(async |mut stream: TcpStream| {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let tidegate = seeded(&upstream, &[url(&silent), cluster.nodes[4].url().replace("/0", "")]).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send(REQUEST).await;
    was_checked(&mut wire).await;
    assert!(silent.connections() > 0);
    assert!(tidegate.logged("redis unavailable").is_empty());
}

#[tokio::test]
async fn the_first_request_waits_for_the_map() {
    let (cluster, upstream) = (Cluster::start().await, Upstream::start().await);
    // It lets nothing through until the first request is there.
    let (gate, port) = (Arc::new(Semaphore::new(0)), cluster.nodes[0].port());
    let opened = Arc::clone(&gate);
    let seed = Upstream::raw(move |mut stream| {
        let opened = Arc::clone(&opened);
        async move {
            drop(opened.acquire().await);
            if let Ok(mut node) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = copy_bidirectional(&mut stream, &mut node).await;
            }
        }
    })
    .await;
    let tidegate = seeded(&upstream, &[url(&seed)]).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send(REQUEST).await;
    gate.close();
    was_checked(&mut wire).await;
    assert!(tidegate.logged("redis unavailable").is_empty());
}
