//! Sentinels and servers that speak nothing but TLS, each with a password of its own.

use std::sync::Arc;

use bb8_redis::redis::RedisConnectionInfo;
use tidegate::clock::Clock;
use tidegate::settings::RedisTopology;
use tidegate::store::{Access, RedisStore, StoreError, StoreTls};
use tidegate::tls::{Roots, client};

use super::{BRIEF, PLENTY, addresses, ask, settings};
use crate::harness::{Certificates, Sentinels, Setup, eventually};

const SERVERS: &str = "open-sesame";
const SENTINELS: &str = "who-goes-there";

/// With the client's certificate, or without any.
fn tls(certificates: &Certificates, shown: bool) -> StoreTls {
    let read = |path: String| std::fs::read(path).unwrap();
    let ca = read(certificates.ca());
    let (certificate, key) = (read(certificates.client_certificate()), read(certificates.client_key()));
    let identity = shown.then_some((&*certificate, &*key));
    StoreTls { config: Arc::new(client(Roots::Pem(&ca), identity).unwrap()), server_name: None }
}

fn access(password: &str, password_of_sentinels: &str, tls: StoreTls) -> Access {
    let login = |password: &str| RedisConnectionInfo::default().set_password(password);
    Access { server: login(password), sentinel: login(password_of_sentinels), tls: Some(tls) }
}

#[tokio::test]
async fn each_server_behind_sentinels_is_reached_with_its_own_access() {
    let certificates = Certificates::new();
    let setup = |password: &str| Setup::tls(&certificates, &["--requirepass", password]);
    let topology = Sentinels::with(1, &setup(SERVERS), &setup(SENTINELS)).await;
    let store = |access: Access| {
        let (sentinels, primary) = (addresses(&topology.sentinels), Sentinels::MASTER.to_owned());
        let settings = settings(RedisTopology::Sentinel { sentinels, primary }, BRIEF);
        RedisStore::new(&settings, access, Clock::Real)
    };
    let asks = [ask("{a}:x", PLENTY)];
    let answers = async |store: &RedisStore| {
        eventually("a decision", async || store.take(&asks).await.remove(0).ok()).await
    };
    let right = store(access(SERVERS, SENTINELS, tls(&certificates, true)));
    answers(&right).await;

    let strangers = Certificates::new();
    for (wrong, tells) in [
        (access(SERVERS, SERVERS, tls(&certificates, true)), &["wrongpass", "authentication"][..]),
        (access(SENTINELS, SENTINELS, tls(&certificates, true)), &["wrongpass", "authentication"]),
        (access(SERVERS, SENTINELS, tls(&certificates, false)), &["certificate"]),
        (access(SERVERS, SENTINELS, tls(&strangers, true)), &["certificate"]),
    ] {
        let store = store(wrong);
        // Before that is known there is just no decision.
        eventually(&format!("one of {tells:?}"), async || match store.take(&asks).await.remove(0) {
            Err(StoreError::Down(reason)) => {
                let said = reason.to_lowercase();
                tells.iter().any(|word| said.contains(word)).then_some(())
            }
            Err(_) => None,
            Ok(decision) => panic!("a stranger was served: {decision:?}"),
        })
        .await;
        // What was wrong can be put right while it runs.
        store.set_access(access(SERVERS, SENTINELS, tls(&certificates, true)));
        answers(&store).await;
    }

    let primary = topology.failover().await;
    topology.settled().await;
    let decision = answers(&right).await;
    assert!(decision.taken.charged);
    assert_eq!(topology.servers[primary].command::<i64>(&["EXISTS", "tg:{a}:x"]).await, 1);
}
