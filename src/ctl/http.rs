//! Requests to the admin API.
#![expect(clippy::indexing_slicing, reason = "a JSON value without the key is null: nothing panics")]

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Above the time that a reload may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest response that is read: 10,000 rules.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// Why a request failed.
#[derive(Debug, Default)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// What is wrong with the configuration file.
    pub(super) faults: Vec<Value>,
    /// Whether the response is 404.
    pub(super) is_missing: bool,
}

impl Failure {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()), ..Self::default() }
    }
}

/// An instance's admin API.
pub(super) struct Server {
    url: Url,
    host: String,
    port: u16,
    token: Option<HeaderValue>,
}

const URL_HELP: &str = "expected http://HOST:PORT, such as http://127.0.0.1:9901";

impl Server {
    /// Reads the address, and the token.
    pub(super) fn new(server: &str, token_file: Option<&Path>) -> Result<Self, Failure> {
        let with_scheme = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
        let invalid = || Failure::new(format!("invalid server '{server}'"), URL_HELP);
        let url = Url::parse(&with_scheme).map_err(|_| invalid())?;
        if url.scheme() == "https" {
            let help = "reach it by kubectl port-forward or ssh -L, and give the http:// address of that";
            return Err(Failure::new("the admin API has no TLS", help));
        }
        let host = url.host_str().filter(|_| url.scheme() == "http").ok_or_else(invalid)?;
        // Of an IPv6 address without the brackets.
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().ok_or_else(invalid)?;
        Ok(Self { host, port, token: token_file.map(token).transpose()?, url })
    }

    /// Sends a request, and returns the body of its response.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let unreachable = |error: io::Error| {
            let help = "is tidegate running there, and its admin API not off? --server names another address; in \
                        Kubernetes: kubectl port-forward POD 9901";
            Failure::new(format!("cannot connect to {}: {error}", self.address()), help)
        };
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect((&*self.host, self.port)));
        let stream = connecting.await.unwrap_or(Err(io::ErrorKind::TimedOut.into())).map_err(unreachable)?;
        let exchange = timeout(RESPONSE_TIMEOUT, self.exchange(stream, method, path, body));
        let late = || Failure::new(format!("no response from {} in time", self.address()), "try again");
        exchange.await.map_err(|_| late())?
    }

    fn address(&self) -> String {
        format!("{}:{}", self.url.host_str().unwrap_or_default(), self.port)
    }

    async fn exchange(
        &self,
        stream: TcpStream,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let broken = |error: &dyn std::error::Error| {
            let help = "is this the admin API? Its default port is 9901";
            Failure::new(format!("invalid response from {}: {error}", self.address()), help)
        };
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.address());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request = request.body(Full::new(body)).map_err(|error| broken(&error))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
        // It ends with the runtime, which ends with the command.
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
        let body = body.map_err(|error| broken(&*error))?.to_bytes();
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let value = serde_json::from_slice(&body);
        if status.is_success() {
            return value.map_err(|error| broken(&error));
        }
        Err(problem(status, value.unwrap_or_default()))
    }
}

/// The failure that a problem describes.
fn problem(status: StatusCode, problem: Value) -> Failure {
    let text = |name: &str| problem[name].as_str().map(str::to_owned);
    let message = text("detail").unwrap_or_else(|| format!("the response is {status}"));
    let help = match status {
        StatusCode::UNAUTHORIZED => {
            Some("give the file of a token in --token-file or TIDEGATE_ADMIN_TOKEN_FILE".to_owned())
        }
        _ => text("help"),
    };
    let faults = problem["faults"].as_array().cloned().unwrap_or_default();
    Failure { message, help, faults, is_missing: status == StatusCode::NOT_FOUND }
}

fn token(file: &Path) -> Result<HeaderValue, Failure> {
    let name = file.display();
    let help = "expected the name of a file with the token on one line";
    let text = std::fs::read(file);
    let text =
        text.map_err(|error| Failure::new(format!("the file '{name}' cannot be read: {error}"), help))?;
    let mut bearer = b"Bearer ".to_vec();
    bearer.extend_from_slice(text.trim_ascii());
    let value = HeaderValue::from_bytes(&bearer).ok().filter(|_| !text.trim_ascii().is_empty());
    let mut value = value.ok_or_else(|| Failure::new(format!("the file '{name}' has no token"), help))?;
    value.set_sensitive(true);
    Ok(value)
}
