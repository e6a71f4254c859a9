//! Connections that say honestly whether they are broken.
//!
//! The managers that come with bb8-redis and redis never call a connection broken: one that the server closed
//! would fail again and again, or each checkout would have to pay a PING.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8_redis::bb8::{ErrorSink, ManageConnection};
use bb8_redis::redis::aio::MultiplexedConnection;
use bb8_redis::redis::{
    self, AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, ServerErrorKind,
    Value,
};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::SCRIPT;

/// How long connecting, with log-in and loading the script, may take. It goes on after the check that asked
/// for it has passed its deadline, so that the next one finds a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes connections for the pool.
#[derive(Debug)]
pub(super) struct Manager {
    server: ConnectionInfo,
    host: String,
    port: u16,
    last_error: LastError,
}

impl Manager {
    pub(super) fn new(server: ConnectionInfo, last_error: LastError) -> Result<Self, RedisError> {
        match server.addr().clone() {
            ConnectionAddr::Tcp(host, port) => Ok(Self { server, host, port, last_error }),
            _ => Err((ErrorKind::InvalidClientConfig, "only redis:// addresses are supported").into()),
        }
    }

    async fn open(&self) -> Result<Connection, RedisError> {
        let stream = TcpStream::connect((&*self.host, self.port)).await?;
        // Without it small requests wait for the acknowledgement of the one before (Nagle's algorithm).
        stream.set_nodelay(true)?;
        // The check's own deadline bounds the answers.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let login = self.server.redis_settings();
        let (inner, driver) = MultiplexedConnection::new_with_config(login, stream, config).await?;
        let driver = AbortOnDropHandle::new(tokio::spawn(driver));
        let mut connection = Connection { inner, driver, broken: false };
        connection.load().await?;
        self.last_error.clear();
        Ok(connection)
    }
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = RedisError;

    async fn connect(&self) -> Result<Connection, RedisError> {
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await;
        opened.unwrap_or_else(|_| Err((ErrorKind::Io, "connecting took too long").into()))
    }

    /// Asked at each checkout. It costs no trip: the driver ends when the server closes the connection.
    async fn is_valid(&self, connection: &mut Connection) -> Result<(), RedisError> {
        if connection.driver.is_finished() {
            return Err((ErrorKind::Io, "the server closed the connection").into());
        }
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.broken
    }
}

/// A connection on which the script is loaded. Dropping it closes it, whatever is still under way.
pub(super) struct Connection {
    inner: MultiplexedConnection,
    /// Reads and writes for `inner`.
    driver: AbortOnDropHandle<()>,
    broken: bool,
}

impl Connection {
    /// Loads the script.
    pub(super) async fn load(&mut self) -> Result<(), RedisError> {
        let load = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).to_owned();
        self.send(std::iter::once(&load)).await?.into_iter().try_for_each(|reply| reply.map(drop))
    }

    /// Sends commands in one trip; each has its own answer. The connection counts as broken until they are
    /// there: if the caller gives up on them, late answers must not meet the next caller.
    pub(super) async fn send<'c>(
        &mut self,
        commands: impl Iterator<Item = &'c Cmd>,
    ) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        let mut pipeline = redis::pipe();
        for command in commands {
            pipeline.add_command(command.clone());
        }
        self.broken = true;
        let replies: Result<Vec<Result<Value, RedisError>>, RedisError> =
            pipeline.ignore_errors().query_async(&mut self.inner).await;
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
    let ErrorKind::Server(kind) = error.kind() else { return error.kind() == ErrorKind::Extension };
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, NoPerm, ReadOnly};
    !matches!(kind, BusyLoading | ClusterDown | MasterDown | NoPerm | ReadOnly)
        && error.code() != Some("NOAUTH")
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

    fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl ErrorSink<RedisError> for LastError {
    fn sink(&self, error: RedisError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<RedisError>> {
        Box::new(self.clone())
    }
}
