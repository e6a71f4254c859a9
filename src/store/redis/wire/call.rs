//! The scripts: how they are called, and what their replies mean.

use std::sync::LazyLock;

use bb8_redis::redis::{self, Arg, Cmd, FromRedisValue as _, Script, Value};

use super::codec;
use super::slot;
use crate::clock::{Clock, Deadline};
use crate::store::redis::shared::Shared;
use crate::store::{Decision, KeyedCharge, Settlement, StoreError};
use crate::window::{Charge, Counter, Limit, Taken, take_all};

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/take.lua")));
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| Script::new(GIVE_BACK_CODE));
static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(SETTLE_CODE));
static ANNOUNCE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/announce.lua")));
const GIVE_BACK_CODE: &str =
    concat!(include_str!("scripts/counter.lua"), include_str!("scripts/give_back.lua"));
const SETTLE_CODE: &str = concat!(include_str!("scripts/counter.lua"), include_str!("scripts/settle.lua"));

/// The commands that load the scripts.
pub(crate) fn loading() -> [Cmd; 4] {
    [include_str!("scripts/take.lua"), GIVE_BACK_CODE, SETTLE_CODE, include_str!("scripts/announce.lua")]
        .map(|code| redis::cmd("SCRIPT").arg("LOAD").arg(code).take())
}

/// A call of a script. Its keys share a slot.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    command: Cmd,
    /// Where its keys are.
    pub(crate) slot: u16,
    /// Until when an answer is waited for.
    pub(crate) deadline: Deadline,
    /// Whether the script is told the deadline, as the last argument, and counts nothing after it.
    bounded: bool,
}

impl Call {
    /// Decides about `asks`, if it is executed until the deadline.
    pub(crate) fn take(shared: &Shared, slot: u16, asks: &[&KeyedCharge], deadline: Deadline) -> Self {
        let mut command = call(&TAKE, asks.iter().map(|ask| shared.key(&ask.key)));
        for ask in asks {
            command.arg(codec::charge(&ask.charge));
        }
        Self::timed(command, shared, slot, deadline)
    }

    /// Counts nobody, but in the same way as for anybody: it shows whether the server that has the slot is well.
    pub(crate) fn probe(shared: &Shared, slot: u16, deadline: Deadline) -> Self {
        let mut command = call(&TAKE, std::iter::once(shared.key(&format!("{{{}}}:probe", slot::tag(slot)))));
        command.arg(codec::charge(&PROBE));
        Self { command, slot, deadline, bounded: true }
    }

    /// Takes back what was decided about an ask.
    pub(crate) fn give_back(
        shared: &Shared,
        slot: u16,
        charged: (&KeyedCharge, &Decision),
        deadline: Deadline,
    ) -> Self {
        let (ask, Decision { now_ms, before, counter, .. }) = charged;
        let Charge { limit, cost, .. } = &ask.charge;
        let before = before.rebased(limit, *now_ms);
        let mut command = call(&GIVE_BACK, std::iter::once(shared.key(&ask.key)));
        command.arg(codec::encode(&before, limit.window_ms())).arg(codec::encode(counter, limit.window_ms()));
        command.arg(codec::returned(&ask.charge, before.lent(limit, *now_ms, *cost), counter.last_ms()));
        Self { command, slot, deadline, bounded: false }
    }

    /// Tells a counter what it may have missed.
    pub(crate) fn settle(
        shared: &Shared,
        slot: u16,
        settlement: &Settlement<'_>,
        deadline: Deadline,
    ) -> Self {
        let Settlement { key, limit, seen, unsettled, number, now_ms } = settlement;
        let counter = shared.key(key);
        let noted = format!("{counter}:missed:{:016x}", shared.instance);
        let mut command = call(&SETTLE, [counter, noted].into_iter());
        command.arg(codec::shape(limit));
        for counter in [seen, unsettled] {
            command.arg(codec::encode(counter, limit.window_ms()));
        }
        command.arg(*number).arg(*now_ms);
        Self::timed(command, shared, slot, deadline)
    }

    /// A call of a script that tells the time, is told the deadline and does nothing after it. A driven clock sets the time
    /// of the decision; whether the call is late, the server's own clock decides all the same.
    fn timed(mut command: Cmd, shared: &Shared, slot: u16, deadline: Deadline) -> Self {
        if let Clock::Driven(driven) = &shared.clock {
            command.arg(format!("={}", driven.now_ms()));
        }
        Self { command, slot, deadline, bounded: true }
    }

    /// Says that this instance is alive, for so many milliseconds from now on.
    pub(crate) fn announce(shared: &Shared, slot: u16, alive_ms: i64, deadline: Deadline) -> Self {
        let mut command = call(&ANNOUNCE, std::iter::once(shared.key(INSTANCES)));
        command.arg(&shared.instance.to_be_bytes()).arg(alive_ms);
        Self { command, slot, deadline, bounded: false }
    }

    /// Whether its reply tells the time.
    pub(crate) fn is_timed(&self) -> bool {
        self.bounded
    }

    /// Takes the command out, for a server that will have this time at the deadline.
    pub(crate) fn send(&mut self, deadline_ms: i64) -> Cmd {
        if self.bounded {
            self.command.arg(deadline_ms);
        }
        self.command.take()
    }

    /// Puts the command back, as it was before it was sent.
    pub(crate) fn restore(&mut self, sent: &Cmd) {
        let arguments = sent.args_iter();
        let own = arguments.len() - usize::from(self.bounded);
        for argument in arguments.take(own) {
            if let Arg::Simple(argument) = argument {
                self.command.arg(argument);
            }
        }
    }
}

/// What a probe asks for: a limit that always has room, of a second, so that its counter is soon gone.
const PROBE: Charge = Charge { limit: Limit::PROBE, cost: 1, group: Charge::BINDING };

/// The list of instances.
pub(crate) const INSTANCES: &str = "instances";

fn call(script: &Script, keys: impl ExactSizeIterator<Item = String>) -> Cmd {
    let number = keys.len();
    // One allocation, for what the usual key and charge are long.
    let mut command = Cmd::with_capacity(4 + 3 * number, 80 + 160 * number);
    command.arg("EVALSHA").arg(script.get_hash()).arg(number);
    for key in keys {
        command.arg(key);
    }
    command
}

/// What a time in milliseconds can be: a counter has 6 bytes for it.
pub(crate) const TIMES: std::ops::Range<i64> = 0..1 << 48;

/// The time in a reply of `take.lua` or `settle.lua`.
pub(crate) fn time(reply: &Value) -> Option<i64> {
    match reply {
        Value::Array(fields) => match fields.first() {
            Some(Value::Int(now_ms)) => Some(*now_ms).filter(|now_ms| TIMES.contains(now_ms)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the reply of one of those says that it came too late, so that nothing was counted.
pub(crate) fn is_late(reply: &Value) -> bool {
    matches!(reply, Value::Array(fields) if fields.len() == 1)
}

/// What `take.lua` has decided: the counters as they were are taken through the same arithmetic here. `disagreed` is
/// called for each decision that this does not confirm.
pub(crate) fn decisions(
    asks: &[&KeyedCharge],
    reply: Value,
    mut disagreed: impl FnMut(),
) -> Result<Vec<Decision>, StoreError> {
    let Some(now_ms) = time(&reply) else { return Err(StoreError::InvalidReply("no time")) };
    let Value::Array(fields) = reply else { return Err(StoreError::InvalidReply("no array")) };
    let mut fields = fields.into_iter().skip(1);
    let mut before: Vec<Counter> = Vec::with_capacity(asks.len());
    let mut charged: Vec<bool> = Vec::with_capacity(asks.len());
    for ask in asks {
        let (Some(Value::Int(flag)), Some(Value::BulkString(raw))) = (fields.next(), fields.next()) else {
            return Err(StoreError::InvalidReply("a counter is missing"));
        };
        charged.push(flag == 1);
        before.push(codec::decode(&raw, ask.charge.limit.window_ms(), now_ms));
    }
    let charges: Vec<Charge> = asks.iter().map(|ask| ask.charge).collect();
    let mut counters = before.clone();
    let taken = take_all(&mut counters, &charges, now_ms);
    let parts = asks.iter().zip(taken.into_iter().zip(charged)).zip(before.into_iter().zip(counters));
    let mut decision =
        |ask: &KeyedCharge, mut taken: Taken, charged: bool, (before, counter): (Counter, Counter)| {
            // What Redis counted is what counts. That the two could ever differ is a fault of ours: asserted in
            // tests, counted in production.
            debug_assert_eq!(charged, taken.charged, "take.lua and window.rs disagree");
            if charged != taken.charged {
                disagreed();
                taken = Taken { fits: charged, charged };
            }
            Decision { limit: ask.charge.limit, now_ms, taken, before, counter }
        };
    Ok(parts.map(|((ask, (taken, charged)), counters)| decision(ask, taken, charged, counters)).collect())
}

/// Whether the reply to a probe is what `take.lua` says of a counter.
pub(crate) fn probed(reply: Value) -> Result<(), StoreError> {
    let ask = KeyedCharge { key: String::new(), charge: PROBE };
    // A probe may come late, and has shown what it is to show.
    if is_late(&reply) && time(&reply).is_some() {
        Ok(())
    } else {
        decisions(&[&ask], reply, || ()).map(drop)
    }
}

/// What `settle.lua` has made of a counter of that limit.
pub(crate) fn settled(reply: &Value, limit: &Limit) -> Result<Counter, StoreError> {
    let Value::Array(fields) = reply else { return Err(StoreError::InvalidReply("no array")) };
    match (time(reply), fields.get(1)) {
        (Some(now_ms), Some(Value::BulkString(raw))) => Ok(codec::decode(raw, limit.window_ms(), now_ms)),
        _ => Err(StoreError::InvalidReply("no counter")),
    }
}

/// What `announce.lua` says: how many instances there are, and the place of this one among them.
pub(crate) fn announced(reply: Value) -> Result<(i64, i64), StoreError> {
    Ok(<(i64, i64)>::from_redis_value(reply).map_err(redis::RedisError::from)?)
}
