//! Checks the files of a store that is not open, and says what their damage costs.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;

use super::compaction::check_frame;
use super::disk::{Access, Disk, DiskFile, read_exact, store_error};
use super::extent::{FrameLocation, FrameLocations};
use super::frame::EntryKey;
use super::heal::locate;
use super::reader::span;
use super::recovery::{self, Recovered};
use super::stream::signed;
use super::volume::{FileKind, file_path};
use super::volume_entries::VolumeEntries;
use super::{index, lock, rescue};
use crate::{StoreError, StoreId, StreamName};

/// Number of locations that are read from an index at once.
const AT_ONCE: u64 = 8192;
/// Bytes of a volume that are read at once.
const SPAN: usize = 1 << 20;

/// State of a store's files.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// The store's identity, if its files have one.
    pub id: Option<StoreId>,
    /// Number of streams.
    pub streams: u64,
    /// Number of volumes.
    pub volumes: u64,
    /// Number of readable entries that were checked.
    pub entries: u64,
    /// Bytes of these entries.
    pub bytes: u64,
    /// The reason why the store does not open, or `None` if it does.
    pub opening: Option<StoreError>,
    /// Damaged and missing parts of files.
    pub damages: Vec<Damage>,
    /// Entries that cannot be read, and those that cannot be found.
    pub lost: Vec<LostEntries>,
}

/// A damaged or missing part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub path: String,
    /// Position and kind of damage.
    pub detail: String,
    /// True if it costs nothing: the store makes the file again from others.
    pub heals: bool,
}

impl Damage {
    /// Returns the damage that an error describes, of a file that is made again from others.
    pub(super) fn that_heals(error: &StoreError) -> Option<Self> {
        let StoreError::Corrupt { path, detail } = error else {
            return None;
        };
        Some(Self {
            path: path.clone(),
            detail: detail.clone(),
            heals: true,
        })
    }
}

/// Consecutive entries of a log segment that are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostEntries {
    /// The stream.
    pub stream: StreamName,
    /// Number of the log segment.
    pub log_segment: i64,
    /// Number of the first one.
    pub first_entry: i64,
    /// Number of entries.
    pub entries: u64,
}

/// Progress of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckProgress {
    /// Bytes that have been checked.
    pub checked_bytes: u64,
    /// Bytes that there are to check.
    pub total_bytes: u64,
}

impl CheckReport {
    /// Returns true if nothing is damaged.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.opening.is_none() && self.damages.is_empty() && self.lost.is_empty()
    }

    /// Returns the number of entries that are lost.
    #[must_use]
    pub fn lost_entries(&self) -> u64 {
        self.lost.iter().map(|lost| lost.entries).sum()
    }
}

/// Checks the files of a store: all metadata, all indexes and every readable entry. Changes
/// nothing. Blocks the thread.
///
/// # Errors
///
/// [`StoreError::InUse`] if a process has the store open, [`StoreError::NewerVersion`], or the
/// disk's error. Damage is no error.
pub fn check(
    disk: &dyn Disk,
    folder: &Path,
    unix_ms: u64,
    progress: &mut dyn FnMut(CheckProgress),
) -> Result<CheckReport, StoreError> {
    // Where nothing can be written, no process can have the store open for writing.
    let _lock = match lock::acquire(disk, folder, unix_ms) {
        Err(StoreError::ReadOnly { .. }) => None,
        held => Some(held?),
    };
    Ok(survey(disk, folder, progress)?.report)
}

/// What is there, and what is lost.
pub(super) struct Survey {
    pub(super) recovered: Recovered,
    pub(super) report: CheckReport,
    /// The entries of the report's `lost`.
    pub(super) lost: Vec<EntryKey>,
    /// Volumes whose indexes are damaged.
    pub(super) damaged_indexes: Vec<u64>,
}

/// Looks at all files of a store that this process has locked.
pub(super) fn survey(
    disk: &dyn Disk,
    folder: &Path,
    progress: &mut dyn FnMut(CheckProgress),
) -> Result<Survey, StoreError> {
    let mut report = CheckReport::default();
    let recovered = match recovery::read(disk, folder) {
        Ok(recovered) => recovered,
        Err(error @ StoreError::Corrupt { .. }) => {
            report.opening = Some(error);
            rescue::recover(disk, folder, &mut report.damages)?
        }
        Err(error) => return Err(error),
    };
    let healing = recovered.healing.iter().filter_map(Damage::that_heals);
    report.damages.extend(healing);
    let state = &recovered.state;
    report.id = recovered.id;
    report.streams = state.stream_count();
    report.volumes = state.volumes.iter().count() as u64;
    let mut unreadable = UnreadableEntries::default();
    let total_bytes = state.volumes.space().live_bytes;
    for extent in VolumeEntries::all(state) {
        unreadable.check(disk, folder, &extent)?;
        report.entries += extent.entries;
        report.bytes += extent.bytes;
        progress(CheckProgress {
            checked_bytes: report.bytes.min(total_bytes),
            total_bytes,
        });
    }
    let (mut lost, damaged_indexes) = unreadable.attribute(disk, folder, &mut report.damages)?;
    for stream in state.streams() {
        for (lssn, first, end) in stream.gaps(usize::MAX) {
            let stream = stream.meta.id;
            lost.extend((first..end).map(|entry| EntryKey {
                stream,
                lssn,
                entry,
            }));
        }
    }
    lost.sort_unstable();
    report.lost = runs(&recovered, &lost);
    report.entries = report.entries.saturating_sub(report.lost_entries());
    Ok(Survey {
        recovered,
        report,
        lost,
        damaged_indexes,
    })
}

/// Joins consecutive entries.
fn runs(recovered: &Recovered, lost: &[EntryKey]) -> Vec<LostEntries> {
    let mut runs: Vec<LostEntries> = Vec::new();
    let mut next = None;
    for key in lost {
        if next == Some(*key)
            && let Some(run) = runs.last_mut()
        {
            run.entries += 1;
        } else if let Some(stream) = recovered.state.stream(key.stream) {
            runs.push(LostEntries {
                stream: stream.meta.name.clone(),
                log_segment: signed(key.lssn),
                first_entry: signed(key.entry),
                entries: 1,
            });
        }
        next = Some(EntryKey {
            entry: key.entry + 1,
            ..*key
        });
    }
    runs
}

/// Entries that could not be read where the index says.
#[derive(Default)]
pub(super) struct UnreadableEntries(BTreeMap<u64, Vec<EntryKey>>);

impl UnreadableEntries {
    /// Reads and checks entries.
    pub(super) fn check(
        &mut self,
        disk: &dyn Disk,
        folder: &Path,
        extent: &VolumeEntries,
    ) -> Result<(), StoreError> {
        let index_path = file_path(folder, FileKind::Index, extent.volume);
        let path = file_path(folder, FileKind::Volume, extent.volume);
        let open = |path: &Path| {
            let opened = disk.open(path, Access::Read);
            opened.map_err(|error| store_error(path, &error))
        };
        let file = open(&path)?;
        let mut key = extent.first;
        let end = key.entry + extent.entries;
        while key.entry < end {
            let skip = key.entry - extent.first.entry;
            let count = usize::try_from((end - key.entry).min(AT_ONCE)).expect("8192 at most");
            let locations = match &extent.locations {
                FrameLocations::Memory(locations) => {
                    let skip = usize::try_from(skip).expect("an index into a vector");
                    Ok(locations[skip..skip + count].to_vec())
                }
                FrameLocations::Index(at) => {
                    let index = open(&index_path)?;
                    index::read_locations(&*index, &index_path, *at, skip, count)
                }
            };
            match locations {
                Ok(locations) => self.entries(&*file, &path, extent.volume, key, &locations)?,
                Err(StoreError::Corrupt { .. }) => self.add(extent.volume, key, count),
                Err(error) => return Err(error),
            }
            key.entry += count as u64;
        }
        Ok(())
    }

    /// Returns the entries of a volume.
    pub(super) fn of_volume(mut self, volume: u64) -> Vec<EntryKey> {
        self.0.remove(&volume).unwrap_or_default()
    }

    fn add(&mut self, volume: u64, first: EntryKey, count: usize) {
        let keys = (first.entry..).take(count);
        let keys = keys.map(|entry| EntryKey { entry, ..first });
        self.0.entry(volume).or_default().extend(keys);
    }

    /// Reads and checks the entries from `key` on at these locations.
    fn entries(
        &mut self,
        file: &dyn DiskFile,
        path: &Path,
        volume: u64,
        mut key: EntryKey,
        locations: &[FrameLocation],
    ) -> Result<(), StoreError> {
        let size = file.size().map_err(|error| store_error(path, &error))?;
        let mut rest = locations;
        while !rest.is_empty() {
            let (count, from, to) = span(rest, SPAN);
            if to > size {
                // One at a time, so that a wrong location costs its entry alone.
                self.add(volume, key, 1);
                (key.entry, rest) = (key.entry + 1, &rest[1..]);
                continue;
            }
            let mut bytes = vec![0; usize::try_from(to - from).expect("at most a volume")];
            read_exact(file, &mut bytes, from).map_err(|error| store_error(path, &error))?;
            let bytes = Bytes::from(bytes);
            for location in &rest[..count] {
                let at = usize::try_from(u64::from(location.offset) - from).expect("in the span");
                let frame = &bytes[at..at + location.length as usize];
                if check_frame(frame, key).is_err() {
                    self.add(volume, key, 1);
                }
                key.entry += 1;
            }
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Finds out for each entry that could not be read if its index or its volume is damaged.
    /// Returns the entries that are lost, and the volumes whose indexes are damaged.
    fn attribute(
        self,
        disk: &dyn Disk,
        folder: &Path,
        damages: &mut Vec<Damage>,
    ) -> Result<(Vec<EntryKey>, Vec<u64>), StoreError> {
        let (mut lost, mut damaged_indexes) = (Vec::new(), Vec::new());
        for (volume, keys) in self.0 {
            let located = match locate(disk, folder, volume) {
                Ok(located) => located,
                Err(StoreError::Corrupt { .. }) => BTreeMap::new(),
                Err(error) => return Err(error),
            };
            let total = keys.len();
            let gone: Vec<_> = keys
                .into_iter()
                .filter(|key| !located.contains_key(key))
                .collect();
            let path = |kind| file_path(folder, kind, volume).display().to_string();
            if gone.len() < total {
                damaged_indexes.push(volume);
                damages.push(Damage {
                    path: path(FileKind::Index),
                    detail: format!("{} locations of entries are wrong", total - gone.len()),
                    heals: true,
                });
            }
            if !gone.is_empty() {
                damages.push(Damage {
                    path: path(FileKind::Volume),
                    detail: format!("{} entries are damaged", gone.len()),
                    heals: false,
                });
            }
            lost.extend(gone);
        }
        Ok((lost, damaged_indexes))
    }
}
