//! The access log: a request is counted when it is decided, and may have a line when its response has ended.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response};

use super::access_line::{Line, LineBudget, microseconds};
use super::measured::{Measured, MeasuredBody};
use super::refusal::Refusal;
use super::request_id::{self, X_REQUEST_ID};
use super::response::Body;
use super::{Cost, Passed};
use crate::clock::Stopwatch;
use crate::connection::Connection;
use crate::limiter::Standing;
use crate::metrics::{Bound, Origin, Outcome, ProxyMeter};
use crate::policy::Policy;

/// The record of one request, until its response begins. If the client leaves before, dropping it ends the record.
pub(super) struct AccessLog<'p> {
    meter: &'p Arc<ProxyMeter>,
    policy: &'p Policy,
    budget: &'p LineBudget,
    connection: &'p Connection,
    request_id: HeaderValue,
    /// The name of the rule or bypass for whose permit the request waits, so that it is not decided yet.
    waiting: Option<&'p str>,
    /// Whether the request has a line. None: that is not decided yet.
    has_line: Option<bool>,
    key: Option<String>,
    origin: Option<Origin>,
    decision_seconds: Option<f64>,
    /// None: the response has begun. Its line, if it has one, is written when this is dropped.
    measured: Option<Measured>,
}

impl<'p> AccessLog<'p> {
    pub(super) fn new<B>(
        meter: &'p Arc<ProxyMeter>,
        policy: &'p Policy,
        budget: &'p LineBudget,
        connection: &'p Connection,
        request: &Request<B>,
    ) -> Self {
        let keep_id = policy.client().trusts_origin(connection.peer.ip());
        Self {
            meter,
            policy,
            budget,
            connection,
            request_id: request_id::of(request.headers(), keep_id),
            waiting: None,
            has_line: None,
            key: None,
            origin: None,
            decision_seconds: None,
            measured: Some(Measured::start(Arc::clone(meter), Stopwatch::start())),
        }
    }

    /// Puts the request's id into the request: the upstream gets the same as the client.
    pub(super) fn name_request(&self, headers: &mut HeaderMap) {
        headers.insert(X_REQUEST_ID, self.request_id.clone());
    }

    /// Counts a request that is forwarded.
    pub(super) fn admitted<B>(&mut self, passed: &Passed<'p>, request: &Request<B>) {
        self.meter.request(passed.rule, passed.outcome);
        let share = self.policy.access_log().allowed;
        let standing = passed.standing.as_ref().map(|standing| (standing, false));
        self.begin_line(share, Some(request), (passed.rule, passed.outcome), standing);
    }

    /// Counts a request that is refused, and the bound that it reached if it reached one.
    pub(super) fn refused<B>(&mut self, refusal: &Refusal<'p>, request: &Request<B>) {
        self.meter.request(refusal.rule(), refusal.outcome());
        refusal.bound().inspect(|bound| bound.count_exceeded());
        let share = self.policy.access_log().refused;
        let standing = refusal.standing().map(|standing| (standing, true));
        self.begin_line(share, Some(request), (refusal.rule(), refusal.outcome()), standing);
        if let Some(line) = self.line() {
            line.reason = refusal.reason();
        }
    }

    /// Decides whether the request is one of the share that has a line, and there is room for the line. Decides once: a
    /// line takes its place in the budget.
    fn has_line(&mut self, share: f64) -> bool {
        *self.has_line.get_or_insert_with(|| {
            let is_sampled = share >= 1.0 || (share > 0.0 && fastrand::f64() < share);
            if !is_sampled || !tracing::enabled!(target: "access", tracing::Level::INFO) {
                return false;
            }
            let has_room = self.budget.take(self.policy.access_log());
            if !has_room {
                self.meter.access_line_dropped();
            }
            has_room
        })
    }

    /// Begins the line of a request if it has one.
    fn begin_line<B>(
        &mut self,
        share: f64,
        request: Option<&Request<B>>,
        (rule, outcome): (&str, Outcome),
        standing: Option<(&Standing<'_>, bool)>,
    ) {
        if !self.has_line(share) {
            return;
        }
        let peer = self.connection.peer.ip();
        let mut line = Line {
            request_id: Some(self.request_id.clone()),
            client: Some(match request {
                Some(request) => self.policy.client().address(peer, request.headers()),
                None => peer.to_canonical(),
            }),
            key: self.key.take(),
            rule: rule.to_owned(),
            outcome: Some(outcome),
            origin: self.origin,
            decision_us: self.decision_seconds.map(microseconds),
            ..Line::default()
        };
        request.inspect(|request| line.note_head(request));
        standing.inspect(|(standing, refused)| line.note_standing(standing, *refused));
        if let Some(measured) = &mut self.measured {
            measured.line = Some(Box::new(line));
        }
    }

    fn line(&mut self) -> Option<&mut Line> {
        self.measured.as_mut()?.line.as_deref_mut()
    }

    /// Notes whose counters decide, if the request has a line.
    fn note_key(&mut self, cost: &Cost<'_>, share: f64) {
        if let Cost::Charges(charges) = cost
            && self.has_line(share)
        {
            self.key = charges.client().map(str::to_owned);
        }
    }

    /// Notes whose counters admitted the request.
    pub(super) fn note_admitted_key(&mut self, cost: &Cost<'_>) {
        self.note_key(cost, self.policy.access_log().allowed);
    }

    /// Notes whose counters the refusal is about, and returns it.
    pub(super) fn keyed<'r>(&mut self, cost: &Cost<'_>, refusal: Refusal<'r>) -> Refusal<'r> {
        self.note_key(cost, self.policy.access_log().refused);
        refusal
    }

    /// Notes that the request waits for a permit of its client. If the client leaves meanwhile, the request is counted
    /// as overloaded.
    pub(super) fn waits(&mut self, rule: &'p str) {
        self.waiting = Some(rule);
    }

    /// Notes that the wait has ended.
    pub(super) fn waits_no_longer(&mut self) {
        self.waiting = None;
    }

    /// Records how long the limiter took for its decision, and where the decision came from.
    pub(super) fn checked(&mut self, watch: &Stopwatch, origin: Option<Origin>) {
        let seconds = watch.seconds();
        self.meter.limiter_decided(seconds);
        self.decision_seconds = Some(seconds);
        self.origin = origin;
    }

    /// Records how long the upstream took for the head of its response.
    pub(super) fn upstream_responded(&mut self, seconds: f64) {
        self.meter.upstream_responded(seconds);
        if let Some(line) = self.line() {
            line.upstream_us = Some(microseconds(seconds));
        }
    }

    /// Notes why the upstream gave no response.
    pub(super) fn upstream_failed(&mut self, reason: &'static str) {
        if let Some(line) = self.line() {
            line.reason = Some(reason.to_owned());
        }
    }

    /// Counts the response, and puts the request's id into it. The request is measured when the body has ended.
    pub(super) fn responded(mut self, mut response: Response<Body>) -> Response<MeasuredBody> {
        let status = response.status().as_u16();
        self.meter.response(status);
        if let Some(line) = self.line() {
            line.status = status;
        }
        let id = std::mem::replace(&mut self.request_id, HeaderValue::from_static(""));
        response.headers_mut().insert(X_REQUEST_ID, id);
        let measured = self.measured.take();
        response.map(|body| MeasuredBody::new(body, measured))
    }
}

impl Drop for AccessLog<'_> {
    fn drop(&mut self) {
        if let Some(rule) = self.waiting {
            self.meter.request(rule, Outcome::Overloaded);
            let share = self.policy.access_log().refused;
            self.begin_line::<()>(share, None, (rule, Outcome::Overloaded), None);
            if let Some(line) = self.line() {
                line.reason = Some(Bound::RequestsPerClient.label().to_owned());
            }
        }
    }
}
