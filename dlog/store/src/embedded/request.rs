//! The requests that callers hand to the committer.

use bytes::Bytes;
use distributedlog::Dlsn;
use tokio::sync::oneshot;

use super::frame::EntryKey;
use crate::{Acquired, AppendDone, Entry, Lease, Owner, Retention, StoreError, StreamName};

/// A request to the committer.
pub(super) enum CommitRequest {
    Append {
        lease: Lease,
        entry: Entry,
        size: usize,
        done: AppendCaller,
    },
    Change {
        change: ChangeRequest,
        reply: oneshot::Sender<Result<ChangeOutcome, StoreError>>,
    },
    /// Copies entries to the present volume. The maintenance thread gets a
    /// [`Job::Copied`](super::job::Job::Copied) when they are durable or have failed.
    Copy(Vec<EntryCopy>),
    /// Writes entries without records in the place of entries that are lost.
    Bury {
        keys: Vec<EntryKey>,
        reply: oneshot::Sender<Result<ChangeOutcome, StoreError>>,
    },
    /// Tries whether writing works again after a failure: begins another volume.
    Probe(oneshot::Sender<Result<ChangeOutcome, StoreError>>),
    /// Begins another volume, so that the present one can be compacted.
    Roll,
    Close,
}

/// An entry that compaction copies.
pub(super) struct EntryCopy {
    pub(super) key: EntryKey,
    /// The volume that has the entry. If another has it by now, it is not copied.
    pub(super) volume: u64,
    /// The entry's frame, which has been checked.
    pub(super) frame: Bytes,
}

/// The caller of an append. It gets a result in any case: dropping this value without one, as a
/// panic of the committer does, is a result too.
pub(super) struct AppendCaller {
    done: Option<AppendDone>,
    /// True from when the entry is put into a batch: it may be durable from then on.
    pub(super) staged: bool,
}

impl AppendCaller {
    pub(super) const fn new(done: AppendDone) -> Self {
        Self {
            done: Some(done),
            staged: false,
        }
    }

    /// Gives the caller its result.
    pub(super) fn complete(mut self, result: Result<Dlsn, StoreError>) {
        if let Some(done) = self.done.take() {
            done(result);
        }
    }
}

impl Drop for AppendCaller {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(if self.staged {
                committer_ended()
            } else {
                StoreError::Closed
            }));
        }
    }
}

/// Returns the error of a request that the committer had taken when a bug ended it: it is unknown
/// whether it was carried out.
pub(super) fn committer_ended() -> StoreError {
    StoreError::Io {
        path: "the journal".to_owned(),
        detail: "a bug ended the thread that writes it; open the store again".to_owned(),
    }
}

/// A change of the metadata that a caller requests.
pub(super) enum ChangeRequest {
    Create(StreamName),
    Delete(StreamName),
    Truncate(StreamName, Dlsn),
    Acquire(StreamName, Owner),
    Release(Lease),
    /// Sets the retention of a stream, or of the namespace.
    Retain(Option<StreamName>, Option<Retention>),
    /// Truncates the stream with this id, unless another has its name by now.
    Expire {
        name: StreamName,
        id: u64,
        before: Dlsn,
        /// Number of log segments that the truncation discards.
        segments: u64,
    },
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
                Self::Delete(_)
                | Self::Truncate(..)
                | Self::Release(_)
                | Self::Retain(..)
                | Self::Expire { .. } => 0,
            }
    }
}

/// Result of a change that succeeded.
#[derive(Debug)]
pub(super) enum ChangeOutcome {
    Done,
    Acquired(Acquired),
}
