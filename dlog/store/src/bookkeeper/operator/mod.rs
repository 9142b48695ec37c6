//! Tools for those who operate a namespace on BookKeeper: bind it, check its logs, recover what a
//! writer left, and compare its ledgers with the cluster's.
//!
//! None of them is needed for reading or writing. All but [`bind`], [`unbind`] and
//! [`Operator::recover`] only read.

mod audit;
mod bind;
mod findings;
mod inspect;
mod ledgers;
mod recover;

use std::sync::Arc;

use distributedlog_bookkeeper::LedgerId;
use distributedlog_bookkeeper::cluster::Ledgers;
use distributedlog_bookkeeper::driver::zookeeper::Session;
use distributedlog_bookkeeper::driver::{Connect, Environment, LedgerError, Sessions};
use distributedlog_bookkeeper::namespace::nodes::{LogError, LogNodes, Namespace};
use distributedlog_bookkeeper::zookeeper::{Access, ZooKeeper};

use super::connect::{Ensembles, Parts, parts_of};
use super::log::Cluster;
use super::settings::BookKeeperSettings;
use crate::uri::Uri;
use crate::{StoreError, StreamName};

pub use distributedlog_bookkeeper::namespace::{LogSegment, Truncation as SegmentTruncation};

pub use audit::{Audit, AuditedLedger, MissingLedger};
pub use bind::{BindError, BindOptions, Bound, bind, unbind};
pub use findings::{Finding, FindingKind};
pub use inspect::NamedLedgers;
pub use ledgers::{Bookies, FoundLedger, LedgerEntry, LedgerRecord, LedgerState};
pub use recover::Recovery;

/// Maximum streams of a namespace that are gone through.
const MAX_STREAMS: usize = 1 << 20;

/// A namespace and its cluster, as their operator sees them.
pub struct Operator<Z: ZooKeeper> {
    sessions: Sessions<Z>,
    ledger_sessions: Sessions<Z>,
    namespace: Namespace<Z>,
    cluster: Cluster,
    ledgers_root: String,
    first_sequence_number: i64,
}

/// Operator of a real cluster.
pub type ClusterOperator = Operator<Session>;

impl Operator<Session> {
    /// Connects to the namespace of a URI, whose hosts are servers of ZooKeeper.
    ///
    /// # Errors
    ///
    /// As [`connect`](super::connect()).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends what has begun.
    pub async fn connect(uri: &Uri, settings: &BookKeeperSettings) -> Result<Self, StoreError> {
        Ok(Self::of(parts_of(uri, settings).await?))
    }
}

impl<Z: ZooKeeper> Operator<Z> {
    /// Opens a namespace over sessions with ZooKeeper. `connect` replaces TCP connections to the
    /// bookies.
    ///
    /// # Errors
    ///
    /// As [`connect`](super::connect()).
    pub async fn open(
        settings: &BookKeeperSettings,
        environment: &Environment,
        ensembles: Ensembles<'_, Z>,
        namespace: &str,
        connect: Option<Arc<dyn Connect>>,
    ) -> Result<Self, StoreError> {
        let parts = Parts::open(settings, environment, ensembles, namespace, connect);
        Ok(Self::of(parts.await?))
    }

    fn of(parts: Parts<Z>) -> Self {
        Self {
            sessions: parts.sessions,
            ledger_sessions: parts.ledger_sessions,
            namespace: parts.namespace,
            cluster: parts.cluster,
            ledgers_root: parts.binding.ledgers.clone(),
            first_sequence_number: parts.binding.first_sequence_number(),
        }
    }

    /// Lists all streams, sorted.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`] if ZooKeeper fails.
    pub async fn streams(&self) -> Result<Vec<StreamName>, StoreError> {
        let namespace = self.namespace.in_session(self.sessions.current());
        let found = namespace.find_logs(None, MAX_STREAMS).await;
        let names = found.map_err(|error| unreachable(self.namespace.root(), &error))?;
        let names = names.into_iter();
        let mut names: Vec<StreamName> = names.filter_map(|it| StreamName::new(&it).ok()).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn log(&self, stream: &StreamName) -> Result<LogNodes<Z>, StoreError> {
        let namespace = self.namespace.in_session(self.sessions.current());
        namespace
            .log(stream.as_str())
            .map_err(|error| of_stream(stream, error))
    }

    async fn ledgers(&self) -> Result<Ledgers<Z>, StoreError> {
        let session = self.ledger_sessions.current();
        let opened = Ledgers::open(session, &self.ledgers_root, Access::default()).await;
        opened.map_err(|error| unreachable(&self.ledgers_root, &error))
    }
}

impl<Z: ZooKeeper> core::fmt::Debug for Operator<Z> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Operator")
            .field("namespace", &self.namespace.root())
            .finish_non_exhaustive()
    }
}

fn unreachable(place: &str, error: &dyn core::fmt::Display) -> StoreError {
    StoreError::Unreachable {
        address: place.to_owned(),
        detail: error.to_string(),
    }
}

fn of_stream(stream: &StreamName, error: LogError) -> StoreError {
    if matches!(error, LogError::NotFound { .. }) {
        StoreError::StreamNotFound(stream.clone())
    } else {
        unreachable(&format!("log stream {stream}"), &error)
    }
}

fn of_ledger(ledger: LedgerId, error: &LedgerError) -> StoreError {
    unreachable(&format!("ledger {ledger}"), error)
}
