//! Reads TLS to servers that tidegate calls and to its clients, and checks that the files fit together. Pure.

use std::path::PathBuf;

use super::diagnostic::{Fault, shown};
use super::key_table::Kind;
use super::report::{Location, Spanned};
use super::section::{Hint, Section};
use super::value::Value;
use super::yaml::Node;
use super::{SecretSource, Secrets, secret};
use crate::settings::{ClientTls, Identity, Pem, ServerTls};
use crate::tls::{self, TlsError};

const CLIENT_HINTS: &[Hint] = &[(
    &["insecure", "insecure_skip_verify"],
    "certificates are always checked",
    "name the authority that signed the servers' certificates in ca_file",
)];
const SERVER_HINTS: &[Hint] = &[
    (
        &["ca_file"],
        "the authorities of clients' certificates belong in client_ca_file",
        "expected client_ca_file",
    ),
    (&["max_version"], "the highest version is always offered", "remove the key"),
    (&["ciphers"], "only ciphers without known weakness are offered", "remove the key"),
    (&["alpn"], "HTTP/2 and HTTP/1.1 are always offered", "remove the key"),
];
const CLIENT_AUTH: &[(&str, bool)] = &[("required", true), ("optional", false)];

/// Reads TLS towards a server. `tls:` and nothing else means the defaults.
pub(super) fn client(value: &Value<'_>, secrets: &Secrets<'_>) -> Option<ClientTls> {
    value.clone().or_empty().section(CLIENT_HINTS, |section| {
        let ca_file = pem_file(section, "ca_file");
        let cert_file = pem_file(section, "cert_file");
        let key_file = pem_file(section, "key_file");
        let help = "expected the name that the servers' certificates have";
        let server_name = section.text("server_name", "DNS name or IP address", help);
        match (&cert_file, &key_file) {
            (Some(at), None) if section.is_sound() => {
                let fault = Fault::new("the certificate has no key", "give key_file as well");
                at.location.key().error(fault);
            }
            (None, Some(at)) if section.is_sound() => {
                let fault = Fault::new("the key has no certificate", "give cert_file as well");
                at.location.key().error(fault);
            }
            _ => {}
        }
        let server_name = server_name.and_then(|at| {
            judged(&at, tls::server_name(&at.value))?;
            Some(at.value)
        });
        Some(ClientTls {
            ca: ca_file.and_then(|at| authorities(&at, secrets)),
            identity: cert_file.zip(key_file).and_then(|(file, key)| identity(&file, &key, secrets)),
            server_name,
        })
    })
}

/// Reads TLS towards clients.
pub(super) fn server(value: &Value<'_>, secrets: &Secrets<'_>) -> Option<ServerTls> {
    value.section(SERVER_HINTS, |section| {
        let cert_file = pem_file(section, "cert_file");
        section.require(
            "cert_file",
            "the certificate is missing",
            "name a file in PEM with the certificate, and after it those that lead to its authority",
        );
        let key_file = pem_file(section, "key_file");
        let help = "name a file in PEM with the key of the certificate";
        section.require("key_file", "the private key is missing", help);
        let client_ca_file = pem_file(section, "client_ca_file");
        let client_auth = section.optional_word("client_auth", CLIENT_AUTH, "required");
        let min_version = section.value("min_version", Kind::Word(vec!["1.2", "1.3"]), "1.2");
        let tls13_only = min_version.and_then(|value| is_tls13(&value)).unwrap_or_default();
        if let (Some(at), None, true) = (&client_auth, &client_ca_file, section.is_sound()) {
            let message = "clients are not asked for certificates: client_ca_file is missing";
            let help = "name in client_ca_file the authorities that sign them, or remove client_auth";
            at.location.key().error(Fault::new(message, help));
        }
        let client_ca = client_ca_file.and_then(|at| authorities(&at, secrets));
        Some(ServerTls {
            client_required: client_ca.is_some() && client_auth.is_none_or(|at| at.value),
            client_ca,
            tls13_only,
            identity: identity(&cert_file?, &key_file?, secrets)?,
        })
    })
}

/// Whether the lowest version is 1.3.
fn is_tls13(value: &Value<'_>) -> Option<bool> {
    let written = match value.node {
        Node::Text(text) => text.clone(),
        // Without quotes it is a number to YAML, and plain enough.
        Node::Float(number) => number.to_string(),
        _ => String::new(),
    };
    match &*written {
        "1.2" => Some(false),
        "1.3" => Some(true),
        _ => {
            value.expected("a version of TLS", "expected \"1.2\" or \"1.3\": older versions are not safe");
            None
        }
    }
}

fn pem_file(section: &mut Section<'_>, key: &'static str) -> Option<Spanned<String>> {
    section.text(key, "PEM file", "expected the name of a file in PEM")
}

fn identity(file: &Spanned<String>, key: &Spanned<String>, secrets: &Secrets<'_>) -> Option<Identity> {
    let absent = |text: &Option<Vec<u8>>| text.as_ref().is_some_and(Vec::is_empty);
    let (chain, signer) = (pem(file, secrets), pem(key, secrets));
    if absent(&chain) || absent(&signer) {
        let (chain, signer) = (chain?, signer?);
        // The one that is there is judged alone.
        if !chain.is_empty() {
            judged(file, tls::certificates(&chain))?;
        }
        if !signer.is_empty() {
            judged(key, tls::private_key(&signer))?;
        }
        return Some(Identity { certificate: Pem::new(chain), key: Pem::new(signer) });
    }
    let chain = chain.and_then(|text| Some((judged(file, tls::certificates(&text))?, text)));
    let signer = signer.and_then(|text| Some((judged(key, tls::private_key(&text))?, text)));
    let ((chain, certificate), (signer, key_text)) = (chain?, signer?);
    judged(key, tls::pair(chain, signer))?;
    file.location.certificates(&file.value, tls::validities(&certificate));
    Some(Identity { certificate: Pem::new(certificate), key: Pem::new(key_text) })
}

fn authorities(at: &Spanned<String>, secrets: &Secrets<'_>) -> Option<Pem> {
    let text = pem(at, secrets)?;
    if text.is_empty() {
        return Some(Pem::new(text));
    }
    judged(at, tls::authorities(&text))?;
    at.location.certificates(&at.value, tls::validities(&text));
    Some(Pem::new(text))
}

/// Notes it where no certificate can have the name of this host.
pub(super) fn certifiable(host: &str, location: &Location) {
    if tls::server_name(host).is_err() {
        let message = format!("no certificate can have the name '{}'", shown(host));
        location.error(Fault::new(message, "set tls.server_name to the name that it has"));
    }
}

/// Reads a file. An empty text means that it is absent, and may be.
fn pem(at: &Spanned<String>, secrets: &Secrets<'_>) -> Option<Vec<u8>> {
    let read = secret::read(&SecretSource::Pem(PathBuf::from(&at.value)), secrets);
    Some(at.location.check(read)?.unwrap_or_default())
}

fn judged<T>(at: &Spanned<String>, result: Result<T, TlsError>) -> Option<T> {
    let fault = |error: TlsError| {
        let message = match error {
            TlsError::ServerName => {
                format!("invalid server name '{}': neither a DNS name nor an IP address", shown(&at.value))
            }
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
        TlsError::Pem(_) => "expected a complete file: is it cut short?",
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
            "expected a name such as redis.internal or app.internal, or an address, without a port"
        }
        TlsError::NoSystemRoots | TlsError::Setup(_) => "name the authorities in ca_file",
    }
}
