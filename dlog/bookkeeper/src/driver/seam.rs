//! Ledgers' nodes, in whichever session with ZooKeeper there is.

use core::future::Future;
use core::pin::Pin;

use super::error::LedgerError;
use crate::LedgerId;
use crate::cluster::NewLedger;
use crate::ledger::{MetadataReply, SetReply, Versioned};

/// Future of a request to the metadata store.
pub(super) type NodeFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Nodes of ledgers in the metadata store.
pub(super) trait LedgerNodes: Send + Sync + 'static {
    /// Creates the node of a new ledger. A reply that was lost is resolved before this returns.
    fn create<'a>(
        &'a self,
        new: &'a NewLedger,
    ) -> NodeFuture<'a, Result<(LedgerId, Versioned), LedgerError>>;

    /// Deletes a ledger's node. One that does not exist is no error.
    fn delete(&self, ledger: LedgerId) -> NodeFuture<'_, Result<(), LedgerError>>;

    /// Reads a ledger's node.
    fn read(&self, ledger: LedgerId) -> NodeFuture<'_, MetadataReply>;

    /// Replaces a ledger's metadata if its node has the version.
    fn set<'a>(&'a self, ledger: LedgerId, next: &'a Versioned) -> NodeFuture<'a, SetReply>;
}
