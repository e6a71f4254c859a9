//! The upstream's connections, and the requests that it gave no response to.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use super::gauge_guard::GaugeGuard;

const ERRORS: &str = "tidegate_upstream_errors_total";
const RETRIES: &str = "tidegate_upstream_retries_total";
const CONNECTIONS: &str = "tidegate_upstream_connections";

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

    fn label(self) -> &'static str {
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
        counter!(ERRORS, "error" => self.label()).increment(1);
    }
}

pub(super) fn describe() {
    describe_counter!(ERRORS, "Requests that the upstream gave no response to, by what went wrong.");
    describe_counter!(RETRIES, "Requests sent once more, as their connection to the upstream had ended.");
    describe_gauge!(CONNECTIONS, "Open connections to the upstream.");
    for fault in UpstreamFault::ALL {
        counter!(ERRORS, "error" => fault.label()).increment(0);
    }
    counter!(RETRIES).increment(0);
    gauge!(CONNECTIONS).set(0.0);
}

/// Counts a connection to the upstream until the guard is dropped.
#[must_use]
pub(crate) fn upstream_connection() -> GaugeGuard {
    GaugeGuard::new(gauge!(CONNECTIONS))
}

/// A request was sent once more.
pub(crate) fn upstream_retry() {
    counter!(RETRIES).increment(1);
}
