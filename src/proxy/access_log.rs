//! What is kept of a request: counted when it is decided, logged when it is over.

use std::net::SocketAddr;

use http::{Method, StatusCode};

use crate::clock::Stopwatch;
use crate::metrics::{Bound, Outcome, ProxyMeter};

/// The record of one request. Its line is written when it is dropped, so also for a client that did not wait.
pub(super) struct AccessLog<'m> {
    meter: &'m ProxyMeter,
    peer: SocketAddr,
    method: Method,
    watch: Stopwatch,
    rule: String,
    outcome: Option<Outcome>,
    /// Whether it waits for its client's share, so that it is not decided yet.
    waiting: bool,
    reason: Option<Bound>,
    status: Option<StatusCode>,
}

impl<'m> AccessLog<'m> {
    pub(super) fn new(meter: &'m ProxyMeter, peer: SocketAddr, method: Method) -> Self {
        let (watch, rule) = (Stopwatch::start(), String::new());
        Self { meter, peer, method, watch, rule, outcome: None, waiting: false, reason: None, status: None }
    }

    /// Counts the request, once. `rule` is the name of the rule or bypass that decided, or empty.
    pub(super) fn decided(&mut self, rule: &str, outcome: Outcome) {
        self.meter.request(rule, outcome);
        rule.clone_into(&mut self.rule);
        self.outcome = Some(outcome);
    }

    /// Counts the bound that the request was refused at, and names it in the log.
    pub(super) fn exceeded(&mut self, bound: Bound) {
        bound.exceeded();
        self.reason = Some(bound);
    }

    /// The request waits for its client's share from now on. If its client leaves meanwhile, it was overloaded, too.
    pub(super) fn waits(&mut self, rule: &str) {
        rule.clone_into(&mut self.rule);
        self.waiting = true;
    }

    /// The wait is over.
    pub(super) fn waits_no_longer(&mut self) {
        self.waiting = false;
    }

    /// The limiter has decided, and that took so long.
    pub(super) fn checked(&self, watch: &Stopwatch) {
        self.meter.decided(watch.seconds());
    }

    /// Counts the answer.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.meter.response(status.as_u16());
        self.status = Some(status);
    }
}

impl Drop for AccessLog<'_> {
    fn drop(&mut self) {
        if self.waiting {
            let rule = std::mem::take(&mut self.rule);
            self.decided(&rule, Outcome::Overloaded);
            self.reason = Some(Bound::RequestsPerClient);
        }
        tracing::info!(
            target: "access",
            peer = %self.peer,
            method = %self.method,
            // 0: the client left before there was an answer.
            status = self.status.map_or(0, |status| status.as_u16()),
            rule = self.rule,
            outcome = self.outcome.map(Outcome::label),
            reason = self.reason.map(Bound::label),
            milliseconds = self.watch.millis(),
        );
    }
}
