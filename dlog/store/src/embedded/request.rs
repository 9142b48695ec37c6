//! The requests that callers hand to the committer.

use distributedlog::Dlsn;
use tokio::sync::oneshot;

use crate::{Acquired, AppendDone, Entry, Lease, Owner, StoreError, StreamName};

/// A request to the committer.
pub(super) enum CommitRequest {
    Append {
        lease: Lease,
        entry: Entry,
        size: usize,
        done: AppendDone,
    },
    Change {
        change: ChangeRequest,
        reply: oneshot::Sender<Result<ChangeOutcome, StoreError>>,
    },
    Close,
}

/// A change of the metadata that a caller requests.
pub(super) enum ChangeRequest {
    Create(StreamName),
    Delete(StreamName),
    Truncate(StreamName, Dlsn),
    Acquire(StreamName, Owner),
    Release(Lease),
}

impl ChangeRequest {
    /// Returns an upper bound of the change's size in the journal in bytes, without its frame's
    /// header.
    pub(super) fn size(&self) -> usize {
        // At most six numbers (variant, ids, epochs, parts of a position, lengths of texts), each
        // of at most ten bytes in postcard's encoding: 60, rounded up.
        const NUMBERS: usize = 64;
        NUMBERS
            + match self {
                Self::Create(name) => name.as_str().len(),
                Self::Acquire(_, owner) => owner.address.len(),
                Self::Delete(_) | Self::Truncate(..) | Self::Release(_) => 0,
            }
    }
}

/// Result of a change that succeeded.
#[derive(Debug)]
pub(super) enum ChangeOutcome {
    Done,
    Acquired(Acquired),
}
