//! What the strict reader accepts, hyper reads to the same end.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::chunks::{Chunks, Scanned};

/// The target and the length of each request that hyper reads to its end.
fn read(bytes: &[u8]) -> Vec<(String, usize)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    runtime.block_on(async move {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let service = service_fn(move |request: Request<Incoming>| {
            let note = Arc::clone(&note);
            async move {
                let target = request.uri().to_string();
                if let Ok(body) = request.into_body().collect().await {
                    note.lock().unwrap().push((target, body.to_bytes().len()));
                }
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(server), service);
        // A request that breaks off ends it with an error.
        drop(connection.await);
    });
    let seen = seen.lock().unwrap();
    seen.clone()
}

/// Pieces of bodies, right and wrong.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => prop::sample::select(vec![
            "5\r\nhello\r\n", "1;a=b\r\n\n\r\n", "0\r\n", "\r\n", "A: b\r\n", "00", "a \t;b\r\n0123456789\r\n",
            "5;a=\"b;\\\"\"\r\nhello\r\n", "5;\r\nhello\r\n",
            "0\r\n\r\n", ";", " ", "\n", "host: a\r\n", "2\r\n\r\n\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| [pieces.concat(), b"0\r\n\r\n".to_vec()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn a_body_that_is_accepted_ends_where_hyper_ends_it(body in bodies()) {
        if let Ok(Scanned::End(length)) = Chunks::default().scan(&body) {
            let head = &b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"[..];
            let next = &b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"[..];
            let seen = read(&[head, &body[..length], next].concat());
            let targets: Vec<&str> = seen.iter().map(|(target, _)| &**target).collect();
            prop_assert_eq!(targets, ["/body", "/next"], "{}", body.escape_ascii());
        }
    }
}
