//! Forwards an admitted request, and prepares the response for the client.

use std::sync::Arc;

use http::{Request, Response, StatusCode, Version};
use http_body_util::{Either, Full as Text};
use hyper::body::Incoming;

use super::parsed::ParsedRequest;
use super::reserve::Reserved;
use super::response::{self, Body};
use super::tunnel::{self, TunnelGuards, UpgradeOutcome};
use super::{Admitted, Proxy, headers};
use crate::clock::Stopwatch;
use crate::connection::Connection;
use crate::policy::{Policy, bypass};
use crate::upstream::{ConnectionKind, OnInterim, Outgoing, UpstreamError};

impl Proxy {
    /// Forwards an admitted request. If the upstream gives no response, the response is tidegate's own.
    pub(super) async fn forward(
        &self,
        mut request: Request<Incoming>,
        admitted: Admitted<'_>,
        connection: Arc<Connection>,
        policy: &Policy,
    ) -> Response<Body> {
        let Admitted { request: parsed, reserved, passed } = admitted;
        bypass::remove_secrets(policy.bypasses(), request.headers_mut());
        let trusted = parsed.client.trusted_peer;
        headers::set_origin(request.headers_mut(), &parsed.target, &connection, trusted, policy.forwarded());
        headers::note_via(request.headers_mut(), parsed.version);
        headers::mark_exceeded(request.headers_mut(), &passed.exceeded);
        let mut response = match self.send(request, parsed, reserved, connection).await {
            Ok(response) => response,
            Err(error) => {
                error.fault().inspect(|fault| fault.count());
                error.bound().inspect(|bound| bound.count_exceeded());
                tracing::debug!(%error, "the upstream gave no response");
                response::upstream_failed(&error)
            }
        };
        if let Some(standing) = &passed.standing {
            headers::advertise(response.headers_mut(), standing, policy.x_ratelimit_headers());
        }
        response
    }

    /// Sends a request to the upstream, and returns the response for the client. A response that accepts an upgrade
    /// opens the tunnel.
    async fn send(
        &self,
        mut request: Request<Incoming>,
        parsed: ParsedRequest,
        reserved: Reserved,
        connection: Arc<Connection>,
    ) -> Result<Response<Body>, UpstreamError> {
        let interim = (parsed.version == Version::HTTP_11).then(|| pass_interim(&connection)).flatten();
        let tunnel = parsed.upgrade.zip(reserved.tunnel);
        let kind = match &tunnel {
            Some(_) => ConnectionKind::Upgrade,
            None => ConnectionKind::Pooled,
        };
        if kind == ConnectionKind::Upgrade {
            tunnel::set_upgrade_fields(request.headers_mut());
        }
        let outgoing = Outgoing {
            request,
            path_and_query: parsed.target.path_and_query,
            expects_continue: parsed.expects_continue,
            kind,
            interim,
            secret_fields: parsed.secret_fields,
            reservation: reserved.upstream,
            guards: Box::new(reserved.request),
        };
        let watch = Stopwatch::start();
        // Boxed, so that the future of a request stays small where it is moved.
        let response = Box::pin(self.upstream.send(outgoing)).await?;
        self.meter.upstream_responded(watch.seconds());
        let mut response = match tunnel {
            None => response.map(Either::Right),
            Some((upgrade, permit)) => {
                let idle_timeout = self.bounds.stream_idle_timeout;
                match upgrade.complete(response, TunnelGuards { connection, permit, idle_timeout }) {
                    UpgradeOutcome::Tunnel(response) => response.map(|()| Either::Left(Text::default())),
                    UpgradeOutcome::Declined(response) => response.map(Either::Right),
                    UpgradeOutcome::Invalid => return Err(UpstreamError::Unsolicited),
                }
            }
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            headers::clean_response(response.headers_mut());
        }
        let version = response.version();
        headers::note_via(response.headers_mut(), version);
        *response.version_mut() = Version::HTTP_11;
        Ok(response)
    }
}

/// Returns the function that passes interim responses to the client, or `None` if the client cannot receive any.
fn pass_interim(connection: &Connection) -> Option<OnInterim> {
    let interim = Arc::clone(connection.interim.as_ref()?);
    let request = interim.request();
    Some(Arc::new(move |status, fields| {
        let mut fields = fields.clone();
        headers::clean_response(&mut fields);
        interim.push(request, status, &fields);
    }))
}
