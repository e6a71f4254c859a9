//! Which addresses count as one client. Pure.

use std::net::{IpAddr, Ipv6Addr};

/// Leading bits by which bounds tell IPv6 clients apart: one host usually holds a whole /64.
const CLIENT_PREFIX: u8 = 64;

/// Returns `address` with all but its first `prefix` bits cleared if it is an IPv6 address.
pub(crate) fn network(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

/// Returns the address under which the bounds on connections, requests and tunnels count a client.
pub(crate) fn client_network(address: IpAddr) -> IpAddr {
    network(address.to_canonical(), CLIENT_PREFIX)
}
