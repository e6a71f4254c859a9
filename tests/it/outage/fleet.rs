//! Four instances on one Redis, under steady traffic of which a part is too much, while Redis is slow or gone.
//!
//! `make test` runs this in a short form; `make outage` runs it in full length and shows the figures.

mod back;
mod figures;
mod flapping;
mod gone;
mod hung;
mod log;
mod network;
mod replaced;
mod scale;
mod tally;
mod traffic;

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::harness::{Redis, Relay, Setup, Tidegate, Upstream};
use log::Log;
use scale::Scale;
use traffic::Traffic;

/// What rules do without Redis.
const ON_OUTAGE: &str = "local";
const INSTANCES: usize = 4;

/// When limits are to hold again after Redis is back.
const SOON: Duration = Duration::from_secs(1);

/// At this part of each window, no greedy client has anything left. They begin within the first fifth of a window and
/// ask for 2.8 times their limit, so that they have used it up by 0.56 of each window.
const QUIET: f64 = 0.78;

/// How often a scenario is played before it is given up.
const ATTEMPTS: usize = 4;

/// Times since the start of the traffic.
type Span = Range<Duration>;

/// The instances, their Redis and their traffic.
struct Fleet {
    scale: Scale,
    redis: Redis,
    traffic: Traffic,
    instances: Vec<Tidegate>,
    config: Config,
    _upstream: Upstream,
    _turn: SemaphorePermit<'static>,
}

/// The file that all instances read.
struct Config {
    file: PathBuf,
    _directory: TempDir,
}

/// How many fleets there are at a time: one takes a quarter of two processors, and more would starve each other.
static TURNS: Semaphore = Semaphore::const_new(2);

/// This machine was too busy, or stood still: what happened tells nothing about tidegate.
struct Disturbed(Log);

/// Plays a scenario, and again if it was disturbed.
async fn undisturbed(scenario: impl AsyncFn() -> Result<(), Disturbed>) {
    for _ in 0..ATTEMPTS {
        match scenario().await {
            Ok(()) => return,
            Err(Disturbed(log)) => log.show("Disturbed: to be played again", &[("all", &log.whole())]),
        }
    }
    panic!("this machine is too busy for steady traffic, {ATTEMPTS} times in a row");
}

impl Fleet {
    async fn start() -> Self {
        Self::on(&Setup::default()).await
    }

    /// On a Redis that is set up like this.
    async fn on(setup: &Setup) -> Self {
        let turn = TURNS.acquire().await.unwrap();
        let redis = Redis::with(setup).await;
        let url = redis.url();
        Self::reaching(redis, &url, turn).await
    }

    /// With a relay between the instances and Redis.
    async fn behind_a_relay() -> (Self, Relay) {
        let turn = TURNS.acquire().await.unwrap();
        let redis = Redis::start().await;
        let relay = Relay::to(redis.port()).await;
        (Self::reaching(redis, &relay.url(), turn).await, relay)
    }

    async fn reaching(redis: Redis, url: &str, turn: SemaphorePermit<'static>) -> Self {
        let scale = Scale::chosen();
        let upstream = Upstream::forgetful().await;
        let config = Config::new(&format!(
            "upstream: http://{}
store: {{ redis: {{ url: '{url}' }}, on_outage: {ON_OUTAGE} }}
rules: [{{ name: each, key: ['header:X-Client'], limits: [{{ rate: {} }}, {{ rate: {} }}] }}]",
            upstream.address,
            scale.rate,
            tally::RATE,
        ));
        let mut instances = Vec::new();
        for _ in 0..INSTANCES {
            instances.push(Tidegate::with_config(&config.file).await);
        }
        let traffic = Traffic::start(instances.iter().map(|instance| instance.address).collect(), &scale);
        Self { scale, redis, traffic, instances, config, _upstream: upstream, _turn: turn }
    }

    /// Until all windows are full, and some of the greedy clients' requests are let through again.
    async fn warms_up(&self) -> Span {
        self.until(self.scale.windows(1.15)).await
    }

    /// Lets the traffic go on for so long.
    async fn goes_on(&self, duration: Duration) -> Span {
        let start = self.traffic.now();
        self.until(start + duration).await
    }

    /// Lets the traffic go on until then.
    async fn until(&self, end: Duration) -> Span {
        let start = self.traffic.now();
        self.traffic.reaches(end).await;
        start..end
    }

    /// Lets it go on for so long at least, and until no greedy client has anything left for a while: what is let
    /// through a little later or earlier than it might have been makes no difference then.
    async fn until_quiet(&self, at_least: Duration) -> Span {
        let windows = (self.traffic.now() + at_least).div_duration_f64(self.scale.window);
        self.until(self.scale.windows((windows - QUIET).ceil() + QUIET)).await
    }

    /// Ends the traffic.
    async fn ends(&mut self) -> Result<Log, Disturbed> {
        let log = Log::new(self.traffic.end().await, &self.scale);
        if log.is_disturbed() { Err(Disturbed(log)) } else { Ok(log) }
    }
}

impl Fleet {
    /// Kills an instance. Its clients find others.
    fn loses(&mut self, place: usize) {
        drop(self.instances.remove(place));
        self.traffic.loses(place);
    }

    /// Starts an instance in the place of one that was lost.
    async fn gains(&mut self, place: usize) {
        let instance = Tidegate::with_config(&self.config.file).await;
        self.traffic.gains(place, instance.address);
        self.instances.insert(place, instance);
    }
}

impl Config {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tidegate.yaml");
        std::fs::write(&file, text).unwrap();
        Self { file, _directory: directory }
    }
}
