//! A connection on which the scripts are loaded, and which knows whether it is broken.
//!
//! The connections of bb8-redis and redis never report that they are broken: one that the server closed would fail again
//! and again, or each checkout would have to pay for a PING.

use bb8_redis::redis::RedisError;

use crate::settings::ServerAddress;
use crate::store::redis::wire::clock_offset::ClockOffset;
use crate::store::redis::wire::fault;
use crate::store::redis::wire::link::{Link, pipeline};
use crate::store::redis::wire::resp::Reply;
use crate::store::redis::wire::scripts;

/// A connection on which the scripts are loaded.
pub(crate) struct Connection {
    link: Link,
    pub(super) address: ServerAddress,
    pub(super) offset: ClockOffset,
    broken: bool,
    /// Whether it has carried a round trip of calls.
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
    pub(crate) fn is_open(&mut self) -> bool {
        !self.broken && self.link.is_open()
    }

    /// Returns whether no round trip has broken the connection.
    pub(super) fn is_intact(&self) -> bool {
        !self.broken
    }

    /// Loads the scripts.
    pub(crate) async fn load_scripts(&mut self) -> Result<(), RedisError> {
        let commands = pipeline(scripts::load_commands());
        let replies = self.exchange(&commands.get_packed_pipeline(), commands.len()).await?;
        replies.iter().find_map(Reply::error).map_or(Ok(()), Err)
    }

    /// Sends commands that are encoded already in one round trip, and returns as many replies. Until they are here the
    /// connection counts as broken: if the caller gives up on them, the connection is not used again.
    pub(crate) async fn exchange(
        &mut self,
        commands: &[u8],
        number: usize,
    ) -> Result<Vec<Reply>, RedisError> {
        self.broken = true;
        let replies = self.link.exchange(commands, number).await;
        self.broken = match &replies {
            Ok(replies) => replies.iter().filter_map(Reply::error).any(|error| !fault::is_reply(&error)),
            Err(_) => true,
        };
        replies
    }
}
