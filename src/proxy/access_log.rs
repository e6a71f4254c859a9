//! The access log: a request is counted when it is decided, and logged when its response begins.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, Response, StatusCode};

use super::Passed;
use super::measured::{Measured, MeasuredBody};
use super::refusal::Refusal;
use super::response::Body;
use crate::clock::Stopwatch;
use crate::metrics::{Bound, Outcome, ProxyMeter};

/// The record of one request. Dropping it writes its line, so a request whose client has left is logged too.
pub(super) struct AccessLog<'p> {
    meter: &'p Arc<ProxyMeter>,
    peer: SocketAddr,
    method: Method,
    watch: Stopwatch,
    /// The name of the rule or bypass that decided, or empty.
    rule: &'p str,
    outcome: Option<Outcome>,
    /// Whether the request waits for a permit of its client, so that it is not decided yet.
    waiting: bool,
    reason: Option<Bound>,
    status: Option<StatusCode>,
    /// Dropped here if the client leaves before there is a response.
    measured: Option<Measured>,
}

impl<'p> AccessLog<'p> {
    pub(super) fn new(meter: &'p Arc<ProxyMeter>, peer: SocketAddr, method: Method) -> Self {
        let watch = Stopwatch::start();
        Self {
            meter,
            peer,
            method,
            watch,
            rule: "",
            outcome: None,
            waiting: false,
            reason: None,
            status: None,
            measured: Some(Measured::start(Arc::clone(meter), watch)),
        }
    }

    /// Counts a request that is forwarded.
    pub(super) fn admitted(&mut self, passed: &Passed<'p>) {
        self.decided(passed.rule, passed.outcome);
    }

    /// Counts a request that is refused, and the bound that it reached if it reached one.
    pub(super) fn refused(&mut self, refusal: &Refusal<'p>) {
        self.decided(refusal.rule(), refusal.outcome());
        self.reason = refusal.bound();
        self.reason.inspect(|bound| bound.count_exceeded());
    }

    fn decided(&mut self, rule: &'p str, outcome: Outcome) {
        self.meter.request(rule, outcome);
        self.rule = rule;
        self.outcome = Some(outcome);
    }

    /// Notes that the request waits for a permit of its client. If the client leaves meanwhile, the request is counted
    /// as overloaded.
    pub(super) fn waits(&mut self, rule: &'p str) {
        self.rule = rule;
        self.waiting = true;
    }

    /// Notes that the wait has ended.
    pub(super) fn waits_no_longer(&mut self) {
        self.waiting = false;
    }

    /// Records how long the limiter took for its decision.
    pub(super) fn checked(&self, watch: &Stopwatch) {
        self.meter.limiter_decided(watch.seconds());
    }

    /// Counts the response. The request is measured when the body has ended.
    pub(super) fn responded(mut self, response: Response<Body>) -> Response<MeasuredBody> {
        let status = response.status();
        self.meter.response(status.as_u16());
        self.status = Some(status);
        let measured = self.measured.take();
        response.map(|body| MeasuredBody::new(body, measured))
    }
}

impl Drop for AccessLog<'_> {
    fn drop(&mut self) {
        if self.waiting {
            self.decided(self.rule, Outcome::Overloaded);
            self.reason = Some(Bound::RequestsPerClient);
        }
        tracing::info!(
            target: "access",
            peer = %self.peer,
            method = %self.method,
            // 0: the client left before there was a response.
            status = self.status.map_or(0, |status| status.as_u16()),
            rule = self.rule,
            outcome = self.outcome.map(Outcome::label),
            reason = self.reason.map(Bound::label),
            milliseconds = self.watch.millis(),
        );
    }
}
