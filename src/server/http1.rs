//! HTTP/1 as strict as RFC 9112 allows, before hyper reads it: what hyper would forgive, an upstream may read
//! differently.

pub(super) mod chunks;
pub(super) mod gate;
pub(super) mod head;
pub(super) mod linger;
pub(super) mod malformed;
mod outlet;
mod prefix;
pub(super) mod screen;
#[cfg(test)]
mod tests;

/// The method of the request that stands for an unreadable one. Clients' own requests never have it.
pub(super) const STAND_IN: &str = "-";
