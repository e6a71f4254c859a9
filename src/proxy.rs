//! The life of a request, from its head to the head of the response: [`Proxy::handle`].

mod access_log;
mod headers;
mod rejections;
mod reserve;
mod response;
pub mod target;
mod tunnel;

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::{Either, Full as Text};
use hyper::body::{Body as _, Incoming};

use crate::bounds::Bounds;
use crate::clock::Stopwatch;
use crate::connection::{Connection, Unreadable};
use crate::limiter::{Charges, Limited, Limiter, Verdict};
use crate::metrics::{Outcome, ProxyMeter};
use crate::permits::PermitPool;
use crate::permits::queued::QueuedPermits;
use crate::policy::live::Live;
use crate::policy::{Check, Plan, Policy, bypass};
use crate::upstream::{OnInterim, Outgoing, Upstream, UpstreamError};
use access_log::AccessLog;
use rejections::Rejections;
use reserve::Reserved;
pub use response::Body;
use target::{RequestError, Target};
use tunnel::{TunnelGuards, UpgradeOutcome, UpgradeRequest};

/// All that handling a request needs.
#[derive(Debug)]
pub struct Proxy {
    policy: Arc<Live>,
    limiter: Arc<Limiter>,
    upstream: Arc<Upstream>,
    meter: Arc<ProxyMeter>,
    bounds: Bounds,
    requests: Arc<QueuedPermits>,
    tunnels: Arc<PermitPool>,
    rejections: Rejections,
}

/// A request that can be forwarded, besides its head.
struct Asked {
    target: Target,
    /// Whom it comes from.
    client: IpAddr,
    version: Version,
    wish: Option<UpgradeRequest>,
    expects_continue: bool,
}

/// What a request charges.
enum Due<'p> {
    /// No rule has anything to check: it is counted with this outcome.
    Nothing(Outcome),
    /// The counters of these checks.
    Charges(Charges<'p>),
}

impl<'p> Due<'p> {
    fn of(checks: &[Check<'p>]) -> Self {
        if checks.is_empty() {
            return Self::Nothing(Outcome::Unlimited);
        }
        Self::Charges(Charges::of(checks))
    }
}

impl Proxy {
    /// A proxy in front of `upstream`.
    #[must_use]
    pub fn new(
        policy: Arc<Live>,
        limiter: Arc<Limiter>,
        upstream: Arc<Upstream>,
        meter: Arc<ProxyMeter>,
        bounds: Bounds,
    ) -> Self {
        let requests = QueuedPermits::new(bounds.requests_per_client);
        let tunnels = PermitPool::new(bounds.tunnels, bounds.tunnels_per_client);
        let rejections = Rejections::default();
        Self { policy, limiter, upstream, meter, bounds, requests, tunnels, rejections }
    }

    /// Logs what is to be said about requests with wrong secrets. To be called every few seconds.
    pub fn log_rejections(&self) {
        self.rejections.log();
    }

    /// Handles one request, which came over `connection`.
    pub async fn handle(&self, request: Request<Incoming>, connection: Arc<Connection>) -> Response<Body> {
        let mut access_log = AccessLog::new(&self.meter, connection.peer, request.method().clone());
        let response = self.answer(request, connection, &mut access_log).await;
        access_log.answered(response.status());
        response
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        connection: Arc<Connection>,
        access_log: &mut AccessLog<'_>,
    ) -> Response<Body> {
        if let Some(unreadable) = request.extensions().get::<Unreadable>() {
            access_log.decided("", Outcome::Rejected);
            return response::unreadable(unreadable);
        }
        let policy = self.policy.load();
        let asked = match self.read(&mut request, &policy, &connection) {
            Ok(asked) => asked,
            Err(refused) => {
                access_log.decided("", Outcome::Rejected);
                refused.bound().inspect(|&bound| access_log.exceeded(bound));
                return response::bad_request(request, &refused);
            }
        };
        let websocket = asked.wish.is_some();
        let plan = policy.plan(&asked.target.facts(&request, &connection, policy.client(), websocket));
        for bypass in bypass::rejecting(policy.bypasses(), request.headers()) {
            self.rejections.note(&bypass.name, asked.client);
        }
        let (name, due) = match plan {
            Plan::Reject { rule, missing } => {
                access_log.decided(&rule.name, Outcome::Rejected);
                return response::bad_request(request, &RequestError::MissingKey(missing));
            }
            Plan::Bypass(bypass) => (&*bypass.name, Due::Nothing(Outcome::Bypassed)),
            Plan::Check { rule, checks } => {
                // Named if no other rule decides: the endpoint's, else the first global one.
                let named = rule.or(checks.first().map(|check| check.rule));
                (named.map_or("", |rule| &rule.name), Due::of(&checks))
            }
        };
        if let Some(limited) = self.recall(&due, access_log) {
            return refuse(request, &limited, &policy);
        }
        let reserved = match self.reserve(&asked, name, access_log).await {
            Ok(reserved) => reserved,
            Err(overload) => {
                access_log.decided(name, Outcome::Overloaded);
                return response::overloaded(request, overload);
            }
        };
        let (standing, exceeded) = match self.charge(&due, name, access_log).await {
            Verdict::Pass { standing, exceeded } => (standing, exceeded),
            Verdict::Unchecked => (None, Vec::new()),
            Verdict::Refuse(limited) => return refuse(request, &limited, &policy),
            Verdict::Unavailable { .. } => return response::reduced_capacity(request),
        };
        bypass::remove_secrets(policy.bypasses(), request.headers_mut());
        let believed = policy.client().believes(connection.peer.ip());
        headers::tell_origin(request.headers_mut(), &asked.target, &connection, believed, policy.forwarded());
        headers::note_via(request.headers_mut(), asked.version);
        headers::mark_exceeded(request.headers_mut(), &exceeded);
        let mut response = self.forward(request, asked, reserved, connection).await;
        if let Some(standing) = &standing {
            headers::advertise(response.headers_mut(), standing, policy.x_ratelimit_headers());
        }
        response
    }

    /// Reads what is asked for, in the one way in which it then is matched and forwarded.
    fn read(
        &self,
        request: &mut Request<Incoming>,
        policy: &Policy,
        connection: &Connection,
    ) -> Result<Asked, RequestError> {
        let wish = tunnel::wish(request);
        let expects = request.headers().get(header::EXPECT).is_some_and(is_continue);
        let expects_continue =
            expects && request.version() == Version::HTTP_11 && !request.body().is_end_stream();
        headers::clean_request(request.headers_mut(), policy.fields(), &self.bounds)?;
        let target = Target::of(request, policy.path(), &self.bounds)?;
        let client = policy.client().address(connection.peer.ip(), request.headers());
        Ok(Asked { target, client, version: request.version(), wish, expects_continue })
    }

    /// Looks for a remembered refusal, before the request takes anything that others could use.
    fn recall<'p>(&self, due: &Due<'p>, access_log: &mut AccessLog<'_>) -> Option<Limited<'p>> {
        let Due::Charges(charges) = due else { return None };
        let watch = Stopwatch::start();
        let limited = self.limiter.recall(charges)?;
        access_log.checked(&watch);
        access_log.decided(&limited.rule.name, Outcome::Limited);
        Some(limited)
    }

    /// Charges the request, and counts it by the verdict.
    async fn charge<'p>(&self, due: &Due<'p>, name: &str, access_log: &mut AccessLog<'_>) -> Verdict<'p> {
        let charges = match due {
            Due::Charges(charges) => charges,
            Due::Nothing(outcome) => {
                access_log.decided(name, *outcome);
                return Verdict::Pass { standing: None, exceeded: Vec::new() };
            }
        };
        let watch = Stopwatch::start();
        let verdict = self.limiter.charge(charges).await;
        access_log.checked(&watch);
        match &verdict {
            Verdict::Pass { exceeded, .. } => match exceeded.first() {
                Some(rule) => access_log.decided(&rule.name, Outcome::ShadowLimited),
                None => access_log.decided(name, Outcome::Allowed),
            },
            Verdict::Unchecked => access_log.decided(name, Outcome::StoreFailedOpen),
            Verdict::Refuse(limited) => access_log.decided(&limited.rule.name, Outcome::Limited),
            Verdict::Unavailable { rule } => access_log.decided(&rule.name, Outcome::StoreFailedClosed),
        }
        verdict
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        asked: Asked,
        reserved: Reserved,
        connection: Arc<Connection>,
    ) -> Response<Body> {
        let Asked { target, version, wish, expects_continue, .. } = asked;
        let Reserved { request: request_permit, tunnel: tunnel_permit, turn: reservation } = reserved;
        if wish.is_some() {
            tunnel::ask(request.headers_mut());
        }
        let (path_and_query, upgrade) = (target.path_and_query, wish.is_some());
        let watch = Stopwatch::start();
        let interim = if version == Version::HTTP_11 { pass_interim(&connection) } else { None };
        let held = Box::new(request_permit);
        let outgoing =
            Outgoing { request, path_and_query, expects_continue, upgrade, interim, reservation, held };
        let sent = self.upstream.send(outgoing).await;
        if sent.is_ok() {
            self.meter.answered(watch.seconds());
        }
        let answer = sent.and_then(|answer| match (wish, tunnel_permit) {
            (Some(wish), Some(permit)) => {
                let idle_timeout = self.bounds.stream_idle_timeout;
                match wish.answered(answer, TunnelGuards { connection, permit, idle_timeout }) {
                    UpgradeOutcome::Tunnel(answer) => Ok(answer.map(|()| Either::Left(Text::default()))),
                    UpgradeOutcome::Declined(answer) => Ok(answer.map(Either::Right)),
                    UpgradeOutcome::Invalid => Err(UpstreamError::Unsolicited),
                }
            }
            _ => Ok(answer.map(Either::Right)),
        });
        match answer {
            Ok(mut response) => {
                if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    headers::clean_response(response.headers_mut());
                }
                let version = response.version();
                headers::note_via(response.headers_mut(), version);
                *response.version_mut() = Version::HTTP_11;
                response
            }
            Err(error) => {
                error.fault().inspect(|fault| fault.count());
                error.bound().inspect(|bound| bound.exceeded());
                tracing::debug!(%error, "there is no answer of the upstream");
                response::upstream_failed(&error)
            }
        }
    }
}

/// The refusal of a request by its limits.
fn refuse(request: Request<Incoming>, limited: &Limited<'_>, policy: &Policy) -> Response<Body> {
    let mut response = response::too_many_requests(request, limited);
    headers::advertise(response.headers_mut(), &limited.standing, policy.x_ratelimit_headers());
    response
}

/// Passes interim answers on to the client, if it can have them.
fn pass_interim(connection: &Connection) -> Option<OnInterim> {
    let interim = Arc::clone(connection.interim.as_ref()?);
    let request = interim.request();
    Some(Arc::new(move |status, fields| {
        let mut fields = fields.clone();
        headers::clean_response(&mut fields);
        interim.say(request, status, &fields);
    }))
}

/// RFC 9110, section 10.1.1. There is no other expectation.
fn is_continue(expected: &HeaderValue) -> bool {
    expected.as_bytes().eq_ignore_ascii_case(b"100-continue")
}
