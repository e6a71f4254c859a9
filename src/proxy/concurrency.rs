//! What one client may have under way at the application: who has more waits for its own, not for others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a request waits until its client has less under way.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many requests may wait, of all clients together.
const WAITING: usize = 4096;
/// How many of one client may wait: half, so that no single client keeps all others from waiting.
const WAITING_PER_CLIENT: usize = WAITING / 2;

/// The shares of all clients that have something under way.
#[derive(Debug)]
pub(super) struct Shares {
    each: usize,
    clients: Mutex<Clients>,
}

#[derive(Debug, Default)]
struct Clients {
    waiting: usize,
    by_address: HashMap<IpAddr, Own, foldhash::fast::RandomState>,
}

/// What one client has.
#[derive(Debug)]
struct Own {
    share: Arc<Semaphore>,
    waiting: usize,
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
        Arc::new(Self { each: each.min(Semaphore::MAX_PERMITS), clients: Mutex::default() })
    }

    /// Takes a part of the client's share, if one is free.
    pub(super) fn take(self: &Arc<Self>, client: IpAddr) -> Option<Share> {
        let own = Arc::clone(&self.lock().own(client, self.each).share);
        self.share(client, own.try_acquire_owned().ok())
    }

    /// Waits for a part of the client's share. None: the client has had too much under way for too long, or too many
    /// requests wait already.
    pub(super) async fn wait(self: &Arc<Self>, client: IpAddr) -> Option<Share> {
        let (waiting, own) = Waiting::start(self, client)?;
        let permit = timeout(PATIENCE, own.acquire_owned()).await;
        drop(waiting);
        self.share(client, permit.ok().and_then(Result::ok))
    }

    /// (Without a permit, its end removes what is kept of a client that has nothing under way.)
    fn share(self: &Arc<Self>, client: IpAddr, permit: Option<OwnedSemaphorePermit>) -> Option<Share> {
        let share = Share { shares: Arc::clone(self), client, permit };
        share.permit.is_some().then_some(share)
    }

    fn lock(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clients {
    fn own(&mut self, client: IpAddr, each: usize) -> &mut Own {
        let fresh = || Own { share: Arc::new(Semaphore::new(each)), waiting: 0 };
        self.by_address.entry(client).or_insert_with(fresh)
    }

    /// Forgets a client that has nothing under way.
    fn tidy(&mut self, client: IpAddr) {
        // Each part of a share holds the whole.
        let unused = |own: &Own| own.waiting == 0 && Arc::strong_count(&own.share) == 1;
        if self.by_address.get(&client).is_some_and(unused) {
            self.by_address.remove(&client);
        }
    }
}

/// A request that waits for a part of its client's share.
struct Waiting<'s> {
    shares: &'s Shares,
    client: IpAddr,
}

impl<'s> Waiting<'s> {
    /// The share to wait for. None if too many requests wait.
    fn start(shares: &'s Shares, client: IpAddr) -> Option<(Self, Arc<Semaphore>)> {
        let mut clients = shares.lock();
        if clients.waiting >= WAITING {
            return None;
        }
        let own = clients.own(client, shares.each);
        if own.waiting >= WAITING_PER_CLIENT {
            return None;
        }
        own.waiting += 1;
        let share = Arc::clone(&own.share);
        clients.waiting += 1;
        Some((Self { shares, client }, share))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut clients = self.shares.lock();
        clients.waiting = clients.waiting.saturating_sub(1);
        if let Some(own) = clients.by_address.get_mut(&self.client) {
            own.waiting = own.waiting.saturating_sub(1);
        }
        clients.tidy(self.client);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.shares.lock().tidy(self.client);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use futures_util::FutureExt as _;

    use super::{Shares, WAITING_PER_CLIENT};

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[tokio::test]
    async fn the_next_part_that_is_free_goes_to_the_request_that_waits() {
        let shares = Shares::new(1);
        let first = shares.take(ONE);
        assert!(first.is_some() && shares.take(ONE).is_none());
        let mut waiting = Box::pin(shares.wait(ONE));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        assert!(waiting.await.is_some());
    }

    #[tokio::test]
    async fn requests_of_one_client_that_wait_keep_no_other_from_waiting() {
        let shares = Shares::new(1);
        let _under_way = (shares.take(ONE), shares.take(OTHER));
        let mut waiting = Vec::new();
        for _ in 0..WAITING_PER_CLIENT {
            let mut one = Box::pin(shares.wait(ONE));
            assert!(one.as_mut().now_or_never().is_none(), "it waits");
            waiting.push(one);
        }
        assert!(shares.wait(ONE).now_or_never().is_some(), "it is refused at once");
        assert!(shares.wait(OTHER).now_or_never().is_none(), "it waits");
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_client_that_has_left() {
        let shares = Shares::new(1);
        let first = shares.take(ONE);
        let mut waiting = Box::pin(shares.wait(ONE));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        drop(waiting);
        assert!(shares.lock().by_address.is_empty());
        assert_eq!(shares.lock().waiting, 0);
    }
}
