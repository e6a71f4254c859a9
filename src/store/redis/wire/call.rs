//! Calls of the scripts, ready to be sent.

use super::keyspace::Keyspace;
use super::packed_counter;
use super::resp::{self, Command};
use super::scripts::{DELETE, DOCUMENT, GIVE_BACK, HEARTBEAT, INTRODUCE, READ, SETTLE, TAKE, evalsha};
use crate::clock::{Clock, Deadline};
use crate::store::{Decision, KeyedCharge, Settlement};
use crate::window::{Charge, Limit};

/// The charge of a probe, for a limit that always has room. Its window is one second, so its counter soon expires.
pub(super) const PROBE: Charge = Charge { limit: Limit::PROBE, cost: 1, group: Charge::BINDING };

/// In a time that a test drives, a counter lives for longer than the test takes.
const DRIVEN_TTL_MS: i64 = 600_000;

/// A call of a script. Its keys share a slot.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The command, encoded, without the deadline.
    command: Vec<u8>,
    /// The slot of its keys; 0 where there are no slots.
    pub(crate) slot: u16,
    /// When the caller stops waiting for the reply.
    pub(crate) deadline: Deadline,
    /// Whether the script takes the deadline as its last argument, counts nothing after it, and returns the time.
    timed: bool,
}

impl Call {
    /// Appends the command to what is sent to a server whose clock shows `deadline_ms` at the deadline.
    pub(crate) fn put(&self, sent: &mut Vec<u8>, deadline_ms: i64) {
        sent.extend_from_slice(&self.command);
        if self.timed {
            resp::put_number(sent, deadline_ms);
        }
    }
}

/// Makes the calls of one store.
#[derive(Debug)]
pub(crate) struct Calls {
    keyspace: Keyspace,
    clock: Clock,
}

impl Calls {
    pub(crate) fn new(keyspace: Keyspace, clock: Clock) -> Self {
        Self { keyspace, clock }
    }

    pub(crate) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// Returns whether scripts take the time from the server's clock. If not, a test drives it.
    pub(crate) fn use_server_time(&self) -> bool {
        matches!(self.clock, Clock::Real)
    }

    /// Decides about charges, if it is executed before the deadline.
    pub(crate) fn take<C: AsRef<KeyedCharge>>(&self, slot: u16, charges: &[C], deadline: Deadline) -> Call {
        let mut command = evalsha(&TAKE, charges.len(), charges.len() + self.time_arguments());
        for KeyedCharge { key, .. } in charges.iter().map(C::as_ref) {
            command.word(&self.keyspace.counter_parts(key));
        }
        for KeyedCharge { charge, .. } in charges.iter().map(C::as_ref) {
            packed_counter::put_charge(&mut command, charge, self.time_to_live(charge));
        }
        self.timed(command, slot, deadline)
    }

    /// Charges a counter that no client uses, in the same way as any other: the reply shows whether the server that has
    /// the slot is healthy.
    pub(crate) fn probe(&self, slot: u16, deadline: Deadline) -> Call {
        let mut command = evalsha(&TAKE, 1, 2);
        command.word(&[self.keyspace.probe(slot).as_bytes()]);
        packed_counter::put_charge(&mut command, &PROBE, PROBE.limit.window_ms());
        Call { command: command.into_bytes(), slot, deadline, timed: true }
    }

    /// Takes back a charge about which `decision` was made.
    pub(crate) fn give_back(
        &self,
        slot: u16,
        (charge, decision): (&KeyedCharge, &Decision),
        deadline: Deadline,
    ) -> Call {
        let (KeyedCharge { key, charge }, Decision { now, before, counter, .. }) = (charge, decision);
        let now_ms = now.as_i64();
        let Charge { limit, cost, .. } = charge;
        let before = before.rebased(limit, now_ms);
        let mut command = evalsha(&GIVE_BACK, 1, 3);
        command
            .word(&self.keyspace.counter_parts(key))
            .word(&[&packed_counter::encode(&before, limit.window_ms())])
            .word(&[&packed_counter::encode(counter, limit.window_ms())])
            .word(&[&packed_counter::returned(charge, before.lent(limit, now_ms, *cost), counter.last_ms())]);
        Call { command: command.into_bytes(), slot, deadline, timed: false }
    }

    /// Adds to a counter what it may lack.
    pub(crate) fn settle(&self, slot: u16, settlement: &Settlement<'_>, deadline: Deadline) -> Call {
        let Settlement { key, limit, seen, unsettled, number, now } = settlement;
        let counter = self.keyspace.counter(key);
        let mut command = evalsha(&SETTLE, 2, 5 + self.time_arguments());
        command
            .word(&[counter.as_bytes()])
            .word(&[self.keyspace.settlements(&counter).as_bytes()])
            .word(&[&packed_counter::shape(limit)]);
        for counter in [seen, unsettled] {
            command.word(&[&packed_counter::encode(counter, limit.window_ms())]);
        }
        command.word(&[number.to_string().as_bytes()]).number(now.as_i64());
        self.timed(command, slot, deadline)
    }

    /// Returns counters that share a slot.
    pub(crate) fn read<'k>(
        &self,
        slot: u16,
        keys: impl ExactSizeIterator<Item = &'k str>,
        deadline: Deadline,
    ) -> Call {
        self.about(&READ, slot, keys, deadline)
    }

    /// Deletes counters that share a slot.
    pub(crate) fn delete<'k>(
        &self,
        slot: u16,
        keys: impl ExactSizeIterator<Item = &'k str>,
        deadline: Deadline,
    ) -> Call {
        self.about(&DELETE, slot, keys, deadline)
    }

    fn about<'k>(
        &self,
        script: &[u8],
        slot: u16,
        keys: impl ExactSizeIterator<Item = &'k str>,
        deadline: Deadline,
    ) -> Call {
        let mut command = evalsha(script, keys.len(), self.time_arguments());
        keys.for_each(|key| {
            command.word(&self.keyspace.counter_parts(key));
        });
        self.timed(command, slot, deadline)
    }

    /// Returns the shared document if it has another revision than `known`. If `new` is not empty, that replaces a document
    /// of this revision.
    pub(crate) fn document(&self, slot: u16, known: &str, new: &[u8], deadline: Deadline) -> Call {
        let mut command = evalsha(&DOCUMENT, 1, 2);
        command.word(&[self.keyspace.document().as_bytes()]).word(&[known.as_bytes()]).word(&[new]);
        Call { command: command.into_bytes(), slot, deadline, timed: false }
    }

    /// Records that this instance is alive for the next `alive_ms` milliseconds.
    pub(crate) fn heartbeat(&self, slot: u16, alive_ms: i64, deadline: Deadline) -> Call {
        let mut command = evalsha(&HEARTBEAT, 1, 2);
        command.word(&[self.keyspace.instances().as_bytes()]);
        command.word(&[&self.keyspace.instance().to_be_bytes()]).number(alive_ms);
        Call { command: command.into_bytes(), slot, deadline, timed: false }
    }

    /// Records what this instance reports of itself, for the next `alive_ms` milliseconds.
    pub(crate) fn introduce(&self, slot: u16, text: &[u8], alive_ms: i64, deadline: Deadline) -> Call {
        let mut command = evalsha(&INTRODUCE, 1, 2);
        let name = self.keyspace.introduction(self.keyspace.instance());
        command.word(&[self.keyspace.counter(&name).as_bytes()]).word(&[text]).number(alive_ms);
        Call { command: command.into_bytes(), slot, deadline, timed: false }
    }

    /// Returns for how many milliseconds a counter matters after a charge.
    fn time_to_live(&self, charge: &Charge) -> i64 {
        let window_ms = charge.limit.window_ms();
        match self.clock {
            Clock::Real => window_ms,
            Clock::Driven(_) => window_ms.max(DRIVEN_TTL_MS),
        }
    }

    /// Returns the number of arguments that [`Calls::timed`] adds, with the deadline.
    fn time_arguments(&self) -> usize {
        match self.clock {
            Clock::Real => 1,
            Clock::Driven(_) => 2,
        }
    }

    /// Returns a call whose script decides at a certain time. A driven clock sets that time; whether the call is late is
    /// still decided by the server's own clock.
    fn timed(&self, mut command: Command, slot: u16, deadline: Deadline) -> Call {
        if let Clock::Driven(driven) = &self.clock {
            command.word(&[b"=", driven.now_ms().to_string().as_bytes()]);
        }
        Call { command: command.into_bytes(), slot, deadline, timed: true }
    }
}
