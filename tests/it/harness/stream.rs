//! What messages travel over: TCP, TLS or a Unix socket.

use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// One of any kind.
pub type AnyStream = Box<dyn Stream>;
