use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::http::{Listeners, OperatorState, Server};
use super::listener::{Connections, accept};
use super::service::Service;
use super::settings::announced_address;
use super::supervise::keep_running;
use super::{FaultInjector, ProxyError, Settings};
use distributedlog_store::net::{Listen, listen};
use distributedlog_store::{LogStore, Owner};

/// Time in which a mux client must confirm a Tdrain. Requests that arrive later are not started.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// Starts write proxies.
#[derive(Debug)]
pub struct Proxy;

impl Proxy {
    /// Listens and serves clients until [`RunningProxy::drain`] is called or the value is dropped.
    /// Must be called on a tokio runtime with time and I/O enabled.
    ///
    /// # Errors
    ///
    /// An address cannot be listened on: it is in use, not of this machine, or not allowed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn start(
        settings: Settings,
        store: Arc<dyn LogStore>,
    ) -> Result<RunningProxy, ProxyError> {
        let (listener, address) = bind(settings.listen, "clients")?;
        Self::start_on(listener, address, settings, store)
    }

    /// Does the same as [`start`](Self::start) on any kind of listener, which clients reach at
    /// `address`. The address in the settings is ignored.
    ///
    /// # Errors
    ///
    /// The address for metrics and health, or that for HTTP, cannot be listened on.
    pub fn start_on(
        listener: impl Listen,
        address: SocketAddr,
        settings: Settings,
        store: Arc<dyn LogStore>,
    ) -> Result<RunningProxy, ProxyError> {
        let bind_any = |address: Option<SocketAddr>, purpose| {
            address.map(|address| bind(address, purpose)).transpose()
        };
        let listeners = Listeners {
            stats: bind_any(settings.stats_listen, "metrics and health")?,
            clients: bind_any(settings.http_listen, "HTTP")?,
        };
        let stats = listeners.stats.as_ref().map(|(_, address)| *address);
        let http = listeners.clients.as_ref().map(|(_, address)| *address);
        let owner = Owner {
            shard: settings.shard,
            address: announced_address(settings.announce.as_deref(), address),
        };
        let settings = Arc::new(settings);
        let watched_store = store.clone();
        let service = Arc::new(Service::new(owner.clone(), &settings, store));
        let _ = service.http_ports.set((http, stats));
        let faults = settings.faults.then(|| FaultInjector::new(service.clone()));
        let connections = Arc::new(Connections::default());
        let accepting = tokio::spawn(accept(
            listener,
            service.clone(),
            connections.clone(),
            settings.clone(),
        ));
        let watching = tokio::spawn({
            let service = service.clone();
            async move { keep_running("deadlines", || service.clone().watch_deadlines()).await }
        });
        let asking = tokio::spawn({
            let (health, store) = (service.health.clone(), watched_store);
            let watch = move || health.clone().watch(store.clone());
            async move { keep_running("the store's health", watch).await }
        });
        let operator = OperatorState {
            service: service.clone(),
            faults: faults.clone(),
        };
        let server = Arc::new(Server::start(listeners, settings.clone(), &operator));
        tracing::info!(
            %address,
            stats = ?stats,
            http = ?http,
            location = service.location(),
            thriftmux = settings.thriftmux,
            "the write proxy listens"
        );
        let (ended, _) = watch::channel(None);
        Ok(RunningProxy {
            address,
            stats,
            http,
            owner,
            faults,
            service,
            connections,
            settings,
            accepting,
            watching,
            asking,
            server,
            ended,
        })
    }
}

/// Listens, and returns the address with the port that the system chose.
fn bind(
    address: SocketAddr,
    purpose: &'static str,
) -> Result<(TcpListener, SocketAddr), ProxyError> {
    let bound = |listener: TcpListener| listener.local_addr().map(|address| (listener, address));
    listen(address)
        .and_then(bound)
        .map_err(|error| ProxyError::listen(address, purpose, error))
}

/// A running write proxy.
///
/// Dropping it stops it at once, as a crash would: acknowledged records are in the store, requests
/// in flight are lost. [`drain`](Self::drain) stops it in order.
#[derive(Debug)]
pub struct RunningProxy {
    address: SocketAddr,
    stats: Option<SocketAddr>,
    http: Option<SocketAddr>,
    owner: Owner,
    faults: Option<FaultInjector>,
    service: Arc<Service>,
    connections: Arc<Connections>,
    settings: Arc<Settings>,
    accepting: JoinHandle<()>,
    watching: JoinHandle<()>,
    /// Asks the store for its health.
    asking: JoinHandle<()>,
    server: Arc<Server>,
    /// Progress of draining; `None` before it begins.
    ended: watch::Sender<Option<DrainProgress>>,
}

/// Progress of draining.
#[derive(Clone, Copy, Debug)]
enum DrainProgress {
    UnderWay,
    Ended(DrainReport),
}

impl RunningProxy {
    /// Returns the address that clients connect to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address of metrics and health, or `None` if they are not served.
    #[must_use]
    pub const fn stats_addr(&self) -> Option<SocketAddr> {
        self.stats
    }

    /// Returns the address that HTTP clients connect to, or `None` if HTTP is not served.
    #[must_use]
    pub const fn http_addr(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Returns the identity of this proxy in redirects and handshakes, and in the store as the
    /// owner of its streams.
    #[must_use]
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Counts a file that was read again, in the metrics: what it contains, and if its content
    /// could be used.
    pub fn count_reload(&self, file: &'static str, used: bool) {
        self.service.stats.access.reloaded(file, used);
    }

    /// Returns the injector of faults, or `None` if the settings do not allow it.
    #[must_use]
    pub const fn faults(&self) -> Option<&FaultInjector> {
        self.faults.as_ref()
    }

    /// Returns the bounds on what clients make the proxy hold.
    #[cfg(test)]
    pub(super) fn bounds(&self) -> &super::bounds::Bounds {
        &self.service.bounds
    }

    /// Returns the streams and requests that the proxy works on. Requests are 0 once every one is
    /// answered.
    #[must_use]
    pub fn load(&self) -> ProxyLoad {
        let machine_stats = self.service.machine_stats();
        ProxyLoad {
            streams: machine_stats.streams,
            requests: machine_stats.usage.requests,
            bytes: machine_stats.usage.bytes,
        }
    }

    /// Stops in order, and waits for the end.
    ///
    /// - No connection is accepted any more, and clients that speak mux are sent Tdrain.
    /// - Requests in flight are finished and answered, then their connections are closed.
    ///   Connections that take longer than the settings' `drain_timeout` are closed with requests
    ///   unanswered.
    /// - Streams are released and the store is closed, which may take up to `drain_timeout` again.
    ///
    /// Further calls wait for the end of the first one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the draining.
    pub async fn drain(&self) -> DrainReport {
        let mut ended = self.ended.subscribe();
        let begin = self.ended.send_if_modified(|drain| {
            let first = drain.is_none();
            drain.get_or_insert(DrainProgress::UnderWay);
            first
        });
        if begin {
            self.accepting.abort();
            let (service, connections, server) = (
                self.service.clone(),
                self.connections.clone(),
                self.server.clone(),
            );
            let (limit, ended) = (self.settings.drain_timeout, self.ended.clone());
            tokio::spawn(async move {
                let drained = drain(&service, &connections, &server, limit).await;
                ended.send_replace(Some(DrainProgress::Ended(drained)));
            });
        }
        let outcome = ended
            .wait_for(|drain| matches!(drain, Some(DrainProgress::Ended(_))))
            .await;
        match outcome.as_deref() {
            Ok(Some(DrainProgress::Ended(drained))) => *drained,
            // Not reached: `self` holds the sender, so waiting cannot fail.
            Ok(Some(DrainProgress::UnderWay) | None) | Err(_) => DrainReport::default(),
        }
    }
}

/// Drains with `limit` for the connections, and again for the store.
async fn drain(
    service: &Arc<Service>,
    connections: &Connections,
    server: &Server,
    limit: Duration,
) -> DrainReport {
    tracing::info!("draining: no new connections, finishing what is in flight");
    service.drain();
    connections.drain();
    let mux = async {
        if tokio::time::timeout(DRAIN_GRACE, connections.all_ended())
            .await
            .is_err()
        {
            connections.drain_now();
            connections.all_ended().await;
        }
    };
    let finished = tokio::time::timeout(limit, async { tokio::join!(mux, server.drain()) });
    if finished.await.is_err() {
        tracing::warn!(?limit, "closing connections that did not finish in time");
        connections.cut();
    }
    let streams_released = match tokio::time::timeout(limit, service.close()).await {
        Ok(streams) => streams,
        Err(_) => {
            tracing::error!(?limit, "releasing the streams took too long");
            0
        }
    };
    let (connections_finished, connections_cut) = connections.counts();
    let drained = DrainReport {
        connections_finished,
        connections_cut,
        streams_released,
    };
    tracing::info!(
        connections_finished,
        connections_cut,
        streams_released,
        "drained"
    );
    drained
}

impl Drop for RunningProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.watching.abort();
        self.asking.abort();
        self.connections.cut();
    }
}

/// Streams and requests that a proxy works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyLoad {
    /// Number of streams that are owned or being acquired.
    pub streams: usize,
    /// Number of unanswered requests.
    pub requests: usize,
    /// Payload bytes of the unanswered requests.
    pub bytes: usize,
}

/// Result of draining a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Number of connections that were closed with every request answered.
    pub connections_finished: usize,
    /// Number of connections that were closed with requests unanswered, because the drain timeout
    /// had passed.
    pub connections_cut: usize,
    /// Number of streams that were released.
    pub streams_released: usize,
}
