//! One open connection, and the commands that it carries.

use std::sync::Arc;

use bb8_redis::redis::aio::MultiplexedConnection;
use bb8_redis::redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, RedisError, Value};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::access::StoreTls;
use crate::settings::ServerAddress;

/// An open connection, logged in. Dropping it closes it, even while commands are in flight.
pub(crate) struct Link {
    inner: MultiplexedConnection,
    /// Reads and writes for `inner`; it ends when the server closes the connection.
    driver: AbortOnDropHandle<()>,
}

impl Link {
    /// Connects to a server and logs in.
    pub(super) async fn open(
        address: &ServerAddress,
        login: &RedisConnectionInfo,
        tls: Option<&StoreTls>,
    ) -> Result<Self, RedisError> {
        let stream = TcpStream::connect((&*address.host, address.port)).await?;
        // With Nagle's algorithm a small request would wait for the acknowledgement of the one before.
        stream.set_nodelay(true)?;
        // Each caller bounds the wait by its own deadline.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let (inner, driver) = match tls {
            None => {
                let (inner, driver) = MultiplexedConnection::new_with_config(login, stream, config).await?;
                (inner, tokio::spawn(driver))
            }
            Some(tls) => {
                let stream =
                    TlsConnector::from(Arc::clone(&tls.config)).connect(tls.name(address)?, stream).await?;
                let (inner, driver) = MultiplexedConnection::new_with_config(login, stream, config).await?;
                (inner, tokio::spawn(driver))
            }
        };
        Ok(Self { inner, driver: AbortOnDropHandle::new(driver) })
    }

    /// Sends commands in one round trip. Each has its own reply.
    pub(crate) async fn send(&mut self, commands: &Pipeline) -> Replies {
        commands.query_async(&mut self.inner).await
    }

    /// Returns whether the server has not closed the connection. This costs no round trip.
    pub(crate) fn is_open(&self) -> bool {
        !self.driver.is_finished()
    }
}

/// The replies of one round trip. The outer error means that the connection broke, so there are none.
pub(crate) type Replies = Result<Vec<Result<Value, RedisError>>, RedisError>;

/// Returns a pipeline of `commands`. Each has its own reply: the error of one must not hide the replies to the others.
pub(crate) fn pipeline(commands: impl IntoIterator<Item = Cmd>) -> Pipeline {
    let commands = commands.into_iter();
    let mut pipeline = Pipeline::with_capacity(commands.size_hint().0);
    pipeline.ignore_errors();
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline
}
