//! What a request takes of this instance before it is charged.

use super::access_log::AccessLog;
use super::concurrency::Share;
use super::{Asked, Proxy};
use crate::connection::{Full, Place};
use crate::metrics::{Bound, UpstreamFault};
use crate::policy::client::network;
use crate::upstream::Reservation;

/// IPv6 clients are told apart by this many leading bits, where the rules do not say otherwise: one host usually
/// holds a whole /64.
const CLIENT_PREFIX: u8 = 64;

/// What a request has taken of this instance, to be held while it is under way.
pub(super) struct Reserved {
    pub(super) share: Share,
    /// None if it asks for no tunnel.
    pub(super) tunnel: Option<Place>,
    pub(super) turn: Reservation,
}

/// What there was too much of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Overload {
    /// Requests of the client.
    Requests,
    /// Tunnels, in all or of the client.
    Tunnels(Full),
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
        let client = network(asked.client, CLIENT_PREFIX);
        let share = match self.shares.take(client) {
            Some(share) => Some(share),
            None => {
                access_log.waits(name);
                let share = self.shares.wait(client).await;
                access_log.waits_no_longer();
                share
            }
        };
        let Some(share) = share else {
            access_log.exceeded(Bound::RequestsPerClient);
            return Err(Overload::Requests);
        };
        let tunnel = asked.wish.as_ref().map(|_| self.tunnels.take(client)).transpose().map_err(|full| {
            access_log.exceeded(if full == Full::All { Bound::Tunnels } else { Bound::TunnelsPerClient });
            Overload::Tunnels(full)
        })?;
        let Some(turn) = self.upstream.reserve() else {
            access_log.exceeded(Bound::UpstreamPending);
            UpstreamFault::Full.count();
            return Err(Overload::Upstream);
        };
        Ok(Reserved { share, tunnel, turn })
    }
}
