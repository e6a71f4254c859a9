//! Where the admin API is served, and who may use it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use super::Redacted;

/// The settings of the admin API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminSettings {
    /// Its listener.
    pub listen: AdminListen,
    /// Names in `Host` that requests may have, beside IP addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Those that requests must have one of. None: whoever reaches the listener may do everything.
    pub tokens: Vec<AdminToken>,
}

/// The listener of the admin API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdminListen {
    /// [`AdminListen::DEFAULT`], if no other process listens there.
    #[default]
    Default,
    /// This address.
    At(SocketAddr),
    /// The API is not served.
    Off,
}

impl AdminListen {
    /// The default address: this machine's own processes can reach it.
    pub const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);

    /// Returns the address. None: the API is not served.
    #[must_use]
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Default => Some(Self::DEFAULT),
            Self::At(address) => Some(address),
            Self::Off => None,
        }
    }
}

/// As the configuration writes it.
impl fmt::Display for AdminListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// A bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// The author that changes are logged with.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// The BLAKE3 hash of the token.
    pub hash: Redacted<[u8; 32]>,
}

/// What the bearer of a token may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Look at everything.
    #[default]
    Read,
    /// Change what can be changed, too.
    Write,
}
