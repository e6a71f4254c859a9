//! A connection on which the scripts are loaded, and which knows whether it is broken.
//!
//! The connections of bb8-redis and redis never report that they are broken: one that the server closed would fail again
//! and again, or each checkout would have to pay for a PING.

use bb8_redis::redis::{Pipeline, RedisError};

use crate::settings::ServerAddress;
use crate::store::redis::wire::clock_offset::ClockOffset;
use crate::store::redis::wire::fault;
use crate::store::redis::wire::link::{Link, Replies, pipeline};
use crate::store::redis::wire::scripts;

/// A connection on which the scripts are loaded.
pub(crate) struct Connection {
    link: Link,
    pub(super) address: ServerAddress,
    pub(super) offset: ClockOffset,
    broken: bool,
    /// Whether it was returned to the pool intact before.
    pub(super) has_worked: bool,
}

impl Connection {
    /// Loads the scripts over `link`.
    pub(super) async fn new(
        link: Link,
        address: ServerAddress,
        offset: ClockOffset,
    ) -> Result<Self, RedisError> {
        let mut connection = Self { link, address, offset, broken: false, has_worked: false };
        connection.load_scripts().await?;
        Ok(connection)
    }

    /// Returns whether the connection can be used. This costs no round trip.
    pub(crate) fn is_open(&self) -> bool {
        self.link.is_open() && !self.broken
    }

    /// Loads the scripts.
    pub(crate) async fn load_scripts(&mut self) -> Result<(), RedisError> {
        self.send(&pipeline(scripts::load_commands()))
            .await?
            .into_iter()
            .try_for_each(|reply| reply.map(drop))
    }

    /// Sends commands in one round trip. Each has its own reply. Until the replies are here the connection counts as
    /// broken: if the caller gives up on them, the connection is not used again.
    pub(crate) async fn send(&mut self, commands: &Pipeline) -> Replies {
        self.broken = true;
        let replies = self.link.send(commands).await;
        self.broken = match &replies {
            Ok(replies) => {
                replies.iter().any(|reply| reply.as_ref().is_err_and(|error| !fault::is_reply(error)))
            }
            Err(_) => true,
        };
        replies
    }
}
