//! What one client may have under way at the application: who has more waits for its own, not for others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a request waits until its client has less under way.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many requests may wait, of all clients together.
const WAITING: usize = 4096;

/// The shares of all clients that have something under way.
#[derive(Debug)]
pub(super) struct Shares {
    each: usize,
    waiting: AtomicUsize,
    clients: Mutex<HashMap<IpAddr, Arc<Semaphore>, foldhash::fast::RandomState>>,
}

/// A part of a client's share, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<Shares>,
    client: IpAddr,
    permit: Option<OwnedSemaphorePermit>,
}

impl Shares {
    pub(super) fn new(each: usize) -> Arc<Self> {
        let each = each.min(Semaphore::MAX_PERMITS);
        Arc::new(Self { each, waiting: AtomicUsize::new(0), clients: Mutex::default() })
    }

    /// A part of the client's share, now or soon. None: it has too much under way for that.
    pub(super) async fn take(self: &Arc<Self>, client: IpAddr) -> Option<Share> {
        let own = {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(clients.entry(client).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
        };
        let mut share = Share { shares: Arc::clone(self), client, permit: None };
        share.permit = match Arc::clone(&own).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => self.wait(own).await,
        };
        share.permit.is_some().then_some(share)
    }

    async fn wait(&self, own: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _one_less = Waiting(&self.waiting);
        if before >= WAITING {
            return None;
        }
        timeout(PATIENCE, own.acquire_owned()).await.ok()?.ok()
    }
}

/// One of those who wait.
struct Waiting<'w>(&'w AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut clients = self.shares.clients.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has a part of it, or waits for one, holds it too.
        if clients.get(&self.client).is_some_and(|own| Arc::strong_count(own) == 1) {
            clients.remove(&self.client);
        }
    }
}
