//! Which server has a counter.

pub(super) mod cluster;
pub(super) mod sentinel;
