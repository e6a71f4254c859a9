//! The host of a request, with or without a port: read at once, or byte by byte while it arrives. Pure.

use std::net::Ipv6Addr;

/// Returns the name or address in an authority, without the port and a trailing dot. None: it holds something else.
#[must_use]
pub(crate) fn name(authority: &str) -> Option<&str> {
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

/// How far a host has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Nothing of it is there.
    #[default]
    Empty,
    /// A name or an IPv4 address.
    Name,
    /// This many bytes of an IPv6 address, after the opening bracket.
    Address(usize),
    /// The closing bracket.
    AddressEnd,
    /// The colon, and the number behind it.
    Port(u16),
}

impl Beginning {
    /// Reads one byte more. `before` ends with all that has been read. None: no host goes on with it.
    #[must_use]
    pub(crate) fn step(self, byte: u8, before: &[u8]) -> Option<Self> {
        match (self, byte) {
            (Self::Empty, b'[') => Some(Self::Address(0)),
            (Self::Empty | Self::Name, _) if in_name(byte) => Some(Self::Name),
            (Self::Address(length), _) => address(before.get(before.len().saturating_sub(length)..), byte),
            (Self::Name | Self::AddressEnd, b':') => Some(Self::Port(0)),
            (Self::Port(port), b'0'..=b'9') => {
                let longer = port.checked_mul(10).and_then(|port| port.checked_add(u16::from(byte - b'0')));
                longer.map(Self::Port)
            }
            _ => None,
        }
    }

    /// Returns whether it may be complete.
    #[must_use]
    pub(crate) fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::AddressEnd | Self::Port(_))
    }
}

fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

/// What one of these follows may be an address, and whatever may become one is followed by one of these.
const RESTS: [&str; 24] = [
    "",
    ":",
    "::",
    "0",
    "0.0.0",
    "0.0",
    ".0.0.0",
    ".0.0",
    ".0",
    ":0",
    ":0:0",
    ":0:0:0",
    ":0:0:0:0",
    ":0:0:0:0:0",
    ":0:0:0:0:0:0",
    ":0:0:0:0:0:0:0",
    "0:0",
    "0:0:0",
    "0:0:0:0",
    "0:0:0:0:0",
    "0:0:0:0:0:0",
    "0:0:0:0:0:0:0",
    ":0.0.0.0",
    "0.0.0.0",
];

/// An address is at most 45 bytes long, so to try all of its continuations for each byte costs little.
fn address(text: Option<&[u8]>, byte: u8) -> Option<Beginning> {
    let text = std::str::from_utf8(text?).ok()?;
    let is_address = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    if byte == b']' {
        return is_address(text).then_some(Beginning::AddressEnd);
    }
    let text = format!("{text}{}", char::from(byte));
    let may_go_on = RESTS.iter().any(|rest| is_address(&format!("{text}{rest}")));
    may_go_on.then_some(Beginning::Address(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::{Beginning, RESTS, name};

    fn read(text: &str) -> Option<Beginning> {
        let bytes = text.bytes().enumerate();
        bytes
            .into_iter()
            .try_fold(Beginning::default(), |read, (at, byte)| read.step(byte, &text.as_bytes()[..at]))
    }

    const PARTS: &[&str] = &[
        "a", "A-b", "_", ".", ":", ":", "::", "[", "[", "]", "0", "1", "255", "256", "6553", "ffff", "1.2",
        "%", "@", " ", "\u{e9}",
    ];

    fn hosts() -> impl Strategy<Value = String> {
        proptest::collection::vec(select(PARTS), 1..9).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_whole_host_passes_exactly_when_it_has_a_name(host in hosts()) {
            prop_assert_eq!(read(&host).is_some_and(Beginning::may_end), name(&host).is_some(), "{}", host);
        }

        #[test]
        fn what_passes_can_be_completed(host in hosts()) {
            if read(&host).is_some() {
                let mut rests = RESTS.iter().flat_map(|rest| [(*rest).to_owned(), format!("{rest}]")]);
                prop_assert!(rests.any(|rest| name(&format!("{host}{rest}")).is_some()), "{}", host);
            }
        }
    }
}
