//! The end of the journal: the newest volume and, after recovery, its last batch.

use super::state::Snapshot;

/// The newest volume, as the next volume's header describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewestVolume {
    pub(super) number: u64,
    pub(super) end: u64,
    pub(super) nonce: u64,
}

/// The last batch of the journal, which the next volume begins with a copy of.
///
/// Only the process that created a volume writes to it. The last batch that the previous process
/// wrote may not have been synced; its sync may even have failed, while the system still returns
/// its bytes from pages that it regards as clean. No later sync would make those durable. So the
/// next volume begins with a copy of that batch, and the last volume ends before it.
pub(super) struct TailBatch {
    /// The last volume, ending before this batch.
    pub(super) newest: NewestVolume,
    /// End of this batch in that volume.
    pub(super) end: u64,
    /// The metadata at that end.
    pub(super) snapshot: Snapshot,
    /// The frames of the batch.
    pub(super) frames: Vec<u8>,
    pub(super) count: u32,
    pub(super) frames_crc: u32,
}
