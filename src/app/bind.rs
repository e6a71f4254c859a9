//! Opens listening sockets, and explains why one cannot be opened.

use std::fs::Permissions;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::anyhow;
use tokio::net::{TcpListener, UnixListener, UnixSocket};

use crate::settings::Listen;

/// The first port that a process without privileges may listen on, unless `net.ipv4.ip_unprivileged_port_start` says
/// otherwise.
const FIRST_UNPRIVILEGED: u16 = 1024;
/// As many connections may wait to be accepted as the system allows: it lowers this to `net.core.somaxconn`.
const BACKLOG: u32 = u16::MAX as u32;

/// Listens on a TCP address. `key` is that of the configuration.
pub(super) async fn tcp(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| refused(key, &Listen::Tcp(address), &error))
}

/// Listens for clients on a Unix socket with these permission bits, or else with those that the umask leaves.
pub(super) fn unix(path: &Path, mode: Option<u32>) -> anyhow::Result<UnixListener> {
    let refused = |error: Error| refused("listen", &Listen::Unix(path.to_owned()), &error);
    let socket = UnixSocket::new_stream().map_err(refused)?;
    socket.bind(path).map_err(refused)?;
    // Before it listens no client can connect. So there is no moment at which the permissions of the umask count, and no
    // need to change the umask, which is that of all threads.
    if let Some(mode) = mode
        && let Err(error) = std::fs::set_permissions(path, Permissions::from_mode(mode))
    {
        // What is left behind is no obstacle: the next run finds that no process listens on it.
        let _ = std::fs::remove_file(path);
        return Err(anyhow!(
            "listen_mode: cannot set the mode of {}: {error}\n    \
             help: choose a directory on a file system that has permissions, or remove listen_mode",
            path.display()
        ));
    }
    socket.listen(BACKLOG).map_err(refused)
}

/// The message of a socket that cannot be opened: what failed, and the way out.
pub(super) fn refused(key: &str, listen: &Listen, error: &Error) -> anyhow::Error {
    anyhow!("{key}: cannot listen on {listen}: {error}\n    help: {}", help(listen, error.kind()))
}

fn help(listen: &Listen, error: ErrorKind) -> String {
    let text = match listen {
        Listen::Tcp(address) => tcp_help(*address, error),
        Listen::Unix(path) => return unix_help(path, error),
    };
    text.to_owned()
}

fn tcp_help(address: SocketAddr, error: ErrorKind) -> &'static str {
    match error {
        ErrorKind::PermissionDenied if address.port() < FIRST_UNPRIVILEGED => {
            "ports below 1024 are privileged: choose a port from 1024, grant CAP_NET_BIND_SERVICE, \
             or lower net.ipv4.ip_unprivileged_port_start"
        }
        ErrorKind::PermissionDenied => {
            "the system reserves this port, by net.ipv4.ip_unprivileged_port_start or by a security policy such as \
             SELinux: allow it there, or choose another port"
        }
        ErrorKind::AddrInUse => {
            "another process listens there (ss -ltnp lists them): stop it, or choose another port"
        }
        ErrorKind::AddrNotAvailable => {
            "no interface of this machine has this address (ip address lists them): choose one that it has, \
             or 0.0.0.0 or [::] for all"
        }
        _ if address.is_ipv6() => "choose another address; IPv6 may be off on this machine",
        _ => "choose another address",
    }
}

fn unix_help(path: &Path, error: ErrorKind) -> String {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.display().to_string(),
        _ => ".".to_owned(),
    };
    match error {
        ErrorKind::PermissionDenied => format!(
            "the user of this process may not create or remove files in the directory {directory}: \
             change its owner or permissions, or choose another directory"
        ),
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            format!("there is no directory {directory}: create it, or choose another one")
        }
        ErrorKind::ReadOnlyFilesystem => {
            format!(
                "the directory {directory} is read-only: mount a writable one there, or choose another one"
            )
        }
        ErrorKind::AddrInUse => {
            "another process listens on this socket, another user left it behind, or it is \
                                 another kind of file: remove it, or choose another path"
                .to_owned()
        }
        _ => "choose another path".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::help;
    use crate::settings::Listen;

    fn assert_help(cases: &[(&str, ErrorKind, &str)]) {
        for (listen, error, part) in cases {
            let help = help(&listen.parse::<Listen>().unwrap_or_else(|error| panic!("{error}")), *error);
            assert!(help.contains(part), "{listen}, {error}: {help}");
        }
    }

    #[test]
    fn a_port_that_cannot_be_opened() {
        assert_help(&[
            ("0.0.0.0:80", ErrorKind::PermissionDenied, "CAP_NET_BIND_SERVICE"),
            ("0.0.0.0:1023", ErrorKind::PermissionDenied, "a port from 1024"),
            ("[::]:1024", ErrorKind::PermissionDenied, "security policy"),
            ("0.0.0.0:80", ErrorKind::AddrInUse, "another process listens there"),
            ("203.0.113.1:80", ErrorKind::AddrNotAvailable, "no interface of this machine has this address"),
            ("[::]:80", ErrorKind::Unsupported, "IPv6 may be off"),
            ("0.0.0.0:80", ErrorKind::Other, "choose another address"),
        ]);
    }

    #[test]
    fn a_unix_socket_that_cannot_be_opened() {
        assert_help(&[
            (
                "unix:/run/a/b.sock",
                ErrorKind::PermissionDenied,
                "create or remove files in the directory /run/a:",
            ),
            ("unix:/a.sock", ErrorKind::PermissionDenied, "the directory /:"),
            ("unix:a.sock", ErrorKind::PermissionDenied, "the directory .:"),
            ("unix:/run/a/b.sock", ErrorKind::NotFound, "no directory /run/a: create it"),
            ("unix:/run/a/b.sock", ErrorKind::NotADirectory, "no directory /run/a"),
            ("unix:/run/a/b.sock", ErrorKind::ReadOnlyFilesystem, "the directory /run/a is read-only"),
            ("unix:/run/a/b.sock", ErrorKind::AddrInUse, "another process listens on this socket"),
            ("unix:/run/a/b.sock", ErrorKind::Other, "choose another path"),
        ]);
    }
}
