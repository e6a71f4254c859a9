//! One open connection, and the commands that it carries.

mod lent;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use bb8_redis::redis::{Cmd, ErrorKind, Pipeline, RedisConnectionInfo, RedisError, Value};
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::io::poll_read_buf;

use super::access::StoreTls;
use super::resp::Reply;
use crate::settings::ServerAddress;

/// Room for the replies of a usual round trip.
const RECEIVED: usize = 4096;

/// An open connection, logged in. Dropping it closes it, even while replies are outstanding.
pub(crate) struct Link {
    stream: Stream,
    /// Bytes of replies; empty between two round trips.
    received: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Link {
    /// Connects to a server and logs in.
    pub(super) async fn open(
        address: &ServerAddress,
        login: &RedisConnectionInfo,
        tls: Option<&StoreTls>,
    ) -> Result<Self, RedisError> {
        let stream = TcpStream::connect((&*address.host, address.port)).await?;
        // With Nagle's algorithm a small request would wait for the acknowledgement of the one before.
        stream.set_nodelay(true)?;
        let stream = match tls {
            None => Stream::Plain(lent::log_in(stream, login).await?),
            Some(tls) => {
                let connector = TlsConnector::from(Arc::clone(&tls.config));
                let stream = connector.connect(tls.name(address)?, stream).await?;
                Stream::Tls(Box::new(lent::log_in(stream, login).await?))
            }
        };
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends commands in one round trip. Each has its own reply.
    pub(crate) async fn send(&mut self, commands: &Pipeline) -> Replies {
        let replies = self.exchange(&commands.get_packed_pipeline(), commands.len()).await?;
        Ok(replies.iter().map(Reply::value).collect())
    }

    /// Sends `commands` that are encoded already in one round trip, and returns as many replies.
    pub(crate) async fn exchange(
        &mut self,
        commands: &[u8],
        number: usize,
    ) -> Result<Vec<Reply>, RedisError> {
        let Self { stream, received } = self;
        received.clear();
        match stream {
            Stream::Plain(stream) => exchange(stream, received, commands, number).await,
            Stream::Tls(stream) => exchange(&mut **stream, received, commands, number).await,
        }
    }

    /// Sends a command, and does not wait for its reply.
    pub(crate) async fn write(&mut self, command: &[u8]) -> Result<(), RedisError> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(command).await?,
            Stream::Tls(stream) => {
                stream.write_all(command).await?;
                stream.flush().await?;
            }
        }
        Ok(())
    }

    /// Waits for anything that the server sends, and drops it. The connection carries no more round trips.
    pub(crate) async fn receive(&mut self) -> Result<(), RedisError> {
        self.received.clear();
        self.received.reserve(RECEIVED);
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read_buf(&mut self.received).await?,
            Stream::Tls(stream) => stream.read_buf(&mut self.received).await?,
        };
        if read == 0 { Err(closed()) } else { Ok(()) }
    }

    /// Returns whether the server has not closed the connection. This costs no round trip. No reply is outstanding, so
    /// there is nothing to read from an open connection.
    pub(crate) fn is_open(&mut self) -> bool {
        let read = &mut [0];
        match &mut self.stream {
            Stream::Plain(stream) => stream.read(read).now_or_never().is_none(),
            // The library may have messages of its own to read.
            Stream::Tls(stream) => stream.read(read).now_or_never().is_none(),
        }
    }
}

/// Writes and reads at the same time: neither side may wait until the other has read everything.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    received: &mut Vec<u8>,
    commands: &[u8],
    number: usize,
) -> Result<Vec<Reply>, RedisError> {
    let (mut unsent, mut is_flushed, mut parsed) = (commands, false, 0);
    let mut replies = Vec::with_capacity(number);
    let exchanged = poll_fn(|context| {
        while !unsent.is_empty() {
            match Pin::new(&mut *stream).poll_write(context, unsent)? {
                Poll::Ready(0) => return Poll::Ready(Err(closed())),
                Poll::Ready(written) => unsent = unsent.get(written..).unwrap_or_default(),
                Poll::Pending => break,
            }
        }
        if unsent.is_empty() && !is_flushed {
            is_flushed = Pin::new(&mut *stream).poll_flush(context)?.is_ready();
        }
        loop {
            while replies.len() < number
                && let Some(reply) = Reply::first(received.get(parsed..).unwrap_or_default())?
            {
                parsed += reply.len();
                replies.push(reply);
            }
            if replies.len() == number {
                return Poll::Ready(Ok::<_, RedisError>(()));
            }
            received.reserve(RECEIVED);
            if ready!(poll_read_buf(Pin::new(&mut *stream), context, received))? == 0 {
                return Poll::Ready(Err(closed()));
            }
        }
    });
    exchanged.await?;
    if parsed < received.len() || !is_flushed {
        return Err((ErrorKind::Parse, "more replies than commands").into());
    }
    Ok(replies)
}

fn closed() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()
}

/// The replies of one round trip. The outer error means that the connection broke, so there are none.
pub(crate) type Replies = Result<Vec<Result<Value, RedisError>>, RedisError>;

/// Returns a pipeline of `commands`.
pub(crate) fn pipeline(commands: impl IntoIterator<Item = Cmd>) -> Pipeline {
    let commands = commands.into_iter();
    let mut pipeline = Pipeline::with_capacity(commands.size_hint().0);
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline
}
