//! The configuration of HTTP on a listener, made from the bounds of a client.

use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;

use super::h2_stall::StreamExecutor;
use crate::bounds::Bounds;

/// The bytes of requests that a client may send over HTTP/2 before they are read. The connection's window is fixed:
/// small frames mislead one that adapts (h2 >= 0.4.16).
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// The bytes of a response over HTTP/2 that are buffered until the client reads them, for each stream.
const SEND_BUFFER: usize = 64 * 1024;
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// The size of the rest of a head, besides target and fields: method, version and line ends.
const HEAD_SLACK: usize = 8 * 1024;
/// The number of fields that hyper accepts over HTTP/1 where no other is set.
const HYPER_FIELDS: usize = 100;

/// The configuration of HTTP on a listener.
pub(super) struct HttpConfig {
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<StreamExecutor>,
    pub(super) streams: usize,
    pub(super) idle_timeout: Duration,
}

impl HttpConfig {
    pub(super) fn new(bounds: &Bounds) -> Self {
        // The strict reader and the idle tracker have the timeouts: hyper has only one, for header and idle connection.
        let mut http1 = http1::Builder::new();
        http1.header_read_timeout(None).max_buf_size(bounds.header_bytes + bounds.target_bytes + HEAD_SLACK);
        // The strict reader has the exact bound. Where it is set for hyper, hyper makes the list of fields in a way
        // that costs more.
        if bounds.header_fields > HYPER_FIELDS {
            http1.max_headers(bounds.header_fields);
        }
        // HTTP/2 counts the target as a field, and 32 bytes more for each field (RFC 9113, section 6.5.2). hyper
        // refuses longer lists before tidegate counts them.
        let header_list = bounds.header_bytes + bounds.target_bytes + 32 * bounds.header_fields + HEAD_SLACK;
        let mut http2 = http2::Builder::new(StreamExecutor { timeout: bounds.body_idle_timeout });
        http2
            .timer(TokioTimer::new())
            .enable_connect_protocol()
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(bounds.streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(bounds.resets);
        let streams = usize::try_from(bounds.streams).unwrap_or(usize::MAX);
        Self { http1, http2, streams, idle_timeout: bounds.idle_timeout }
    }
}
