//! The bounds of connections to the admin API. It has few clients, and they must not take from those of the proxy.

use std::time::Duration;

use crate::bounds::Bounds;

/// Returns the bounds of its listener.
pub(crate) fn bounds() -> Bounds {
    Bounds {
        connections: 128,
        connections_per_client: 64,
        streams: 16,
        header_bytes: 16 * 1024,
        // An id may have several parts of 64 characters, each of them percent-encoded.
        target_bytes: 8 * 1024,
        idle_timeout: Duration::from_secs(15),
        ..Bounds::default()
    }
}
