//! The bounds as they are written, with their ranges. Pure.

use std::time::Duration;

use crate::bounds::Bounds;
use crate::config::diagnostic::Fault;
use crate::config::report::Spanned;
use crate::config::value::{Fields, Keys, Value};
use crate::config::yaml::Node;

const NO_BODY: (&str, &str) = (
    "bodies have no bound: they are passed on as they come, and kept nowhere",
    "remove the key; body_idle_timeout bounds how long one may pause",
);
const RENAMED: &str = "this bound has another name";
const BOUNDS: Keys = Keys {
    known: &[
        "connections",
        "connections_per_client",
        "streams",
        "resets",
        "control_frames",
        "header_bytes",
        "header_fields",
        "target_bytes",
        "proxy_header_timeout",
        "handshake_timeout",
        "first_byte_timeout",
        "header_timeout",
        "idle_timeout",
        "body_idle_timeout",
        "stream_idle_timeout",
        "request_timeout",
        "requests_per_client",
        "tunnels",
        "tunnels_per_client",
    ],
    hints: &[
        (
            "timeout",
            "there are several timeouts",
            "write request_timeout for a request in all, idle_timeout for a connection without one",
        ),
        ("read_timeout", RENAMED, "write header_timeout, or body_idle_timeout"),
        ("write_timeout", RENAMED, "write body_idle_timeout: it holds in both directions"),
        ("body_timeout", RENAMED, "write body_idle_timeout"),
        ("keepalive_timeout", RENAMED, "write idle_timeout"),
        ("keep_alive_timeout", RENAMED, "write idle_timeout"),
        ("tls_timeout", RENAMED, "write handshake_timeout"),
        ("tls_handshake_timeout", RENAMED, "write handshake_timeout"),
        ("proxy_protocol_timeout", RENAMED, "write proxy_header_timeout"),
        ("tunnel_idle_timeout", RENAMED, "write stream_idle_timeout"),
        ("websocket_timeout", RENAMED, "write stream_idle_timeout"),
        ("connect_timeout", "this is about the application", "write it under upstream"),
        ("response_timeout", "this is about the application", "write it under upstream"),
        ("pending", "this is about the application", "write it under upstream"),
        ("max_connections", RENAMED, "write connections"),
        ("max_connections_per_client", RENAMED, "write connections_per_client"),
        ("connections_per_ip", RENAMED, "write connections_per_client"),
        ("max_streams", RENAMED, "write streams"),
        ("max_concurrent_streams", RENAMED, "write streams"),
        ("max_pings", RENAMED, "write control_frames"),
        ("max_settings", RENAMED, "write control_frames"),
        ("max_headers", RENAMED, "write header_fields for their number, header_bytes for their size"),
        ("header_size", RENAMED, "write header_bytes"),
        ("max_header_bytes", RENAMED, "write header_bytes"),
        ("max_header_size", RENAMED, "write header_bytes"),
        ("uri_bytes", RENAMED, "write target_bytes"),
        ("url_bytes", RENAMED, "write target_bytes"),
        ("websockets", RENAMED, "write tunnels"),
        ("max_tunnels", RENAMED, "write tunnels"),
        ("body_bytes", NO_BODY.0, NO_BODY.1),
        ("max_body", NO_BODY.0, NO_BODY.1),
        ("max_body_bytes", NO_BODY.0, NO_BODY.1),
        ("max_body_size", NO_BODY.0, NO_BODY.1),
    ],
};

const KIB: i64 = 1024;
/// Connections, and tunnels.
const MOST: i64 = 1_000_000;

pub(super) fn bounds(cursor: &Value<'_>) -> Bounds {
    let default = Bounds::default();
    let Some(fields) = cursor.fields(&BOUNDS) else { return default };
    let mut read = Reader { fields: &fields };
    let (connections, connections_per_client) = read.connections(default.connections);
    let (tunnels, tunnels_per_client) = read.tunnels(default.tunnels);
    let (header_bytes, target_bytes) = read.header(&default);
    Bounds {
        connections,
        connections_per_client,
        streams: read.count("streams", (1, 10_000)).unwrap_or(default.streams),
        resets: read.count("resets", (1, 10_000)).unwrap_or(default.resets),
        control_frames: read.count("control_frames", (1, 100_000)).unwrap_or(default.control_frames),
        header_bytes,
        header_fields: read.count("header_fields", (1, 1000)).unwrap_or(default.header_fields),
        target_bytes,
        proxy_header_timeout: read.time("proxy_header_timeout", default.proxy_header_timeout),
        handshake_timeout: read.time("handshake_timeout", default.handshake_timeout),
        first_byte_timeout: read.time("first_byte_timeout", default.first_byte_timeout),
        header_timeout: read.time("header_timeout", default.header_timeout),
        idle_timeout: read.time("idle_timeout", default.idle_timeout),
        body_idle_timeout: read.time("body_idle_timeout", default.body_idle_timeout),
        stream_idle_timeout: read.time("stream_idle_timeout", default.stream_idle_timeout),
        request_timeout: read.request_timeout(default.request_timeout),
        requests_per_client: read
            .count("requests_per_client", (1, MOST))
            .unwrap_or(default.requests_per_client),
        tunnels,
        tunnels_per_client,
    }
}

/// Reads one key after the other.
struct Reader<'r, 'n> {
    fields: &'r Fields<'n>,
}

impl Reader<'_, '_> {
    fn number(&mut self, key: &str, (least, most): (i64, i64)) -> Option<Spanned<usize>> {
        let Spanned { value, location } = self.fields.get(key)?.integer(least, most)?;
        usize::try_from(value).ok().map(|value| Spanned { value, location })
    }

    fn count<N: TryFrom<usize>>(&mut self, key: &str, range: (i64, i64)) -> Option<N> {
        self.number(key, range).and_then(|at| N::try_from(at.value).ok())
    }

    fn time(&mut self, key: &str, default: Duration) -> Duration {
        let read = self.fields.get(key).and_then(|cursor| cursor.duration("1ms", "24h"));
        read.map_or(default, |at| at.value)
    }

    fn request_timeout(&mut self, default: Option<Duration>) -> Option<Duration> {
        let Some(cursor) = self.fields.get("request_timeout") else { return default };
        match cursor.node {
            Node::Text(text) if text == "none" => None,
            _ => cursor.duration_or(("1ms", "24h"), "none").map_or(default, |at| Some(at.value)),
        }
    }

    /// Connections in all, and of one client: half of them unless told otherwise, so that no single one takes all.
    fn connections(&mut self, default: usize) -> (usize, usize) {
        let all = self.number("connections", (1, MOST)).map_or(default, |at| at.value);
        let part = self.number("connections_per_client", (1, MOST));
        (all, self.part((all / 2).max(1), part, ("connections", all)))
    }

    /// Tunnels in all, and of one client.
    fn tunnels(&mut self, default: usize) -> (usize, usize) {
        let all = self.number("tunnels", (0, MOST)).map_or(default, |at| at.value);
        let part = self.number("tunnels_per_client", (0, MOST));
        (all, self.part(all, part, ("tunnels", all)))
    }

    /// The part of one client, which is never more than the whole.
    fn part(&mut self, default: usize, part: Option<Spanned<usize>>, (whole, all): (&str, usize)) -> usize {
        let Some(Spanned { value, location }) = part else { return default };
        if value > all {
            let message = format!("{value} are never reached: {whole} is {all}");
            location.warn(message, format!("make it at most {whole}, or {whole} more"));
        }
        value.min(all)
    }

    /// The header in all, and the target in it.
    fn header(&mut self, default: &Bounds) -> (usize, usize) {
        // Below 8 KiB the HTTP/1 parser has no room to work in.
        let all = self.fields.get("header_bytes");
        let all = all.and_then(|cursor| cursor.size(8 * KIB, KIB * KIB));
        let all = all.and_then(|at| usize::try_from(at.value).ok()).unwrap_or(default.header_bytes);
        let target = self.fields.get("target_bytes");
        let target = target.and_then(|cursor| cursor.size(64, 64 * KIB));
        let Some(Spanned { value, location }) = target else { return (all, default.target_bytes.min(all)) };
        let target = usize::try_from(value).unwrap_or(usize::MAX);
        if target > all {
            let message =
                format!("a target of {target} bytes does not fit into header_bytes, which is {all}");
            location.error(Fault::new(message, "make it less, or header_bytes more"));
        }
        (all, target)
    }
}
