use core::fmt;

use crate::LedgerId;
use crate::cluster::ClusterError;
use crate::ledger::{ReadError, RecoveryError};

/// Error of an operation on a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LedgerError {
    /// The ledger does not exist.
    NotFound(LedgerId),
    /// Fewer bookies take new ledgers than the ensemble has.
    NotEnoughBookies {
        /// Bookies that the ensemble needs.
        wanted: usize,
        /// Bookies that can be chosen.
        available: usize,
    },
    /// The sizes of the quorums contradict each other.
    Quorums,
    /// The password or the digest is not the ledger's.
    WrongPassword(LedgerId),
    /// The ledger's metadata could not be read or changed.
    Metadata(ClusterError),
    /// The ledger's metadata cannot be read now.
    Unavailable(LedgerId),
    /// The ledger could not be recovered now.
    Recovery(LedgerId, RecoveryError),
    /// The ledger could not be read now.
    Read(LedgerId, ReadError),
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(ledger) => write!(f, "ledger {ledger} does not exist"),
            Self::NotEnoughBookies { wanted, available } => write!(
                f,
                "a ledger needs {wanted} bookies, and {available} can be written to"
            ),
            Self::Quorums => f.write_str(
                "the ack quorum must be between 1 and the write quorum, and that at most the \
                 ensemble",
            ),
            Self::WrongPassword(ledger) => {
                write!(f, "ledger {ledger} has another password or digest")
            }
            Self::Metadata(error) => error.fmt(f),
            Self::Unavailable(ledger) => {
                write!(f, "the metadata of ledger {ledger} cannot be read now")
            }
            Self::Recovery(ledger, error) => write!(f, "ledger {ledger}: {error}"),
            Self::Read(ledger, error) => write!(f, "ledger {ledger}: {error}"),
        }
    }
}

impl core::error::Error for LedgerError {}
