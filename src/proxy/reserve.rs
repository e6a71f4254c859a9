//! What a request takes of this instance before it is charged.

use super::Proxy;
use super::access_log::AccessLog;
use super::overload::Overload;
use super::parsed::ParsedRequest;
use super::refusal::Refusal;
use crate::metrics::UpstreamFault;
use crate::permits::Permit;
use crate::permits::queued::QueuedPermit;
use crate::upstream::Reservation;

/// What a request holds of this instance while it is under way.
pub(super) struct Reserved {
    pub(super) request: QueuedPermit,
    /// None: the request is not one for a tunnel.
    pub(super) tunnel: Option<Permit>,
    pub(super) upstream: Reservation,
}

impl Proxy {
    /// Takes what the request needs of this instance, before it is charged. It waits only for its client's own permit,
    /// and holds nothing that other clients need while it waits.
    pub(super) async fn reserve<'p>(
        &self,
        parsed: &ParsedRequest,
        rule: &'p str,
        access_log: &mut AccessLog<'p>,
    ) -> Result<Reserved, Refusal<'p>> {
        let overloaded = |overload| Refusal::Overloaded { rule, overload };
        let client = parsed.client.address;
        let request = match self.requests.try_acquire(client) {
            Some(permit) => Some(permit),
            None => {
                access_log.waits(rule);
                // Boxed, as few requests wait.
                let permit = Box::pin(self.requests.acquire(client)).await;
                access_log.waits_no_longer();
                permit
            }
        };
        let request = request.ok_or(overloaded(Overload::Requests))?;
        let tunnel = parsed.upgrade.as_ref().map(|_| self.tunnels.try_acquire(client)).transpose();
        let tunnel = tunnel.map_err(|exhausted| overloaded(Overload::Tunnels(exhausted)))?;
        let Some(upstream) = self.upstream.reserve() else {
            UpstreamFault::QueueFull.count();
            return Err(overloaded(Overload::Upstream));
        };
        Ok(Reserved { request, tunnel, upstream })
    }
}
