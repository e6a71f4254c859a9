//! `tidegate health`: probes for an orchestrator that can only start a program.

use std::net::TcpListener;

use crate::harness::{ReservedPort, Tidegate, Upstream, eventually};

fn health(probe: &str, ops: impl std::fmt::Display) -> (Option<i32>, String) {
    let finished = Tidegate::finished(&["health", probe, &format!("--ops-listen={ops}")]);
    (finished.status.code(), finished.stdout + &finished.stderr)
}

#[tokio::test]
async fn each_probe_of_a_running_instance_is_well() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/*=1/h"]).await;
    for probe in ["live", "ready", "startup"] {
        assert_eq!(health(probe, tidegate.ops), (Some(0), "ok\n".to_owned()), "{probe}");
    }
    // As ops_listen has it.
    assert_eq!(health("ready", format!("0.0.0.0:{}", tidegate.ops.port())).0, Some(0));
}

#[tokio::test]
async fn an_instance_that_shuts_down_is_live_and_not_ready() {
    let upstream = Upstream::start().await;
    let config = "rules: [{ name: x, rate: 1/h }]\nshutdown: { settle: 60s, grace: 60s }\n";
    let tidegate = Tidegate::configured(upstream.address, config).await;
    tidegate.signal("TERM");
    let refused = eventually("the instance to shut down", async || {
        let (code, output) = health("ready", tidegate.ops);
        (code != Some(0)).then_some((code, output))
    });
    let (code, output) = refused.await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("responded to /readyz with 503: shutting down"), "{output}");
    assert_eq!(health("live", tidegate.ops).0, Some(0));
}

#[test]
fn without_an_instance_the_address_is_named() {
    let closed = ReservedPort::new();
    let (code, output) = health("live", closed.address());
    assert_eq!(code, Some(1));
    assert!(output.contains(&format!("no response from {}", closed.address())), "{output}");
    assert!(output.contains("refused"), "{output}");
}

#[test]
fn a_silent_listener_makes_the_probe_fail_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let (code, output) = health("live", address);
    assert_eq!(code, Some(1));
    assert!(output.contains(&format!("no response from {address} within 5 s")), "{output}");
}

#[test]
fn an_unknown_probe_is_wrong_usage() {
    assert_eq!(health("alive", "127.0.0.1:1").0, Some(64));
    assert_eq!(health("live", "localhost").0, Some(64));
}
