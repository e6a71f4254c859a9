//! Forwards an admitted request, and prepares the response for the client.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{Either, Full as Text};
use hyper::body::Incoming;

use super::access_log::AccessLog;
use super::response::{self, Body};
use super::tunnel::{self, TunnelGuards, UpgradeOutcome, UpgradeRequest};
use super::{Admitted, Proxy, headers};
use crate::clock::Stopwatch;
use crate::connection::Connection;
use crate::limiter::Standing;
use crate::policy::{Policy, bypass};
use crate::upstream::{ConnectionKind, OnInterim, Outgoing, ResponseBody, UpstreamError};

/// A request that is forwarded, besides what is sent.
pub(super) struct Forwarded<'p> {
    since: Stopwatch,
    is_head: bool,
    /// The tightest of the enforced limits.
    standing: Option<Standing<'p>>,
    /// None: the request is not one for a tunnel.
    tunnel: Option<(UpgradeRequest, TunnelGuards)>,
}

// Forwarding is one call of the upstream between these two, neither of which waits. The future of a request is smaller
// than if one async function did all of it.
impl Proxy {
    /// Prepares an admitted request for the upstream.
    pub(super) fn prepare<'p>(
        &self,
        mut request: Request<Incoming>,
        admitted: Admitted<'p>,
        connection: &Arc<Connection>,
        policy: &Policy,
    ) -> (Outgoing, Forwarded<'p>) {
        let Admitted { request: parsed, reserved, passed } = admitted;
        bypass::remove_secrets(policy.bypasses(), request.headers_mut());
        let trusted = parsed.client.trusted_peer;
        headers::set_origin(request.headers_mut(), &parsed.target, connection, trusted, policy.forwarded());
        headers::note_via(request.headers_mut(), parsed.version);
        headers::mark_exceeded(request.headers_mut(), &passed.exceeded);
        let interim = (parsed.version == Version::HTTP_11).then(|| pass_interim(connection)).flatten();
        let idle_timeout = self.bounds.stream_idle_timeout;
        let tunnel = parsed.upgrade.zip(reserved.tunnel);
        let tunnel = tunnel.map(|(upgrade, permit)| {
            let connection = Arc::clone(connection);
            (upgrade, TunnelGuards { connection, permit, idle_timeout })
        });
        let kind = match &tunnel {
            Some(_) => ConnectionKind::Upgrade,
            None => ConnectionKind::Pooled,
        };
        if kind == ConnectionKind::Upgrade {
            tunnel::set_upgrade_fields(request.headers_mut());
        }
        let is_head = request.method() == Method::HEAD;
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
        (outgoing, Forwarded { since: Stopwatch::start(), is_head, standing: passed.standing, tunnel })
    }

    /// Returns the response for the client. If the upstream gave no response, it is tidegate's own.
    pub(super) fn finish(
        &self,
        sent: Result<Response<ResponseBody>, UpstreamError>,
        forwarded: Forwarded<'_>,
        policy: &Policy,
        access_log: &mut AccessLog<'_>,
    ) -> Response<Body> {
        let Forwarded { since, is_head, standing, tunnel } = forwarded;
        let responded = sent.and_then(|response| {
            access_log.upstream_responded(since.seconds());
            pass_response(response, tunnel)
        });
        let mut response = responded.unwrap_or_else(|error| {
            if let Some(fault) = error.fault() {
                fault.count();
                access_log.upstream_failed(fault.label());
            }
            error.bound().inspect(|bound| bound.count_exceeded());
            tracing::debug!(%error, "the upstream gave no response");
            let mut response = response::upstream_failed(&error);
            if is_head {
                response::remove_body(&mut response);
            }
            response
        });
        if let Some(standing) = &standing {
            headers::advertise(response.headers_mut(), standing, policy.x_ratelimit_headers());
        }
        response
    }
}

/// Returns the upstream's response as the client gets it. A response that accepts an upgrade opens the tunnel.
fn pass_response(
    response: Response<ResponseBody>,
    tunnel: Option<(UpgradeRequest, TunnelGuards)>,
) -> Result<Response<Body>, UpstreamError> {
    let mut response = match tunnel {
        None => response.map(Either::Right),
        Some((upgrade, guards)) => match upgrade.complete(response, guards) {
            UpgradeOutcome::Tunnel(response) => response.map(|()| Either::Left(Text::default())),
            UpgradeOutcome::Declined(response) => response.map(Either::Right),
            UpgradeOutcome::Invalid => return Err(UpstreamError::Unsolicited),
        },
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        headers::clean_response(response.headers_mut());
    }
    let version = response.version();
    headers::note_via(response.headers_mut(), version);
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
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
