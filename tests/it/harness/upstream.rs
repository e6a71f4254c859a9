//! A small application that tells what reached it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One request as the application saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
}

/// The application's answer to a request whose body it has not read yet.
pub type Answer = Response<BoxBody<Bytes, Infallible>>;

/// The running application.
pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// One that answers each request with 200 and `ok`, once its body is there.
    pub async fn start() -> Self {
        Self::serving(async |request: Request<Incoming>| {
            let _ = request.into_body().collect().await;
            Response::new(full("ok"))
        })
        .await
    }

    /// One that answers as `answer` does.
    pub async fn serving<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let record = Arc::clone(&seen);
        let mut upstream = Self::raw(move |stream| {
            let (record, answer) = (Arc::clone(&record), answer.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                record.lock().unwrap().push(Seen {
                    method: request.method().clone(),
                    target: request.uri().to_string(),
                    headers: request.headers().clone(),
                });
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            async move { drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await) }
        })
        .await;
        upstream.seen = seen;
        upstream
    }

    /// One that answers each request with 200 and `ok`, and remembers none, for tests that send many.
    pub async fn forgetful() -> Self {
        Self::raw(async |stream| {
            let service = service_fn(async |request: Request<Incoming>| {
                let _ = request.into_body().collect().await;
                Ok::<_, Infallible>(Response::new(full("ok")))
            });
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        })
        .await
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
        Self { address, seen: Arc::default(), connections, accepting }
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

/// A body that is there at once.
pub fn full(body: impl Into<Bytes>) -> BoxBody<Bytes, Infallible> {
    Full::new(body.into()).boxed()
}
