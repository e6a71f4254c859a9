//! Bytes that cannot become a request are refused when they arrive, whatever else is still to come.

use crate::harness::{Recorder, Tidegate, Wire, eventually};

/// tidegate with times so long that only the bytes themselves can end a connection.
async fn patient(recorder: &Recorder) -> Tidegate {
    let bounds = "bounds: { first_byte_timeout: 1h, header_timeout: 1h, body_idle_timeout: 1h }";
    let rules = "store: { memory: {} }\nrules: [{ name: x, rate: 1000000/s }]";
    Tidegate::described(&format!("upstream: {}\n{bounds}\n{rules}", recorder.url())).await
}

/// A ClientHello, but for what is of no account here.
fn client_hello() -> Vec<u8> {
    [&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &[7; 194]].concat()
}

const GET: &str = "GET /first HTTP/1.1\r\nHost: app.test\r\n\r\n";
const HEADS: [(&str, u16); 22] = [
    ("GET /\r\n", 400),
    ("GET /first HTTP/2", 505),
    ("GET /first/%z", 400),
    ("GET /first/%2f", 400),
    ("GET /first/../../", 400),
    ("GET * ", 400),
    ("OPTIONS *x", 400),
    ("GET app.test ", 400),
    ("GET http://user@", 400),
    ("CONNECT ", 405),
    ("TRACE ", 405),
    ("GET /first HTTP/1.1\r\nHost: a b", 400),
    ("G(", 400),
    ("\r\n\r\n\r", 400),
    ("GET /first\t", 400),
    ("GET /first HTTP/1.1\r\n ", 400),
    ("GET /first HTTP/1.1\r\nno colon", 400),
    ("GET /first HTTP/1.1\r\nHost app.test\r\n", 400),
    ("GET /first HTTP/1.1\r\nX: \x01", 400),
    ("GET /first HTTP/1.1\r\nX: y\n", 400),
    ("POST /first HTTP/1.1\r\nContent-Length: +", 400),
    ("POST /first HTTP/1.1\r\nTransfer-Encoding: gzip", 501),
];

#[tokio::test]
async fn an_invalid_beginning_of_a_head_is_refused_at_once() {
    let recorder = Recorder::start().await;
    let tidegate = patient(&recorder).await;
    for (bytes, status) in HEADS {
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(bytes).await;
        assert_eq!(wire.reply().await.status, status, "{bytes:?}");
        assert!(wire.is_closed().await, "{bytes:?}");
    }
    assert!(recorder.take().bytes.is_empty());
}

#[tokio::test]
async fn the_same_behind_another_request() {
    let recorder = Recorder::start().await;
    let tidegate = patient(&recorder).await;
    for (bytes, status) in HEADS {
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(format!("{GET}{bytes}")).await;
        assert_eq!(wire.reply().await.status, 200, "{bytes:?}");
        assert_eq!(wire.reply().await.status, status, "{bytes:?}");
    }
}

#[tokio::test]
async fn the_same_byte_by_byte() {
    let recorder = Recorder::start().await;
    let tidegate = patient(&recorder).await;
    for (bytes, status) in HEADS {
        let mut wire = Wire::to(tidegate.address).await;
        for byte in bytes.bytes() {
            wire.send([byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(wire.reply().await.status, status, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_method_that_is_refused_at_once_is_told_which_ones_are_not() {
    let recorder = Recorder::start().await;
    let tidegate = patient(&recorder).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("CONNECT ").await;
    let reply = wire.reply().await;
    assert!(reply.headers["allow"].to_str().unwrap().contains("GET"), "{reply:?}");
    assert!(
        String::from_utf8_lossy(&reply.body).contains("the method CONNECT is not forwarded"),
        "{reply:?}"
    );
}

/// Each is refused where paths are read as by default.
#[tokio::test]
async fn what_the_configuration_allows_in_a_path_is_served_byte_by_byte() {
    let recorder = Recorder::start().await;
    let lenient = "path: { invalid_escapes: escape, encoded_slashes: keep, backslashes: keep }";
    let config = format!("upstream: {}\n{lenient}\nstore: {{ memory: {{}} }}\nrules: []", recorder.url());
    let tidegate = Tidegate::described(&config).await;
    let mut wire = Wire::to(tidegate.address).await;
    for path in ["/%zz", "/a%2F%2Fb", "/a\\\\b"] {
        for byte in format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n\r\n").bytes() {
            wire.send([byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(wire.reply().await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_changed_reading_of_paths_holds_for_the_next_head_of_a_connection() {
    let recorder = Recorder::start().await;
    let upstream = recorder.url();
    let config = |escapes: &str| {
        format!(
            "upstream: {upstream}\npath: {{ invalid_escapes: {escapes} }}\nstore: {{ memory: {{}} }}\nrules: []\n"
        )
    };
    let tidegate = Tidegate::described(&config("reject")).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send(GET).await;
    assert_eq!(wire.reply().await.status, 200);
    tidegate.rewrite(&config("escape"));
    eventually("the changed configuration", async || tidegate.logged("configuration read").pop()).await;
    for byte in GET.replace("/first", "/%zz").bytes() {
        wire.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(wire.reply().await.status, 200);
}

#[tokio::test]
async fn a_request_that_arrives_byte_by_byte_is_served() {
    let recorder = Recorder::start().await;
    let tidegate = patient(&recorder).await;
    let mut wire = Wire::to(tidegate.address).await;
    for _ in 0..2 {
        for byte in format!("\r\n{GET}").bytes() {
            wire.send([byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(wire.reply().await.status, 200);
    }
    assert_eq!(recorder.take().messages.len(), 2);
}

#[tokio::test]
async fn a_tls_handshake_on_a_plain_port_is_refused_at_once() {
    let recorder = Recorder::start().await;
    let tidegate = patient(&recorder).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send(client_hello()).await;
    let reply = wire.reply().await;
    assert_eq!(reply.status, 400);
    assert!(String::from_utf8_lossy(&reply.body).contains("TLS"), "{reply:?}");
    assert!(wire.is_closed().await);
    eventually("the handshake to be counted", async || {
        (tidegate.metric("tidegate_tls_handshake_errors_total").await == Some(1.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_invalid_beginning_of_a_chunked_body_is_refused_at_once() {
    let recorder = Recorder::start().await;
    let tidegate = patient(&recorder).await;
    let head = "POST /first HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in ["10000000000000000", "8000000000000000", "x", "5;\r", "5;a b", "5\r\nhello!", "0\r\nX :"] {
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(format!("{head}{body}")).await;
        assert_eq!(wire.reply().await.status, 400, "{body:?}");
        assert!(wire.is_closed().await, "{body:?}");
        assert!(recorder.take().messages.is_empty(), "{body:?}");
    }
}
