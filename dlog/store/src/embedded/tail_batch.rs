//! The end of the journal: the newest volume and, after recovery, its last batch.

use super::state::Snapshot;

/// The newest volume as the next one's header has to describe it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latest {
    pub(super) number: u64,
    pub(super) end: u64,
    pub(super) nonce: u64,
}

/// The end of the journal, as the next volume takes it over.
///
/// A volume is written by the process that created it and by no other one. The last batch that the
/// process before wrote may not have been synced; it may even be that its sync failed and that the
/// system shows it nevertheless, from memory that it takes for clean. No sync would make that
/// durable. So the next volume begins with a copy of it, and the last volume ends before it.
pub(super) struct Carried {
    /// The last volume as it counts: without the batch that is carried.
    pub(super) latest: Latest,
    /// The metadata at that point.
    pub(super) snapshot: Snapshot,
    /// The frames of the batch that is carried.
    pub(super) frames: Vec<u8>,
    pub(super) count: u32,
    pub(super) frames_crc: u32,
}
