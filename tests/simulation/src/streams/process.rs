//! A process with its store.

use core::convert::Infallible;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog_bookkeeper::driver::{BeginFuture, Sessions};
use distributedlog_store::Owner;
use distributedlog_store::bookkeeper::{BookKeeperSettings, BookKeeperStore, Ensembles};
use distributedlog_testkit::Random;
use distributedlog_testkit::bookies::ModelCluster;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::gate::{Gate, Links, Network};
use super::session::ProcessSession;

/// Time at which runs begin, in milliseconds since 1970.
const FIRST_UNIX_MS: i64 = 1_767_225_600_000;

/// Returns the time since 1970, at a time since the run began.
pub(super) fn unix_ms(elapsed: Duration) -> i64 {
    FIRST_UNIX_MS + i64::try_from(elapsed.as_millis()).unwrap_or(0)
}

/// Path of the namespace.
pub(super) const NAMESPACE: &str = "/messaging/distributedlog";

pub(super) type Store = BookKeeperStore<ProcessSession>;

/// A process, from its start until it is killed.
pub(super) struct Process {
    pub(super) store: Store,
    pub(super) owner: Owner,
    pub(super) gate: Arc<Gate>,
    /// Its connections to the bookies.
    pub(super) links: Links,
    /// Numbers of its sessions with ZooKeeper.
    sessions: Arc<Mutex<Vec<i64>>>,
    is_alive: AtomicBool,
    /// Time since the run began at which it was back after a pause, in milliseconds; the end of
    /// time while it is paused.
    back_ms: AtomicU64,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Process {
    /// Starts a process, unless ZooKeeper fails.
    pub(super) async fn start(
        cluster: &ModelCluster,
        settings: BookKeeperSettings,
        number: u16,
        (seed, begun): (u64, Instant),
    ) -> Option<Arc<Self>> {
        let gate = Gate::new();
        let numbers = Arc::new(Mutex::new(Vec::new()));
        let sessions = sessions(cluster, &gate, &numbers, settings.session_timeout, seed).await;
        let ensembles = Ensembles {
            sessions: sessions.clone(),
            ledger_sessions: sessions,
            servers: "zk",
        };
        let links = Links::default();
        let network = Network {
            gate: Arc::clone(&gate),
            links: links.clone(),
            bookies: cluster.bookies.clone(),
        };
        let mut environment = cluster.environment();
        // Processes' clocks differ, unless they compare ages of log segments.
        if settings.retention.is_some() {
            environment.unix_ms = Arc::new(move || unix_ms(begun.elapsed()));
        }
        let network = Some(Arc::new(network) as _);
        let store =
            BookKeeperStore::open(settings, environment, ensembles, NAMESPACE, network).await;
        Some(Arc::new(Self {
            store: store.ok()?,
            owner: Owner {
                shard: i32::from(number),
                address: format!("127.0.0.1:{}", 8000 + number),
            },
            gate,
            links,
            sessions: numbers,
            is_alive: AtomicBool::new(true),
            back_ms: AtomicU64::new(0),
            tasks: Mutex::default(),
        }))
    }

    pub(super) fn is_alive(&self) -> bool {
        self.is_alive.load(Ordering::Relaxed)
    }

    /// Shuts the process's gate.
    pub(super) fn pause(&self) {
        self.gate.set_open(false);
        self.back_ms.store(u64::MAX / 4, Ordering::Relaxed);
    }

    /// Opens the process's gate again.
    pub(super) fn resume(&self, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.back_ms.store(now, Ordering::Relaxed);
        self.gate.set_open(true);
    }

    /// Returns the time since the run began at which the process was back.
    pub(super) fn back(&self) -> Duration {
        Duration::from_millis(self.back_ms.load(Ordering::Relaxed))
    }

    /// Returns the number of its session that was begun last.
    pub(super) fn session(&self) -> i64 {
        let sessions = lock(&self.sessions);
        sessions.last().copied().unwrap_or_default()
    }

    /// Returns the numbers of all its sessions.
    pub(super) fn sessions(&self) -> Vec<i64> {
        lock(&self.sessions).clone()
    }

    pub(super) fn add_task(&self, task: JoinHandle<()>) {
        lock(&self.tasks).push(task);
    }

    pub(super) fn take_tasks(&self) -> Vec<JoinHandle<()>> {
        core::mem::take(&mut *lock(&self.tasks))
    }

    /// Kills the process: nothing that it still does has an effect, or is heard.
    pub(super) fn kill(&self, cluster: &ModelCluster) {
        self.is_alive.store(false, Ordering::Relaxed);
        self.gate.set_open(false);
        for session in self.sessions() {
            cluster.ensemble.partition(session);
        }
        for task in self.take_tasks() {
            task.abort();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins the sessions of a process with ZooKeeper, one after the other.
async fn sessions(
    cluster: &ModelCluster,
    gate: &Arc<Gate>,
    numbers: &Arc<Mutex<Vec<i64>>>,
    timeout: Duration,
    seed: u64,
) -> Sessions<ProcessSession> {
    let (cluster, gate) = (cluster.clone(), Arc::clone(gate));
    let numbers = Arc::clone(numbers);
    let seeds = Mutex::new(Random::new(seed));
    let begin = move || -> BeginFuture<ProcessSession, Infallible> {
        let (cluster, gate) = (cluster.clone(), Arc::clone(&gate));
        let numbers = Arc::clone(&numbers);
        let seed = lock(&seeds).bits();
        Box::pin(async move {
            gate.opened().await;
            let session = cluster.session(timeout);
            lock(&numbers).push(distributedlog_bookkeeper::zookeeper::ZooKeeper::session(
                &session,
            ));
            Ok(ProcessSession::new(session, gate, seed))
        })
    };
    let Ok(sessions) = Sessions::start(begin).await;
    sessions
}
