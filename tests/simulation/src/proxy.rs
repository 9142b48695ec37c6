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

use crate::clocks::Wall;
use crate::net::{Death, HostId, Network, SimDial};
use crate::process::Process;

/// Where clients find proxies.
pub(crate) const PROXY_PORT: u16 = 8000;

/// A machine with a write proxy.
pub(crate) struct ProxyMachine {
    pub(crate) host: HostId,
    pub(crate) wall: Wall,
    store: HostId,
    network: Network,
    entropy: Entropy,
    running: Option<Running>,
}

struct Running {
    process: Process,
    /// Tells it to go in peace.
    leave: watch::Sender<bool>,
    /// Told when it has.
    left: watch::Receiver<bool>,
    /// The proxy, once it listens.
    proxy: Arc<OnceLock<distributedlog_proxy::RunningProxy>>,
}

/// The store's client, as every process of the simulation uses it.
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
            // Who started the process would start it again.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

impl ProxyMachine {
    pub(crate) fn new(seed: u64, host: HostId, store: HostId, network: &Network) -> Self {
        let (wall, entropy) = (Wall::default(), Entropy::seeded(seed));
        Self {
            host,
            wall,
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
        let (leave, mut leaving) = watch::channel(false);
        let (leaves, left) = watch::channel(false);
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
            .wall_clock(Arc::new(self.wall.clone()))
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
            let _ = leaving.wait_for(|leave| *leave).await;
            running.drain().await;
            leaves.send_replace(true);
        });
        self.running = Some(Running {
            process,
            leave,
            left,
            proxy,
        });
    }

    /// What it has under way.
    pub(crate) fn load(&self) -> ProxyLoad {
        let proxy = self
            .running
            .as_ref()
            .and_then(|running| running.proxy.get());
        proxy.map_or_else(ProxyLoad::default, distributedlog_proxy::RunningProxy::load)
    }

    /// Asks it to finish and go.
    pub(crate) fn drain(&self) {
        if let Some(running) = &self.running {
            running.leave.send_replace(true);
        }
    }

    pub(crate) fn crash(&mut self, death: Death) {
        self.network.end_host(self.host, death);
        self.running = None;
    }

    /// A millisecond passes. Says whether it has gone in peace.
    pub(crate) fn turn(&mut self) -> bool {
        let Some(running) = &mut self.running else {
            return false;
        };
        running.process.turn();
        let left = *running.left.borrow();
        if left {
            self.crash(Death::Killed);
        }
        left
    }

    pub(crate) fn oversleep(&mut self, millis: u64) {
        if let Some(running) = &mut self.running {
            running.process.oversleep(millis);
        }
    }
}
