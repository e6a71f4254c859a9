//! Steady traffic: each request is sent at its planned time, whatever has become of those before.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate::clock::Stopwatch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep_until;

use crate::harness::Wire;
use crate::run::Timed;
use crate::traffic::{Client, Plan, Planned, Record};

/// The traffic, until it is ended.
pub struct Traffic {
    streets: Arc<Streets>,
    clients: Vec<Client>,
    sending: JoinHandle<()>,
}

/// What all requests share.
struct Streets {
    clock: Stopwatch,
    places: Mutex<Vec<Place>>,
    sent: Mutex<Vec<Timed>>,
    ended: AtomicBool,
}

/// Where an instance is, if there is one, and the connections to it that are idle since that time.
#[derive(Default)]
struct Place {
    address: Option<SocketAddr>,
    idle: Vec<(Duration, Wire)>,
}

/// Instances close connections that are idle for longer.
const KEPT: Duration = Duration::from_secs(30);

impl Traffic {
    pub fn start(instances: Vec<SocketAddr>, plan: Plan) -> Self {
        let clients = plan.clients.clone();
        let place = |address| Place { address: Some(address), idle: Vec::new() };
        let streets = Arc::new(Streets {
            clock: Stopwatch::start(),
            places: Mutex::new(instances.into_iter().map(place).collect()),
            sent: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let sending = tokio::spawn(send(Arc::clone(&streets), plan));
        Self { streets, clients, sending }
    }

    /// Time since the start.
    pub fn now(&self) -> Duration {
        self.streets.now()
    }

    /// Waits until this time after the start.
    pub async fn reaches(&self, time: Duration) {
        sleep_until(self.streets.clock.deadline(time).instant().into()).await;
    }

    /// This instance is gone: its clients go to the next ones.
    pub fn loses(&self, instance: usize) {
        self.streets.places.lock().unwrap()[instance] = Place::default();
    }

    /// In its place there is another.
    pub fn gains(&self, instance: usize, address: SocketAddr) {
        self.streets.places.lock().unwrap()[instance].address = Some(address);
    }

    /// Ends it and waits for the last responses. The clients, and all requests.
    pub async fn end(&mut self) -> (Vec<Client>, Vec<Timed>) {
        self.streets.ended.store(true, Ordering::Relaxed);
        (&mut self.sending).await.expect("the traffic broke off");
        let sent = std::mem::take(&mut *self.streets.sent.lock().unwrap());
        (self.clients.clone(), sent)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

async fn send(streets: Arc<Streets>, mut plan: Plan) {
    let mut under_way = JoinSet::new();
    while !streets.ended.load(Ordering::Relaxed) {
        let next = plan.next();
        sleep_until(streets.clock.deadline(next.at).instant().into()).await;
        let name = plan.clients[next.client].name.clone();
        under_way.spawn(request(Arc::clone(&streets), name, next));
        while let Some(ended) = under_way.try_join_next() {
            ended.expect("a request broke off");
        }
    }
    under_way.join_all().await;
}

async fn request(streets: Arc<Streets>, client: String, planned: Planned) {
    let sent = streets.now();
    let (instance, address) = streets.way(planned.instance);
    let status = streets.ask(instance, address, &client).await;
    let record = Record { client: planned.client, sent, status };
    let (lag, latency) = (sent.saturating_sub(planned.at), streets.now() - sent);
    streets.sent.lock().unwrap().push(Timed { record, instance, lag, latency });
}

impl Streets {
    fn now(&self) -> Duration {
        Duration::from_secs_f64(self.clock.seconds())
    }

    /// To this instance, or the next one if it is gone.
    fn way(&self, wanted: usize) -> (usize, SocketAddr) {
        let places = self.places.lock().unwrap();
        let mut turns = (wanted..wanted + places.len()).map(|turn| turn % places.len());
        let way = turns.find_map(|instance| Some((instance, places[instance].address?)));
        way.expect("no instance is left")
    }

    async fn ask(&self, instance: usize, address: SocketAddr, client: &str) -> Option<u16> {
        let mut wire = match self.idle(instance) {
            Some(wire) => wire,
            None => Wire::try_to(address).await?,
        };
        wire.send(format!("GET / HTTP/1.1\r\nHost: app.test\r\nX-Client: {client}\r\n\r\n")).await;
        let status = wire.try_reply().await?.status;
        let mut places = self.places.lock().unwrap();
        if places[instance].address == Some(address) {
            places[instance].idle.push((self.now(), wire));
        }
        Some(status)
    }

    /// A connection to this instance that nobody uses.
    fn idle(&self, instance: usize) -> Option<Wire> {
        let idle = &mut self.places.lock().unwrap()[instance].idle;
        let (since, wire) = idle.pop()?;
        if self.now() - since > KEPT {
            // The others are idle for longer still.
            idle.clear();
            return None;
        }
        Some(wire)
    }
}
