//! A socket that systemd holds open and passes to each tidegate in turn.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::rolling::{Tally, application, customer};
use crate::harness::{Tidegate, Upstream, client};

/// tidegate with a socket as systemd passes it: as descriptor 3, named by variables.
fn with_sockets(socket: impl Into<OwnedFd>, count: usize, listen: &str, upstream: SocketAddr) -> Command {
    let mut command = Command::new("sh");
    // The shell becomes tidegate, so both have the same pid.
    let script = format!("export LISTEN_FDS={count} LISTEN_PID=$$; exec \"$@\" 3<&0 4<&0 </dev/null");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_tidegate"), "run", "--limit=/*=1000000/s"]);
    command.args([&format!("--listen={listen}"), "--ops-listen=127.0.0.1:0"]);
    command.arg(format!("--upstream=http://{upstream}"));
    command.stdin(socket.into());
    command
}

async fn start(socket: &TcpListener, upstream: SocketAddr) -> Tidegate {
    Tidegate::spawn(with_sockets(socket.try_clone().unwrap(), 1, "127.0.0.1:1", upstream)).await
}

#[tokio::test]
async fn a_restart_behind_a_passed_socket_fails_no_request() {
    let upstream = application().await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut tidegate = start(&socket, upstream.address).await;
    assert_eq!(tidegate.address, address);
    let tally = Arc::new(Tally::default());
    let customers: Vec<_> =
        (0..4).map(|_| tokio::spawn(customer(client(), address, Arc::clone(&tally)))).collect();
    for _ in 0..2 {
        tally.has_answered(100).await;
        tidegate.signal("TERM");
        assert!(tidegate.ended().await.success());
        // From here to the next start only the socket of this test takes connections.
        tidegate = start(&socket, upstream.address).await;
    }
    tally.has_answered(100).await;
    tally.over.store(true, Ordering::Relaxed);
    for customer in customers {
        customer.await.unwrap();
    }
    let failed = tally.failed.lock().unwrap();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test]
async fn a_passed_unix_socket_is_served_and_stays() {
    let (upstream, directory) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let path = directory.path().join("socket");
    let socket = UnixListener::bind(&path).unwrap();
    let command = with_sockets(socket.try_clone().unwrap(), 1, "unix:/absent/socket", upstream.address);
    let mut tidegate = Tidegate::spawn(command).await;
    let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    assert_eq!(crate::harness::Wire::over(stream).ask("GET /", &[]).await.status, 200);
    tidegate.signal("INT");
    assert!(tidegate.ended().await.success());
    assert!(path.exists(), "it belongs to systemd");
}

#[test]
fn a_socket_of_another_kind_is_a_fault() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = SocketAddr::from(([127, 0, 0, 1], 9));
    for (count, listen, part) in [
        (1, "unix:/tmp/x", "listen: systemd passes a TCP socket, expected a Unix socket as in unix:/tmp/x"),
        (2, "127.0.0.1:0", "listen: systemd passes 2 sockets, expected one"),
    ] {
        let output = with_sockets(socket.try_clone().unwrap(), count, listen, upstream).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
    }
}
