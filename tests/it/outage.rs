//! Redis slow, gone, or unwilling: requests are answered all the same.

mod driven;
mod local;

use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::harness::{Network, Redis, Relay, Tidegate, Upstream, client, command, eventually, flood};

const UP: &str = "tidegate_store_up";

/// A rule that lets pass what it cannot check, and one that does not, each of 3 an hour and client.
fn rules(url: &str) -> String {
    format!(
        "store: {{ redis: {{ url: '{url}', timeout: 3s }} }}
rules:
  - {{ name: open, match: {{ path: /open }}, key: ['header:X-Client'], rate: 3/h, on_outage: open }}
  - {{ name: closed, match: {{ path: /closed }}, key: ['header:X-Client'], rate: 3/h, on_outage: closed }}"
    )
}

async fn in_front_of(upstream: &Upstream, redis: &Redis) -> Tidegate {
    Tidegate::configured(upstream.address, &rules(&redis.url())).await
}

async fn status(tidegate: &Tidegate, path: &str, of: &str) -> u16 {
    client().get(tidegate.url(path)).header("X-Client", of).send().await.unwrap().status().as_u16()
}

/// Nobody waits in vain, and the rules do what they say.
async fn answers_by_the_outage_policy(tidegate: &Tidegate) {
    let client = client();
    let open = flood(10, |_| client.get(tidegate.url("/open")).header("X-Client", "any"));
    assert_eq!(open.await, [(200, 10)].into(), "an outage of Redis became one of the application");
    let closed = flood(10, |_| client.get(tidegate.url("/closed")).header("X-Client", "any"));
    assert_eq!(closed.await, [(503, 10)].into(), "requests passed unchecked");
    let told = async || (tidegate.metric(UP).await == Some(0.0)).then_some(());
    eventually("the outage to be told", told).await;
}

async fn is_well_again(tidegate: &Tidegate) {
    let well = async || {
        status(tidegate, "/closed", "scout").await;
        (tidegate.metric(UP).await == Some(1.0)).then_some(())
    };
    eventually("the store to be well again", well).await;
}

/// How many requests of a client pass before one is refused.
async fn admitted(tidegate: &Tidegate, path: &str, of: &str) -> usize {
    let mut admitted = 0;
    loop {
        match status(tidegate, path, of).await {
            200 if admitted < 10 => admitted += 1,
            429 => return admitted,
            other => panic!("{other} after {admitted} requests"),
        }
    }
}

async fn limits_hold_again(tidegate: &Tidegate) {
    is_well_again(tidegate).await;
    for path in ["/open", "/closed"] {
        let mut statuses = Vec::new();
        for _ in 0..5 {
            statuses.push(status(tidegate, path, "somebody new").await);
        }
        assert_eq!(statuses, [200, 200, 200, 429, 429], "{path}");
    }
}

/// Redis, on the port where an earlier one was.
async fn back_on(port: u16) -> Redis {
    eventually("redis-server to have its port back", async || Redis::start_on(port).await).await
}

#[tokio::test]
async fn redis_may_start_after_tidegate() {
    let upstream = Upstream::start().await;
    let redis = Redis::start().await;
    let port = redis.port();
    let config = rules(&redis.url());
    drop(redis);
    let tidegate = Tidegate::configured(upstream.address, &config).await;
    answers_by_the_outage_policy(&tidegate).await;
    let _redis = back_on(port).await;
    limits_hold_again(&tidegate).await;
}

#[tokio::test]
async fn what_an_open_rule_cannot_check_passes() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, &rules("redis://127.0.0.1:1/0")).await;
    assert_eq!(status(&tidegate, "/open", "a").await, 200);
    assert_eq!(tidegate.counted("open", "store_failed_open").await, 1.0);
}

#[tokio::test]
async fn what_a_closed_rule_cannot_check_is_a_503_that_says_so() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, &rules("redis://127.0.0.1:1/0")).await;
    let answer = client().post(tidegate.url("/closed")).body("x").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let headers = answer.headers().clone();
    assert_eq!(headers["retry-after"], "1");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.unwrap();
    let kind = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
    assert_eq!((&problem["type"], &problem["status"]), (&kind.into(), &503.into()));
    assert!(upstream.seen().is_empty(), "it reached the application");
    assert_eq!(tidegate.counted("closed", "store_failed_closed").await, 1.0);
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_serves_no_client_twice() {
    let upstream = Upstream::start().await;
    let redis = Redis::start().await;
    let port = redis.port();
    let tidegate = in_front_of(&upstream, &redis).await;
    let who_had = |had: usize| format!("who had {had}");
    // Nobody is refused yet: a refusal would be remembered without Redis.
    for path in ["/open", "/closed"] {
        for had in 1..=3 {
            for _ in 0..had {
                assert_eq!(status(&tidegate, path, &who_had(had)).await, 200);
            }
        }
    }
    drop(redis);
    answers_by_the_outage_policy(&tidegate).await;
    // It comes back empty, and without the scripts.
    let _redis = back_on(port).await;
    is_well_again(&tidegate).await;
    for path in ["/open", "/closed"] {
        for had in (1..=3).rev() {
            assert_eq!(admitted(&tidegate, path, &who_had(had)).await, 3 - had, "{path}, {had} before");
        }
    }
    limits_hold_again(&tidegate).await;
}

#[tokio::test]
async fn a_redis_that_hangs_holds_no_request_up() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let tidegate = in_front_of(&upstream, &redis).await;
    redis.signal("STOP");
    answers_by_the_outage_policy(&tidegate).await;
}

#[tokio::test]
async fn a_redis_that_hung_is_used_again() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let tidegate = in_front_of(&upstream, &redis).await;
    assert_eq!(status(&tidegate, "/open", "regular").await, 200);
    redis.signal("STOP");
    answers_by_the_outage_policy(&tidegate).await;
    redis.signal("CONT");
    limits_hold_again(&tidegate).await;
    let mut admitted = 0;
    for _ in 0..5 {
        admitted += usize::from(status(&tidegate, "/open", "regular").await == 200);
    }
    assert_eq!(admitted, 2, "what was counted before is forgotten, or counted twice");
}

#[tokio::test]
async fn each_outage_is_two_lines_in_the_log() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let tidegate = in_front_of(&upstream, &redis).await;
    assert_eq!(tidegate.metric(UP).await, Some(1.0));
    for outages in 1..=2 {
        redis.signal("STOP");
        answers_by_the_outage_policy(&tidegate).await;
        redis.signal("CONT");
        let told = async || {
            status(&tidegate, "/closed", "scout").await;
            let up = tidegate.logged("redis available again");
            (up.len() == outages).then_some((tidegate.logged("redis unavailable"), up))
        };
        let (down, up) = eventually("the log line", told).await;
        assert_eq!((down.len(), up.len()), (outages, outages), "{down:#?} {up:#?}");
        assert_eq!((&down[0]["level"], &up[0]["level"]), (&"WARN".into(), &"INFO".into()));
    }
}

/// tidegate with this password, in front of a Redis whose password is `open-sesame`.
async fn with_password(upstream: &Upstream, redis: &Redis, password: Option<&str>) -> Tidegate {
    let _: String = redis.command(&["CONFIG", "SET", "requirepass", "open-sesame"]).await;
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("tidegate.yaml");
    let upstream = format!("upstream: http://{}\n", upstream.address);
    std::fs::write(&config, upstream + &rules(&redis.url())).unwrap();
    let mut command = command();
    command.args(["--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--config"]).arg(config);
    if let Some(password) = password {
        command.env("TIDEGATE_REDIS_PASSWORD", password);
    }
    Tidegate::spawn(command).await
}

#[tokio::test]
async fn a_wrong_password_is_an_outage() {
    for password in [None, Some("hunter2")] {
        let (upstream, redis) = (Upstream::start().await, Redis::start().await);
        let tidegate = with_password(&upstream, &redis, password).await;
        answers_by_the_outage_policy(&tidegate).await;
        let down = format!("{:?}", tidegate.logged("redis unavailable"));
        assert!(
            down.to_lowercase().contains("auth") || down.contains("WRONGPASS"),
            "the log does not say why: {down}"
        );
        assert!(!format!("{:?}", tidegate.logged("")).contains("hunter2"), "the password is in the log");
    }
}

#[tokio::test]
async fn the_right_password_is_no_outage() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    limits_hold_again(&with_password(&upstream, &redis, Some("open-sesame")).await).await;
}

/// Redis refuses writes after the first command, and takes them again after the second.
async fn refuses_writes(refuse: &[&str], take: &[&str]) {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let tidegate = in_front_of(&upstream, &redis).await;
    assert_eq!(status(&tidegate, "/open", "regular").await, 200);
    let _: String = redis.command(refuse).await;
    answers_by_the_outage_policy(&tidegate).await;
    let _: String = redis.command(take).await;
    limits_hold_again(&tidegate).await;
}

#[tokio::test]
async fn a_redis_that_has_become_a_replica_is_an_outage() {
    refuses_writes(&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"]).await;
}

#[tokio::test]
async fn a_redis_without_memory_is_an_outage() {
    refuses_writes(&["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"]).await;
}

#[tokio::test]
async fn a_redis_user_without_the_rights_is_an_outage() {
    let limited = ["ACL", "SETUSER", "default", "-evalsha"];
    refuses_writes(&limited, &["ACL", "SETUSER", "default", "+evalsha"]).await;
}

/// Between tidegate and Redis: it carries two connections, one for checks and one for probes, and takes others without
/// a word. The second value becomes true when it carries both.
async fn relay_of_two_connections(redis: u16) -> (u16, watch::Receiver<bool>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (both, carries_both) = watch::channel(false);
    tokio::spawn(async move {
        for _ in 0..2 {
            let (mut near, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(("127.0.0.1", redis)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
        both.send_replace(true);
        let mut silent = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            silent.push(stream);
        }
    });
    (port, carries_both)
}

#[tokio::test]
async fn one_connection_that_works_is_enough() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let (port, mut carries_both) = relay_of_two_connections(redis.port()).await;
    let config = format!(
        "store: {{ redis: {{ url: 'redis://127.0.0.1:{port}/0', timeout: 10s }}, on_outage: closed }}
rules: [{{ name: all, rate: 1000000/h }}]"
    );
    let tidegate = Tidegate::configured(upstream.address, &config).await;
    // Without a request there is one connection of each kind. The flood opens more for checks.
    carries_both.wait_for(|both| *both).await.unwrap();
    let client = client();
    let answers = flood(400, |_| client.get(tidegate.url("/"))).await;
    assert_eq!(answers, [(200, 400)].into(), "checks waited behind connections that do not answer");
}

#[tokio::test]
async fn a_redis_far_away_is_used_by_who_has_the_patience() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let relay = Relay::to(redis.port()).await;
    relay.becomes(Network::Delay(Duration::from_millis(200)));
    let config = rules(&relay.url()).replace("timeout: 3s", "timeout: 350ms");
    let tidegate = Tidegate::configured(upstream.address, &config).await;
    let passes = async || (status(&tidegate, "/closed", "anybody").await == 200).then_some(());
    eventually("a check to be answered", passes).await;
}
