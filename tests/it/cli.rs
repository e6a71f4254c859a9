//! The command line.

mod check;
mod check_reports;
mod environment;
mod explain;
mod explained_limits;
mod health;
mod pages;
mod schema;
mod starting;

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::harness::{Finished, Redis, Tidegate, Upstream, Wire, client, command, eventually};

#[tokio::test]
async fn a_limit_needs_no_file() {
    let upstream = Upstream::start().await;
    let upstream = format!("--upstream=http://{}", upstream.address);
    // `run` goes without saying.
    let tidegate =
        Tidegate::run(&[&upstream, "--limit=GET|POST /api/*=2/min,burst=1", "--limit=/b=1/h"]).await;
    let status = async |method: &str, path: &str| {
        let request = client().request(method.parse().unwrap(), tidegate.url(path));
        request.send().await.unwrap().status().as_u16()
    };
    for (method, want) in [("GET", 200), ("POST", 200), ("GET", 200), ("POST", 429), ("DELETE", 200)] {
        assert_eq!(status(method, "/api/x").await, want, "{method}");
    }
    assert_eq!((status("GET", "/b").await, status("GET", "/b").await), (200, 429));
}

#[tokio::test]
async fn a_limit_takes_over_no_counter_of_a_limit_that_stood_in_its_place() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let store = format!("--redis={}", redis.url());
    let (api, login) = ("--limit=GET /api/*=1/h", "--limit=POST /login=1/h");
    let before = Tidegate::start(upstream.address, &[&store, api]).await;
    let refused = async || {
        let answer = client().get(before.url("/api/x")).send().await.unwrap();
        (answer.status() == 429).then_some(())
    };
    eventually("the limit to be reached", refused).await;
    // A check that was too late for its deadline is told to Redis afterwards.
    let counted = async || {
        let keys: Vec<String> = redis.command(&["KEYS", "*"]).await;
        keys.iter().any(|key| key.contains("127.0.0.1")).then_some(())
    };
    eventually("Redis to have the counter", counted).await;
    drop(before);

    let after = Tidegate::start(upstream.address, &[&store, login, api, "--limit=/scout=1000000/h"]).await;
    let by_redis = async || {
        client().get(after.url("/scout")).send().await.unwrap();
        let decided = after.metric("tidegate_decisions_total{origin=\"store\"}").await?;
        (decided > 0.0).then_some(())
    };
    eventually("Redis to decide", by_redis).await;
    assert_eq!(client().post(after.url("/login")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_log_goes_to_standard_output_on_request() {
    let upstream = Upstream::start().await;
    // The harness reads from there that it serves.
    let mut tidegate = Tidegate::start(upstream.address, &["--limit=/a=1/h", "--log-to=stdout"]).await;
    tidegate.signal("INT");
    assert!(tidegate.ended().await.success());
    assert_eq!(tidegate.logged("shutting down").len(), 1);
    assert_eq!(tidegate.beside_the_log(), "");
}

#[tokio::test]
async fn variables_take_the_place_of_flags() {
    let upstream = Upstream::start().await;
    let mut command = command();
    command
        .env("TIDEGATE_LISTEN", "127.0.0.1:0")
        .env("TIDEGATE_OPS_LISTEN", "127.0.0.1:0")
        .env("TIDEGATE_UPSTREAM", format!("http://{}", upstream.address))
        .env("TIDEGATE_LIMIT", "/a=1/h;/b=2/h");
    let tidegate = Tidegate::spawn(command).await;
    for (path, want) in [("/a", 200), ("/a", 429), ("/b", 200), ("/b", 200), ("/b", 429), ("/c", 200)] {
        let answer = client().get(tidegate.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), want, "{path}");
    }
}

#[tokio::test]
async fn a_flag_wins_over_its_variable() {
    let upstream = Upstream::start().await;
    let mut command = command();
    command
        .args(["--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--limit=/a=1/h"])
        .arg(format!("--upstream=http://{}", upstream.address))
        .env("TIDEGATE_LISTEN", "127.0.0.1:1");
    let tidegate = Tidegate::spawn(command).await;
    assert_ne!(tidegate.address.port(), 1);
    assert_eq!(client().get(tidegate.url("/a")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_file_may_be_named_by_the_environment() {
    let upstream = Upstream::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = format!(
        "listen: 127.0.0.1:0\nops_listen: 127.0.0.1:0\nupstream: http://{}\nstore: {{ memory: {{}} }}\n\
         rules: [{{ name: x, rate: 1/h }}]",
        upstream.address
    );
    std::fs::write(file.path(), config).unwrap();
    let mut command = command();
    command.env("TIDEGATE_CONFIG", file.path());
    let tidegate = Tidegate::spawn(command).await;
    for want in [200, 429] {
        assert_eq!(client().get(tidegate.url("/")).send().await.unwrap().status(), want);
    }
}

fn fails(arguments: &[&str], code: i32, said: &[&str]) {
    let Finished { status, stdout, stderr } = Tidegate::finished(arguments);
    assert_eq!(status.code(), Some(code), "{arguments:?}: {stderr}");
    assert_eq!(stdout, "", "{arguments:?} says its errors where output goes");
    for part in said {
        assert!(stderr.contains(part), "{arguments:?} does not say '{part}': {stderr}");
    }
}

#[test]
fn wrong_usage_ends_with_64_naming_the_argument() {
    fails(&["run", "--no-such-flag"], 64, &["--no-such-flag", "--help"]);
    fails(&["--no-such-flag"], 64, &["--no-such-flag"]);
    fails(&["no-such-command"], 64, &["no-such-command"]);
    fails(&["run", "--listen", "nowhere"], 64, &["nowhere", "--listen"]);
    fails(&["run", "--listen"], 64, &["--listen"]);
    fails(&["check", "x.yaml", "--limit", "/=1/s"], 64, &["[FILE]", "--limit"]);
    fails(&["run", "--config", "x.yaml", "--limit", "/=1/s"], 64, &["--config", "--limit"]);
}

#[test]
fn a_log_filter_that_would_log_nothing_is_wrong_usage() {
    for (filter, help) in [
        ("inof", "did you mean 'info'?"),
        ("verbose", "did you mean 'debug'?"),
        ("info,access", "expected 'access=LEVEL'"),
        ("info,acess=off", "did you mean 'access'?"),
        ("info,tidegate::stroe=debug", "did you mean 'tidegate::store'?"),
        ("", "the filter is empty"),
    ] {
        let log = format!("--log={filter}");
        for command in ["run", "demo"] {
            fails(&[command, &log], 64, &["--log", help]);
        }
    }
    let output = command().arg("run").env("TIDEGATE_LOG", "verbose").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr).unwrap().contains("did you mean 'debug'?"));
}

#[test]
fn a_wrong_configuration_ends_with_78_naming_what_is_expected() {
    fails(&[], 78, &["upstream", "--upstream"]);
    fails(&["run"], 78, &["upstream", "--upstream"]);
    fails(&["check"], 78, &["upstream", "--upstream"]);
    fails(&["--upstream=ftp://x", "--limit=/=1/s"], 78, &["ftp://x", "http://HOST:PORT"]);
    fails(&["--upstream=http://127.0.0.1:9", "--limit=GET /x 5/s"], 78, &["GET /x 5/s", "METHODS"]);
    fails(&["--upstream=http://127.0.0.1:9", "--redis=127.0.0.1:6379"], 78, &["--redis", "redis://"]);
    fails(&["--config=/no/such/file.yaml"], 78, &["/no/such/file.yaml", "cannot be read"]);
    fails(&["check", "/no/such/file.yaml"], 78, &["/no/such/file.yaml", "cannot be read"]);
}

#[test]
fn a_password_never_shows_in_a_message() {
    for url in ["redis://user:hunter2@127.0.0.1:x/0", "redis://:hunter2@/0", "http://user:hunter2@127.0.0.1"]
    {
        let redis = format!("--redis={url}");
        let finished = Tidegate::finished(&["--upstream=http://127.0.0.1:9", &redis]);
        assert_eq!(finished.status.code(), Some(78), "{url}: {}", finished.stderr);
        assert!(!finished.stderr.contains("hunter2"), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn a_port_that_is_taken_ends_with_1_naming_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let listen = format!("--listen={taken}");
    let said = [&*taken, "listen", "another process listens there"];
    fails(&["--upstream=http://127.0.0.1:9", &listen, "--ops-listen=127.0.0.1:0"], 1, &said);
    let listen = format!("--ops-listen={taken}");
    fails(&["--upstream=http://127.0.0.1:9", "--listen=127.0.0.1:0", &listen], 1, &[&taken, "ops_listen"]);
    fails(&["demo", "--listen=127.0.0.1:0", &listen], 1, &[&taken, "ops_listen"]);
}

/// Runs the binary to its end as a user without privileges.
fn finished_unprivileged(arguments: &[&str]) -> Finished {
    // A copy that this user may execute, wherever the target directory is.
    let directory = tempfile::tempdir().unwrap();
    let binary = directory.path().join("tidegate");
    // By another process: a file that this one has open for writing, for a child too, cannot be executed.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_tidegate")).arg(&binary).status().unwrap();
    assert!(copied.success());
    for path in [directory.path(), &binary] {
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(binary);
    command.args(["--upstream=http://127.0.0.1:9", "--limit=/=1/s", "--ops-listen=127.0.0.1:0"]);
    // Only a privileged process may change its user; any other has none of the privileges.
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65534);
    }
    let output = command.args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Finished { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_privileged_port_ends_with_help_for_both_ways_out() {
    let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if start.trim().parse::<u16>().unwrap() < 2 {
        return; // No port is privileged on this machine.
    }
    let Finished { status, stderr, .. } = finished_unprivileged(&["--listen=127.0.0.1:1"]);
    assert_eq!(status.code(), Some(1), "{stderr}");
    for part in ["listen: cannot listen on 127.0.0.1:1: ", "help: ", "CAP_NET_BIND_SERVICE", "from 1024"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn a_socket_in_a_directory_that_is_not_writable_names_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o555)).unwrap();
    let path = directory.path().display();
    let Finished { status, stderr, .. } =
        finished_unprivileged(&[&format!("--listen=unix:{path}/tidegate.sock")]);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&format!("files in the directory {path}: change its owner")), "{stderr}");
}

#[test]
fn an_address_that_the_machine_does_not_have_names_the_cause() {
    // Set aside for documents (RFC 5737).
    let arguments =
        ["--upstream=http://127.0.0.1:9", "--ops-listen=127.0.0.1:0", "--listen=203.0.113.1:8080"];
    fails(&arguments, 1, &["203.0.113.1:8080", "no interface of this machine has this address"]);
}

#[test]
fn help_is_no_failure() {
    for arguments in
        [&["--help"][..], &["-h"], &["run", "--help"], &["demo", "--help"], &["check", "--help"], &["help"]]
    {
        let Finished { status, stdout, stderr } = Tidegate::finished(arguments);
        assert_eq!((status.code(), &*stderr), (Some(0), ""), "{arguments:?}");
        assert!(stdout.contains("Usage: tidegate"), "{arguments:?}: {stdout}");
    }
}

#[test]
fn the_help_of_run_has_every_flag() {
    let help = Tidegate::finished(&["run", "--help"]).stdout;
    for flag in [
        "--config",
        "--listen",
        "--upstream",
        "--redis",
        "--limit",
        "--ops-listen",
        "--admin-listen",
        "--log",
        "--log-format",
        "--log-to",
    ] {
        assert!(help.contains(flag), "{flag} is not in the help");
    }
}

#[test]
fn the_version_has_the_commit_the_target_and_the_version_of_the_package() {
    let version = Tidegate::finished(&["--version"]).stdout;
    let build = version.strip_prefix(&format!("tidegate {} (commit ", env!("CARGO_PKG_VERSION")));
    let (commit, target) = build.unwrap_or_else(|| panic!("{version}")).split_once(", ").unwrap();
    assert!(commit == "unknown" || commit.len() == 12, "{version}");
    assert!(target.ends_with(")\n") && target.contains(std::env::consts::ARCH), "{version}");
}

#[test]
fn the_help_shows_no_secret_of_the_environment() {
    let output =
        command().args(["run", "--help"]).env("TIDEGATE_REDIS", "redis://:hunter2@10.0.0.1/0").output();
    let help = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(help.contains("TIDEGATE_REDIS") && !help.contains("hunter2"), "{help}");
}

#[tokio::test]
async fn the_demo_has_the_shipped_limits() {
    let demo = Tidegate::run(&["demo"]).await;
    let (client, url) = (client(), demo.url("/api/v1/prd/import"));
    for want in [200, 200, 200, 200, 200, 200, 200, 429] {
        assert_eq!(client.post(&url).send().await.unwrap().status(), want);
    }
}

#[tokio::test]
async fn the_demo_has_an_upstream_of_its_own() {
    let demo = Tidegate::run(&["demo"]).await;
    let answer: serde_json::Value =
        client().get(demo.url("/x?y")).send().await.unwrap().json().await.unwrap();
    assert_eq!((&answer["method"], &answer["path"]), (&"GET".into(), &"/x".into()));
}

#[tokio::test]
async fn the_demo_says_what_to_try() {
    let demo = Tidegate::run(&["demo"]).await;
    let (proxy, ops, url) = (demo.address, demo.ops, demo.url("/api/v1/prd/import"));
    let said = eventually("the invitation", async || {
        Some(demo.beside_the_log()).filter(|said| said.contains("Ctrl-C"))
    })
    .await;
    for part in [&format!("curl -i http://{proxy}/api/v1/tasks"), &url, &format!("http://{ops}/metrics")] {
        assert!(said.contains(part), "the demo does not say '{part}': {said}");
    }
}

#[tokio::test]
async fn a_low_limit_of_open_files_is_raised() {
    let upstream = Upstream::start().await;
    let mut command = std::process::Command::new("sh");
    // The soft limit only: what a process gets unless it asks for more.
    command.args(["-c", "ulimit -S -n 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_tidegate"), "run"]);
    command.args(["--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0"]);
    command.arg(format!("--upstream=http://{}", upstream.address));
    let tidegate = Tidegate::spawn(command).await;
    let mut wires = Vec::new();
    for _ in 0..100 {
        let mut wire = Wire::to(tidegate.address).await;
        assert_eq!(wire.ask("GET /", &[]).await.status, 200, "after {} connections", wires.len());
        wires.push(wire);
    }
}
