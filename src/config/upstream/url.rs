//! The URL of the upstream. Pure.

use http::uri::Authority;

use crate::config::diagnostic::{Fault, shown};
use crate::config::listen::socket_path;
use crate::settings::UpstreamAddress;

/// What a URL names: the address and the scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) address: UpstreamAddress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    H2c,
    Https,
}

pub(super) const UPSTREAM_HELP: &str = "expected http://HOST:PORT, such as http://127.0.0.1:9080, \
    or https://HOST:PORT, h2c://HOST:PORT, unix:/PATH or h2c+unix:/PATH";

pub(super) fn parse(text: &str) -> Result<Target, Fault> {
    for (start, scheme) in [("unix:", Scheme::Http), ("h2c+unix:", Scheme::H2c)] {
        if let Some(path) = text.strip_prefix(start) {
            return Ok(Target { scheme, address: UpstreamAddress::Unix(socket_path(path)?) });
        }
    }
    if text.contains('@') {
        // Not shown: it may be a password.
        return Err(Fault::new("an upstream takes no user or password", UPSTREAM_HELP));
    }
    let schemes =
        [("http://", Scheme::Http, 80), ("h2c://", Scheme::H2c, 80), ("https://", Scheme::Https, 443)];
    for (start, scheme, port) in schemes {
        if let Some(rest) = text.strip_prefix(start) {
            let address = authority(rest, port).map_err(|what| {
                Fault::new(format!("invalid upstream '{}': it {what}", shown(text)), UPSTREAM_HELP)
            })?;
            return Ok(Target { scheme, address });
        }
    }
    Err(Fault::new(format!("invalid upstream \'{}\'", shown(text)), UPSTREAM_HELP))
}

/// Reads host and port. An error completes "the upstream ..".
fn authority(rest: &str, default: u16) -> Result<UpstreamAddress, &'static str> {
    const NO_HOST: &str = "has no valid host";
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err("has more than host and port, and requests keep their own path");
    }
    let authority: Authority = rest.parse().map_err(|_| NO_HOST)?;
    let port = match authority.as_str().get(authority.host().len()..).unwrap_or_default() {
        "" => Some(default),
        port => port.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()),
    };
    let port = port.filter(|&port| port != 0).ok_or("has no valid port")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(NO_HOST);
    }
    Ok(UpstreamAddress::Tcp { host: host.to_owned(), port })
}
