//! Queries the sentinels for the primary.
//!
//! They are queried about once a second, and before the next connection when one failed: a primary that is cut off from
//! the rest does not know that it was replaced, and a demoted one keeps its connections open. All sentinels are queried,
//! and the report of the highest configuration epoch wins, as it does among themselves: a sentinel that is cut off with
//! an old primary still reports that one, and after a failover the others know the new one a second or two later than
//! their leader.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bb8_redis::redis::{self, ErrorKind, RedisError, Value};
use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::settings::ServerAddress;
use crate::store::redis::server::backoff;
use crate::store::redis::server::endpoint::{Elected, Election};
use crate::store::redis::wire::dialer::Dialer;
use crate::store::redis::wire::link::{Link, pipeline};

/// How long a sentinel may take to reply, with connecting.
const QUERY_TIMEOUT: Duration = Duration::from_millis(300);
/// The longest time between two queries.
const QUERY_EVERY: Duration = Duration::from_secs(1);

/// What one sentinel reports.
struct Report {
    primary: ServerAddress,
    epoch: u64,
}

/// The sentinels of one primary.
#[derive(Debug)]
pub(crate) struct Sentinels {
    /// The name of the primary.
    name: String,
    sentinels: Vec<Sentinel>,
    dialer: Arc<Dialer>,
}

struct Sentinel {
    address: ServerAddress,
    link: Mutex<Option<Link>>,
}

impl fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.address, f)
    }
}

impl Sentinels {
    pub(crate) fn new(addresses: Vec<ServerAddress>, name: String, dialer: Arc<Dialer>) -> Self {
        let sentinel = |address| Sentinel { address, link: Mutex::default() };
        Self { name, sentinels: addresses.into_iter().map(sentinel).collect(), dialer }
    }

    /// Queries the sentinels regularly and on request, and publishes what they report, for ever.
    pub(crate) async fn run(self, mut election: Election) {
        loop {
            tokio::select! {
                () = backoff::pause(QUERY_EVERY) => {}
                () = election.requested() => {}
            }
            // If no sentinel replies, the connections that wait for the primary report it.
            election.publish(&self.query().await);
        }
    }

    async fn query(&self) -> Elected {
        let reports =
            join_all(self.sentinels.iter().map(|sentinel| sentinel.query(&self.name, &self.dialer)));
        let mut newest: Option<Report> = None;
        let mut failure = None;
        for report in reports.await {
            match report {
                Ok(report) if newest.as_ref().is_none_or(|newest| newest.epoch < report.epoch) => {
                    newest = Some(report);
                }
                Ok(_) => {}
                // That a sentinel does not know the name is more important than that others are unreachable.
                Err(error) if error.kind() == ErrorKind::InvalidClientConfig => failure = Some(error),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match newest {
            Some(Report { primary, .. }) => Ok(primary),
            None => Err(failure.unwrap_or_else(|| unknown(&self.name))),
        }
    }
}

impl Sentinel {
    /// Queries this sentinel for the primary.
    async fn query(&self, name: &str, dialer: &Dialer) -> Result<Report, RedisError> {
        let queried = timeout(QUERY_TIMEOUT, async {
            let mut link = self.link.lock().await;
            // Taken out: a link with an outstanding reply must not be used again.
            let mut open = match link.take().and_then(|mut link| link.is_open().then_some(link)) {
                Some(open) => open,
                None => dialer.dial_sentinel(&self.address).await?,
            };
            let query = |what| redis::cmd("SENTINEL").arg(what).arg(name).take();
            let replies = open.send(&pipeline([query("GET-MASTER-ADDR-BY-NAME"), query("MASTER")])).await?;
            *link = Some(open);
            Ok(replies)
        });
        let queried = queried.await.unwrap_or_else(|_| Err((ErrorKind::Io, "no reply in time").into()));
        let mut replies = queried.map_err(|error| self.failed(&error))?.into_iter();
        let mut next = || replies.next().unwrap_or(Ok(Value::Nil)).map_err(|error| self.failed(&error));
        let primary: Option<(String, u16)> = redis::from_redis_value(next()?)?;
        let (host, port) = primary.ok_or_else(|| unknown(name))?;
        let about: HashMap<String, String> = redis::from_redis_value(next()?)?;
        let epoch = about.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or_default();
        Ok(Report { primary: ServerAddress { host, port }, epoch })
    }

    fn failed(&self, error: &RedisError) -> RedisError {
        (ErrorKind::Io, "no sentinel replies", format!("{}: {error}", self.address)).into()
    }
}

fn unknown(name: &str) -> RedisError {
    (ErrorKind::InvalidClientConfig, "the sentinels do not know a primary of that name", name.to_owned())
        .into()
}
