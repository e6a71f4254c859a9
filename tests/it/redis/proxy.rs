//! Requests through tidegate while the servers of its store change.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{
    Certificates, Cluster, Redis, Sentinels, Setup, Tidegate, Upstream, client, eventually, flood, standing,
};

/// Three requests an hour and client; and one limit for everybody, in a slot of its own. What cannot be checked
/// passes, and is told no limit.
fn config(redis: &str) -> String {
    format!(
        "store: {{ redis: {{ {redis}, timeout: 5s }}, on_outage: open }}
rules: [{{ name: each, key: ['header:X-Client'], rate: 3/h }}]
global: [{{ name: all, rate: 1000000/h }}]"
    )
}

async fn limits_hold(tidegate: &Tidegate, of: &str) {
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let request = client().get(tidegate.url("/")).header("X-Client", of);
        statuses.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429], "{of}");
}

/// Sends requests, most of them of new clients, until `change` is done and for a little longer;
/// and returns which statuses came.
async fn under_load(tidegate: &Tidegate, change: impl Future<Output = ()>) -> BTreeMap<u16, usize> {
    let (http, sent, over) = (client(), Cell::new(0), Cell::new(false));
    let some = async || {
        let before = sent.replace(sent.get() + 16);
        let client_of = |number: usize| match number % 4 {
            0 => "regular".to_owned(),
            _ => format!("client-{}", before + number),
        };
        flood(16, |number| http.get(tidegate.url("/")).header("X-Client", client_of(number))).await
    };
    let load = async {
        let mut statuses = BTreeMap::new();
        while !over.get() {
            for (status, count) in some().await {
                *statuses.entry(status).or_default() += count;
            }
        }
        statuses
    };
    let change = async {
        change.await;
        let well = async || (tidegate.metric("tidegate_store_up").await == Some(1.0)).then_some(());
        eventually("the store to be well again", well).await;
        over.set(true);
    };
    tokio::join!(load, change).0
}

/// What the log reports at the start of a server's outage, and for the two ways in which it ends.
const DOWN: &str = "redis unavailable";
const WELL: &str = "redis available again";
const REPLACED: &str = "unavailable redis server left the cluster";

/// The log lines about the ends of outages.
fn recoveries(tidegate: &Tidegate) -> Vec<Value> {
    [WELL, REPLACED].map(|end| tidegate.logged(end)).concat()
}

/// Returns how the outage of each server began and ended, as logged: once each.
async fn outages(tidegate: &Tidegate) -> Vec<[Value; 2]> {
    let over = async || {
        let (down, over) = (tidegate.logged(DOWN), recoveries(tidegate));
        (!down.is_empty() && down.len() == over.len()).then_some((down, over))
    };
    let (mut down, mut over) = eventually("the log lines of a beginning and an end", over).await;
    let server = |line: &Value| line["server"].as_str().unwrap().to_owned();
    for lines in [&mut down, &mut over] {
        lines.sort_by_key(server);
        assert!(lines.is_sorted_by(|one, next| server(one) < server(next)), "logged twice: {lines:#?}");
    }
    let outages = down.into_iter().zip(over).map(|(down, over)| {
        assert_eq!(server(&down), server(&over));
        assert_eq!((&down["level"], &over["level"]), (&"WARN".into(), &"INFO".into()));
        [down, over]
    });
    outages.collect()
}

fn mentions(line: &Value, text: &str) -> bool {
    line["message"].as_str().unwrap().contains(text)
}

/// Kills one server under load; another takes its place. Returns the outages.
async fn outlives(
    tidegate: &Tidegate,
    upstream: &Upstream,
    change: impl Future<Output = ()>,
) -> Vec<[Value; 2]> {
    limits_hold(tidegate, "somebody").await;
    let statuses = under_load(tidegate, async {
        eventually("the load", async || (upstream.seen().len() > 50).then_some(())).await;
        change.await;
    })
    .await;
    assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [200, 429], "{statuses:?}");
    limits_hold(tidegate, "somebody new").await;
    outages(tidegate).await
}

#[tokio::test]
async fn no_request_fails_when_a_primary_under_sentinels_is_killed() {
    let (topology, upstream) = (Sentinels::start().await, Upstream::start().await);
    let urls = topology.urls().join("', '").replace("/0", "");
    let redis = format!("sentinel: {{ urls: ['{urls}'], master: {} }}", Sentinels::MASTER);
    let tidegate = Tidegate::configured(upstream.address, &config(&redis)).await;
    let outages = outlives(&tidegate, &upstream, async {
        topology.servers[0].kill().await;
        topology.promoted(0).await;
    })
    .await;
    assert!(matches!(&outages[..], [[_, over]] if mentions(over, WELL)), "{outages:#?}");
}

#[tokio::test]
async fn no_request_fails_when_a_master_of_a_cluster_with_tls_is_killed() {
    let (certificates, upstream) = (Certificates::new(), Upstream::start().await);
    let cluster = Cluster::with(&Setup::tls(&certificates, &["--requirepass", "open-sesame"])).await;
    let directory = tempfile::tempdir().unwrap();
    let password = directory.path().join("password");
    std::fs::write(&password, "open-sesame\n").unwrap();
    let urls = cluster.urls().join("', '").replace("/0", "");
    let redis = format!(
        "cluster: ['{urls}'], password_file: {}, tls: {{ ca_file: {}, cert_file: {}, key_file: {} }}",
        password.display(),
        certificates.ca(),
        certificates.client_certificate(),
        certificates.client_key()
    );
    let tidegate = Tidegate::configured(upstream.address, &config(&redis)).await;
    let replica = cluster.replica_of(0).await;
    let outages = outlives(&tidegate, &upstream, async {
        cluster.kill(0).await;
        cluster.promoted(replica).await;
    })
    .await;
    let killed = format!("127.0.0.1:{}", cluster.nodes[0].port());
    let (killed, others): (Vec<_>, Vec<_>) = outages.iter().partition(|[down, _]| down["server"] == killed);
    assert!(matches!(killed[..], [[_, over]] if mentions(over, REPLACED)), "{outages:#?}");
    // The others take nothing while a slot is served by none.
    for [down, over] in others {
        assert!(
            down["error"].as_str().unwrap().contains("ClusterDown") && mentions(over, WELL),
            "{outages:#?}"
        );
    }
}

#[tokio::test]
async fn a_shutdown_during_an_outage_logs_no_recovery() {
    let (redis, upstream) = (Redis::start().await, Upstream::start().await);
    let mut tidegate =
        Tidegate::configured(upstream.address, &config(&format!("url: '{}'", redis.url()))).await;
    redis.kill().await;
    let down = async || {
        left(&tidegate, "somebody").await;
        tidegate.logged(DOWN).pop()
    };
    eventually("the log to report the outage", down).await;
    tidegate.signal("INT");
    assert!(tidegate.ended().await.success());
    let recoveries = recoveries(&tidegate);
    assert!(recoveries.is_empty(), "{recoveries:#?}");
}

/// How many requests a client has left, if the request was checked.
async fn left(tidegate: &Tidegate, of: &str) -> Option<i64> {
    let answer = client().get(tidegate.url("/")).header("X-Client", of).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    standing(answer.headers()).map(|(_, left)| left)
}

/// Closes the connections of tidegate, and not those of sentinels, which must not miss the server.
async fn cut(redis: &Redis) {
    let clients: String = redis.command(&["CLIENT", "LIST"]).await;
    for client in clients.lines().filter(|line| line.contains(" name=tidegate ")) {
        let id = client.split(' ').find_map(|field| field.strip_prefix("id=")).unwrap();
        // It may have gone by itself.
        let _: Result<i64, _> = redis.try_command(&["CLIENT", "KILL", "ID", id]).await;
    }
}

#[tokio::test]
async fn sentinels_that_hang_do_not_hold_up_a_new_connection() {
    let (topology, upstream) = (Sentinels::start().await, Upstream::start().await);
    let urls = topology.urls().join("', '").replace("/0", "");
    let redis = format!("sentinel: {{ urls: ['{urls}'], master: {} }}", Sentinels::MASTER);
    let tidegate = Tidegate::configured(upstream.address, &config(&redis)).await;
    let mut clients = 0;
    let mut is_checked = async || {
        clients += 1;
        left(&tidegate, &format!("client-{clients}")).await.map(drop)
    };
    eventually("a request to be checked", &mut is_checked).await;
    for sentinel in &topology.sentinels {
        sentinel.stop().await;
    }
    for _ in 0..10 {
        cut(&topology.servers[0]).await;
        eventually("a request to be checked over a new connection", &mut is_checked).await;
    }
}

#[tokio::test]
async fn a_trial_whose_counter_is_away_hides_nothing_of_the_limits_in_force() {
    let (setup, upstream) =
        (Setup::plain(&["--cluster-require-full-coverage", "no"]), Upstream::start().await);
    let cluster = Cluster::with(&setup).await;
    let away = cluster.owner(cluster.slot_of("{*}").await).await;
    let kept = cluster.key_on((away + 1) % 3, |count| format!("{{203.0.113.{count}}}:each")).await;
    let visitor = kept.split(['{', '}']).nth(1).unwrap();
    let urls = cluster.urls().join("', '").replace("/0", "");
    let config = config(&format!("cluster: ['{urls}']"))
        .replace("header:X-Client", "client_ip")
        .replace("name: all,", "name: all, mode: shadow,");
    let config = config + "\nclient: { trusted_proxies: [127.0.0.1] }\n";
    let tidegate = Tidegate::configured(upstream.address, &config).await;
    // Nobody takes its place.
    let replica = cluster.replica_of(away).await;
    cluster.kill(replica).await;
    cluster.kill(away).await;
    for (status, left) in [(200, 2), (200, 1), (200, 0), (429, 0), (429, 0)] {
        let request = client().get(tidegate.url("/")).header("X-Forwarded-For", visitor);
        let answer = request.send().await.unwrap();
        let told = standing(answer.headers());
        assert_eq!((answer.status().as_u16(), told), (status, Some(("each".to_owned(), left))));
    }
    assert_eq!(tidegate.counted("each", "limited").await, 2.0);
}
