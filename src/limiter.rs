//! From checks to a verdict. All that knows how limits, modes and outages come together is here.

mod denied;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::Stopwatch;
use crate::metrics::{self, Origin, Origins};
use crate::policy::{Check, Mode, NamedLimit, OnOutage, Rule};
use crate::store::{Answer, Ask, Decision, Store, StoreError};
use crate::window::Charge;
use denied::Denied;

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
    /// None for a store that answers as quickly.
    denied: Option<Denied>,
    origins: Origins,
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
        let denied = matches!(store, Store::Redis(_)).then(|| Denied::new(store.gives_back()));
        let (origins, started) = (Origins::default(), Stopwatch::start());
        Self { store, denied, origins, started, failed_ms: AtomicI64::new(WELL) }
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
        let asked_ms = self.started.millis();
        if let Some(verdict) = self.recall(&asks, &sources, asked_ms) {
            self.origins.count(Origin::DeniedCache);
            return verdict;
        }
        let answer = self.store.take(&asks).await;
        self.note(answer.iter().find_map(|decision| decision.as_ref().err()));
        let verdict = decide(&asks, &sources, &answer);
        match &verdict {
            Verdict::Pass { .. } => self.origins.count(Origin::Store),
            Verdict::Refuse { .. } => {
                self.origins.count(Origin::Store);
                self.remember(&asks, &answer, asked_ms);
            }
            Verdict::Unchecked => self.origins.count(Origin::Open),
            Verdict::Unavailable { .. } => {
                self.origins.count(Origin::Closed);
                self.store.give_back(&asks, &answer).await;
            }
        }
        verdict
    }

    /// A refusal that needs no asking.
    fn recall<'p>(&self, asks: &[Ask], sources: &[Source<'p>], now_ms: i64) -> Option<Verdict<'p>> {
        let denied = self.denied.as_ref()?;
        let refused = asks.iter().zip(sources).filter(|(ask, _)| ask.charge.group == Charge::BINDING);
        let refused = refused.filter_map(|(ask, source)| {
            let (remaining, reset_ms) = denied.recall(ask, now_ms)?;
            Some((source, source.standing(remaining, reset_ms)))
        });
        refusal(refused.collect())
    }

    /// Takes note of what was refused at `asked_ms`, or a little later.
    fn remember(&self, asks: &[Ask], answer: &Answer, asked_ms: i64) {
        let Some(denied) = &self.denied else { return };
        for (ask, decision) in asks.iter().zip(answer) {
            if let Ok(decision) = decision
                && !decision.taken.fits
                && ask.charge.group == Charge::BINDING
            {
                denied.note(ask, decision, asked_ms);
            }
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

/// What the answer means. A rule that has no answer does what it says for that case.
fn decide<'p>(asks: &[Ask], sources: &[Source<'p>], answer: &Answer) -> Verdict<'p> {
    let mut exceeded: Vec<&Rule> = Vec::new();
    let mut refused = Vec::new();
    let mut tightest: Option<Standing> = None;
    let mut unchecked: Vec<&Rule> = Vec::new();
    for ((ask, source), decision) in asks.iter().zip(sources).zip(answer) {
        let binding = ask.charge.group == Charge::BINDING;
        let Ok(decision) = decision else {
            unchecked.extend(binding.then_some(source.rule));
            continue;
        };
        if !binding {
            if !decision.taken.fits && exceeded.last().is_none_or(|last| last.name != source.rule.name) {
                exceeded.push(source.rule);
            }
            continue;
        }
        let standing = source.after(decision);
        if !decision.taken.fits {
            refused.push((source, standing));
        } else if tightest.as_ref().is_none_or(|tightest| standing.remaining < tightest.remaining) {
            tightest = Some(standing);
        }
    }
    let closed = |rule: &&&Rule| rule.mode == Mode::Enforce && rule.on_outage == OnOutage::Closed;
    if let Some(refusal) = refusal(refused) {
        refusal
    } else if let Some(rule) = unchecked.iter().find(closed) {
        Verdict::Unavailable { rule }
    } else if unchecked.is_empty() {
        Verdict::Pass { standing: tightest, exceeded }
    } else {
        Verdict::Unchecked
    }
}

/// The refusal by the limits that had no room, if there are any.
fn refusal<'p>(refused: Vec<(&Source<'p>, Standing)>) -> Option<Verdict<'p>> {
    let violated = refused.iter().map(|(source, _)| Arc::clone(&source.limit.name)).collect();
    // Of equals the first: max_by_key would take the last.
    let (source, standing) = refused.into_iter().rev().max_by_key(|(_, standing)| standing.reset_ms)?;
    Some(Verdict::Refuse { rule: source.rule, standing, violated })
}

impl Source<'_> {
    fn after(&self, decision: &Decision) -> Standing {
        let limit = &self.limit.limit;
        let remaining = decision.counter.remaining(limit, decision.now_ms);
        let reset_ms = decision.counter.retry_after(limit, decision.now_ms, remaining + COST);
        self.standing(remaining, reset_ms.unwrap_or_default())
    }

    fn standing(&self, remaining: i64, reset_ms: i64) -> Standing {
        let limit = &self.limit.limit;
        let (policy, quota) = (Arc::clone(&self.limit.name), limit.quota());
        Standing { policy, quota, window_ms: limit.window_ms(), remaining, reset_ms }
    }
}
