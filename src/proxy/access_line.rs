//! A line of the access log, and how many of them there are.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderValue, Method, Request, Version, header};

use super::request_id;
use crate::clock::Stopwatch;
use crate::limiter::Standing;
use crate::metrics::{Origin, Outcome};
use crate::policy::access_log::AccessLogPolicy;
use crate::policy::limit::whole_seconds;

/// The characters to which texts of clients are cut.
const MAX_TEXT: usize = 512;

/// What a line says of one request.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) request_id: Option<HeaderValue>,
    pub(super) trace_id: Option<String>,
    pub(super) client: Option<IpAddr>,
    /// The client's part of the counter's key: addresses in clear, secrets as hashes.
    pub(super) key: Option<String>,
    pub(super) method: Option<Method>,
    pub(super) host: Option<String>,
    pub(super) path: Option<String>,
    pub(super) protocol: Option<&'static str>,
    /// 0: the client left before there was a response.
    pub(super) status: u16,
    pub(super) rule: String,
    pub(super) outcome: Option<Outcome>,
    pub(super) reason: Option<String>,
    pub(super) origin: Option<Origin>,
    pub(super) remaining: Option<i64>,
    /// In seconds; of a request that was refused by a limit.
    pub(super) retry_after: Option<i64>,
    pub(super) decision_us: Option<u64>,
    pub(super) upstream_us: Option<u64>,
    pub(super) user_agent: Option<String>,
}

impl Line {
    /// Notes what the request's head says.
    pub(super) fn note_head<B>(&mut self, request: &Request<B>) {
        let headers = request.headers();
        self.trace_id = request_id::trace_id(headers).map(str::to_owned);
        self.method = Some(request.method().clone());
        self.host = request.uri().host().map(shortened).or_else(|| field(headers, &header::HOST));
        self.path = Some(shortened(request.uri().path()));
        self.protocol = Some(match request.version() {
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_11 => "HTTP/1.1",
            _ => "HTTP/1.0",
        });
        self.user_agent = field(headers, &header::USER_AGENT);
    }

    /// Notes how the client stands with the limit that decided.
    pub(super) fn note_standing(&mut self, standing: &Standing<'_>, refused: bool) {
        self.remaining = Some(standing.remaining);
        self.retry_after = refused.then(|| whole_seconds(standing.reset_ms));
    }

    /// Writes the line. (Texts are passed as texts, so that both formats quote them and escape control characters.)
    pub(super) fn write(&self, bytes: u64, seconds: f64) {
        tracing::info!(
            target: "access",
            request_id = self.request_id.as_ref().and_then(|id| id.to_str().ok()),
            trace_id = self.trace_id.as_deref(),
            client = self.client.map(tracing::field::display),
            key = self.key.as_deref(),
            method = self.method.as_ref().map(Method::as_str),
            host = self.host.as_deref(),
            path = self.path.as_deref(),
            protocol = self.protocol,
            status = self.status,
            bytes,
            rule = &*self.rule,
            outcome = self.outcome.map(Outcome::label),
            reason = self.reason.as_deref(),
            origin = self.origin.map(Origin::label),
            remaining = self.remaining,
            retry_after = self.retry_after,
            decision_us = self.decision_us,
            upstream_us = self.upstream_us,
            milliseconds = microseconds(seconds) / 1000,
            user_agent = self.user_agent.as_deref(),
        );
    }
}

/// Returns a duration in microseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration, never negative")]
pub(super) fn microseconds(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

fn field(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name).map(|value| shortened(&String::from_utf8_lossy(value.as_bytes())))
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// Bounds the lines of each second.
#[derive(Debug)]
pub(super) struct LineBudget {
    begun: Stopwatch,
    /// The second since the beginning, and below it how many lines it has, in 32 bits each.
    used: AtomicU64,
}

impl Default for LineBudget {
    fn default() -> Self {
        Self { begun: Stopwatch::start(), used: AtomicU64::new(0) }
    }
}

impl LineBudget {
    /// Returns whether there may be a line now, and takes its place.
    pub(super) fn take(&self, policy: &AccessLogPolicy) -> bool {
        self.take_at(u64::try_from(self.begun.millis()).unwrap_or_default() / 1000, policy.per_second)
    }

    fn take_at(&self, second: u64, per_second: u32) -> bool {
        let take = |used: u64| {
            let lines = if used >> 32 == second { used & u64::from(u32::MAX) } else { 0 };
            (lines < u64::from(per_second)).then_some((second << 32) | (lines + 1))
        };
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_a_budget_of_its_own() {
        let budget = LineBudget::default();
        let taken = |second| (0..5).filter(|_| budget.take_at(second, 3)).count();
        assert_eq!([taken(0), taken(0), taken(1), taken(7)], [3, 0, 3, 3]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened(&"ä".repeat(600)), "ä".repeat(MAX_TEXT));
    }
}
