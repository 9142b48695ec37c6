//! Jobs of the maintenance thread.

use super::state::Snapshot;
use crate::StoreError;

/// A job of the maintenance thread.
pub(super) enum Job {
    /// Write the index of a volume that ends at `end` and is not written any more, then the
    /// snapshot of the metadata at that point. `None`: the snapshot exists, only the index is
    /// missing.
    Seal {
        volume: u64,
        end: u64,
        snapshot: Option<Snapshot>,
    },
    /// Write both copies of a snapshot again: one is missing or damaged.
    WriteSnapshot(Snapshot),
    /// Create the file of the volume with this number ahead of time.
    PrepareSpare(u64),
    /// Remove volumes that hold nothing readable any more: something was deleted or truncated, or
    /// the disk is full.
    Sweep,
    /// The entries of a [`CommitRequest::Copy`](super::request::CommitRequest::Copy) are durable:
    /// this number of bytes. Or they could not be copied.
    Copied(Result<u64, StoreError>),
    /// Release the folder: the store is being closed, and everything is written.
    Stop,
}
