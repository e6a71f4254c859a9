//! The PROXY protocol (haproxy.org, proxy-protocol.txt): with its first bytes on a connection, a load balancer gives
//! the address of the client. This reads exactly these bytes, and none that follow.

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The maximum length of a line of version 1 (section 2.1).
const LINE_BYTES: usize = 107;
/// The length of the fixed part of version 2: signature, version and command, family and protocol, length.
const FIXED_BYTES: usize = 16;
/// The maximum length of the rest of version 2: addresses and additions. Additions hold a name or the subject of a
/// certificate, not a chain of certificates.
const BLOCK_BYTES: usize = 4096;
/// Version 2 and the command LOCAL: the balancer's own connection. The rest of the header has no meaning (section 2.2).
const LOCAL: u8 = 0x20;

/// Why the client of a connection is unknown. Such a connection can only be closed: the peer's address is not that of
/// the client.
#[derive(Debug, thiserror::Error)]
pub(in crate::server) enum ProxyHeaderError {
    /// The connection begins with something else, such as a request.
    #[error("the connection does not begin with a PROXY protocol header")]
    NoHeader,
    /// The connection ended too early.
    #[error("the connection ended within the PROXY protocol header")]
    Cut,
    /// The header is longer than the bound.
    #[error("the PROXY protocol header is too long")]
    Long,
    /// The line of version 1 is not valid.
    #[error("the PROXY protocol line is not well-formed")]
    Line,
    /// The parser refuses the line of version 1.
    #[error("the PROXY protocol line is not well-formed: {0}")]
    Text(v1::ParseError),
    /// The parser refuses the header of version 2.
    #[error("the PROXY protocol header is not well-formed: {0}")]
    Binary(v2::ParseError),
    /// The header is for UDP, which tidegate does not support.
    #[error("the PROXY protocol header is for datagrams")]
    Datagrams,
    /// Reading from the connection failed.
    #[error("the PROXY protocol header cannot be read: {0}")]
    Read(io::Error),
}

impl From<io::Error> for ProxyHeaderError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Cut } else { Self::Read(error) }
    }
}

/// Reads a header, and returns the address of the client. `None`: the connection is the peer's own, or the client has
/// no address.
///
/// # Errors
/// When the header is missing or invalid.
pub(in crate::server) async fn read_header<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    match stream.read_u8().await? {
        b'P' => line(stream).await,
        b'\r' => block(stream).await,
        _ => Err(ProxyHeaderError::NoHeader),
    }
}

/// Reads a line of version 1, from its second byte.
async fn line<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    const START: &str = "PROXY ";
    let mut line = String::with_capacity(LINE_BYTES);
    line.push('P');
    // Byte by byte: the length of the line is unknown, and the bytes after it must not be read.
    while !line.ends_with('\n') {
        if line.len() == LINE_BYTES {
            return Err(ProxyHeaderError::Long);
        }
        let byte = stream.read_u8().await?;
        if !byte.is_ascii() {
            return Err(ProxyHeaderError::Line);
        }
        line.push(char::from(byte));
        // A request whose method begins with P, such as POST.
        if line.len() <= START.len() && !START.starts_with(&*line) {
            return Err(ProxyHeaderError::NoHeader);
        }
    }
    let text = line.strip_suffix("\r\n").ok_or(ProxyHeaderError::Line)?;
    // The parser stops at a carriage return, and accepts a sign before a port.
    if text.bytes().any(|b| b.is_ascii_control() || b == b'+') {
        return Err(ProxyHeaderError::Line);
    }
    let header = v1::Header::try_from(&*line).map_err(ProxyHeaderError::Text)?;
    Ok(match header.addresses {
        v1::Addresses::Tcp4(tcp) => Some(source(tcp.source_address, tcp.source_port)),
        v1::Addresses::Tcp6(tcp) => Some(source(tcp.source_address, tcp.source_port)),
        v1::Addresses::Unknown => None,
    })
}

/// Reads a header of version 2, from its second byte.
async fn block<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let mut header = Vec::with_capacity(FIXED_BYTES + 36);
    header.push(b'\r');
    // Byte by byte, so that a client that sends an empty line and a request is refused at once, not after 16 bytes.
    while header.len() < FIXED_BYTES {
        header.push(stream.read_u8().await?);
        match v2::Header::try_from(&*header) {
            Err(v2::ParseError::Incomplete(_)) => {}
            Err(v2::ParseError::Prefix) => return Err(ProxyHeaderError::NoHeader),
            _ => {}
        }
    }
    let (command, length) = match *header {
        [.., command, _, high, low] => (command, usize::from(u16::from_be_bytes([high, low]))),
        _ => return Err(ProxyHeaderError::Cut),
    };
    if length > BLOCK_BYTES {
        return Err(ProxyHeaderError::Long);
    }
    header.resize(FIXED_BYTES + length, 0);
    stream.read_exact(header.get_mut(FIXED_BYTES..).unwrap_or_default()).await?;
    // The parser would still check the family, and the length that it requires.
    if command == LOCAL {
        return Ok(None);
    }
    let header = v2::Header::try_from(&*header).map_err(ProxyHeaderError::Binary)?;
    match (header.protocol, header.addresses) {
        (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) | (v2::Protocol::Unspecified, _) => Ok(None),
        (v2::Protocol::Datagram, _) => Err(ProxyHeaderError::Datagrams),
        (v2::Protocol::Stream, v2::Addresses::IPv4(tcp)) => {
            Ok(Some(source(tcp.source_address, tcp.source_port)))
        }
        (v2::Protocol::Stream, v2::Addresses::IPv6(tcp)) => {
            Ok(Some(source(tcp.source_address, tcp.source_port)))
        }
    }
}

fn source(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}
