//! One server: the queue before it, its connections, and what is known of its health.

pub(super) mod backoff;
pub(super) mod breaker;
pub(super) mod connection;
pub(super) mod health;
pub(super) mod node;
pub(super) mod probe;
pub(super) mod queue;
