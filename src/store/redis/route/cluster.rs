//! A Redis Cluster: which server has which slot, and calls that find their way.
//!
//! Each server has its own queue and connections, so checks of different slots share a round trip where they share
//! a server. (The client's own cluster connection sends one pipeline per slot.)

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bb8_redis::redis::{self, ErrorKind, RedisError, ServerErrorKind, Value};
use futures_util::future::select_ok;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::Deadline;
use crate::store::StoreError;
use crate::store::redis::server::backoff;
use crate::store::redis::server::breaker::Breaker;
use crate::store::redis::server::connection::Server;
use crate::store::redis::server::node::{Node, Unanswered};
use crate::store::redis::shared::Shared;
use crate::store::redis::wire::call::Call;
use crate::store::redis::wire::link::{Link, ServerAddress, pipeline};
use crate::store::redis::wire::slot::SLOTS;

/// How often a call may be sent on, within its deadline.
const REDIRECTIONS: usize = 5;
/// How long a server may take to say who has which slot, with connecting.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// After how long the next server is asked as well.
const NEXT_AFTER: Duration = Duration::from_millis(50);
/// How long to leave the map alone after it was drawn: while a server is away, every check doubts it.
const REST: Duration = Duration::from_millis(250);

/// The servers of one cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    inner: Arc<Inner>,
    _cartographer: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Inner {
    map: ArcSwap<Map>,
    /// Held while the map is changed; reading it needs no lock.
    changing: Mutex<()>,
    /// Notified when the map may be wrong.
    doubt: Notify,
    /// Notified when it has been drawn.
    drawn: Notify,
    seeds: Vec<ServerAddress>,
    /// Open while there is no map at all; each server has its own.
    breaker: Breaker,
    shared: Arc<Shared>,
}

/// Who has which slot. Small enough to be copied for each change.
#[derive(Clone, Debug)]
struct Map {
    /// By slot the place in `servers`.
    owners: Vec<Option<u16>>,
    servers: Vec<(ServerAddress, Arc<Node>)>,
}

impl Cluster {
    pub(crate) fn new(seeds: Vec<ServerAddress>, shared: Arc<Shared>) -> Self {
        let inner = Arc::new(Inner {
            map: ArcSwap::from_pointee(Map::new()),
            changing: Mutex::default(),
            doubt: Notify::new(),
            drawn: Notify::new(),
            seeds,
            breaker: Breaker::new("cluster".to_owned(), Arc::clone(&shared.health)),
            shared,
        });
        let drawing = Arc::clone(&inner);
        let cartographer = tokio::spawn(async move {
            loop {
                let drawn = drawing.draw().await;
                backoff::pause(REST).await;
                if drawn {
                    drawing.doubt.notified().await;
                }
            }
        });
        Self { inner, _cartographer: AbortOnDropHandle::new(cartographer) }
    }

    /// Calls a script in a slot, wherever that is by now.
    pub(crate) async fn call(&self, call: &Call) -> Result<Value, Unanswered> {
        let slot = call.slot;
        let Some((mut address, mut node)) = self.inner.owner(slot, call.deadline).await else {
            let unknown = || StoreError::Connect(format!("nobody is known to have slot {slot}"));
            return Err(self.inner.breaker.down().unwrap_or_else(unknown).into());
        };
        let mut asking = false;
        let mut redirections = 0;
        loop {
            let answer = node.call(call.clone(), asking).await;
            let Err(Unanswered { error: StoreError::Redis(error), .. }) = &answer else { return answer };
            let Some(target) = target(error, &address).filter(|_| redirections < REDIRECTIONS) else {
                return answer;
            };
            redirections += 1;
            asking = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
            node = self.inner.redirected(&target, (!asking).then_some(slot));
            address = target;
        }
    }

    /// Whether no server is asked at the moment.
    pub(crate) fn is_down(&self) -> bool {
        self.inner.map.load().servers.iter().all(|(_, node)| node.is_down())
    }

    /// Whether the server that has the slot is not asked at the moment.
    pub(crate) fn lacks(&self, slot: u16) -> bool {
        self.inner.map.load().owner(slot).is_none_or(|(_, node)| node.is_down())
    }

    /// An answer of the server that has the slot was of no use.
    pub(crate) fn doubt_server(&self, slot: u16) {
        if let Some((_, node)) = self.inner.map.load().owner(slot) {
            node.doubt();
        }
    }

    /// Something did not work: the map may be wrong.
    pub(crate) fn doubt(&self) {
        self.inner.doubt.notify_one();
    }
}

/// Where an error of a server at `address` sends us.
fn target(error: &RedisError, address: &ServerAddress) -> Option<ServerAddress> {
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    let host = if is_unknown(host) { &address.host } else { host };
    Some(ServerAddress { host: host.to_owned(), port: port.parse().ok()? })
}

/// Whether a server does not know its own name, and so means the one that was dialled.
fn is_unknown(host: &str) -> bool {
    host.is_empty() || host == "?"
}

impl Inner {
    /// Who has the slot. The first attempt to draw the map is waited for.
    async fn owner(&self, slot: u16, deadline: Deadline) -> Option<(ServerAddress, Arc<Node>)> {
        let drawn = self.drawn.notified();
        let map = self.map.load_full();
        if !map.servers.is_empty() || self.breaker.is_open() {
            return map.owner(slot);
        }
        let _ = tokio::time::timeout_at(deadline.instant().into(), drawn).await;
        self.map.load().owner(slot)
    }

    /// The server that a call was sent on to; the slot has moved there, if one is given.
    fn redirected(&self, address: &ServerAddress, moved: Option<u16>) -> Arc<Node> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.map.load().node(address);
        if let (Some(node), None) = (known, moved) {
            return node;
        }
        let mut map = Map::clone(&self.map.load());
        let (place, node) = map.place(address, || self.node(address));
        if let Some(owner) = moved.and_then(|slot| map.owners.get_mut(usize::from(slot))) {
            *owner = place;
            self.doubt.notify_one();
        }
        self.map.store(Arc::new(map));
        node
    }

    fn node(&self, address: &ServerAddress) -> Arc<Node> {
        if !self.map.load().servers.is_empty() {
            // It may not have all the counters of the one in whose place it is.
            self.shared.generation.advance();
        }
        Arc::new(Node::new(Server::Fixed(address.clone()), Arc::clone(&self.shared)))
    }

    /// Draws the map as one of the servers sees it, whichever answers first: in no fixed order, as one that is cut off
    /// sees an old one, and the seeds early, as the others may all have moved.
    async fn draw(&self) -> bool {
        let mut servers: Vec<ServerAddress> =
            self.map.load().servers.iter().map(|(address, _)| address.clone()).collect();
        fastrand::shuffle(&mut servers);
        let early = servers.len().min(1);
        servers.splice(early..early, self.seeds.iter().cloned());
        if servers.is_empty() {
            return false;
        }
        let asked = servers.iter().zip(0_u32..).map(|(address, place)| {
            Box::pin(async move {
                tokio::time::sleep(NEXT_AFTER * place).await;
                let asked = timeout(ANSWER_TIMEOUT, self.ranges(address)).await;
                let asked = asked.unwrap_or_else(|_| Err((ErrorKind::Io, "no answer in time").into()));
                asked.map_err(|error| format!("{address}: {error}"))
            })
        });
        match select_ok(asked).await {
            Ok((ranges, _)) => {
                self.redraw(&ranges);
                self.breaker.close();
                true
            }
            Err(fault) => {
                if self.map.load().servers.is_empty() {
                    self.breaker.open(&StoreError::Connect(fault));
                }
                false
            }
        }
    }

    /// What a server says about who has which slots.
    async fn ranges(&self, address: &ServerAddress) -> Result<Vec<Range>, RedisError> {
        let access = self.shared.access.load_full();
        let mut link = Link::open(address, &access.server, access.tls.as_ref()).await?;
        let replies = link.send(&pipeline([redis::cmd("CLUSTER").arg("SLOTS").take()])).await?;
        let reply = replies.into_iter().next().ok_or((ErrorKind::Client, "no answer"))??;
        let ranges: Vec<(u16, u16, Vec<Value>)> = ranges_of(reply)?;
        if ranges.is_empty() {
            return Err((ErrorKind::Client, "it knows of no slots").into());
        }
        ranges
            .into_iter()
            .map(|(first, last, primary)| Ok(Range { first, last, owner: owner(primary, address)? }))
            .collect()
    }

    fn redraw(&self, ranges: &[Range]) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.map.load();
        let mut map = Map::new();
        for Range { first, last, owner } in ranges {
            let known = || before.node(owner).unwrap_or_else(|| self.node(owner));
            let (place, _) = map.place(owner, known);
            let slots = usize::from(*first)..=usize::from(*last);
            if let Some(owners) = map.owners.get_mut(slots) {
                owners.fill(place);
            }
        }
        let gone = before.servers.iter().filter(|(address, _)| map.node(address).is_none());
        gone.for_each(|(_, node)| node.retire());
        self.map.store(Arc::new(map));
        self.drawn.notify_waiters();
    }
}

/// The slots of one server.
struct Range {
    first: u16,
    last: u16,
    owner: ServerAddress,
}

/// `CLUSTER SLOTS`: per range its first and last slot, its primary, and its replicas.
fn ranges_of(reply: Value) -> Result<Vec<(u16, u16, Vec<Value>)>, RedisError> {
    let ranges: Vec<Vec<Value>> = redis::from_redis_value(reply)?;
    let range = |range: Vec<Value>| {
        let mut fields = range.into_iter();
        let mut next = || fields.next().ok_or((ErrorKind::Client, "a slot range is cut short"));
        let (first, last, primary) = (next()?, next()?, next()?);
        Ok((
            redis::from_redis_value(first)?,
            redis::from_redis_value(last)?,
            redis::from_redis_value(primary)?,
        ))
    };
    ranges.into_iter().map(range).collect()
}

/// Where a primary is: its host, port, and more that is of no interest here.
fn owner(primary: Vec<Value>, asked: &ServerAddress) -> Result<ServerAddress, RedisError> {
    let mut fields = primary.into_iter();
    let host: Option<String> = fields.next().map(redis::from_redis_value).transpose()?.flatten();
    let port = fields.next().ok_or((ErrorKind::Client, "a server without a port"))?;
    let host = host.filter(|host| !is_unknown(host)).unwrap_or_else(|| asked.host.clone());
    Ok(ServerAddress { host, port: redis::from_redis_value(port)? })
}

impl Map {
    fn new() -> Self {
        Self { owners: vec![None; usize::from(SLOTS)], servers: Vec::new() }
    }

    fn owner(&self, slot: u16) -> Option<(ServerAddress, Arc<Node>)> {
        let place = (*self.owners.get(usize::from(slot))?)?;
        self.servers.get(usize::from(place)).cloned()
    }

    fn node(&self, address: &ServerAddress) -> Option<Arc<Node>> {
        self.servers.iter().find(|(known, _)| known == address).map(|(_, node)| Arc::clone(node))
    }

    /// A server and its place, which is new if need be.
    fn place(
        &mut self,
        address: &ServerAddress,
        node: impl FnOnce() -> Arc<Node>,
    ) -> (Option<u16>, Arc<Node>) {
        let place = self.servers.iter().position(|(known, _)| known == address);
        let (place, node) = match place.and_then(|place| Some((place, self.servers.get(place)?))) {
            Some((place, (_, node))) => (place, Arc::clone(node)),
            None => {
                let node = node();
                self.servers.push((address.clone(), Arc::clone(&node)));
                (self.servers.len() - 1, node)
            }
        };
        (u16::try_from(place).ok(), node)
    }
}
