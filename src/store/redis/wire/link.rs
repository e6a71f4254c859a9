//! A server: where it is, how to log in, and a connection to it.

use std::fmt;
use std::sync::Arc;

use bb8_redis::redis::aio::MultiplexedConnection;
use bb8_redis::redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, RedisConnectionInfo, RedisError, Value,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// A name, or an IP address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What opens a connection; it may change while tidegate runs, and then holds for new connections.
#[derive(Clone, Debug)]
pub struct Access {
    /// User, password and database of the servers that hold the counters.
    pub server: RedisConnectionInfo,
    /// User and password of the sentinels.
    pub sentinel: RedisConnectionInfo,
    /// None: in the clear.
    pub tls: Option<StoreTls>,
}

/// TLS to every server.
#[derive(Clone, Debug)]
pub struct StoreTls {
    /// Whom to trust, and who we are.
    pub config: Arc<ClientConfig>,
    /// The name that the certificates have, if it is not the host that is dialled.
    pub server_name: Option<ServerName<'static>>,
}

/// An open connection, logged in. Dropping it closes it, whatever is still under way.
pub(crate) struct Link {
    inner: MultiplexedConnection,
    /// Reads and writes for `inner`; it ends when the server closes the connection.
    driver: AbortOnDropHandle<()>,
}

impl Link {
    pub(crate) async fn open(
        address: &ServerAddress,
        login: &RedisConnectionInfo,
        tls: Option<&StoreTls>,
    ) -> Result<Self, RedisError> {
        let stream = TcpStream::connect((&*address.host, address.port)).await?;
        // Without it small requests wait for the acknowledgement of the one before (Nagle's algorithm).
        stream.set_nodelay(true)?;
        // The check's own deadline bounds the answers.
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

    /// Sends commands in one trip; each has its own answer.
    pub(crate) async fn send(&mut self, commands: &Pipeline) -> Replies {
        commands.query_async(&mut self.inner).await
    }

    /// Whether the server has not closed it. Costs no trip.
    pub(crate) fn is_open(&self) -> bool {
        !self.driver.is_finished()
    }
}

/// The answers of one trip. The outer error: there are none, as the connection broke.
pub(crate) type Replies = Result<Vec<Result<Value, RedisError>>, RedisError>;

/// Commands of one trip. Each has its own answer: the error of one must not hide what became of the others.
pub(crate) fn pipeline(commands: impl IntoIterator<Item = Cmd>) -> Pipeline {
    let commands = commands.into_iter();
    let mut pipeline = Pipeline::with_capacity(commands.size_hint().0);
    pipeline.ignore_errors();
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline
}

impl StoreTls {
    fn name(&self, address: &ServerAddress) -> Result<ServerName<'static>, RedisError> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => ServerName::try_from(address.host.clone()).map_err(|_| {
                let what = "the host is no name that a certificate could have";
                RedisError::from((ErrorKind::InvalidClientConfig, what, address.to_string()))
            }),
        }
    }
}
