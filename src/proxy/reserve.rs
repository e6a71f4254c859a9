//! What a request takes of this instance before it is charged.

use super::access_log::AccessLog;
use super::{Asked, Proxy};
use crate::metrics::{Bound, UpstreamFault};
use crate::permits::queued::QueuedPermit;
use crate::permits::{Exhausted, Permit};
use crate::upstream::Reservation;

/// What a request has taken of this instance, to be held while it is under way.
pub(super) struct Reserved {
    pub(super) request: QueuedPermit,
    /// None if it asks for no tunnel.
    pub(super) tunnel: Option<Permit>,
    pub(super) turn: Reservation,
}

/// What there was too much of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Overload {
    /// Requests of the client.
    Requests,
    /// Tunnels, in all or of the client.
    Tunnels(Exhausted),
    /// Requests that wait for the upstream.
    Upstream,
}

impl Proxy {
    /// Takes what the request needs of this instance, before it is charged. Only for its client's own share does it
    /// wait, and while it does it holds nothing that others need.
    pub(super) async fn reserve(
        &self,
        asked: &Asked,
        name: &str,
        access_log: &mut AccessLog<'_>,
    ) -> Result<Reserved, Overload> {
        let request = match self.requests.try_acquire(asked.client) {
            Some(permit) => Some(permit),
            None => {
                access_log.waits(name);
                let permit = self.requests.acquire(asked.client).await;
                access_log.waits_no_longer();
                permit
            }
        };
        let Some(request) = request else {
            access_log.exceeded(Bound::RequestsPerClient);
            return Err(Overload::Requests);
        };
        let tunnel =
            asked.wish.as_ref().map(|_| self.tunnels.try_acquire(asked.client)).transpose().map_err(
                |exhausted| {
                    access_log.exceeded(if exhausted == Exhausted::Total {
                        Bound::Tunnels
                    } else {
                        Bound::TunnelsPerClient
                    });
                    Overload::Tunnels(exhausted)
                },
            )?;
        let Some(turn) = self.upstream.reserve() else {
            access_log.exceeded(Bound::UpstreamPending);
            UpstreamFault::Full.count();
            return Err(Overload::Upstream);
        };
        Ok(Reserved { request, tunnel, turn })
    }
}
