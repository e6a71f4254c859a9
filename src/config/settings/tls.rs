//! TLS, towards servers that tidegate calls and towards its clients: which files there are, and whether they fit
//! together. Pure.

use std::path::PathBuf;

use crate::config::diagnostic::{Fault, shown};
use crate::config::report::{Location, Spanned};
use crate::config::{SecretSource, Secrets, schema, secret};
use crate::settings::{ClientTls, Identity, Secret, ServerTls};
use crate::tls::{self, TlsError};

pub(super) fn client(
    Spanned { value: shape, location }: &Spanned<schema::Tls>,
    secrets: &Secrets<'_>,
) -> Option<ClientTls> {
    let before = location.errors();
    let ca = shape.ca_file.as_ref().and_then(|at| authorities(at, secrets));
    let server_name = shape.server_name.as_ref().and_then(|at| {
        judged(at, tls::server_name(&at.value))?;
        Some(at.value.clone())
    });
    let identity = match (&shape.cert_file, &shape.key_file) {
        (Some(certificate), Some(key)) => identity(certificate, key, secrets),
        (Some(at), None) if shape.sound => {
            let fault = Fault::new("the certificate has no key", "give key_file as well");
            at.location.key().error(fault);
            None
        }
        (None, Some(at)) if shape.sound => {
            let fault = Fault::new("the key has no certificate", "give cert_file as well");
            at.location.key().error(fault);
            None
        }
        _ => None,
    };
    (location.errors() == before).then_some(ClientTls { ca, identity, server_name })
}

pub(super) fn server(
    Spanned { value: shape, location }: &Spanned<schema::ServerTls>,
    secrets: &Secrets<'_>,
) -> Option<ServerTls> {
    let before = location.errors();
    let client_ca = shape.client_ca_file.as_ref().and_then(|at| authorities(at, secrets));
    let identity = match (&shape.cert_file, &shape.key_file) {
        (Some(certificate), Some(key)) => identity(certificate, key, secrets),
        _ => None,
    };
    if let (Some(at), None, true) = (&shape.client_required, &shape.client_ca_file, shape.sound) {
        let message = "clients are not asked for certificates: it is not said whom to believe";
        let help = "name in client_ca_file the authorities that sign them, or remove client_auth";
        at.location.key().error(Fault::new(message, help));
    }
    let client_required = client_ca.is_some() && shape.client_required.as_ref().is_none_or(|at| at.value);
    let tls = ServerTls { identity: identity?, client_ca, client_required, tls13_only: shape.tls13_only };
    (shape.sound && location.errors() == before).then_some(tls)
}

fn identity(file: &Spanned<String>, key: &Spanned<String>, secrets: &Secrets<'_>) -> Option<Identity> {
    let chain = pem(file, secrets).and_then(|text| Some((judged(file, tls::certificates(&text))?, text)));
    let signer = pem(key, secrets).and_then(|text| Some((judged(key, tls::private_key(&text))?, text)));
    let ((chain, certificate), (signer, text)) = (chain?, signer?);
    judged(key, tls::pair(chain, signer))?;
    file.location.certificates(&file.value, tls::validities(&certificate));
    // PEM is ASCII, but what stands around the key may be in any other encoding.
    let text = String::from_utf8_lossy(&text).into_owned();
    Some(Identity { certificate, key: Secret::new(text) })
}

fn authorities(at: &Spanned<String>, secrets: &Secrets<'_>) -> Option<Vec<u8>> {
    let text = pem(at, secrets)?;
    judged(at, tls::authorities(&text))?;
    at.location.certificates(&at.value, tls::validities(&text));
    Some(text)
}

/// Notes it where no certificate can have the name of this host.
pub(super) fn certifiable(host: &str, location: &Location) {
    if tls::server_name(host).is_err() {
        let message = format!("no certificate can be for '{}'", shown(host));
        location.error(Fault::new(message, "write in tls.server_name the name that it has"));
    }
}

fn pem(at: &Spanned<String>, secrets: &Secrets<'_>) -> Option<Vec<u8>> {
    at.location.check(secret::read(&SecretSource::Pem(PathBuf::from(&at.value)), secrets))?
}

fn judged<T>(at: &Spanned<String>, result: Result<T, TlsError>) -> Option<T> {
    let fault = |error: TlsError| {
        let message = match error {
            TlsError::ServerName => format!("'{}' is no DNS name and no IP address", shown(&at.value)),
            _ => format!("the file '{}' cannot be used: {error}", shown(&at.value)),
        };
        Fault::new(message, help(&error))
    };
    at.location.check(result.map_err(fault))
}

fn help(error: &TlsError) -> &'static str {
    match error {
        TlsError::NoCertificate => {
            "name a file in PEM, with -----BEGIN CERTIFICATE-----; openssl x509 -inform der makes one of DER"
        }
        TlsError::Pem(_) => "is the file complete? Write it anew",
        TlsError::Certificate(_) => {
            "remove it, or make it again; openssl x509 -req makes version 3 with -extfile"
        }
        TlsError::NoKey => {
            "name a file in PEM, with -----BEGIN PRIVATE KEY-----; openssl pkey -inform der makes one of DER"
        }
        TlsError::EncryptedKey => "take the passphrase off with openssl pkey, and guard the file",
        TlsError::Key => "make a key of one of these kinds, such as with openssl genpkey -algorithm ed25519",
        TlsError::KeyMismatch => {
            "name the key of the first certificate in cert_file; those that lead to its authority come after it"
        }
        TlsError::ServerName => {
            "write a name such as redis.internal or app.internal, or an address, without a port"
        }
        TlsError::NoSystemRoots | TlsError::Setup(_) => "name the authorities in ca_file",
    }
}
