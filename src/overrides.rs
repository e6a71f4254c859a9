//! Overrides: what operators change at run time, for a rule, for all of them, or for one client of a rule.
//!
//! The configured policy and the overrides make the policy in force, which `Live` holds: a request reads that once, so it
//! sees one set of overrides, and what has none costs nothing.

mod change;
mod document;
mod effective;
mod journal;
mod set;
mod sharing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Duration, sleep};
use tokio_util::task::AbortOnDropHandle;

pub use change::{ChangeError, Effect, Expected, Listed, MAX_OVERRIDES, Override, Proposal, Rate, Subject};
use set::{OverrideSet, Reset};
use sharing::Act;
pub use sharing::Obstacles;

use crate::clock::{Clock, Timeline};
use crate::limiter::{Limiter, Usage};
use crate::metrics::LimitMeter;
use crate::policy::live::Live;
use crate::policy::overridden::ClientRule;
use crate::policy::{Mode, Policy, Rule};
use crate::store::StoreMs;

/// The overrides of this process. Clones refer to the same ones.
#[derive(Clone, Debug)]
pub struct Overrides {
    shared: Arc<Shared>,
    _upkeep: Arc<AbortOnDropHandle<()>>,
}

/// How a client stands with a rule.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The mode of the rule for this client.
    pub mode: Mode,
    /// One for each limit. (What a client used before it was blocked or made unlimited is shown too.)
    pub usage: Vec<Usage>,
    /// The client's override.
    pub item: Option<Listed>,
}

/// What the handles and the upkeep share.
#[derive(Debug)]
struct Shared {
    live: Arc<Live>,
    limiter: Arc<Limiter>,
    meter: LimitMeter,
    state: Mutex<State>,
    /// Held for each change: changes of this process come one after the other.
    changing: tokio::sync::Mutex<()>,
    /// Notified when the next expiry may be another.
    changed: Notify,
    /// Notified when another instance may have made a change.
    message: Notify,
    timeline: Timeline,
}

#[derive(Debug)]
struct State {
    configured: Arc<Policy>,
    set: OverrideSet,
    /// How far the store's clock is ahead of the timeline.
    ahead_ms: i64,
    /// The revision of the document that the store had last.
    revision: String,
    obstacles: Obstacles,
}

impl Overrides {
    /// Puts the first policy in force, without overrides. Needs a Tokio runtime.
    #[must_use]
    pub fn new(policy: Policy, limiter: Arc<Limiter>) -> Self {
        let configured = Arc::new(policy);
        let timeline = Timeline::begin(Clock::Real);
        let ahead_ms = timeline.unix_ms() - timeline.now().as_i64();
        let (revision, obstacles) = (sharing::UNKNOWN.to_owned(), Obstacles::default());
        let live = Arc::new(Live::new(Arc::clone(&configured)));
        let state =
            Mutex::new(State { configured, set: OverrideSet::default(), ahead_ms, revision, obstacles });
        let (changing, changed, message) = (tokio::sync::Mutex::default(), Notify::new(), Notify::new());
        let meter = LimitMeter::default();
        journal::show_limits(&meter, &live.load(), &live.load());
        let shared = Arc::new(Shared { live, limiter, meter, state, changing, changed, message, timeline });
        journal::count(&OverrideSet::default());
        let upkeep = tokio::spawn(upkeep(Arc::clone(&shared)));
        Self { shared, _upkeep: Arc::new(AbortOnDropHandle::new(upkeep)) }
    }

    /// Returns the policy in force, as it changes.
    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.shared.live)
    }

    /// Returns the policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.shared.live.load()
    }

    /// Returns the policy as it is configured, without overrides.
    #[must_use]
    pub fn configured(&self) -> Arc<Policy> {
        Arc::clone(&self.shared.state().configured)
    }

    /// Replaces the configured policy. Overrides of rules that it does not have are kept, and have no effect.
    pub fn configure(&self, policy: Policy) {
        let mut state = self.shared.state();
        state.configured = Arc::new(policy);
        self.shared.put_in_force(&state);
    }

    /// Returns whether other instances share the overrides. If not, they end with this process.
    #[must_use]
    pub fn are_shared(&self) -> bool {
        self.shared.limiter.shared_store().is_some()
    }

    /// Returns what stands in the way of sharing them, and the rules of Redis's ACL that this instance's user lacks.
    #[must_use]
    pub fn obstacles(&self) -> (Obstacles, Vec<String>) {
        let obstacles = self.shared.state().obstacles.clone();
        let key = self.shared.limiter.shared_store().map(|store| store.document_key()).unwrap_or_default();
        let missing = obstacles.missing_rights(&key);
        (obstacles, missing)
    }

    /// Returns the latest version of any override that this instance knows; 0 if there was none.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.state().set.version()
    }

    /// Returns all overrides, those for all rules first.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let state = self.shared.state();
        state.set.overrides().map(|item| self.shared.listed(&state, item)).collect()
    }

    /// Returns the override of a subject, if there is one.
    #[must_use]
    pub fn get(&self, subject: &Subject) -> Option<Listed> {
        let state = self.shared.state();
        state.set.get(subject).map(|item| self.shared.listed(&state, item))
    }

    /// Sets an override, or replaces it.
    ///
    /// # Errors
    /// When it is not one that the rule can have, not the one that is expected, or cannot be shared.
    pub async fn put(
        &self,
        subject: &Subject,
        proposal: &Proposal,
        expected: Expected,
    ) -> Result<Listed, ChangeError> {
        proposal.check(subject)?;
        let configured = self.configured();
        if let Some(rule) = subject.rule()
            && configured.named(rule).is_none()
        {
            return Err(ChangeError::UnknownRule(rule.to_string()));
        }
        if let Some(reason) = effective::idle(&configured, subject, &proposal.effect) {
            return Err(ChangeError::Invalid(reason));
        }
        let item = self
            .shared
            .change(&|set, now_ms| {
                let current = set.get(subject);
                expected.check(current)?;
                if current.is_none() && set.overrides().count() >= MAX_OVERRIDES {
                    return Err(ChangeError::Full);
                }
                let expires_in =
                    proposal.expires_in.map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
                let item = Override {
                    subject: subject.clone(),
                    effect: proposal.effect.clone(),
                    reason: proposal.reason.clone(),
                    author: proposal.author.clone(),
                    set_ms: now_ms,
                    expires_ms: expires_in.map(|time| now_ms.saturating_add(time)),
                    version: set.next_version(now_ms),
                };
                set.set(item.clone());
                Ok(item)
            })
            .await?;
        Ok(self.shared.listed(&self.shared.state(), &item))
    }

    /// Removes an override. Returns it; none if there was none.
    ///
    /// # Errors
    /// When it is not the one that is expected, or the removal cannot be shared.
    pub async fn remove(
        &self,
        subject: &Subject,
        expected: Expected,
        author: &str,
    ) -> Result<Option<Override>, ChangeError> {
        self.shared
            .change(&|set, now_ms| {
                let current = set.get(subject).cloned();
                expected.check(current.as_ref())?;
                if current.is_some() {
                    set.remove(subject.clone(), author, now_ms);
                }
                Ok(current)
            })
            .await
    }

    /// Forgets what a client has used, everywhere: it is admitted at once.
    ///
    /// # Errors
    /// When there is no such rule, or the reset cannot be shared.
    pub async fn reset(&self, rule: &str, client: &str, author: &str) -> Result<(), ChangeError> {
        let shared = &self.shared;
        let (configured, policy) = (self.configured(), self.policy());
        let forms = forms(&configured, &policy, rule, client);
        if forms.is_empty() {
            return Err(ChangeError::UnknownRule(rule.to_owned()));
        }
        change::check_client(client)?;
        shared.limiter.delete(&forms, client).await.map_err(ChangeError::from_store)?;
        let (rule, client) = (Arc::<str>::from(rule), Arc::<str>::from(client));
        shared
            .change(&|set, now_ms| {
                set.reset(Arc::clone(&rule), Arc::clone(&client), author, now_ms);
                Ok(())
            })
            .await
    }

    /// Returns how a client stands with a rule.
    ///
    /// # Errors
    /// When there is no such rule, or the store makes no reply.
    pub async fn inspect(&self, rule: &str, client: &str) -> Result<Inspection, ChangeError> {
        let policy = self.policy();
        let named = policy.named(rule).ok_or_else(|| ChangeError::UnknownRule(rule.to_owned()))?;
        change::check_client(client)?;
        let applied = match policy.clients().get(rule, client) {
            Some(ClientRule::Limited(rule)) => rule,
            _ => named,
        };
        let usage = self.shared.limiter.usage(applied, client).await.map_err(ChangeError::from_store)?;
        let subject = Subject::Client { rule: rule.into(), client: client.into() };
        Ok(Inspection { mode: applied.mode, usage, item: self.get(&subject) })
    }
}

/// Returns the forms that a rule has for a client: configured, overridden, and for the client alone. Each may have
/// counters of its own.
fn forms<'p>(configured: &'p Policy, policy: &'p Policy, rule: &str, client: &str) -> Vec<&'p Rule> {
    let own = match policy.clients().get(rule, client) {
        Some(ClientRule::Limited(rule)) => Some(&**rule),
        _ => None,
    };
    [configured.named(rule), policy.named(rule), own].into_iter().flatten().collect()
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the store's time in milliseconds since 1970, as far as it is known.
    fn now_ms(&self, state: &State) -> i64 {
        (self.timeline.now() + state.ahead_ms).as_i64()
    }

    fn listed(&self, state: &State, item: &Override) -> Listed {
        let now_ms = self.now_ms(state);
        Listed {
            item: item.clone(),
            expires_in_ms: item.expires_ms.map(|at_ms| (at_ms - now_ms).max(0)),
            idle: effective::idle(&state.configured, &item.subject, &item.effect),
        }
    }

    /// Makes a change, and puts it in force: where a store is shared, on all instances.
    async fn change<T>(&self, act: Act<'_, T>) -> Result<T, ChangeError> {
        let _changing = self.changing.lock().await;
        if let Some(store) = self.limiter.shared_store() {
            return sharing::exchange(self, store, act).await;
        }
        let mut state = self.state();
        let (mut set, now_ms) = (state.set.clone(), self.now_ms(&state));
        set.prune(now_ms);
        let made = act(&mut set, now_ms)?;
        self.adopt(&mut state, set);
        Ok(made)
    }

    /// Puts another set of overrides in force.
    fn adopt(&self, state: &mut State, mut set: OverrideSet) {
        set.prune(self.now_ms(state));
        if set == state.set {
            return;
        }
        let before = std::mem::replace(&mut state.set, set);
        journal::changes(&before, &state.set);
        self.forget(&before, state);
        self.put_in_force(state);
        self.changed.notify_one();
    }

    fn put_in_force(&self, state: &State) {
        let policy = match state.set.overrides().next() {
            Some(_) => Arc::new(effective::effective(&state.configured, &state.set)),
            None => Arc::clone(&state.configured),
        };
        self.live.replace(policy);
        journal::count(&state.set);
        journal::show_limits(&self.meter, &state.configured, &self.live.load());
    }

    /// Forgets what is remembered here of clients that were reset.
    fn forget(&self, before: &OverrideSet, state: &State) {
        let policy = self.live.load();
        for Reset { rule, client, .. } in
            state.set.resets.iter().filter(|reset| !before.resets.contains(reset))
        {
            self.limiter.forget(&forms(&state.configured, &policy, rule, client), client);
        }
    }

    /// Ends the overrides that have expired. Returns the time until the next one does.
    fn expire(&self) -> Option<Duration> {
        let mut state = self.state();
        let now_ms = self.now_ms(&state);
        if state.set.next_expiry().is_some_and(|at_ms| at_ms <= now_ms) {
            let set = state.set.clone();
            self.adopt(&mut state, set);
        }
        let left_ms = state.set.next_expiry()? - now_ms;
        Some(Duration::from_millis(u64::try_from(left_ms).unwrap_or_default()))
    }

    /// Notes what stands in the way of sharing, and logs what is new of it.
    fn note(&self, note: impl FnOnce(&mut Obstacles)) {
        let mut state = self.state();
        let before = state.obstacles.clone();
        note(&mut state.obstacles);
        journal::obstacles(&before, &state.obstacles);
    }

    /// Notes the store's time.
    fn observe_time(&self, now: StoreMs) {
        self.state().ahead_ms = now.as_i64() - self.timeline.now().as_i64();
    }
}

/// Keeps the overrides in force for as long as the process runs.
async fn upkeep(shared: Arc<Shared>) {
    if let Some(store) = shared.limiter.shared_store() {
        return sharing::share_all(&shared, store).await;
    }
    loop {
        let expiry = shared.expire();
        tokio::select! {
            () = sleep(expiry.unwrap_or(Duration::from_secs(3_600))) => {}
            () = shared.changed.notified() => {}
        }
    }
}
