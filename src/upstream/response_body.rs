//! The body of a response on its way to the client, and what it occupies until it has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use super::exchange::{BodyError, BodyState, Exchange, Stillness};
use super::pool::Occupied;
use crate::metrics::Bound;
use crate::trailers;

/// An answer's body on its way to the client.
pub struct Answer {
    body: Incoming,
    exchange: Arc<Exchange>,
    stillness: Stillness,
    bound: Bound,
    deadline: Option<Pin<Box<Sleep>>>,
    /// What the exchange occupies. It is let go when the answer has ended, or is given up.
    held: Option<Occupied>,
}

impl Answer {
    pub(super) fn new(
        body: Incoming,
        exchange: Arc<Exchange>,
        bound: Bound,
        deadline: Option<Pin<Box<Sleep>>>,
        held: Occupied,
    ) -> Self {
        let mut answer =
            Self { body, exchange, stillness: Stillness::default(), bound, deadline, held: Some(held) };
        if answer.body.is_end_stream() {
            answer.ended();
        }
        answer
    }

    /// The connection can serve the next request, if it is done with this one. If the application has answered before
    /// it had all of the body, the rest still goes to it, as long as it takes it and the client sends it.
    fn ended(&mut self) {
        let unwanted = self.exchange.answered();
        let Some(held) = self.held.take() else { return };
        if self.exchange.body() == BodyState::Ended {
            held.give_back();
        } else if !unwanted {
            tokio::spawn(see_off(Arc::clone(&self.exchange), held));
        }
    }
}

/// Keeps a connection whose answer has ended until its request has, or stands still.
async fn see_off(exchange: Arc<Exchange>, held: Occupied) {
    const LOOK: Duration = Duration::from_millis(100);
    while matches!(exchange.body(), BodyState::Untouched | BodyState::Awaited)
        && exchange.patience().is_some()
    {
        tokio::time::sleep(LOOK).await;
    }
    drop(held);
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("body", &self.body).finish_non_exhaustive()
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            Bound::Request.exceeded();
            return Poll::Ready(Some(Err(BodyError::RequestTimeout)));
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match polled {
            Poll::Ready(Some(Ok(mut frame))) => {
                self.stillness.is_over();
                self.exchange.moved();
                frame.trailers_mut().into_iter().for_each(|trailers| trailers::strip(trailers, &[]));
                if self.body.is_end_stream() {
                    self.ended();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => {
                self.ended();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Self { stillness, exchange, bound, .. } = &mut *self;
                std::task::ready!(stillness.poll(exchange, context));
                bound.exceeded();
                Poll::Ready(Some(Err(BodyError::Late)))
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
