//! The two scripts: how they are called, and what their replies mean.

use std::sync::LazyLock;

use bb8_redis::redis::{self, Arg, Cmd, Script, Value};

use super::codec;
use crate::clock::{Clock, Deadline};
use crate::store::{Ask, Decision, StoreError};
use crate::window::{Charge, Counter, Taken, take_all};

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../take.lua")));
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../give_back.lua")));

/// The commands that load the scripts.
pub(super) fn loading() -> [Cmd; 2] {
    [include_str!("../take.lua"), include_str!("../give_back.lua")]
        .map(|code| redis::cmd("SCRIPT").arg("LOAD").arg(code).take())
}

/// A call of a script. Its keys share a slot.
#[derive(Clone, Debug)]
pub(super) struct Call {
    command: Cmd,
    /// Until when an answer is waited for.
    pub(super) deadline: Deadline,
    /// Whether the script is told the deadline, as the last argument, and counts nothing after it.
    bounded: bool,
}

impl Call {
    /// Decides about `asks`, if it is executed until the deadline.
    pub(super) fn take(key_prefix: &str, asks: &[&Ask], clock: &Clock, deadline: Deadline) -> Self {
        let mut command = call(&TAKE, key_prefix, asks.iter().copied());
        for ask in asks {
            command.arg(codec::charge(&ask.charge));
        }
        if let Clock::Driven(driven) = clock {
            command.arg(format!("={}", driven.now_ms()));
        }
        Self { command, deadline, bounded: matches!(clock, Clock::Real) }
    }

    /// Takes back what was decided about an ask.
    pub(super) fn give_back(key_prefix: &str, charged: (&Ask, &Decision), deadline: Deadline) -> Self {
        let (ask, Decision { now_ms, before, counter, .. }) = charged;
        let Charge { limit, cost, .. } = &ask.charge;
        let before = before.rebased(limit, *now_ms);
        let mut command = call(&GIVE_BACK, key_prefix, std::iter::once(ask));
        command.arg(codec::encode(&before, limit.window_ms())).arg(codec::encode(counter, limit.window_ms()));
        command.arg(codec::returned(&ask.charge, before.lent(limit, *now_ms, *cost), counter.last_ms()));
        Self { command, deadline, bounded: false }
    }

    /// Takes the command out, for a server that will have this time at the deadline.
    pub(super) fn send(&mut self, deadline_ms: i64) -> Cmd {
        if self.bounded {
            self.command.arg(deadline_ms);
        }
        self.command.take()
    }

    /// Puts the command back, as it was before it was sent.
    pub(super) fn restore(&mut self, sent: &Cmd) {
        let arguments = sent.args_iter();
        let own = arguments.len() - usize::from(self.bounded);
        for argument in arguments.take(own) {
            if let Arg::Simple(argument) = argument {
                self.command.arg(argument);
            }
        }
    }
}

fn call<'a>(script: &Script, key_prefix: &str, asks: impl ExactSizeIterator<Item = &'a Ask>) -> Cmd {
    let keys = asks.len();
    // One allocation, for what the usual key and charge are long.
    let mut command = Cmd::with_capacity(4 + 3 * keys, 80 + 160 * keys);
    command.arg("EVALSHA").arg(script.get_hash()).arg(keys);
    for ask in asks {
        command.arg(key(key_prefix, ask));
    }
    command
}

/// The name of a counter in Redis.
pub(super) fn key(key_prefix: &str, ask: &Ask) -> String {
    format!("{key_prefix}:{}", ask.key)
}

/// What a time in milliseconds can be: a counter has 6 bytes for it.
pub(super) const TIMES: std::ops::Range<i64> = 0..1 << 48;

/// The server's time of a reply of `take.lua`.
pub(super) fn time(reply: &Value) -> Option<i64> {
    match reply {
        Value::Array(fields) => match fields.first() {
            Some(Value::Int(now_ms)) => Some(*now_ms).filter(|now_ms| TIMES.contains(now_ms)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the reply of `take.lua` says that it came too late, so that nothing was counted.
pub(super) fn is_late(reply: &Value) -> bool {
    matches!(reply, Value::Array(fields) if fields.len() == 1)
}

/// What `take.lua` has decided: the counters as they were are taken through the same arithmetic here. `disagreed` is
/// called for each decision that this does not confirm.
pub(super) fn decisions(
    asks: &[&Ask],
    reply: Value,
    mut disagreed: impl FnMut(),
) -> Result<Vec<Decision>, StoreError> {
    let Some(now_ms) = time(&reply) else { return Err(StoreError::Answer("no time")) };
    let Value::Array(fields) = reply else { return Err(StoreError::Answer("no array")) };
    let mut fields = fields.into_iter().skip(1);
    let mut before: Vec<Counter> = Vec::with_capacity(asks.len());
    let mut charged: Vec<bool> = Vec::with_capacity(asks.len());
    for ask in asks {
        let (Some(Value::Int(flag)), Some(Value::BulkString(raw))) = (fields.next(), fields.next()) else {
            return Err(StoreError::Answer("a counter is missing"));
        };
        charged.push(flag == 1);
        before.push(codec::decode(&raw, ask.charge.limit.window_ms(), now_ms));
    }
    let charges: Vec<Charge> = asks.iter().map(|ask| ask.charge).collect();
    let mut counters = before.clone();
    let taken = take_all(&mut counters, &charges, now_ms);
    let parts = taken.into_iter().zip(charged).zip(before.into_iter().zip(counters));
    let decision = |((mut taken, charged), (before, counter)): ((Taken, bool), (Counter, Counter))| {
        // What Redis counted is what counts. That the two could ever differ is a fault of ours: asserted in
        // tests, counted in production.
        debug_assert_eq!(charged, taken.charged, "take.lua and window.rs disagree");
        if charged != taken.charged {
            disagreed();
            taken = Taken { fits: charged, charged };
        }
        Decision { now_ms, taken, before, counter }
    };
    Ok(parts.map(decision).collect())
}
