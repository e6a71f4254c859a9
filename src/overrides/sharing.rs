//! Overrides that all instances share: one document in Redis, which each instance compares with what it knows.
//!
//! Every instance looks a few times a second, and at once when a message about a change arrives. So a lost message costs a
//! fraction of a second. Where the document is older than what an instance knows, because Redis was restarted without its
//! data or a replica took over that had not received the last change, the instance adds what it knows.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::change::ChangeError;
use super::set::OverrideSet;
use super::{Shared, document};
use crate::store::{DocumentOutcome, DocumentReply, RedisStore, StoreError};

/// How often to look, at least. With many instances it is rarer: all together look about 250 times a second.
const LOOK_EVERY: Duration = Duration::from_millis(400);
const LOOK_PER_INSTANCE: Duration = Duration::from_millis(4);
/// The longest time between two looks.
const MAX_LOOK_EVERY: Duration = Duration::from_millis(1_500);
/// The same if Redis does not allow it: each attempt is a call that fails.
const LOOK_EVERY_DENIED: Duration = Duration::from_secs(5);
/// How often a change is attempted while other instances make theirs.
const ATTEMPTS: u32 = 20;
/// The longest pause after an attempt.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause before the next attempt to subscribe.
const RESUBSCRIBE: Duration = Duration::from_millis(500);
/// The same if Redis does not allow it.
const RESUBSCRIBE_DENIED: Duration = Duration::from_secs(30);
/// The revision of a document that was not read yet.
pub(super) const UNKNOWN: &str = "-";
/// The revision where there is no document.
const ABSENT: &str = "";

/// What stands in the way of sharing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obstacles {
    /// Why the overrides in Redis are not read. Those that were known before stay in force.
    pub reading: Option<String>,
    /// Why Redis sends no messages about changes: this instance notices them a little later.
    pub subscribing: Option<String>,
    /// Why changes that are made here cause no messages: other instances notice them a little later.
    pub publishing: Option<String>,
}

impl Obstacles {
    /// Returns the rules of Redis's ACL that the user lacks, for documents of that key.
    #[must_use]
    pub fn missing_rights(&self, key: &str) -> Vec<String> {
        let denied = |reason: &Option<String>| reason.as_deref().is_some_and(is_denied);
        let rights = [
            (denied(&self.reading), format!("~{key}")),
            (denied(&self.subscribing) || denied(&self.publishing), format!("&{key}")),
            (denied(&self.subscribing), "+subscribe".to_owned()),
            (denied(&self.publishing), "+publish".to_owned()),
        ];
        rights.into_iter().filter_map(|(missing, right)| missing.then_some(right)).collect()
    }
}

/// Returns whether Redis gave its access rules as a reason.
pub(super) fn is_denied(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    // The last two are those of scripts, before and since Redis 7.2.
    ["noperm", "permission", "executing the script can't", "acl failure"]
        .iter()
        .any(|text| reason.contains(text))
}

/// What a change sees and may do.
pub(super) type Act<'a, T> = &'a (dyn Fn(&mut OverrideSet, i64) -> Result<T, ChangeError> + Sync);

/// Looks for changes and follows messages, for as long as the process runs.
pub(super) async fn share_all(shared: &Arc<Shared>, store: &RedisStore) {
    tokio::join!(look_all(shared, store), follow_messages(shared, store));
}

async fn look_all(shared: &Shared, store: &RedisStore) {
    loop {
        let looked = {
            let _changing = shared.changing.lock().await;
            exchange(shared, store, &|_, _| Ok(())).await
        };
        let is_denied = matches!(looked, Err(ChangeError::Denied(_)));
        let reading = match looked {
            // Others are making changes: the next look finds them.
            Ok(()) | Err(ChangeError::Conflict) => None,
            Err(error) => Some(error.to_string()),
        };
        shared.note(|obstacles| obstacles.reading = reading);
        let instances = shared.limiter.status().map_or(1, |status| status.instances);
        let per_instance = LOOK_PER_INSTANCE.saturating_mul(u32::try_from(instances).unwrap_or(u32::MAX));
        let every = LOOK_EVERY.max(per_instance).min(MAX_LOOK_EVERY);
        let every = if is_denied { LOOK_EVERY_DENIED } else { every }.mul_f64(0.75 + fastrand::f64() / 4.0);
        let mut next = pin!(sleep(every));
        loop {
            let expiry = shared.expire();
            tokio::select! {
                () = &mut next => break,
                () = shared.message.notified() => break,
                // The next expiry may be another.
                () = shared.changed.notified() => {}
                () = sleep(expiry.unwrap_or(MAX_LOOK_EVERY)) => {}
            }
        }
    }
}

/// Makes each message cause a look.
async fn follow_messages(shared: &Shared, store: &RedisStore) {
    loop {
        let ended = match store.subscribe().await {
            Ok(mut subscription) => {
                shared.note(|obstacles| obstacles.subscribing = None);
                loop {
                    // What was changed before the subscription caused no message.
                    shared.message.notify_one();
                    if let Err(error) = subscription.message().await {
                        break error;
                    }
                }
            }
            Err(error) => error,
        };
        let pause = if matches!(ended, StoreError::Denied(_)) { RESUBSCRIBE_DENIED } else { RESUBSCRIBE };
        shared.note(|obstacles| obstacles.subscribing = Some(ended.to_string()));
        sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
    }
}

/// Learns what the document knows better, makes a change, and replaces the document if it lacks something then. To be
/// called by one task at a time.
pub(super) async fn exchange<T>(
    shared: &Shared,
    store: &RedisStore,
    act: Act<'_, T>,
) -> Result<T, ChangeError> {
    for _ in 0..ATTEMPTS {
        let known = shared.state().revision.clone();
        let reply = store.document(&known, &[]).await.map_err(ChangeError::from_store)?;
        let (revision, lacks) = learn(shared, known, reply)?;
        let (set, now_ms) = {
            let state = shared.state();
            let (mut set, now_ms) = (state.set.clone(), shared.now_ms(&state));
            set.prune(now_ms);
            (set, now_ms)
        };
        let mut changed = set.clone();
        let made = act(&mut changed, now_ms)?;
        if !lacks && changed == set {
            shared.state().revision = revision;
            return Ok(made);
        }
        let next = format!("{:016x}", fastrand::u64(..));
        let written = store.document(&revision, &document::write(&next, &changed)).await;
        match written.map_err(ChangeError::from_store)?.outcome {
            DocumentOutcome::Written { unpublished } => {
                shared.note(|obstacles| obstacles.publishing = unpublished);
                let mut state = shared.state();
                state.revision = next;
                shared.adopt(&mut state, changed);
                return Ok(made);
            }
            DocumentOutcome::Denied(reason) => return Err(ChangeError::Denied(reason)),
            DocumentOutcome::Same | DocumentOutcome::Other(_) => {}
        }
        sleep(PAUSE.mul_f64(fastrand::f64())).await;
    }
    Err(ChangeError::Conflict)
}

/// Puts in force what the document knows better. Returns its revision, and whether it lacks something.
fn learn(shared: &Shared, known: String, reply: DocumentReply) -> Result<(String, bool), ChangeError> {
    let (revision, theirs) = match reply.outcome {
        DocumentOutcome::Other(None) => (ABSENT.to_owned(), OverrideSet::default()),
        DocumentOutcome::Other(Some(text)) => match document::read(&text) {
            Ok(read) => read,
            Err(fault) => {
                return Err(ChangeError::Denied(format!("its document of overrides is damaged: {fault}")));
            }
        },
        DocumentOutcome::Denied(reason) => return Err(ChangeError::Denied(reason)),
        DocumentOutcome::Same | DocumentOutcome::Written { .. } => {
            shared.observe_time(reply.now);
            return Ok((known, false));
        }
    };
    shared.observe_time(reply.now);
    let mut state = shared.state();
    let mut set = state.set.clone();
    set.prune(shared.now_ms(&state));
    let lacks = set.merge(&theirs);
    shared.adopt(&mut state, set);
    Ok((revision, lacks))
}
