//! Two instances behind a balancer that are replaced one after the other, while clients keep asking.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::settling;
use crate::harness::{Tidegate, Upstream, client, eventually, full, h2_client};

/// How long an instance that ends still takes connections: many times what passes between the balancer's look and the
/// connection that it makes then, however busy the machine is.
const SETTLE: &str = "3s";

/// An instance as the balancer knows it.
#[derive(Clone)]
struct Instance {
    address: SocketAddr,
    ready_url: String,
}

impl Instance {
    async fn is_ready(&self, client: &reqwest::Client) -> bool {
        client.get(&self.ready_url).send().await.is_ok_and(|answer| answer.status() == 200)
    }
}

/// Gives each new connection to the next instance that says that it is ready, and nothing else: what an instance does
/// not take is lost.
struct Balancer {
    address: SocketAddr,
    instances: Arc<Mutex<Vec<Instance>>>,
    balancing: JoinHandle<()>,
}

impl Balancer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let instances: Arc<Mutex<Vec<Instance>>> = Arc::default();
        let balancing = tokio::spawn(balance(listener, Arc::clone(&instances)));
        Self { address, instances, balancing }
    }

    /// Adds an instance, as soon as it is ready.
    async fn add(&self, tidegate: &Tidegate) {
        let instance = Instance { address: tidegate.address, ready_url: tidegate.ops_url("/readyz") };
        let client = client();
        eventually("the instance to be ready", async || instance.is_ready(&client).await.then_some(())).await;
        self.instances.lock().unwrap().push(instance);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.balancing.abort();
    }
}

async fn balance(listener: TcpListener, instances: Arc<Mutex<Vec<Instance>>>) {
    let client = client();
    for turn in 0.. {
        let Ok((mut near, _)) = listener.accept().await else { return };
        let (client, mut known) = (client.clone(), instances.lock().unwrap().clone());
        let first = turn % known.len();
        known.rotate_left(first);
        tokio::spawn(async move {
            for instance in known {
                if instance.is_ready(&client).await {
                    // A connection that is refused is one that a client has lost: it says so.
                    if let Ok(mut far) = TcpStream::connect(instance.address).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                    return;
                }
            }
        });
    }
}

/// What clients saw.
#[derive(Default)]
pub(super) struct Tally {
    answers: AtomicUsize,
    pub(super) failed: Mutex<Vec<String>>,
    pub(super) over: AtomicBool,
}

impl Tally {
    pub(super) async fn has_answered(&self, more: usize) {
        let enough = self.answers.load(Ordering::Relaxed) + more;
        eventually(&format!("{more} more answers"), async || {
            (self.answers.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
    }
}

/// Asks again and again: something small, something with a body, something slow. Nothing is asked twice, except by
/// the client library for requests that the server never took.
pub(super) async fn customer(client: reqwest::Client, balancer: SocketAddr, tally: Arc<Tally>) {
    let body = vec![b'x'; 50_000];
    for turn in 0.. {
        if tally.over.load(Ordering::Relaxed) {
            return;
        }
        let url = |path: &str| format!("http://{balancer}{path}");
        let (request, want) = match turn % 8 {
            3 => (client.get(url("/slow")), "0"),
            1 | 6 => (client.post(url("/")).body(body.clone()), "50000"),
            _ => (client.get(url("/")), "0"),
        };
        let asked = async {
            let answer = request.send().await?;
            let (status, version) = (answer.status(), answer.version());
            Ok::<_, reqwest::Error>((status.as_u16(), version, answer.text().await?))
        };
        match asked.await {
            Ok((200, _, text)) if text == want => {
                tally.answers.fetch_add(1, Ordering::Relaxed);
            }
            other => tally.failed.lock().unwrap().push(format!("request {turn}: {other:?}")),
        }
    }
}

/// It takes its time over `/slow`, and tells how much it got.
pub(super) async fn application() -> Upstream {
    Upstream::serving(async |request: Request<Incoming>| {
        let slow = request.uri().path() == "/slow";
        let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
        if slow {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Response::new(full(length.to_string()))
    })
    .await
}

#[tokio::test]
async fn a_rolling_restart_fails_no_request() {
    let upstream = application().await;
    let balancer = Balancer::start().await;
    let start = async || {
        let tidegate = Tidegate::configured(upstream.address, &settling(SETTLE, "1h")).await;
        balancer.add(&tidegate).await;
        tidegate
    };
    let mut instances = vec![start().await, start().await];
    let tally = Arc::new(Tally::default());
    let mut customers = Vec::new();
    for _ in 0..4 {
        // One HTTP/2 connection is shared by four, as is usual; of HTTP/1.1 each has its own.
        let shared = h2_client();
        for client in [client(), shared.clone(), shared.clone(), shared.clone(), shared] {
            customers.push(tokio::spawn(customer(client, balancer.address, Arc::clone(&tally))));
        }
    }
    tally.has_answered(200).await;
    for round in 0..3 {
        let mut old = instances.remove(0);
        old.signal("TERM");
        assert!(old.ended().await.success(), "restart {round}");
        assert_eq!(old.logged("all connections ended").len(), 1, "restart {round}: {:#?}", old.logged(""));
        tally.has_answered(100).await;
        instances.push(start().await);
        tally.has_answered(200).await;
    }
    tally.over.store(true, Ordering::Relaxed);
    for customer in customers {
        customer.await.unwrap();
    }
    let failed = tally.failed.lock().unwrap();
    let answers = tally.answers.load(Ordering::Relaxed);
    assert!(failed.is_empty(), "{} failed, {answers} did not: {failed:#?}", failed.len());
}
