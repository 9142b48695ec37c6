//! The readable entries of volumes, as check, scrub and the healing of indexes go through them.

use core::cmp::Reverse;

use super::extent::{Extent, FrameLocations, LOCATION_BYTES};
use super::frame::EntryKey;
use super::state::StoreState;

/// Consecutive entries of one log segment in one volume.
pub(super) struct VolumeEntries {
    pub(super) volume: u64,
    pub(super) first: EntryKey,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) locations: FrameLocations,
}

impl VolumeEntries {
    /// Returns all readable entries in the order of their volumes.
    pub(super) fn all(state: &StoreState) -> Vec<Self> {
        let mut found = Vec::new();
        for stream in state.streams() {
            let of_extent = |extent| Self::of_extent(stream.meta.id, extent);
            found.extend(stream.extents.iter().map(of_extent));
        }
        found.sort_by_key(|part| (part.volume, part.first));
        found
    }

    /// Returns the readable entries of a sealed volume in parts of about `at_once` bytes, the first
    /// ones last.
    pub(super) fn of_volume(state: &StoreState, volume: u64, at_once: u64) -> Vec<Self> {
        let mut found = Vec::new();
        for stream in state.streams() {
            for extent in stream.extents.iter().filter(|here| here.volume == volume) {
                if extent.is_indexed() {
                    Self::of_extent(stream.meta.id, extent).split(at_once, &mut found);
                }
            }
        }
        found.sort_by_key(|part| Reverse(part.first));
        found
    }

    fn of_extent(stream: u64, extent: &Extent) -> Self {
        Self {
            volume: extent.volume,
            first: EntryKey {
                stream,
                lssn: extent.lssn,
                entry: extent.first_entry,
            },
            entries: extent.entries,
            bytes: extent.bytes,
            locations: extent.locations.clone(),
        }
    }

    /// Adds the entries to `parts` in parts of about `at_once` bytes. Those whose locations are in
    /// memory are one part.
    fn split(self, at_once: u64, parts: &mut Vec<Self>) {
        let FrameLocations::Index(at) = self.locations else {
            return parts.push(self);
        };
        let count = self.bytes.div_ceil(at_once).clamp(1, self.entries);
        let entries_each = self.entries.div_ceil(count);
        let mut skip = 0;
        while skip < self.entries {
            let entries = entries_each.min(self.entries - skip);
            parts.push(Self {
                volume: self.volume,
                first: EntryKey {
                    entry: self.first.entry + skip,
                    ..self.first
                },
                entries,
                bytes: self.bytes / count,
                locations: FrameLocations::Index(at + skip * LOCATION_BYTES),
            });
            skip += entries;
        }
    }
}
