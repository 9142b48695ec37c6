//! The volumes of the journal, and the space that readable entries take in each.

use std::collections::{BTreeMap, BTreeSet};

use super::extent::Extent;

/// The volumes, by number.
///
/// Invariant: `extents` and `live_bytes` of a volume are the number and the sum of the bytes of all
/// streams' extents in it.
#[derive(Debug, Default)]
pub(super) struct Volumes(BTreeMap<u64, VolumeState>);

/// One volume.
#[derive(Clone, Debug, Default)]
pub(super) struct VolumeState {
    /// Number of streams' extents in the volume.
    pub(super) extents: usize,
    /// Bytes of the frames of readable entries.
    pub(super) live_bytes: u64,
    /// Size of the volume and of its index. Zero until the index is on disk.
    pub(super) disk_bytes: u64,
    /// True if its index is on disk.
    pub(super) indexed: bool,
    /// True if `live_bytes` is an estimate: an extent whose locations are in the index was split.
    pub(super) estimated: bool,
    /// Stream and log segment of extents whose locations are in memory. May contain extents that
    /// are not needed any more. Empty once the index is on disk.
    in_memory: BTreeSet<(u64, u64)>,
}

impl VolumeState {
    /// Returns true if more than half of what the volume takes on disk is not needed, and not all.
    pub(super) const fn is_mostly_dead(&self) -> bool {
        self.extents > 0 && self.is_more_than_half_dead()
    }

    const fn is_more_than_half_dead(&self) -> bool {
        self.indexed && self.disk_bytes > 2 * self.live_bytes
    }

    /// Bytes that are not needed. Zero until the index is on disk.
    const fn dead_bytes(&self) -> u64 {
        self.disk_bytes.saturating_sub(self.live_bytes)
    }
}

/// The space that a store takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreSpace {
    /// Number of volumes, the one that is written included.
    pub volumes: u64,
    /// Number of volumes of which more than half is not needed.
    pub mostly_dead_volumes: u64,
    /// Number of log segments that have records.
    pub log_segments: u64,
    /// Bytes of readable entries: payloads, 48 bytes for each entry and 8 for each record.
    pub live_bytes: u64,
    /// Bytes of the volumes that are not written any more, and of their indexes.
    pub sealed_bytes: u64,
    /// Those of them that are not needed.
    pub dead_bytes: u64,
    /// Bytes of entries that compaction has copied since the store was opened.
    pub moved_bytes: u64,
    /// Number of volumes that were removed since the store was opened.
    pub removed_volumes: u64,
    /// Number of log segments that retention has discarded since the store was opened.
    pub expired_segments: u64,
    /// Number of entries that the scrub found to be damaged since the store was opened.
    pub damaged_entries: u64,
    /// True while the reserve for a full disk is in use: appends are refused.
    pub reserve_in_use: bool,
    /// True if the journal's last batch, which the previous process wrote, could not be copied yet
    /// because the disk has no room. If that process's sync of it failed, which only it knew, a
    /// power loss can take the batch away. Nothing is removed meanwhile.
    pub tail_in_doubt: bool,
    /// True if no compaction is under way and none is necessary.
    pub is_compact: bool,
}

impl Volumes {
    pub(super) fn add(&mut self, number: u64) {
        self.0.entry(number).or_default();
    }

    pub(super) fn get(&self, number: u64) -> Option<&VolumeState> {
        self.0.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> &mut VolumeState {
        self.0.entry(number).or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &VolumeState)> {
        self.0.iter().map(|(number, volume)| (*number, volume))
    }

    /// Returns what the volumes take.
    pub(super) fn space(&self) -> StoreSpace {
        StoreSpace {
            volumes: self.0.len() as u64,
            mostly_dead_volumes: self
                .0
                .values()
                .filter(|it| it.is_more_than_half_dead())
                .count() as u64,
            live_bytes: self.0.values().map(|volume| volume.live_bytes).sum(),
            sealed_bytes: self.0.values().map(|volume| volume.disk_bytes).sum(),
            dead_bytes: self.0.values().map(VolumeState::dead_bytes).sum(),
            ..StoreSpace::default()
        }
    }

    /// Counts a new extent of a stream.
    pub(super) fn gain(&mut self, stream: u64, extent: &Extent) {
        let volume = self.get_mut(extent.volume);
        volume.extents += 1;
        volume.live_bytes += extent.bytes;
        if !extent.is_indexed() {
            volume.in_memory.insert((stream, extent.lssn));
        }
    }

    /// Counts an entry that was added to an extent that is counted already.
    pub(super) fn grow(&mut self, volume: u64, bytes: u64) {
        self.get_mut(volume).live_bytes += bytes;
    }

    /// Counts one extent less.
    pub(super) fn lose(&mut self, extent: &Extent) {
        let volume = self.get_mut(extent.volume);
        volume.extents = volume
            .extents
            .checked_sub(1)
            .expect("counted when the extent began");
        volume.live_bytes = volume
            .live_bytes
            .checked_sub(extent.bytes)
            .expect("counted with the extent");
    }

    /// Returns stream and log segment of the extents whose locations are in memory, sorted.
    pub(super) fn in_memory(&self, volume: u64) -> Vec<(u64, u64)> {
        self.0
            .get(&volume)
            .map(|volume| volume.in_memory.iter().copied().collect())
            .unwrap_or_default()
    }

    /// Records that the volume's index is on disk, and what both take.
    pub(super) fn set_indexed(&mut self, volume: u64, disk_bytes: u64) {
        let volume = self.get_mut(volume);
        (volume.indexed, volume.disk_bytes) = (true, disk_bytes);
        volume.in_memory.clear();
    }

    /// Removes and returns the volumes before `base` that have an index and nothing readable.
    pub(super) fn take_dead(&mut self, base: u64) -> Vec<(u64, VolumeState)> {
        let dead: Vec<u64> = self
            .0
            .range(..base)
            .filter(|(_, volume)| volume.indexed && volume.extents == 0)
            .map(|(number, _)| *number)
            .collect();
        dead.into_iter()
            .filter_map(|number| Some((number, self.0.remove(&number)?)))
            .collect()
    }

    /// Puts back a volume that could not be removed.
    pub(super) fn put_back(&mut self, number: u64, volume: VolumeState) {
        self.0.insert(number, volume);
    }
}
