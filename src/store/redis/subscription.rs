//! Messages about changes of the shared document. They may be lost: who follows them has to look from time to time too.

use std::time::Duration;

use bb8_redis::redis::{self, ErrorKind, RedisError};
use tokio::time::timeout;

use super::RedisStore;
use super::wire::link::{Link, pipeline};
use crate::store::StoreError;

/// How long to wait for a message before the connection is checked.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// How long the server may take for a reply, with connecting.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection over which messages arrive.
pub(crate) struct Subscription {
    link: Link,
    channel: String,
}

impl RedisStore {
    /// Subscribes to messages about changes of the document.
    pub(crate) async fn subscribe(&self) -> Result<Subscription, StoreError> {
        let channel = self.counters.calls.keyspace().document();
        let subscribed = async {
            let address = self.counters.route.address(self.counters.slot_of_document()).await?;
            let mut link = self.nodes.dialer.dial_server(&address).await?;
            // As the reply to SUBSCRIBE may be followed by a message at once, this is a round trip of its own.
            link.send(&pipeline([name()])).await?;
            let replies = link.exchange(&subscribe(&channel), 1).await?;
            Ok::<_, RedisError>((link, replies.first().and_then(|reply| reply.error())))
        };
        match timeout(REPLY_TIMEOUT, subscribed).await {
            Ok(Ok((link, None))) => Ok(Subscription { link, channel }),
            Ok(Ok((_, Some(error)))) => Err(StoreError::Denied(error.to_string())),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(StoreError::Timeout(REPLY_TIMEOUT)),
        }
    }
}

impl Subscription {
    /// Waits for a message. There may be none: it also returns when the server was found alive.
    pub(crate) async fn message(&mut self) -> Result<(), StoreError> {
        if let Ok(received) = timeout(CHECK_EVERY, self.link.receive()).await {
            return Ok(received?);
        }
        // Subscribing once more changes nothing, and needs no other right.
        let checked = async {
            self.link.write(&subscribe(&self.channel)).await?;
            self.link.receive().await
        };
        match timeout(REPLY_TIMEOUT, checked).await {
            Ok(received) => Ok(received?),
            Err(_) => Err(RedisError::from((ErrorKind::Io, "the server is silent")).into()),
        }
    }
}

fn name() -> redis::Cmd {
    redis::cmd("CLIENT").arg("SETNAME").arg("tidegate").take()
}

fn subscribe(channel: &str) -> Vec<u8> {
    redis::cmd("SUBSCRIBE").arg(channel).get_packed_command()
}
