//! Bounds that were reached, each with a counter.

use metrics::{counter, gauge};

use super::gauge_guard::GaugeGuard;
use super::table::{BOUND_EXCEEDED, TUNNELS};

/// A bound that was exceeded. The label is the key of the configuration, under `bounds` or
/// `upstream`, without `_timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// A connection was closed at once.
    Connections,
    /// A connection was closed at once: its client has too many.
    ConnectionsPerClient,
    /// A connection used all of its streams.
    Streams,
    /// An HTTP/2 connection was ended for a flood of resets, or of frames without content.
    Resets,
    /// An HTTP/2 connection was ended for a flood of control frames.
    ControlFrames,
    /// 431: bytes.
    HeaderBytes,
    /// 431: fields.
    HeaderFields,
    /// 414.
    TargetBytes,
    /// A connection was closed: its header of the PROXY protocol is missing or not valid.
    ProxyHeader,
    /// A connection was closed: the TLS handshake did not end in time.
    Handshake,
    /// A connection was closed: its first byte did not arrive in time.
    FirstByte,
    /// 408: the header did not arrive in time.
    Header,
    /// A request or a response was cut off: a body made no progress.
    BodyIdle,
    /// A stream made no progress: server-sent events, gRPC, or a tunnel.
    StreamIdle,
    /// A whole request took too long.
    Request,
    /// 429: the client has had too many requests under way for too long.
    RequestsPerClient,
    /// 503: too many tunnels.
    Tunnels,
    /// 429: the client has too many tunnels.
    TunnelsPerClient,
    /// 503: no connection to the upstream in time.
    UpstreamConnect,
    /// 504: no response of the upstream in time.
    UpstreamResponse,
    /// 503: too many requests wait for the upstream.
    UpstreamPending,
}

impl Bound {
    const ALL: [Self; 21] = [
        Self::Connections,
        Self::ConnectionsPerClient,
        Self::Streams,
        Self::Resets,
        Self::ControlFrames,
        Self::HeaderBytes,
        Self::HeaderFields,
        Self::TargetBytes,
        Self::ProxyHeader,
        Self::Handshake,
        Self::FirstByte,
        Self::Header,
        Self::BodyIdle,
        Self::StreamIdle,
        Self::Request,
        Self::RequestsPerClient,
        Self::Tunnels,
        Self::TunnelsPerClient,
        Self::UpstreamConnect,
        Self::UpstreamResponse,
        Self::UpstreamPending,
    ];

    /// As the label has it.
    #[must_use]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerClient => "connections_per_client",
            Self::Streams => "streams",
            Self::Resets => "resets",
            Self::ControlFrames => "control_frames",
            Self::HeaderBytes => "header_bytes",
            Self::HeaderFields => "header_fields",
            Self::TargetBytes => "target_bytes",
            Self::ProxyHeader => "proxy_header",
            Self::Handshake => "handshake",
            Self::FirstByte => "first_byte",
            Self::Header => "header",
            Self::BodyIdle => "body_idle",
            Self::StreamIdle => "stream_idle",
            Self::Request => "request",
            Self::RequestsPerClient => "requests_per_client",
            Self::Tunnels => "tunnels",
            Self::TunnelsPerClient => "tunnels_per_client",
            Self::UpstreamConnect => "upstream_connect",
            Self::UpstreamResponse => "upstream_response",
            Self::UpstreamPending => "upstream_pending",
        }
    }

    /// Counts it.
    pub(crate) fn count_exceeded(self) {
        counter!(BOUND_EXCEEDED, "bound" => self.label()).increment(1);
    }
}

pub(super) fn announce() {
    // All appear with 0, so that the first of each is seen as an increase.
    for bound in Bound::ALL {
        counter!(BOUND_EXCEEDED, "bound" => bound.label()).increment(0);
    }
    gauge!(TUNNELS).set(0.0);
}

/// Counts a tunnel until the guard is dropped.
#[must_use]
pub(crate) fn tunnel() -> GaugeGuard {
    GaugeGuard::new(gauge!(TUNNELS))
}
