//! The listener for clients, made from the settings.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rustls::ServerConfig;

use super::bind;
use super::passed_socket::PassedSocket;
use crate::policy::live::Live;
use crate::server::{Handshake, Listener};
use crate::settings::{Listen, ServerTls, Settings};
use crate::tls::{self, Clients};

/// The bound listener for clients.
pub(super) struct ClientListener {
    pub(super) listener: Listener,
    /// The address with the port that the system chose.
    pub(super) address: Listen,
    pub(super) handshake: Handshake,
    /// To be kept while the listener is open. None: the socket has no file, or systemd owns it.
    pub(super) socket: Option<SocketFile>,
}

impl ClientListener {
    /// Serves the socket that was passed to this process, or else opens one.
    pub(super) async fn open(
        settings: &Settings,
        passed: Option<PassedSocket>,
        policy: &Arc<Live>,
    ) -> anyhow::Result<Self> {
        let tls = settings.tls.as_ref().map(server_config).transpose()?;
        let handshake = Handshake {
            tls: tls.map(|config| Arc::new(ArcSwap::from_pointee(config))),
            proxy_protocol: settings.proxy_protocol.clone(),
            bounds: settings.bounds.clone(),
            policy: Arc::clone(policy),
        };
        if let Some(passed) = passed {
            let (listener, address) = passed.into_listener(&settings.listen)?;
            return Ok(Self { listener, address, handshake, socket: None });
        }
        let (listener, address, socket) = match &settings.listen {
            Listen::Tcp(address) => {
                let listener = bind::tcp("listen", *address).await?;
                let address = Listen::Tcp(listener.local_addr()?);
                (Listener::Tcp(listener), address, None)
            }
            Listen::Unix(path) => {
                remove_stale_socket(path).await?;
                let listener = Listener::Unix(bind::unix(path, settings.listen_mode)?);
                (listener, settings.listen.clone(), Some(SocketFile::new(path)))
            }
        };
        Ok(Self { listener, address, handshake, socket })
    }
}

/// Removes the socket of a process that ended without removing it. A socket on which a process listens stays, and so
/// does a file that is not a socket.
async fn remove_stale_socket(path: &Path) -> anyhow::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let refused = |error: std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
    if is_socket && tokio::net::UnixStream::connect(path).await.is_err_and(refused) {
        std::fs::remove_file(path)
            .map_err(|error| bind::refused("listen", &Listen::Unix(path.to_owned()), &error))?;
    }
    Ok(())
}

/// A socket's file, gone with the listener, unless another process has put its own there meanwhile.
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: identity(path) }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && self.identity == identity(&self.path) {
            // If that fails, the next process finds it remove_stale_socket.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// TLS towards clients, from the files as they are now.
pub(super) fn server_config(settings: &ServerTls) -> anyhow::Result<ServerConfig> {
    let identity = &settings.identity;
    let required = settings.client_required;
    let clients = settings.client_ca.as_ref().map(|ca| Clients { authorities: ca.expose(), required });
    let identity = (identity.certificate.expose().as_slice(), identity.key.expose().as_slice());
    tls::server(identity, clients, settings.tls13_only).context("tls")
}
