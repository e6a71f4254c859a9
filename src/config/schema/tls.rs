//! The shapes of TLS: towards servers that tidegate calls, and towards its clients. Pure.

use super::required;
use crate::config::diagnostic::Fault;
use crate::config::report::Spanned;
use crate::config::value::{Fields, Keys, Value};
use crate::config::yaml::Node;

const UNCHECKED: (&str, &str) = (
    "certificates are always checked",
    "name the authority that signed the servers' certificates in ca_file",
);
const CLIENT: Keys = Keys {
    known: &["ca_file", "cert_file", "key_file", "server_name"],
    hints: &[("insecure", UNCHECKED.0, UNCHECKED.1), ("insecure_skip_verify", UNCHECKED.0, UNCHECKED.1)],
};
const SERVER: Keys = Keys {
    known: &["cert_file", "key_file", "client_ca_file", "client_auth", "min_version"],
    hints: &[
        ("ca_file", "whom clients' certificates come from stands in client_ca_file", "write client_ca_file"),
        ("max_version", "the highest version is always offered", "remove the key"),
        ("ciphers", "only ciphers without known weakness are offered", "remove the key"),
        ("alpn", "HTTP/2 and HTTP/1.1 are always offered", "remove the key"),
    ],
};
const CLIENT_AUTH: &[(&str, bool)] = &[("required", true), ("optional", false)];

/// Towards servers that tidegate calls.
#[derive(Debug, Default)]
pub(in crate::config) struct Tls {
    pub(in crate::config) ca_file: Option<Spanned<String>>,
    pub(in crate::config) cert_file: Option<Spanned<String>>,
    pub(in crate::config) key_file: Option<Spanned<String>>,
    pub(in crate::config) server_name: Option<Spanned<String>>,
    /// Everything in it could be read.
    pub(in crate::config) sound: bool,
}

/// Towards clients. What is missing and must not be is wrong, and the report says so.
#[derive(Debug, Default)]
pub(in crate::config) struct ServerTls {
    pub(in crate::config) cert_file: Option<Spanned<String>>,
    pub(in crate::config) key_file: Option<Spanned<String>>,
    pub(in crate::config) client_ca_file: Option<Spanned<String>>,
    /// Whether clients must have a certificate.
    pub(in crate::config) client_required: Option<Spanned<bool>>,
    pub(in crate::config) tls13_only: bool,
    /// Everything in it could be read.
    pub(in crate::config) sound: bool,
}

pub(super) fn client(cursor: &Value<'_>) -> Tls {
    // `tls:` alone means the defaults.
    if matches!(cursor.node, Node::Null) {
        return Tls { sound: true, ..Tls::default() };
    }
    let before = cursor.location.errors();
    let Some(fields) = cursor.fields(&CLIENT) else { return Tls::default() };
    let tls = Tls {
        ca_file: pem_file(&fields, "ca_file"),
        cert_file: pem_file(&fields, "cert_file"),
        key_file: pem_file(&fields, "key_file"),
        server_name: fields
            .get("server_name")
            .and_then(|cursor| cursor.text("write the name that the servers' certificates have")),
        sound: true,
    };
    Tls { sound: cursor.location.errors() == before, ..tls }
}

pub(super) fn server(cursor: &Value<'_>) -> ServerTls {
    let before = cursor.location.errors();
    let Some(fields) = cursor.fields(&SERVER) else { return ServerTls::default() };
    let own = |key: &'static str, missing: &str, help: &str| {
        required(&fields, key, missing, help)
            .and_then(|cursor| cursor.text("write the name of a file in PEM"))
    };
    let cert_file = own(
        "cert_file",
        "the certificate is missing",
        "name a file in PEM with the certificate, and after it those that lead to its authority",
    );
    let key_file =
        own("key_file", "the private key is missing", "name a file in PEM with the key of the certificate");
    let tls = ServerTls {
        cert_file,
        key_file,
        client_ca_file: pem_file(&fields, "client_ca_file"),
        client_required: fields.get("client_auth").and_then(|cursor| cursor.word(CLIENT_AUTH)),
        tls13_only: fields.get("min_version").and_then(|cursor| min_version(&cursor)).unwrap_or_default(),
        sound: true,
    };
    ServerTls { sound: cursor.location.errors() == before, ..tls }
}

/// Whether only TLS 1.3 is spoken.
fn min_version(cursor: &Value<'_>) -> Option<bool> {
    let written = match cursor.node {
        Node::Text(text) => text.clone(),
        // Without quotes it is a number to YAML, and plain enough.
        Node::Float(number) => number.to_string(),
        _ => String::new(),
    };
    match &*written {
        "1.2" => Some(false),
        "1.3" => Some(true),
        _ => {
            let message = format!("expected a version of TLS, found {}", cursor.node.describe());
            let help = "write \"1.2\" or \"1.3\": those before are not safe";
            cursor.location.error(Fault::new(message, help));
            None
        }
    }
}

fn pem_file(fields: &Fields<'_>, key: &str) -> Option<Spanned<String>> {
    fields.get(key).and_then(|cursor| cursor.text("write the name of a file in PEM"))
}
