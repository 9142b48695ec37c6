use distributedlog::Dlsn;
use serde::{Deserialize, Serialize};

use crate::{Owner, StreamName};

/// A change of the store's metadata, as it stands in the journal.
///
/// Postcard numbers the variants in this order: new ones go to the end. Log segments need no
/// changes of their own: the first entry with a new sequence number opens its segment, which
/// completes the one before; a release, another lease and the end of the process complete the open
/// one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Change {
    /// A stream came to be.
    Create { stream: u64, name: StreamName },
    /// A stream and everything in it went.
    Delete { stream: u64 },
    /// The records before a position went.
    Truncate { stream: u64, before: Dlsn },
    /// A stream has a new lease.
    Acquire {
        stream: u64,
        epoch: u64,
        owner: Owner,
    },
    /// A stream has no lease.
    Release { stream: u64 },
    /// A process gave the store up, or its successor found that it is gone: there are no leases and
    /// no open log segments.
    End,
}
