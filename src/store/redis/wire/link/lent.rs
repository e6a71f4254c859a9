//! The login. The client library knows how to log in to servers of all versions, but it keeps the stream that it gets. So
//! it gets one that is only lent.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bb8_redis::redis::aio::MultiplexedConnection;
use bb8_redis::redis::{AsyncConnectionConfig, ErrorKind, RedisConnectionInfo, RedisError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Logs in over `stream`, and returns it.
pub(super) async fn log_in<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    login: &RedisConnectionInfo,
) -> Result<S, RedisError> {
    let lent = Lent(Arc::new(Mutex::new(stream)));
    let stream = Arc::clone(&lent.0);
    // Each caller bounds the wait by its own deadline.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    drop(MultiplexedConnection::new_with_config(login, lent, config).await?);
    let stream = Arc::into_inner(stream).ok_or((ErrorKind::Client, "the stream is still in use"))?;
    Ok(stream.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// A stream that comes back when the borrower drops this.
struct Lent<S>(Arc<Mutex<S>>);

impl<S> Lent<S> {
    fn stream(&self) -> MutexGuard<'_, S> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lent<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream()).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_shutdown(context)
    }
}
