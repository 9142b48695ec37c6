use bytes::Bytes;

use crate::EntryId;
use crate::ledger::ensemble::IndexSet;

/// An entry that is not confirmed, or was while the ensemble changes.
pub(super) struct Pending {
    pub(super) entry: EntryId,
    pub(super) body: Bytes,
    pub(super) payload_bytes: usize,
    /// Bytes of all payloads up to this one.
    pub(super) length: u64,
    /// Indices whose present bookies have acknowledged it.
    pub(super) acks: IndexSet,
    /// Indices of its write set whose present bookies failed before they did.
    pub(super) failed: IndexSet,
}

impl Pending {
    pub(super) fn new(entry: EntryId, body: Bytes, payload_bytes: usize, length: u64) -> Self {
        Self {
            entry,
            body,
            payload_bytes,
            length,
            acks: IndexSet::default(),
            failed: IndexSet::default(),
        }
    }
}
