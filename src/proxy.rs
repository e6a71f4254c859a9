//! The life of a request, from its head to the head of the response: [`Proxy::handle`].

mod access_line;
mod access_log;
pub(crate) mod explain;
mod forward;
mod headers;
mod measured;
mod overload;
mod parsed;
mod refusal;
mod request_id;
mod reserve;
mod response;
mod target;
mod tunnel;
mod untrusted_forwarders;
mod wrong_secrets;

use std::sync::Arc;

use futures_util::future::join;
use http::{Request, Response};
use hyper::body::Incoming;

use crate::bounds::Bounds;
use crate::clock::Stopwatch;
use crate::connection::{Connection, Unreadable};
use crate::limiter::{Charges, Limiter, Standing, Verdict};
use crate::metrics::{Origin, Outcome, ProxyMeter};
use crate::permits::PermitPool;
use crate::permits::queued::QueuedPermits;
use crate::policy::live::Live;
use crate::policy::{Plan, Policy, Rule};
use crate::upstream::Upstream;
use access_line::LineBudget;
use access_log::AccessLog;
use measured::MeasuredBody;
use parsed::ParsedRequest;
use refusal::Refusal;
use reserve::Reserved;
use untrusted_forwarders::UntrustedForwarders;
use wrong_secrets::WrongSecrets;

/// Handles requests: limits them, forwards them, and responds.
#[derive(Debug)]
pub(crate) struct Proxy {
    policy: Arc<Live>,
    limiter: Arc<Limiter>,
    upstream: Arc<Upstream>,
    meter: Arc<ProxyMeter>,
    bounds: Bounds,
    requests: Arc<QueuedPermits>,
    tunnels: Arc<PermitPool>,
    wrong_secrets: WrongSecrets,
    untrusted_forwarders: UntrustedForwarders,
    lines: LineBudget,
}

/// A request that is forwarded.
struct Admitted<'p> {
    request: ParsedRequest,
    reserved: Reserved,
    passed: Passed<'p>,
}

/// How a request passed the limits.
struct Passed<'p> {
    /// The name of the rule or bypass that decided, or empty.
    rule: &'p str,
    outcome: Outcome,
    /// The tightest of the enforced limits.
    standing: Option<Standing<'p>>,
    /// The shadow rules that had no room for the request.
    exceeded: Vec<&'p Rule>,
}

/// What a request costs.
enum Cost<'p> {
    /// No rule has anything to check: the request is counted with this outcome.
    Free(Outcome),
    /// Units of the counters of its rules.
    Charges(Charges<'p>),
}

impl Proxy {
    /// Creates a proxy in front of `upstream`.
    #[must_use]
    pub(crate) fn new(
        policy: Arc<Live>,
        limiter: Arc<Limiter>,
        upstream: Arc<Upstream>,
        meter: Arc<ProxyMeter>,
        bounds: Bounds,
    ) -> Self {
        let requests = QueuedPermits::new(bounds.requests_per_client);
        let tunnels = PermitPool::new(bounds.tunnels, bounds.tunnels_per_client);
        let (wrong_secrets, untrusted_forwarders, lines) = Default::default();
        Self {
            policy,
            limiter,
            upstream,
            meter,
            bounds,
            requests,
            tunnels,
            wrong_secrets,
            untrusted_forwarders,
            lines,
        }
    }

    /// Logs the requests with wrong secrets since the last call. To be called every few seconds.
    pub(crate) fn log_wrong_secrets(&self) {
        self.wrong_secrets.log();
    }

    /// Handles one request, which came over `connection`.
    #[expect(clippy::manual_async_fn, reason = "the future of an async function holds each argument twice")]
    pub(crate) fn handle(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        connection: Arc<Connection>,
    ) -> impl Future<Output = Response<MeasuredBody>> + Send {
        async move {
            let policy = self.policy.load();
            let mut access_log = AccessLog::new(&self.meter, &policy, &self.lines, &connection, &request);
            let (outgoing, forwarded) =
                match self.admit(&mut request, &connection, &policy, &mut access_log).await {
                    Ok(admitted) => {
                        access_log.admitted(&admitted.passed, &request);
                        access_log.name_request(request.headers_mut());
                        self.prepare(request, admitted, &connection, &policy)
                    }
                    Err(refusal) => {
                        access_log.refused(&refusal, &request);
                        let response = refusal.into_response(request, &policy);
                        return access_log.responded(response);
                    }
                };
            let sent = self.upstream.send(outgoing).await;
            let response = self.finish(sent, forwarded, &policy, &mut access_log);
            access_log.responded(response)
        }
    }

    /// Decides whether a request is forwarded, and takes what it needs for that. A refused request holds nothing, and
    /// what some of its counters were charged is given back as far as the store can be reached.
    async fn admit<'p>(
        &self,
        request: &mut Request<Incoming>,
        connection: &Connection,
        policy: &'p Policy,
        access_log: &mut AccessLog<'p>,
    ) -> Result<Admitted<'p>, Refusal<'p>> {
        if let Some(unreadable) = request.extensions_mut().remove::<Unreadable>() {
            return Err(Refusal::Unreadable(unreadable));
        }
        let parsed = ParsedRequest::parse(request, connection, policy, &self.bounds)?;
        self.untrusted_forwarders.note(policy.client(), &parsed.client, request.headers());
        let plan = policy.plan(&parsed.facts(request, connection));
        self.wrong_secrets.note(policy.bypasses(), request.headers(), parsed.client.address);
        let (rule, cost) = Cost::of(plan)?;
        // A client that is over its limit takes nothing that other clients could use.
        let reserved = match self.recall(&cost, access_log) {
            Ok(()) => self.reserve(&parsed, rule, access_log).await,
            Err(refusal) => Err(refusal),
        };
        let reserved = match reserved {
            Ok(reserved) => reserved,
            Err(refusal) => {
                let refusal = access_log.keyed(&cost, refusal);
                let Some(counting) = self.count_trials(&cost) else { return Err(refusal) };
                // Boxed: what is rare must not make the future of each request larger.
                return Box::pin(async move {
                    counting.await;
                    Err(refusal)
                })
                .await;
            }
        };
        let passed = self.charge(&cost, rule, access_log).await;
        let passed = passed.map_err(|refusal| access_log.keyed(&cost, refusal))?;
        access_log.note_admitted_key(&cost);
        Ok(Admitted { request: parsed, reserved, passed })
    }

    /// Refuses a request that a limit, as the limiter remembers, has no room for yet.
    fn recall<'p>(&self, cost: &Cost<'p>, access_log: &mut AccessLog<'_>) -> Result<(), Refusal<'p>> {
        let Cost::Charges(charges) = cost else { return Ok(()) };
        let watch = Stopwatch::start();
        let Some(limited) = self.limiter.recall(charges) else { return Ok(()) };
        access_log.checked(&watch, Some(Origin::DeniedCache));
        Err(Refusal::Limited(limited))
    }

    /// Returns the future that counts a request in the trial limits of its rules, if they have any.
    fn count_trials<'a>(&'a self, cost: &'a Cost<'_>) -> Option<impl Future<Output = ()> + Send + 'a> {
        match cost {
            Cost::Free(_) => None,
            Cost::Charges(charges) => self.limiter.count_trials(charges),
        }
    }

    /// Charges the request. `rule` is named where no other rule decides.
    async fn charge<'p>(
        &self,
        cost: &Cost<'p>,
        rule: &'p str,
        access_log: &mut AccessLog<'_>,
    ) -> Result<Passed<'p>, Refusal<'p>> {
        let charges = match cost {
            Cost::Free(outcome) => return Ok(Passed::unlimited(rule, *outcome)),
            Cost::Charges(charges) => charges,
        };
        let watch = Stopwatch::start();
        let (verdict, origin) = match self.limiter.count_trials(charges) {
            None => self.limiter.charge_from(charges).await,
            Some(counting) => Box::pin(join(self.limiter.charge_from(charges), counting)).await.0,
        };
        access_log.checked(&watch, origin);
        match verdict {
            Verdict::Pass { standing, exceeded, near } => {
                near.iter().for_each(|rule| self.meter.rules.near_limit(&rule.name));
                Ok(match exceeded.first() {
                    Some(shadow) => {
                        Passed { rule: &shadow.name, outcome: Outcome::ShadowLimited, standing, exceeded }
                    }
                    None if charges.has_limits() => {
                        Passed { rule, outcome: Outcome::Allowed, standing, exceeded }
                    }
                    None => Passed::unlimited(rule, Outcome::Unlimited),
                })
            }
            Verdict::Unchecked => Ok(Passed::unlimited(rule, Outcome::StoreFailedOpen)),
            Verdict::Refuse(limited) => Err(Refusal::Limited(limited)),
            Verdict::Unavailable { rule } => Err(Refusal::Unavailable { rule }),
        }
    }
}

impl<'p> Cost<'p> {
    /// Returns what a planned request costs, and the name of the rule or bypass under which it is counted unless another
    /// rule refuses it: the bypass, the endpoint rule, or the first global rule.
    fn of(plan: Plan<'p>) -> Result<(&'p str, Self), Refusal<'p>> {
        match plan {
            Plan::Bypass(bypass) => Ok((&bypass.name, Self::Free(Outcome::Bypassed))),
            Plan::Reject { rule, missing } => Err(Refusal::MissingKey { rule, missing }),
            Plan::TooManyValues { rule, part } => Err(Refusal::TooManyValues { rule, part }),
            Plan::TooManyReadings { rule } => Err(Refusal::TooManyReadings { rule }),
            Plan::Blocked { rule } => Err(Refusal::Blocked { rule }),
            Plan::Check { rule, checks } => {
                let named = rule.or(checks.first().map(|check| check.rule));
                let cost = match checks.is_empty() {
                    true => Self::Free(Outcome::Unlimited),
                    false => Self::Charges(Charges::of(checks)),
                };
                Ok((named.map_or("", |rule| &rule.name), cost))
            }
        }
    }
}

impl<'p> Passed<'p> {
    fn unlimited(rule: &'p str, outcome: Outcome) -> Self {
        Self { rule, outcome, standing: None, exceeded: Vec::new() }
    }
}
