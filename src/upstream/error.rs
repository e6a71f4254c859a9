//! Whose fault it was that there is no answer.

use std::io;

use http::StatusCode;
use rustls::{Error as TlsError, InvalidMessage};

use crate::metrics::{Bound, UpstreamFault};
use crate::tls::Outdated;

/// Why there is no answer of the upstream.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection, or TLS failed for another reason than the next three: the request was not sent.
    #[error("the upstream cannot be reached")]
    Unreachable(#[source] io::Error),
    /// What listens there does not speak TLS: the request was not sent.
    #[error("the upstream does not speak TLS")]
    NotTls(#[source] io::Error),
    /// The upstream's certificate is not valid now: the request was not sent.
    #[error("the upstream's certificate {0}")]
    Outdated(Outdated, #[source] io::Error),
    /// The upstream's certificate is not accepted for another reason: the request was not sent.
    #[error("the upstream's certificate is not accepted")]
    Certificate(#[source] io::Error),
    /// There was no connection in time: the request was not sent.
    #[error("there was no connection to the upstream in time")]
    ConnectTimeout,
    /// TCP connected, and TLS was not ready in time: the request was not sent.
    #[error("the upstream did not complete the TLS handshake in time: it may not speak TLS")]
    HandshakeTimeout,
    /// No place among the requests under way became free in time: the request was not sent.
    #[error("the upstream has too much to do")]
    Full,
    /// The connection ended, or what came was no HTTP.
    #[error("the upstream gave no valid response")]
    Broken(#[source] hyper::Error),
    /// It said 101 (Switching Protocols) unasked, or to another protocol than the one asked for.
    #[error("the upstream changed the protocol unasked")]
    Unsolicited,
    /// It took too long.
    #[error("the upstream did not respond in time")]
    Timeout,
    /// The request took too long in all.
    #[error("the request took too long")]
    RequestTimeout,
    /// Its answer ends in two places: by length and by coding (RFC 9112, section 6.3).
    #[error("the upstream's response can be read in two ways")]
    Framing,
    /// The client's body broke off, or was no HTTP.
    #[error("the request's body is not valid, or broke off")]
    ClientBroken,
    /// The client did not go on with its body.
    #[error("the request's body did not come in time")]
    ClientTimeout,
    /// The request's target makes no URI.
    #[error("the request cannot be forwarded")]
    Target(#[from] http::Error),
}

impl UpstreamError {
    /// Returns the error of a connection that could not be made, with the reason if the TLS handshake gave one.
    pub(super) fn unreachable(error: io::Error) -> Self {
        use InvalidMessage::{InvalidContentType, MessageTooLarge, UnknownProtocolVersion};
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
        match tls {
            // The header of the first record is wrong: what came is no record of TLS.
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

    /// The status to answer with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unreachable(_) | Self::NotTls(_) | Self::Outdated(..) | Self::Certificate(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::ConnectTimeout | Self::HandshakeTimeout | Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) | Self::Unsolicited | Self::Framing => StatusCode::BAD_GATEWAY,
            Self::Timeout | Self::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ClientBroken | Self::Target(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// What the upstream did wrong; none if it has no part in it.
    #[must_use]
    pub fn fault(&self) -> Option<UpstreamFault> {
        match self {
            Self::Unreachable(_) | Self::NotTls(_) | Self::Outdated(..) | Self::Certificate(_) => {
                Some(UpstreamFault::Unreachable)
            }
            Self::ConnectTimeout | Self::HandshakeTimeout => Some(UpstreamFault::Unreachable),
            Self::Full => Some(UpstreamFault::Full),
            Self::Broken(_) => Some(UpstreamFault::Broken),
            Self::Unsolicited => Some(UpstreamFault::Unsolicited),
            Self::Framing => Some(UpstreamFault::Framing),
            Self::Timeout | Self::RequestTimeout => Some(UpstreamFault::Timeout),
            Self::ClientBroken | Self::ClientTimeout | Self::Target(_) => None,
        }
    }

    /// The bound that was reached, if it was one. (That of a client's body counts where it is read.)
    #[must_use]
    pub fn bound(&self) -> Option<Bound> {
        match self {
            Self::ConnectTimeout | Self::HandshakeTimeout => Some(Bound::UpstreamConnect),
            Self::Full => Some(Bound::UpstreamPending),
            Self::Timeout => Some(Bound::UpstreamResponse),
            Self::RequestTimeout => Some(Bound::Request),
            _ => None,
        }
    }

    /// Proxy error types of RFC 9209, section 2.3.
    #[must_use]
    pub fn proxy_status(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "destination_unavailable",
            Self::NotTls(_) => "tls_protocol_error",
            Self::Outdated(..) | Self::Certificate(_) => "tls_certificate_error",
            Self::ConnectTimeout | Self::HandshakeTimeout => "connection_timeout",
            Self::Full => "connection_limit_reached",
            Self::Broken(_) | Self::Framing => "http_protocol_error",
            Self::Unsolicited => "http_upgrade_failed",
            Self::Timeout | Self::RequestTimeout => "http_response_timeout",
            Self::ClientBroken | Self::ClientTimeout | Self::Target(_) => "http_request_error",
        }
    }
}

/// An error with its causes, for the log.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
