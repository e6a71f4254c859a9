//! What tidegate counts and measures. [`table`] lists every metric; `docs/metrics.md` explains them to operators.
//!
//! Labels come from the configuration and from closed sets alone. No client, path or user is ever in one.

mod admin;
mod bound;
mod config;
mod gauge_guard;
mod histogram;
mod limits;
mod overrides;
mod rule;
mod store;
mod table;
mod trial;
mod upstream;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use metrics::{Counter, Gauge, Histogram, Unit, counter, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use thiserror::Error;

pub(crate) use admin::admin_request;
pub(crate) use bound::{Bound, tunnel};
pub(crate) use config::{certificate_expires, config_hash, reloaded};
pub(crate) use gauge_guard::GaugeGuard;
use histogram::{Histograms, TableRecorder};
pub(crate) use limits::{LimitMeter, ShownLimit};
pub(crate) use overrides::overrides;
pub(crate) use rule::RuleMeter;
pub(crate) use store::{
    StoreMeter, breaker_left, breaker_open, degraded_seconds, fallback_evicted, instances, queue_depth,
    settled, store_outage, store_up,
};
use table::{
    ACCESS_LINES_DROPPED, BUILD_INFO, BYPASS_REJECTED, CONNECTIONS, DECISION_SECONDS, DECISIONS,
    HANDSHAKE_ERRORS, Kind, LOG_LINES_DROPPED, REQUEST_SECONDS, REQUESTS, REQUESTS_IN_FLIGHT, RESPONSE_BYTES,
    RESPONSES, TABLE, UNTRUSTED_FORWARDED, UPSTREAM_SECONDS,
};
pub(crate) use trial::{TrialMeter, TrialResult, announce_trial};
pub(crate) use upstream::{UpstreamFault, request_bytes, upstream_connection, upstream_retry};

/// This process has a recorder already.
#[derive(Debug, Error)]
#[error("this process has a metrics recorder already")]
pub(crate) struct AlreadyInstalled;

/// Renders all metrics.
pub(crate) struct MetricsHandle {
    exporter: PrometheusHandle,
    histograms: Arc<Histograms>,
}

impl MetricsHandle {
    /// Returns all metrics in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        let mut text = self.exporter.render();
        self.histograms.render(&mut text);
        text
    }
}

/// Sets up the recorder of this process, once, before any handle is made.
///
/// # Errors
/// When this process has a recorder already.
pub(crate) fn install() -> Result<MetricsHandle, AlreadyInstalled> {
    let (exporter, histograms) = (PrometheusBuilder::new().build_recorder(), Arc::<Histograms>::default());
    let handle = MetricsHandle { exporter: exporter.handle(), histograms: Arc::clone(&histograms) };
    metrics::set_global_recorder(TableRecorder { exporter, histograms }).map_err(|_| AlreadyInstalled)?;
    describe();
    announce();
    admin::announce();
    bound::announce();
    config::announce();
    store::announce();
    upstream::announce();
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// Describes all metrics, as the table does.
fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    for metric in TABLE {
        let (name, unit, help) = (metric.name, metric.unit.unwrap_or(Unit::Count), metric.plain_help());
        match metric.kind {
            Kind::Counter => describe_counter!(name, unit, help),
            Kind::Gauge => describe_gauge!(name, unit, help),
            Kind::Histogram(_) => describe_histogram!(name, unit, help),
        }
    }
}

fn announce() {
    // All appear with 0, so that the first of each is seen as an increase.
    for name in [HANDSHAKE_ERRORS, UNTRUSTED_FORWARDED, LOG_LINES_DROPPED] {
        counter!(name).increment(0);
    }
    gauge!(CONNECTIONS).set(0.0);
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Checked and forwarded.
    Allowed,
    /// Refused: with 429, or what the rule says instead.
    Limited,
    /// Refused with 403 (gRPC: status 7): an operator has blocked the client.
    Blocked,
    /// Forwarded, although a shadow rule had no room for it.
    ShadowLimited,
    /// Forwarded: no rule had anything to check.
    Unlimited,
    /// Forwarded without a check: a bypass let it through.
    Bypassed,
    /// Forwarded without a check: the store made no decision.
    StoreFailedOpen,
    /// Refused with 503 (gRPC: status 14): the store made no decision.
    StoreFailedClosed,
    /// Refused with 429 or 503: too much is under way. No limit was charged.
    Overloaded,
    /// Refused with 400, 405, 414, 431 or 501: no rule has checked it, or a key that its rule demands is missing.
    Rejected,
}

impl Outcome {
    const ALL: [Self; 10] = [
        Self::Allowed,
        Self::Limited,
        Self::Blocked,
        Self::ShadowLimited,
        Self::Unlimited,
        Self::Bypassed,
        Self::StoreFailedOpen,
        Self::StoreFailedClosed,
        Self::Overloaded,
        Self::Rejected,
    ];

    /// Those of a request that a rule decided, or would have decided.
    const OF_A_RULE: [Self; 9] = [
        Self::Allowed,
        Self::Limited,
        Self::Blocked,
        Self::ShadowLimited,
        Self::Unlimited,
        Self::StoreFailedOpen,
        Self::StoreFailedClosed,
        Self::Overloaded,
        Self::Rejected,
    ];

    /// Those of a request that meets a bypass.
    const OF_A_BYPASS: [Self; 2] = [Self::Bypassed, Self::Overloaded];

    /// Those of a request that no rule was concerned with.
    const WITHOUT_A_RULE: [Self; 3] = [Self::Unlimited, Self::Overloaded, Self::Rejected];

    /// As the label has it.
    #[must_use]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Limited => "limited",
            Self::Blocked => "blocked",
            Self::ShadowLimited => "shadow_limited",
            Self::Unlimited => "unlimited",
            Self::Bypassed => "bypassed",
            Self::StoreFailedOpen => "store_failed_open",
            Self::StoreFailedClosed => "store_failed_closed",
            Self::Overloaded => "overloaded",
            Self::Rejected => "rejected",
        }
    }
}

/// The counters of one name by outcome, each of them made when it is announced or first counted.
type RuleCounters = [OnceLock<Counter>; Outcome::ALL.len()];

/// What the proxy counts.
#[derive(Debug)]
pub(crate) struct ProxyMeter {
    requests: RwLock<HashMap<Arc<str>, RuleCounters, foldhash::fast::RandomState>>,
    /// By status code, from 100 on, each made when it is first counted.
    responses: Box<[OnceLock<Counter>]>,
    decision: Histogram,
    upstream: Histogram,
    in_flight: Gauge,
    access_lines_dropped: Counter,
    request: Histogram,
    response_bytes: Counter,
    /// What is measured of each rule.
    pub(crate) rules: RuleMeter,
}

impl Default for ProxyMeter {
    fn default() -> Self {
        let meter = Self {
            requests: RwLock::default(),
            responses: (100..1000).map(|_| OnceLock::new()).collect(),
            decision: histogram!(DECISION_SECONDS),
            upstream: histogram!(UPSTREAM_SECONDS),
            in_flight: gauge!(REQUESTS_IN_FLIGHT),
            access_lines_dropped: counter!(ACCESS_LINES_DROPPED),
            request: histogram!(REQUEST_SECONDS),
            response_bytes: counter!(RESPONSE_BYTES),
            rules: RuleMeter::default(),
        };
        meter.announce("", &Outcome::WITHOUT_A_RULE);
        meter
    }
}

impl ProxyMeter {
    /// Makes the counters of a rule appear with 0, so that its first refusal is seen as an increase.
    pub(crate) fn announce_rule(&self, rule: &str) {
        self.announce(rule, &Outcome::OF_A_RULE);
        self.rules.announce(rule);
    }

    /// Makes the counters of a bypass appear with 0.
    pub(crate) fn announce_bypass(&self, bypass: &str, has_secret: bool) {
        self.announce(bypass, &Outcome::OF_A_BYPASS);
        if has_secret {
            counter!(BYPASS_REJECTED, "bypass" => bypass.to_owned()).increment(0);
        }
    }

    fn announce(&self, name: &str, outcomes: &[Outcome]) {
        for &outcome in outcomes {
            self.with(name, outcome, |_| ());
        }
    }

    /// Counts a request; `rule` is the name of the rule or bypass that decided, or empty.
    pub(crate) fn request(&self, rule: &str, outcome: Outcome) {
        self.with(rule, outcome, |counter| counter.increment(1));
    }

    fn with(&self, rule: &str, outcome: Outcome, act: impl Fn(&Counter)) {
        let find = |counters: &RuleCounters| {
            let index = Outcome::ALL.iter().position(|&each| each == outcome);
            let counter = index.and_then(|index| counters.get(index));
            let make = || counter!(REQUESTS, "rule" => rule.to_owned(), "outcome" => outcome.label());
            counter.map(|counter| act(counter.get_or_init(make)))
        };
        let known = self.requests.read().unwrap_or_else(PoisonError::into_inner).get(rule).and_then(find);
        if known.is_none() {
            let mut requests = self.requests.write().unwrap_or_else(PoisonError::into_inner);
            find(requests.entry(rule.into()).or_default());
        }
    }

    /// Counts a response. (A status code has three digits.)
    pub(crate) fn response(&self, status: u16) {
        let index = usize::from(status).checked_sub(100);
        if let Some(counter) = index.and_then(|index| self.responses.get(index)) {
            counter.get_or_init(|| counter!(RESPONSES, "code" => status.to_string())).increment(1);
        }
    }

    /// Counts a request as under way until [`Self::request_ended`].
    pub(crate) fn request_began(&self) {
        self.in_flight.increment(1.0);
    }

    /// Records a request whose response has ended: how long it took in all, and the size of the response's body.
    pub(crate) fn request_ended(&self, seconds: f64, response_bytes: u64) {
        self.in_flight.decrement(1.0);
        self.request.record(seconds);
        self.response_bytes.increment(response_bytes);
    }

    /// Counts a line of the access log that was dropped, as there were too many in that second.
    pub(crate) fn access_line_dropped(&self) {
        self.access_lines_dropped.increment(1);
    }

    /// Records how long a decision of the limiter took.
    pub(crate) fn limiter_decided(&self, seconds: f64) {
        self.decision.record(seconds);
    }

    /// Records how long the upstream took for the head of its response.
    pub(crate) fn upstream_responded(&self, seconds: f64) {
        self.upstream.record(seconds);
    }
}

/// Where a decision came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The store decided.
    Store,
    /// A refusal that was remembered, without the store.
    DeniedCache,
    /// The store made no decision, and this instance's part of the limit decided.
    Local,
    /// The store made no decision, and the request was forwarded.
    Open,
    /// The store made no decision, and the request was refused.
    Closed,
}

impl Origin {
    const ALL: [Self; 5] = [Self::Store, Self::DeniedCache, Self::Local, Self::Open, Self::Closed];

    /// As the label has it.
    #[must_use]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::DeniedCache => "denied_cache",
            Self::Local => "local",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// Decisions by origin.
#[derive(Debug)]
pub(crate) struct Origins([(Origin, Counter); 5]);

impl Default for Origins {
    fn default() -> Self {
        Self(Origin::ALL.map(|origin| (origin, counter!(DECISIONS, "origin" => origin.label()))))
    }
}

impl Origins {
    /// Counts a decision.
    pub(crate) fn count(&self, origin: Origin) {
        for (each, counter) in &self.0 {
            if *each == origin {
                counter.increment(1);
            }
        }
    }
}

/// Counts a connection of a client until the guard is dropped.
#[must_use]
pub(crate) fn client_connection() -> GaugeGuard {
    GaugeGuard::new(gauge!(CONNECTIONS))
}

/// A request had a wrong secret of this bypass.
pub(crate) fn bypass_rejected(bypass: &str) {
    counter!(BYPASS_REJECTED, "bypass" => bypass.to_owned()).increment(1);
}

/// A peer that is not trusted named a client.
pub(crate) fn untrusted_forwarded() {
    counter!(UNTRUSTED_FORWARDED).increment(1);
}

/// A client's TLS handshake failed.
pub(crate) fn handshake_failed() {
    counter!(HANDSHAKE_ERRORS).increment(1);
}

/// How many log lines have been dropped so far.
pub(crate) fn log_lines_dropped(lines: u64) {
    counter!(LOG_LINES_DROPPED).absolute(lines);
}
