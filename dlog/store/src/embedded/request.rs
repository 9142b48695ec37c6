//! The requests that callers hand to the committer.

use distributedlog::Dlsn;
use tokio::sync::oneshot;

use crate::{Acquired, AppendDone, Entry, Lease, Owner, StoreError, StreamName};

/// What the committer is asked to do.
pub(super) enum Request {
    Append {
        lease: Lease,
        entry: Entry,
        size: usize,
        done: AppendDone,
    },
    Change {
        change: ChangeRequest,
        answer: oneshot::Sender<Result<Changed, StoreError>>,
    },
    Close,
}

pub(super) enum ChangeRequest {
    Create(StreamName),
    Delete(StreamName),
    Truncate(StreamName, Dlsn),
    Acquire(StreamName, Owner),
    Release(Lease),
}

impl ChangeRequest {
    /// The change takes no more bytes in the journal, apart from its frame's header.
    pub(super) fn size(&self) -> usize {
        // Ids, epochs, positions and lengths of texts: each at most ten bytes in postcard's
        // encoding.
        const NUMBERS: usize = 64;
        NUMBERS
            + match self {
                Self::Create(name) => name.as_str().len(),
                Self::Acquire(_, owner) => owner.address.len(),
                Self::Delete(_) | Self::Truncate(..) | Self::Release(_) => 0,
            }
    }
}

/// What a change answers.
#[derive(Debug)]
pub(super) enum Changed {
    Done,
    Acquired(Acquired),
}
