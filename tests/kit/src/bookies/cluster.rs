//! A whole cluster in memory: ZooKeeper and bookies.

use core::fmt;
use core::pin::Pin;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use distributedlog::{Clock, Instant};
use distributedlog_bookkeeper::driver::{
    BeginFuture, Client, Environment, LedgerError, Sessions, Settings,
};
use distributedlog_bookkeeper::metadata::BookieId;
use distributedlog_bookkeeper::zookeeper::{Access, CreateMode, Op};
use tokio::time::{Sleep, sleep_until};

use super::ModelBookies;
use crate::Random;
use crate::zookeeper::{Ensemble, ModelSession};

/// Root of the cluster's nodes.
pub const ROOT: &str = "/ledgers";

/// A cluster in memory. Clones are the same cluster.
#[derive(Clone)]
pub struct ModelCluster {
    /// The ensemble.
    pub ensemble: Ensemble,
    /// The bookies.
    pub bookies: ModelBookies,
    random: Arc<Mutex<Random>>,
}

impl ModelCluster {
    /// Creates a cluster that is formatted, and whose bookies are registered.
    #[must_use]
    pub fn new(seed: u64, bookies: u16) -> Self {
        let ensemble = Ensemble::new();
        let layout = b"2\norg.apache.bookkeeper.meta.HierarchicalLedgerManagerFactory:1";
        ensemble.apply(&[
            create(ROOT, b""),
            create(&format!("{ROOT}/LAYOUT"), layout),
            create(&format!("{ROOT}/available"), b""),
            create(&format!("{ROOT}/available/readonly"), b""),
        ]);
        let cluster = Self {
            ensemble,
            bookies: ModelBookies::new(seed, bookies),
            random: Arc::new(Mutex::new(Random::new(seed))),
        };
        for bookie in cluster.bookies.ids() {
            cluster.register(&bookie);
        }
        cluster
    }

    /// Registers a bookie as one that takes entries.
    ///
    /// # Panics
    /// If it is registered.
    pub fn register(&self, bookie: &BookieId) {
        let path = format!("{ROOT}/available/{bookie}");
        self.ensemble.apply(&[create(&path, b"")]);
    }

    /// Takes a bookie's registration away.
    ///
    /// # Panics
    /// If it is not registered.
    pub fn unregister(&self, bookie: &BookieId) {
        let path = format!("{ROOT}/available/{bookie}");
        self.ensemble.apply(&[Op::Delete {
            path,
            version: None,
        }]);
    }

    /// Begins one session with ZooKeeper, on tokio's clock.
    #[must_use]
    pub fn session(&self, session_timeout: Duration) -> ModelSession {
        self.ensemble.session(TokioClock::new(), session_timeout)
    }

    /// Begins a session with ZooKeeper, and another when it ends.
    ///
    /// # Errors
    /// None: the signature is that of a real ensemble.
    pub async fn sessions(
        &self,
        session_timeout: Duration,
    ) -> Result<Sessions<ModelSession>, core::convert::Infallible> {
        let ensemble = self.ensemble.clone();
        let clock = TokioClock::new();
        let begin = move || -> BeginFuture<ModelSession, core::convert::Infallible> {
            let session = ensemble.session(clock, session_timeout);
            Box::pin(async move { Ok(session) })
        };
        Sessions::start(begin).await
    }

    /// Returns a clock and random numbers of this cluster's seed.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let random = Arc::clone(&self.random);
        let clock = TokioClock::new();
        Environment {
            // 2026-01-01.
            unix_ms: Arc::new(move || {
                1_767_225_600_000 + i64::try_from(clock.now().as_micros() / 1000).unwrap_or(0)
            }),
            random: Arc::new(move || {
                let mut random = random.lock().expect("no thread panics while it holds it");
                u128::from(random.bits()) << 64 | u128::from(random.bits())
            }),
        }
    }

    /// Returns a client of the cluster.
    ///
    /// # Errors
    /// [`LedgerError`] if the ensemble loses the request for the layout.
    pub async fn client(
        &self,
        settings: Settings,
        sessions: Sessions<ModelSession>,
    ) -> Result<Client, LedgerError> {
        let connect = Arc::new(self.bookies.clone());
        Client::over(settings, self.environment(), sessions, ROOT, Some(connect)).await
    }
}

fn create(path: &str, data: &[u8]) -> Op {
    Op::Create {
        path: path.to_owned(),
        data: data.to_vec(),
        mode: CreateMode::Persistent,
        access: Access::Anyone,
    }
}

impl fmt::Debug for ModelCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelCluster").finish_non_exhaustive()
    }
}

/// Tokio's clock, which tests pause.
#[derive(Clone, Copy)]
struct TokioClock(tokio::time::Instant);

impl TokioClock {
    fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for TokioClock {
    type Sleep = Pin<Box<Sleep>>;

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn sleep_until(&self, at: Instant) -> Self::Sleep {
        Box::pin(sleep_until(self.0 + at.since(Instant::ZERO)))
    }
}
