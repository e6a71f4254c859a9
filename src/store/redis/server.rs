//! One server: the queue before it, its connections, and whether it is used at all.

pub(super) mod backoff;
pub(super) mod breaker;
mod connection;
mod connector;
pub(super) mod endpoint;
pub(super) mod health;
pub(super) mod node;
mod probe;
pub(super) mod probe_thread;
pub(super) mod queue;
mod restart;
