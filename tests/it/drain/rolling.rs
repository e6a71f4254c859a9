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

/// How often the balancer looks which instances are ready. It learns of an end only within the time to settle.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// An instance as the balancer knows it.
struct Instance {
    address: SocketAddr,
    ready_url: String,
    ready: AtomicBool,
}

/// Gives each new connection to the next instance that was ready when it last looked, and nothing else: what an
/// instance does not take is lost.
struct Balancer {
    address: SocketAddr,
    instances: Arc<Mutex<Vec<Arc<Instance>>>>,
    tasks: [JoinHandle<()>; 2],
}

impl Balancer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let instances: Arc<Mutex<Vec<Arc<Instance>>>> = Arc::default();
        let tasks = [
            tokio::spawn(look(Arc::clone(&instances))),
            tokio::spawn(balance(listener, Arc::clone(&instances))),
        ];
        Self { address, instances, tasks }
    }

    /// Adds an instance, and waits until it gets connections.
    async fn add(&self, tidegate: &Tidegate) {
        let (address, ready_url) = (tidegate.address, tidegate.ops_url("/readyz"));
        let instance = Arc::new(Instance { address, ready_url, ready: AtomicBool::new(false) });
        self.instances.lock().unwrap().push(Arc::clone(&instance));
        eventually("the instance to be ready", async || instance.ready.load(Ordering::Relaxed).then_some(()))
            .await;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn look(instances: Arc<Mutex<Vec<Arc<Instance>>>>) {
    let client = client();
    let mut turn = tokio::time::interval(LOOK_EVERY);
    loop {
        turn.tick().await;
        let known = instances.lock().unwrap().clone();
        for instance in known {
            let answer = client.get(&instance.ready_url).send().await;
            let ready = answer.is_ok_and(|answer| answer.status() == 200);
            instance.ready.store(ready, Ordering::Relaxed);
        }
    }
}

async fn balance(listener: TcpListener, instances: Arc<Mutex<Vec<Arc<Instance>>>>) {
    let mut turn = 0;
    while let Ok((mut near, _)) = listener.accept().await {
        let known = instances.lock().unwrap().clone();
        let ready: Vec<_> =
            known.into_iter().filter(|instance| instance.ready.load(Ordering::Relaxed)).collect();
        turn += 1;
        let address = ready[turn % ready.len()].address;
        tokio::spawn(async move {
            // A connection that is refused is one that a client has lost: it says so.
            if let Ok(mut far) = TcpStream::connect(address).await {
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}

/// What clients saw.
#[derive(Default)]
struct Tally {
    answers: AtomicUsize,
    failed: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Tally {
    async fn has_answered(&self, more: usize) {
        let enough = self.answers.load(Ordering::Relaxed) + more;
        eventually(&format!("{more} more answers"), async || {
            (self.answers.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
    }
}

/// Asks again and again: something small, something with a body, something slow. Nothing is asked twice, except by
/// the client library for requests that the server never took.
async fn customer(client: reqwest::Client, balancer: SocketAddr, tally: Arc<Tally>) {
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
async fn application() -> Upstream {
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
        let tidegate = Tidegate::configured(upstream.address, &settling("1s", "1h")).await;
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
    for round in 0..4 {
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
