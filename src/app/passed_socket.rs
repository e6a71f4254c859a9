//! The socket that systemd opens and passes to this process, if the service has a socket unit. That socket stays open while
//! one process ends and the next one starts: clients wait, and no connection is refused.

use std::os::unix::net::UnixListener;

use anyhow::{Context as _, bail};
use listenfd::ListenFd;

use crate::server::Listener;
use crate::settings::Listen;

/// A socket on which the system already listens.
#[derive(Debug)]
pub(super) enum PassedSocket {
    Tcp(std::net::TcpListener),
    Unix(UnixListener),
}

/// Takes the socket out of the environment, if there is one. Call it while the process has one thread, as it removes variables.
///
/// # Errors
/// When there are several sockets, or the one is no stream socket.
pub(super) fn take() -> anyhow::Result<Option<PassedSocket>> {
    let mut passed = ListenFd::from_env();
    match passed.len() {
        0 => return Ok(None),
        1 => {}
        count => bail!(
            "listen: systemd passes {count} sockets, expected one\n    \
             help: keep one line ListenStream= in the socket unit"
        ),
    }
    if let Ok(Some(listener)) = passed.take_unix_listener(0) {
        return Ok(Some(PassedSocket::Unix(listener)));
    }
    let listener = passed.take_tcp_listener(0).context(
        "listen: expected a stream socket of TCP or Unix from systemd\n    \
         help: use ListenStream= in the socket unit",
    )?;
    Ok(listener.map(PassedSocket::Tcp))
}

impl PassedSocket {
    /// Returns the listener and its address. `listen` of the configuration must be of the same kind, as other keys depend on
    /// that; its address or path does not count.
    ///
    /// # Errors
    /// When the kinds differ.
    pub(super) fn into_listener(self, listen: &Listen) -> anyhow::Result<(Listener, Listen)> {
        match (self, listen) {
            (Self::Tcp(listener), Listen::Tcp(_)) => {
                listener.set_nonblocking(true)?;
                let address = Listen::Tcp(listener.local_addr()?);
                Ok((Listener::Tcp(tokio::net::TcpListener::from_std(listener)?), address))
            }
            (Self::Unix(listener), Listen::Unix(configured)) => {
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?;
                let path = address.as_pathname().unwrap_or(configured).to_owned();
                Ok((Listener::Unix(tokio::net::UnixListener::from_std(listener)?), Listen::Unix(path)))
            }
            (Self::Tcp(_), Listen::Unix(_)) => bail!(
                "listen: systemd passes a TCP socket, expected a Unix socket as in {listen}\n    \
                 help: set listen to an IP:PORT, or change ListenStream= in the socket unit"
            ),
            (Self::Unix(_), Listen::Tcp(_)) => bail!(
                "listen: systemd passes a Unix socket, expected a TCP socket as in {listen}\n    \
                 help: set listen to unix:PATH, or change ListenStream= in the socket unit"
            ),
        }
    }
}
