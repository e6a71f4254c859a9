//! tidegate's own side as a server: what clients see, what is asked of them, and who they are.

use std::sync::Arc;

use rcgen::SanType;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig, version};
use tidegate::tls::{self, Clients, Roots, TlsError};

use super::connect;
use crate::authority::{Authority, Pair};

const NAME: &str = "tidegate.internal";

fn client(authority: &Authority, shown: Option<&Pair>) -> ClientConfig {
    let shown = shown.map(|pair| (pair.certificate.as_bytes(), pair.key.as_bytes()));
    tls::client(Roots::Pem(authority.pem().as_bytes()), shown).unwrap()
}

fn server(authority: &Authority, clients: Option<Clients<'_>>, tls13_only: bool) -> Arc<ServerConfig> {
    let own = authority.sign(NAME);
    let identity = (own.certificate.as_bytes(), own.key.as_bytes());
    Arc::new(tls::server(identity, clients, tls13_only).unwrap())
}

/// A client that speaks TLS 1.2 only.
fn older(authority: &Authority, shown: Option<&Pair>) -> ClientConfig {
    use rustls::crypto::aws_lc_rs::default_provider;
    let roots = tls::authorities(authority.pem().as_bytes()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&version::TLS12])
        .unwrap()
        .with_root_certificates(roots);
    let Some(shown) = shown else { return config.with_no_client_auth() };
    let chain = tls::certificates(shown.certificate.as_bytes()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
    config.with_client_auth_cert(chain, key).unwrap()
}

#[test]
fn the_oldest_version_may_be_1_3() {
    let authority = Authority::new();
    let (both, newer) = (server(&authority, None, false), server(&authority, None, true));
    let old = Arc::new(older(&authority, None));
    let (_, end) = connect(&old, NAME, &both).unwrap();
    assert_eq!(end.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert!(connect(&old, NAME, &newer).is_err());
}

#[test]
fn http2_is_chosen_where_it_is_offered() {
    type Names<'a> = &'a [&'a [u8]];
    let authority = Authority::new();
    let newer = server(&authority, None, true);
    let offers: [(Names<'_>, Option<&[u8]>); 4] = [
        (&[], None),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[b"http/1.1", b"h2"], Some(b"h2")),
        (&[b"h2"], Some(b"h2")),
    ];
    for (offered, want) in offers {
        let mut client = client(&authority, None);
        client.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let (_, end) = connect(&Arc::new(client), NAME, &newer).unwrap();
        assert_eq!((end.alpn_protocol(), end.protocol_version()), (want, Some(ProtocolVersion::TLSv1_3)));
    }
}

#[test]
fn a_client_that_offers_only_other_protocols_is_refused() {
    let authority = Authority::new();
    let both = server(&authority, None, false);
    let mut strange = client(&authority, None);
    strange.alpn_protocols = vec![b"h3".to_vec()];
    assert!(connect(&Arc::new(strange), NAME, &both).is_err());
}

#[test]
fn who_shows_which_certificate_is_admitted() {
    let (authority, callers, other) = (Authority::new(), Authority::new(), Authority::new());
    let (known, unknown) = (callers.sign("caller"), other.sign("caller"));
    let pem = callers.pem();
    for (required, shown, admitted) in [
        (true, Some(&known), true),
        (true, Some(&unknown), false),
        (true, None, false),
        (false, Some(&known), true),
        (false, Some(&unknown), false),
        (false, None, true),
    ] {
        let server = server(&authority, Some(Clients { authorities: pem.as_bytes(), required }), false);
        for client in [client(&authority, shown), older(&authority, shown)] {
            let done = connect(&Arc::new(client), NAME, &server);
            assert_eq!(done.is_ok(), admitted, "{required} {}", shown.is_some());
            let seen = done.ok().and_then(|(_, end)| Some(tls::names(end.peer_certificates()?.first()?)));
            assert_eq!(seen, shown.filter(|_| admitted).map(|_| vec!["caller".to_owned()]));
        }
    }
}

#[test]
fn sessions_are_resumed_only_where_no_certificate_could_be_kept() {
    let authority = Authority::new();
    let (pem, caller) = (authority.pem(), authority.sign("caller"));
    for (clients, resumed) in [
        (None, HandshakeKind::Resumed),
        (Some(Clients { authorities: pem.as_bytes(), required: true }), HandshakeKind::Full),
        (Some(Clients { authorities: pem.as_bytes(), required: false }), HandshakeKind::Full),
    ] {
        let server = server(&authority, clients, false);
        let shown = clients.map(|_| &caller);
        for mut client in [client(&authority, shown), older(&authority, shown)] {
            client.resumption = Resumption::in_memory_sessions(10);
            let client = Arc::new(client);
            let (_, first) = connect(&client, NAME, &server).unwrap();
            let (_, second) = connect(&client, NAME, &server).unwrap();
            let kinds = (first.handshake_kind(), second.handshake_kind());
            assert_eq!(kinds, (Some(HandshakeKind::Full), Some(resumed)), "{clients:?}");
        }
    }
}

#[test]
fn names_of_a_certificate() {
    let authority = Authority::new();
    let names = |names: Vec<SanType>| {
        let pem = authority.sign_names(names).certificate;
        tls::names(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
    };
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let uri = |name: &str| SanType::URI(name.try_into().unwrap());
    let id = "spiffe://cluster.local/ns/a/sa/b";
    assert_eq!(names(vec![dns("A.internal"), uri(id), dns("b")]), [id, "a.internal", "b"]);
    let address = SanType::IpAddress([192, 0, 2, 1].into());
    let mail = SanType::Rfc822Name("a@b".try_into().unwrap());
    assert_eq!(names(vec![address, mail, dns("*.internal")]), [""; 0]);
    assert_eq!(names(vec![]), [""; 0]);
    let (fits, long) = (format!("a:{}", "b".repeat(2046)), format!("a:{}", "b".repeat(2047)));
    let odd = [uri("a: b"), uri("a:\nb"), uri("a:\0"), uri("a:\x7f"), uri(&long), uri(""), uri(&fits)];
    assert_eq!(names(odd.to_vec()), [fits]);
    let many: Vec<SanType> = (0..40).map(|n| uri(&format!("a:{n}"))).collect();
    assert_eq!(names(many).len(), 16);
    assert_eq!(tls::names(&vec![0x30, 1].into()), [""; 0]);
}

#[test]
fn texts_that_are_not_right() {
    let authority = Authority::new();
    let (pem, one, two) = (authority.pem(), authority.sign("one"), authority.sign("two"));
    let server = |certificate: &str, key: &str, callers: Option<&str>| {
        let callers = callers.map(|text| Clients { authorities: text.as_bytes(), required: true });
        tls::server((certificate.as_bytes(), key.as_bytes()), callers, false).err()
    };
    for (certificate, key, callers, want) in [
        (&*one.certificate, &*one.key, None, None),
        (&one.certificate, &one.key, Some(&*pem), None),
        ("", &one.key, None, Some(TlsError::NoCertificate)),
        (&one.certificate, "", None, Some(TlsError::NoKey)),
        (&one.certificate, &two.key, None, Some(TlsError::KeyMismatch)),
        (&one.certificate, &one.key, Some(""), Some(TlsError::NoCertificate)),
        (&one.certificate, &one.key, Some(&one.key), Some(TlsError::NoCertificate)),
    ] {
        assert_eq!(server(certificate, key, callers), want);
    }
}
