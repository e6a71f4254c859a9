//! Peers that name clients, and are not trusted to.

use crate::harness::{Tidegate, Upstream, client_from, eventually, h2_client};

const METRIC: &str = "tidegate_untrusted_forwarded_total";
const WARNING: &str = "X-Forwarded-For or Forwarded from a peer that is not in client.trusted_proxies";

async fn tidegate(upstream: &Upstream, identity: &str) -> Tidegate {
    let config = format!("store: {{ memory: {{}} }}\nrules: [{{ name: all, rate: 1000/s }}]\n{identity}");
    Tidegate::configured(upstream.address, &config).await
}

fn warnings(tidegate: &Tidegate) -> usize {
    tidegate.logged(WARNING).len()
}

#[tokio::test]
async fn a_peer_that_is_not_trusted_is_counted_and_logged_once() {
    let upstream = Upstream::start().await;
    for identity in ["", "client: { trusted_proxies: [192.0.2.0/24] }"] {
        let tidegate = tidegate(&upstream, identity).await;
        assert_eq!(tidegate.metric(METRIC).await, Some(0.0));
        for client in [client_from("127.0.0.1"), client_from("127.0.0.2"), h2_client()] {
            for (name, value) in
                [("X-Forwarded-For", "203.0.113.9"), ("Forwarded", "for=203.0.113.9"), ("X-Other", "1")]
            {
                client.get(tidegate.url("/")).header(name, value).send().await.unwrap();
            }
        }
        assert_eq!(tidegate.metric(METRIC).await, Some(6.0));
        eventually("a warning", async || (warnings(&tidegate) > 0).then_some(())).await;
        assert_eq!(warnings(&tidegate), 1);
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_neither_counted_nor_logged() {
    let upstream = Upstream::start().await;
    let tidegate = tidegate(&upstream, "client: { trusted_proxies: [127.0.0.1] }").await;
    let client = client_from("127.0.0.1");
    for forwarded in ["203.0.113.9", "unknown", ""] {
        client.get(tidegate.url("/")).header("X-Forwarded-For", forwarded).send().await.unwrap();
    }
    assert_eq!(tidegate.metric(METRIC).await, Some(0.0));
    assert_eq!(warnings(&tidegate), 0);
}
