//! Reads HTTP/1 as strictly as RFC 9112 allows, before hyper does: an upstream may read differently what hyper
//! tolerates.

pub(super) mod chunks;
mod framing;
pub(super) mod head;
pub(super) mod linger;
pub(super) mod malformed;
mod prefix;
pub(super) mod reader_state;
mod response_writer;
pub(super) mod strict;
#[cfg(test)]
mod tests;

/// The method of the request that stands for an unreadable one. Clients' own requests never have it.
pub(super) const STAND_IN: &str = "-";
