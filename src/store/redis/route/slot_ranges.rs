//! What servers of a cluster report about the owners of slots: `CLUSTER SLOTS` and redirections.

use bb8_redis::redis::{self, ErrorKind, RedisError, Value};

use crate::settings::ServerAddress;
use crate::store::redis::wire::dialer::Dialer;
use crate::store::redis::wire::link::pipeline;

/// A range of slots, and the server that owns them.
pub(super) struct SlotRange {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) owner: ServerAddress,
}

/// Queries the server at `address` for all slot ranges.
pub(super) async fn query(dialer: &Dialer, address: &ServerAddress) -> Result<Vec<SlotRange>, RedisError> {
    let mut link = dialer.dial_server(address).await?;
    let replies = link.send(&pipeline([redis::cmd("CLUSTER").arg("SLOTS").take()])).await?;
    let reply = replies.into_iter().next().ok_or((ErrorKind::Client, "no reply to CLUSTER SLOTS"))??;
    let ranges: Vec<Vec<Value>> = redis::from_redis_value(reply)?;
    if ranges.is_empty() {
        return Err((ErrorKind::Client, "the server knows no slots").into());
    }
    ranges.into_iter().map(|range| slot_range(range, address)).collect()
}

/// Parses one entry of `CLUSTER SLOTS`: first and last slot, primary, and replicas.
fn slot_range(range: Vec<Value>, queried: &ServerAddress) -> Result<SlotRange, RedisError> {
    let mut fields = range.into_iter();
    let mut next = || fields.next().ok_or((ErrorKind::Client, "a slot range is incomplete"));
    let (first, last, primary) = (next()?, next()?, next()?);
    Ok(SlotRange {
        first: redis::from_redis_value(first)?,
        last: redis::from_redis_value(last)?,
        owner: primary_address(redis::from_redis_value(primary)?, queried)?,
    })
}

/// Parses a primary: host, port, and fields that are not needed here.
fn primary_address(primary: Vec<Value>, queried: &ServerAddress) -> Result<ServerAddress, RedisError> {
    let mut fields = primary.into_iter();
    let host: Option<String> = fields.next().map(redis::from_redis_value).transpose()?.flatten();
    let port = fields.next().ok_or((ErrorKind::Client, "a server without a port"))?;
    let host = host.filter(|host| !is_own_host(host)).unwrap_or_else(|| queried.host.clone());
    Ok(ServerAddress { host, port: redis::from_redis_value(port)? })
}

/// Returns the server to which the one at `address` redirects a call.
pub(super) fn redirection(error: &RedisError, address: &ServerAddress) -> Option<ServerAddress> {
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    let host = if is_own_host(host) { &address.host } else { host };
    Some(ServerAddress { host: host.to_owned(), port: port.parse().ok()? })
}

/// Returns whether a server that does not know its own name means the host that tidegate connected to.
fn is_own_host(host: &str) -> bool {
    host.is_empty() || host == "?"
}
