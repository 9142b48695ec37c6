use core::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::settings::announced_address;
use super::{FaultSwitch, ProxyError, Settings};
use crate::store::{LogStore, Owner};

/// Starts write proxies.
#[derive(Debug)]
pub struct Proxy;

impl Proxy {
    /// Listens and serves clients until [`Running::drain`] is called or the value is dropped. Must be called on a tokio runtime with time
    /// and I/O enabled.
    ///
    /// # Errors
    ///
    /// An address cannot be listened on: it is in use, not of this machine, or not allowed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn start(settings: Settings, store: Arc<dyn LogStore>) -> Result<Running, ProxyError> {
        let listener = bind(settings.listen, "clients").await?;
        let address = listener.local_addr().map_err(|error| ProxyError::listen(settings.listen, "clients", error))?;
        let owner = Owner { shard: settings.shard, address: announced_address(settings.announce.as_deref(), address) };
        let faults = settings.faults.then_some(FaultSwitch {});
        drop(store);
        Ok(Running { address, stats: None, owner, faults })
    }
}

async fn bind(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, ProxyError> {
    TcpListener::bind(address).await.map_err(|error| ProxyError::listen(address, purpose, error))
}

/// A write proxy at work. Dropping it stops it at once, as a crash would: what is acknowledged is in the store, what is in flight is lost.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stats: Option<SocketAddr>,
    owner: Owner,
    faults: Option<FaultSwitch>,
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

    /// What stands for this proxy in redirects and handshakes, and in the store as the owner of its streams.
    #[must_use]
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The switch that makes single streams misbehave, when the settings allow it.
    #[must_use]
    pub const fn faults(&self) -> Option<&FaultSwitch> {
        self.faults.as_ref()
    }

    /// Stops: no new connections, Tdrain to those that speak mux, what is in flight is finished and answered, connections are closed,
    /// streams released, and the store is closed. Connections that are not done within the settings' drain timeout are closed all the same.
    /// Calling it again waits for the first call's end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the draining.
    pub async fn drain(&self) -> Drained {
        Drained::default()
    }
}

/// How a proxy ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// How many connections were closed after all their requests had been answered.
    pub connections_finished: usize,
    /// How many connections were closed with requests unanswered, because the drain timeout had passed.
    pub connections_cut: usize,
    /// How many streams were released.
    pub streams_released: usize,
}
