//! The upstream's connections, and the requests that it gave no response to.

use std::sync::LazyLock;

use metrics::{Counter, counter, gauge};

use super::gauge_guard::GaugeGuard;
use super::table::{REQUEST_BYTES, UPSTREAM_CONNECTIONS, UPSTREAM_ERRORS, UPSTREAM_RETRIES};

/// Why the upstream gave no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamFault {
    /// No connection could be made.
    Unreachable,
    /// Too many requests were waiting for the upstream.
    QueueFull,
    /// The connection ended early, or what came was not HTTP.
    Broken,
    /// The response has two ends.
    Framing,
    /// The response came too late.
    Timeout,
    /// A switch of protocols that was not requested.
    Unsolicited,
}

impl UpstreamFault {
    const ALL: [Self; 6] =
        [Self::Unreachable, Self::QueueFull, Self::Broken, Self::Framing, Self::Timeout, Self::Unsolicited];

    /// As the label has it.
    #[must_use]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::QueueFull => "full",
            Self::Broken => "broken",
            Self::Framing => "framing",
            Self::Timeout => "timeout",
            Self::Unsolicited => "unsolicited",
        }
    }

    /// Counts it.
    pub(crate) fn count(self) {
        counter!(UPSTREAM_ERRORS, "error" => self.label()).increment(1);
    }
}

pub(super) fn announce() {
    for fault in UpstreamFault::ALL {
        counter!(UPSTREAM_ERRORS, "error" => fault.label()).increment(0);
    }
    counter!(UPSTREAM_RETRIES).increment(0);
    request_bytes(0);
    gauge!(UPSTREAM_CONNECTIONS).set(0.0);
}

/// Counts a connection to the upstream until the guard is dropped.
#[must_use]
pub(crate) fn upstream_connection() -> GaugeGuard {
    GaugeGuard::new(gauge!(UPSTREAM_CONNECTIONS))
}

/// A request was sent once more.
pub(crate) fn upstream_retry() {
    counter!(UPSTREAM_RETRIES).increment(1);
}

/// Counts bytes of a request's body. The recorder is installed before the first request.
pub(crate) fn request_bytes(bytes: usize) {
    static COUNTER: LazyLock<Counter> = LazyLock::new(|| counter!(REQUEST_BYTES));
    COUNTER.increment(bytes as u64);
}
