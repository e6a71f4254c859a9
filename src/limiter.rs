//! From checks to a verdict. All that knows how limits, modes and outages come together is here.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::Stopwatch;
use crate::metrics;
use crate::policy::{Check, Mode, NamedLimit, OnOutage, Rule};
use crate::store::{Answer, Ask, Store, StoreError};
use crate::window::Charge;

/// Units that a request costs.
const COST: i64 = 1;

/// [`Limiter::failed_ms`] of a store that is well.
const WELL: i64 = -1;
/// A store counts as well again when no check has failed for so long. Rules are enforced at once, whatever this
/// says: each check is asked.
const WELL_AFTER_MS: i64 = 1_000;

/// How a client stands with one limit: what `RateLimit` and `RateLimit-Policy` tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The limit's public name.
    pub policy: Arc<str>,
    /// Units per window.
    pub quota: i64,
    /// Length of the window in milliseconds.
    pub window_ms: i64,
    /// Units that would be admitted now, the burst allowance included.
    pub remaining: i64,
    /// Milliseconds until more than `remaining` units would be admitted, if nothing else arrives. After a
    /// refusal that is the time after which to try again.
    pub reset_ms: i64,
}

/// What the limiter says of a request.
#[derive(Debug)]
pub enum Verdict<'p> {
    /// Forward it.
    Pass {
        /// The tightest of the enforced limits.
        standing: Option<Standing>,
        /// The shadow rules that had no room for it.
        exceeded: Vec<&'p Rule>,
    },
    /// Refuse it, as the rule says.
    Refuse {
        /// The rule that refused; of several the one that stays longest.
        rule: &'p Rule,
        /// How the client stands with it.
        standing: Standing,
        /// The public names of all limits that had no room.
        violated: Vec<Arc<str>>,
    },
    /// The store gave no answer, and the rules let the request pass.
    Unchecked,
    /// The store gave no answer, and this rule refuses what it cannot check: 503.
    Unavailable {
        /// The rule.
        rule: &'p Rule,
    },
}

/// Decides about requests.
#[derive(Debug)]
pub struct Limiter {
    store: Store,
    started: Stopwatch,
    /// When a check last failed, in milliseconds since the start; -1 while the store is well.
    failed_ms: AtomicI64,
}

/// One ask of a request, and where it comes from.
struct Source<'p> {
    rule: &'p Rule,
    limit: &'p NamedLimit,
}

impl Limiter {
    /// A limiter that counts in `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        metrics::store_up(true);
        Self { store, started: Stopwatch::start(), failed_ms: AtomicI64::new(WELL) }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Decides about one request. This is the only wait before the upstream, and it has a deadline.
    pub async fn check<'p>(&self, checks: &[Check<'p>]) -> Verdict<'p> {
        if checks.is_empty() {
            return Verdict::Pass { standing: None, exceeded: Vec::new() };
        }
        let (asks, sources) = asks(checks);
        let answer = self.store.take(&asks).await;
        self.note(answer.as_ref().err());
        match answer {
            Ok(answer) => decide(&asks, &sources, &answer),
            Err(_) => without_store(checks),
        }
    }

    /// Tells once that checks fail, and once that none has failed for a while: a store that fails now and then
    /// must not fill the log.
    fn note(&self, error: Option<&StoreError>) {
        let before = self.failed_ms.load(Ordering::Relaxed);
        match error {
            None if before == WELL => {}
            None => {
                let well = self.started.millis() - before >= WELL_AFTER_MS;
                if well
                    && self
                        .failed_ms
                        .compare_exchange(before, WELL, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
                {
                    metrics::store_up(true);
                    tracing::info!("the store answers again: rules are enforced");
                }
            }
            Some(error) => {
                if self.failed_ms.swap(self.started.millis(), Ordering::Relaxed) == WELL {
                    metrics::store_up(false);
                    tracing::warn!(%error, "the store does not answer as it should: rules do what on_outage says");
                }
            }
        }
    }
}

/// What all the rules ask, in one list. Enforced rules stand or fall together, each shadow rule alone.
fn asks<'p>(checks: &[Check<'p>]) -> (Vec<Ask>, Vec<Source<'p>>) {
    let (mut asks, mut sources) = (Vec::with_capacity(checks.len()), Vec::with_capacity(checks.len()));
    for (group, Check { rule, client }) in (Charge::BINDING + 1..).zip(checks) {
        let group = if rule.mode == Mode::Enforce { Charge::BINDING } else { group };
        for named in &rule.limits {
            let limit = named.limit;
            let key = format!("{{{client}}}:{}:{}:{}", rule.name, limit.window_ms(), limit.slices());
            asks.push(Ask { key, charge: Charge { limit, cost: COST, group } });
            sources.push(Source { rule, limit: named });
        }
    }
    (asks, sources)
}

fn decide<'p>(asks: &[Ask], sources: &[Source<'p>], answer: &Answer) -> Verdict<'p> {
    let mut exceeded: Vec<&Rule> = Vec::new();
    let mut violated = Vec::new();
    let mut worst: Option<(&Rule, Standing)> = None;
    let mut tightest: Option<Standing> = None;
    for (place, (ask, source)) in asks.iter().zip(sources).enumerate() {
        let (Some(counter), Some(taken)) = (answer.counters.get(place), answer.taken.get(place)) else {
            continue;
        };
        if ask.charge.group != Charge::BINDING {
            if !taken.fits && exceeded.last().is_none_or(|last| last.name != source.rule.name) {
                exceeded.push(source.rule);
            }
            continue;
        }
        let limit = &source.limit.limit;
        let remaining = counter.remaining(limit, answer.now_ms);
        let standing = Standing {
            policy: Arc::clone(&source.limit.name),
            quota: limit.quota(),
            window_ms: limit.window_ms(),
            remaining,
            reset_ms: counter.retry_after(limit, answer.now_ms, remaining + COST).unwrap_or_default(),
        };
        if !taken.fits {
            violated.push(Arc::clone(&source.limit.name));
            if worst.as_ref().is_none_or(|(_, worst)| worst.reset_ms < standing.reset_ms) {
                worst = Some((source.rule, standing));
            }
        } else if tightest.as_ref().is_none_or(|tightest| standing.remaining < tightest.remaining) {
            tightest = Some(standing);
        }
    }
    match worst {
        Some((rule, standing)) => Verdict::Refuse { rule, standing, violated },
        None => Verdict::Pass { standing: tightest, exceeded },
    }
}

fn without_store<'p>(checks: &[Check<'p>]) -> Verdict<'p> {
    let closed =
        |check: &&Check<'p>| check.rule.mode == Mode::Enforce && check.rule.on_outage == OnOutage::Closed;
    checks.iter().find(closed).map_or(Verdict::Unchecked, |check| Verdict::Unavailable { rule: check.rule })
}
