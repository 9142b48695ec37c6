//! Machine with the disk: the real store on a simulated disk, served by the real server.

use std::sync::Arc;

use distributedlog_store::Entropy;
use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore, StoreSteps};
use distributedlog_store::remote::{ServerSettings, serve_on};
use distributedlog_store::{LogStore, StoreError, StreamName};
use distributedlog_testkit::Random;
use distributedlog_testkit::store::SimDisk;

use crate::clocks::SimWallClock;
use crate::net::{CrashKind, HostId, Network};
use crate::process::Process;
use crate::trace::Trace;

/// Port on which the store listens.
pub(crate) const STORE_PORT: u16 = 7000;

/// Machine that runs the store.
pub(crate) struct StoreMachine {
    pub(crate) host: HostId,
    pub(crate) disk: SimDisk,
    pub(crate) wall_clock: SimWallClock,
    network: Network,
    trace: Trace,
    settings: EmbeddedSettings,
    entropy: Entropy,
    running: Option<Running>,
    counted: u64,
    /// The disk does nothing before this time.
    pub(crate) disk_stalls_until: u64,
}

struct Running {
    // Declared before the store, so that it is dropped first: a process that ends makes no further
    // calls.
    process: Process,
    store: Arc<EmbeddedStore>,
    steps: StoreSteps,
}

impl StoreMachine {
    pub(crate) fn new(seed: u64, host: HostId, network: &Network, trace: &Trace) -> Self {
        let mut random = Random::new(seed);
        let settings = EmbeddedSettings {
            // Small volumes and segments are filled, sealed and swept within a run.
            volume_bytes: 1 << (14 + random.below(6)),
            segment_bytes: 1 << (10 + random.below(12)),
            preallocate: random.chance(0.5),
            ..EmbeddedSettings::new("/store")
        };
        Self {
            host,
            disk: SimDisk::new(random.bits()),
            wall_clock: SimWallClock::default(),
            network: network.clone(),
            trace: trace.clone(),
            settings,
            entropy: Entropy::seeded(random.bits()),
            running: None,
            counted: 0,
            disk_stalls_until: 0,
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Opens the store and serves it.
    ///
    /// # Errors
    ///
    /// The error of opening: the disk may have crashed once more, or be full.
    pub(crate) fn start(&mut self) -> Result<(), StoreError> {
        let (store, steps) = EmbeddedStore::open_stepped(
            self.settings.clone(),
            Arc::new(self.disk.clone()),
            self.wall_clock.for_store(),
        )?;
        let store = Arc::new(store);
        self.network.set_up(self.host);
        let served = Arc::clone(&store) as Arc<dyn LogStore>;
        let (network, host, entropy) = (self.network.clone(), self.host, self.entropy.clone());
        let process = Process::start(async move {
            let settings = ServerSettings {
                entropy,
                ..ServerSettings::default()
            };
            let listener = network.listen(host, STORE_PORT);
            let _server = serve_on(listener, host.address(STORE_PORT), served, settings)
                .expect("the settings are within their ranges");
            core::future::pending().await
        });
        self.running = Some(Running {
            process,
            store,
            steps,
        });
        Ok(())
    }

    /// Ends the process, or the machine, at once.
    pub(crate) fn crash(&mut self, kind: CrashKind) {
        self.network.end_host(self.host, kind);
        self.disk.crash();
        self.running = None;
        match kind {
            CrashKind::Killed => self.disk.restart_process(),
            CrashKind::PowerLost => self.disk.power_cycle(),
        }
    }

    /// Runs the process for one millisecond. Returns true if the machine crashed in it, at a disk
    /// operation.
    pub(crate) fn turn(&mut self, now: u64, random: &mut Random) -> bool {
        let Some(running) = &mut self.running else {
            return false;
        };
        running.process.turn();
        if now >= self.disk_stalls_until && random.chance(0.7) {
            running.steps.commit();
        }
        if random.chance(0.2) {
            running.steps.maintain();
        }
        self.count_operations();
        self.disk.has_crashed()
    }

    /// Advances the clock after a stall of `millis` milliseconds.
    pub(crate) fn advance_clock(&mut self, millis: u64) {
        if let Some(running) = &mut self.running {
            running.process.advance_clock(millis);
        }
    }

    /// Creates streams that do not exist yet.
    pub(crate) fn create(&mut self, streams: &[StreamName]) {
        let Some(running) = &mut self.running else {
            return;
        };
        for stream in streams {
            // The call itself queues the change; its result is not needed.
            drop(running.store.create(stream));
        }
        running.steps.run();
    }

    /// Returns the store, or `None` while it is down.
    pub(crate) fn served(&self) -> Option<Arc<dyn LogStore>> {
        self.running
            .as_ref()
            .map(|running| Arc::clone(&running.store) as Arc<dyn LogStore>)
    }

    fn count_operations(&mut self) {
        let operations = self.disk.operations();
        let new = operations - self.counted;
        if new > 0 {
            self.trace
                .note(format_args!("disk: operation {operations}"));
            self.trace.count(|counts| counts.disk_operations += new);
            self.counted = operations;
        }
    }

    /// Opens a copy of the disk, as it is after a crash of this kind. The store itself does not
    /// change.
    pub(crate) fn opened_copy(
        &self,
        seed: u64,
        kind: CrashKind,
    ) -> Result<(EmbeddedStore, StoreSteps), StoreError> {
        let disk = self.disk.fork(seed);
        match kind {
            CrashKind::Killed => disk.restart_process(),
            CrashKind::PowerLost => disk.power_cycle(),
        }
        EmbeddedStore::open_stepped(
            self.settings.clone(),
            Arc::new(disk),
            self.wall_clock.for_store(),
        )
    }
}
