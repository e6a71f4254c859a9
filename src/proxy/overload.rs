//! The bounds on what is under way, at which this instance refuses a request.

use crate::metrics::Bound;
use crate::permits::Exhausted;

/// What has reached its bound.
#[derive(Clone, Copy, Debug)]
pub(super) enum Overload {
    /// Requests of the client.
    Requests,
    /// Tunnels, in total or of the client.
    Tunnels(Exhausted),
    /// Requests that wait for the upstream.
    Upstream,
}

impl Overload {
    pub(super) fn bound(self) -> Bound {
        match self {
            Self::Requests => Bound::RequestsPerClient,
            Self::Tunnels(Exhausted::Total) => Bound::Tunnels,
            Self::Tunnels(Exhausted::Client) => Bound::TunnelsPerClient,
            Self::Upstream => Bound::UpstreamPending,
        }
    }
}
