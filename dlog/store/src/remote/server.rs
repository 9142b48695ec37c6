//! The side that has the store.

mod close_reason;
mod connection;
mod context;
mod requests;
mod sessions;

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::ServerSettings;
use crate::LogStore;
use crate::net::{Listen, next_connection};
use connection::serve_connection;
use context::Served;
use sessions::Sessions;

/// Serves a store until [`Server::drain`] is called or the value is dropped, which ends every
/// connection at once.
pub struct Server {
    address: SocketAddr,
    draining: watch::Sender<bool>,
    sessions: Arc<Sessions>,
    accepting: JoinHandle<()>,
}

/// Serves `store` to whoever connects to `listener`. Must be called on a tokio runtime with time
/// and I/O.
///
/// # Errors
/// The listener has no local address.
pub fn serve(
    listener: TcpListener,
    store: Arc<dyn LogStore>,
    settings: ServerSettings,
) -> io::Result<Server> {
    let address = listener.local_addr()?;
    Ok(serve_on(listener, address, store, settings))
}

/// [`serve`] on any kind of listener, which clients reach at `address`. Must be called on a tokio
/// runtime with time.
pub fn serve_on(
    listener: impl Listen,
    address: SocketAddr,
    store: Arc<dyn LogStore>,
    settings: ServerSettings,
) -> Server {
    let (draining, drain) = watch::channel(false);
    let sessions = Sessions::new(Arc::clone(&store), &settings);
    let served = Arc::new(Served {
        store,
        sessions: Arc::clone(&sessions),
        settings,
        drain,
    });
    let accepting = tokio::spawn(accept(listener, served));
    Server {
        address,
        draining,
        sessions,
        accepting,
    }
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, tells the clients to go, finishes what is in flight within `limit`, closes
    /// the connections and releases their leases. The store itself is the caller's to close.
    pub async fn drain(mut self, limit: Duration) {
        self.draining.send_replace(true);
        if timeout(limit, &mut self.accepting).await.is_err() {
            self.accepting.abort();
            warn!(
                "connections were closed with requests in flight: they took longer than {} ms",
                limit.as_millis()
            );
        }
        self.sessions.end_all().await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The connections go with it: they are in its set of tasks.
        self.accepting.abort();
    }
}

/// Accepts until the drain begins, then waits for the connections to end.
async fn accept(mut listener: impl Listen, served: Arc<Served>) {
    let mut connections = JoinSet::new();
    let mut drain = served.drain.clone();
    let room = Arc::new(Semaphore::new(served.settings.max_connections));
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            _ = drain.wait_for(|begun| *begun) => break,
            Some(_) = connections.join_next() => continue,
            accepted = next_connection(&mut listener, "the store's clients") => accepted,
        };
        let seat = Arc::clone(&room).try_acquire_owned().ok();
        let served = Arc::clone(&served);
        connections.spawn(async move {
            debug!(%peer, "connected");
            let (from, to) = tokio::io::split(stream);
            match serve_connection(&served, from, to, seat.is_some()).await {
                Ok(()) => debug!(%peer, "connection ended"),
                Err(reason) => info!(%peer, "connection closed: {reason}"),
            }
            drop(seat);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection over any stream, as the server does over sockets; why it was closed from
/// this side.
#[cfg(feature = "internals")]
pub async fn connection_over(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    store: Arc<dyn LogStore>,
    settings: ServerSettings,
) -> Result<(), String> {
    let sessions = Sessions::new(Arc::clone(&store), &settings);
    let (_draining, drain) = watch::channel(false);
    let served = Arc::new(Served {
        store,
        sessions,
        settings,
        drain,
    });
    let (from, to) = tokio::io::split(stream);
    serve_connection(&served, from, to, true)
        .await
        .map_err(|closed| closed.to_string())
}
