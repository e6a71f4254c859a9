//! The harness itself: every shape of Redis that tests ask for is what it says.

use crate::harness::{Certificates, Cluster, Redis, Sentinels, Setup, eventually};

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

#[tokio::test]
async fn a_cluster_serves_on_every_master_and_replaces_one_that_is_gone() {
    let mut cluster = Cluster::start().await;
    assert_eq!(cluster.urls().len(), 6);
    for master in 0..3 {
        let key = cluster.key_on(master, |n| format!("key-{n}")).await;
        let _: String = cluster.nodes[master].command(&["SET", &key, "here"]).await;
        let elsewhere = &cluster.nodes[(master + 1) % 3];
        let moved = elsewhere.try_command::<String>(&["GET", &key]).await.unwrap_err();
        let slot = cluster.slot_of(&key).await;
        assert_eq!(moved, format!("MOVED {slot} 127.0.0.1:{}", cluster.nodes[master].port()));
    }
    let replica = cluster.replica_of(0).await;
    cluster.failover(replica).await;
    assert_eq!((cluster.owner(0).await, cluster.replica_of(replica).await), (replica, 0));
    cluster.kill(replica).await;
    cluster.promoted(0).await;
    assert_eq!(cluster.owner(0).await, 0);
    let key = cluster.key_on(0, |n| format!("key-{n}")).await;
    assert_eq!(cluster.nodes[0].command::<String>(&["GET", &key]).await, "here");
    cluster.nodes[replica].restart().await;
    assert_eq!(cluster.replica_of(0).await, replica);
    cluster.settled().await;
}

#[tokio::test]
async fn a_slot_of_a_cluster_moves_in_steps() {
    let certificates = Certificates::new();
    let cluster = Cluster::with(&Setup::tls(&certificates, &["--requirepass", "open-sesame"])).await;
    let slot = cluster.slot_of("{client}").await;
    let from = cluster.owner(slot).await;
    let to = (from + 1) % 3;
    let [old, new] = [from, to].map(|node| &cluster.nodes[node]);
    let keys = ["{client}:1", "{client}:2"];
    for key in keys {
        let _: String = old.command(&["SET", key, "hello"]).await;
    }
    let migration = cluster.begin_migration(slot, to).await;
    assert_eq!((migration.slot, migration.from), (slot, from));
    let moved = cluster.move_keys(migration, 1).await;
    let stayed = keys.into_iter().find(|key| moved != [*key]).unwrap();
    assert_eq!(old.command::<String>(&["GET", stayed]).await, "hello");
    let asked = old.try_command::<String>(&["GET", &moved[0]]).await.unwrap_err();
    assert_eq!(asked, format!("ASK {slot} 127.0.0.1:{}", new.port()));
    let both = old.try_command::<Vec<String>>(&["MGET", keys[0], keys[1]]).await.unwrap_err();
    assert!(both.starts_with("TRYAGAIN "), "{both}");
    cluster.end_migration(migration).await;
    for key in keys {
        let refused = old.try_command::<String>(&["GET", key]).await.unwrap_err();
        assert_eq!(refused, format!("MOVED {slot} 127.0.0.1:{}", new.port()));
        assert_eq!(new.command::<String>(&["GET", key]).await, "hello");
    }
    cluster.migrate(slot, from).await;
    assert_eq!(old.command::<String>(&["GET", keys[0]]).await, "hello");
}
