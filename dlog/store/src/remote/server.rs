//! The server of a store.

mod close_reason;
mod connection;
mod context;
mod metrics;
mod reads;
mod replies;
mod requests;
mod sessions;

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use distributedlog::settings::SettingsError;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{interval, timeout};
use tracing::{debug, info, warn};

use super::ServerSettings;
use crate::LogStore;
use crate::log_limit::{Admitted, LOG_INTERVAL, LogKind, LogLimits};
use crate::metrics::Registry;
use crate::net::{ByteStream, Listen, next_connection};
use close_reason::CloseReason;
use connection::{plain_refusal, serve_connection};
use context::ServerContext;
use metrics::{OpenConnection, ServerMetrics};
use sessions::Sessions;

/// A server of a store. Dropping it closes every connection at once; [`drain`](Self::drain) shuts
/// it down in order.
pub struct Server {
    address: SocketAddr,
    draining: watch::Sender<bool>,
    drain_timeout: Duration,
    sessions: Arc<Sessions>,
    accepting: JoinHandle<()>,
    metrics: ServerMetrics,
}

/// Serves `store` to all clients that connect to `listener`. Must be called on a tokio runtime with
/// time and I/O.
///
/// # Errors
/// The listener has no local address, or a setting is outside its range
/// ([`io::ErrorKind::InvalidInput`]).
pub fn serve(
    listener: TcpListener,
    store: Arc<dyn LogStore>,
    settings: ServerSettings,
) -> io::Result<Server> {
    let address = listener.local_addr()?;
    serve_on(listener, address, store, settings)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// Serves `store` like [`serve`], on any kind of listener, which clients reach at `address`. Must
/// be called on a tokio runtime with time.
///
/// # Errors
/// A setting is outside its range.
pub fn serve_on(
    listener: impl Listen,
    address: SocketAddr,
    store: Arc<dyn LogStore>,
    settings: ServerSettings,
) -> Result<Server, SettingsError> {
    settings.check()?;
    let (draining, drain) = watch::channel(false);
    let log_limits = Arc::<LogLimits>::default();
    let sessions = Sessions::new(Arc::clone(&store), &settings, Arc::clone(&log_limits));
    let drain_timeout = settings.drain_timeout;
    let context = Arc::new(ServerContext::new(
        store,
        Arc::clone(&sessions),
        settings,
        drain,
        log_limits,
    ));
    let metrics = context.metrics.clone();
    let accepting = tokio::spawn(accept(listener, context));
    Ok(Server {
        address,
        draining,
        drain_timeout,
        sessions,
        accepting,
        metrics,
    })
}

impl Server {
    /// Returns the address that the server listens on.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Registers the server's metrics, under names that begin with `dlog_store_server`.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    /// Shuts the server down: stops accepting, asks the clients to send no more requests, finishes
    /// requests in flight within [`drain_timeout`](ServerSettings::drain_timeout), closes the
    /// connections and releases their leases. Does not close the store.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connections at once. Their leases are released after the
    /// grace period.
    pub async fn drain(mut self) {
        let limit = self.drain_timeout;
        self.draining.send_replace(true);
        if timeout(limit, &mut self.accepting).await.is_err() {
            self.accepting.abort();
            warn!(
                "closed connections with requests in flight, which took longer than {} ms",
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
        // This aborts the connections too: they are in the task's set.
        self.accepting.abort();
    }
}

/// Name of the connections in the log.
const CLIENTS: &str = "the store's clients";

/// Accepts connections until the drain begins, then waits for them to end.
///
/// Bounded: `max_connections` are served at a time; further ones are accepted to be refused with a
/// reason.
async fn accept(mut listener: impl Listen, context: Arc<ServerContext>) {
    let mut connections = JoinSet::new();
    let mut drain = context.drain.clone();
    let room = Arc::new(Semaphore::new(context.settings.max_connections));
    let log_limits = &context.log_limits;
    let mut reports = interval(LOG_INTERVAL);
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            _ = drain.wait_for(|begun| *begun) => break,
            Some(_) = connections.join_next() => continue,
            _ = reports.tick() => {
                log_limits.report();
                continue;
            }
            accepted = next_connection(&mut listener, CLIENTS, log_limits) => accepted,
        };
        // One without a permit takes a descriptor for as long as its refusal takes; one without a
        // descriptor is closed at once.
        let Some(descriptor) = context.settings.descriptors.try_take() else {
            context.metrics.connections_refused.inc();
            if let Some(Admitted { left_out }) = log_limits.admit(LogKind::TooManyConnections) {
                let open_files = context.settings.descriptors.connections();
                let what = "closing a new connection: the limit is reached";
                warn!(%peer, open_files, left_out, "{what}");
            }
            continue;
        };
        let permit = Arc::clone(&room).try_acquire_owned().ok();
        if permit.is_none() {
            context.metrics.connections_refused.inc();
        }
        let open = permit
            .is_some()
            .then(|| OpenConnection::new(&context.metrics));
        let context = Arc::clone(&context);
        connections.spawn(async move {
            debug!(%peer, "connected");
            match secure_and_serve(&context, stream, permit.is_some()).await {
                Ok(()) => debug!(%peer, "connection ended"),
                Err(reason) => {
                    let kind = LogKind::StoreConnectionClosed;
                    if let Some(Admitted { left_out }) = context.log_limits.admit(kind) {
                        info!(%peer, left_out, "connection closed: {reason}");
                    }
                }
            }
            drop((permit, descriptor, open));
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection, after its TLS handshake if the server has a certificate.
async fn secure_and_serve(
    context: &Arc<ServerContext>,
    stream: impl ByteStream,
    has_permit: bool,
) -> Result<(), CloseReason> {
    let Some(tls) = &context.settings.tls else {
        let (from, to) = tokio::io::split(stream);
        return serve_connection(context, from, to, has_permit).await;
    };
    let limit = context.settings.hello_timeout;
    // On the heap: it is large, and plain connections would pay for it.
    let accepted = timeout(limit, Box::pin(tls.accept(stream, plain_refusal))).await;
    let stream = accepted
        .map_err(|_| CloseReason::Silent(limit))?
        .map_err(CloseReason::Tls)?;
    let (from, to) = tokio::io::split(stream);
    serve_connection(context, from, to, has_permit).await
}

/// Serves one connection over any stream, as the server does over sockets. Returns the reason if
/// this side closed it.
#[cfg(feature = "internals")]
pub async fn connection_over(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    store: Arc<dyn LogStore>,
    settings: ServerSettings,
) -> Result<(), String> {
    PeersOfServer::new(store, settings).serve(stream).await
}

/// A server without a listener. Its connections share what those of a server share.
#[cfg(feature = "internals")]
#[derive(Clone)]
pub struct PeersOfServer {
    context: Arc<ServerContext>,
    _draining: Arc<watch::Sender<bool>>,
}

#[cfg(feature = "internals")]
impl PeersOfServer {
    /// Returns a server of `store`.
    pub fn new(store: Arc<dyn LogStore>, settings: ServerSettings) -> Self {
        let log_limits = Arc::<LogLimits>::default();
        let sessions = Sessions::new(Arc::clone(&store), &settings, Arc::clone(&log_limits));
        let (draining, drain) = watch::channel(false);
        let context = ServerContext::new(store, sessions, settings, drain, log_limits);
        Self {
            context: Arc::new(context),
            _draining: Arc::new(draining),
        }
    }

    /// Serves one connection. Returns the reason if this side closed it.
    pub async fn serve(
        &self,
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    ) -> Result<(), String> {
        let (from, to) = tokio::io::split(stream);
        serve_connection(&self.context, from, to, true)
            .await
            .map_err(|closed| closed.to_string())
    }

    /// Returns the bytes of answers that all connections hold.
    pub fn answer_bytes(&self) -> usize {
        self.context.bounds.answers.held()
    }
}
