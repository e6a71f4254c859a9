//! Finding the primary by asking the sentinels.
//!
//! They are asked about once a second, and before a connection when the last one failed: a primary that was cut off
//! from the rest does not know that it has been replaced, and a demoted one keeps its connections open. All are
//! asked, and the answer of the highest configuration epoch is taken, as among themselves: one that is cut off with an
//! old primary still names it, and after a failover the others know the new one a second or two later than their leader.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bb8_redis::redis::{self, ErrorKind, RedisError, Value};
use futures_util::future::join_all;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::store::redis::server::backoff;
use crate::store::redis::shared::Shared;
use crate::store::redis::wire::link::{Link, ServerAddress, pipeline};

/// How long a sentinel may take for its answer, with connecting.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);
/// How often they are asked, at least.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What one of them says.
struct Naming {
    primary: ServerAddress,
    epoch: u64,
}

/// The sentinels of one primary.
#[derive(Debug)]
pub(crate) struct Sentinels {
    inner: Arc<Inner>,
    _watch: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Inner {
    /// The primary's name.
    name: String,
    sentinels: Vec<Sentinel>,
    /// Whom they last named.
    named: watch::Sender<Option<ServerAddress>>,
    /// Whether that is still believed: nothing has failed since.
    believed: AtomicBool,
    shared: Arc<Shared>,
}

struct Sentinel {
    address: ServerAddress,
    link: Mutex<Option<Link>>,
}

impl std::fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.address, f)
    }
}

impl Sentinels {
    pub(crate) fn new(sentinels: Vec<ServerAddress>, name: String, shared: Arc<Shared>) -> Self {
        let sentinel = |address| Sentinel { address, link: Mutex::default() };
        let sentinels = sentinels.into_iter().map(sentinel).collect();
        let believed = AtomicBool::new(false);
        let inner = Arc::new(Inner { name, sentinels, believed, named: watch::Sender::default(), shared });
        let watched = Arc::clone(&inner);
        let watch = tokio::spawn(async move {
            loop {
                backoff::pause(ASK_EVERY).await;
                // If none answers, whoever needs a connection will say so.
                let _ = watched.ask().await;
            }
        });
        Self { inner, _watch: AbortOnDropHandle::new(watch) }
    }

    /// What they call the primary.
    pub(crate) fn name(&self) -> &str {
        &self.inner.name
    }

    /// The primary, as the sentinels named it within the last second or so.
    pub(crate) async fn primary(&self) -> Result<ServerAddress, RedisError> {
        if self.inner.believed.load(Ordering::Relaxed)
            && let Some(named) = self.inner.named.borrow().clone()
        {
            return Ok(named);
        }
        self.inner.ask().await
    }

    /// The one that they named did not work.
    pub(crate) fn doubt(&self) {
        self.inner.believed.store(false, Ordering::Relaxed);
    }

    /// Whether this is still the primary, by the last that is known.
    pub(crate) fn still_name(&self, address: &ServerAddress) -> bool {
        is(&self.inner.named.borrow(), address)
    }

    /// Waits until another is the primary.
    pub(crate) async fn another_than(&self, address: &ServerAddress) {
        // It fails only when there are no sentinels any more, and whoever waits is one of their own then.
        let _ = self.inner.named.subscribe().wait_for(|named| !is(named, address)).await;
    }
}

fn is(named: &Option<ServerAddress>, address: &ServerAddress) -> bool {
    named.as_ref().is_none_or(|named| named == address)
}

impl Inner {
    async fn ask(&self) -> Result<ServerAddress, RedisError> {
        let answers = join_all(self.sentinels.iter().map(|sentinel| sentinel.ask(&self.name, &self.shared)));
        let mut newest: Option<Naming> = None;
        let mut silent = None;
        for answer in answers.await {
            match answer {
                Ok(naming) if newest.as_ref().is_none_or(|newest| newest.epoch < naming.epoch) => {
                    newest = Some(naming);
                }
                Ok(_) => {}
                // One that does not know the name tells more than those that cannot be reached.
                Err(error) if error.kind() == ErrorKind::InvalidClientConfig => silent = Some(error),
                Err(error) => silent = silent.or(Some(error)),
            }
        }
        let Some(Naming { primary, .. }) = newest else {
            return Err(silent.unwrap_or_else(|| unknown(&self.name)));
        };
        self.believed.store(true, Ordering::Relaxed);
        self.named.send_if_modified(|named| named.replace(primary.clone()).as_ref() != Some(&primary));
        Ok(primary)
    }
}

impl Sentinel {
    /// Whom this one names.
    async fn ask(&self, name: &str, shared: &Shared) -> Result<Naming, RedisError> {
        let asked = timeout(ANSWER_TIMEOUT, async {
            let mut link = self.link.lock().await;
            // Taken out: a link on which an answer is missing must not be used again.
            let mut open = match link.take().filter(Link::is_open) {
                Some(open) => open,
                None => {
                    let access = shared.access.load_full();
                    Link::open(&self.address, &access.sentinel, access.tls.as_ref()).await?
                }
            };
            let ask = |what| redis::cmd("SENTINEL").arg(what).arg(name).take();
            let replies = open.send(&pipeline([ask("GET-MASTER-ADDR-BY-NAME"), ask("MASTER")])).await?;
            *link = Some(open);
            Ok(replies)
        });
        let asked = asked.await.unwrap_or_else(|_| Err((ErrorKind::Io, "no answer in time").into()));
        let mut replies = asked.map_err(|error| self.says(&error))?.into_iter();
        let mut next = || replies.next().unwrap_or(Ok(Value::Nil)).map_err(|error| self.says(&error));
        let named: Option<(String, u16)> = redis::from_redis_value(next()?)?;
        let (host, port) = named.ok_or_else(|| unknown(name))?;
        let about: HashMap<String, String> = redis::from_redis_value(next()?)?;
        let epoch = about.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or_default();
        Ok(Naming { primary: ServerAddress { host, port }, epoch })
    }

    fn says(&self, error: &RedisError) -> RedisError {
        (ErrorKind::Io, "no sentinel answers", format!("{}: {error}", self.address)).into()
    }
}

fn unknown(name: &str) -> RedisError {
    (ErrorKind::InvalidClientConfig, "the sentinels know no primary of that name", name.to_owned()).into()
}
