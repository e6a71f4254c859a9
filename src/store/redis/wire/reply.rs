//! What the replies of the scripts mean.

use bb8_redis::redis::{FromRedisValue as _, RedisError};

use super::call::PROBE;
use super::packed_counter;
use super::resp::{Field, Fields, Reply};
use crate::store::{
    Charged, Decision, DocumentOutcome, DocumentReply, Instances, KeyedCharge, StoreError, StoreMs,
};
use crate::window::{Counter, Limit, RefusedGroups, Taken};

/// The times, in milliseconds, that a counter can hold: it has 6 bytes for them.
pub(crate) const TIMES: std::ops::Range<i64> = 0..1 << 48;

/// Returns the time in a reply of `take.lua` or `settle.lua`.
pub(crate) fn time(reply: &Reply) -> Option<i64> {
    next_time(&mut reply.fields())
}

fn next_time(fields: &mut Fields<'_>) -> Option<i64> {
    match fields.next() {
        Some(Field::Integer(now_ms)) => Some(now_ms).filter(|now_ms| TIMES.contains(now_ms)),
        _ => None,
    }
}

/// Returns whether `take.lua` or `settle.lua` reports that the call was late: executed after its deadline, so that nothing
/// was counted.
pub(crate) fn is_late(reply: &Reply) -> bool {
    reply.fields().left() == 1
}

/// Returns what `take.lua` decided: the reply holds the counters as they were, and the same arithmetic runs on them
/// here. Calls `disagreed` for each decision that it does not confirm.
pub(crate) fn decisions<C: AsRef<KeyedCharge>>(
    charges: &[C],
    reply: &Reply,
    mut disagreed: impl FnMut(),
) -> Result<Vec<Decision>, StoreError> {
    let charges = || charges.iter().map(|keyed| &keyed.as_ref().charge);
    let mut fields = reply.fields();
    let Some(now_ms) = next_time(&mut fields) else { return Err(StoreError::InvalidReply("no time")) };
    let mut refused = RefusedGroups::default();
    let mut decisions = Vec::with_capacity(charges().len());
    for charge in charges() {
        let (Some(Field::Integer(flag)), Some(Field::Text(raw))) = (fields.next(), fields.next()) else {
            return Err(StoreError::InvalidReply("a counter is missing"));
        };
        let limit = charge.limit;
        let before = packed_counter::decode(raw, limit.window_ms(), now_ms);
        let mut counter = before.clone();
        let fits = refused.check(charge, &mut counter, now_ms);
        let (now, taken) = (StoreMs::new(now_ms), Taken { fits, charged: flag == 1 });
        decisions.push(Decision { limit, now, taken, before, counter });
    }
    for (charge, Decision { taken, counter, .. }) in charges().zip(&mut decisions) {
        let stands = refused.admit(charge);
        if stands {
            counter.count(charge, now_ms);
        }
        // Redis has counted by its own decision. That the two could ever differ is a bug of ours: asserted in tests,
        // counted in production.
        debug_assert_eq!(taken.charged, stands, "take.lua and window.rs disagree");
        if taken.charged != stands {
            disagreed();
            taken.fits = taken.charged;
        }
    }
    Ok(decisions)
}

/// Checks that the reply to a probe is one of `take.lua` about its counter.
pub(crate) fn probed(reply: &Reply) -> Result<(), StoreError> {
    let charge = KeyedCharge { key: String::new(), charge: PROBE };
    // A probe that is late has still shown that the server executes scripts.
    if is_late(reply) && time(reply).is_some() {
        Ok(())
    } else {
        decisions(&[charge], reply, || ()).map(drop)
    }
}

/// Returns the counter, of that limit, as `settle.lua` left it.
pub(crate) fn settled(reply: &Reply, limit: &Limit) -> Result<Counter, StoreError> {
    let mut fields = reply.fields();
    match (next_time(&mut fields), fields.next()) {
        (Some(now_ms), Some(Field::Text(raw))) => Ok(packed_counter::decode(raw, limit.window_ms(), now_ms)),
        _ => Err(StoreError::InvalidReply("no counter")),
    }
}

/// Returns the time and the counters in the reply of `read.lua`.
pub(crate) fn counters(reply: &Reply, read: &[Charged<'_>]) -> Result<(StoreMs, Vec<Counter>), StoreError> {
    let mut fields = reply.fields();
    let Some(now_ms) = next_time(&mut fields) else { return Err(StoreError::InvalidReply("no time")) };
    let counters = read.iter().map(|Charged { window_ms, .. }| match fields.next() {
        Some(Field::Text(raw)) => Ok(packed_counter::decode(raw, *window_ms, now_ms)),
        _ => Err(StoreError::InvalidReply("a counter is missing")),
    });
    Ok((StoreMs::new(now_ms), counters.collect::<Result<_, _>>()?))
}

/// Returns the texts in the reply of `read.lua`.
pub(crate) fn texts(reply: &Reply) -> Vec<&[u8]> {
    let fields = reply.fields().skip(1);
    fields
        .map_while(|field| match field {
            Field::Text(text) => Some(text),
            Field::Integer(_) => None,
        })
        .collect()
}

/// Returns the instances in the list that `heartbeat.lua` keeps.
pub(crate) fn listed_instances(list: &[u8]) -> Vec<u64> {
    let (entries, _) = list.as_chunks::<14>();
    entries.iter().filter_map(|entry| entry.first_chunk()).map(|name| u64::from_be_bytes(*name)).collect()
}

/// Returns what `document.lua` reports.
pub(crate) fn document(reply: &Reply) -> Result<DocumentReply, StoreError> {
    let mut fields = reply.fields();
    let Some(now_ms) = next_time(&mut fields) else { return Err(StoreError::InvalidReply("no time")) };
    let mut text = || match fields.next() {
        Some(Field::Text(text)) => text,
        _ => &[],
    };
    let words = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let outcome = match (text(), text()) {
        (b"same", _) => DocumentOutcome::Same,
        (b"other", b"") => DocumentOutcome::Other(None),
        (b"other", document) => DocumentOutcome::Other(Some(document.to_owned())),
        (b"written", b"") => DocumentOutcome::Written { unpublished: None },
        (b"written", reason) => DocumentOutcome::Written { unpublished: Some(words(reason)) },
        (b"denied", reason) => DocumentOutcome::Denied(words(reason)),
        _ => return Err(StoreError::InvalidReply("unknown outcome")),
    };
    Ok(DocumentReply { now: StoreMs::new(now_ms), outcome })
}

/// Returns what `heartbeat.lua` reports.
pub(crate) fn instances(reply: &Reply) -> Result<Instances, StoreError> {
    let (alive, index, others) =
        <(i64, i64, i64)>::from_redis_value(reply.value()?).map_err(RedisError::from)?;
    Ok(Instances { alive, index, others })
}
