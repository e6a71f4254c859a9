//! The server that a node connects to: a fixed address, or the primary that the sentinels elected.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bb8_redis::redis::{ErrorKind, RedisError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::settings::ServerAddress;

/// Queries that may wait for a result. Each is made by a task that is about to connect, so there are fewer than that.
const QUERIES: usize = 64;

/// The server that a node connects to.
#[derive(Debug)]
pub(crate) enum Endpoint {
    Fixed(ServerAddress),
    Primary(Primary),
}

/// The name in logs and reports.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(address) => address.fmt(f),
            Self::Primary(primary) => write!(f, "primary {}", primary.name),
        }
    }
}

/// What the sentinels report.
pub(crate) type Elected = Result<ServerAddress, RedisError>;

/// The elected primary, as the task that queries the sentinels last reported it to its [`Election`].
#[derive(Debug)]
pub(crate) struct Primary {
    name: String,
    elected: watch::Receiver<Option<ServerAddress>>,
    trusted: Arc<AtomicBool>,
    queries: mpsc::Sender<oneshot::Sender<Elected>>,
}

/// The side of a [`Primary`] that the task that queries the sentinels holds.
#[derive(Debug)]
pub(crate) struct Election {
    elected: watch::Sender<Option<ServerAddress>>,
    trusted: Arc<AtomicBool>,
    queries: mpsc::Receiver<oneshot::Sender<Elected>>,
    pending: Vec<oneshot::Sender<Elected>>,
}

impl Primary {
    /// Creates the primary of that name, and the handle that sets it.
    pub(crate) fn new(name: String) -> (Self, Election) {
        let (sender, elected) = watch::channel(None);
        let (queries, received) = mpsc::channel(QUERIES);
        let trusted = Arc::new(AtomicBool::new(false));
        let election = Election {
            elected: sender,
            trusted: Arc::clone(&trusted),
            queries: received,
            pending: Vec::new(),
        };
        (Self { name, elected, trusted, queries }, election)
    }

    /// Returns the primary as elected a second ago or less, or if that failed since, as the sentinels report it now.
    pub(crate) async fn current(&self) -> Elected {
        if self.trusted.load(Ordering::Acquire)
            && let Some(elected) = self.elected.borrow().clone()
        {
            return Ok(elected);
        }
        let (sender, reply) = oneshot::channel();
        // Either fails only at shutdown.
        let closed = || RedisError::from((ErrorKind::Io, "the sentinels are no longer queried"));
        self.queries.send(sender).await.map_err(|_| closed())?;
        reply.await.map_err(|_| closed())?
    }

    /// Reports that connecting to the elected primary failed: the next connection queries the sentinels first.
    pub(crate) fn report_failure(&self) {
        self.trusted.store(false, Ordering::Release);
    }

    /// Returns whether `address` is the primary as far as known.
    pub(crate) fn is(&self, address: &ServerAddress) -> bool {
        is(&self.elected.borrow(), address)
    }

    /// Waits until the primary is another than `address`.
    pub(crate) async fn replaced(&self, address: &ServerAddress) {
        // It fails only at shutdown, which drops the caller as well.
        let _ = self.elected.clone().wait_for(|elected| !is(elected, address)).await;
    }
}

fn is(elected: &Option<ServerAddress>, address: &ServerAddress) -> bool {
    elected.as_ref().is_none_or(|elected| elected == address)
}

impl Election {
    /// Waits until a task needs the result of a new query.
    pub(crate) async fn requested(&mut self) {
        match self.queries.recv().await {
            Some(query) => self.pending.push(query),
            None => std::future::pending().await,
        }
    }

    /// Sets the primary, if the query succeeded, and passes the result to the tasks that wait for it.
    pub(crate) fn publish(&mut self, result: &Elected) {
        if let Ok(primary) = result {
            self.elected
                .send_if_modified(|elected| elected.replace(primary.clone()).as_ref() != Some(primary));
            self.trusted.store(true, Ordering::Release);
        }
        while let Ok(query) = self.queries.try_recv() {
            self.pending.push(query);
        }
        for query in self.pending.drain(..) {
            // A task that gave up has dropped its receiver.
            let _ = query.send(result.clone());
        }
    }
}
