//! Opens the connections of one server, and tells the pool which of them are still good.

use std::sync::Arc;
use std::time::Duration;

use bb8_redis::bb8::ManageConnection;
use bb8_redis::redis::{self, ErrorKind, RedisError, Value};

use super::backoff::Backoff;
use super::breaker::Breaker;
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::restart::RestartDetector;
use crate::clock::Stopwatch;
use crate::settings::ServerAddress;
use crate::store::redis::wire::clock_offset::ClockOffset;
use crate::store::redis::wire::dialer::Dialer;
use crate::store::redis::wire::link::{Link, pipeline};
use crate::store::redis::wire::reply;

/// How long connecting may take, with login and loading the scripts. It goes on after the check that needed the
/// connection has passed its deadline, so that the next one finds a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The name of our connections in the output of `CLIENT LIST`.
const CLIENT_NAME: &str = "tidegate";

/// Opens connections to one server.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    endpoint: Arc<Endpoint>,
    dialer: Arc<Dialer>,
    /// The local clock, of which the offset of the server's clock is measured.
    local: Stopwatch,
    breaker: Arc<Breaker>,
    backoff: Arc<Backoff>,
    restarts: Arc<RestartDetector>,
}

impl Connector {
    pub(crate) fn new(
        endpoint: Endpoint,
        dialer: Arc<Dialer>,
        local: Stopwatch,
        breaker: Arc<Breaker>,
        restarts: RestartDetector,
    ) -> Self {
        let (endpoint, restarts) = (Arc::new(endpoint), Arc::new(restarts));
        Self { endpoint, dialer, local, breaker, backoff: Arc::default(), restarts }
    }

    /// Returns the address that it connects to.
    pub(crate) async fn address(&self) -> Result<ServerAddress, RedisError> {
        match &*self.endpoint {
            Endpoint::Fixed(address) => Ok(address.clone()),
            Endpoint::Primary(primary) => primary.current().await,
        }
    }

    /// Opens a connection, at once and with no time limit.
    pub(crate) async fn open(&self) -> Result<Connection, RedisError> {
        match &*self.endpoint {
            Endpoint::Fixed(address) => self.open_to(address.clone()).await,
            Endpoint::Primary(primary) => {
                let address = primary.current().await?;
                tokio::select! {
                    opened = self.open_to(address.clone()) => opened,
                    // A server that hangs must not delay the change to its successor.
                    () = primary.replaced(&address) => Err(replaced()),
                }
            }
        }
    }

    /// Records that a connection carried a round trip of calls.
    pub(super) fn succeeded(&self, connection: &mut Connection) {
        if connection.is_intact() {
            connection.has_worked = true;
            self.backoff.succeeded();
        }
    }

    async fn open_to(&self, address: ServerAddress) -> Result<Connection, RedisError> {
        let mut link = self.dialer.dial_server(&address).await?;
        if let Endpoint::Primary(_) = *self.endpoint {
            // The sentinels may not have noticed a failover yet, or the server has not.
            ensure_primary(&mut link).await?;
        }
        let set_name = redis::cmd("CLIENT").arg("SETNAME").arg(CLIENT_NAME).take();
        let greeting = [set_name, redis::cmd("INFO").arg("server").take(), redis::cmd("TIME")];
        let mut replies = link.send(&pipeline(greeting)).await?.into_iter();
        let local_ms = self.local.millis();
        // The name is a convenience for operators: a server that forbids it is used without.
        let (_, info) = (replies.next(), replies.next());
        let time = replies.next().ok_or((ErrorKind::Client, "no reply to TIME"))??;
        let (seconds, micros): (i64, i64) = redis::from_redis_value(time)?;
        let server_ms = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        if !reply::TIMES.contains(&server_ms) {
            return Err((ErrorKind::Client, "the server's clock is out of range").into());
        }
        let info: Option<String> =
            info.and_then(Result::ok).and_then(|info| redis::from_redis_value(info).ok());
        self.restarts.connected(info.as_deref());
        Connection::new(link, address, ClockOffset::new(local_ms, server_ms)).await
    }
}

impl ManageConnection for Connector {
    type Connection = Connection;
    type Error = RedisError;

    async fn connect(&self) -> Result<Connection, RedisError> {
        self.backoff.pause().await;
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await;
        let opened = opened.unwrap_or_else(|_| Err((ErrorKind::Io, "connecting timed out").into()));
        if opened.is_err() {
            self.backoff.failed();
            if let Endpoint::Primary(primary) = &*self.endpoint {
                primary.report_failure();
            }
            self.breaker.report_failure();
        }
        opened
    }

    /// Checks a connection at each checkout. This costs no round trip: the driver of a connection ends when the server
    /// closes it.
    async fn is_valid(&self, connection: &mut Connection) -> Result<(), RedisError> {
        if !connection.is_open() {
            self.restarts.connection_lost();
            return Err((ErrorKind::Io, "the server closed the connection").into());
        }
        match &*self.endpoint {
            Endpoint::Primary(primary) if !primary.is(&connection.address) => Err(replaced()),
            _ => Ok(()),
        }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        let broken = !connection.is_open();
        if broken {
            self.restarts.connection_lost();
        }
        match (broken, connection.has_worked) {
            (false, _) => {}
            (true, true) => self.backoff.lost(),
            (true, false) => self.backoff.failed(),
        }
        broken
    }
}

fn replaced() -> RedisError {
    (ErrorKind::Io, "the sentinels elected another primary").into()
}

/// Checks that a server is a primary by its own account.
async fn ensure_primary(link: &mut Link) -> Result<(), RedisError> {
    let replies = link.send(&pipeline([redis::cmd("ROLE")])).await?;
    let role = replies.into_iter().collect::<Result<Vec<_>, _>>()?;
    match &role[..] {
        [Value::Array(role)] if matches!(role.first(), Some(Value::BulkString(name)) if name == b"master") => {
            Ok(())
        }
        _ => Err((ErrorKind::Client, "the server that the sentinels elected is not a primary").into()),
    }
}
