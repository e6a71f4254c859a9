//! A small application that tells what reached it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;

use super::Certificates;
use super::stream::{AnyStream, Stream};

/// One request as the application saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub version: Version,
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
}

/// The application's answer to a request whose body it has not read yet.
pub type Answer = Response<BoxBody<Bytes, Infallible>>;

/// How the application is spoken to.
#[derive(Clone)]
pub enum Dialect {
    Http1,
    H2c,
    /// TLS, with this choice of protocols for ALPN.
    Tls(Certificates, &'static [&'static str]),
    UnixHttp1,
    UnixH2c,
}

/// The running application.
pub struct Upstream {
    /// Where it listens, unless that is a Unix socket.
    pub address: SocketAddr,
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
    _directory: Option<TempDir>,
}

impl Upstream {
    /// One that answers each request with 200 and `ok`, once its body is there.
    pub async fn start() -> Self {
        Self::serving(ok).await
    }

    /// The same in another dialect.
    pub async fn start_as(dialect: Dialect) -> Self {
        Self::speaking(dialect, ok).await
    }

    /// One that answers as `answer` does.
    pub async fn serving<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::speaking(Dialect::Http1, answer).await
    }

    /// The same in another dialect.
    pub async fn speaking<F>(
        dialect: Dialect,
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let record = Arc::clone(&seen);
        let spoken = dialect.clone();
        let talk = move |stream: AnyStream| {
            let (record, answer) = (Arc::clone(&record), answer.clone());
            let service = move |request: Request<Incoming>| {
                record.lock().unwrap().push(Seen {
                    version: request.version(),
                    method: request.method().clone(),
                    target: request.uri().to_string(),
                    headers: request.headers().clone(),
                });
                answer(request)
            };
            converse(stream, spoken.clone(), service)
        };
        let mut upstream = match dialect {
            Dialect::UnixHttp1 | Dialect::UnixH2c => Self::on_unix_socket(talk).await,
            _ => Self::raw(move |stream| talk(Box::new(stream))).await,
        };
        upstream.url = match dialect {
            Dialect::Http1 => format!("http://{}", upstream.address),
            Dialect::H2c => format!("h2c://{}", upstream.address),
            Dialect::Tls(..) => format!("https://{}", upstream.address),
            Dialect::UnixHttp1 => format!("unix:{}", upstream.url),
            Dialect::UnixH2c => format!("h2c+unix:{}", upstream.url),
        };
        upstream.seen = seen;
        upstream
    }

    /// One that answers each request with 200 and `ok`, and remembers none, for tests that send many.
    pub async fn forgetful() -> Self {
        Self::raw(async |stream| converse(Box::new(stream), Dialect::Http1, ok).await).await
    }

    /// One that does with each connection what `talk` does.
    pub async fn raw<F>(talk: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(talk(stream));
            }
        });
        let url = format!("http://{address}");
        Self { address, url, seen: Arc::default(), connections, accepting, _directory: None }
    }

    /// The same on a Unix socket; its URL is the path so far.
    async fn on_unix_socket<F>(talk: impl Fn(AnyStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let directory = tempfile::tempdir().unwrap();
        let path: PathBuf = directory.path().join("application");
        let listener = UnixListener::bind(&path).unwrap();
        let connections: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(talk(Box::new(stream)));
            }
        });
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let (url, directory) = (path.to_str().unwrap().to_owned(), Some(directory));
        Self { address, url, seen: Arc::default(), connections, accepting, _directory: directory }
    }

    /// Where it is, as the configuration names it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The newest request.
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("nothing reached the application")
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn ok(request: Request<Incoming>) -> Answer {
    let _ = request.into_body().collect().await;
    Response::new(full("ok"))
}

async fn converse<F>(stream: AnyStream, dialect: Dialect, answer: impl Fn(Request<Incoming>) -> F)
where
    F: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let (h2, stream): (bool, AnyStream) = match dialect {
        Dialect::Http1 | Dialect::UnixHttp1 => (false, stream),
        Dialect::H2c | Dialect::UnixH2c => (true, stream),
        Dialect::Tls(certificates, protocols) => {
            let Ok(stream) = certificates.acceptor(protocols).accept(stream).await else { return };
            (stream.get_ref().1.alpn_protocol() == Some(b"h2"), Box::new(stream))
        }
    };
    let stream = TokioIo::new(stream);
    if h2 {
        drop(http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await);
    } else {
        drop(http1::Builder::new().serve_connection(stream, service).await);
    }
}

/// An HTTP/2 client of its own on this connection.
pub async fn h2_over(
    stream: impl Stream,
) -> hyper::client::conn::http2::SendRequest<BoxBody<Bytes, Infallible>> {
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A body that is there at once.
pub fn full(body: impl Into<Bytes>) -> BoxBody<Bytes, Infallible> {
    Full::new(body.into()).boxed()
}
