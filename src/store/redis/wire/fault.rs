//! What an error says about the server.

use bb8_redis::redis::{ErrorKind, RedisError, ServerErrorKind};

/// Whether a server that is well says that a key is not its own, or not in one place for the moment.
pub(crate) fn is_elsewhere(error: &RedisError) -> bool {
    error.redirect_node().is_some() || is_split(error)
}

/// Whether the keys of a call were in two places.
pub(crate) fn is_split(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::TryAgain)
}

/// Whether a script is not there, so that nothing was executed.
pub(crate) fn is_unloaded(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether a connection broke that there was.
pub(crate) fn is_broken(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Io && !error.is_connection_refusal()
}

/// Whether an error is an answer of a server that can be asked again on this connection. A server that loads its data,
/// has become a replica, or wants other credentials is better looked up anew.
pub(crate) fn is_answer(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, MasterDown, ReadOnly};
    match error.kind() {
        ErrorKind::Server(kind) => !matches!(kind, BusyLoading | MasterDown | ReadOnly),
        ErrorKind::Extension => error.code() != Some("NOAUTH"),
        _ => false,
    }
}

/// What went wrong, for whoever has to mend it.
pub(crate) fn says(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            "what listens there does not speak Redis's protocol".to_owned()
        }
        _ => error.to_string(),
    }
}
