//! A minimal rate-limiting proxy on hyper: the yardstick of `make bench-instructions` and `make bench`.
//!
//! ```text
//! cargo run --release --example hyper_proxy -- 127.0.0.1:9080 --rate 30
//! ```
//! It shows what hyper and tokio cost by themselves. It omits what a proxy on a network needs: removal of
//! hop-by-hop fields, timeouts, bounds, retries, metrics, a drain, a policy for outages.

#![allow(clippy::print_stdout, reason = "prints the address that it listens on")]

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use anyhow::Context as _;
use bb8_redis::redis::aio::MultiplexedConnection;
use bb8_redis::redis::{self, Script, Value};
use bytes::Bytes;
use clap::Parser;
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tidegate::clock::Stopwatch;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

#[path = "../benches/cost/take.rs"]
mod take;

const MINUTE_MS: u64 = 60_000;

#[derive(Parser)]
struct Options {
    /// Where requests are forwarded to
    upstream: SocketAddr,
    /// Limits each value of x-api-key to this many requests per minute, counted in memory
    #[arg(long)]
    rate: Option<u64>,
    /// Counts in this Redis instead, with tidegate's script
    #[arg(long, requires = "rate")]
    redis: Option<String>,
    /// Speaks HTTP/2 with clients instead of HTTP/1.1
    #[arg(long)]
    http2: bool,
    /// Speaks TLS with clients: the certificate and its key, as PEM files
    #[arg(long, num_args = 2, value_names = ["CERTIFICATE", "KEY"])]
    tls: Vec<PathBuf>,
}

enum Limit {
    None,
    /// Requests in the current minute by key, and the number of that minute.
    Memory(u64, Mutex<HashMap<HeaderValue, (u64, u64)>>, Stopwatch),
    Redis(u64, MultiplexedConnection),
}

struct Proxy {
    upstream: SocketAddr,
    http2: bool,
    limit: Limit,
    idle: Mutex<VecDeque<SendRequest<Incoming>>>,
}

type Body = Either<Incoming, Empty<Bytes>>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Options { upstream, rate, redis, http2, tls } = Options::parse();
    let limit = match (rate, redis) {
        (None, _) => Limit::None,
        (Some(rate), None) => Limit::Memory(rate, Mutex::default(), Stopwatch::start()),
        (Some(rate), Some(url)) => {
            let mut redis = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
            TAKE.load_async(&mut redis).await?;
            Limit::Redis(rate, redis)
        }
    };
    let acceptor = match tls.as_slice() {
        [certificate, key] => {
            let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
            let config = ServerConfig::builder().with_no_client_auth();
            let config = config.with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
            Some(TlsAcceptor::from(Arc::new(config)))
        }
        _ => None,
    };
    let proxy = Arc::new(Proxy { upstream, http2, limit, idle: Mutex::default() });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (proxy, acceptor) = (Arc::clone(&proxy), acceptor.clone());
        tokio::spawn(async move {
            match acceptor {
                Some(acceptor) => proxy.serve(acceptor.accept(stream).await?).await,
                None => proxy.serve(stream).await,
            }
        });
    }
}

impl Proxy {
    async fn serve(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    ) -> anyhow::Result<()> {
        let (http2, stream) = (self.http2, TokioIo::new(stream));
        let service = service_fn(move |request| Arc::clone(&self).handle(request));
        if http2 {
            http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await?;
        } else {
            http1::Builder::new().serve_connection(stream, service).await?;
        }
        Ok(())
    }

    async fn handle(self: Arc<Self>, mut request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
        if !self.limit.admits(&request).await? {
            let mut refusal = Response::new(Either::Right(Empty::new()));
            *refusal.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            return Ok(refusal);
        }
        if self.http2 {
            to_http1(&mut request)?;
        }
        let mut sender = self.sender().await?;
        let response = sender.send_request(request).await?;
        lock(&self.idle).push_back(sender);
        Ok(response.map(Either::Left))
    }

    /// Returns a connection to the upstream: the one that has been idle for longest, or a new one.
    async fn sender(&self) -> anyhow::Result<SendRequest<Incoming>> {
        loop {
            let Some(mut sender) = lock(&self.idle).pop_front() else { break };
            // Its last response may still be under way; an error means that the upstream closed it.
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// HTTP/1.1 names the host in a field of its own.
fn to_http1(request: &mut Request<Incoming>) -> anyhow::Result<()> {
    let host = request.uri().authority().context("no :authority")?.as_str().parse()?;
    request.headers_mut().insert(header::HOST, host);
    let target = request.uri().path_and_query().cloned().context("no :path")?;
    (*request.uri_mut(), *request.version_mut()) = (Uri::from(target), Version::HTTP_11);
    Ok(())
}

static TAKE: LazyLock<Script> = LazyLock::new(take::script);

impl Limit {
    async fn admits(&self, request: &Request<Incoming>) -> anyhow::Result<bool> {
        let key = request.headers().get("x-api-key");
        match (self, key) {
            (Self::None, _) | (_, None) => Ok(true),
            (Self::Memory(rate, counts, started), Some(key)) => {
                let minute = started.millis().unsigned_abs() / MINUTE_MS;
                let mut counts = lock(counts);
                let (current, count) = counts.entry(key.clone()).or_default();
                if *current != minute {
                    (*current, *count) = (minute, 0);
                }
                *count += 1;
                Ok(*count <= *rate)
            }
            (Self::Redis(rate, redis), Some(key)) => {
                let counter = [b"hyper_proxy:", key.as_bytes()].concat();
                let call = take::call(TAKE.get_hash(), &counter, *rate);
                let reply = call.query_async(&mut redis.clone()).await?;
                let (_now_ms, charged, _before): (i64, i64, Value) = reply;
                Ok(charged == 1)
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
