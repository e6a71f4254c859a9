//! Why a request got no response, and why a body breaks off.

use std::io;

use http::StatusCode;
use rustls::{Error as TlsError, InvalidMessage};

use crate::metrics::{Bound, UpstreamFault};
use crate::tls::Outdated;

/// Why the upstream gave no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// No connection could be made, for another reason than the next three: the request was not sent.
    #[error("the upstream cannot be reached")]
    Unreachable(#[source] io::Error),
    /// The server at the upstream's address does not speak TLS: the request was not sent.
    #[error("the upstream does not speak TLS")]
    NotTls(#[source] io::Error),
    /// The upstream's certificate is not valid now: the request was not sent.
    #[error("the upstream's certificate {0}")]
    Outdated(Outdated, #[source] io::Error),
    /// The upstream's certificate is not accepted for another reason: the request was not sent.
    #[error("the upstream's certificate is not accepted")]
    Certificate(#[source] io::Error),
    /// No connection could be made in time: the request was not sent.
    #[error("there was no connection to the upstream in time")]
    ConnectTimeout,
    /// TCP connected, and the TLS handshake did not complete in time: the request was not sent.
    #[error("the upstream did not complete the TLS handshake in time: it may not speak TLS")]
    HandshakeTimeout,
    /// Too many requests wait for the upstream, or this one waited for too long: it was not sent.
    #[error("the upstream has too much to do")]
    QueueFull,
    /// The connection ended, or the upstream sent something that is not valid HTTP.
    #[error("the upstream gave no valid response")]
    Broken(#[source] hyper::Error),
    /// The upstream sent 101 (Switching Protocols) to a request without an upgrade, or for another protocol.
    #[error("the upstream changed the protocol unasked")]
    Unsolicited,
    /// The head of the response did not arrive in time.
    #[error("the upstream did not respond in time")]
    Timeout,
    /// The whole request took too long.
    #[error("the request took too long")]
    RequestTimeout,
    /// The end of the response is ambiguous: length and coding disagree (RFC 9112, section 6.3).
    #[error("the upstream's response can be read in two ways")]
    Framing,
    /// The client's body broke off, or was not valid HTTP.
    #[error("the request's body is not valid, or broke off")]
    ClientBroken,
    /// The client did not send the next part of its body in time.
    #[error("the request's body did not come in time")]
    ClientTimeout,
    /// The request's target is not a valid URI.
    #[error("the request cannot be forwarded")]
    Target(#[from] http::Error),
}

impl UpstreamError {
    /// Returns the error of a connection that could not be made, with the reason if the TLS handshake gave one.
    pub(super) fn unreachable(error: io::Error) -> Self {
        use InvalidMessage::{InvalidContentType, MessageTooLarge, UnknownProtocolVersion};
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
        match tls {
            // The header of the first record is wrong: the server did not send a TLS record.
            Some(TlsError::InvalidMessage(InvalidContentType | UnknownProtocolVersion | MessageTooLarge)) => {
                Self::NotTls(error)
            }
            Some(TlsError::InvalidCertificate(reason)) => match Outdated::of(reason) {
                Some(outdated) => Self::Outdated(outdated, error),
                None => Self::Certificate(error),
            },
            _ => Self::Unreachable(error),
        }
    }

    /// Returns the status of the response to the client.
    #[must_use]
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unreachable(_) | Self::NotTls(_) | Self::Outdated(..) | Self::Certificate(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::ConnectTimeout | Self::HandshakeTimeout | Self::QueueFull => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Broken(_) | Self::Unsolicited | Self::Framing => StatusCode::BAD_GATEWAY,
            Self::Timeout | Self::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ClientBroken | Self::Target(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns what the upstream did wrong, or `None` if the client caused the error.
    #[must_use]
    pub(crate) fn fault(&self) -> Option<UpstreamFault> {
        match self {
            Self::Unreachable(_) | Self::NotTls(_) | Self::Outdated(..) | Self::Certificate(_) => {
                Some(UpstreamFault::Unreachable)
            }
            Self::ConnectTimeout | Self::HandshakeTimeout => Some(UpstreamFault::Unreachable),
            Self::QueueFull => Some(UpstreamFault::QueueFull),
            Self::Broken(_) => Some(UpstreamFault::Broken),
            Self::Unsolicited => Some(UpstreamFault::Unsolicited),
            Self::Framing => Some(UpstreamFault::Framing),
            Self::Timeout | Self::RequestTimeout => Some(UpstreamFault::Timeout),
            Self::ClientBroken | Self::ClientTimeout | Self::Target(_) => None,
        }
    }

    /// Returns the bound that was reached, if any. (A stall of the client's body is counted where the body is read.)
    #[must_use]
    pub(crate) fn bound(&self) -> Option<Bound> {
        match self {
            Self::ConnectTimeout | Self::HandshakeTimeout => Some(Bound::UpstreamConnect),
            Self::QueueFull => Some(Bound::UpstreamPending),
            Self::Timeout => Some(Bound::UpstreamResponse),
            Self::RequestTimeout => Some(Bound::Request),
            _ => None,
        }
    }

    /// Returns the proxy error type (RFC 9209, section 2.3).
    #[must_use]
    pub(crate) fn proxy_status(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "destination_unavailable",
            Self::NotTls(_) => "tls_protocol_error",
            Self::Outdated(..) | Self::Certificate(_) => "tls_certificate_error",
            Self::ConnectTimeout | Self::HandshakeTimeout => "connection_timeout",
            Self::QueueFull => "connection_limit_reached",
            Self::Broken(_) | Self::Framing => "http_protocol_error",
            Self::Unsolicited => "http_upgrade_failed",
            Self::Timeout | Self::RequestTimeout => "http_response_timeout",
            Self::ClientBroken | Self::ClientTimeout | Self::Target(_) => "http_request_error",
        }
    }
}

/// Why a body breaks off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection that the body arrives on ended, or the body is not valid HTTP.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// No part of the body arrived for too long.
    #[error("it made no progress")]
    Stalled,
    /// The whole request took too long.
    #[error("the request took too long")]
    RequestTimeout,
    /// The upstream has sent its response without the request's body.
    #[error("the upstream does not want it")]
    Unwanted,
}

/// Returns the error with its causes, for the log.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
