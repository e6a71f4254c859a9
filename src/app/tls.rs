//! From the settings of TLS towards servers to what connects to them.

use rustls::ClientConfig;

use crate::settings::ClientTls;
use crate::tls::{self, Roots, TlsError};

pub(super) fn client_config(settings: &ClientTls) -> Result<ClientConfig, TlsError> {
    let system;
    let roots = match &settings.ca {
        Some(pem) => Roots::Pem(pem.expose()),
        None => {
            // What cannot be read is left out, as by everybody else on the system.
            system = rustls_native_certs::load_native_certs().certs;
            Roots::System(&system)
        }
    };
    let identity = settings.identity.as_ref();
    let identity = identity.map(|own| (own.certificate.expose().as_slice(), own.key.expose().as_slice()));
    tls::client(roots, identity)
}
