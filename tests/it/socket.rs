//! The Unix socket that tidegate listens on: its permissions.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::harness::{Tidegate, Upstream, Wire, eventually};

/// A configuration with a socket in `directory`.
fn config(upstream: &Upstream, directory: &Path, more: &str) -> String {
    format!(
        "listen: unix:{}/socket\nops_listen: 127.0.0.1:0\nupstream: {}\nstore: {{ memory: {{}} }}\n\
         rules: [{{ name: x, rate: 1000000/s }}]\n{more}\n",
        directory.display(),
        upstream.url()
    )
}

/// tidegate under this umask, and the directory of its file and its socket.
async fn under(umask: &str, upstream: &Upstream, more: &str) -> (Tidegate, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tidegate.yaml");
    std::fs::write(&file, config(upstream, directory.path(), more)).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "umask $0; exec \"$@\"", umask, env!("CARGO_BIN_EXE_tidegate"), "run", "--config"]);
    command.arg(&file);
    (Tidegate::spawn(command).await, directory)
}

fn mode(directory: &TempDir) -> u32 {
    std::fs::metadata(directory.path().join("socket")).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn the_mode_is_the_one_of_the_configuration_whatever_the_umask() {
    let upstream = Upstream::start().await;
    for (umask, text, want) in
        [("022", "0660", 0o660), ("000", "0600", 0o600), ("077", "0666", 0o666), ("777", "0600", 0o600)]
    {
        let (_tidegate, directory) = under(umask, &upstream, &format!("listen_mode: \"{text}\"")).await;
        assert_eq!(mode(&directory), want, "{text} under {umask}");
        let stream = UnixStream::connect(directory.path().join("socket")).await.unwrap();
        assert_eq!(Wire::over(stream).ask("GET /", &[]).await.status, 200);
    }
}

#[tokio::test]
async fn without_a_mode_the_umask_decides() {
    let upstream = Upstream::start().await;
    for (umask, want) in [("022", 0o755), ("007", 0o770)] {
        let (_tidegate, directory) = under(umask, &upstream, "").await;
        assert_eq!(mode(&directory), want, "under {umask}");
    }
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_with_its_mode() {
    let upstream = Upstream::start().await;
    let (mut tidegate, directory) = under("022", &upstream, "listen_mode: \"0600\"").await;
    tidegate.signal("KILL");
    tidegate.ended().await;
    assert_eq!(mode(&directory), 0o600);
    let file = directory.path().join("tidegate.yaml");
    std::fs::write(&file, config(&upstream, directory.path(), "listen_mode: \"0666\"")).unwrap();
    let mut command = crate::harness::command();
    command.args(["run", "--config"]).arg(&file);
    let _tidegate = Tidegate::spawn(command).await;
    assert_eq!(mode(&directory), 0o666);
}

#[tokio::test]
async fn a_reload_cannot_change_the_mode() {
    let upstream = Upstream::start().await;
    let (tidegate, directory) = under("022", &upstream, "listen_mode: \"0600\"").await;
    let file = directory.path().join("tidegate.yaml");
    std::fs::write(&file, config(&upstream, directory.path(), "listen_mode: \"0666\"")).unwrap();
    let refused = async || tidegate.logged("nothing was changed").pop();
    let line = eventually("the refusal to be logged", refused).await;
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("listen_mode cannot change while tidegate runs: restart it"), "{reason}");
    assert_eq!(mode(&directory), 0o600);
}
