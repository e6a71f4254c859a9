//! A configuration that changes while requests are served.

mod limits;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::authority::Authority;
use crate::harness::{Tidegate, Upstream, client, eventually, flood, standing};

const OK: &str = "tidegate_config_reloads_total{result=\"ok\"}";
const FAILED: &str = "tidegate_config_reloads_total{result=\"error\"}";

/// One rule of this rate.
fn rule(rate: &str) -> String {
    format!("store: {{ memory: {{}} }}\nrules: [{{ name: x, match: {{ path: /x }}, rate: {rate} }}]\n")
}

async fn configured(config: &str) -> (Upstream, Tidegate) {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, config).await;
    (upstream, tidegate)
}

async fn status(tidegate: &Tidegate) -> u16 {
    client().get(tidegate.url("/x")).send().await.unwrap().status().as_u16()
}

/// Waits until the process has read so many configurations without a fault, the first included.
async fn read(tidegate: &Tidegate, times: f64) {
    let done = async || (tidegate.metric(OK).await? >= times).then_some(());
    eventually("the configuration to be read", done).await;
}

#[tokio::test]
async fn a_changed_rate_acts_without_refilling_the_limit() {
    let (_upstream, tidegate) = configured(&rule("5/h")).await;
    let client = client();
    let ask = |_| client.get(tidegate.url("/x"));
    assert_eq!(flood(7, ask).await, [(200, 5), (429, 2)].into());
    tidegate.rewrite(&rule("8/h"));
    read(&tidegate, 2.0).await;
    assert_eq!(flood(7, ask).await, [(200, 3), (429, 4)].into(), "5 of 8 were used up");
    tidegate.rewrite(&rule("4/h"));
    read(&tidegate, 3.0).await;
    assert_eq!(flood(2, ask).await, [(429, 2)].into(), "a lower rate acts too");
}

#[tokio::test]
async fn each_change_is_a_line_in_the_log() {
    let (_upstream, tidegate) = configured(&rule("5/h")).await;
    for (rate, times) in [("8/h", 2.0), ("4/h", 3.0)] {
        tidegate.rewrite(&rule(rate));
        read(&tidegate, times).await;
    }
    let lines = async || Some(tidegate.logged("configuration read")).filter(|lines| lines.len() == 2);
    let lines = eventually("a log line for each change", lines).await;
    let changes: Vec<_> = lines.iter().map(|line| line["changes"].as_str().unwrap()).collect();
    assert_eq!(changes, ["changed x: 5/h -> 8/h", "changed x: 8/h -> 4/h"]);
}

#[tokio::test]
async fn a_change_under_load_fails_no_request() {
    let (upstream, tidegate) = configured(&rule("1000000/s")).await;
    let done = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (url, done, client) = (tidegate.url("/x"), Arc::clone(&done), client());
            tokio::spawn(async move {
                let mut answers = 0;
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    for (number, rate) in ["900000/s", "800000/s", "700000/s"].into_iter().enumerate() {
        tidegate.rewrite(&rule(rate));
        read(&tidegate, number as f64 + 2.0).await;
    }
    done.store(true, Ordering::Relaxed);
    let mut answers = 0;
    for client in load {
        answers += client.await.unwrap();
    }
    assert_eq!(upstream.seen().len(), answers);
    assert_eq!(
        tidegate.counted("x", "allowed").await,
        answers as f64,
        "requests that no policy was asked about"
    );
}

/// A bad edit, and waits until it has been read.
async fn edit_badly(tidegate: &Tidegate) {
    tidegate.rewrite(&rule("two an hour"));
    eventually("the fault to be counted", async || {
        tidegate.metric(FAILED).await.filter(|&count| count > 0.0)
    })
    .await;
}

#[tokio::test]
async fn a_bad_edit_changes_nothing() {
    let (_upstream, tidegate) = configured(&rule("2/h")).await;
    assert_eq!(status(&tidegate).await, 200);
    edit_badly(&tidegate).await;
    assert_eq!(status(&tidegate).await, 200);
    assert_eq!(status(&tidegate).await, 429, "the rule that was in force is not");
}

#[tokio::test]
async fn a_bad_edit_is_reported_once() {
    let (_upstream, tidegate) = configured(&rule("2/h")).await;
    edit_badly(&tidegate).await;
    // A good edit is acted on after it, and a bad one would have been tried again before.
    tidegate.rewrite(&rule("4/h"));
    read(&tidegate, 2.0).await;
    assert_eq!(tidegate.metric(FAILED).await, Some(1.0));
    let lines = tidegate.logged("nothing was changed");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!(lines[0]["level"], "ERROR");
    let problems = lines[0]["reason"].as_str().unwrap();
    for part in ["tidegate.yaml", ":2:", "rules[0].rate", "two an hour"] {
        assert!(problems.contains(part), "the log does not say where and what: {problems}");
    }
    assert_eq!(status(&tidegate).await, 200);
}

#[tokio::test]
async fn a_file_that_is_gone_changes_nothing() {
    let (_upstream, tidegate) = configured(&rule("2/h")).await;
    let file = tidegate.directory().join("tidegate.yaml");
    std::fs::remove_file(&file).unwrap();
    eventually("the fault to be counted", async || {
        tidegate.metric(FAILED).await.filter(|&count| count > 0.0)
    })
    .await;
    assert_eq!(status(&tidegate).await, 200);
    tidegate.rewrite(&rule("1/h"));
    read(&tidegate, 2.0).await;
    assert_eq!(status(&tidegate).await, 429);
}

#[tokio::test]
async fn sighup_reads_the_file_whether_it_changed_or_not() {
    let (_upstream, tidegate) = configured(&rule("2/h")).await;
    tidegate.signal("HUP");
    read(&tidegate, 2.0).await;
    tidegate.rewrite(&rule("0/h"));
    eventually("the fault to be counted", async || {
        tidegate.metric(FAILED).await.filter(|&count| count > 0.0)
    })
    .await;
    tidegate.signal("HUP");
    eventually("the fault to be told again", async || {
        tidegate.metric(FAILED).await.filter(|&count| count > 1.0)
    })
    .await;
    assert_eq!(status(&tidegate).await, 200);
}

#[tokio::test]
async fn sighup_does_not_end_a_process_without_a_file() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/x=2/h"]).await;
    tidegate.signal("HUP");
    for want in [200, 200, 429] {
        assert_eq!(status(&tidegate).await, want);
    }
}

#[tokio::test]
async fn what_cannot_change_live_is_refused_with_the_reason() {
    let config = format!("listen: 127.0.0.1:0\nshutdown: {{ settle: 0s }}\n{}", rule("2/h"));
    let upstream = Upstream::start().await;
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("tidegate.yaml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    let config = format!("upstream: http://{}\n{config}", upstream.address);
    write(&config);
    let tidegate = Tidegate::with_config(&path).await;
    let redis = "store: { redis: { url: 'redis://127.0.0.1:1/0' } }";
    let identity = Authority::new().sign("localhost");
    std::fs::write(file.path().join("cert.pem"), identity.certificate + &identity.key).unwrap();
    let with = |line: &str| format!("{config}\n{line}\n");
    for (number, (changed, what)) in [
        (config.replace("upstream: http://127.0.0.1", "upstream: http://localhost"), "upstream"),
        (config.replace("store: { memory: {} }", redis), "store"),
        (config.replace("settle: 0s", "settle: 1s"), "shutdown"),
        (with("tls: { cert_file: cert.pem, key_file: cert.pem }"), "tls"),
        (with("proxy_protocol: { trusted: 127.0.0.1 }"), "proxy_protocol"),
        (with("bounds: { streams: 9 }"), "bounds"),
    ]
    .into_iter()
    .enumerate()
    {
        // The rate changes with it, and must not.
        write(&changed.replace("2/h", "1000/h"));
        let told = eventually("the refusal to be logged", async || {
            tidegate.logged("nothing was changed").get(number).cloned()
        });
        let told = told.await;
        let message = told["reason"].as_str().unwrap();
        assert!(message.contains(what) && message.contains("restart"), "{message}");
    }
    assert_eq!(tidegate.metric(FAILED).await, Some(6.0));
    for want in [200, 200, 429] {
        assert_eq!(status(&tidegate).await, want);
    }
    // A flag wins over the file, so what the file says of it may change.
    write(&config.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:9").replace("2/h", "3/h"));
    read(&tidegate, 2.0).await;
    assert_eq!(status(&tidegate).await, 200);
}

#[tokio::test]
async fn a_file_that_is_replaced_is_read_anew() {
    let (_upstream, tidegate) = configured(&rule("1/h")).await;
    let (file, new) = (tidegate.directory().join("tidegate.yaml"), tidegate.directory().join("new"));
    let first = std::fs::read_to_string(&file).unwrap();
    for (times, rate) in [(2.0, "2/h"), (3.0, "3/h")] {
        std::fs::write(&new, first.replace("1/h", rate)).unwrap();
        std::fs::rename(&new, &file).unwrap();
        read(&tidegate, times).await;
    }
    for want in [200, 200, 200, 429] {
        assert_eq!(status(&tidegate).await, want);
    }
}

/// Makes `..data` point to a new directory with this configuration, as the kubelet does.
fn mount(volume: &Path, version: &str, config: &str) {
    let directory = volume.join(version);
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("tidegate.yaml"), config).unwrap();
    let link = volume.join("..data_tmp");
    symlink(version, &link).unwrap();
    std::fs::rename(link, volume.join("..data")).unwrap();
}

#[tokio::test]
async fn a_config_map_that_swaps_its_symlink_is_read_anew() {
    let upstream = Upstream::start().await;
    let volume = tempfile::tempdir().unwrap();
    mount(volume.path(), "..2024_01", &format!("upstream: http://{}\n{}", upstream.address, rule("1/h")));
    let file = volume.path().join("tidegate.yaml");
    symlink("..data/tidegate.yaml", &file).unwrap();
    let tidegate = Tidegate::with_config(&file).await;
    assert_eq!((status(&tidegate).await, status(&tidegate).await), (200, 429));
    mount(volume.path(), "..2024_02", &format!("upstream: http://{}\n{}", upstream.address, rule("2/h")));
    std::fs::remove_dir_all(volume.path().join("..2024_01")).unwrap();
    read(&tidegate, 2.0).await;
    assert_eq!((status(&tidegate).await, status(&tidegate).await), (200, 429));
    assert_eq!(tidegate.metric(FAILED).await.unwrap_or_default(), 0.0);
}

#[tokio::test]
async fn a_changed_secret_takes_the_place_of_the_old_one() {
    let upstream = Upstream::start().await;
    let secrets = tempfile::tempdir().unwrap();
    let token = secrets.path().join("token");
    std::fs::write(&token, "the-first-secret-of-two").unwrap();
    let bypass =
        format!("bypass: [{{ name: internal, header: X-Token, secret_file: '{}' }}]\n", token.display());
    let tidegate = Tidegate::configured(upstream.address, &(bypass + &rule("1/h"))).await;
    let passes = async |secret: &str| {
        let request = client().get(tidegate.url("/x")).header("X-Token", secret);
        let answer = request.send().await.unwrap();
        answer.status() == 200 && standing(answer.headers()).is_none()
    };
    assert_eq!(status(&tidegate).await, 200);
    assert!(passes("the-first-secret-of-two").await);
    assert!(!passes("the-second-one-of-two").await);
    std::fs::write(&token, "the-second-one-of-two\n").unwrap();
    read(&tidegate, 2.0).await;
    assert!(passes("the-second-one-of-two").await);
    assert!(!passes("the-first-secret-of-two").await, "the old secret still opens");
    let log = format!("{:?}", tidegate.logged(""));
    assert!(!log.contains("one-of-two"), "a secret is in the log");
}

#[tokio::test]
async fn a_change_during_a_reload_is_not_lost() {
    // So many rules that reading them takes a while.
    let many = |rate: &str| {
        let rules: String = (0..3_000)
            .map(|place| format!("  - {{ name: r{place}, match: {{ path: /r{place} }}, rate: 1/h }}\n"))
            .collect();
        format!(
            "store: {{ memory: {{}} }}\nrules:\n  - {{ name: x, match: {{ path: /x }}, rate: {rate} }}\n{rules}"
        )
    };
    let (_upstream, tidegate) = configured(&many("100/h")).await;
    for edit in 1..=5 {
        tidegate.signal("HUP");
        tidegate.rewrite(&many(&format!("{}/h", 100 + edit)));
    }
    eventually("the last edit to be in force", async || {
        let answer = client().get(tidegate.url("/x")).send().await.unwrap();
        answer.headers()["ratelimit-policy"].to_str().unwrap().contains("q=105;").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_comes_after_the_file_that_names_it_is_noticed() {
    let (_upstream, tidegate) = configured(&rule("1/h")).await;
    let secret = "bypass: [{ name: in, header: X-In, secret_file: late }]\n";
    tidegate.rewrite(&(rule("1/h") + secret));
    let failed = async || tidegate.metric(FAILED).await.filter(|&count| count > 0.0);
    eventually("the missing secret to be told", failed).await;
    std::fs::write(tidegate.directory().join("late"), "open-sesame-open-sesame").unwrap();
    read(&tidegate, 2.0).await;
    for _ in 0..3 {
        let answer = client().get(tidegate.url("/x")).header("X-In", "open-sesame-open-sesame").send().await;
        assert_eq!(answer.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_file_cut_short_does_not_switch_the_limits_off() {
    let (_upstream, tidegate) = configured(&rule("1/h")).await;
    tidegate.rewrite("store: { memory: {} }\n");
    let failed = async || tidegate.metric(FAILED).await.filter(|&count| count > 0.0);
    eventually("the refusal", failed).await;
    assert_eq!(status(&tidegate).await, 200);
    assert_eq!(status(&tidegate).await, 429);
}
