//! Tunnels: WebSocket over HTTP/1.1 (RFC 6455) and over HTTP/2 (RFC 8441). Once the upstream has accepted the upgrade,
//! bytes are copied in both directions.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::{Body as _, Incoming};
use hyper::ext::Protocol;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::timeout;

use crate::connection::{Connection, ConnectionGuards};
use crate::metrics::{self, Bound};
use crate::permits::Permit;
use crate::timer::LastMove;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const PROTOCOL: &[u8] = b"websocket";
/// RFC 6455, section 1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The size of the buffer of each direction. It is small, as there may be thousands of tunnels, most of them idle.
const BUFFER: usize = 4 * 1024;
/// How long the other direction may stay open when one has ended.
const HALF_OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A client's request for a tunnel.
#[derive(Debug)]
pub(super) struct UpgradeRequest {
    client: OnUpgrade,
    /// Over HTTP/2 the key is tidegate's own, and this is the proof that the upstream must return for it. None: over
    /// HTTP/1.1 the key is the client's, and the client checks the proof.
    accept: Option<HeaderValue>,
    http2: bool,
    /// Keep an HTTP/2 connection from counting as idle while the tunnel is open.
    guards: Option<ConnectionGuards>,
}

/// Returns the request for a tunnel, if `request` is one, and turns `request` into a GET that is matched, checked and
/// forwarded like any other. Upgrades to other protocols (h2c among them) are not supported: over HTTP/1.1 their fields
/// are removed like all hop-by-hop fields, and the request is forwarded without them.
pub(super) fn take_upgrade(request: &mut Request<Incoming>) -> Option<UpgradeRequest> {
    if request.version() == Version::HTTP_2 {
        let protocol = request.extensions_mut().remove::<Protocol>()?;
        if request.method() != Method::CONNECT || !protocol.as_ref().eq_ignore_ascii_case(PROTOCOL) {
            return None;
        }
        let client = request.extensions_mut().remove::<OnUpgrade>()?;
        let key = HeaderValue::try_from(STANDARD.encode(random_key())).ok()?;
        let accept = accept_of(&key);
        *request.method_mut() = Method::GET;
        let headers = request.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
        headers.entry(header::SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
        let guards = request.extensions_mut().remove::<ConnectionGuards>();
        return Some(UpgradeRequest { client, accept: Some(accept), http2: true, guards });
    }
    let is_upgrade = request.body().is_end_stream() && is_handshake(request);
    let client = if is_upgrade { request.extensions_mut().remove::<OnUpgrade>()? } else { return None };
    Some(UpgradeRequest { client, accept: None, http2: false, guards: None })
}

/// Returns whether the head of a request is the handshake of a WebSocket over HTTP/1.1.
pub(super) fn is_handshake<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && lists(request.headers(), &header::CONNECTION, b"upgrade")
        && lists(request.headers(), &header::UPGRADE, PROTOCOL)
}

/// Returns a key of the opening handshake. It need not be secret (RFC 6455, section 4.1).
fn random_key() -> [u8; 16] {
    fastrand::u128(..).to_ne_bytes()
}

/// Returns the proof that the upstream accepted a WebSocket handshake with this key (RFC 6455, section 4.2.2).
fn accept_of(key: &HeaderValue) -> HeaderValue {
    let mut hash = sha1_smol::Sha1::from(key.as_bytes());
    hash.update(ACCEPT_GUID);
    HeaderValue::try_from(STANDARD.encode(hash.digest().bytes())).unwrap_or(HeaderValue::from_static(""))
}

/// Returns whether a list field contains a token, in upper or lower case.
fn lists(headers: &HeaderMap, name: &HeaderName, token: &[u8]) -> bool {
    let mut tokens = headers.get_all(name).iter().flat_map(|line| line.as_bytes().split(|&b| b == b','));
    tokens.any(|each| each.trim_ascii().eq_ignore_ascii_case(token))
}

/// Sets the fields of an upgrade to WebSocket over HTTP/1.1, on a request or on the response that accepts it.
pub(super) fn set_upgrade_fields(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, WEBSOCKET);
}

/// What a tunnel holds until it ends, and its timeout.
pub(super) struct TunnelGuards {
    pub(super) connection: Arc<Connection>,
    pub(super) permit: Permit,
    pub(super) idle_timeout: Duration,
}

/// What the upstream's response means for an upgrade.
pub(super) enum UpgradeOutcome<B> {
    /// The upstream accepted. The tunnel opens once the client has this response.
    Tunnel(Response<()>),
    /// The upstream declined with this response.
    Declined(Response<B>),
    /// The upstream switched to another protocol, or did not prove that it accepts the handshake.
    Invalid,
}

impl UpgradeRequest {
    /// Opens the tunnel if the upstream's response accepts it.
    pub(super) fn complete<B>(self, mut response: Response<B>, guards: TunnelGuards) -> UpgradeOutcome<B> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return UpgradeOutcome::Declined(response);
        }
        let headers = response.headers();
        let switched = lists(headers, &header::CONNECTION, b"upgrade")
            && headers.get_all(header::UPGRADE).iter().count() == 1
            && lists(headers, &header::UPGRADE, PROTOCOL);
        let proven = self
            .accept
            .as_ref()
            .is_none_or(|accept| headers.get(header::SEC_WEBSOCKET_ACCEPT) == Some(accept));
        if !switched || !proven {
            return UpgradeOutcome::Invalid;
        }
        let upstream = hyper::upgrade::on(&mut response);
        let (head, _no_body) = response.into_parts();
        let mut response = Response::from_parts(head, ());
        super::headers::clean_response(response.headers_mut());
        if self.http2 {
            *response.status_mut() = StatusCode::OK;
            response.headers_mut().remove(header::SEC_WEBSOCKET_ACCEPT);
        } else {
            set_upgrade_fields(response.headers_mut());
        }
        tokio::spawn(async move {
            let _counted = metrics::tunnel();
            let _guards = (guards.connection, guards.permit, self.guards);
            // The client's side is ready once the client has the response. If the client leaves before, this fails.
            let Ok((client, upstream)) = tokio::try_join!(self.client, upstream) else { return };
            relay(client, upstream, guards.idle_timeout).await;
        });
        UpgradeOutcome::Tunnel(response)
    }
}

/// Copies bytes in both directions until one side breaks off, both have ended, or no byte has arrived for too long.
async fn relay(client: Upgraded, upstream: Upgraded, idle_timeout: Duration) {
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_upstream, to_upstream) = tokio::io::split(TokioIo::new(upstream));
    let last_byte = LastMove::start();
    let mut up = std::pin::pin!(copy(from_client, to_upstream, &last_byte));
    let mut down = std::pin::pin!(copy(from_upstream, to_client, &last_byte));
    tokio::select! {
        ended = &mut up => if ended.is_ok() { let _ = timeout(HALF_OPEN_TIMEOUT, down).await; },
        ended = &mut down => if ended.is_ok() { let _ = timeout(HALF_OPEN_TIMEOUT, up).await; },
        () = last_byte.lasts(idle_timeout) => Bound::StreamIdle.count_exceeded(),
    }
}

type Reader = ReadHalf<TokioIo<Upgraded>>;
type Writer = WriteHalf<TokioIo<Upgraded>>;

/// Copies one direction to its end.
async fn copy(mut from: Reader, mut to: Writer, last_byte: &LastMove) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        last_byte.note();
        to.write_all(buffer.get(..length).unwrap_or_default()).await?;
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{accept_of, lists};

    #[test]
    fn the_proof_is_that_of_the_standard_s_example() {
        // RFC 6455, section 1.3.
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept_of(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_token_is_found_on_any_line_of_its_field() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONNECTION, HeaderValue::from_static("keep-alive"));
        headers.append(header::CONNECTION, HeaderValue::from_static("te , Upgrade"));
        assert!(lists(&headers, &header::CONNECTION, b"upgrade"));
    }

    #[test]
    fn a_part_of_a_token_is_not_the_token() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONNECTION, HeaderValue::from_static("upgrades, no upgrade"));
        assert!(!lists(&headers, &header::CONNECTION, b"upgrade"));
    }
}
