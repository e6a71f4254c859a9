//! From the settings of the upstream to what it needs.

use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;

use super::tls::client_config;
use crate::settings::{ClientTls, Settings, UpstreamAddress, UpstreamProtocol, UpstreamSettings};
use crate::tls;
use crate::upstream::{Address, Options, Protocol, Tls};

/// What may change while tidegate runs: TLS, if it is used.
pub(super) type Renewable = Option<Arc<ArcSwap<Tls>>>;

pub(super) fn options(settings: &Settings) -> anyhow::Result<(Options, Renewable)> {
    let upstream = &settings.upstream;
    let address = match &upstream.address {
        UpstreamAddress::Tcp(authority) => {
            let host = authority.host().trim_start_matches('[').trim_end_matches(']');
            Address::Tcp(host.to_owned(), authority.port_u16().unwrap_or(80))
        }
        UpstreamAddress::Unix(path) => Address::Unix(path.clone()),
    };
    let (protocol, renewable) = match &upstream.protocol {
        UpstreamProtocol::Http1 => (Protocol::Http1, None),
        UpstreamProtocol::H2c => (Protocol::H2c, None),
        UpstreamProtocol::Tls(settings) => {
            let tls = Arc::new(ArcSwap::from_pointee(tls(settings, upstream)?));
            (Protocol::Tls(Arc::clone(&tls)), Some(tls))
        }
    };
    let options = Options {
        address,
        protocol,
        connect_timeout: upstream.connect_timeout,
        response_timeout: upstream.response_timeout,
        idle_timeout: upstream.idle_timeout,
        connections: upstream.connections,
        pending: upstream.pending,
        retry: upstream.retry,
        body_idle_timeout: settings.bounds.body_idle_timeout,
        stream_idle_timeout: settings.bounds.stream_idle_timeout,
        request_timeout: settings.bounds.request_timeout,
    };
    Ok((options, renewable))
}

/// TLS towards the application, from the files as they are now.
pub(super) fn tls(settings: &ClientTls, upstream: &UpstreamSettings) -> anyhow::Result<Tls> {
    let config = client_config(settings).context("upstream.tls")?;
    let host = match &upstream.address {
        UpstreamAddress::Tcp(authority) => authority.host().trim_start_matches('[').trim_end_matches(']'),
        UpstreamAddress::Unix(_) => "localhost",
    };
    let name = settings.server_name.as_deref().unwrap_or(host);
    let server_name = tls::server_name(name).context("upstream.tls.server_name")?;
    Ok(Tls { config: Arc::new(config), server_name })
}
