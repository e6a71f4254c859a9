//! Permits for what is under way at once: bounded in total, and for each client.

pub(crate) mod queued;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::address::client_network;

/// Permits that are granted or refused at once.
#[derive(Debug)]
pub(crate) struct PermitPool {
    total: usize,
    per_client: usize,
    in_use: Mutex<InUse>,
}

#[derive(Debug, Default)]
struct InUse {
    total: usize,
    by_client: HashMap<IpAddr, usize, foldhash::fast::RandomState>,
}

/// The bound at which a permit was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exhausted {
    /// The bound for all clients together.
    Total,
    /// The bound for each client.
    Client,
}

/// A permit of one client. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit {
    pool: Arc<PermitPool>,
    client: IpAddr,
}

impl PermitPool {
    /// Creates a pool with `total` permits, of which one client can hold `per_client`.
    pub(crate) fn new(total: usize, per_client: usize) -> Arc<Self> {
        Arc::new(Self { total, per_client, in_use: Mutex::default() })
    }

    /// Returns a permit for the client at `address`, or the bound that is reached.
    pub(crate) fn try_acquire(self: &Arc<Self>, address: IpAddr) -> Result<Permit, Exhausted> {
        let client = client_network(address);
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if in_use.total >= self.total {
            return Err(Exhausted::Total);
        }
        let own = in_use.by_client.entry(client).or_default();
        if *own >= self.per_client {
            return Err(Exhausted::Client);
        }
        *own += 1;
        in_use.total += 1;
        Ok(Permit { pool: Arc::clone(self), client })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut in_use = self.pool.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.total = in_use.total.saturating_sub(1);
        if let Some(own) = in_use.by_client.get_mut(&self.client) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                in_use.by_client.remove(&self.client);
            }
        }
    }
}
