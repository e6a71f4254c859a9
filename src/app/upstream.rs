//! From the protocol of the upstream, and its TLS, to what its connections need.

use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;

use super::tls::client_config;
use crate::settings::{ClientTls, UpstreamAddress, UpstreamProtocol, UpstreamSettings};
use crate::tls;
use crate::upstream::{Protocol, UpstreamTls};

/// What may change while tidegate runs: TLS, if it is used.
pub(super) type Renewable = Option<Arc<ArcSwap<UpstreamTls>>>;

pub(super) fn protocol(settings: &UpstreamSettings) -> anyhow::Result<(Protocol, Renewable)> {
    Ok(match &settings.protocol {
        UpstreamProtocol::Http1 => (Protocol::Http1, None),
        UpstreamProtocol::H2c => (Protocol::H2c, None),
        UpstreamProtocol::Tls(certificates) => {
            let tls = Arc::new(ArcSwap::from_pointee(tls(certificates, settings)?));
            (Protocol::Tls(Arc::clone(&tls)), Some(tls))
        }
    })
}

/// Returns TLS to the upstream, from the current content of the files.
pub(super) fn tls(settings: &ClientTls, upstream: &UpstreamSettings) -> anyhow::Result<UpstreamTls> {
    let config = client_config(settings).context("upstream.tls")?;
    let host = match &upstream.address {
        UpstreamAddress::Tcp { host, .. } => host,
        UpstreamAddress::Unix(_) => "localhost",
    };
    let name = settings.server_name.as_deref().unwrap_or(host);
    let server_name = tls::server_name(name).context("upstream.tls.server_name")?;
    Ok(UpstreamTls { config: Arc::new(config), server_name })
}
