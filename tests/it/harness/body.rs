//! Bodies that come as the test sends them.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

/// A body of the chunks that are sent; it ends when the sender is dropped.
pub fn chunks() -> (mpsc::Sender<Bytes>, BoxBody<Bytes, Infallible>) {
    let (sender, receiver) = mpsc::channel(4);
    (sender, Sent { receiver, frame: Frame::data }.boxed())
}

/// The same of frames: chunks, and trailers at last.
pub fn frames() -> (mpsc::Sender<Frame<Bytes>>, BoxBody<Bytes, Infallible>) {
    let (sender, receiver) = mpsc::channel(4);
    (sender, Sent { receiver, frame: std::convert::identity }.boxed())
}

/// A body of `length` zeros.
pub fn zeros(length: usize) -> BoxBody<Bytes, Infallible> {
    Zeros(length).boxed()
}

struct Sent<T> {
    receiver: mpsc::Receiver<T>,
    frame: fn(T) -> Frame<Bytes>,
}

impl<T> Body for Sent<T> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = self.frame;
        self.receiver.poll_recv(context).map(|sent| sent.map(|sent| Ok(frame(sent))))
    }
}

struct Zeros(usize);

impl Body for Zeros {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static BLOCK: [u8; 64 * 1024] = [0; 64 * 1024];
        let chunk = Bytes::from_static(&BLOCK[..self.0.min(BLOCK.len())]);
        self.0 -= chunk.len();
        Poll::Ready((!chunk.is_empty()).then(|| Ok(Frame::data(chunk))))
    }
}
