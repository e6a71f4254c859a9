//! Bypasses by the client's address.

use crate::harness::{Tidegate, Upstream, client_from, h2_client};

const CONFIG: &str = "
store: { memory: {} }
client: { trusted_proxies: [127.0.0.1] }
bypass: [{ name: office, clients: [203.0.113.0/24, '2001:db8::/32', 127.0.0.2] }]
rules: [{ name: everything, key: [], rate: 1/h }]
";

async fn status(client: &reqwest::Client, url: &str, forwarded: Option<&str>) -> u16 {
    let mut request = client.get(url);
    if let Some(forwarded) = forwarded {
        request = request.header("X-Forwarded-For", forwarded);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn clients_behind_the_proxy_pass_by_their_own_address() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, CONFIG).await;
    let url = tidegate.url("/");
    // Uses up the limit.
    assert_eq!(status(&client_from("127.0.0.1"), &url, None).await, 200);
    for client in [client_from("127.0.0.1"), h2_client()] {
        for passes in [
            "203.0.113.9",
            "198.51.100.1, 203.0.113.9",
            "203.0.113.9:4711",
            "2001:db8::9, 127.0.0.1",
            "127.0.0.2",
        ] {
            assert_eq!(status(&client, &url, Some(passes)).await, 200, "{passes}");
        }
        for limited in ["198.51.100.1", "203.0.113.9, 198.51.100.1", "unknown", "203.0.114.1", "2001:db9::1"]
        {
            assert_eq!(status(&client, &url, Some(limited)).await, 429, "{limited}");
        }
    }
    assert_eq!(tidegate.counted("office", "bypassed").await, 10.0);
    assert_eq!(tidegate.counted("everything", "limited").await, 10.0);
}

#[tokio::test]
async fn a_peer_that_is_not_trusted_passes_by_its_own_address_alone() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, CONFIG).await;
    let url = tidegate.url("/");
    assert_eq!(status(&client_from("127.0.0.3"), &url, None).await, 200);
    assert_eq!(status(&client_from("127.0.0.3"), &url, Some("203.0.113.9")).await, 429);
    assert_eq!(status(&client_from("127.0.0.2"), &url, Some("198.51.100.1")).await, 200);
    assert_eq!(tidegate.counted("office", "bypassed").await, 1.0);
}
