//! The harness itself: every shape of Redis that tests ask for is what it says.

use crate::harness::{Certificates, Redis, Sentinels, Setup, eventually};

#[tokio::test]
async fn a_server_that_speaks_tls_wants_a_certificate_if_told_to() {
    let certificates = Certificates::new();
    for (wanted, served) in [("yes", false), ("no", true)] {
        let setup =
            Setup::tls(&certificates, &["--tls-auth-clients", wanted, "--requirepass", "open-sesame"]);
        let redis = Redis::with(&setup).await;
        assert_eq!(redis.command::<String>(&["PING"]).await, "PONG");
        assert_eq!(redis.url(), format!("rediss://127.0.0.1:{}/0", redis.port()));
        let mut stranger = certificates.redis_cli_without_certificate(redis.port());
        let stranger = stranger.env("REDISCLI_AUTH", "open-sesame").arg("PING").output().unwrap();
        assert_eq!(stranger.status.success(), served, "{stranger:?}");
        let strangers = Certificates::for_server(&["elsewhere.test"]);
        let distrusted = strangers.redis_cli(redis.port()).arg("PING").output().unwrap();
        assert!(!distrusted.status.success(), "a server of another CA was trusted: {distrusted:?}");
    }
}

#[tokio::test]
async fn a_server_with_a_password_keeps_its_port_and_gets_a_replica() {
    let setup = Setup::plain(&["--requirepass", "open-sesame"]);
    let (mut primary, replica) = (Redis::with(&setup).await, Redis::with(&setup).await);
    let port = primary.port();
    primary.kill().await;
    assert!(!primary.runs() && primary.try_command::<String>(&["PING"]).await.is_err());
    primary.restart().await;
    assert!(primary.runs() && primary.port() == port);
    let _: String = primary.command(&["SET", "greeting", "hello"]).await;
    replica.replica_of(&primary).await;
    assert_eq!(replica.command::<String>(&["GET", "greeting"]).await, "hello");
    let refused = replica.try_command::<String>(&["SET", "greeting", "bye"]).await.unwrap_err();
    assert!(refused.starts_with("READONLY "), "{refused}");
    primary.signal("STOP");
    eventually("the signal to arrive", async || (!primary.runs()).then_some(())).await;
    primary.signal("CONT");
    eventually("the signal to arrive", async || primary.runs().then_some(())).await;
}

#[tokio::test]
async fn sentinels_move_the_primary_when_told_to_and_when_it_is_gone() {
    let mut topology = Sentinels::start().await;
    assert_eq!((topology.urls().len(), topology.primary().await), (3, 0));
    assert_eq!(topology.failover().await, 1);
    topology.settled().await;
    assert!(topology.servers[0].is_in_sync().await, "the old primary does not follow the new one");
    topology.servers[1].kill().await;
    assert_eq!(topology.promoted(1).await, 0);
    topology.servers[1].restart().await;
    topology.settled().await;
    assert!(topology.servers[1].is_in_sync().await, "what came back does not follow");
}

#[tokio::test]
async fn sentinels_and_servers_speak_tls_and_have_passwords() {
    let certificates = Certificates::new();
    let servers = Setup::tls(&certificates, &["--requirepass", "open-sesame"]);
    let sentinels = Setup::tls(&certificates, &["--requirepass", "who-goes-there"]);
    let topology = Sentinels::with(2, &servers, &sentinels).await;
    let primary = topology.failover().await;
    assert_ne!(primary, 0);
    topology.settled().await;
    let _: String = topology.servers[primary].command(&["SET", "greeting", "hello"]).await;
}
