//! Finding the primary by asking the sentinels.
//!
//! They are asked before each connection, and about once a second beside: a primary that was cut off from the rest
//! does not know that it has been replaced, and a demoted one keeps its connections open. All are asked, and the
//! answer that most give is taken, as one that is cut off with an old primary still names it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bb8_redis::redis::{self, ErrorKind, RedisError};
use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::backoff;
use super::server::{Address, Link, pipeline};
use super::shared::Shared;

/// How long a sentinel may take for its answer, with connecting.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);
/// How long the answer is believed, at most.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The sentinels of one primary.
#[derive(Debug)]
pub(super) struct Sentinels {
    inner: Arc<Inner>,
    _watch: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Inner {
    /// The primary's name.
    name: String,
    sentinels: Vec<Sentinel>,
    /// Whom they last named.
    named: ArcSwapOption<Address>,
    shared: Arc<Shared>,
}

struct Sentinel {
    address: Address,
    link: Mutex<Option<Link>>,
}

impl std::fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.address, f)
    }
}

impl Sentinels {
    pub(super) fn new(sentinels: Vec<Address>, name: String, shared: Arc<Shared>) -> Self {
        let sentinel = |address| Sentinel { address, link: Mutex::default() };
        let sentinels = sentinels.into_iter().map(sentinel).collect();
        let inner = Arc::new(Inner { name, sentinels, named: ArcSwapOption::empty(), shared });
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

    /// The primary, as the sentinels name it now.
    pub(super) async fn primary(&self) -> Result<Address, RedisError> {
        self.inner.ask().await
    }

    /// Whether this is still the primary, by the last that is known.
    pub(super) fn still_name(&self, address: &Address) -> bool {
        self.inner.named.load().as_ref().is_none_or(|named| **named == *address)
    }
}

impl Inner {
    async fn ask(&self) -> Result<Address, RedisError> {
        let answers =
            join_all(self.sentinels.iter().map(|sentinel| sentinel.ask(&self.name, &self.shared))).await;
        let (named, silent): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        let named: Vec<Address> = named.into_iter().filter_map(Result::ok).collect();
        let votes = |address: &Address| named.iter().filter(|each| *each == address).count();
        // Of equals the first: max_by_key would take the last.
        match named.iter().rev().max_by_key(|address| votes(address)) {
            Some(primary) => {
                self.named.store(Some(Arc::new(primary.clone())));
                Ok(primary.clone())
            }
            None => Err(silent.into_iter().find_map(Result::err).unwrap_or_else(|| unknown(&self.name))),
        }
    }
}

impl Sentinel {
    /// Whom this one names.
    async fn ask(&self, name: &str, shared: &Shared) -> Result<Address, RedisError> {
        let mut link = self.link.lock().await;
        // Taken out: a link on which an answer is missing must not be used again.
        let kept = link.take().filter(Link::is_open);
        let asked = timeout(ANSWER_TIMEOUT, async {
            let mut open = match kept {
                Some(open) => open,
                None => {
                    let access = shared.access.load_full();
                    Link::open(&self.address, &access.sentinel, access.tls.as_ref()).await?
                }
            };
            let command = redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name).take();
            let replies = open.send(&pipeline([command])).await?;
            Ok((open, replies))
        });
        let asked = asked.await.unwrap_or_else(|_| Err((ErrorKind::Io, "no answer in time").into()));
        let (open, replies) = asked.map_err(|error| self.says(&error))?;
        *link = Some(open);
        let reply =
            replies.into_iter().next().ok_or_else(|| unknown(name))?.map_err(|error| self.says(&error))?;
        let named: Option<(String, u16)> = redis::from_redis_value(reply)?;
        named.map(|(host, port)| Address { host, port }).ok_or_else(|| unknown(name))
    }

    fn says(&self, error: &RedisError) -> RedisError {
        (ErrorKind::Io, "no sentinel answers", format!("{}: {error}", self.address)).into()
    }
}

fn unknown(name: &str) -> RedisError {
    (ErrorKind::InvalidClientConfig, "the sentinels know no primary of that name", name.to_owned()).into()
}
