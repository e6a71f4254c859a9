//! Where to listen, as it is written: `0.0.0.0:8080`, or `unix:/run/tidegate.sock`. Pure.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use super::diagnostic::{Fault, shown};
use crate::settings::{AdminListen, Listen};

/// Reads the value of the demo's `--listen`, which is TCP only.
///
/// # Errors
/// What is invalid, and what is expected.
pub fn tcp_listen_flag(text: &str) -> Result<SocketAddr, String> {
    address(text, TCP_LISTEN_HELP).map_err(for_flag)
}

/// Reads the value of `--ops-listen`.
///
/// # Errors
/// What is invalid, and what is expected.
pub fn ops_listen_flag(text: &str) -> Result<SocketAddr, String> {
    ops_address(text).map_err(for_flag)
}

/// Reads the value of `--admin-listen`.
///
/// # Errors
/// What is invalid, and what is expected.
pub fn admin_listen_flag(text: &str) -> Result<AdminListen, String> {
    admin(text).map_err(for_flag)
}

/// Returns the error of a flag, which contains the help.
fn for_flag(Fault { message, help }: Fault) -> String {
    format!("{message}; {help}")
}

/// Parses the value of `--listen`.
impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        listen(text).map_err(for_flag)
    }
}

pub(super) const OPS_HELP: &str = "expected IP:PORT, such as 0.0.0.0:9902 or [::]:9902";
pub(super) const ADMIN_HELP: &str = "expected IP:PORT, such as 127.0.0.1:9901 or [::1]:9901, or off";
const TCP_LISTEN_HELP: &str = "expected IP:PORT, such as 0.0.0.0:8080 or [::]:8080";
pub(super) const LISTEN_HELP: &str =
    "expected IP:PORT, such as 0.0.0.0:8080 or [::]:8080, or unix:/PATH, such as unix:/run/tidegate.sock";
const SOCKET_HELP: &str = "expected unix: and the path of the socket, such as unix:/run/app.sock";
/// Linux has room for 108 bytes in an address (`sun_path`), and the last one is zero.
const MAX_SOCKET_PATH: usize = 107;

pub(super) fn listen(text: &str) -> Result<Listen, Fault> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket_path(path).map(Listen::Unix);
    }
    let fault = |_| Fault::new(format!("invalid listen address '{}'", shown(text)), LISTEN_HELP);
    text.parse().map(Listen::Tcp).map_err(fault)
}

pub(super) fn ops_address(text: &str) -> Result<SocketAddr, Fault> {
    address(text, OPS_HELP)
}

/// Reads where the admin API is served.
pub(super) fn admin(text: &str) -> Result<AdminListen, Fault> {
    match text {
        "off" => Ok(AdminListen::Off),
        _ => address(text, ADMIN_HELP).map(AdminListen::At),
    }
}

/// Whether the two cannot be open at once. Port 0 is any free port.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let shared = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && shared
}

/// Reads an address where only TCP is possible.
fn address(text: &str, help: &str) -> Result<SocketAddr, Fault> {
    let fault = |_| Fault::new(format!("invalid listen address '{}'", shown(text)), help);
    text.parse().map_err(fault)
}

/// The path of a Unix socket: what follows `unix:`.
pub(super) fn socket_path(text: &str) -> Result<PathBuf, Fault> {
    let fault = |message: &str| Err(Fault::new(message, SOCKET_HELP));
    // `unix:///run/app.sock` is how other programs write it, with an empty host.
    let path = match text.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        // Not shown: there may be a password in it.
        Some(_) => return fault("a Unix socket has no host"),
        None => text,
    };
    match path {
        "" => fault("the path of the socket is missing"),
        _ if path.starts_with('@') => fault("sockets without a file (abstract ones) are not supported"),
        _ if path.contains('\0') => fault("the path of the socket holds a NUL"),
        _ if path.ends_with('/') => fault("this is the path of a directory, not of a socket"),
        _ if path.len() > MAX_SOCKET_PATH => {
            let message = format!(
                "the path of the socket has {} bytes, more than the {MAX_SOCKET_PATH} that are possible",
                path.len()
            );
            Err(Fault::new(message, "expected a shorter path, such as unix:/run/app.sock"))
        }
        _ => Ok(PathBuf::from(path)),
    }
}

pub(super) const MODE_HELP: &str = "expected permissions as octal digits in quotes, such as \"0660\"";
/// Connecting to a socket takes the right to write. Without it a run that finds the socket of an earlier one could not
/// tell whether that is still in use.
const OWNER: u32 = 0o600;

/// The permission bits of a Unix socket, as chmod(1) takes them: `0660`.
pub(super) fn socket_mode(text: &str) -> Result<u32, Fault> {
    let invalid = || Fault::new(format!("invalid mode '{}'", shown(text)), MODE_HELP);
    let octal = matches!(text.len(), 3 | 4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| octal).ok_or_else(invalid)?;
    match mode {
        _ if mode > 0o777 => {
            let message = format!("invalid mode '{text}': it sets more than permissions");
            Err(Fault::new(
                message,
                "expected \"0600\" to \"0777\": setuid, setgid and sticky mean nothing here",
            ))
        }
        _ if mode & OWNER != OWNER => {
            let message = format!("invalid mode '{text}': it locks tidegate's own user out");
            Err(Fault::new(message, "expected read and write for the owner, as in \"0600\" or \"0660\""))
        }
        _ => Ok(mode),
    }
}

/// Whether two paths are spelled alike, but for `./` and repeated slashes.
pub(super) fn same_path(one: &Path, other: &Path) -> bool {
    let parts = |path| Path::components(path).filter(|part| *part != Component::CurDir);
    parts(one).eq(parts(other))
}
