//! Every protocol that clients speak, in front of every one that applications speak.

use std::collections::BTreeSet;

use http::{Method, Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::net::{TcpStream, UnixStream};

use crate::harness::{Answer, Certificates, Dialect, Tidegate, Upstream, Wire, full, h2_over};

const RULES: &str = "store: { memory: {} }\nrules: [{ name: x, rate: 1000000/s }]";

/// tidegate in front of this application, with the certificates' authority trusted.
async fn before(upstream: &Upstream, certificates: &Certificates) -> Tidegate {
    let tls = if upstream.url().starts_with("https:") {
        format!(", tls: {{ ca_file: {} }}", certificates.ca())
    } else {
        String::new()
    };
    Tidegate::described(&format!("upstream: {{ url: '{}'{tls} }}\n{RULES}", upstream.url())).await
}

/// An application that sends back what it got.
async fn echo(request: Request<Incoming>) -> Answer {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    Response::new(full(body))
}

#[tokio::test]
async fn every_client_is_served_by_every_application() {
    let certificates = Certificates::new();
    let both = &["h2", "http/1.1"];
    for (dialect, version) in [
        (Dialect::Http1, Version::HTTP_11),
        (Dialect::H2c, Version::HTTP_2),
        (Dialect::Tls(certificates.clone(), both), Version::HTTP_2),
        (Dialect::Tls(certificates.clone(), &["http/1.1"]), Version::HTTP_11),
        (Dialect::Tls(certificates.clone(), &[]), Version::HTTP_11),
        (Dialect::UnixHttp1, Version::HTTP_11),
        (Dialect::UnixH2c, Version::HTTP_2),
    ] {
        let upstream = Upstream::speaking(dialect, echo).await;
        let tidegate = before(&upstream, &certificates).await;
        for client in ["1.0", "1.1", "2"] {
            let body = ask(client, &tidegate).await;
            let told = format!("HTTP/{client} before {}", upstream.url());
            assert_eq!(body, b"payload", "{told}");
            let seen = upstream.last();
            assert_eq!((seen.version, &seen.method), (version, &Method::POST), "{told}");
            let uri: http::Uri = seen.target.parse().unwrap();
            assert_eq!(uri.path_and_query().unwrap(), "/a?b=c", "{told}");
            let host = seen.headers.get("host").map(|host| host.to_str().unwrap().to_owned());
            let host = host.or(uri.authority().map(ToString::to_string));
            assert_eq!(host.as_deref(), Some("app.test"), "{told}");
        }
    }
}

async fn ask(version: &str, tidegate: &Tidegate) -> Vec<u8> {
    if version == "2" {
        let mut sender = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
        let request = Request::post("http://app.test/a?b=c").body(full("payload")).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
        return answer.into_body().collect().await.unwrap().to_bytes().to_vec();
    }
    let mut wire = Wire::to(tidegate.address).await;
    let fields = "Host: app.test\r\nContent-Length: 7\r\n\r\npayload";
    wire.send(format!("POST /a?b=c HTTP/{version}\r\n{fields}")).await;
    let reply = wire.reply().await;
    assert_eq!(reply.status, 200, "HTTP/{version}");
    if version == "1.0" {
        assert!(wire.is_closed().await, "HTTP/1.0 knows no other end");
    }
    reply.body
}

#[tokio::test]
async fn http10_gets_no_chunks() {
    // Of a length that nobody knows before.
    let upstream = Upstream::serving(async |_| {
        let (sender, body) = crate::harness::chunks();
        tokio::spawn(async move { sender.send("stream".into()).await });
        Response::new(body)
    })
    .await;
    let tidegate = before(&upstream, &Certificates::new()).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n").await;
    let reply = wire.reply().await;
    assert!(!reply.headers.contains_key("transfer-encoding"), "HTTP/1.0 knows no chunks");
    assert_eq!(reply.body, b"stream");
}

#[tokio::test]
async fn http10_keeps_the_connection_if_it_asks() {
    let upstream = Upstream::start().await;
    let tidegate = before(&upstream, &Certificates::new()).await;
    let mut wire = Wire::to(tidegate.address).await;
    for _ in 0..2 {
        wire.send("GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n").await;
        assert_eq!(wire.reply().await.body, b"ok");
    }
}

#[tokio::test]
async fn requests_come_in_over_a_unix_socket() {
    let (upstream, directory) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let path = directory.path().join("tidegate");
    let config = format!("listen: unix:{}\nupstream: {}\n{RULES}", path.display(), upstream.url());
    let mut tidegate = Tidegate::described(&config).await;
    let mut wire = Wire::over(UnixStream::connect(&path).await.unwrap());
    for _ in 0..2 {
        assert_eq!(wire.ask("GET /", &[]).await.body, b"ok");
    }
    let mut sender = h2_over(UnixStream::connect(&path).await.unwrap()).await;
    let request = Request::get("http://app.test/").body(full("")).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    tidegate.signal("TERM");
    assert!(tidegate.ended().await.success());
    // A socket that stays behind is no obstacle to the next.
    let tidegate = Tidegate::described(&config).await;
    let mut wire = Wire::over(UnixStream::connect(&path).await.unwrap());
    assert_eq!(wire.ask("GET /", &[]).await.body, b"ok");
    drop(tidegate);
}

#[tokio::test]
async fn over_tls_the_client_chooses_the_protocol() {
    let (upstream, certificates) = (Upstream::start().await, Certificates::new());
    let tls =
        format!("cert_file: {}, key_file: {}", certificates.server_certificate(), certificates.server_key());
    let config = format!("tls: {{ {tls} }}\nupstream: {}\n{RULES}", upstream.url());
    let tidegate = Tidegate::described(&config).await;
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&["http/1.0"], Some(b"http/1.0")),
        (&[], None),
    ] {
        let stream = certificates.connect(tidegate.address, offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen, "{offered:?}");
        if chosen == Some(b"h2") {
            let request = Request::get("https://app.test/").body(full("")).unwrap();
            assert_eq!(h2_over(stream).await.send_request(request).await.unwrap().status(), 200);
        } else {
            assert_eq!(Wire::over(stream).ask("GET /", &[]).await.status, 200);
        }
        assert_eq!(upstream.last().headers["x-forwarded-proto"], "https");
    }
    assert!(
        certificates.connect(tidegate.address, &["spdy/3"]).await.is_err(),
        "a protocol that nobody speaks is agreed on"
    );
    // In the clear, there is nothing to talk about.
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
    let reply = wire.try_reply().await;
    assert!(reply.is_none_or(|reply| reply.status == 400), "served without TLS");
}

#[tokio::test]
async fn a_client_is_asked_for_its_certificate() {
    let (upstream, certificates) = (Upstream::start().await, Certificates::new());
    for (wish, without) in [("required", false), ("optional", true)] {
        let (certificate, key) = (certificates.server_certificate(), certificates.server_key());
        let ca = certificates.ca();
        let tls =
            format!("cert_file: {certificate}, key_file: {key}, client_ca_file: {ca}, client_auth: {wish}");
        let config = format!("tls: {{ {tls} }}\nupstream: {}\n{RULES}", upstream.url());
        let tidegate = Tidegate::described(&config).await;
        let known = certificates.connect_known(tidegate.address, &["http/1.1"]).await.unwrap();
        assert_eq!(Wire::over(known).ask("GET /", &[]).await.status, 200, "{wish}");
        // In TLS 1.3 the server's judgement comes after the client's last word.
        let unknown = certificates.connect(tidegate.address, &["http/1.1"]).await;
        let served = match unknown {
            Ok(stream) => {
                let mut wire = Wire::over(stream);
                wire.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
                wire.try_reply().await.is_some_and(|reply| reply.status == 200)
            }
            Err(_) => false,
        };
        assert_eq!(served, without, "{wish}: a client without a certificate");
        // One of another authority is turned away in any case.
        let other = Certificates::new();
        let stranger = certificates.connect_shown(&other, tidegate.address).await;
        let served = match stranger {
            Ok(stream) => {
                let mut wire = Wire::over(stream);
                wire.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
                wire.try_reply().await.is_some()
            }
            Err(_) => false,
        };
        assert!(!served, "{wish}: a certificate of nobody known");
    }
}

#[tokio::test]
async fn an_application_whose_certificate_is_not_trusted_gets_no_request() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let upstream = Upstream::start_as(Dialect::Tls(certificates, &["h2", "http/1.1"])).await;
    let tidegate = before(&upstream, &others).await;
    let mut wire = Wire::to(tidegate.address).await;
    let statuses: BTreeSet<u16> =
        [wire.ask("GET /", &[]).await.status, wire.ask("GET /", &[]).await.status].into();
    assert!(statuses.is_subset(&[502, 503].into()), "{statuses:?}");
    assert!(upstream.seen().is_empty());
}
