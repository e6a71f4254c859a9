//! HTTP/1 as strict as RFC 9112 allows, before hyper reads it: what hyper would forgive, an upstream may read
//! differently.

pub(super) mod chunks;
mod framing;
pub(super) mod head;
pub(super) mod linger;
pub(super) mod malformed;
mod prefix;
mod response_writer;
pub(super) mod strict;
#[cfg(test)]
mod tests;
pub(super) mod upgrade_gate;

/// The method of the request that stands for an unreadable one. Clients' own requests never have it.
pub(super) const STAND_IN: &str = "-";
