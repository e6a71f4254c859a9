//! Leaving HTTP: WebSocket over HTTP/1.1 (RFC 6455) and over HTTP/2 (RFC 8441), and the bytes that then flow both ways.

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

use crate::connection::{Connection, Held};
use crate::metrics::{self, Bound};
use crate::permits::Permit;
use crate::timer::LastMove;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const PROTOCOL: &[u8] = b"websocket";
/// RFC 6455, section 1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// What one direction holds. A tunnel is idle most of the time, and there are thousands.
const BUFFER: usize = 4 * 1024;
/// How long the other direction may go on when one has ended.
const HALF_OPEN: Duration = Duration::from_secs(10);

/// A client that asks for a tunnel.
#[derive(Debug)]
pub(super) struct UpgradeRequest {
    client: OnUpgrade,
    /// Over HTTP/2 the key is ours, and so is the proof to ask for.
    accept: Option<HeaderValue>,
    http2: bool,
    held: Option<Held>,
}

/// Whether, and how, a request asks for a tunnel: it then is made one that is matched, checked and forwarded like
/// any other GET. Other protocols are not offered (h2c among them): without their fields the request goes its way.
pub(super) fn take_upgrade(request: &mut Request<Incoming>) -> Option<UpgradeRequest> {
    if request.version() == Version::HTTP_2 {
        let asked = request.extensions_mut().remove::<Protocol>()?;
        if request.method() != Method::CONNECT || !asked.as_ref().eq_ignore_ascii_case(PROTOCOL) {
            return None;
        }
        let client = request.extensions_mut().remove::<OnUpgrade>()?;
        let key = HeaderValue::try_from(STANDARD.encode(fastrand_key())).ok()?;
        let accept = accept_of(&key);
        *request.method_mut() = Method::GET;
        let headers = request.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
        headers.entry(header::SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
        let held = request.extensions_mut().remove::<Held>();
        return Some(UpgradeRequest { client, accept: Some(accept), http2: true, held });
    }
    let asks = request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && request.body().is_end_stream()
        && lists(request.headers(), &header::CONNECTION, b"upgrade")
        && lists(request.headers(), &header::UPGRADE, PROTOCOL);
    let client = if asks { request.extensions_mut().remove::<OnUpgrade>()? } else { return None };
    Some(UpgradeRequest { client, accept: None, http2: false, held: None })
}

/// Bytes that need not be secret, only different (RFC 6455, section 4.1).
fn fastrand_key() -> [u8; 16] {
    fastrand::u128(..).to_ne_bytes()
}

fn accept_of(key: &HeaderValue) -> HeaderValue {
    let mut hash = sha1_smol::Sha1::from(key.as_bytes());
    hash.update(ACCEPT_GUID);
    HeaderValue::try_from(STANDARD.encode(hash.digest().bytes())).unwrap_or(HeaderValue::from_static(""))
}

/// Whether a list field holds a word, in whatever case.
fn lists(headers: &HeaderMap, name: &HeaderName, word: &[u8]) -> bool {
    let mut words = headers.get_all(name).iter().flat_map(|line| line.as_bytes().split(|&b| b == b','));
    words.any(|each| each.trim_ascii().eq_ignore_ascii_case(word))
}

/// Puts the fields on the request that ask the application for the tunnel.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, WEBSOCKET);
}

/// What lasts as long as a tunnel.
pub(super) struct TunnelGuards {
    pub(super) connection: Arc<Connection>,
    pub(super) permit: Permit,
    pub(super) idle_timeout: Duration,
}

/// The application's answer to a wish.
pub(super) enum UpgradeOutcome<B> {
    /// The tunnel opens as soon as the client has this answer.
    Tunnel(Response<()>),
    /// It said no.
    Declined(Response<B>),
    /// It changed to something else than was asked for.
    Invalid,
}

impl UpgradeRequest {
    /// Opens the tunnel if the application's answer grants it.
    pub(super) fn answered<B>(self, mut answer: Response<B>, lease: TunnelGuards) -> UpgradeOutcome<B> {
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return UpgradeOutcome::Declined(answer);
        }
        let headers = answer.headers();
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
        let application = hyper::upgrade::on(&mut answer);
        let (head, _no_body) = answer.into_parts();
        let mut answer = Response::from_parts(head, ());
        super::headers::clean_response(answer.headers_mut());
        if self.http2 {
            *answer.status_mut() = StatusCode::OK;
            answer.headers_mut().remove(header::SEC_WEBSOCKET_ACCEPT);
        } else {
            ask(answer.headers_mut());
        }
        tokio::spawn(async move {
            let _counted = metrics::tunnel();
            let _held = (lease.connection, lease.permit, self.held);
            // The client's side is there once it has the answer; a client that left before never has it.
            let Ok((client, application)) = tokio::try_join!(self.client, application) else { return };
            run(client, application, lease.idle_timeout).await;
        });
        UpgradeOutcome::Tunnel(answer)
    }
}

/// Carries bytes both ways until one side breaks, both have ended, or nothing has come for too long.
async fn run(client: Upgraded, application: Upgraded, idle_timeout: Duration) {
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_application, to_application) = tokio::io::split(TokioIo::new(application));
    let last_byte = LastMove::start();
    let mut up = std::pin::pin!(carry(from_client, to_application, &last_byte));
    let mut down = std::pin::pin!(carry(from_application, to_client, &last_byte));
    tokio::select! {
        ended = &mut up => if ended.is_ok() { let _ = timeout(HALF_OPEN, down).await; },
        ended = &mut down => if ended.is_ok() { let _ = timeout(HALF_OPEN, up).await; },
        () = last_byte.lasts(idle_timeout) => Bound::StreamIdle.exceeded(),
    }
}

type Reader = ReadHalf<TokioIo<Upgraded>>;
type Writer = WriteHalf<TokioIo<Upgraded>>;

async fn carry(mut from: Reader, mut to: Writer, last_byte: &LastMove) -> std::io::Result<()> {
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
