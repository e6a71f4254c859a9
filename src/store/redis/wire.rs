//! Bytes: one connection to a server, the calls of the scripts, and what their replies mean.

pub(super) mod access;
pub(super) mod call;
pub(super) mod clock_offset;
pub(super) mod dialer;
pub(super) mod fault;
pub(super) mod keyspace;
pub(super) mod link;
mod packed_counter;
pub(super) mod reply;
pub(super) mod resp;
pub(super) mod scripts;
pub(super) mod slot;
