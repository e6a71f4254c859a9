//! Counters in Redis (or Valkey), shared by all instances.
//!
//! One script decides about all the asks of a request. It returns the counters as they were, and this side
//! derives everything else from them with the same [`take_all`] that the memory store uses, and compares.

mod codec;
mod connection;
mod queue;

use std::time::Duration;

use bb8_redis::bb8::Pool;
use bb8_redis::redis::{self, Cmd, RedisError, Script, Value};

use super::{Answer, Ask, StoreError};
use crate::clock::{Clock, Stopwatch};
use crate::metrics::StoreMeter;
use crate::window::{Charge, Counter, Taken, take_all};
use connection::{LastError, Manager};
use queue::Queue;

const SCRIPT: &str = include_str!("take.lua");

/// With a driven clock a counter lives for at least this long in real time, whatever its window says.
const DRIVEN_TTL_MS: u32 = 600_000;

/// How to reach Redis.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Address, database, user and password.
    pub server: redis::ConnectionInfo,
    /// How long a check may take in all.
    pub timeout: Duration,
    /// What the name of each key starts with.
    pub key_prefix: String,
    /// The most connections held open, each for one trip under way.
    pub connections: u32,
}

/// The store of many instances.
#[derive(Debug)]
pub struct RedisStore {
    queue: Queue,
    sha: String,
    pool: Pool<Manager>,
    connect_error: LastError,
    timeout: Duration,
    key_prefix: String,
    clock: Clock,
    meter: StoreMeter,
}

impl RedisStore {
    /// A store on the server that `options` name. The first connection is opened beside, and tidegate starts
    /// whether Redis is there or not. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When `options.server` cannot be used as it is.
    pub fn new(options: RedisOptions, clock: Clock) -> Result<Self, RedisError> {
        let connect_error = LastError::default();
        let manager = Manager::new(options.server, connect_error.clone())?;
        let pool = Pool::builder()
            .max_size(options.connections)
            .min_idle(1)
            .max_lifetime(None)
            .error_sink(Box::new(connect_error.clone()))
            .connection_timeout(connection::CONNECT_TIMEOUT.max(options.timeout))
            .build_unchecked(manager);
        let meter = StoreMeter::new("redis");
        Ok(Self {
            queue: Queue::start(&pool, options.connections, options.timeout),
            sha: Script::new(SCRIPT).get_hash().to_owned(),
            pool,
            connect_error,
            timeout: options.timeout,
            key_prefix: options.key_prefix,
            clock,
            meter,
        })
    }

    /// Decides about all the asks of one request.
    ///
    /// # Errors
    /// When no answer came within the deadline.
    pub async fn take(&self, asks: &[Ask]) -> Result<Answer, StoreError> {
        let watch = Stopwatch::start();
        let answer = tokio::time::timeout(self.timeout, self.ask(asks)).await;
        let answer = match answer {
            Ok(Err(StoreError::GivenUp)) | Err(_) => Err(self.overdue()),
            Ok(answer) => answer,
        };
        match &answer {
            Ok(_) => self.meter.answered(watch.seconds()),
            Err(StoreError::Timeout(_)) => self.meter.timed_out(watch.seconds()),
            Err(_) => self.meter.failed(watch.seconds()),
        }
        answer
    }

    /// Why there is no answer in time: because no connection can be made, if there is none.
    fn overdue(&self) -> StoreError {
        let reason = self.connect_error.get().filter(|_| self.pool.state().connections == 0);
        reason.map_or(StoreError::Timeout(self.timeout), StoreError::Connect)
    }

    async fn ask(&self, asks: &[Ask]) -> Result<Answer, StoreError> {
        let reply = self.queue.call(self.command(asks)).await?;
        self.read(asks, reply)
    }

    /// The call of the script that decides about `asks`.
    fn command(&self, asks: &[Ask]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.sha).arg(asks.len());
        for ask in asks {
            command.arg(format!("{}:{}", self.key_prefix, ask.key));
        }
        match &self.clock {
            Clock::Real => command.arg("").arg(0),
            Clock::Driven(driven) => command.arg(driven.now_ms()).arg(DRIVEN_TTL_MS),
        };
        for Ask { charge: Charge { limit, cost, group }, .. } in asks {
            command.arg(limit.quota()).arg(limit.burst()).arg(limit.window_ms()).arg(limit.slices());
            command.arg(cost).arg(group);
        }
        command
    }

    /// Reads the script's reply: see `take.lua`.
    fn read(&self, asks: &[Ask], reply: Value) -> Result<Answer, StoreError> {
        let Value::Array(fields) = reply else { return Err(StoreError::Answer("no array")) };
        let mut fields = fields.into_iter();
        let Some(Value::Int(now_ms)) = fields.next() else { return Err(StoreError::Answer("no time")) };
        let mut counters: Vec<Counter> = Vec::with_capacity(asks.len());
        let mut charged: Vec<bool> = Vec::with_capacity(asks.len());
        for _ in asks {
            let (Some(Value::Int(flag)), Some(Value::BulkString(raw))) = (fields.next(), fields.next())
            else {
                return Err(StoreError::Answer("a counter is missing"));
            };
            charged.push(flag == 1);
            counters.push(codec::decode(&raw));
        }
        let charges: Vec<Charge> = asks.iter().map(|ask| ask.charge).collect();
        let mut taken = take_all(&mut counters, &charges, now_ms);
        self.compare(&charged, &mut taken);
        Ok(Answer { now_ms, taken, counters })
    }

    /// What Redis counted is what counts. That the two could ever differ is a fault of ours: asserted in tests,
    /// counted in production.
    fn compare(&self, charged: &[bool], taken: &mut [Taken]) {
        for (&charged, taken) in charged.iter().zip(taken) {
            debug_assert_eq!(charged, taken.charged, "take.lua and window.rs disagree");
            if charged != taken.charged {
                self.meter.disagreed();
                *taken = Taken { fits: charged, charged };
            }
        }
    }
}
