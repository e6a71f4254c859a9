//! Signals that arrive while tidegate reads its configuration.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use tempfile::TempDir;

use crate::harness::{command, eventually};

/// A tidegate that has begun to read its configuration from a pipe, and waits for the content.
struct Starting {
    child: Child,
    pipe: Option<File>,
    directory: TempDir,
}

impl Starting {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidegate.yaml");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let mut command = command();
        command.arg("--config").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let mut starting = Self { child, pipe: None, directory };
        // This returns when somebody reads from the pipe.
        let opening = std::thread::spawn(move || OpenOptions::new().write(true).open(path).unwrap());
        eventually("tidegate to open its configuration", async || opening.is_finished().then_some(())).await;
        starting.pipe = opening.join().ok();
        starting
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Writes the configuration, and waits until tidegate listens.
    async fn serves(&mut self) {
        let socket = self.directory.path().join("tidegate.sock");
        let config = format!(
            "listen: 'unix:{}'\nops_listen: 127.0.0.1:0\nupstream: http://127.0.0.1:9\n\
             store: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 1/s }}]\n",
            socket.display()
        );
        // The reader sees the end of the content when the pipe is closed.
        self.pipe.take().unwrap().write_all(config.as_bytes()).unwrap();
        eventually("tidegate to listen", async || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "tidegate ended: {ended:?}");
            std::os::unix::net::UnixStream::connect(&socket).ok()
        })
        .await;
    }

    async fn ended(&mut self) -> ExitStatus {
        eventually("tidegate to end", async || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn signals_of_log_rotation_do_not_end_a_process_that_starts() {
    for signal in ["USR1", "USR2"] {
        let mut starting = Starting::new().await;
        starting.signal(signal);
        starting.serves().await;
    }
}

#[tokio::test]
async fn a_process_that_starts_can_be_ended() {
    for signal in ["TERM", "INT"] {
        let mut starting = Starting::new().await;
        starting.signal(signal);
        assert!(starting.ended().await.success(), "{signal}");
    }
}
