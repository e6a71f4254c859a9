//! Steady traffic: each request is sent at its planned time, whatever has become of those before.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate::clock::Stopwatch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep_until;

use super::scale::Scale;
use crate::harness::Wire;

/// Who asks, and how often.
#[derive(Clone, Debug)]
pub struct Client {
    pub name: String,
    /// Asks for more than its limit.
    pub is_greedy: bool,
    /// The only instance that it asks, while that is there.
    stays_at: Option<usize>,
    first: Duration,
    every: Duration,
}

/// Requests a second and client, where the limit is 5: 400 in all.
const GREEDY: (u32, u32) = (20, 14);
const HONEST: (u32, u32) = (30, 4);
/// So many of the honest ones stay at one instance.
const STAYING: u32 = 10;

fn clients(scale: &Scale, instances: usize) -> Vec<Client> {
    let greedy = |number| {
        let (count, pace) = GREEDY;
        // Their limits are used up, and are theirs again, at different times.
        let first = scale.windows(0.2) * number / count;
        let every = Duration::from_secs(1) / pace;
        Client { name: format!("greedy-{number}"), is_greedy: true, stays_at: None, first, every }
    };
    let honest = |number| {
        let (count, pace) = HONEST;
        let every = Duration::from_secs(1) / pace;
        let first = every * number / count;
        let stays_at = (number < STAYING).then(|| usize::try_from(number).unwrap() % instances);
        Client { name: format!("honest-{number}"), is_greedy: false, stays_at, first, every }
    };
    (0..GREEDY.0).map(greedy).chain((0..HONEST.0).map(honest)).collect()
}

/// A request and what became of it. Times are since the start of the traffic.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub client: usize,
    pub instance: usize,
    pub sent: Duration,
    /// How much later than planned it was sent: the fault of the tests, or of a busy machine.
    pub lag: Duration,
    pub latency: Duration,
    /// None: no answer.
    pub status: Option<u16>,
}

/// All that was sent.
pub struct Sent {
    pub clients: Vec<Client>,
    /// In the order in which they were sent.
    pub records: Vec<Record>,
}

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
    records: Mutex<Vec<Record>>,
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
    pub fn start(instances: Vec<SocketAddr>, scale: &Scale) -> Self {
        let clients = clients(scale, instances.len());
        let plan = Plan::new(&clients, instances.len(), scale);
        let place = |address| Place { address: Some(address), idle: Vec::new() };
        let streets = Arc::new(Streets {
            clock: Stopwatch::start(),
            places: Mutex::new(instances.into_iter().map(place).collect()),
            records: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let sending = tokio::spawn(send(Arc::clone(&streets), clients.clone(), plan));
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

    /// Ends it, waits for the last answers, and tells what was sent.
    pub async fn end(&mut self) -> Sent {
        self.streets.ended.store(true, Ordering::Relaxed);
        (&mut self.sending).await.expect("the traffic broke off");
        let mut records = std::mem::take(&mut *self.streets.records.lock().unwrap());
        records.sort_by_key(|record| record.sent);
        Sent { clients: self.clients.clone(), records }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

async fn send(streets: Arc<Streets>, clients: Vec<Client>, mut plan: Plan) {
    let mut under_way = JoinSet::new();
    while !streets.ended.load(Ordering::Relaxed) {
        let next = plan.next(&clients);
        sleep_until(streets.clock.deadline(next.at).instant().into()).await;
        let name = clients[next.client].name.clone();
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
    let record = Record {
        client: planned.client,
        instance,
        sent,
        lag: sent.saturating_sub(planned.at),
        latency: streets.now() - sent,
        status,
    };
    streets.records.lock().unwrap().push(record);
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

/// The requests to come.
struct Plan {
    /// When each client asks next.
    next: BinaryHeap<Reverse<(Duration, usize)>>,
    /// The requests so far.
    turns: Vec<usize>,
    instances: usize,
    random: Option<fastrand::Rng>,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    at: Duration,
    client: usize,
    instance: usize,
}

impl Plan {
    fn new(clients: &[Client], instances: usize, scale: &Scale) -> Self {
        let next = clients.iter().enumerate().map(|(client, plan)| Reverse((plan.first, client)));
        let random = scale.full.then(|| fastrand::Rng::with_seed(1));
        Self { next: next.collect(), turns: vec![0; clients.len()], instances, random }
    }

    fn next(&mut self, clients: &[Client]) -> Planned {
        let Reverse((at, client)) = self.next.pop().unwrap();
        let Client { every, stays_at, .. } = clients[client];
        self.next.push(Reverse((at + every, client)));
        self.turns[client] += 1;
        let spread = || match &mut self.random {
            Some(random) => random.usize(..self.instances),
            // Clients do not all begin at the same instance.
            None => (client + self.turns[client]) % self.instances,
        };
        Planned { at, client, instance: stays_at.unwrap_or_else(spread) }
    }
}
