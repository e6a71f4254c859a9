//! The body of a response on its way to the client. It holds the upstream's connection until it has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use super::error::BodyError;
use super::pool::PooledConnection;
use super::progress::{Progress, RequestBodyState, StallTimer};
use crate::metrics::Bound;
use crate::trailers;

/// The body of a response, with the connection that it arrives on.
pub(crate) struct ResponseBody {
    body: Incoming,
    progress: Arc<Progress>,
    stall_timer: StallTimer,
    /// The bound that counts a stall.
    stall_bound: Bound,
    deadline: Option<Pin<Box<Sleep>>>,
    /// None: the response has ended.
    connection: Option<PooledConnection>,
}

impl ResponseBody {
    pub(super) fn new(
        body: Incoming,
        progress: Arc<Progress>,
        stall_bound: Bound,
        deadline: Option<Pin<Box<Sleep>>>,
        connection: PooledConnection,
    ) -> Self {
        let (stall_timer, connection) = (StallTimer::default(), Some(connection));
        let mut response = Self { body, progress, stall_timer, stall_bound, deadline, connection };
        if response.body.is_end_stream() {
            response.end();
        }
        response
    }

    /// Returns the connection to the pool if the request has ended too. An upstream may send its whole response before
    /// it has read all of the request's body: the rest of the body still goes to it while both sides move.
    fn end(&mut self) {
        let withheld = self.progress.end_response();
        let Some(connection) = self.connection.take() else { return };
        if self.progress.request_body() == RequestBodyState::Ended {
            connection.return_to_pool();
        } else if !withheld {
            tokio::spawn(finish_upload(Arc::clone(&self.progress), connection));
        }
    }
}

/// Keeps a connection whose response has ended until the request's body has ended or has stalled for too long.
async fn finish_upload(progress: Arc<Progress>, connection: PooledConnection) {
    const POLL_EVERY: Duration = Duration::from_millis(100);
    while matches!(progress.request_body(), RequestBodyState::NotRequested | RequestBodyState::AwaitsClient)
        && progress.time_left().is_some()
    {
        tokio::time::sleep(POLL_EVERY).await;
    }
    drop(connection);
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseBody").field("body", &self.body).finish_non_exhaustive()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            Bound::Request.count_exceeded();
            return Poll::Ready(Some(Err(BodyError::RequestTimeout)));
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match polled {
            Poll::Ready(Some(Ok(mut frame))) => {
                self.stall_timer.stop();
                self.progress.note_move();
                frame.trailers_mut().into_iter().for_each(|trailers| trailers::strip(trailers, &[]));
                if self.body.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Self { stall_timer, progress, stall_bound, .. } = &mut *self;
                std::task::ready!(stall_timer.poll(progress, context));
                stall_bound.count_exceeded();
                Poll::Ready(Some(Err(BodyError::Stalled)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
