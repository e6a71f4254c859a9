//! Networks as they are written: `10.0.0.0/8`, or a single address. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use super::diagnostic::{Fault, shown};
use super::report::Spanned;
use super::value::Value;

/// Reads a list of networks, or a single one.
pub(super) fn networks(value: &Value<'_>) -> Vec<Spanned<IpNet>> {
    let texts = value.texts("expected networks, such as 10.0.0.0/8, fd00::/8 or 10.1.2.3");
    texts.into_iter().filter_map(network).collect()
}

/// Reads a network. What it covers must be what it seems to cover.
fn network(at: Spanned<String>) -> Option<Spanned<IpNet>> {
    let Spanned { value: text, location } = at;
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let Ok(network) = address.or_else(|_| text.parse::<IpNet>()) else {
        let message = format!("invalid network \'{}\'", shown(&text));
        location
            .error(Fault::new(message, "expected a network such as 10.0.0.0/8 or fd00::/8, or one address"));
        return None;
    };
    if let IpNet::V6(v6) = network
        && v6.network().to_ipv4_mapped().is_some()
    {
        let message = format!("'{}' never matches: such addresses are compared as IPv4", shown(&text));
        location.error(Fault::new(message, "expected the IPv4 network, such as 10.0.0.0/8"));
        return None;
    }
    if network.addr() != network.network() {
        let meant = network.trunc();
        location.warn(
            format!("'{}' covers all of {meant}", shown(&text)),
            format!("expected {meant} for the network, or {} for the one address", network.addr()),
        );
    }
    Some(Spanned { value: network.trunc(), location })
}

/// Whether it covers every address of its family.
pub(super) fn covers_all(network: &IpNet) -> bool {
    network.prefix_len() == 0
}
