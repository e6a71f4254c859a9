//! Peers that name clients without being trusted to: each such request is counted, and now and then the log has a line
//! about the network of the peer. Behind a proxy that the configuration does not name, all clients share one bucket.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use ipnet::IpNet;

use crate::clock::Stopwatch;
use crate::metrics;
use crate::policy::client::{self, Client, ClientIdentity};

/// The time between two lines about one network, in milliseconds.
const LOG_EVERY_MS: i64 = 60 * 60 * 1000;
/// The most networks that are remembered. About others the log has no line until one of these is forgotten.
const MAX_NETWORKS: usize = 256;
/// Proxies of one fleet are usually in one such network.
const IPV4_PREFIX: u8 = 24;
const IPV6_PREFIX: u8 = 64;

/// The networks of peers that the log has a line about.
#[derive(Debug)]
pub(super) struct UntrustedForwarders {
    started: Stopwatch,
    networks: Mutex<HashMap<IpNet, Recent>>,
}

#[derive(Debug)]
struct Recent {
    /// Requests since the last line.
    requests: u64,
    /// When the last line was written, in milliseconds since the start.
    logged_ms: i64,
}

impl Default for UntrustedForwarders {
    fn default() -> Self {
        Self { started: Stopwatch::start(), networks: Mutex::default() }
    }
}

impl UntrustedForwarders {
    /// Counts the request if it names a client, and its peer is not trusted to name one.
    pub(super) fn note(&self, identity: &ClientIdentity, client: &Client, headers: &HeaderMap) {
        if !client::names_a_client(headers) || identity.trusts(client.peer) {
            return;
        }
        metrics::untrusted_forwarded();
        let network = network(client.peer);
        if let Some(requests) = self.due(network, self.started.millis()) {
            tracing::warn!(
                peer = %client.peer,
                %network,
                requests,
                "X-Forwarded-For or Forwarded from a peer that is not in client.trusted_proxies: if it is a proxy, all clients \
                 behind it share one bucket"
            );
        }
    }

    /// Returns the number of requests that a line stands for, if one is due.
    fn due(&self, network: IpNet, now_ms: i64) -> Option<u64> {
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_quiet = |recent: &Recent| now_ms.saturating_sub(recent.logged_ms) < LOG_EVERY_MS;
        if let Some(recent) = networks.get_mut(&network) {
            recent.requests = recent.requests.saturating_add(1);
            if is_quiet(recent) {
                return None;
            }
            recent.logged_ms = now_ms;
            return Some(std::mem::take(&mut recent.requests));
        }
        if networks.len() >= MAX_NETWORKS {
            networks.retain(|_, recent| is_quiet(recent));
        }
        if networks.len() >= MAX_NETWORKS {
            return None;
        }
        networks.insert(network, Recent { requests: 0, logged_ms: now_ms });
        Some(1)
    }
}

fn network(peer: IpAddr) -> IpNet {
    let prefix = if peer.is_ipv4() { IPV4_PREFIX } else { IPV6_PREFIX };
    // The prefix fits the family.
    IpNet::new(peer, prefix).map_or(IpNet::from(peer), |network| network.trunc())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{LOG_EVERY_MS, MAX_NETWORKS, UntrustedForwarders, network};

    fn of(peer: &str) -> ipnet::IpNet {
        network(peer.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn a_network_has_one_line_an_hour() {
        let forwarders = UntrustedForwarders::default();
        assert_eq!(forwarders.due(of("192.0.2.1"), 0), Some(1));
        for minute in 0..60 {
            assert_eq!(forwarders.due(of("192.0.2.200"), minute * 60_000), None);
        }
        assert_eq!(forwarders.due(of("192.0.2.1"), LOG_EVERY_MS), Some(61));
        assert_eq!(forwarders.due(of("192.0.2.1"), LOG_EVERY_MS + 1), None);
    }

    #[test]
    fn one_network_keeps_no_other_quiet() {
        let forwarders = UntrustedForwarders::default();
        for peer in ["192.0.2.1", "192.0.3.1", "2001:db8::1", "2001:db8:0:1::1"] {
            assert_eq!(forwarders.due(of(peer), 0), Some(1), "{peer}");
        }
        assert_eq!(forwarders.due(of("2001:db8::2"), 0), None);
    }

    #[test]
    fn the_number_of_networks_is_bounded() {
        let forwarders = UntrustedForwarders::default();
        let peer = |number: usize| of(&format!("10.{}.{}.1", number / 256, number % 256));
        let lines = (0..2 * MAX_NETWORKS).filter(|number| forwarders.due(peer(*number), 0).is_some());
        assert_eq!(lines.count(), MAX_NETWORKS);
        assert_eq!(forwarders.networks.lock().unwrap().len(), MAX_NETWORKS);
        // An hour later there is room for others.
        assert_eq!(forwarders.due(peer(2 * MAX_NETWORKS), LOG_EVERY_MS), Some(1));
    }
}
