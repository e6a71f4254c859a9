//! What guards an HTTP/2 connection beside the library, which bounds neither SETTINGS nor PING frames.

mod budget;
mod frames;
pub(super) mod guard;
