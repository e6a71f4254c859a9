//! Whom a request comes from, behind the proxies that are trusted to say so.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

/// The header in which the trusted proxies name the client. One of the two, never both: proxies that write the
/// one pass the other through, just as the client forged it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The sender of a request, as far as the connection and the trusted proxies identify it.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// The client's address: that of the peer, or the one for which trusted proxies forward.
    pub address: IpAddr,
    /// Whether the request is the peer's own: the peer is not a trusted proxy, or forwards for no other client.
    pub direct: bool,
    /// Whether fields of the peer that name the request's origin may reach the upstream.
    pub trusted_peer: bool,
}

impl ForwardedHeader {
    /// Returns whether an element of the list says nothing. Each pair of `Forwarded` may be empty (RFC 7239, section 4).
    fn is_empty_element(self, element: &[u8]) -> bool {
        element.iter().all(|byte| match byte {
            b' ' | b'\t' => true,
            b';' => self == Self::Forwarded,
            _ => false,
        })
    }
}

/// How the client's address is found.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    /// Peers whose word is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where they put it.
    pub header: ForwardedHeader,
    /// IPv6 clients are told apart by this many leading bits: one host usually holds a whole /64.
    pub ipv6_prefix: u8,
}

impl Default for ClientIdentity {
    fn default() -> Self {
        Self { trusted_proxies: Vec::new(), header: ForwardedHeader::default(), ipv6_prefix: 64 }
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl ClientIdentity {
    /// Identifies the sender of a request with these fields that came from `peer`.
    #[must_use]
    pub fn identify(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        Client {
            peer: peer.to_canonical(),
            address: self.address(peer, headers),
            direct: self.is_direct(peer, headers),
            trusted_peer: self.trusts_origin(peer),
        }
    }

    /// The client's address: that of the peer, or, if the peer is a trusted proxy, the first address from the
    /// right of the header that is not. What cannot be read ends the walk at the last hop that could. Empty elements
    /// of the list are ignored (RFC 9110, section 5.6.1.2): sending one does not make another client.
    #[must_use]
    pub fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines = match self.header {
            ForwardedHeader::XForwardedFor => headers.get_all(X_FORWARDED_FOR),
            ForwardedHeader::Forwarded => headers.get_all(header::FORWARDED),
        };
        for line in lines.iter().rev() {
            let elements = split_from_right(line.as_bytes(), b',');
            for element in elements.filter(|element| !self.header.is_empty_element(element)) {
                if !self.trusts(client) {
                    return client;
                }
                let node = match self.header {
                    ForwardedHeader::XForwardedFor => Some(element),
                    ForwardedHeader::Forwarded => forwarded_for(element),
                };
                match node.and_then(|node| str::from_utf8(node).ok()).and_then(node_address) {
                    Some(address) => client = address,
                    None => return client,
                }
            }
        }
        client
    }

    /// Whether the request is the peer's own. A trusted proxy forwards for a client also if its field cannot be read,
    /// or is the field that the configuration does not name.
    fn is_direct(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        !(names_a_client(headers) && self.trusts(peer.to_canonical()))
    }

    /// Whether the peer's fields about the request's origin may reach the upstream. Without any trusted proxy in the
    /// configuration they do: the peer may be an ingress that the configuration does not name, and the upstream may
    /// need its fields.
    #[must_use]
    pub fn trusts_origin(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.is_empty() || self.trusts(peer.to_canonical())
    }

    /// Whether the address is that of a trusted proxy.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

/// Returns whether the fields name a client: a proxy wrote them, or a peer that pretends to be one.
#[must_use]
pub(crate) fn names_a_client(headers: &HeaderMap) -> bool {
    headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(header::FORWARDED)
}

/// The parts between separators outside quotes, last first. Quotes are paired from the right, where the trusted
/// proxies write: an odd one that the client forged on the left cannot hide what they wrote.
fn split_from_right(line: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let mut quoted = false;
        let at = line.iter().rposition(|&byte| {
            quoted ^= byte == b'"';
            byte == separator && !quoted
        });
        let (left, part) =
            at.map_or((None, line), |at| (line.get(..at), line.get(at + 1..).unwrap_or_default()));
        rest = left;
        Some(part)
    })
}

/// The `for` parameter of one element of `Forwarded` (RFC 7239, section 4).
fn forwarded_for(element: &[u8]) -> Option<&[u8]> {
    let mut values = split_from_right(element, b';').filter_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = pair.split_at(at);
        name.trim_ascii()
            .eq_ignore_ascii_case(b"for")
            .then(|| value.get(1..).unwrap_or_default().trim_ascii())
    });
    // Of two, nobody knows which the proxy meant.
    let value = values.next().filter(|_| values.next().is_none())?;
    Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
}

/// An address as proxies write it: plain, with a port, in brackets, with a zone.
fn node_address(node: &str) -> Option<IpAddr> {
    let node = node.trim();
    let bracketed = node.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let bare = bracketed.map_or(node, |(address, _port)| address);
    let bare = bare.split_once('%').map_or(bare, |(address, _zone)| address);
    let address = bare.parse().or_else(|_| bare.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}
