//! A write proxy, as `dlog proxy` runs it: the real proxy over the real client of the remote store.

use core::time::Duration;
use std::sync::{Arc, OnceLock};

use distributedlog_proxy::{Proxy, ProxyLoad, Settings};
use distributedlog_store::Entropy;
use distributedlog_store::LogStore;
use distributedlog_store::net::Dial;
use distributedlog_store::remote::{ClientSettings, RemoteStore};
use distributedlog_store::uri::Uri;
use tokio::sync::watch;

use crate::clocks::SimWallClock;
use crate::net::{CrashKind, HostId, Network, SimDial};
use crate::process::Process;

/// Port on which proxies listen.
pub(crate) const PROXY_PORT: u16 = 8000;

/// Machine that runs a write proxy.
pub(crate) struct ProxyMachine {
    pub(crate) host: HostId,
    pub(crate) wall_clock: SimWallClock,
    store: HostId,
    network: Network,
    entropy: Entropy,
    running: Option<Running>,
}

struct Running {
    process: Process,
    /// Requests the drain.
    drain: watch::Sender<bool>,
    /// Becomes true when the drain is over.
    drained: watch::Receiver<bool>,
    /// Proxy, once it listens.
    proxy: Arc<OnceLock<distributedlog_proxy::RunningProxy>>,
}

/// Connects to the store as every process of the simulation does, and retries every 100 ms.
pub(crate) async fn connect(
    network: Network,
    host: HostId,
    store: HostId,
    entropy: Entropy,
) -> RemoteStore {
    let settings = ClientSettings {
        description: "simulated".to_owned(),
        dial: Arc::new(SimDial { network, host }) as Arc<dyn Dial>,
        entropy,
        ..ClientSettings::default()
    };
    let address = store.address(crate::store::STORE_PORT);
    let uri = Uri::local(&address.ip().to_string(), address.port());
    loop {
        match RemoteStore::connect(&uri, settings.clone()).await {
            Ok(store) => return store,
            // A supervisor would restart the process until it connects.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

impl ProxyMachine {
    pub(crate) fn new(seed: u64, host: HostId, store: HostId, network: &Network) -> Self {
        let (wall_clock, entropy) = (SimWallClock::default(), Entropy::seeded(seed));
        Self {
            host,
            wall_clock,
            store,
            network: network.clone(),
            entropy,
            running: None,
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn start(&mut self) {
        self.network.set_up(self.host);
        let (drain, mut drain_requests) = watch::channel(false);
        let (drained_sender, drained) = watch::channel(false);
        let (network, host, store, entropy) = (
            self.network.clone(),
            self.host,
            self.store,
            self.entropy.clone(),
        );
        let address = host.address(PROXY_PORT);
        let settings = Settings::builder()
            .shard(i32::from(host.0))
            .announce(Some(address.to_string()))
            // They share a store, but what a name means is its operator's affair.
            .failure_domain(Some(format!("disk-{}", host.0 % 2)))
            .wall_clock(Arc::new(self.wall_clock.clone()))
            .drain_timeout(Duration::from_secs(2))
            .build()
            .expect("settings within their bounds");
        let proxy = Arc::new(OnceLock::new());
        let started = Arc::clone(&proxy);
        let process = Process::start(async move {
            let store =
                Arc::new(connect(network.clone(), host, store, entropy).await) as Arc<dyn LogStore>;
            let listener = network.listen(host, PROXY_PORT);
            let running = Proxy::start_on(listener, address, settings, store)
                .expect("nothing else is to be listened on");
            let running = started.get_or_init(|| running);
            // The sender lives as long as the process.
            let _ = drain_requests.wait_for(|requested| *requested).await;
            running.drain().await;
            drained_sender.send_replace(true);
        });
        self.running = Some(Running {
            process,
            drain,
            drained,
            proxy,
        });
    }

    /// Returns the streams, requests and bytes that the proxy holds.
    pub(crate) fn load(&self) -> ProxyLoad {
        let proxy = self
            .running
            .as_ref()
            .and_then(|running| running.proxy.get());
        proxy.map_or_else(ProxyLoad::default, distributedlog_proxy::RunningProxy::load)
    }

    /// Requests that the proxy drains and exits.
    pub(crate) fn drain(&self) {
        if let Some(running) = &self.running {
            running.drain.send_replace(true);
        }
    }

    pub(crate) fn crash(&mut self, kind: CrashKind) {
        self.network.end_host(self.host, kind);
        self.running = None;
    }

    /// Runs the process for one millisecond. Returns true if it has drained and exited.
    pub(crate) fn turn(&mut self) -> bool {
        let Some(running) = &mut self.running else {
            return false;
        };
        running.process.turn();
        let drained = *running.drained.borrow();
        if drained {
            self.crash(CrashKind::Killed);
        }
        drained
    }

    pub(crate) fn advance_clock(&mut self, millis: u64) {
        if let Some(running) = &mut self.running {
            running.process.advance_clock(millis);
        }
    }
}
