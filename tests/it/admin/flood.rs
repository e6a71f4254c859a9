//! More requests to the API than it takes.

use super::{WRITE, guarded_instance, open_instance};
use crate::harness::{Wire, client, flood};

#[tokio::test]
async fn a_thousand_requests_to_the_api_harm_no_client() {
    let (upstream, tidegate) = open_instance().await;
    let (http, admin) = (client(), client());
    let (clients, operators) = tokio::join!(
        flood(300, |_| http.get(tidegate.url("/elsewhere"))),
        flood(1000, |_| admin.get(tidegate.admin_url("/v1/rules"))),
    );
    assert_eq!(clients, [(200, 300)].into(), "a request of a client was harmed");
    assert_eq!(upstream.seen().len(), 300);
    assert!(operators.keys().all(|status| [200, 429].contains(status)), "{operators:?}");
    assert!(operators[&200] >= 100, "the burst passes: {operators:?}");
}

#[tokio::test]
async fn a_thousand_requests_without_a_token_harm_no_client() {
    let (_upstream, tidegate, _files) = guarded_instance().await;
    let (http, admin) = (client(), client());
    let (clients, strangers) = tokio::join!(
        flood(300, |_| http.get(tidegate.url("/elsewhere"))),
        flood(1000, |_| admin.post(tidegate.admin_url("/v1/reload"))),
    );
    assert_eq!(clients, [(200, 300)].into(), "a request of a client was harmed");
    assert!(strangers.keys().all(|status| [401, 429].contains(status)), "{strangers:?}");
    let request = client().get(tidegate.admin_url("/v1/status")).bearer_auth(WRITE);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let logged = tidegate.logged("login to the admin API failed").len();
    assert!((20..=strangers[&401]).contains(&logged), "{logged} lines for {strangers:?}");
}

#[tokio::test]
async fn connections_that_send_nothing_harm_no_client() {
    let (_upstream, tidegate) = open_instance().await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(Wire::to(tidegate.admin).await);
    }
    assert_eq!(client().get(tidegate.url("/elsewhere")).send().await.unwrap().status(), 200);
    drop(idle);
    let open = async || client().get(tidegate.admin_url("/v1/status")).send().await.ok().map(drop);
    crate::harness::eventually("the API to have room again", open).await;
}
