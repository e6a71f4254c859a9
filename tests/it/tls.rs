//! TLS from PEM texts: handshakes in memory, and texts that are not right.

#[path = "tls/server.rs"]
mod server_side;

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use tidegate::tls::{self, Roots, TlsError};

use crate::authority::{Authority, Pair};

/// As OpenSSL 3.0 makes one without `-extfile`.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBETCBuQIUH8Amt2sc5tRYzTEUC132818DXvkwCgYIKoZIzj0EAwIwDDEKMAgG
A1UEAwwBYTAeFw0yNjExMjMxNDIzMjdaFw0zNjExMjAxNDIzMjdaMAwxCjAIBgNV
BAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ+K3lMUFG7vn7MLiUCot0u
eBHc+XMzNqFIMlRvfFKY9RmkIYUoZ5iZZIJaJ0RtRdY4qHNpwE2nBKP+4PzJ+33w
MAoGCCqGSM49BAMCA0cAMEQCIErNuymwUBrpFQsTwh+WMiSnB3ezIr5y6gExeapX
9weiAiB2VYFdQW9LiXwPDC329dy4yTv87CTaUFwc9fGmueW/dg==
-----END CERTIFICATE-----
";

/// A server with this identity, which asks clients for one of the same authority, if told so.
fn server(authority: &Authority, identity: &Pair, mutual: bool) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let builder = if mutual {
        let roots = Arc::new(tls::authorities(authority.pem().as_bytes()).unwrap());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(chain, key).unwrap()
}

/// Whether the two come to an agreement.
fn handshake(client: ClientConfig, name: &str, server: ServerConfig) -> Result<(), rustls::Error> {
    connect(&Arc::new(client), name, &Arc::new(server)).map(drop)
}

/// Both ends, when they have.
fn connect(
    client: &Arc<ClientConfig>,
    name: &str,
    server: &Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = tls::server_name(name).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    // Once more than they need: the server's last word about the client's certificate comes late.
    for _ in 0..4 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        while !wire.is_empty() {
            let mut rest = &*wire;
            server.read_tls(&mut rest).unwrap();
            wire = rest.to_vec();
            server.process_new_packets()?;
        }
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        while !wire.is_empty() {
            let mut rest = &*wire;
            client.read_tls(&mut rest).unwrap();
            wire = rest.to_vec();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

#[test]
fn a_server_is_believed_if_a_root_vouches_for_it_under_its_name() {
    let (authority, other) = (Authority::new(), Authority::new());
    for (name, identity) in [("redis.internal", "redis.internal"), ("127.0.0.1", "127.0.0.1")] {
        let identity = authority.sign(identity);
        let (pem, others) = (authority.pem(), other.pem());
        let both = others.clone() + &pem;
        let system = [CertificateDer::from_pem_slice(pem.as_bytes()).unwrap(), vec![0].into()];
        for (roots, name, believed) in [
            (Roots::Pem(pem.as_bytes()), name, true),
            (Roots::Pem(both.as_bytes()), name, true),
            (Roots::System(&system), name, true),
            (Roots::Pem(others.as_bytes()), name, false),
            (Roots::Pem(pem.as_bytes()), "other.internal", false),
        ] {
            let client = tls::client(roots, None).unwrap();
            let done = handshake(client, name, server(&authority, &identity, false));
            assert_eq!(done.is_ok(), believed, "{name} {roots:?}: {done:?}");
        }
    }
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_it() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (pem, identity) = (authority.pem(), authority.sign("redis"));
    let (known, unknown) = (authority.sign("tidegate"), other.sign("tidegate"));
    for (shown, admitted) in [(Some(&known), true), (Some(&unknown), false), (None, false)] {
        let shown = shown.map(|pair| (pair.certificate.as_bytes(), pair.key.as_bytes()));
        let client = tls::client(Roots::Pem(pem.as_bytes()), shown).unwrap();
        let done = handshake(client, "redis", server(&authority, &identity, true));
        assert_eq!(done.is_ok(), admitted, "{done:?}");
    }
}

#[test]
fn texts_that_are_not_right() {
    let authority = Authority::new();
    let (pem, one, two) = (authority.pem(), authority.sign("one"), authority.sign("two"));
    let client = |ca: &str, identity: Option<(&str, &str)>| {
        let identity = identity.map(|(certificate, key)| (certificate.as_bytes(), key.as_bytes()));
        tls::client(Roots::Pem(ca.as_bytes()), identity).err()
    };
    let cut = &pem[..pem.len() / 2];
    let begin = pem.replacen("CERTIFICATE-----", "CERTIFICATE---", 1);
    let words = pem.replacen('M', "!", 1);
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (ca, want) in [
        ("", TlsError::NoCertificate),
        ("\x30\x01", TlsError::NoCertificate),
        (&one.key, TlsError::NoCertificate),
        (cut, TlsError::Pem("an END line is missing")),
        (&begin, TlsError::Pem("a BEGIN line is not complete")),
        (&words, TlsError::Pem("what stands between BEGIN and END is not base64")),
        (empty, TlsError::Certificate(1)),
        (&format!("{pem}{empty}"), TlsError::Certificate(2)),
    ] {
        assert_eq!(client(ca, None), Some(want), "{ca}");
    }
    let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let old =
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let new = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (certificate, key, want) in [
        ("", &*one.key, TlsError::NoCertificate),
        (VERSION_1, &one.key, TlsError::Certificate(1)),
        (&one.certificate, "", TlsError::NoKey),
        (&one.certificate, &one.certificate, TlsError::NoKey),
        (&one.certificate, broken, TlsError::Key),
        (&one.certificate, old, TlsError::EncryptedKey),
        (&one.certificate, new, TlsError::EncryptedKey),
        (&one.certificate, &two.key, TlsError::KeyMismatch),
        (&format!("{pem}{}", one.certificate), &one.key, TlsError::KeyMismatch),
    ] {
        assert_eq!(client(&pem, Some((certificate, key))), Some(want), "{certificate}");
    }
    // An old certificate may vouch for others, and stand behind one's own.
    assert_eq!(client(VERSION_1, None), None);
    assert_eq!(client(&pem, Some((&(one.certificate + VERSION_1), &one.key))), None);
    assert_eq!(tls::client(Roots::System(&[]), None).err(), Some(TlsError::NoSystemRoots));
}

#[test]
fn names_that_a_certificate_can_have() {
    for name in ["redis", "redis_1.internal", "10.0.0.1", "::1", "redis.internal."] {
        assert!(tls::server_name(name).is_ok(), "{name}");
    }
    for name in ["", "a b", "*.internal", "[::1]", "redis:6379", "-", "caf\u{e9}"] {
        assert_eq!(tls::server_name(name).err(), Some(TlsError::ServerName), "{name}");
    }
}
