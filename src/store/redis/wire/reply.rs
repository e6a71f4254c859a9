//! What the replies of the scripts mean.

use bb8_redis::redis::{FromRedisValue as _, RedisError, Value};

use super::call::PROBE;
use super::packed_counter;
use crate::store::{Decision, Instances, KeyedCharge, StoreError, StoreMs};
use crate::window::{Charge, Counter, Limit, Taken, take_all};

/// The times, in milliseconds, that a counter can hold: it has 6 bytes for them.
pub(crate) const TIMES: std::ops::Range<i64> = 0..1 << 48;

/// Returns the time in a reply of `take.lua` or `settle.lua`.
pub(crate) fn time(reply: &Value) -> Option<i64> {
    match reply {
        Value::Array(fields) => match fields.first() {
            Some(Value::Int(now_ms)) => Some(*now_ms).filter(|now_ms| TIMES.contains(now_ms)),
            _ => None,
        },
        _ => None,
    }
}

/// Returns whether `take.lua` or `settle.lua` reports that the call was late: executed after its deadline, so that nothing
/// was counted.
pub(crate) fn is_late(reply: &Value) -> bool {
    matches!(reply, Value::Array(fields) if fields.len() == 1)
}

/// Returns what `take.lua` decided: the reply holds the counters as they were, and the same arithmetic runs on them
/// here. Calls `disagreed` for each decision that it does not confirm.
pub(crate) fn decisions(
    charges: &[&KeyedCharge],
    reply: Value,
    mut disagreed: impl FnMut(),
) -> Result<Vec<Decision>, StoreError> {
    let Some(now_ms) = time(&reply) else { return Err(StoreError::InvalidReply("no time")) };
    let Value::Array(fields) = reply else { return Err(StoreError::InvalidReply("not an array")) };
    let mut fields = fields.into_iter().skip(1);
    let mut before: Vec<Counter> = Vec::with_capacity(charges.len());
    let mut charged: Vec<bool> = Vec::with_capacity(charges.len());
    for KeyedCharge { charge, .. } in charges {
        let (Some(Value::Int(flag)), Some(Value::BulkString(raw))) = (fields.next(), fields.next()) else {
            return Err(StoreError::InvalidReply("a counter is missing"));
        };
        charged.push(flag == 1);
        before.push(packed_counter::decode(&raw, charge.limit.window_ms(), now_ms));
    }
    let charges: Vec<Charge> = charges.iter().map(|keyed| keyed.charge).collect();
    let mut counters = before.clone();
    let taken = take_all(&mut counters, &charges, now_ms);
    let parts = charges.iter().zip(taken.into_iter().zip(charged)).zip(before.into_iter().zip(counters));
    let mut decision =
        |limit: Limit, mut taken: Taken, charged: bool, (before, counter): (Counter, Counter)| {
            // Redis has counted by its own decision. That the two could ever differ is a bug of ours: asserted in tests,
            // counted in production.
            debug_assert_eq!(charged, taken.charged, "take.lua and window.rs disagree");
            if charged != taken.charged {
                disagreed();
                taken = Taken { fits: charged, charged };
            }
            Decision { limit, now: StoreMs::new(now_ms), taken, before, counter }
        };
    let decisions =
        parts.map(|((charge, (taken, charged)), counters)| decision(charge.limit, taken, charged, counters));
    Ok(decisions.collect())
}

/// Checks that the reply to a probe is one of `take.lua` about its counter.
pub(crate) fn probed(reply: Value) -> Result<(), StoreError> {
    let charge = KeyedCharge { key: String::new(), charge: PROBE };
    // A probe that is late has still shown that the server executes scripts.
    if is_late(&reply) && time(&reply).is_some() {
        Ok(())
    } else {
        decisions(&[&charge], reply, || ()).map(drop)
    }
}

/// Returns the counter, of that limit, as `settle.lua` left it.
pub(crate) fn settled(reply: &Value, limit: &Limit) -> Result<Counter, StoreError> {
    let Value::Array(fields) = reply else { return Err(StoreError::InvalidReply("not an array")) };
    match (time(reply), fields.get(1)) {
        (Some(now_ms), Some(Value::BulkString(raw))) => {
            Ok(packed_counter::decode(raw, limit.window_ms(), now_ms))
        }
        _ => Err(StoreError::InvalidReply("no counter")),
    }
}

/// Returns what `heartbeat.lua` reports.
pub(crate) fn instances(reply: Value) -> Result<Instances, StoreError> {
    let (alive, index, others) = <(i64, i64, i64)>::from_redis_value(reply).map_err(RedisError::from)?;
    Ok(Instances { alive, index, others })
}
