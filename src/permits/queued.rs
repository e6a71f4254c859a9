//! Permits with a queue: a client at its bound waits for its own permits, and no other client waits because of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::address::client_network;

/// How long a request waits until its client has less under way.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// The most requests that wait, of all clients together.
const MAX_WAITING: usize = 4096;
/// The most requests of one client that wait: half, so that a single client cannot keep all others from waiting.
const MAX_WAITING_PER_CLIENT: usize = MAX_WAITING / 2;

/// Permits of all clients that have something under way.
#[derive(Debug)]
pub(crate) struct QueuedPermits {
    per_client: usize,
    clients: Mutex<Clients>,
}

#[derive(Debug, Default)]
struct Clients {
    waiting: usize,
    by_address: HashMap<IpAddr, Client, foldhash::fast::RandomState>,
}

#[derive(Debug)]
struct Client {
    permits: Arc<Semaphore>,
    waiting: usize,
}

/// A permit of one client. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct QueuedPermit {
    pool: Arc<QueuedPermits>,
    client: IpAddr,
    permit: Option<OwnedSemaphorePermit>,
}

impl QueuedPermits {
    pub(crate) fn new(per_client: usize) -> Arc<Self> {
        Arc::new(Self { per_client: per_client.min(Semaphore::MAX_PERMITS), clients: Mutex::default() })
    }

    /// Returns a permit for the client at `address` if one is free.
    pub(crate) fn try_acquire(self: &Arc<Self>, address: IpAddr) -> Option<QueuedPermit> {
        let client = client_network(address);
        let permits = Arc::clone(&self.lock().client(client, self.per_client).permits);
        self.permit(client, permits.try_acquire_owned().ok())
    }

    /// Waits for a permit for the client at `address`. Returns `None` if the client had too much under way for too
    /// long, or if too many requests wait already.
    pub(crate) async fn acquire(self: &Arc<Self>, address: IpAddr) -> Option<QueuedPermit> {
        let client = client_network(address);
        let (waiting, permits) = Waiting::start(self, client)?;
        let permit = timeout(MAX_WAIT, permits.acquire_owned()).await;
        drop(waiting);
        self.permit(client, permit.ok().and_then(Result::ok))
    }

    /// Wraps `permit`. Where there is none, dropping the wrapper removes a client that has nothing under way.
    fn permit(
        self: &Arc<Self>,
        client: IpAddr,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Option<QueuedPermit> {
        let permit = QueuedPermit { pool: Arc::clone(self), client, permit };
        permit.permit.is_some().then_some(permit)
    }

    fn lock(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clients {
    fn client(&mut self, client: IpAddr, per_client: usize) -> &mut Client {
        let new = || Client { permits: Arc::new(Semaphore::new(per_client)), waiting: 0 };
        self.by_address.entry(client).or_insert_with(new)
    }

    /// Removes a client that has nothing under way.
    fn remove_unused(&mut self, client: IpAddr) {
        // Each permit holds a reference to its semaphore.
        let unused = |client: &Client| client.waiting == 0 && Arc::strong_count(&client.permits) == 1;
        if self.by_address.get(&client).is_some_and(unused) {
            self.by_address.remove(&client);
        }
    }
}

/// A request that waits for a permit of its client.
struct Waiting<'p> {
    pool: &'p QueuedPermits,
    client: IpAddr,
}

impl<'p> Waiting<'p> {
    /// Returns the permits to wait for, or `None` if too many requests wait.
    fn start(pool: &'p QueuedPermits, client: IpAddr) -> Option<(Self, Arc<Semaphore>)> {
        let mut clients = pool.lock();
        if clients.waiting >= MAX_WAITING {
            return None;
        }
        let own = clients.client(client, pool.per_client);
        if own.waiting >= MAX_WAITING_PER_CLIENT {
            return None;
        }
        own.waiting += 1;
        let permits = Arc::clone(&own.permits);
        clients.waiting += 1;
        Some((Self { pool, client }, permits))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut clients = self.pool.lock();
        clients.waiting = clients.waiting.saturating_sub(1);
        if let Some(own) = clients.by_address.get_mut(&self.client) {
            own.waiting = own.waiting.saturating_sub(1);
        }
        clients.remove_unused(self.client);
    }
}

impl Drop for QueuedPermit {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.pool.lock().remove_unused(self.client);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use futures_util::FutureExt as _;

    use super::{MAX_WAITING_PER_CLIENT, QueuedPermits};

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[tokio::test]
    async fn the_next_free_permit_goes_to_the_request_that_waits() {
        let pool = QueuedPermits::new(1);
        let first = pool.try_acquire(ONE);
        assert!(first.is_some() && pool.try_acquire(ONE).is_none());
        let mut waiting = Box::pin(pool.acquire(ONE));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        assert!(waiting.await.is_some());
    }

    #[tokio::test]
    async fn requests_of_one_client_that_wait_keep_no_other_client_from_waiting() {
        let pool = QueuedPermits::new(1);
        let _under_way = (pool.try_acquire(ONE), pool.try_acquire(OTHER));
        let mut waiting = Vec::new();
        for _ in 0..MAX_WAITING_PER_CLIENT {
            let mut one = Box::pin(pool.acquire(ONE));
            assert!(one.as_mut().now_or_never().is_none(), "it waits");
            waiting.push(one);
        }
        assert!(pool.acquire(ONE).now_or_never().is_some(), "it is refused at once");
        assert!(pool.acquire(OTHER).now_or_never().is_none(), "it waits");
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_client_that_has_left() {
        let pool = QueuedPermits::new(1);
        let first = pool.try_acquire(ONE);
        let mut waiting = Box::pin(pool.acquire(ONE));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        drop(waiting);
        assert!(pool.lock().by_address.is_empty());
        assert_eq!(pool.lock().waiting, 0);
    }
}
