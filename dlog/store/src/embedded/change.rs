//! Changes of the metadata.

use distributedlog::Dlsn;
use serde::{Deserialize, Serialize};

use crate::{Owner, Retention, StreamName};

/// A change of the store's metadata, as it is written to the journal.
///
/// Postcard numbers the variants in this order: append new ones at the end. Log segments need no
/// changes of their own: the first entry with a new sequence number opens its segment, which
/// completes the one before; a release, another lease and the end of the process complete the open
/// one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Change {
    /// Creates a stream.
    Create { stream: u64, name: StreamName },
    /// Deletes a stream and everything in it.
    Delete { stream: u64 },
    /// Discards a stream's records before a position.
    Truncate { stream: u64, before: Dlsn },
    /// Grants a new lease on a stream.
    Acquire {
        stream: u64,
        epoch: u64,
        owner: Owner,
    },
    /// Ends a stream's lease.
    Release { stream: u64 },
    /// Ends all leases and completes all open log segments. Written by a process that closes the
    /// store, or by the next process if the previous one ended without closing it.
    End,
    /// Sets how long records are kept: those of a stream, or of the namespace (stream 0).
    Retain {
        stream: u64,
        retention: Option<Retention>,
    },
}
