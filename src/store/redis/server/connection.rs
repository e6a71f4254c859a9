//! Connections that say honestly whether they are broken.
//!
//! The managers that come with bb8-redis and redis never call a connection broken: one that the server closed
//! would fail again and again, or each checkout would have to pay a PING.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8_redis::bb8::ManageConnection;
use bb8_redis::redis::{self, ErrorKind, Pipeline, RedisError, Value};

use super::backoff::Backoff;
use super::breaker::Breaker;
use crate::store::redis::route::sentinel::Sentinels;
use crate::store::redis::shared::Shared;
use crate::store::redis::wire::call;
use crate::store::redis::wire::clock_offset::Offset;
use crate::store::redis::wire::fault;
use crate::store::redis::wire::link::{Link, Replies, ServerAddress, pipeline};

/// How long connecting, with log-in and loading the scripts, may take. It goes on after the check that asked
/// for it has passed its deadline, so that the next one finds a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// What `CLIENT LIST` calls us.
const CLIENT_NAME: &str = "tidegate";

/// Which server to connect to.
#[derive(Debug)]
pub(crate) enum Server {
    /// This one.
    Fixed(ServerAddress),
    /// Whichever is the primary.
    Primary(Sentinels),
}

/// As operators know it.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(address) => address.fmt(f),
            Self::Primary(sentinels) => write!(f, "primary {}", sentinels.name()),
        }
    }
}

/// Makes connections.
#[derive(Clone, Debug)]
pub(crate) struct Manager {
    server: Arc<Server>,
    shared: Arc<Shared>,
    breaker: Arc<Breaker>,
    backoff: Arc<Backoff>,
    /// Which run of the server was met last, if any was, and if it told.
    run: Arc<Mutex<Option<Option<String>>>>,
    /// A connection was lost since.
    lost: Arc<AtomicBool>,
}

impl Manager {
    pub(crate) fn new(server: Server, shared: Arc<Shared>, breaker: Arc<Breaker>) -> Self {
        let server = Arc::new(server);
        Self { server, shared, breaker, backoff: Arc::default(), run: Arc::default(), lost: Arc::default() }
    }

    pub(crate) async fn open(&self) -> Result<Connection, RedisError> {
        match &*self.server {
            Server::Fixed(address) => self.open_to(address.clone()).await,
            Server::Primary(sentinels) => {
                let address = sentinels.primary().await?;
                tokio::select! {
                    opened = self.open_to(address.clone()) => opened,
                    // One that hangs is not waited for when there is another.
                    () = sentinels.another_than(&address) => Err(replaced()),
                }
            }
        }
    }

    async fn open_to(&self, address: ServerAddress) -> Result<Connection, RedisError> {
        let access = self.shared.access.load_full();
        let mut link = Link::open(&address, &access.server, access.tls.as_ref()).await?;
        if let Server::Primary(_) = *self.server {
            // The sentinels may not have noticed yet, or the server has not.
            let role = link
                .send(&pipeline([redis::cmd("ROLE")]))
                .await?
                .into_iter()
                .collect::<Result<Vec<_>, _>>()?;
            if !is_primary(&role) {
                return Err((ErrorKind::Client, "the server that the sentinels name is no primary").into());
            }
        }
        let set_name = redis::cmd("CLIENT").arg("SETNAME").arg(CLIENT_NAME).take();
        let greeting = [set_name, redis::cmd("INFO").arg("server").take(), redis::cmd("TIME")];
        let mut replies = link.send(&pipeline(greeting)).await?.into_iter();
        let local_ms = self.shared.now_ms();
        // A name helps whoever looks at the server, but is no reason to go without one that forbids it.
        let (_, info) = (replies.next(), replies.next());
        let time = replies.next().ok_or((ErrorKind::Client, "no time"))??;
        let (seconds, micros): (i64, i64) = redis::from_redis_value(time)?;
        let server_ms = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        if !call::TIMES.contains(&server_ms) {
            return Err((ErrorKind::Client, "its clock is out of all bounds").into());
        }
        self.meets(info);
        let offset = Offset::new(local_ms, server_ms);
        let mut connection = Connection { link, address, offset, broken: false, has_worked: false };
        connection.load().await?;
        Ok(connection)
    }

    /// Takes note of which run of the server this is: another one than before may have lost the counters. One that
    /// does not tell may be another one whenever a connection was lost.
    fn meets(&self, info: Option<Result<Value, RedisError>>) {
        let info: Option<String> =
            info.and_then(Result::ok).and_then(|info| redis::from_redis_value(info).ok());
        let told =
            info.as_deref().and_then(|info| info.lines().find_map(|line| line.strip_prefix("run_id:")));
        let told = told.map(str::to_owned);
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = self.lost.swap(false, Ordering::AcqRel);
        let another = |before: &Option<String>| if told.is_none() { lost } else { *before != told };
        if run.as_ref().is_some_and(another) {
            self.shared.generation.advance();
        }
        *run = Some(told);
    }
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = RedisError;

    async fn connect(&self) -> Result<Connection, RedisError> {
        self.backoff.pause().await;
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await;
        let opened = opened.unwrap_or_else(|_| Err((ErrorKind::Io, "connecting took too long").into()));
        if opened.is_err() {
            self.backoff.failed();
            if let Server::Primary(sentinels) = &*self.server {
                sentinels.doubt();
            }
            self.breaker.doubt();
        }
        opened
    }

    /// Asked at each checkout. It costs no trip: the driver ends when the server closes the connection.
    async fn is_valid(&self, connection: &mut Connection) -> Result<(), RedisError> {
        if !connection.link.is_open() {
            self.lost.store(true, Ordering::Release);
            return Err((ErrorKind::Io, "the server closed the connection").into());
        }
        match &*self.server {
            Server::Primary(sentinels) if !sentinels.still_name(&connection.address) => Err(replaced()),
            _ => Ok(()),
        }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        let broken = connection.broken || !connection.link.is_open();
        if broken {
            self.lost.store(true, Ordering::Release);
        }
        match (broken, connection.has_worked) {
            (false, _) => {
                connection.has_worked = true;
                self.backoff.succeeded();
            }
            (true, true) => self.backoff.lost(),
            (true, false) => self.backoff.failed(),
        }
        broken
    }
}

fn replaced() -> RedisError {
    (ErrorKind::Io, "the sentinels have made another server the primary").into()
}

/// Whether this is what `ROLE` says of a primary.
fn is_primary(role: &[Value]) -> bool {
    let [Value::Array(role)] = role else { return false };
    matches!(role.first(), Some(Value::BulkString(name)) if name == b"master")
}

/// A connection on which the scripts are loaded.
pub(crate) struct Connection {
    link: Link,
    address: ServerAddress,
    pub(crate) offset: Offset,
    broken: bool,
    /// It has brought answers.
    has_worked: bool,
}

impl Connection {
    /// Whether the server has not closed it. Costs no trip.
    pub(crate) fn is_open(&self) -> bool {
        self.link.is_open() && !self.broken
    }

    /// Loads the scripts.
    pub(crate) async fn load(&mut self) -> Result<(), RedisError> {
        self.send(&pipeline(call::loading())).await?.into_iter().try_for_each(|reply| reply.map(drop))
    }

    /// Sends commands in one trip; each has its own answer. The connection counts as broken until they are
    /// there: if the caller gives up on them, it is not used again.
    pub(crate) async fn send(&mut self, commands: &Pipeline) -> Replies {
        self.broken = true;
        let replies = self.link.send(commands).await;
        self.broken = match &replies {
            Ok(replies) => {
                replies.iter().any(|reply| reply.as_ref().is_err_and(|error| !fault::is_answer(error)))
            }
            Err(_) => true,
        };
        replies
    }
}
