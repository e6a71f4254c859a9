//! The instances, their Redis and their traffic, as a script moves them.

use std::time::Duration;

use bb8_redis::redis::RedisConnectionInfo;
use futures_util::future::join_all;
use tidegate::clock::{Clock, Driven};
use tidegate::config::{Overrides, compile_text};
use tidegate::limiter::{Charges, Limiter, Status, Verdict};
use tidegate::policy::{Check, Policy};
use tidegate::settings::{Credentials, RedisSettings, RedisTopology, ServerAddress};
use tidegate::store::{Access, RedisStore, Store};

use super::Run;
use crate::harness::{Redis, Relay, Setup, eventually};
use crate::traffic::{COUNTERS, INSTANCES, Log, Plan, Planned, Record, Scale, Span, Tally, counted};

/// When the traffic starts, by the clock of the script: in the middle of a slice.
pub const START_MS: i64 = 1_700_000_000_750;
/// How long a check waits for a Redis that hangs. A check that Redis has executed and whose reply is lost is counted
/// without being admitted, so this is longer than a busy machine delays a reply.
pub const TIMEOUT: Duration = Duration::from_secs(3);

pub struct Fleet {
    pub scale: Scale,
    pub redis: Redis,
    pub now: Duration,
    /// Where the instances find Redis.
    port: u16,
    clock: Driven,
    policy: Policy,
    instances: Vec<Option<Limiter>>,
    plan: Plan,
    records: Vec<Record>,
}

impl Fleet {
    pub async fn start() -> Self {
        Self::on(&Setup::default()).await
    }

    /// On a Redis that is set up like this.
    pub async fn on(setup: &Setup) -> Self {
        let redis = Redis::with(setup).await;
        let port = redis.port();
        Self::reaching(redis, port).await
    }

    /// With a relay between the instances and Redis.
    pub async fn behind_a_relay() -> (Self, Relay) {
        let redis = Redis::start().await;
        let relay = Relay::to(redis.port()).await;
        let port = relay.port();
        (Self::reaching(redis, port).await, relay)
    }

    async fn reaching(redis: Redis, port: u16) -> Self {
        let scale = Scale::short();
        let text = format!("upstream: http://127.0.0.1:1\nrules: [{}]", scale.rule());
        let config = compile_text("fleet", text.as_bytes(), &Overrides::default(), &|_| Ok(None)).unwrap();
        let clock = Driven::default();
        clock.set_ms(START_MS);
        let mut fleet = Self {
            scale,
            redis,
            now: Duration::ZERO,
            port,
            clock,
            policy: config.policy,
            instances: Vec::new(),
            plan: Plan::new(&scale, None),
            records: Vec::new(),
        };
        fleet.instances = (0..INSTANCES).map(|_| Some(fleet.instance())).collect();
        fleet.each("knows of all", |status| status.instances == 4).await;
        fleet
    }

    fn instance(&self) -> Limiter {
        Limiter::new(Store::Redis(store(self.port, &self.clock)), 1, Clock::Driven(self.clock.clone()))
    }

    /// Waits until this is so for each instance.
    async fn each(&self, what: &str, is_so: impl Fn(&Status) -> bool) {
        eventually(&format!("the moment when each instance {what}"), async || {
            let mut instances = self.instances.iter().flatten();
            instances.all(|instance| is_so(&instance.status().unwrap())).then_some(())
        })
        .await;
    }

    /// Redis is out of reach: waits until all instances have noticed, and decide without it.
    pub async fn misses_redis(&mut self) {
        self.reaches_each_instance().await;
        self.each("decides without Redis", is_down).await;
    }

    /// Sends the next requests, as many as it takes to reach each instance, all at once.
    pub async fn reaches_each_instance(&mut self) {
        let mut next = Vec::new();
        let missing = |next: &[Planned]| {
            (0..INSTANCES).any(|instance| next.iter().all(|planned| planned.instance != instance))
        };
        while missing(&next) {
            next.push(self.plan.next());
        }
        self.moves_to(next.last().unwrap().at);
        let records = join_all(next.into_iter().map(|planned| self.request(planned))).await;
        self.records.extend(records);
    }

    /// Redis is within reach again: waits until all instances use it, and have added what it missed.
    pub async fn has_redis_back(&self) {
        self.each("uses Redis", |status| !is_down(status) && !status.needs_settlement).await;
    }

    /// Until all windows are full, and some of the greedy clients' requests are admitted again.
    pub async fn warms_up(&mut self) -> Span {
        self.until(self.scale.windows(1.15)).await
    }

    /// Sends the requests of this time to come.
    pub async fn goes_on(&mut self, duration: Duration) -> Span {
        self.until(self.now + duration).await
    }

    /// Sends the requests until then, one after the other, each at its time.
    pub async fn until(&mut self, end: Duration) -> Span {
        let start = self.now;
        while let Some(planned) = self.plan.next_before(end) {
            self.moves_to(planned.at);
            let record = self.request(planned).await;
            self.records.push(record);
        }
        self.moves_to(end);
        start..end
    }

    fn moves_to(&mut self, time: Duration) {
        self.now = time;
        self.clock.set_ms(START_MS + i64::try_from(time.as_millis()).unwrap());
    }

    async fn request(&self, planned: Planned) -> Record {
        let Planned { client, instance, .. } = planned;
        // To the next one, if it is gone.
        let mut turns = (instance..instance + INSTANCES).map(|turn| turn % INSTANCES);
        let limiter = turns.find_map(|instance| self.instances[instance].as_ref());
        let limiter = limiter.expect("no instance is left");
        let check = Check { rule: &self.policy.rules()[0], client: self.plan.clients[client].name.clone() };
        let charges = Charges::of([check]);
        let status = match limiter.recall(&charges) {
            Some(_) => 429,
            None => match limiter.charge(&charges).await {
                Verdict::Pass { .. } => 200,
                Verdict::Refuse(_) => 429,
                Verdict::Unchecked | Verdict::Unavailable { .. } => 503,
            },
        };
        Record { client, sent: self.now, status: Some(status) }
    }

    /// Ends the traffic.
    pub async fn ends(mut self, outage: Span, after: Span) -> Run {
        let records = std::mem::take(&mut self.records);
        let log = Log::new(self.plan.clients.clone(), records, &self.scale);
        // Without the network in between.
        let store = store(self.redis.port(), &self.clock);
        let mut tally = Vec::new();
        // Without it nobody counts.
        for (number, client) in log.clients.iter().enumerate().filter(|_| self.redis.runs()) {
            let counted = counted(&store, &format!("{{{}}}{COUNTERS}", client.name)).await;
            tally.push((client.name.clone(), counted, log.admitted(number, &log.whole())));
        }
        Run { log, tally: Tally(tally), outage, after }
    }
}

impl Fleet {
    /// An instance dies. Its clients find others.
    pub fn loses(&mut self, place: usize) {
        self.instances[place] = None;
    }

    /// An instance starts in the place of one that died.
    pub fn gains(&mut self, place: usize) {
        self.instances[place] = Some(self.instance());
    }
}

/// A store in the time of this clock.
pub fn store(port: u16, clock: &Driven) -> RedisStore {
    let login = RedisConnectionInfo::default();
    let access = Access { server: login.clone(), sentinel: login, tls: None };
    let settings = RedisSettings {
        topology: RedisTopology::Standalone(ServerAddress { host: "127.0.0.1".to_owned(), port }),
        database: 0,
        credentials: Credentials::default(),
        sentinel_credentials: Credentials::default(),
        tls: None,
        timeout: TIMEOUT,
        key_prefix: "fleet".to_owned(),
        connections: 2,
        instances: 1,
    };
    RedisStore::new(&settings, access, Clock::Driven(clock.clone()))
}

pub fn is_down(status: &Status) -> bool {
    status.health.servers.iter().any(|server| server.error.is_some())
}
