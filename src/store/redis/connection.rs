//! Connections that say honestly whether they are broken.
//!
//! The managers that come with bb8-redis and redis never call a connection broken: one that the server closed
//! would fail again and again, or each checkout would have to pay a PING.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8_redis::bb8::ManageConnection;
use bb8_redis::redis::{self, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};

use super::backoff::Backoff;
use super::offset::Offset;
use super::script;
use super::sentinel::Sentinels;
use super::server::{Address, Link, Replies, pipeline};
use super::shared::Shared;

/// How long connecting, with log-in and loading the scripts, may take. It goes on after the check that asked
/// for it has passed its deadline, so that the next one finds a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// What `CLIENT LIST` calls us.
const CLIENT_NAME: &str = "tidegate";

/// Which server to connect to.
#[derive(Debug)]
pub(super) enum Server {
    /// This one.
    Fixed(Address),
    /// Whichever is the primary.
    Primary(Sentinels),
}

impl Server {
    /// What went wrong, for whoever has to mend it.
    fn says(&self, error: &RedisError) -> String {
        let reason = match error.kind() {
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
                "what listens there does not speak Redis's protocol".to_owned()
            }
            _ => error.to_string(),
        };
        match self {
            Self::Fixed(address) => format!("{address}: {reason}"),
            Self::Primary(_) => reason,
        }
    }
}

/// Makes connections for the pool.
#[derive(Debug)]
pub(super) struct Manager {
    server: Server,
    shared: Arc<Shared>,
    backoff: Backoff,
    last_error: LastError,
}

impl Manager {
    pub(super) fn new(server: Server, shared: Arc<Shared>, last_error: LastError) -> Self {
        Self { server, shared, backoff: Backoff::default(), last_error }
    }

    async fn open(&self) -> Result<Connection, RedisError> {
        match &self.server {
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

    async fn open_to(&self, address: Address) -> Result<Connection, RedisError> {
        let access = self.shared.access.load_full();
        let mut link = Link::open(&address, &access.server, access.tls.as_ref()).await?;
        if let Server::Primary(_) = self.server {
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
        // It helps whoever looks at the server, but is no reason to go without one that forbids it.
        let _ = link.send(&pipeline([redis::cmd("CLIENT").arg("SETNAME").arg(CLIENT_NAME).take()])).await?;
        let replies = link.send(&pipeline([redis::cmd("TIME")])).await?;
        let local_ms = self.shared.now_ms();
        let time = replies.into_iter().next().ok_or((ErrorKind::Client, "no time"))??;
        let (seconds, micros): (i64, i64) = redis::from_redis_value(time)?;
        let server_ms = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        if !script::TIMES.contains(&server_ms) {
            return Err((ErrorKind::Client, "its clock is out of all bounds").into());
        }
        let offset = Offset::new(local_ms, server_ms);
        let mut connection = Connection { link, address, offset, broken: false, has_worked: false };
        connection.load().await?;
        self.last_error.clear();
        Ok(connection)
    }
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = RedisError;

    async fn connect(&self) -> Result<Connection, RedisError> {
        self.backoff.pause().await;
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await;
        let opened = opened.unwrap_or_else(|_| Err((ErrorKind::Io, "connecting took too long").into()));
        if let Err(error) = &opened {
            self.backoff.failed();
            if let Server::Primary(sentinels) = &self.server {
                sentinels.doubt();
            }
            self.last_error.set(self.server.says(error));
        }
        opened
    }

    /// Asked at each checkout. It costs no trip: the driver ends when the server closes the connection.
    async fn is_valid(&self, connection: &mut Connection) -> Result<(), RedisError> {
        if !connection.link.is_open() {
            let error = (ErrorKind::Io, "the server closed the connection").into();
            self.last_error.set(self.server.says(&error));
            return Err(error);
        }
        match &self.server {
            Server::Primary(sentinels) if !sentinels.still_name(&connection.address) => Err(replaced()),
            _ => Ok(()),
        }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        let broken = connection.broken || !connection.link.is_open();
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
pub(super) struct Connection {
    link: Link,
    address: Address,
    pub(super) offset: Offset,
    broken: bool,
    /// It has brought answers.
    has_worked: bool,
}

impl Connection {
    /// Loads the scripts.
    pub(super) async fn load(&mut self) -> Result<(), RedisError> {
        self.send(&pipeline(script::loading())).await?.into_iter().try_for_each(|reply| reply.map(drop))
    }

    /// Sends commands in one trip; each has its own answer. The connection counts as broken until they are
    /// there: if the caller gives up on them, it is not used again.
    pub(super) async fn send(&mut self, commands: &Pipeline) -> Replies {
        self.broken = true;
        let replies = self.link.send(commands).await;
        self.broken = match &replies {
            Ok(replies) => replies.iter().any(|reply| reply.as_ref().is_err_and(|error| !is_answer(error))),
            Err(_) => true,
        };
        replies
    }
}

/// Whether an error is an answer of a server that can be asked again. A server that loads its data, has become
/// a replica, or wants other credentials is better looked up anew.
fn is_answer(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, MasterDown, ReadOnly};
    match error.kind() {
        ErrorKind::Server(kind) => !matches!(kind, BusyLoading | MasterDown | ReadOnly),
        ErrorKind::Extension => error.code() != Some("NOAUTH"),
        _ => false,
    }
}

/// Remembers why the last connection could not be made, or was closed; all that a check would notice is that it
/// gets none in time.
#[derive(Clone, Debug, Default)]
pub(super) struct LastError(Arc<Mutex<Option<String>>>);

impl LastError {
    /// None if the last connection was made without one.
    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, reason: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
