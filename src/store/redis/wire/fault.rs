//! What an error reveals about the server.

use bb8_redis::redis::{ErrorKind, RedisError, ServerErrorKind};

/// Returns whether a healthy server reports that a key belongs to another server, or that the keys of a call are in two
/// places at the moment.
pub(crate) fn is_elsewhere(error: &RedisError) -> bool {
    error.redirect_node().is_some() || is_split(error)
}

/// Returns whether the keys of a call were in two places.
pub(crate) fn is_split(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::TryAgain)
}

/// Returns whether the script was not loaded, so that nothing was executed.
pub(crate) fn is_unloaded(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Returns whether an open connection broke.
pub(crate) fn is_broken(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Io && !error.is_connection_refusal()
}

/// Returns whether an error is a reply after which the connection can be used again. A server that is loading its data,
/// has become a replica or wants other credentials is better reached over a new connection.
pub(crate) fn is_reply(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, MasterDown, ReadOnly};
    match error.kind() {
        ErrorKind::Server(kind) => !matches!(kind, BusyLoading | MasterDown | ReadOnly),
        ErrorKind::Extension => error.code() != Some("NOAUTH"),
        _ => false,
    }
}

/// Returns what went wrong, in words for the operator.
pub(crate) fn describe(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            "the server does not speak the Redis protocol".to_owned()
        }
        _ => error.to_string(),
    }
}
