//! The life of a request, from its head to the head of the answer: [`Proxy::handle`].

mod entry;
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

/// What forwarded requests take along from their decision.
#[derive(Default)]
struct Pass {
    /// Told to the client.
    standing: Option<Standing>,
    /// Names of the shadow rules that had no room, told to the application.
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
        let pass = match policy.plan(&target.facts(&request, peer.ip(), policy.client())) {
            Plan::Bypass(bypass) => {
                entry.decided(&bypass.name, Outcome::Bypassed);
                Pass::default()
            }
            Plan::Reject { rule, missing } => {
                entry.decided(&rule.name, Outcome::Rejected);
                return reply::bad_request(request, &facts::Refused::MissingKey(missing));
            }
            Plan::Check { rule, checks } if checks.is_empty() => {
                entry.decided(rule.map_or("", |rule| &rule.name), Outcome::Unlimited);
                Pass::default()
            }
            Plan::Check { rule, checks } => {
                let verdict = self.limiter.check(&checks).await;
                entry.checked();
                // Named if no other rule decided: the endpoint's, else the first global one.
                let named = rule.or(checks.first().map(|check| check.rule)).map_or("", |rule| &rule.name);
                match verdict {
                    Verdict::Pass { standing, exceeded } => Pass::checked(entry, named, standing, &exceeded),
                    Verdict::Unchecked => {
                        entry.decided(named, Outcome::StoreFailedOpen);
                        Pass::default()
                    }
                    Verdict::Refuse { rule, standing, violated } => {
                        entry.decided(&rule.name, Outcome::Limited);
                        return reply::too_many_requests(request, &standing, &violated);
                    }
                    Verdict::Unavailable { rule } => {
                        entry.decided(&rule.name, Outcome::StoreFailedClosed);
                        return reply::reduced_capacity(request);
                    }
                }
            }
        };
        headers::tell_origin(request.headers_mut(), &target, peer, policy.client().believes(peer.ip()));
        self.forward(request, &target, &pass).await
    }

    async fn forward(&self, mut request: Request<Incoming>, target: &Target, pass: &Pass) -> Response<Body> {
        for rule in &pass.exceeded {
            if let Ok(name) = HeaderValue::from_str(rule) {
                request.headers_mut().append(headers::X_RATELIMIT_EXCEEDED, name);
            }
        }
        let watch = Stopwatch::start();
        match self.upstream.send(request, target).await {
            Ok(mut response) => {
                self.meter.answered(watch.seconds());
                headers::clean_response(response.headers_mut());
                if let Some(standing) = &pass.standing {
                    headers::advertise(response.headers_mut(), standing);
                }
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

impl Pass {
    /// Passed by the limiter. If shadow rules had no room, the request counts as the first one's.
    fn checked(entry: &mut Entry<'_>, named: &str, standing: Option<Standing>, exceeded: &[&Rule]) -> Self {
        match exceeded.first() {
            Some(rule) => entry.decided(&rule.name, Outcome::ShadowLimited),
            None => entry.decided(named, Outcome::Allowed),
        }
        Self { standing, exceeded: exceeded.iter().map(|rule| rule.name.to_string()).collect() }
    }
}
