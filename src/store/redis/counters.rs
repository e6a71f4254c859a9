//! The calls about counters. Each goes to the server that has the counters, and its reply is checked.

use std::sync::Arc;
use std::time::Duration;

use super::route::Route;
use super::server::node::CallError;
use super::server::queue::{Outcome, OutcomeReceiver};
use super::wire::call::{Call, Calls};
use super::wire::keyspace::Keyspace;
use super::wire::resp::Reply;
use super::wire::{reply, slot};
use crate::clock::{Deadline, Stopwatch};
use crate::metrics::StoreMeter;
use crate::store::{
    Charged, Decision, Decisions, DocumentReply, Instances, KeyedCharge, Settlement, StoreError, StoreMs,
};
use crate::window::Counter;

/// The counters of all servers.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) route: Route,
    pub(super) calls: Arc<Calls>,
    pub(super) meter: Arc<StoreMeter>,
    /// How long a check may take in all.
    pub(super) timeout: Duration,
}

impl Counters {
    /// Returns the slot of a counter; 0 where there are no slots.
    pub(super) fn slot(&self, name: &str) -> u16 {
        self.slot_of_key(|| self.calls.keyspace().counter(name))
    }

    fn slot_of_key(&self, key: impl FnOnce() -> String) -> u16 {
        if self.route.has_slots() { slot::of(&key()) } else { 0 }
    }

    /// Decides about charges to counters in one slot, all or none.
    pub(super) async fn take<C: AsRef<KeyedCharge> + Sync>(
        self: &Arc<Self>,
        slot: u16,
        charges: &[C],
        deadline: Deadline,
    ) -> Decisions {
        let reply = self.route.call(self.calls.take(slot, charges, deadline)).await;
        let decisions = match reply {
            Ok(reply) => {
                self.decisions(charges, &reply).inspect_err(|_| self.route.report_invalid_reply(slot))
            }
            Err(CallError { error, outstanding }) => {
                if let Some(outstanding) = outstanding {
                    self.undo(charges.iter().map(|keyed| keyed.as_ref().clone()).collect(), outstanding);
                }
                Err(error)
            }
        };
        match decisions {
            Ok(decisions) => decisions.into_iter().map(Ok).collect(),
            Err(error) => charges.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn decisions<C: AsRef<KeyedCharge>>(
        &self,
        charges: &[C],
        reply: &Reply,
    ) -> Result<Vec<Decision>, StoreError> {
        reply::decisions(charges, reply, || self.meter.disagreed())
    }

    /// Gives the charges back if the reply arrives after all: the request is decided without it.
    fn undo(self: &Arc<Self>, charges: Vec<KeyedCharge>, outstanding: OutcomeReceiver) {
        let counters = Arc::clone(self);
        tokio::spawn(async move {
            // If no reply arrives, the wait ends with the connection.
            let Ok(Outcome::Reply(reply)) = outstanding.await else { return };
            let Ok(decisions) = counters.decisions(&charges, &reply) else {
                return;
            };
            counters.give_back(&charges.iter().zip(&decisions).collect::<Vec<_>>()).await;
        });
    }

    /// Takes back what was charged by these decisions.
    pub(super) async fn give_back(self: &Arc<Self>, decided: &[(&KeyedCharge, &Decision)]) {
        let deadline = Stopwatch::start().deadline(self.timeout);
        let charged = decided.iter().filter(|(_, decision)| decision.taken.charged);
        let calls = charged.map(|&(charge, decision)| {
            // One key each: the keys of a slot that is being moved may be on two servers.
            let call = self.calls.give_back(self.slot(&charge.key), (charge, decision), deadline);
            let counters = Arc::clone(self);
            // A task of its own, as this must be done even if the client stops waiting for its response.
            tokio::spawn(async move { counters.route.call(call).await })
        });
        let calls: Vec<_> = calls.collect();
        for call in calls {
            // What cannot be given back stays counted: too few requests are admitted then, not too many.
            let _ = call.await;
        }
    }

    /// Adds to a counter what it may lack, and returns the result.
    pub(super) async fn settle(
        &self,
        settlement: &Settlement<'_>,
        deadline: Deadline,
    ) -> Result<Counter, StoreError> {
        let slot = self.slot(settlement.key);
        let reply = self.call(self.calls.settle(slot, settlement, deadline)).await?;
        reply::settled(&reply, settlement.limit).inspect_err(|_| self.route.report_invalid_reply(slot))
    }

    /// Returns the counters of one client, and the time.
    pub(super) async fn read(
        &self,
        read: &[Charged<'_>],
        deadline: Deadline,
    ) -> Result<(StoreMs, Vec<Counter>), StoreError> {
        let Some(first) = read.first() else { return Ok((StoreMs::new(0), Vec::new())) };
        let slot = self.slot(first.key);
        let keys = read.iter().map(|counter| counter.key);
        let reply = self.call(self.calls.read(slot, keys, deadline)).await?;
        reply::counters(&reply, read).inspect_err(|_| self.route.report_invalid_reply(slot))
    }

    /// Deletes the counters of one client.
    pub(super) async fn delete(&self, keys: &[String], deadline: Deadline) -> Result<(), StoreError> {
        let Some(first) = keys.first() else { return Ok(()) };
        let slot = self.slot(first);
        self.call(self.calls.delete(slot, keys.iter().map(String::as_str), deadline)).await.map(drop)
    }

    /// Records that this instance is alive. Returns which instances are.
    pub(super) async fn heartbeat(
        &self,
        alive: Duration,
        deadline: Deadline,
    ) -> Result<Instances, StoreError> {
        let alive_ms = i64::try_from(alive.as_millis()).unwrap_or(i64::MAX);
        let slot = self.slot_of_instances();
        reply::instances(&self.call(self.calls.heartbeat(slot, alive_ms, deadline)).await?)
    }

    fn slot_of_instances(&self) -> u16 {
        self.slot_of_key(|| self.calls.keyspace().instances())
    }

    /// Records what this instance reports of itself.
    pub(super) async fn introduce(
        &self,
        text: &[u8],
        alive: Duration,
        deadline: Deadline,
    ) -> Result<(), StoreError> {
        let alive_ms = i64::try_from(alive.as_millis()).unwrap_or(i64::MAX);
        let slot = self.slot_of_instances();
        self.call(self.calls.introduce(slot, text, alive_ms, deadline)).await.map(drop)
    }

    /// Returns what the instances that are alive report of themselves, at most `most` of them.
    pub(super) async fn introductions(
        &self,
        most: usize,
        deadline: Deadline,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let slot = self.slot_of_instances();
        let list = self.call(self.calls.read(slot, std::iter::once(Keyspace::INSTANCES), deadline)).await?;
        let mut instances =
            reply::texts(&list).first().map_or_else(Vec::new, |list| reply::listed_instances(list));
        instances.truncate(most);
        let keyspace = self.calls.keyspace();
        let names: Vec<String> = instances.iter().map(|instance| keyspace.introduction(*instance)).collect();
        let texts = self.call(self.calls.read(slot, names.iter().map(String::as_str), deadline)).await?;
        let texts = reply::texts(&texts).into_iter().map(<[u8]>::to_vec);
        Ok(instances.into_iter().zip(texts).filter(|(_, text)| !text.is_empty()).collect())
    }

    /// Returns the slot of the shared document.
    pub(super) fn slot_of_document(&self) -> u16 {
        self.slot_of_key(|| self.calls.keyspace().document())
    }

    /// Reads or replaces the shared document.
    pub(super) async fn document(
        &self,
        known: &str,
        new: &[u8],
        deadline: Deadline,
    ) -> Result<DocumentReply, StoreError> {
        let slot = self.slot_of_document();
        let reply = self.call(self.calls.document(slot, known, new, deadline)).await?;
        reply::document(&reply).inspect_err(|_| self.route.report_invalid_reply(slot))
    }

    async fn call(&self, call: Call) -> Result<Reply, StoreError> {
        self.route.call(call).await.map_err(|failed| {
            self.route.report_failure();
            failed.error
        })
    }
}
