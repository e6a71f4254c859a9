//! Reads on for a while after the last response. If a connection is closed while the client still sends, the client may
//! lose the response (RFC 9112, section 9.6).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

/// The maximum that is read.
const MAX_BYTES: usize = 256 * 1024;
/// The maximum time.
const MAX_TIME: Duration = Duration::from_secs(2);

/// How much more is read, and until when.
pub(in crate::server) struct Linger {
    until: Pin<Box<Sleep>>,
    left: usize,
}

impl Default for Linger {
    fn default() -> Self {
        Self { until: Box::pin(tokio::time::sleep(MAX_TIME)), left: MAX_BYTES }
    }
}

impl Linger {
    /// Returns ready when the client has ended its side, or when a maximum is reached.
    pub(in crate::server) fn poll<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            if self.until.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            let mut scratch = [0; 4096];
            let mut unread = ReadBuf::new(&mut scratch);
            match std::task::ready!(Pin::new(&mut *stream).poll_read(context, &mut unread)) {
                Ok(()) if !unread.filled().is_empty() && self.left > 0 => {
                    self.left = self.left.saturating_sub(unread.filled().len());
                }
                _ => return Poll::Ready(()),
            }
        }
    }
}
