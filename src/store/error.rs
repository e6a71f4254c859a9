//! Why a store made no decision.

use std::sync::Arc;
use std::time::Duration;

use bb8_redis::redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a store made no decision.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No reply arrived before the deadline.
    #[error("no reply within {0:?}")]
    Timeout(Duration),
    /// The counter lacks too much that was admitted without it, and has to be settled first.
    #[error("the counter is not settled yet")]
    Unsettled,
    /// The server failed, and is not used until it succeeds in probes.
    #[error("{0}")]
    Down(Arc<String>),
    /// No connection could be opened.
    #[error("no connection: {0}")]
    Connect(String),
    /// Redis replied with an error, or the connection broke.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// Too many checks wait already.
    #[error("{0} checks are waiting")]
    QueueFull(usize),
    /// The server does not allow what the call needs, though checks may work.
    #[error("{0}")]
    Denied(String),
    /// The reply is not one that the script makes.
    #[error("invalid reply of the script: {0}")]
    InvalidReply(&'static str),
}

impl StoreError {
    /// Returns why the server does not allow the call, if that is the error.
    #[must_use]
    pub fn denial(&self) -> Option<String> {
        match self {
            Self::Denied(reason) => Some(reason.clone()),
            Self::Redis(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => {
                Some(error.to_string())
            }
            _ => None,
        }
    }

    /// Returns whether the call itself caused the error, so that repeating it would fail again.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Redis(error) => error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError),
            Self::InvalidReply(_) => true,
            _ => false,
        }
    }
}
