//! A request as it is matched, checked and forwarded.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, Version, header};
use hyper::body::{Body as _, Incoming};

use super::headers;
use super::target::{RequestError, Target};
use super::tunnel::{self, UpgradeRequest};
use crate::bounds::Bounds;
use crate::connection::Connection;
use crate::policy::client::Client;
use crate::policy::query::Query;
use crate::policy::{Facts, Policy};

/// A request that can be forwarded, besides its head.
pub(super) struct ParsedRequest {
    pub(super) target: Target,
    pub(super) client: Client,
    /// The version in which the client sent the request.
    pub(super) version: Version,
    /// None: the request is not one for a tunnel.
    pub(super) upgrade: Option<UpgradeRequest>,
    pub(super) expects_continue: bool,
    /// Fields that are not forwarded in a trailer section.
    pub(super) secret_fields: Arc<[HeaderName]>,
}

impl ParsedRequest {
    /// Reads a request in the one way in which it then is matched and forwarded, and removes the fields that are not
    /// for the upstream.
    pub(super) fn parse(
        request: &mut Request<Incoming>,
        connection: &Connection,
        policy: &Policy,
        bounds: &Bounds,
    ) -> Result<Self, RequestError> {
        let upgrade = tunnel::take_upgrade(request);
        let version = request.version();
        let expects_continue = version == Version::HTTP_11
            && !request.body().is_end_stream()
            && request.headers().get(header::EXPECT).is_some_and(is_continue);
        let (target, client) = read(request, connection.peer.ip(), policy, bounds)?;
        let secret_fields = policy.secret_fields();
        Ok(Self { target, client, version, upgrade, expects_continue, secret_fields })
    }

    /// Returns what the rules can see of the request.
    pub(super) fn facts<'a>(
        &'a self,
        request: &'a Request<Incoming>,
        connection: &'a Connection,
    ) -> Facts<'a> {
        facts(request, &self.target, self.client, self.upgrade.is_some(), &connection.names)
    }
}

/// Removes the fields that are not for the upstream, and reads where the request goes and who sends it.
pub(super) fn read<B>(
    request: &mut Request<B>,
    peer: IpAddr,
    policy: &Policy,
    bounds: &Bounds,
) -> Result<(Target, Client), RequestError> {
    headers::clean_request(request.headers_mut(), policy.fields(), bounds)?;
    let target = Target::of(request, policy.path(), bounds)?;
    let client = policy.client().identify(peer, request.headers());
    Ok((target, client))
}

/// Returns what the rules can see of a request.
pub(super) fn facts<'a, B>(
    request: &'a Request<B>,
    target: &'a Target,
    client: Client,
    websocket: bool,
    names: &'a [String],
) -> Facts<'a> {
    Facts {
        method: request.method(),
        host: target.host(),
        path: target.path(),
        decoded_path: target.decoded_path(),
        query: Query::new(target.path_and_query.query().unwrap_or_default()),
        headers: request.headers(),
        websocket,
        client,
        names,
    }
}

/// RFC 9110, section 10.1.1, defines no other expectation.
fn is_continue(expected: &HeaderValue) -> bool {
    expected.as_bytes().eq_ignore_ascii_case(b"100-continue")
}
