//! Every bound that a client can run into, with its default. Each that bites is counted: see
//! `crate::metrics::Bound`.

use std::time::Duration;

/// The bounds of a client. (Those of the upstream are in [`crate::settings::UpstreamSettings`].)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Open client connections. Beyond these a new one is closed at once, so that those that are open are served.
    pub connections: usize,
    /// Those of one client address.
    pub connections_per_client: usize,
    /// Requests under way on one HTTP/2 connection.
    pub streams: u32,
    /// HTTP/2 streams that the client has reset and that are not yet cleared away; beyond, the connection ends.
    pub resets: usize,
    /// HTTP/2 frames a second on one connection that steer it: SETTINGS, PING, PRIORITY, GOAWAY and unknown ones. Ten
    /// seconds' worth may come at once; beyond, the connection ends.
    pub control_frames: u32,
    /// The header of a request, in bytes: names, values, and four for what stands between and behind them.
    pub header_bytes: usize,
    /// The fields of a request's header.
    pub header_fields: usize,
    /// The target of a request, in bytes.
    pub target_bytes: usize,
    /// Until the PROXY protocol's header is there.
    pub proxy_header_timeout: Duration,
    /// Until the TLS handshake is over.
    pub handshake_timeout: Duration,
    /// Until the first byte on a new connection.
    pub first_byte_timeout: Duration,
    /// From the first byte of a request to the end of its header.
    pub header_timeout: Duration,
    /// How long a connection without a request is kept.
    pub idle_timeout: Duration,
    /// How long a body may make no progress, in either direction.
    pub body_idle_timeout: Duration,
    /// The same of server-sent events, gRPC and tunnels, which may be silent for long.
    pub stream_idle_timeout: Duration,
    /// From the header of a request to the end of its response. None: without a bound.
    pub request_timeout: Option<Duration>,
    /// Requests of one client address whose response has not ended.
    pub requests_per_client: usize,
    /// Open tunnels (WebSocket).
    pub tunnels: usize,
    /// Those of one client address.
    pub tunnels_per_client: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        let (second, kibibyte) = (Duration::from_secs(1), 1024);
        Self {
            connections: 10_000,
            connections_per_client: 5_000,
            streams: 100,
            resets: 20,
            control_frames: 100,
            header_bytes: 64 * kibibyte,
            header_fields: 100,
            target_bytes: 16 * kibibyte,
            proxy_header_timeout: 5 * second,
            handshake_timeout: 10 * second,
            first_byte_timeout: 10 * second,
            header_timeout: 10 * second,
            // Above the idle timeout of common load balancers (60 s): they close first, so that no request arrives on
            // a connection that tidegate is closing.
            idle_timeout: 75 * second,
            body_idle_timeout: 60 * second,
            stream_idle_timeout: 3600 * second,
            request_timeout: None,
            // Half of the requests that the upstream gets at once, so that no single client takes all of them.
            requests_per_client: 512,
            tunnels: 10_000,
            tunnels_per_client: 10_000,
        }
    }
}
