use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::http::{self, Operation, Server};
use super::listener::{Connections, accept};
use super::service::Service;
use super::settings::announced_address;
use super::{FaultSwitch, ProxyError, Settings};
use distributedlog_store::net::{Listen, listen};
use distributedlog_store::{LogStore, Owner};

/// How long a client of mux has to answer that it will send no more requests, before none is
/// started any more.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// Starts write proxies.
#[derive(Debug)]
pub struct Proxy;

impl Proxy {
    /// Listens and serves clients until [`Running::drain`] is called or the value is dropped. Must
    /// be called on a tokio runtime with time and I/O enabled.
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
    ) -> Result<Running, ProxyError> {
        let (listener, address) = bind(settings.listen, "clients")?;
        Self::start_on(listener, address, settings, store)
    }

    /// [`start`](Self::start) on any kind of listener, which clients reach at `address`; the
    /// settings' own address is not listened on.
    ///
    /// # Errors
    ///
    /// The address for metrics and health cannot be listened on.
    pub fn start_on(
        listener: impl Listen,
        address: SocketAddr,
        settings: Settings,
        store: Arc<dyn LogStore>,
    ) -> Result<Running, ProxyError> {
        let (stats_listener, stats) = match settings.stats_listen {
            None => (None, None),
            Some(stats) => {
                let (listener, address) = bind(stats, "metrics and health")?;
                (Some(listener), Some(address))
            }
        };
        let (http_listener, http) = match settings.http_listen {
            None => (None, None),
            Some(http) => {
                let (listener, address) = bind(http, "HTTP")?;
                (Some(listener), Some(address))
            }
        };
        let owner = Owner {
            shard: settings.shard,
            address: announced_address(settings.announce.as_deref(), address),
        };
        let settings = Arc::new(settings);
        let service = Arc::new(Service::new(owner.clone(), &settings, store));
        let faults = settings.faults.then(|| FaultSwitch::new(service.clone()));
        let connections = Arc::new(Connections::default());
        let accepting = tokio::spawn(accept(
            listener,
            service.clone(),
            connections.clone(),
            settings.clone(),
        ));
        let watching = tokio::spawn(service.clone().watch_deadlines());
        let operation = Operation {
            service: service.clone(),
            faults: faults.clone(),
        };
        let server =
            http_listener.map(|listener| Server::start(listener, settings.clone(), &operation));
        let serving_stats =
            stats_listener.map(|listener| tokio::spawn(http::serve_stats(listener, operation)));
        tracing::info!(%address, stats = ?stats, http = ?http, location = service.location(), thriftmux = settings.thriftmux, "the write proxy listens");
        let (ended, _) = watch::channel(None);
        let server = server.map(Arc::new);
        Ok(Running {
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
            serving_stats,
            server,
            ended,
        })
    }
}

/// Listens, and says on which port.
fn bind(
    address: SocketAddr,
    purpose: &'static str,
) -> Result<(TcpListener, SocketAddr), ProxyError> {
    let bound = |listener: TcpListener| listener.local_addr().map(|address| (listener, address));
    listen(address)
        .and_then(bound)
        .map_err(|error| ProxyError::listen(address, purpose, error))
}

/// A write proxy at work. Dropping it stops it at once, as a crash would: what is acknowledged is
/// in the store, what is in flight is lost.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stats: Option<SocketAddr>,
    http: Option<SocketAddr>,
    owner: Owner,
    faults: Option<FaultSwitch>,
    service: Arc<Service>,
    connections: Arc<Connections>,
    settings: Arc<Settings>,
    accepting: JoinHandle<()>,
    watching: JoinHandle<()>,
    serving_stats: Option<JoinHandle<()>>,
    server: Option<Arc<Server>>,
    /// Where the end of draining is announced, once it has begun.
    ended: watch::Sender<Option<Drain>>,
}

/// How far draining is.
#[derive(Clone, Copy, Debug)]
enum Drain {
    UnderWay,
    Ended(Drained),
}

impl Running {
    /// Where clients connect.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics and health are served, if they are.
    #[must_use]
    pub const fn stats_addr(&self) -> Option<SocketAddr> {
        self.stats
    }

    /// Where HTTP clients connect, if they can.
    #[must_use]
    pub const fn http_addr(&self) -> Option<SocketAddr> {
        self.http
    }

    /// What stands for this proxy in redirects and handshakes, and in the store as the owner of its
    /// streams.
    #[must_use]
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The switch that makes single streams misbehave, when the settings allow it.
    #[must_use]
    pub const fn faults(&self) -> Option<&FaultSwitch> {
        self.faults.as_ref()
    }

    /// What it has under way: nothing, once every request is answered.
    #[must_use]
    pub fn load(&self) -> Load {
        let figures = self.service.figures();
        Load {
            streams: figures.streams,
            requests: figures.usage.requests,
            bytes: figures.usage.bytes,
        }
    }

    /// Stops: no new connections, Tdrain to those that speak mux, what is in flight is finished and
    /// answered, connections are closed, streams released, and the store is closed. Connections
    /// that are not done within the settings' drain timeout are closed all the same;
    /// releasing may then take as long once more. Calling it again waits for the first call's end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the draining.
    pub async fn drain(&self) -> Drained {
        let mut ended = self.ended.subscribe();
        let begin = self.ended.send_if_modified(|drain| {
            let first = drain.is_none();
            drain.get_or_insert(Drain::UnderWay);
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
                let drained = drain(&service, &connections, server.as_deref(), limit).await;
                ended.send_replace(Some(Drain::Ended(drained)));
            });
        }
        let outcome = ended
            .wait_for(|drain| matches!(drain, Some(Drain::Ended(_))))
            .await;
        match outcome.as_deref() {
            Ok(Some(Drain::Ended(drained))) => *drained,
            // The sender is in `self`, so it is there.
            Ok(Some(Drain::UnderWay) | None) | Err(_) => Drained::default(),
        }
    }
}

async fn drain(
    service: &Arc<Service>,
    connections: &Connections,
    server: Option<&Server>,
    limit: Duration,
) -> Drained {
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
    let http = async {
        if let Some(server) = server {
            server.drain().await;
        }
    };
    let finished = tokio::time::timeout(limit, async { tokio::join!(mux, http) });
    if finished.await.is_err() {
        tracing::warn!(?limit, "closing connections that did not finish in time");
        connections.cut();
    }
    let streams_released = match tokio::time::timeout(limit, service.close()).await {
        Ok(streams) => streams,
        Err(_) => {
            tracing::error!(?limit, "the store did not take its streams back in time");
            0
        }
    };
    let (connections_finished, connections_cut) = connections.counts();
    let drained = Drained {
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

impl Drop for Running {
    fn drop(&mut self) {
        self.accepting.abort();
        self.watching.abort();
        if let Some(serving) = &self.serving_stats {
            serving.abort();
        }
        self.connections.cut();
    }
}

/// What a proxy has under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How many streams it owns or is about to.
    pub streams: usize,
    /// How many requests are unanswered.
    pub requests: usize,
    /// Their payload bytes.
    pub bytes: usize,
}

/// How a proxy ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// How many connections were closed after all their requests had been answered.
    pub connections_finished: usize,
    /// How many connections were closed with requests unanswered, because the drain timeout had
    /// passed.
    pub connections_cut: usize,
    /// How many streams were released.
    pub streams_released: usize,
}
