//! Counters in Redis (or Valkey), shared by all instances.
//!
//! One script decides about all the asks of a request that share a slot. It returns the counters as they were, and
//! this side derives everything else from them with the same arithmetic that the memory store uses, and compares.

mod outage;
mod route;
mod server;
mod shared;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bb8_redis::redis::Value;
use futures_util::future::join_all;

use super::{AtomicGeneration, Decision, Decisions, KeyedCharge, StoreError};
use crate::clock::{Clock, Deadline, Stopwatch};
use crate::metrics::StoreMeter;
use crate::window::Charge;
use route::cluster::Cluster;
use route::sentinel::Sentinels;
use server::connection::Server;
use server::node::{Node, Unanswered};
use server::probe::Watch;
use server::queue::Answered;
use shared::Shared;
pub use wire::link::{Access, ServerAddress, StoreTls};
use wire::{
    call::{self, Call},
    fault, slot,
};

/// How to reach Redis.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Which servers there are.
    pub topology: Topology,
    /// How to log in.
    pub access: Access,
    /// How long a check may take in all.
    pub timeout: Duration,
    /// What the name of each key starts with.
    pub key_prefix: String,
    /// The most connections held open to each server, each for one trip under way.
    pub connections: u32,
}

/// Which servers there are.
#[derive(Clone, Debug)]
pub enum Topology {
    /// One.
    Standalone(ServerAddress),
    /// A primary and its replicas, watched by sentinels.
    Sentinel {
        /// Where the sentinels are.
        sentinels: Vec<ServerAddress>,
        /// What they call the primary.
        primary: String,
    },
    /// Some servers of a Redis Cluster; the others are found.
    Cluster(Vec<ServerAddress>),
}

/// The store of many instances.
#[derive(Clone, Debug)]
pub struct RedisStore {
    routes: Routes,
    shared: Arc<Shared>,
}

/// Where calls go.
#[derive(Clone, Debug)]
enum Routes {
    /// All to one server.
    One(Arc<Node>),
    /// To the server that has the slot.
    Cluster(Arc<Cluster>),
}

impl RedisStore {
    /// A store on the servers that `options` name. The first connection is opened beside, and tidegate starts
    /// whether Redis is there or not. Needs a Tokio runtime.
    #[must_use]
    pub fn new(options: RedisOptions, clock: Clock) -> Self {
        let shared = Arc::new(Shared {
            access: ArcSwap::from_pointee(options.access),
            timeout: options.timeout,
            connections: options.connections,
            key_prefix: options.key_prefix.into(),
            clock,
            instance: fastrand::u64(..),
            health: Arc::default(),
            watch: Watch::start(),
            generation: AtomicGeneration::default(),
            started: Stopwatch::start(),
            meter: StoreMeter::new("redis"),
        });
        let one = |server| Routes::One(Arc::new(Node::new(server, Arc::clone(&shared))));
        let routes = match options.topology {
            Topology::Standalone(address) => one(Server::Fixed(address)),
            Topology::Sentinel { sentinels, primary } => {
                one(Server::Primary(Sentinels::new(sentinels, primary, Arc::clone(&shared))))
            }
            Topology::Cluster(seeds) => Routes::Cluster(Arc::new(Cluster::new(seeds, Arc::clone(&shared)))),
        };
        Self { routes, shared }
    }

    /// Uses other credentials or certificates, for the connections made from now on.
    pub fn set_access(&self, access: Access) {
        self.shared.access.store(Arc::new(access));
    }

    /// Decides about all the asks of one request.
    pub async fn take(&self, asks: &[KeyedCharge]) -> Decisions {
        let watch = Stopwatch::start();
        let deadline = self.shared.deadline(&watch);
        let answer = match &self.routes {
            Routes::One(_) => self.take_part(0, &asks.iter().collect::<Vec<_>>(), deadline).await,
            Routes::Cluster(_) => self.take_across(asks, deadline).await,
        };
        if answer.iter().any(Result::is_err) {
            self.routes.doubt();
        }
        let meter = &self.shared.meter;
        match answer.iter().find_map(|decision| decision.as_ref().err()) {
            None => meter.answered(watch.seconds()),
            // It was not asked.
            Some(StoreError::Down(_)) => {}
            Some(StoreError::Timeout(_)) => meter.timed_out(watch.seconds()),
            Some(_) => meter.failed(watch.seconds()),
        }
        answer
    }

    /// Takes back what was charged.
    pub async fn give_back(&self, asks: &[KeyedCharge], answer: &Decisions) {
        let deadline = self.shared.deadline(&Stopwatch::start());
        let charged = asks.iter().zip(answer).filter_map(|(ask, decision)| {
            let decision = decision.as_ref().ok().filter(|decision| decision.taken.charged)?;
            Some((ask, decision))
        });
        let calls = charged.map(|charge| {
            // One key each: those of a slot that is on its way to another server may be in two places.
            let call = Call::give_back(&self.shared, self.slot(&charge.0.key), charge, deadline);
            let routes = self.routes.clone();
            // To be done even if the client does not wait for its answer any more.
            tokio::spawn(async move { routes.call(call).await })
        });
        let calls: Vec<_> = calls.collect();
        for call in calls {
            // What cannot be given back stays counted: too little is let through then, not too much.
            let _ = call.await;
        }
    }

    /// Whether keys have slots, and requests therefore more than one call.
    pub(super) fn has_slots(&self) -> bool {
        matches!(self.routes, Routes::Cluster(_))
    }

    /// Decides about asks that may be in several slots.
    async fn take_across(&self, asks: &[KeyedCharge], deadline: Deadline) -> Decisions {
        let refs: Vec<&KeyedCharge> = asks.iter().collect();
        if let [(slot, _)] = &self.by_slot(refs.iter().copied(), |ask| ask)[..] {
            let answer = self.take_part(*slot, &refs, deadline).await;
            if asks.len() == 1 || !answer.iter().any(is_split) {
                return answer;
            }
        }
        // In a task of its own: what one slot has charged must be given back where another has refused, also if the
        // client hangs up meanwhile.
        let (store, owned) = (self.clone(), asks.to_vec());
        let settled = tokio::spawn(async move {
            let mut answer = store.take_parts(&owned, deadline).await;
            store.all_or_none(&owned, &mut answer, deadline).await;
            answer
        });
        let lost = || asks.iter().map(|_| Err(StoreError::InvalidReply("it was lost"))).collect();
        settled.await.unwrap_or_else(|_| lost())
    }

    /// Asks in several slots are decided there at the same time, each slot for itself.
    async fn take_parts(&self, asks: &[KeyedCharge], deadline: Deadline) -> Decisions {
        let parts = self.by_slot(asks.iter().enumerate(), |(_, ask)| ask);
        let answers = join_all(parts.into_iter().map(|(slot, part)| async move {
            let (places, asks): (Vec<usize>, Vec<&KeyedCharge>) = part.into_iter().unzip();
            let mut answer = self.take_part(slot, &asks, deadline).await;
            if asks.len() > 1 && answer.iter().any(is_split) {
                // The slot is on its way to another server, and its keys are not all in one place: nothing was
                // counted. One key always is.
                let one = |ask| self.take_part(slot, std::slice::from_ref(ask), deadline);
                answer = join_all(asks.iter().map(one)).await.into_iter().flatten().collect();
            }
            places.into_iter().zip(answer)
        }));
        let mut answers: Vec<_> = answers.await.into_iter().flatten().collect();
        answers.sort_unstable_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, decision)| decision).collect()
    }

    /// Decides about asks in one slot, all or none.
    async fn take_part(&self, slot: u16, asks: &[&KeyedCharge], deadline: Deadline) -> Decisions {
        let reply = self.routes.call(Call::take(&self.shared, slot, asks, deadline)).await;
        let decisions = match reply {
            Ok(reply) => self.decisions(asks, reply).inspect_err(|_| self.routes.doubt_server(slot)),
            Err(Unanswered { error, late }) => {
                if let Some(late) = late {
                    self.undo(asks.iter().copied().cloned().collect(), late);
                }
                Err(error)
            }
        };
        match decisions {
            Ok(decisions) => decisions.into_iter().map(Ok).collect(),
            Err(error) => asks.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn decisions(&self, asks: &[&KeyedCharge], reply: Value) -> Result<Vec<Decision>, StoreError> {
        call::decisions(asks, reply, || self.shared.meter.disagreed())
    }

    /// Should the answer come too late, although it was decided in time, what was charged is given back: the request is
    /// decided without it.
    fn undo(&self, asks: Vec<KeyedCharge>, late: Answered) {
        let store = self.clone();
        tokio::spawn(async move {
            // Without an answer it ends with the connection.
            let Ok(Ok(reply)) = late.await else { return };
            let Ok(decisions) = store.decisions(&asks.iter().collect::<Vec<_>>(), reply) else { return };
            store.give_back(&asks, &decisions.into_iter().map(Ok).collect()).await;
        });
    }

    /// Across slots, where one has refused, the others of its group are given back; where a binding one
    /// has, all are.
    async fn all_or_none(&self, asks: &[KeyedCharge], answer: &mut Decisions, deadline: Deadline) {
        let refused: Vec<u32> = asks
            .iter()
            .zip(answer.iter())
            .filter(|(_, decision)| decision.as_ref().is_ok_and(|decision| !decision.taken.fits))
            .map(|(ask, _)| ask.charge.group)
            .collect();
        if refused.is_empty() {
            return;
        }
        let falls =
            |ask: &KeyedCharge| refused.contains(&Charge::BINDING) || refused.contains(&ask.charge.group);
        let mut undone: Decisions = Vec::new();
        let mut given: Vec<KeyedCharge> = Vec::new();
        for (ask, decision) in asks.iter().zip(answer.iter_mut()) {
            if let Ok(decision) = decision
                && decision.taken.charged
                && falls(ask)
            {
                given.push(ask.clone());
                undone.push(Ok(decision.clone()));
                decision.taken.charged = false;
                decision.counter = decision.before.rebased(&ask.charge.limit, decision.now_ms);
            }
        }
        if !given.is_empty() {
            // It goes on beyond the deadline, but nobody waits for it longer.
            let deadline = tokio::time::Instant::from_std(deadline.instant());
            let _ = tokio::time::timeout_at(deadline, self.give_back(&given, &undone)).await;
        }
    }

    /// Things by the slot of their ask.
    fn by_slot<T>(
        &self,
        things: impl Iterator<Item = T>,
        ask: impl Fn(&T) -> &KeyedCharge,
    ) -> Vec<(u16, Vec<T>)> {
        let mut parts: Vec<(u16, Vec<T>)> = Vec::new();
        for thing in things {
            let slot = self.slot(&ask(&thing).key);
            match parts.iter_mut().find(|(known, _)| *known == slot) {
                Some((_, part)) => part.push(thing),
                None => parts.push((slot, vec![thing])),
            }
        }
        parts
    }

    /// The slot of a name; one server has no slots.
    fn slot(&self, name: &str) -> u16 {
        match self.routes {
            Routes::One(_) => 0,
            Routes::Cluster(_) => slot::of(&self.shared.key(name)),
        }
    }
}

fn is_split(decision: &Result<Decision, StoreError>) -> bool {
    matches!(decision, Err(StoreError::Redis(error)) if fault::is_split(error))
}

impl Routes {
    async fn call(&self, call: Call) -> Result<Value, Unanswered> {
        match self {
            Self::One(node) => node.call(call, false).await,
            Self::Cluster(cluster) => cluster.call(&call).await,
        }
    }

    /// An answer of the server that has the slot was of no use.
    fn doubt_server(&self, slot: u16) {
        match self {
            Self::One(node) => node.doubt(),
            Self::Cluster(cluster) => cluster.doubt_server(slot),
        }
    }

    /// Something did not work.
    fn doubt(&self) {
        if let Self::Cluster(cluster) = self {
            cluster.doubt();
        }
    }
}
