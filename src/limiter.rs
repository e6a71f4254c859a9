//! From checks to a verdict. All that knows how limits, modes and outages come together is here.

mod outage;
mod refusal_cache;
mod upgrade;

use std::sync::Arc;

use futures_util::future::join_all;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::{Clock, LocalMs, Timeline};
use crate::metrics::{Origin, Origins};
use crate::policy::{Check, Mode, NamedLimit, OnOutage, Rule};
use crate::store::{
    Decision, Decisions, GenerationSpan, KeyedCharge, RedisStore, Store, StoreError, StoreHealth,
};
use crate::window::Charge;
use outage::Ledger;
use refusal_cache::{EarlyRoom, RefusalCache};
use upgrade::KEY_END;

/// Units that a request costs.
const COST: i64 = 1;

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
    Refuse(Limited<'p>),
    /// The store gave no answer, and the rules let the request pass.
    Unchecked,
    /// The store gave no answer, and this rule refuses what it cannot check: 503.
    Unavailable {
        /// The rule.
        rule: &'p Rule,
    },
}

/// The refusal of a request by limits that had no room for it.
#[derive(Debug)]
pub struct Limited<'p> {
    /// The rule that refused; of several the one that stays longest.
    pub rule: &'p Rule,
    /// How the client stands with it.
    pub standing: Standing,
    /// The public names of all limits that had no room.
    pub violated: Vec<Arc<str>>,
}

/// All that one request charges: by each of its checks, each limit's counter.
#[derive(Debug)]
pub struct Charges<'p> {
    asks: Vec<KeyedCharge>,
    sources: Vec<Source<'p>>,
}

/// Decides about requests.
#[derive(Debug)]
pub struct Limiter {
    store: Store,
    refusals: RefusalCache,
    /// None for a store that is always there, and answers as quickly.
    remote: Option<Remote>,
    origins: Origins,
    timeline: Timeline,
}

/// What it takes that the store is elsewhere.
#[derive(Debug)]
struct Remote {
    store: RedisStore,
    ledger: Arc<Ledger>,
    _upkeep: AbortOnDropHandle<()>,
}

/// How the store is, and who shares it.
#[derive(Clone, Debug)]
pub struct Status {
    /// How its servers are.
    pub health: StoreHealth,
    /// How many instances share the limits, as last seen.
    pub instances: i64,
    /// Whether something admitted without the store has yet to be added there.
    pub owes: bool,
}

/// Where an ask of a request comes from.
#[derive(Clone, Copy, Debug)]
struct Source<'p> {
    rule: &'p Rule,
    limit: &'p NamedLimit,
}

impl Limiter {
    /// A limiter that counts in `store`, and takes itself for one of `instances` until a shared store tells how many
    /// there are. `clock` is of the same kind as the store's. With a shared store it needs a Tokio runtime.
    #[must_use]
    pub fn new(store: Store, instances: u32, clock: Clock) -> Self {
        let timeline = Timeline::begin(clock);
        let remote = match &store {
            Store::Memory(_) => None,
            Store::Redis(redis) => {
                let ledger = Ledger::new(instances, timeline.clone());
                Some(Remote::new(redis.clone(), ledger))
            }
        };
        let refusals = RefusalCache::new(match &store {
            Store::Memory(_) => EarlyRoom::Never,
            Store::Redis(_) if store.may_give_back() => EarlyRoom::GiveBack,
            Store::Redis(_) => EarlyRoom::Deletion,
        });
        Self { store, refusals, remote, origins: Origins::default(), timeline }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How the store is. None: it is always there.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let Remote { store, ledger, .. } = self.remote.as_ref()?;
        let (health, instances) = (store.health(), ledger.membership.instances());
        Some(Status { health, instances, owes: ledger.needs_settlement(store.generation()) })
    }

    /// Returns the refusal that is remembered of one of the counters, if there is one. Nothing is charged, and nothing
    /// waits: a client that is over its limit need not take what others could use.
    #[must_use]
    pub fn recall<'p>(&self, charges: &Charges<'p>) -> Option<Limited<'p>> {
        let Charges { asks, sources } = charges;
        let now = self.timeline.now();
        let refused = asks.iter().zip(sources).filter(|(ask, _)| ask.charge.group == Charge::BINDING);
        let refused = refused.filter_map(|(ask, source)| {
            let (remaining, reset_ms) = self.refusals.get(ask, now)?;
            Some((source, source.standing(remaining, reset_ms)))
        });
        let limited = refusal(refused.collect())?;
        self.origins.count(Origin::DeniedCache);
        Some(limited)
    }

    /// Decides about one request, and charges what it admits. The wait for the store has a deadline.
    pub async fn charge<'p>(&self, charges: &Charges<'p>) -> Verdict<'p> {
        let more = self.remote.as_ref().and_then(|remote| charges.with_former(&remote.ledger));
        let Charges { asks, sources } = more.as_ref().unwrap_or(charges);
        if asks.is_empty() {
            return Verdict::Pass { standing: None, exceeded: Vec::new() };
        }
        let sent = self.timeline.now();
        let mut answer = self.ask(asks, sources).await;
        let local = self.fall_back(asks, sources, &mut answer);
        let verdict = decide(asks, sources, &answer);
        self.origins.count(match &verdict {
            Verdict::Unchecked => Origin::Open,
            Verdict::Unavailable { .. } => Origin::Closed,
            Verdict::Pass { .. } | Verdict::Refuse(_) if local => Origin::Local,
            Verdict::Pass { .. } | Verdict::Refuse(_) => Origin::Store,
        });
        match &verdict {
            Verdict::Refuse(_) if !local => self.remember(asks, &answer, sent),
            // Others of its asks may have been charged.
            Verdict::Refuse(_) | Verdict::Unavailable { .. } => {
                let decided = asks.iter().zip(&answer);
                let decided: Vec<_> =
                    decided.filter_map(|(ask, decision)| Some((ask, decision.as_ref().ok()?))).collect();
                self.store.give_back(&decided).await;
            }
            Verdict::Pass { .. } | Verdict::Unchecked => {}
        }
        verdict
    }

    /// Lets the store decide. Where it lacks too much of a counter, the rules decide locally if they can, and otherwise
    /// the check waits a moment for the settlement.
    async fn ask(&self, asks: &[KeyedCharge], sources: &[Source<'_>]) -> Decisions {
        let Some(Remote { store, ledger, .. }) = &self.remote else { return self.store.take(asks).await };
        let generation = store.generation();
        if !store.is_down() {
            let (due, is_blocked) = ledger.unsettled_keys(asks, generation);
            let settlements = due.into_iter().map(|key| {
                let (store, ledger, key) = (store.clone(), Arc::clone(ledger), key.to_owned());
                tokio::spawn(async move { outage::settle(&store, &ledger, &key).await })
            });
            let settlements: Vec<_> = settlements.collect();
            if is_blocked && sources.iter().all(|source| source.rule.on_outage == OnOutage::Local) {
                return asks.iter().map(|_| Err(StoreError::Unsettled)).collect();
            }
            if is_blocked {
                // A rule that cannot decide locally is worth a wait: for at most half of the time that a check has.
                let _ = tokio::time::timeout(store.timeout() / 2, join_all(settlements)).await;
            }
        }
        let answer = self.store.take(asks).await;
        ledger.observe(asks, &answer, GenerationSpan { before: generation, after: store.generation() });
        answer
    }

    /// Decides here where the store gave no answer, for the rules that want it. Whether that decided.
    fn fall_back(&self, asks: &[KeyedCharge], sources: &[Source<'_>], answer: &mut Decisions) -> bool {
        let Some(Remote { store, ledger, .. }) = &self.remote else { return false };
        if answer.iter().all(Result::is_ok) {
            return false;
        }
        let each = || asks.iter().zip(sources).zip(answer.iter());
        let binding = |ask: &KeyedCharge| ask.charge.group == Charge::BINDING;
        // Nothing is counted for a request that is refused already.
        let refused = each().any(|((ask, source), decision)| {
            binding(ask)
                && match decision {
                    Ok(decision) => !decision.taken.fits,
                    Err(_) => source.rule.on_outage == OnOutage::Closed,
                }
        });
        if refused {
            return false;
        }
        let wanted =
            |((_, source), decision): &((&KeyedCharge, &Source<'_>), &Result<Decision, StoreError>)| {
                decision.is_err() && source.rule.on_outage == OnOutage::Local
            };
        let unanswered: Vec<&KeyedCharge> = each().filter(wanted).map(|((ask, _), _)| ask).collect();
        let mut decisions = ledger.take(&unanswered, store.generation()).into_iter();
        let mut local = false;
        for (source, decision) in sources.iter().zip(answer) {
            if decision.is_err()
                && source.rule.on_outage == OnOutage::Local
                && let Some(decided) = decisions.next()
            {
                *decision = Ok(decided);
                local = true;
            }
        }
        local
    }

    /// Takes note of what was refused at `sent`, or a little later.
    fn remember(&self, asks: &[KeyedCharge], answer: &Decisions, sent: LocalMs) {
        for (ask, decision) in asks.iter().zip(answer) {
            if let Ok(decision) = decision
                && !decision.taken.fits
                && ask.charge.group == Charge::BINDING
            {
                self.refusals.insert(ask, decision, sent);
            }
        }
    }
}

impl Remote {
    fn new(store: RedisStore, ledger: Ledger) -> Self {
        let ledger = Arc::new(ledger);
        let _upkeep = AbortOnDropHandle::new(tokio::spawn(outage::run(store.clone(), Arc::clone(&ledger))));
        Self { store, ledger, _upkeep }
    }
}

impl<'p> Charges<'p> {
    /// Enforced rules stand or fall together, each shadow rule alone.
    #[must_use]
    pub fn of(checks: &[Check<'p>]) -> Self {
        let (mut asks, mut sources) = (Vec::with_capacity(checks.len()), Vec::with_capacity(checks.len()));
        for (group, Check { rule, client }) in (Charge::BINDING + 1..).zip(checks) {
            let group = if rule.mode == Mode::Enforce { Charge::BINDING } else { group };
            for named in &rule.limits {
                let limit = named.limit;
                let key = format!("{{{client}}}:{}:{}{KEY_END}", rule.name, limit.window_ms());
                asks.push(KeyedCharge { key, charge: Charge { limit, cost: COST, group } });
                sources.push(Source { rule, limit: named });
            }
        }
        Self { asks, sources }
    }
}

/// What the answer means. A rule that has no answer does what it says for that case.
fn decide<'p>(asks: &[KeyedCharge], sources: &[Source<'p>], answer: &Decisions) -> Verdict<'p> {
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
    if let Some(limited) = refusal(refused) {
        Verdict::Refuse(limited)
    } else if let Some(rule) = unchecked.iter().find(closed) {
        Verdict::Unavailable { rule }
    } else if unchecked.is_empty() {
        Verdict::Pass { standing: tightest, exceeded }
    } else {
        Verdict::Unchecked
    }
}

/// The refusal by the limits that had no room, if there are any.
fn refusal<'p>(refused: Vec<(&Source<'p>, Standing)>) -> Option<Limited<'p>> {
    let mut violated: Vec<_> = refused.iter().map(|(source, _)| Arc::clone(&source.limit.name)).collect();
    // A limit has two counters during an upgrade.
    violated.dedup();
    // Of equals the first: max_by_key would take the last.
    let (source, standing) = refused.into_iter().rev().max_by_key(|(_, standing)| standing.reset_ms)?;
    Some(Limited { rule: source.rule, standing, violated })
}

impl Source<'_> {
    fn after(&self, decision: &Decision) -> Standing {
        let Decision { limit, now, counter, .. } = decision;
        let remaining = counter.remaining(limit, now.as_i64());
        let reset_ms = counter.retry_after(limit, now.as_i64(), remaining + COST);
        self.standing(remaining, reset_ms.unwrap_or_default())
    }

    fn standing(&self, remaining: i64, reset_ms: i64) -> Standing {
        let limit = &self.limit.limit;
        let (policy, quota) = (Arc::clone(&self.limit.name), limit.quota());
        Standing { policy, quota, window_ms: limit.window_ms(), remaining, reset_ms }
    }
}
