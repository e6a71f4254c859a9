//! The host of a request, with or without a port: as the rules compare it. Pure.

use std::net::Ipv6Addr;

/// Returns the name or address in an authority, without the port and a trailing dot. None: it holds something else.
#[must_use]
pub fn name(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address.parse::<Ipv6Addr>().ok()?;
            (address, port)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
    let digits = port.strip_prefix(':').unwrap_or_default();
    let number = digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok();
    let port_ok = port.is_empty() || port == ":" || (port.starts_with(':') && number);
    if !host.bytes().all(name) || !port_ok || (host.is_empty() && !authority.is_empty()) {
        return None;
    }
    Some(host.strip_suffix('.').unwrap_or(host))
}
