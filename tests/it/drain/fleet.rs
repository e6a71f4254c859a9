//! Several instances on one Redis, some of which leave and some of which join.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;

use crate::harness::{Redis, Tidegate, Upstream, Wire, eventually};

/// The instances that customers know, those that have left included, and what customers were told.
#[derive(Default)]
struct Fleet {
    instances: Mutex<Vec<SocketAddr>>,
    admitted: AtomicUsize,
    refused: AtomicUsize,
    closed: AtomicBool,
}

impl Fleet {
    fn joined_by(&self, tidegate: &Tidegate) {
        self.instances.lock().unwrap().push(tidegate.address);
    }

    fn instance(&self, turn: usize) -> SocketAddr {
        let instances = self.instances.lock().unwrap();
        instances[turn % instances.len()]
    }

    fn answers(&self) -> usize {
        self.admitted.load(Ordering::Relaxed) + self.refused.load(Ordering::Relaxed)
    }

    async fn has_answered(&self, more: usize) {
        let enough = self.answers() + more;
        let answered = async || (self.answers() >= enough).then_some(());
        eventually(&format!("{more} more answers"), answered).await;
    }
}

/// A customer that keeps its connection until it is told to leave, and then goes to the next instance, as it
/// does where nobody listens. Each request must have its answer: it never asks again.
async fn customer(fleet: Arc<Fleet>, first: usize) {
    let (mut turn, mut open) = (first, None);
    while !fleet.closed.load(Ordering::Relaxed) {
        let wire = match open.take() {
            Some(wire) => Some(wire),
            None => Wire::try_to(fleet.instance(turn)).await,
        };
        let Some(mut wire) = wire else {
            turn += 1;
            continue;
        };
        let answer = wire.ask("GET /", &[]).await;
        match answer.status {
            200 => fleet.admitted.fetch_add(1, Ordering::Relaxed),
            429 => fleet.refused.fetch_add(1, Ordering::Relaxed),
            other => panic!("{other}"),
        };
        if answer.headers.get("connection").is_some_and(|value| value == "close") {
            turn += 1;
        } else {
            open = Some(wire);
        }
    }
}

#[tokio::test]
async fn every_request_is_counted_once_while_instances_are_replaced() {
    const LIMIT: usize = 1000;
    let (redis, upstream) = (Redis::start().await, Upstream::start().await);
    let config = format!(
        "store: {{ redis: {{ url: '{}', timeout: 10s }} }}\nshutdown: {{ settle: 200ms, grace: 1m }}\n\
         rules: [{{ name: x, rate: {LIMIT}/h }}]",
        redis.url()
    );
    let start = async || Tidegate::configured(upstream.address, &config).await;
    let mut old = [start().await, start().await];
    let fleet = Arc::new(Fleet::default());
    old.iter().for_each(|tidegate| fleet.joined_by(tidegate));
    let customers: Vec<JoinHandle<()>> =
        (0..8).map(|first| tokio::spawn(customer(Arc::clone(&fleet), first))).collect();
    fleet.has_answered(100).await;
    let new = start().await;
    fleet.joined_by(&new);
    for tidegate in &mut old {
        tidegate.signal("TERM");
        assert!(tidegate.ended().await.success(), "the exit status of an orderly end");
        assert_eq!(tidegate.logged("all connections ended").len(), 1);
        fleet.has_answered(100).await;
    }
    let spent = async || (fleet.refused.load(Ordering::Relaxed) > 200).then_some(());
    eventually("the limit to be reached", spent).await;
    fleet.closed.store(true, Ordering::Relaxed);
    for customer in customers {
        customer.await.expect("a request got no answer");
    }
    assert_eq!(fleet.admitted.load(Ordering::Relaxed), LIMIT, "admitted by all, those that left included");
    assert_eq!(upstream.seen().len(), LIMIT, "some were sent to the application twice, or not at all");
}
