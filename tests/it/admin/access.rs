//! Who may use the API.

use serde_json::json;

use super::{READ, WRITE, get, guarded_instance, open_instance, responded, tokens};
use crate::harness::{Tidegate, Upstream, Wire, client, eventually};

async fn login(tidegate: &Tidegate, token: &str) -> u16 {
    let request = client().get(tidegate.admin_url("/v1/status")).bearer_auth(token);
    responded(request).await.0
}

#[tokio::test]
async fn a_loopback_listener_needs_no_token_by_default() {
    let (_upstream, tidegate) = open_instance().await;
    assert_eq!(get(&tidegate, "/v1/status").await.0, 200);
    assert_eq!(responded(client().post(tidegate.admin_url("/v1/reload"))).await.0, 200);
}

#[tokio::test]
async fn a_token_opens() {
    let (_upstream, tidegate, _files) = guarded_instance().await;
    assert_eq!(login(&tidegate, READ).await, 200);
    assert_eq!(login(&tidegate, WRITE).await, 200);
}

#[tokio::test]
async fn without_a_token_every_path_is_closed() {
    let (_upstream, tidegate, _files) = guarded_instance().await;
    for path in ["/v1/status", "/v1/rules", "/v1/openapi.json", "/", "/no/such/path"] {
        let response = client().get(tidegate.admin_url(path)).send().await.unwrap();
        assert_eq!(response.status(), 401, "{path}");
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"tidegate\"");
    }
    assert_eq!(responded(client().post(tidegate.admin_url("/v1/reload"))).await.0, 401);
}

#[tokio::test]
async fn a_failed_login_is_a_line_in_the_log_without_the_token() {
    let (_upstream, tidegate, _files) = guarded_instance().await;
    assert_eq!(login(&tidegate, "a-token-that-nobody-has").await, 401);
    let line = eventually("the line", async || tidegate.logged("login to the admin API failed").pop()).await;
    assert_eq!(line["level"], "WARN");
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert!(!line.to_string().contains("a-token-that-nobody-has"), "{line}");
    assert_eq!(tidegate.metric("tidegate_admin_requests_total{outcome=\"unauthorized\"}").await, Some(1.0));
}

#[tokio::test]
async fn a_flood_of_failed_logins_does_not_lock_the_operator_out() {
    let (_upstream, tidegate, _files) = guarded_instance().await;
    let mut refused = std::collections::BTreeMap::<u16, usize>::new();
    for _ in 0..60 {
        *refused.entry(login(&tidegate, "a-token-that-nobody-has").await).or_default() += 1;
    }
    assert!(refused[&401] >= 20, "{refused:?}");
    assert!(refused.keys().all(|status| [401, 429].contains(status)), "{refused:?}");
    assert_eq!(login(&tidegate, READ).await, 200);
}

#[tokio::test]
async fn a_token_that_may_only_read_changes_nothing() {
    let (_upstream, tidegate, _files) = guarded_instance().await;
    let reload = |token| responded(client().post(tidegate.admin_url("/v1/reload")).bearer_auth(token));
    let (status, problem) = reload(READ).await;
    assert_eq!((status, &problem["detail"]), (403, &json!("the token 'viewer' may only read")));
    assert_eq!(reload(WRITE).await.0, 200);
    let line = eventually("the line", async || tidegate.logged("reload wanted").pop()).await;
    assert_eq!(line["author"], "oncall");
    assert_eq!(tidegate.logged("reload wanted").len(), 1, "that of the reader is not there");
}

#[tokio::test]
async fn a_token_is_read_again_when_its_file_changes() {
    let (_upstream, tidegate, files) = guarded_instance().await;
    let renewed = "renewed-token-0123456789abcdef";
    std::fs::write(files.path().join("writer"), renewed).unwrap();
    let opens = async || (login(&tidegate, renewed).await == 200).then_some(());
    eventually("the new token to open", opens).await;
    let line = eventually("the old one to be refused", async || {
        (login(&tidegate, WRITE).await != 200).then_some(())
    });
    line.await;
    assert_eq!(login(&tidegate, READ).await, 200, "the other one is as before");
}

#[tokio::test]
async fn a_name_that_a_page_could_have_chosen_is_refused() {
    let (_upstream, tidegate) = open_instance().await;
    for (host, status) in [("evil.example", 421), ("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:9", 200)]
    {
        let mut wire = Wire::to(tidegate.admin).await;
        wire.send(&format!("GET /v1/status HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(wire.reply().await.status, status, "{host}");
    }
}

#[tokio::test]
async fn a_name_that_is_configured_is_accepted() {
    let upstream = Upstream::start().await;
    let rules = format!("admin: {{ hosts: [admin.prod.svc] }}\n{}", super::RULES);
    let tidegate = Tidegate::configured(upstream.address, &rules).await;
    let request = client().get(tidegate.admin_url("/v1/status")).header("Host", "admin.prod.svc:9901");
    assert_eq!(responded(request).await.0, 200);
}

#[tokio::test]
async fn pages_from_elsewhere_are_refused() {
    let (_upstream, tidegate) = open_instance().await;
    let reload =
        |name, value: String| responded(client().post(tidegate.admin_url("/v1/reload")).header(name, value));
    assert_eq!(reload("Origin", "http://evil.example".to_owned()).await.0, 403);
    assert_eq!(reload("Origin", "null".to_owned()).await.0, 403);
    assert_eq!(
        reload("Origin", format!("http://{}", tidegate.address)).await.0,
        403,
        "the proxy's own pages"
    );
    assert_eq!(reload("Sec-Fetch-Site", "cross-site".to_owned()).await.0, 403);
    assert_eq!(reload("Origin", format!("http://{}", tidegate.admin)).await.0, 200);
}

#[tokio::test]
async fn a_preflight_opens_nothing() {
    let (_upstream, tidegate) = open_instance().await;
    let preflight = client()
        .request(http::Method::OPTIONS, tidegate.admin_url("/v1/reload"))
        .header("Origin", "http://evil.example")
        .header("Access-Control-Request-Method", "POST");
    let response = preflight.send().await.unwrap();
    assert_eq!(response.status(), 403);
    assert!(response.headers().keys().all(|name| !name.as_str().starts_with("access-control")));
}

#[tokio::test]
async fn tokens_come_and_go_with_the_file() {
    let (upstream, files) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let with = tokens(files.path()) + super::RULES;
    let tidegate = Tidegate::configured(upstream.address, &with).await;
    assert_eq!(login(&tidegate, READ).await, 200);
    tidegate.rewrite(super::RULES);
    eventually("tokens not to be needed", async || {
        (get(&tidegate, "/v1/status").await.0 == 200).then_some(())
    })
    .await;
}
