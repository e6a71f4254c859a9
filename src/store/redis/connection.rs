//! Connections that say honestly whether they are broken.
//!
//! The managers that come with bb8-redis and redis never call a connection broken: one that the server closed
//! would fail again and again, or each checkout would have to pay a PING.

use std::time::Duration;

use bb8_redis::bb8::ManageConnection;
use bb8_redis::redis::aio::MultiplexedConnection;
use bb8_redis::redis::io::tcp::TcpSettings;
use bb8_redis::redis::{
    self, AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, RedisError, ServerErrorKind, Value,
};

use super::SCRIPT;

/// How long connecting, with log-in and loading the script, may take. It goes on after the check that asked
/// for it has passed its deadline, so that the next one finds a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes connections for the pool.
#[derive(Debug)]
pub(super) struct Manager {
    client: Client,
}

impl Manager {
    pub(super) fn new(server: ConnectionInfo) -> Result<Self, RedisError> {
        // Without it small requests wait for the acknowledgement of the one before (Nagle's algorithm).
        let server = server.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        Ok(Self { client: Client::open(server)? })
    }
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = RedisError;

    async fn connect(&self) -> Result<Connection, RedisError> {
        // The check's own deadline bounds the answers.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(None);
        let inner = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut connection = Connection { inner, sha: String::new(), broken: false };
        connection.load().await?;
        Ok(connection)
    }

    async fn is_valid(&self, _: &mut Connection) -> Result<(), RedisError> {
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.broken
    }
}

/// A connection on which the script is loaded.
pub(super) struct Connection {
    inner: MultiplexedConnection,
    sha: String,
    broken: bool,
}

impl Connection {
    /// What EVALSHA calls the script.
    pub(super) fn sha(&self) -> &str {
        &self.sha
    }

    /// Loads the script.
    pub(super) async fn load(&mut self) -> Result<(), RedisError> {
        let reply = self.query(redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT)).await?;
        self.sha = redis::from_redis_value(reply)?;
        Ok(())
    }

    /// Sends a command. The connection counts as broken until the answer is there: if the caller gives up on
    /// it, the late answer must not meet the next caller.
    pub(super) async fn query(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        self.broken = true;
        let reply = command.query_async(&mut self.inner).await;
        self.broken = reply.as_ref().is_err_and(|error| !is_answer(error));
        reply
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
