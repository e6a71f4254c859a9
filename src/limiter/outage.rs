//! What the limiter does about outages of the store: it decides locally what the store does not decide, and afterwards
//! settles the counters of the store.

mod ledger;
mod membership;
mod settler;
mod shared_counter;
mod store_clock;

pub(super) use ledger::Ledger;
pub(super) use settler::{run, settle};
