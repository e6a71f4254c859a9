//! Reads the bounds. Pure.

use std::time::Duration;

use super::diagnostic::Fault;
use super::key_table::Kind;
use super::report::Spanned;
use super::section::{Hint, Section};
use super::yaml::Node;
use crate::bounds::Bounds;

const RENAMED: &str = "this bound has another name";
const HINTS: &[Hint] = &[
    (
        &["timeout"],
        "there are several timeouts",
        "expected request_timeout for a request in all, idle_timeout for a connection without one",
    ),
    (&["read_timeout"], RENAMED, "expected header_timeout, or body_idle_timeout"),
    (&["write_timeout"], RENAMED, "expected body_idle_timeout: it holds in both directions"),
    (&["body_timeout"], RENAMED, "expected body_idle_timeout"),
    (&["keepalive_timeout", "keep_alive_timeout"], RENAMED, "expected idle_timeout"),
    (&["tls_timeout", "tls_handshake_timeout"], RENAMED, "expected handshake_timeout"),
    (&["proxy_protocol_timeout"], RENAMED, "expected proxy_header_timeout"),
    (&["tunnel_idle_timeout", "websocket_timeout"], RENAMED, "expected stream_idle_timeout"),
    (&["max_connections"], RENAMED, "expected connections"),
    (&["max_connections_per_client", "connections_per_ip"], RENAMED, "expected connections_per_client"),
    (&["max_streams", "max_concurrent_streams"], RENAMED, "expected streams"),
    (&["max_pings", "max_settings"], RENAMED, "expected control_frames"),
    (&["max_headers"], RENAMED, "expected header_fields for their number, header_bytes for their size"),
    (&["header_size", "max_header_bytes", "max_header_size"], RENAMED, "expected header_bytes"),
    (&["uri_bytes", "url_bytes"], RENAMED, "expected target_bytes"),
    (&["websockets", "max_tunnels"], RENAMED, "expected tunnels"),
    (
        &["body_bytes", "max_body", "max_body_bytes", "max_body_size"],
        "bodies have no bound: they are passed on as they come, and kept nowhere",
        "remove the key; body_idle_timeout bounds how long one may pause",
    ),
];

const KIB: i64 = 1024;
/// Connections, and tunnels.
const MOST: i64 = 1_000_000;
const TIMES: (&str, &str) = ("1ms", "24h");

/// Reads the bounds. `connections` is the default of the key of that name, if not the usual one.
pub(super) fn read(file: &mut Section<'_>, connections: Option<usize>) -> Bounds {
    let mut bounds = Bounds::default();
    if let Some(connections) = connections {
        bounds.connections = connections;
        bounds.connections_per_client = (connections / 2).max(1);
    }
    if let Some(value) = file.mapping("bounds") {
        value.section(HINTS, |section| {
            read_into(&mut bounds, section);
            Some(())
        });
    }
    bounds
}

/// Reads each key over its default.
fn read_into(bounds: &mut Bounds, section: &mut Section<'_>) {
    bounds.connections = section.integer("connections", 1..=MOST, bounds.connections);
    // By default half of them, so that no single client takes all.
    let share = section.number("connections_per_client", 1..=MOST, "half of `connections`");
    bounds.connections_per_client =
        capped(share, "connections", bounds.connections).unwrap_or((bounds.connections / 2).max(1));
    bounds.streams = section.integer("streams", 1..=10_000, bounds.streams);
    bounds.resets = section.integer("resets", 1..=10_000, bounds.resets);
    bounds.control_frames = section.integer("control_frames", 1..=100_000, bounds.control_frames);
    // Below 8 KiB the HTTP/1 parser has no room to work in.
    let header = section.size("header_bytes", 8 * KIB..=KIB * KIB, bounds.header_bytes);
    bounds.header_bytes = header.map_or(bounds.header_bytes, |at| at.value);
    bounds.header_fields = section.integer("header_fields", 1..=1000, bounds.header_fields);
    bounds.target_bytes = target_bytes(section, bounds);
    bounds.proxy_header_timeout =
        section.duration("proxy_header_timeout", TIMES, bounds.proxy_header_timeout);
    bounds.handshake_timeout = section.duration("handshake_timeout", TIMES, bounds.handshake_timeout);
    bounds.first_byte_timeout = section.duration("first_byte_timeout", TIMES, bounds.first_byte_timeout);
    bounds.header_timeout = section.duration("header_timeout", TIMES, bounds.header_timeout);
    bounds.idle_timeout = section.duration("idle_timeout", TIMES, bounds.idle_timeout);
    bounds.body_idle_timeout = section.duration("body_idle_timeout", TIMES, bounds.body_idle_timeout);
    bounds.stream_idle_timeout = section.duration("stream_idle_timeout", TIMES, bounds.stream_idle_timeout);
    bounds.request_timeout = request_timeout(section);
    bounds.requests_per_client = section.integer("requests_per_client", 1..=MOST, bounds.requests_per_client);
    bounds.tunnels = section.integer("tunnels", 0..=MOST, bounds.tunnels);
    let share = section.number("tunnels_per_client", 0..=MOST, "`tunnels`");
    bounds.tunnels_per_client = capped(share, "tunnels", bounds.tunnels).unwrap_or(bounds.tunnels);
}

fn request_timeout(section: &mut Section<'_>) -> Option<Duration> {
    let value = section.value("request_timeout", Kind::Duration(TIMES.0, TIMES.1), "none")?;
    match value.node {
        Node::Text(text) if text == "none" => None,
        _ => value.duration_or(TIMES, "none").map(|at| at.value),
    }
}

/// The share of one client, which is never more than the whole.
fn capped(share: Option<Spanned<i64>>, whole: &str, all: usize) -> Option<usize> {
    let Spanned { value, location } = share?;
    let value = usize::try_from(value).unwrap_or(usize::MAX);
    if value > all {
        let message = format!("{value} are never reached: {whole} is {all}");
        location.warn(message, format!("make it at most {whole}, or {whole} more"));
    }
    Some(value.min(all))
}

/// The target, which is a part of the header.
fn target_bytes(section: &mut Section<'_>, bounds: &Bounds) -> usize {
    let header = bounds.header_bytes;
    let Some(at) = section.size("target_bytes", 64..=64 * KIB, bounds.target_bytes) else {
        return bounds.target_bytes.min(header);
    };
    if at.value > header {
        let message =
            format!("a target of {} bytes does not fit into header_bytes, which is {header}", at.value);
        at.location.error(Fault::new(message, "make it less, or header_bytes more"));
    }
    at.value
}
