//! One probe of a server: a call like any other, beside all requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::connection::Connection;
use super::connector::Connector;
use crate::clock::Stopwatch;
use crate::store::StoreError;
use crate::store::redis::wire::call::Calls;
use crate::store::redis::wire::resp::Reply;
use crate::store::redis::wire::{fault, reply};

/// The number of attempts while connections break.
const ATTEMPTS: u32 = 3;
/// A new connection may take this many times as long as a check, as it takes several round trips, within these bounds.
const CONNECT_FACTOR: u32 = 10;
const MIN_CONNECT: Duration = Duration::from_millis(250);
const MAX_CONNECT: Duration = Duration::from_secs(1);

/// Probes one server.
pub(crate) struct Probe {
    connector: Connector,
    calls: Arc<Calls>,
    timeout: Duration,
    /// The local clock, against which the server's clock is measured.
    local: Stopwatch,
    /// The slot of the last failed call: a server of a cluster is responsible for many, and may fail in some.
    slot: Arc<AtomicU16>,
    connection: Option<Connection>,
}

impl Probe {
    pub(crate) fn new(
        connector: Connector,
        calls: Arc<Calls>,
        timeout: Duration,
        local: Stopwatch,
        slot: Arc<AtomicU16>,
    ) -> Self {
        Self { connector, calls, timeout, local, slot, connection: None }
    }

    /// Checks that the server counts correctly and in time.
    pub(crate) async fn run(&mut self) -> Result<(), StoreError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.attempt().await {
                // The connection was cut: that says nothing about the next one.
                Err(StoreError::Redis(error)) if attempts < ATTEMPTS && fault::is_broken(&error) => {}
                Err(StoreError::Redis(error)) if self.connection.is_none() => {
                    return Err(StoreError::Connect(fault::describe(&error)));
                }
                probed => return probed,
            }
        }
    }

    /// Does the same on a new connection.
    pub(crate) async fn run_on_new_connection(&mut self) -> Result<(), StoreError> {
        // The old one stays open meanwhile: its place might be the only one that the server has for us.
        let old = self.connection.take();
        let probed = self.run().await;
        drop(old);
        probed
    }

    async fn attempt(&mut self) -> Result<(), StoreError> {
        let mut connection = match self.connection.take().and_then(open) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let probed = timeout(self.timeout, self.call(&mut connection)).await;
        let probed = probed.unwrap_or(Err(StoreError::Timeout(self.timeout)));
        self.connection = open(connection);
        probed
    }

    async fn connect(&self) -> Result<Connection, StoreError> {
        let limit =
            self.timeout.saturating_mul(CONNECT_FACTOR).clamp(MIN_CONNECT, MAX_CONNECT).max(self.timeout);
        match timeout(limit, self.connector.open()).await {
            Ok(opened) => Ok(opened?),
            Err(_) => Err(StoreError::Connect(format!("none within {limit:?}"))),
        }
    }

    /// Makes a call like any other, about a counter that no client uses.
    async fn call(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let deadline = Stopwatch::start().deadline(self.timeout);
        let deadline_ms = connection.offset.server_ms(self.local.millis_to(deadline));
        let mut sent = Vec::new();
        self.calls.probe(self.slot.load(Ordering::Relaxed), deadline).put(&mut sent, deadline_ms);
        let mut replies = connection.exchange(&sent, 1).await?;
        if replies.iter().filter_map(Reply::error).any(|error| fault::is_unloaded(&error)) {
            connection.load_scripts().await?;
            replies = connection.exchange(&sent, 1).await?;
        }
        let Some(reply) = replies.first() else { return Ok(()) };
        match reply.error() {
            None => reply::probed(reply),
            Some(error) if fault::is_elsewhere(&error) => Ok(()),
            Some(error) => Err(error.into()),
        }
    }
}

/// Returns the connection if it is open.
fn open(mut connection: Connection) -> Option<Connection> {
    connection.is_open().then_some(connection)
}
