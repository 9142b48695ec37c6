use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use crate::entry::MasterKey;
use crate::ledger::Versioned;
use crate::metadata::BookieId;
use crate::wire::{Add, Operation, Priority, Request, Status};
use crate::{EntryId, LedgerId};

/// Bounds and times of a [`Writer`](super::Writer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterSettings {
    /// Maximum entries that are neither confirmed nor resolved. Default: 2,048.
    pub max_pending_entries: usize,
    /// Maximum bytes of their payloads; one larger entry alone is allowed. Default: 16 MiB.
    pub max_pending_bytes: usize,
    /// Maximum bytes that are sent to one bookie and not answered: a bookie that falls further
    /// behind the others has failed. Default: 32 MiB.
    pub max_unanswered_bytes_per_bookie: usize,
    /// Time after which a bookie that has not answered an entry has failed, if another can take its
    /// place or enough are left without it. Default: 2 s.
    pub add_timeout: Duration,
    /// Time after which it has failed otherwise: to give it up then ends the ledger, while a bookie
    /// whose disk stalls answers some time. Default: 10 s.
    pub stall_timeout: Duration,
    /// Time after which a bookie that failed and could not be replaced is tried again. Default: 5
    /// s.
    pub retry_interval: Duration,
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self {
            max_pending_entries: 2_048,
            max_pending_bytes: 16 << 20,
            max_unanswered_bytes_per_bookie: 32 << 20,
            add_timeout: Duration::from_secs(2),
            stall_timeout: Duration::from_secs(10),
            retry_interval: Duration::from_secs(5),
        }
    }
}

/// Refusal of an entry: nothing of it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// The ledger is closed, or being closed.
    Closed,
    /// As many entries or bytes are pending as the settings allow.
    Full,
    /// The entry does not fit a frame.
    TooLarge {
        /// Bytes of the payload.
        bytes: usize,
        /// Maximum bytes.
        limit: usize,
    },
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the ledger is closed"),
            Self::Full => f.write_str("too many entries are pending"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "an entry of {bytes} bytes; the limit is {limit}")
            }
        }
    }
}

impl core::error::Error for AppendError {}

/// Identification of one send of one entry to one member of the ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SendId {
    pub(super) entry: EntryId,
    pub(super) index: usize,
    /// Number of the member at the index, so that a replaced bookie's late reply does not count.
    pub(super) generation: u32,
}

impl SendId {
    /// Returns the entry that was sent.
    #[must_use]
    pub const fn entry(&self) -> EntryId {
        self.entry
    }

    /// Returns the addition of a [`WriterOutput::Send`].
    #[must_use]
    pub const fn add(&self, txn_id: u64, ledger: LedgerId, key: MasterKey, body: Bytes) -> Request {
        Request {
            txn_id,
            priority: Priority::Normal,
            operation: Operation::Add(Add {
                ledger,
                entry: self.entry,
                master_key: key,
                body,
                recovery: false,
                deferred_sync: false,
            }),
        }
    }
}

/// Reply to a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendReply {
    /// The bookie's status.
    Status(Status),
    /// The connection was lost, or could not be made: the bookie may have the entry.
    Lost,
}

/// Reason for which a bookie counts as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookieFailure {
    /// It answered with this status.
    Status(Status),
    /// Its connection was lost, or could not be made.
    Lost,
    /// It did not answer in time.
    Timeout,
    /// It has more bytes unanswered than one bookie may.
    Overloaded,
}

/// Reason for which a writer closes its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// [`Writer::close`](super::Writer::close) was called, and all entries are confirmed.
    Finished,
    /// [`Writer::abort`](super::Writer::abort) was called.
    Aborted,
    /// A bookie refused the writer: another client has fenced the ledger, or the password is wrong.
    Refused(Status),
    /// The metadata says that another client recovers or has closed the ledger.
    TakenOver,
    /// Fewer bookies than the ack quorum are left for an entry, and none can replace the others.
    NotEnoughBookies,
    /// The ledger was deleted.
    Deleted,
}

/// Fate of an entry that was not confirmed, by the ledger's stored end, which is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The entry is in the ledger: another client's recovery found it.
    Written,
    /// The entry is not in the ledger and never will be.
    NotWritten,
    /// The ledger was deleted: readers may have seen the entry before.
    Unknown,
}

/// Something that the driver does, or that the writer's user gets to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriterOutput {
    /// Send [`SendId::add`] to a bookie, in the order of these outputs for each bookie, and pass on
    /// its reply with [`Writer::handle_reply`](super::Writer::handle_reply).
    Send {
        /// Identification to reply with.
        send: SendId,
        /// The bookie.
        bookie: BookieId,
        /// Body of the entry.
        body: Bytes,
    },
    /// Replace the ledger's metadata if its node has this version, and pass on the reply with
    /// [`Writer::handle_set`](super::Writer::handle_set).
    SetMetadata(Versioned),
    /// Read the ledger's node after a pause, and pass on the reply with
    /// [`Writer::handle_metadata`](super::Writer::handle_metadata).
    ReadMetadata {
        /// Length of the pause.
        after: Duration,
    },
    /// An entry and all before it are durable, and every recovery will find them.
    Confirmed {
        /// The entry.
        entry: EntryId,
    },
    /// The fate of an entry that was not confirmed.
    Resolved {
        /// The entry.
        entry: EntryId,
        /// Its fate.
        fate: Fate,
    },
    /// A bookie failed: it should not be chosen for a while.
    BookieFailed {
        /// The bookie.
        bookie: BookieId,
        /// Reason.
        failure: BookieFailure,
    },
    /// The ensemble changed.
    EnsembleChanged,
    /// The ledger is closed. Nothing follows.
    Closed {
        /// Last entry of the ledger, or `None` if the ledger was deleted.
        last_entry: Option<EntryId>,
        /// Reason.
        reason: CloseReason,
        /// True if the stored end is before the last confirmed entry: bookies lost what they had
        /// acknowledged, as when their disks are replaced under their old ids.
        lost_confirmed: bool,
    },
}
