use core::fmt;

use crate::LedgerId;
use crate::metadata::LayoutError;
use crate::wire::DecodeError;
use crate::zookeeper::ZooKeeperError;

/// Error of reading or changing a cluster's nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterError {
    /// ZooKeeper failed.
    ZooKeeper {
        /// The node.
        path: String,
        /// Why.
        error: ZooKeeperError,
    },
    /// The root has no `LAYOUT`: no cluster was formatted there.
    NotFormatted {
        /// The root.
        root: String,
    },
    /// The cluster has a layout that this client does not know.
    Layout(LayoutError),
    /// The metadata of a ledger to create contradicts itself.
    Invalid(DecodeError),
    /// A ledger's node has something else than metadata.
    Metadata {
        /// The ledger.
        ledger: LedgerId,
        /// Why it does not decode.
        error: DecodeError,
    },
    /// The layout has no place for the id.
    NoPlace {
        /// The id.
        ledger: LedgerId,
    },
    /// A ledger's node does not exist.
    NoLedger {
        /// The ledger.
        ledger: LedgerId,
    },
    /// Each id that was generated belongs to another ledger: ids were assigned by hand, or the
    /// counter was reset.
    NoFreeId {
        /// Ids that were tried.
        tries: u32,
    },
}

impl ClusterError {
    pub(super) fn zookeeper(path: &str, error: ZooKeeperError) -> Self {
        Self::ZooKeeper {
            path: path.to_owned(),
            error,
        }
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZooKeeper { path, error } => write!(f, "{path}: {error}"),
            Self::NotFormatted { root } => write!(
                f,
                "{root}/LAYOUT does not exist: no BookKeeper cluster was formatted there"
            ),
            Self::Layout(error) => error.fmt(f),
            Self::Invalid(error) => write!(f, "invalid metadata for a new ledger: {error}"),
            Self::Metadata { ledger, error } => write!(f, "metadata of ledger {ledger}: {error}"),
            Self::NoPlace { ledger } => {
                write!(f, "the cluster's layout has no place for ledger {ledger}")
            }
            Self::NoLedger { ledger } => write!(f, "ledger {ledger} does not exist"),
            Self::NoFreeId { tries } => write!(
                f,
                "{tries} generated ledger ids belong to other ledgers already"
            ),
        }
    }
}

impl core::error::Error for ClusterError {}
