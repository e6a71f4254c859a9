//! What is kept of a request: counted when it is decided, logged when it is over.

use std::net::SocketAddr;

use http::{Method, StatusCode};

use crate::clock::Stopwatch;
use crate::metrics::{Outcome, ProxyMeter};

/// The record of one request. Its line is written when it is dropped, so also for a client that did not wait.
pub(super) struct Entry<'m> {
    meter: &'m ProxyMeter,
    peer: SocketAddr,
    method: Method,
    watch: Stopwatch,
    rule: String,
    outcome: Option<Outcome>,
    status: Option<StatusCode>,
}

impl<'m> Entry<'m> {
    pub(super) fn new(meter: &'m ProxyMeter, peer: SocketAddr, method: Method) -> Self {
        let (watch, rule) = (Stopwatch::start(), String::new());
        Self { meter, peer, method, watch, rule, outcome: None, status: None }
    }

    /// Counts the request, once. `rule` is the name of the rule or bypass that decided, or empty.
    pub(super) fn decided(&mut self, rule: &str, outcome: Outcome) {
        self.meter.request(rule, outcome);
        rule.clone_into(&mut self.rule);
        self.outcome = Some(outcome);
    }

    /// The limiter has been asked, and has answered.
    pub(super) fn checked(&self) {
        self.meter.decided(self.watch.seconds());
    }

    /// Counts the answer.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.meter.response(status.as_u16());
        self.status = Some(status);
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        tracing::info!(
            target: "access",
            peer = %self.peer,
            method = %self.method,
            // 0: the client left before there was an answer.
            status = self.status.map_or(0, |status| status.as_u16()),
            rule = self.rule,
            outcome = self.outcome.map(Outcome::label),
            milliseconds = self.watch.millis(),
        );
    }
}
