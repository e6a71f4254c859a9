//! Four instances on one Redis, in front of one upstream.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tidegate::clock::Clock;

use crate::harness::{Redis, Relay, Setup, Tidegate, Upstream};
use crate::length::Length;
use crate::run::{Disturbed, Run};
use crate::sending::Traffic;
use crate::traffic::{COUNTERS, INSTANCES, Log, Span, Tally, counted};

/// At this part of each window, no greedy client has anything left. They begin within the first fifth of a window and
/// send 2.8 times their limit, so that they have used it up by 0.56 of each window.
const QUIET: f64 = 0.78;

/// The instances, their Redis and their traffic.
pub struct Fleet {
    pub length: Length,
    pub redis: Redis,
    pub traffic: Traffic,
    pub instances: Vec<Tidegate>,
    config: Config,
    _upstream: Upstream,
}

/// The file that all instances read.
struct Config {
    file: PathBuf,
    _directory: TempDir,
}

impl Fleet {
    pub async fn start() -> Self {
        Self::on(&Setup::default()).await
    }

    /// On a Redis that is set up like this.
    pub async fn on(setup: &Setup) -> Self {
        let redis = Redis::with(setup).await;
        let url = redis.url();
        Self::reaching(redis, &url).await
    }

    /// With a relay between the instances and Redis.
    pub async fn behind_a_relay() -> (Self, Relay) {
        let redis = Redis::start().await;
        let relay = Relay::to(redis.port()).await;
        (Self::reaching(redis, &relay.url()).await, relay)
    }

    async fn reaching(redis: Redis, url: &str) -> Self {
        let length = Length::chosen();
        let upstream = Upstream::forgetful().await;
        let config = Config::new(&format!(
            "upstream: http://{}\nstore: {{ redis: {{ url: '{url}' }}, on_outage: local }}\nrules: [{}]",
            upstream.address,
            length.scale.rule()
        ));
        let mut instances = Vec::new();
        for _ in 0..INSTANCES {
            instances.push(Tidegate::with_config(&config.file).await);
        }
        let addresses = instances.iter().map(|instance| instance.address).collect();
        let traffic = Traffic::start(addresses, length.plan());
        Self { length, redis, traffic, instances, config, _upstream: upstream }
    }

    /// Until all windows are full, and some of the greedy clients' requests are admitted again.
    pub async fn warms_up(&self) -> Span {
        self.until(self.length.scale.windows(1.15)).await
    }

    /// Lets the traffic go on for this long.
    pub async fn goes_on(&self, duration: Duration) -> Span {
        let start = self.traffic.now();
        self.until(start + duration).await
    }

    /// Lets the traffic go on until then.
    pub async fn until(&self, end: Duration) -> Span {
        let start = self.traffic.now();
        self.traffic.reaches(end).await;
        start..end
    }

    /// Lets it go on for this long at least, and until no greedy client has anything left for a while: what is admitted a
    /// little later or earlier than it might have been makes no difference then.
    pub async fn until_quiet(&self, at_least: Duration) -> Span {
        let scale = &self.length.scale;
        let windows = (self.traffic.now() + at_least).div_duration_f64(scale.window);
        self.until(scale.windows((windows - QUIET).ceil() + QUIET)).await
    }

    /// Ends the traffic.
    pub async fn ends(&mut self) -> Result<Run, Disturbed> {
        let (clients, timed) = self.traffic.end().await;
        let log = Log::new(clients, timed.iter().map(|timed| timed.record).collect(), &self.length.scale);
        Run { log, timed }.undisturbed()
    }

    /// What Redis has counted at the end of the traffic. Clients are not known by the names of their counters: those
    /// with the most are compared, and so on.
    pub async fn tally(&self, log: &Log) -> Tally {
        let store = self.redis.store(PREFIX, Clock::Real);
        let mut counts = Vec::new();
        for name in self.redis.counters().await.iter().filter(|name| name.ends_with(COUNTERS)) {
            counts.push(counted(&store, name.strip_prefix(&format!("{PREFIX}:")).unwrap()).await);
        }
        let mut admitted: Vec<_> = log
            .clients
            .iter()
            .enumerate()
            .map(|(number, client)| (log.admitted(number, &log.whole()), client.name.clone()))
            .collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        admitted.sort_unstable_by(|a, b| b.cmp(a));
        let counts = counts.into_iter().chain(std::iter::repeat(0));
        Tally(
            admitted
                .into_iter()
                .zip(counts)
                .map(|((admitted, name), counted)| (name, counted, admitted))
                .collect(),
        )
    }
}

/// What tidegate's keys start with.
const PREFIX: &str = "tidegate";

impl Fleet {
    /// Kills an instance. Its clients find others.
    pub fn loses(&mut self, place: usize) {
        drop(self.instances.remove(place));
        self.traffic.loses(place);
    }

    /// Starts an instance in the place of one that was lost.
    pub async fn gains(&mut self, place: usize) {
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
