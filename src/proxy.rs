//! The life of a request, from its head to the head of the answer: [`Proxy::handle`].

mod entry;
pub mod facts;
mod headers;
mod reply;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;

use crate::clock::Stopwatch;
use crate::limiter::{Limiter, Verdict};
use crate::metrics::{Outcome, ProxyMeter};
use crate::policy::Plan;
use crate::policy::live::Live;
use entry::Entry;
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

impl Proxy {
    /// A proxy in front of `upstream`.
    #[must_use]
    pub fn new(policy: Arc<Live>, limiter: Arc<Limiter>, upstream: Upstream, meter: Arc<ProxyMeter>) -> Self {
        Self { policy, limiter, upstream, meter }
    }

    /// Handles one request of `peer`, which came over a connection of our own (never encrypted so far).
    pub async fn handle(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let mut entry = Entry::new(&self.meter, peer, request.method().clone());
        let response = self.answer(request, peer, &mut entry).await;
        entry.answered(response.status());
        response
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        entry: &mut Entry<'_>,
    ) -> Response<Body> {
        let policy = self.policy.load();
        let target = match headers::clean_request(request.headers_mut()).and_then(|()| Target::of(&request)) {
            Ok(target) => target,
            Err(refused) => {
                entry.decided("", Outcome::Rejected);
                return reply::bad_request(request, &refused);
            }
        };
        let (standing, exceeded) = match policy.plan(&target.facts(&request, peer.ip(), policy.client())) {
            Plan::Bypass(bypass) => {
                entry.decided(&bypass.name, Outcome::Bypassed);
                (None, Vec::new())
            }
            Plan::Reject { rule, missing } => {
                entry.decided(&rule.name, Outcome::Rejected);
                return reply::bad_request(request, &facts::Refused::MissingKey(missing));
            }
            Plan::Check { rule, checks } if checks.is_empty() => {
                entry.decided(rule.map_or("", |rule| &rule.name), Outcome::Unlimited);
                (None, Vec::new())
            }
            Plan::Check { rule, checks } => {
                let verdict = self.limiter.check(&checks).await;
                entry.checked();
                // Named if no other rule decided: the endpoint's, else the first global one.
                let named = rule.or(checks.first().map(|check| check.rule)).map_or("", |rule| &rule.name);
                match verdict {
                    Verdict::Pass { standing, exceeded } => {
                        match exceeded.first() {
                            Some(rule) => entry.decided(&rule.name, Outcome::ShadowLimited),
                            None => entry.decided(named, Outcome::Allowed),
                        }
                        (standing, exceeded)
                    }
                    Verdict::Unchecked => {
                        entry.decided(named, Outcome::StoreFailedOpen);
                        (None, Vec::new())
                    }
                    Verdict::Refuse { rule, standing, violated } => {
                        entry.decided(&rule.name, Outcome::Limited);
                        let mut response = reply::too_many_requests(request, rule, &standing, &violated);
                        headers::advertise(response.headers_mut(), &standing, policy.x_ratelimit_headers());
                        return response;
                    }
                    Verdict::Unavailable { rule } => {
                        entry.decided(&rule.name, Outcome::StoreFailedClosed);
                        return reply::reduced_capacity(request);
                    }
                }
            }
        };
        headers::tell_origin(request.headers_mut(), &target, peer, policy.client().believes(peer.ip()));
        headers::mark_exceeded(request.headers_mut(), &exceeded);
        let mut response = self.forward(request, &target).await;
        if let Some(standing) = &standing {
            headers::advertise(response.headers_mut(), standing, policy.x_ratelimit_headers());
        }
        response
    }

    async fn forward(&self, request: Request<Incoming>, target: &Target) -> Response<Body> {
        let watch = Stopwatch::start();
        match self.upstream.send(request, target).await {
            Ok(mut response) => {
                self.meter.answered(watch.seconds());
                headers::clean_response(response.headers_mut());
                response.map(Body::Right)
            }
            Err(error) => {
                if let Some(label) = error.label() {
                    self.meter.upstream_error(label);
                }
                tracing::debug!(%error, "there is no answer of the upstream");
                reply::upstream_failed(&error)
            }
        }
    }
}
