//! The jobs that the maintenance thread is given.

use super::state::Snapshot;

/// What the keeper is asked to do.
pub(super) enum Job {
    /// A volume will not change any more and ends at `end`; the snapshot is the metadata at that
    /// point, unless there is one already and only the index is missing.
    Seal {
        volume: u64,
        end: u64,
        snapshot: Option<Snapshot>,
    },
    /// The volume with this number will be needed.
    Spare(u64),
    /// Something was deleted or truncated.
    Sweep,
    /// The store is being closed and everything is written: the folder is to be given up.
    Stop,
}
