use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use crate::entry::MasterKey;
use crate::ledger::Versioned;
use crate::metadata::BookieId;
use crate::wire::{Add, Operation, Priority, Read, ReadMode, Request, Status};
use crate::{EntryId, LedgerId};

/// Bounds of a [`Recovery`](super::Recovery).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoverySettings {
    /// Number of entries behind the last confirmed one that are read at the same time; at least 1.
    /// Entries behind the first that is missing are ignored. Default: 16.
    pub read_ahead: usize,
}

impl Default for RecoverySettings {
    fn default() -> Self {
        Self { read_ahead: 16 }
    }
}

/// Identification of one request to one bookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecoveryRequest {
    /// Entry that is read or written; [`NO_ENTRY`](crate::NO_ENTRY) for the first read, which
    /// fences and returns the bookie's last entry.
    pub entry: EntryId,
    /// Index of the bookie in the ensemble.
    pub(super) index: usize,
    /// Number of the bookie at the index, counted from 0.
    pub(super) generation: u32,
}

impl RecoveryRequest {
    pub(super) const fn fence(index: usize) -> Self {
        Self {
            entry: crate::NO_ENTRY,
            index,
            generation: 0,
        }
    }

    pub(super) const fn is_fence(&self) -> bool {
        self.entry == crate::NO_ENTRY
    }

    /// Returns the read of a [`RecoveryOutput::Read`]. Every read of a recovery fences: the first
    /// one to a bookie may have been lost.
    #[must_use]
    pub fn read(&self, txn_id: u64, ledger: LedgerId, key: MasterKey) -> Request {
        let mode = ReadMode::Fence(Some(key));
        #[cfg(seeded_bugs)]
        let mode = if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::RecoveryDoesNotFence) {
            ReadMode::Plain
        } else {
            mode
        };
        Request {
            txn_id,
            priority: Priority::High,
            operation: Operation::Read(Read {
                ledger,
                entry: self.entry,
                mode,
            }),
        }
    }

    /// Returns the addition of a [`RecoveryOutput::WriteBack`], which a fenced bookie takes.
    #[must_use]
    pub const fn write_back(
        &self,
        txn_id: u64,
        ledger: LedgerId,
        key: MasterKey,
        body: Bytes,
    ) -> Request {
        Request {
            txn_id,
            priority: Priority::High,
            operation: Operation::Add(Add {
                ledger,
                entry: self.entry,
                master_key: key,
                body,
                recovery: true,
                deferred_sync: false,
            }),
        }
    }
}

/// A bookie's answer to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadAnswer {
    /// A body, not verified.
    Body(Bytes),
    /// The bookie has no such entry, or nothing of the ledger.
    Absent,
    /// The bookie refuses the password.
    Unauthorized,
    /// Everything else: no answer in time, a lost connection, a failed disk, a bookie that lost
    /// entries. It says nothing about the entry.
    Unknown,
}

impl ReadAnswer {
    /// Returns the answer of a bookie's status and body.
    #[must_use]
    pub fn of(status: Status, body: Option<Bytes>) -> Self {
        match status {
            Status::Ok => body.map_or(Self::Unknown, Self::Body),
            Status::NoEntry | Status::NoLedger => Self::Absent,
            Status::Unauthorized => Self::Unauthorized,
            Status::BadRequest
            | Status::Io
            | Status::BadVersion
            | Status::Fenced
            | Status::ReadOnly
            | Status::TooManyRequests
            | Status::UnknownLedgerState
            | Status::Other(_) => Self::Unknown,
        }
    }
}

/// Something that the driver does, or that the recovery's user gets to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryOutput {
    /// Replace the ledger's metadata if its node has this version, and pass on the reply with
    /// [`Recovery::handle_set`](super::Recovery::handle_set).
    SetMetadata(Versioned),
    /// Read the ledger's node after a pause, and pass on the reply with
    /// [`Recovery::handle_metadata`](super::Recovery::handle_metadata).
    ReadMetadata {
        /// Length of the pause.
        after: Duration,
    },
    /// Send [`RecoveryRequest::read`] to a bookie, and pass on the reply with
    /// [`Recovery::handle_read`](super::Recovery::handle_read).
    Read {
        /// Identification to reply with.
        request: RecoveryRequest,
        /// The bookie.
        bookie: BookieId,
    },
    /// Send [`RecoveryRequest::write_back`] to a bookie, and pass on the reply with
    /// [`Recovery::handle_written`](super::Recovery::handle_written).
    WriteBack {
        /// Identification to reply with.
        request: RecoveryRequest,
        /// The bookie.
        bookie: BookieId,
        /// Body of the entry.
        body: Bytes,
    },
    /// The ledger is closed, by this recovery or by another client. Nothing follows.
    Closed(Recovered),
    /// The ledger could not be recovered now. It stays fenced; another recovery may begin. Nothing
    /// follows.
    Failed(RecoveryError),
}

/// A closed ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Stored metadata with the last entry and the length.
    pub stored: Versioned,
}

/// Reason for which a ledger could not be recovered now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryError {
    /// Too few bookies of the last ensemble answered: the others may have confirmed entries.
    NotCovered,
    /// Too few bookies answered to know about an entry.
    Undecided {
        /// The entry.
        entry: EntryId,
    },
    /// The ack quorum could not be found for an entry that was found.
    NotEnoughBookies {
        /// The entry.
        entry: EntryId,
    },
    /// The password is wrong.
    Unauthorized,
    /// The ledger was deleted.
    Deleted,
    /// The ledger was opened again by hand while it was recovered.
    Conflict,
    /// The ensemble has more than 64 bookies.
    EnsembleTooLarge,
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCovered => f.write_str("too few bookies of the last ensemble answer"),
            Self::Undecided { entry } => write!(f, "too few bookies answer about entry {entry}"),
            Self::NotEnoughBookies { entry } => {
                write!(f, "too few bookies take entry {entry} that was found")
            }
            Self::Unauthorized => f.write_str("the ledger's password is wrong"),
            Self::Deleted => f.write_str("the ledger was deleted"),
            Self::Conflict => f.write_str("the ledger was opened again while it was recovered"),
            Self::EnsembleTooLarge => f.write_str("the ensemble has more than 64 bookies"),
        }
    }
}

impl core::error::Error for RecoveryError {}
