//! Ledgers' nodes in the present session with ZooKeeper.

use super::error::LedgerError;
use super::seam::{LedgerNodes, NodeFuture};
use super::sessions::Sessions;
use crate::LedgerId;
use crate::cluster::{ClusterError, Ledgers, NewLedger};
use crate::ledger::{MetadataReply, SetReply, Versioned};
use crate::zookeeper::ZooKeeper;

/// Nodes of a cluster's ledgers, in whichever session there is.
pub(super) struct SessionNodes<Z> {
    sessions: Sessions<Z>,
    cluster: Ledgers<Z>,
}

impl<Z: ZooKeeper> SessionNodes<Z> {
    pub(super) const fn new(sessions: Sessions<Z>, cluster: Ledgers<Z>) -> Self {
        Self { sessions, cluster }
    }

    fn ledgers(&self) -> Ledgers<Z> {
        self.cluster.in_session(self.sessions.current())
    }
}

impl<Z: ZooKeeper> LedgerNodes for SessionNodes<Z> {
    fn create<'a>(
        &'a self,
        new: &'a NewLedger,
    ) -> NodeFuture<'a, Result<(LedgerId, Versioned), LedgerError>> {
        Box::pin(async { Ok(self.ledgers().create(new).await?) })
    }

    fn delete(&self, ledger: LedgerId) -> NodeFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move { Ok(self.ledgers().delete(ledger).await?) })
    }

    fn read(&self, ledger: LedgerId) -> NodeFuture<'_, MetadataReply> {
        Box::pin(async move { self.ledgers().read(ledger).await })
    }

    fn set<'a>(&'a self, ledger: LedgerId, next: &'a Versioned) -> NodeFuture<'a, SetReply> {
        Box::pin(async move { self.ledgers().compare_and_set(ledger, next).await })
    }
}

impl From<ClusterError> for LedgerError {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::NoLedger { ledger } => Self::NotFound(ledger),
            ClusterError::ZooKeeper { .. }
            | ClusterError::NotFormatted { .. }
            | ClusterError::Layout(_)
            | ClusterError::Invalid(_)
            | ClusterError::Metadata { .. }
            | ClusterError::NoPlace { .. }
            | ClusterError::NoFreeId { .. } => Self::Metadata(error),
        }
    }
}
