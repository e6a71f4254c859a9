//! What tidegate knows of gRPC: that a message belongs to it. Pure.

use http::{HeaderMap, header};

/// Returns whether a message with these fields belongs to a gRPC call (PROTOCOL-HTTP2 of the gRPC project).
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
