//! What a counter may lack after an outage of its server.

use super::StoreMs;
use crate::window::{Counter, Limit};

/// What a counter may lack after an outage of its server.
#[derive(Clone, Copy, Debug)]
pub struct Settlement<'a> {
    /// The counter's key.
    pub key: &'a str,
    /// The counter's limit.
    pub limit: &'a Limit,
    /// The counter as it was last seen, if the server may have lost it: what it lost is put back.
    pub seen: &'a Counter,
    /// What was admitted without the store: it is added.
    pub unsettled: &'a Counter,
    /// Identifies the addition: it counts once, however often it is sent.
    pub number: u64,
    /// The store's time, as far as it is known.
    pub now: StoreMs,
}
