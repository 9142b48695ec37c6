use core::fmt;
use core::time::Duration;

use crate::entry::{Entry, EntryError};
use crate::metadata::BookieId;
use crate::wire::{Operation, Priority, Read, ReadMode, Request};
use crate::{EntryId, LedgerId};

/// Bounds and times of a [`Reader`](super::Reader).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderSettings {
    /// Maximum entries that are read at the same time. Default: 32.
    pub max_entries: usize,
    /// Time after which the next bookie of an entry is asked too. Default: 200 ms.
    pub speculative_timeout: Duration,
}

impl Default for ReaderSettings {
    fn default() -> Self {
        Self {
            max_entries: 32,
            speculative_timeout: Duration::from_millis(200),
        }
    }
}

/// Identification of one read of one bookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadRequest {
    /// Entry that is read; [`NO_ENTRY`](crate::NO_ENTRY) for the bookie's last.
    pub entry: EntryId,
    /// Place of the bookie in the order of asking.
    pub(super) place: usize,
}

impl ReadRequest {
    /// Returns the request to send.
    #[must_use]
    pub const fn read(&self, txn_id: u64, ledger: LedgerId) -> Request {
        Request {
            txn_id,
            priority: Priority::Normal,
            operation: Operation::Read(Read {
                ledger,
                entry: self.entry,
                mode: ReadMode::Plain,
            }),
        }
    }
}

/// Something that the driver does, or that the reader's user gets to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReaderOutput {
    /// Send [`ReadRequest::read`] to a bookie, and pass on the reply with
    /// [`Reader::handle_reply`](super::Reader::handle_reply).
    Read {
        /// Identification to reply with.
        request: ReadRequest,
        /// The bookie.
        bookie: BookieId,
    },
    /// An entry, in the order of asking.
    Entry(Entry),
    /// An entry could not be read now, in the order of asking.
    Failed(ReadError),
    /// A bookie returned a body that is not the entry. The others are asked.
    Damaged {
        /// The entry.
        entry: EntryId,
        /// The bookie.
        bookie: BookieId,
        /// Reason.
        error: EntryError,
    },
}

/// Reason for which an entry could not be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// All bookies of the entry answered that they do not have it.
    NoEntry {
        /// The entry.
        entry: EntryId,
    },
    /// No bookie returned the entry, and some may have it.
    Unreadable {
        /// The entry.
        entry: EntryId,
    },
    /// Too few bookies answered to know the last add confirmed.
    NotCovered,
    /// The bookies refuse the connection.
    Unauthorized,
    /// The ensemble has more than 64 bookies.
    EnsembleTooLarge,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEntry { entry } => write!(f, "no bookie has entry {entry}"),
            Self::Unreadable { entry } => write!(f, "no bookie returns entry {entry} now"),
            Self::NotCovered => f.write_str("too few bookies of the last ensemble answer"),
            Self::Unauthorized => f.write_str("the bookies refuse the connection"),
            Self::EnsembleTooLarge => f.write_str("the ensemble has more than 64 bookies"),
        }
    }
}

impl core::error::Error for ReadError {}
