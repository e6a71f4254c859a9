//! The listener of the admin API.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::bind;
use crate::admin::{self, Admin, Parts};
use crate::server::{self, Drain, Handshake, Listener};
use crate::settings::AdminListen;

/// Opens it. None: the API is not served. If the default address is taken, requests of clients are served all the same: two
/// instances may run on one machine.
pub(super) async fn open(listen: AdminListen) -> anyhow::Result<Option<TcpListener>> {
    match listen {
        AdminListen::Off => Ok(None),
        AdminListen::At(address) => bind::tcp("admin.listen", address).await.map(Some),
        AdminListen::Default => match TcpListener::bind(AdminListen::DEFAULT).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                let help = "set admin.listen or --admin-listen, to another address or to off";
                let address = AdminListen::DEFAULT;
                tracing::warn!(%address, %error, help, "the admin API is not served: cannot listen");
                Ok(None)
            }
        },
    }
}

/// Returns the address of the listener for the log.
pub(super) fn address(listener: Option<&TcpListener>) -> anyhow::Result<String> {
    let address = listener.map(TcpListener::local_addr).transpose()?;
    Ok(address.map_or_else(|| "off".to_owned(), |address: SocketAddr| address.to_string()))
}

/// Serves the API until the process ends: while it shuts down, an operator may want to see its state. Other instances learn
/// of this one also if it serves none.
pub(super) fn serve(listener: Option<TcpListener>, parts: Parts) {
    tokio::spawn(admin::report_all(parts.clone()));
    let Some(listener) = listener else { return };
    let admin = Arc::new(Admin::new(parts));
    let handshake = Handshake { bounds: admin::bounds(), ..Handshake::default() };
    let handle = move |request, connection| Arc::clone(&admin).handle(request, connection);
    tokio::spawn(server::run(Listener::Tcp(listener), handshake, Drain::default(), handle));
}
