//! The bytes: a connection to one server, the calls of the scripts and what their replies mean.

pub(super) mod call;
pub(super) mod clock_offset;
pub(super) mod codec;
pub(super) mod fault;
pub(super) mod link;
pub(super) mod slot;
