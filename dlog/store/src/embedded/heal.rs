//! Indexes that are damaged while the store is open: they are made again from their volumes.

use std::collections::BTreeMap;
use std::path::Path;

use super::disk::{Disk, store_error};
use super::extent::{FrameLocation, FrameLocations};
use super::frame::EntryKey;
use super::index;
use super::recovery::{Files, end_of, read_file};
use super::salvage::{Part, salvage};
use super::shared::{Shared, lock};
use super::state::IndexedExtent;
use super::volume::{FileKind, VolumeHeader};
use super::volume_entries::VolumeEntries;
use crate::StoreError;

/// Number of locations that are compared at once.
const AT_ONCE: u64 = 8192;

/// Returns the locations of the intact entries of a volume.
///
/// # Errors
///
/// The volume cannot be read, or its header is damaged.
pub(super) fn locate(
    disk: &dyn Disk,
    folder: &Path,
    volume: u64,
) -> Result<BTreeMap<EntryKey, FrameLocation>, StoreError> {
    let files = Files::list(disk, folder)?;
    let until = end_of(disk, folder, &files, volume)?;
    let mut found = BTreeMap::new();
    read_file(
        disk,
        folder,
        FileKind::Volume,
        volume,
        |file, path, number| {
            let header = VolumeHeader::read(file, path, number)?;
            salvage(file, path, &header, until, &mut |part| {
                if let Part::Frame(located) = part
                    && let Some(key) = located.frame.body.key()
                    && let Some(location) = located.location()
                {
                    found.insert(key, location);
                }
            })
        },
    )?;
    Ok(found)
}

impl Shared {
    /// Makes the index of a sealed volume again if it is damaged. Returns true if it was. Each
    /// volume is looked at once: what cannot be read after that is damage of the volume.
    pub(super) fn heal_index(&self, volume: u64) -> bool {
        // Locked while it works: the next reader finds the healed index.
        let mut looked_at = lock(&self.healed_indexes);
        if self.check_lock().is_err() || !looked_at.insert(volume) {
            return false;
        }
        match self.remake_index(volume) {
            Ok(is_healed) => {
                if is_healed {
                    tracing::warn!("the index of volume {volume} was damaged; it is made again");
                }
                is_healed
            }
            Err(error) => {
                tracing::warn!("the index of volume {volume} cannot be made again: {error}");
                false
            }
        }
    }

    fn remake_index(&self, volume: u64) -> Result<bool, StoreError> {
        let located = locate(&*self.disk, &self.settings.folder, volume)?;
        let mut is_damaged = false;
        let mut extents = Vec::new();
        let entries = VolumeEntries::of_volume(&self.state(), volume, u64::MAX);
        for here in entries {
            let mut locations = self.stored_locations(volume, &here)?;
            for (entry, location) in (here.first.entry..).zip(&mut locations) {
                let key = EntryKey {
                    entry,
                    ..here.first
                };
                if let Some(found) = located.get(&key)
                    && found != location
                {
                    is_damaged = true;
                    *location = *found;
                }
            }
            extents.push(IndexedExtent {
                stream: here.first.stream,
                lssn: here.first.lssn,
                first_entry: here.first.entry,
                locations,
            });
        }
        if !is_damaged {
            return Ok(false);
        }
        let file = self.open_file(FileKind::Volume, volume)?;
        let path = self.path(FileKind::Index, volume);
        let size = file.size();
        let end = size.map_err(|error| store_error(&path, &error))?;
        extents.sort_by_key(|extent| (extent.stream, extent.lssn, extent.first_entry));
        let made = index::write(&*self.disk, &path, volume, end, &extents)?;
        let mut state = self.state_mut();
        self.forget_file(FileKind::Index, volume);
        state.set_indexed(volume, &made.rows, made.disk_bytes);
        Ok(true)
    }

    /// Returns the locations that the index has, zeros where it is too short.
    fn stored_locations(
        &self,
        volume: u64,
        here: &VolumeEntries,
    ) -> Result<Vec<FrameLocation>, StoreError> {
        let at = match &here.locations {
            FrameLocations::Index(at) => *at,
            FrameLocations::Memory(locations) => return Ok(locations.clone()),
        };
        let file = self.open_file(FileKind::Index, volume)?;
        let path = self.path(FileKind::Index, volume);
        let nowhere = FrameLocation {
            offset: 0,
            length: 0,
        };
        let mut locations = Vec::new();
        let mut skip = 0;
        while skip < here.entries {
            let count = usize::try_from((here.entries - skip).min(AT_ONCE)).expect("8192 at most");
            match index::read_locations(&*file, &path, at, skip, count) {
                Ok(read) => locations.extend(read),
                Err(StoreError::Corrupt { .. }) => {
                    locations.resize(locations.len() + count, nowhere);
                }
                Err(error) => return Err(error),
            }
            skip += count as u64;
        }
        Ok(locations)
    }
}
