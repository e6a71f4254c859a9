//! The requests that show what a recipe does.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{Answer, Reply, Tidegate, Upstream, Wire, eventually, full, h2_over, standing};

/// What is under test.
pub struct Instances<'i> {
    pub instances: &'i [Tidegate],
    pub upstream: &'i Upstream,
}

/// Requests that one client sends one after the other to one instance, and what it gets.
#[derive(Clone, Copy)]
pub struct Step {
    line: &'static str,
    fields: &'static [&'static str],
    from: &'static str,
    instance: usize,
    kind: Kind,
    /// Runs of equal statuses.
    statuses: &'static [(usize, u16)],
    /// Fields of the last response.
    having: &'static [&'static str],
    /// A part of the body of the last response.
    body: &'static str,
    /// Fields of the last request that reached the upstream. One with `!` before its name is absent.
    forwarded: &'static [&'static str],
    /// The target of the last request that reached the upstream.
    target: &'static str,
}

#[derive(Clone, Copy)]
enum Kind {
    /// One request after the other on one connection of HTTP/1.1.
    Http,
    /// A handshake of WebSocket on a connection of its own.
    WebSocket,
    /// A unary call of gRPC. Its status is the `grpc-status` of a refusal, and otherwise the status of HTTP.
    Grpc,
    /// Requests until this limit refuses one.
    Until(&'static str),
}

/// Requests of HTTP/1.1, and the runs of statuses that they get.
pub const fn send(
    line: &'static str,
    fields: &'static [&'static str],
    statuses: &'static [(usize, u16)],
) -> Step {
    Step {
        line,
        fields,
        from: "127.0.0.1",
        instance: 0,
        kind: Kind::Http,
        statuses,
        having: &[],
        body: "",
        forwarded: &[],
        target: "",
    }
}

/// Handshakes of WebSocket.
pub const fn handshakes(path: &'static str, statuses: &'static [(usize, u16)]) -> Step {
    Step { kind: Kind::WebSocket, ..send(path, &[], statuses) }
}

/// Calls of gRPC.
pub const fn calls(path: &'static str, statuses: &'static [(usize, u16)]) -> Step {
    Step { kind: Kind::Grpc, ..send(path, &[], statuses) }
}

/// As many requests as it takes until the limit of this name refuses one. Of them, `admitted` are admitted.
pub const fn until(line: &'static str, limit: &'static str, admitted: &'static [(usize, u16)]) -> Step {
    Step { kind: Kind::Until(limit), ..send(line, &[], admitted) }
}

impl Step {
    /// The client has this address.
    pub const fn from(self, from: &'static str) -> Self {
        Self { from, ..self }
    }

    /// To another instance than the first.
    pub const fn to(self, instance: usize) -> Self {
        Self { instance, ..self }
    }

    /// The last response has these fields.
    pub const fn having(self, having: &'static [&'static str]) -> Self {
        Self { having, ..self }
    }

    /// The body of the last response has this part.
    pub const fn with_body(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    /// The last request that reached the upstream had these fields.
    pub const fn forwarded(self, forwarded: &'static [&'static str]) -> Self {
        Self { forwarded, ..self }
    }

    /// The last request that reached the upstream had this target.
    pub const fn as_target(self, target: &'static str) -> Self {
        Self { target, ..self }
    }

    pub fn is_admitted(&self) -> bool {
        self.statuses.iter().any(|(_, status)| matches!(status, 101 | 200))
    }

    pub fn is_refused(&self) -> bool {
        matches!(self.kind, Kind::Until(_))
            || !self.statuses.iter().all(|(_, status)| matches!(status, 101 | 200))
    }

    /// Sends the requests, and compares what comes back.
    pub async fn take(&self, heading: &str, around: &Instances<'_>) {
        let tidegate = &around.instances[self.instance];
        let what = format!("{heading}: {} {:?} from {}", self.line, self.fields, self.from);
        if let Kind::Until(limit) = self.kind {
            return self.send_until(&what, tidegate, limit).await;
        }
        let mut wire = self.connect(tidegate).await;
        let mut last = None;
        for (count, status) in self.statuses {
            for number in 1..=*count {
                let reply = match self.kind {
                    Kind::Grpc => call(self.stream(tidegate).await, self.line).await,
                    Kind::WebSocket => self.handshake(tidegate).await,
                    Kind::Http | Kind::Until(_) => wire.ask(self.line, self.fields).await,
                };
                assert_eq!(reply.status, *status, "{what}: request {number} of {count}: {reply:?}");
                last = Some(reply);
            }
        }
        let last = last.unwrap();
        for field in self.having {
            let (name, value) = field.split_once(": ").unwrap();
            let found = last.headers.get(name).unwrap_or_else(|| panic!("{what}: no {name} in {last:?}"));
            assert_eq!(found, value, "{what}");
        }
        let body = String::from_utf8_lossy(&last.body).into_owned();
        assert!(body.contains(self.body), "{what}: {body}");
        self.look_at_upstream(&what, around.upstream);
    }

    fn look_at_upstream(&self, what: &str, upstream: &Upstream) {
        for field in self.forwarded {
            let headers = upstream.last().headers;
            match field.strip_prefix('!') {
                Some(name) => assert!(!headers.contains_key(name), "{what}: {headers:?}"),
                None => {
                    let (name, value) = field.split_once(": ").unwrap();
                    assert_eq!(headers[name], value, "{what}");
                }
            }
        }
        if !self.target.is_empty() {
            assert_eq!(upstream.last().target, self.target, "{what}");
        }
    }

    async fn send_until(&self, what: &str, tidegate: &Tidegate, limit: &str) {
        let mut wire = self.connect(tidegate).await;
        let mut admitted = 0;
        eventually("a limit to refuse", async || {
            let Reply { status, headers, .. } = wire.ask(self.line, self.fields).await;
            let (name, _) = standing(&headers).unwrap();
            match status {
                200 => admitted += 1,
                _ => assert_eq!(status, 429, "{what}"),
            }
            (status == 429 && name == limit).then_some(())
        })
        .await;
        assert_eq!(self.statuses, [(admitted, 200)], "{what}");
    }

    async fn stream(&self, tidegate: &Tidegate) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{}:0", self.from).parse().unwrap()).unwrap();
        socket.connect(tidegate.address).await.unwrap()
    }

    async fn connect(&self, tidegate: &Tidegate) -> Wire {
        Wire::over(self.stream(tidegate).await)
    }

    async fn handshake(&self, tidegate: &Tidegate) -> Reply {
        const FIELDS: &[&str] = &[
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        self.connect(tidegate).await.ask(&format!("GET {}", self.line), FIELDS).await
    }
}

async fn call(stream: TcpStream, path: &str) -> Reply {
    let request = Request::post(format!("http://app.test{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let mut client = h2_over(stream).await;
    let message = Bytes::from_static(b"\0\0\0\0\x01x");
    let response = client.send_request(request.body(full(message)).unwrap()).await.unwrap();
    let headers = response.headers().clone();
    let refused = headers.get("grpc-status").map(|status| status.to_str().unwrap().parse().unwrap());
    let status = refused.unwrap_or(response.status().as_u16());
    Reply { status, headers, body: Vec::new(), trailers: http::HeaderMap::new() }
}

/// An upstream that accepts each handshake of WebSocket, and responds `ok` to all other requests.
pub async fn upstream() -> Upstream {
    Upstream::serving(async |request: Request<Incoming>| {
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key;
        let Some(key) = request.headers().get("sec-websocket-key") else {
            return Response::new(full("ok"));
        };
        let response: http::response::Builder = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", accept(key.as_bytes()));
        let response: Answer = response.body(full("")).unwrap();
        response
    })
    .await
}
