//! The life of a request, from its head to the head of the answer: [`Proxy::handle`].

pub mod facts;
mod headers;
mod reply;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;

use crate::clock::Stopwatch;
use crate::limiter::{Limiter, Standing, Verdict};
use crate::metrics::{Outcome, ProxyMeter};
use crate::policy::live::Live;
use crate::policy::{Plan, Rule};
use facts::Target;
pub use reply::Body;
pub use upstream::Upstream;

/// All that handling a request needs.
#[derive(Debug)]
pub struct Proxy {
    policy: Arc<Live>,
    limiter: Arc<Limiter>,
    upstream: Upstream,
    meter: Arc<ProxyMeter>,
}

/// How a request that is forwarded came through.
struct Pass {
    rule: String,
    outcome: Outcome,
    standing: Option<Standing>,
    exceeded: Vec<String>,
}

impl Proxy {
    /// A proxy in front of `upstream`.
    #[must_use]
    pub fn new(policy: Arc<Live>, limiter: Arc<Limiter>, upstream: Upstream, meter: Arc<ProxyMeter>) -> Self {
        Self { policy, limiter, upstream, meter }
    }

    /// Handles one request of `peer`, which came over a connection of our own (never encrypted so far).
    pub async fn handle(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let watch = Stopwatch::start();
        let method = request.method().clone();
        let (response, rule, outcome) = self.answer(request, peer).await;
        let status = response.status().as_u16();
        self.meter.request(&rule, outcome);
        self.meter.response(status);
        tracing::info!(target: "access", %peer, %method, status, rule, outcome = outcome.label(),
            milliseconds = watch.millis());
        response
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> (Response<Body>, String, Outcome) {
        let watch = Stopwatch::start();
        let policy = self.policy.load();
        let target = match Target::of(&request) {
            Ok(target) => target,
            Err(error) => {
                return (
                    reply::bad_request(request, error.status(), &error),
                    String::new(),
                    Outcome::Rejected,
                );
            }
        };
        let pass = match policy.plan(&target.facts(&request, peer.ip(), policy.client())) {
            Plan::Bypass(bypass) => Pass::unchecked(&bypass.name, Outcome::Bypassed),
            Plan::Reject { rule, missing } => {
                let error = facts::Refused::MissingKey(missing);
                let response = reply::bad_request(request, error.status(), &error);
                return (response, rule.name.to_string(), Outcome::Rejected);
            }
            Plan::Check { rule, checks } if checks.is_empty() => {
                Pass::unchecked(rule.map_or("", |rule| &rule.name), Outcome::Unlimited)
            }
            Plan::Check { rule, checks } => {
                // Named in the metrics if nothing refuses: the endpoint's rule, else the first global one.
                let named = rule.or(checks.first().map(|check| check.rule));
                let verdict = self.limiter.check(&checks).await;
                self.meter.decided(watch.seconds());
                match verdict {
                    Verdict::Pass { standing, exceeded } => Pass::checked(named, standing, &exceeded),
                    Verdict::Unchecked => {
                        Pass::unchecked(named.map_or("", |rule| &rule.name), Outcome::StoreFailedOpen)
                    }
                    Verdict::Refuse { rule, standing, violated } => {
                        let response = reply::too_many_requests(request, &standing, &violated);
                        return (response, rule.name.to_string(), Outcome::Limited);
                    }
                    Verdict::Unavailable { rule } => {
                        let response = reply::reduced_capacity(request);
                        return (response, rule.name.to_string(), Outcome::StoreFailedClosed);
                    }
                }
            }
        };
        let response = self.forward(request, &target, peer, &pass).await;
        (response, pass.rule, pass.outcome)
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        target: &Target,
        peer: SocketAddr,
        pass: &Pass,
    ) -> Response<Body> {
        headers::prepare_request(request.headers_mut(), target, peer);
        for rule in &pass.exceeded {
            if let Ok(name) = HeaderValue::from_str(rule) {
                request.headers_mut().append(headers::X_RATELIMIT_EXCEEDED, name);
            }
        }
        let watch = Stopwatch::start();
        match self.upstream.send(request, target).await {
            Ok(mut response) => {
                self.meter.answered(watch.seconds());
                headers::prepare_response(response.headers_mut());
                if let Some(standing) = &pass.standing {
                    headers::advertise(response.headers_mut(), standing);
                }
                response.map(Body::Right)
            }
            Err(error) => {
                self.meter.upstream_error(error.label());
                tracing::debug!(%error, "the upstream did not answer");
                reply::upstream_failed(&error)
            }
        }
    }
}

impl Pass {
    fn unchecked(rule: &str, outcome: Outcome) -> Self {
        Self { rule: rule.to_owned(), outcome, standing: None, exceeded: Vec::new() }
    }

    /// Passed by the limiter. `exceeded` are the shadow rules that would have refused; the request counts as
    /// the first one's.
    fn checked(named: Option<&Rule>, standing: Option<Standing>, exceeded: &[&Rule]) -> Self {
        let outcome = if exceeded.is_empty() { Outcome::Allowed } else { Outcome::ShadowLimited };
        let rule = exceeded.first().copied().or(named).map(|rule| rule.name.to_string()).unwrap_or_default();
        let exceeded = exceeded.iter().map(|rule| rule.name.to_string()).collect();
        Self { rule, outcome, standing, exceeded }
    }
}
