//! Where the API is served, and what its listener accepts.

use serde_json::json;

use super::{get, guarded_instance, open_instance, responded};
use crate::harness::{Tidegate, Upstream, Wire, client, command, h2_client};

#[tokio::test]
async fn it_can_be_switched_off() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/*=1/h", "--admin-listen=off"]).await;
    assert_eq!(tidegate.logged("serving")[0]["admin_listen"], "off");
    assert_eq!(client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_address_that_is_taken_ends_the_start_with_the_reason() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("--admin-listen={}", taken.local_addr().unwrap());
    let upstream = "--upstream=http://127.0.0.1:9";
    let ended =
        Tidegate::finished(&["run", upstream, "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", &listen]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("admin.listen: cannot listen on"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_default_port_that_is_taken_is_a_warning() {
    // Another test, or another program, may have it already.
    let _taken = std::net::TcpListener::bind("127.0.0.1:9901");
    let upstream = Upstream::start().await;
    let mut command = command();
    command.args(["run", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--limit=/*=1/h"]);
    command.arg(format!("--upstream=http://{}", upstream.address));
    let tidegate = Tidegate::spawn(command).await;
    let warnings = tidegate.logged("the admin API is not served");
    assert_eq!(warnings.len(), 1);
    assert_eq!((&warnings[0]["level"], &warnings[0]["address"]), (&json!("WARN"), &json!("127.0.0.1:9901")));
    assert_eq!(client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn other_machines_need_a_token() {
    let run = |listen: &str| {
        let listen = format!("--admin-listen={listen}");
        let flags = ["--upstream=http://127.0.0.1:9", "--limit=/*=1/h", &listen];
        Tidegate::finished(&[&["check"], &flags[..]].concat())
    };
    for listen in ["0.0.0.0:9901", "[::]:9901", "192.0.2.1:9901"] {
        let ended = run(listen);
        assert_eq!(ended.status.code(), Some(78), "{listen}");
        assert!(
            ended.stderr.contains("admin.tokens") && ended.stderr.contains("--admin-listen"),
            "{}",
            ended.stderr
        );
    }
    for listen in ["127.0.0.1:9901", "[::1]:9901", "[::ffff:127.0.0.1]:9901", "127.1.2.3:9901"] {
        assert_eq!(run(listen).status.code(), Some(0), "{listen}");
    }
}

#[tokio::test]
async fn http2_is_served_too() {
    let (_upstream, tidegate) = open_instance().await;
    let response = h2_client().get(tidegate.admin_url("/v1/status")).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
}

#[tokio::test]
async fn what_is_not_http_gets_a_problem() {
    let (_upstream, tidegate) = open_instance().await;
    let mut wire = Wire::to(tidegate.admin).await;
    wire.send("GET  /v1/status HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let reply = wire.reply().await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn a_path_that_is_not_there_gets_a_problem() {
    let (_upstream, tidegate) = open_instance().await;
    for path in ["/", "/v1", "/v1/", "/v1/rules/", "/v1/statuses", "/metrics", "/v2/status"] {
        assert_eq!(get(&tidegate, path).await.0, 404, "{path}");
    }
    assert_eq!(get(&tidegate, "/v1/rules/%ff").await.0, 400);
}

#[tokio::test]
async fn another_method_gets_a_problem_with_those_that_are_right() {
    let (_upstream, tidegate) = open_instance().await;
    for (method, path, allow) in [
        ("DELETE", "/v1/status", "GET,HEAD"),
        ("GET", "/v1/reload", "POST"),
        ("POST", "/v1/rules", "GET,HEAD"),
    ] {
        let response =
            client().request(method.parse().unwrap(), tidegate.admin_url(path)).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &allow.parse().unwrap())
        );
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let (_upstream, tidegate) = open_instance().await;
    let url = tidegate.admin_url("/v1/rules/keyed/client-id");
    let post = |bytes: usize| {
        let body = format!("{{\"key\": [\"{}\"]}}", "x".repeat(bytes));
        responded(client().post(&url).header("Content-Type", "application/json").body(body))
    };
    assert_eq!(post(60_000).await.0, 422, "it is read, and has too few values");
    assert_eq!(post(70_000).await.0, 413);
    // Refused before the whole of it was sent.
    let mut wire = Wire::to(tidegate.admin).await;
    let head = "POST /v1/rules/keyed/client-id HTTP/1.1\r\nHost: 127.0.0.1\r\n\
                Content-Type: application/json\r\nContent-Length: 10000000\r\n\r\n";
    wire.send(&format!("{head}{}", "x".repeat(70_000))).await;
    assert_eq!(wire.reply().await.status, 413);
    assert_eq!(get(&tidegate, "/v1/status").await.0, 200);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused() {
    let (_upstream, tidegate) = open_instance().await;
    let url = tidegate.admin_url("/v1/rules/keyed/client-id");
    let post = |kind: &'static str, body: &'static str| {
        responded(client().post(&url).header("Content-Type", kind).body(body))
    };
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        assert_eq!(post(kind, "{\"key\": [null]}").await.0, 415, "{kind}");
    }
    for body in ["", "{", "{\"key\": [}", "nul"] {
        assert_eq!(post("application/json", body).await.0, 400, "{body}");
    }
    for body in ["[]", "{}", "{\"key\": 1}", "{\"key\": [], \"more\": 1}"] {
        assert_eq!(post("application/json; charset=utf-8", body).await.0, 422, "{body}");
    }
}

#[tokio::test]
async fn ids_and_tokens_are_not_in_the_log() {
    let (_upstream, tidegate, _files) = guarded_instance().await;
    let body = json!({ "key": ["203.0.113.9", "an-api-key-of-a-client"] });
    let request = client().post(tidegate.admin_url("/v1/rules/keyed/client-id")).bearer_auth(super::READ);
    assert_eq!(responded(request.json(&body)).await.0, 200);
    let log = format!("{:?}", tidegate.logged(""));
    for secret in [super::READ, "an-api-key-of-a-client"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn on_the_listener_for_clients_its_paths_are_those_of_the_upstream() {
    let (upstream, tidegate) = open_instance().await;
    assert_eq!(client().get(tidegate.url("/v1/status")).send().await.unwrap().status(), 200);
    assert_eq!(upstream.last().target, "/v1/status");
}
