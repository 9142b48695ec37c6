//! Opens a store: reads the newest snapshot, the indexes of what is sealed, and the journal behind
//! the snapshot.
//!
//! Recovery removes files that were never finished, and changes nothing else, so it can be
//! interrupted and repeated at any point. What a sealed volume still lacks (index, snapshot)
//! becomes the keeper's first jobs; the next volume, which takes the journal's last batch
//! over, is made as every other one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Access, Disk, DiskFile, store_error};
use super::frame::{self, Body};
use super::index;
use super::job::Job;
use super::scan::{Located, Until, scan};
use super::snapshot;
use super::state::{Snapshot, State};
use super::stream::{Extent, Place, Places, Stream};
use super::tail_batch::{Carried, Latest};
use super::volume::{
    BATCH_HEADER, FileKind, VOLUME_HEADER, VolumeHeader, corrupt, file_path, is_unfinished,
    parse_file_name,
};
use crate::StoreError;

/// What was found in the folder.
pub(super) struct Recovered {
    pub(super) state: State,
    /// How the journal goes on, unless it has not begun.
    pub(super) carried: Option<Carried>,
    /// What a process that ended did not get to.
    pub(super) jobs: Vec<Job>,
}

/// Rebuilds the state of the store from its folder.
pub(super) fn recover(disk: &dyn Disk, folder: &Path) -> Result<Recovered, StoreError> {
    let files = Files::list(disk, folder)?;
    let mut state = match files.snapshots.last() {
        Some(&base) => State::from_snapshot(read_file(
            disk,
            folder,
            FileKind::Snapshot,
            base,
            snapshot::read,
        )?),
        None => State::new(),
    };
    let base = state.snapshot_base;
    let mut jobs = Vec::new();
    for &number in files.volumes.iter().filter(|number| **number < base) {
        jobs.extend(load_sealed(disk, folder, &files, number, &mut state)?);
    }
    let mut recovered = Recovered {
        state,
        carried: None,
        jobs,
    };
    if let Some(&last) = files.volumes.last() {
        for number in base..=last {
            replay(disk, folder, number, last, &mut recovered)?;
        }
    }
    if recovered.carried.is_none() && !files.snapshots.is_empty() {
        return Err(missing(
            &file_path(folder, FileKind::Volume, base),
            "the metadata says that the journal goes on in it",
        ));
    }
    recovered.state.end_leases();
    check_complete(folder, &recovered.state)?;
    // Only now is it sure that the files are ones of this program and in order.
    files.remove_useless(disk);
    recovered.jobs.push(Job::Sweep);
    Ok(recovered)
}

struct Files {
    volumes: Vec<u64>,
    indexes: Vec<u64>,
    snapshots: Vec<u64>,
    /// What was never finished, and indexes without their volumes.
    useless: Vec<PathBuf>,
}

impl Files {
    /// Lists the folder. Files of other names are not the store's.
    fn list(disk: &dyn Disk, folder: &Path) -> Result<Self, StoreError> {
        let names = disk
            .list(folder)
            .map_err(|error| store_error(folder, &error))?;
        let useless = names
            .iter()
            .filter(|name| is_unfinished(name))
            .map(|name| folder.join(name))
            .collect();
        let mut files = Self {
            volumes: Vec::new(),
            indexes: Vec::new(),
            snapshots: Vec::new(),
            useless,
        };
        for (kind, number) in names.iter().filter_map(|name| parse_file_name(name)) {
            match kind {
                FileKind::Volume => files.volumes.push(number),
                FileKind::Index => files.indexes.push(number),
                FileKind::Snapshot => files.snapshots.push(number),
            }
        }
        for numbers in [&mut files.volumes, &mut files.indexes, &mut files.snapshots] {
            numbers.sort_unstable();
        }
        let orphans = files
            .indexes
            .iter()
            .filter(|number| files.volumes.binary_search(number).is_err());
        files
            .useless
            .extend(orphans.map(|number| file_path(folder, FileKind::Index, *number)));
        Ok(files)
    }

    fn remove_useless(&self, disk: &dyn Disk) {
        for path in &self.useless {
            // Space that could not be given back does not keep the store from opening.
            if let Err(error) = disk.remove(path) {
                tracing::warn!(
                    "{} is of no use and could not be removed: {error}",
                    path.display()
                );
            }
        }
    }
}

fn read_file<T>(
    disk: &dyn Disk,
    folder: &Path,
    kind: FileKind,
    number: u64,
    read: impl FnOnce(&dyn DiskFile, &Path, u64) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let path = file_path(folder, kind, number);
    let file = disk
        .open(&path, Access::Read)
        .map_err(|error| store_error(&path, &error))?;
    read(&*file, &path, number)
}

/// Takes over what a volume from before the snapshot holds, from its index. When that is missing or
/// damaged, from the volume itself, and the keeper is to write the index again.
fn load_sealed(
    disk: &dyn Disk,
    folder: &Path,
    files: &Files,
    number: u64,
    state: &mut State,
) -> Result<Option<Job>, StoreError> {
    state.add_volume(number);
    if files.indexes.binary_search(&number).is_ok() {
        match read_file(disk, folder, FileKind::Index, number, index::read) {
            Ok(extents) => {
                state.mark_indexed(number);
                for (stream, extent) in extents {
                    state.load_extent(stream, extent);
                }
                return Ok(None);
            }
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::warn!("{error}: the index is made again")
            }
            Err(error) => return Err(error),
        }
    }
    let (extents, end) = read_extents(disk, folder, files, number)?;
    for ((stream, _), extent) in extents {
        state.load_extent(stream, extent);
    }
    Ok(Some(Job::Seal {
        volume: number,
        end,
        snapshot: None,
    }))
}

/// The extents of a volume by stream and log segment, and where the volume ends: read from the
/// volume itself.
fn read_extents(
    disk: &dyn Disk,
    folder: &Path,
    files: &Files,
    number: u64,
) -> Result<(BTreeMap<(u64, u64), Extent>, u64), StoreError> {
    let until = match files.volumes.binary_search(&(number + 1)) {
        Ok(_) => Until::Known(
            read_file(
                disk,
                folder,
                FileKind::Volume,
                number + 1,
                VolumeHeader::read,
            )?
            .previous_end,
        ),
        // It was cut where it ends when it was sealed.
        Err(_) => Until::Tail,
    };
    read_file(
        disk,
        folder,
        FileKind::Volume,
        number,
        |file, path, number| {
            let header = VolumeHeader::read(file, path, number)?;
            let mut extents = BTreeMap::<(u64, u64), Extent>::new();
            let end = scan(file, path, &header, until, &mut |batch| {
                for located in &batch.frames {
                    if let Body::Entry { key, .. } = located.frame.body {
                        let new = || Extent {
                            volume: number,
                            lssn: key.lssn,
                            first_entry: key.entry,
                            entries: 0,
                            places: Places::Memory(Vec::new()),
                        };
                        let extent = extents.entry((key.stream, key.lssn)).or_insert_with(new);
                        extent.push(place_of(path, located)?);
                    }
                }
                Ok(())
            })?;
            Ok((extents, end))
        },
    )
}

fn place_of(path: &Path, located: &Located<'_>) -> Result<Place, StoreError> {
    let offset = u32::try_from(located.offset)
        .map_err(|_| corrupt(path, located.offset, "the volume is larger than 4 GiB"))?;
    Ok(Place {
        offset,
        length: located.length,
    })
}

/// Applies what a volume behind the snapshot says.
fn replay(
    disk: &dyn Disk,
    folder: &Path,
    number: u64,
    last: u64,
    recovered: &mut Recovered,
) -> Result<(), StoreError> {
    let path = file_path(folder, FileKind::Volume, number);
    let access = if number == last {
        Access::Write
    } else {
        Access::Read
    };
    let file = disk.open(&path, access).map_err(|error| {
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        if is_missing {
            missing(&path, "the journal has volumes before and after it")
        } else {
            store_error(&path, &error)
        }
    })?;
    let header = VolumeHeader::read(&*file, &path, number)?;
    let until = if number == last {
        Until::Tail
    } else {
        Until::Known(
            read_file(
                disk,
                folder,
                FileKind::Volume,
                number + 1,
                VolumeHeader::read,
            )?
            .previous_end,
        )
    };
    recovered.state.add_volume(number);
    if number < last {
        let state = &mut recovered.state;
        let end = scan(&*file, &path, &header, until, &mut |batch| {
            apply(state, number, &path, &batch.frames)
        })?;
        recovered.jobs.push(Job::Seal {
            volume: number,
            end,
            snapshot: Some(state.to_snapshot(number + 1)),
        });
        return Ok(());
    }
    let latest = Latest {
        number,
        end: VOLUME_HEADER,
        nonce: header.nonce,
    };
    recovered.carried = Some(replay_tail(
        &*file,
        &path,
        &header,
        latest,
        &mut recovered.state,
    )?);
    // What is served from now on should be durable also while there is no room for the next volume.
    file.sync_data().map_err(|error| store_error(&path, &error))
}

/// Applies what the journal's last volume says, and takes its last batch apart.
fn replay_tail(
    file: &dyn DiskFile,
    path: &Path,
    header: &VolumeHeader,
    latest: Latest,
    state: &mut State,
) -> Result<Carried, StoreError> {
    let number = latest.number;
    let snapshot = Snapshot::default();
    let mut last = Carried {
        latest,
        snapshot,
        frames: Vec::new(),
        count: 0,
        frames_crc: 0,
    };
    let end = scan(file, path, header, Until::Tail, &mut |batch| {
        // The one before was not the last one.
        apply(state, number, path, &frames_of(&last))?;
        last.latest.end = batch.start;
        last.frames.clear();
        last.frames.extend_from_slice(batch.bytes);
        (last.count, last.frames_crc) = (batch.header.frames, batch.header.frames_crc);
        Ok(())
    })?;
    #[cfg(seeded_bugs)]
    if distributedlog::seeded_bugs::is_on(distributedlog::seeded_bugs::Bug::RecoveryCutsOneMore) {
        (last.frames, last.count, last.frames_crc) = (Vec::new(), 0, 0);
    }
    last.snapshot = state.to_snapshot(number + 1);
    apply(state, number, path, &frames_of(&last))?;
    tracing::debug!("{} ends at offset {end}", path.display());
    Ok(last)
}

/// The frames of a batch that was checked before, with their places in the volume.
fn frames_of(batch: &Carried) -> Vec<Located<'_>> {
    let mut frames = Vec::new();
    let mut from = 0;
    while from < batch.frames.len() {
        let (_, length, frame) = frame::take(&batch.frames[from..]).expect("the scan checked it");
        let offset = batch.latest.end + (BATCH_HEADER + from) as u64;
        frames.push(Located {
            offset,
            length: u32::try_from(length).expect("a part of a batch"),
            frame,
        });
        from += length;
    }
    frames
}

fn apply(
    state: &mut State,
    volume: u64,
    path: &Path,
    frames: &[Located<'_>],
) -> Result<(), StoreError> {
    for located in frames {
        let place = place_of(path, located)?;
        state
            .apply(&located.frame, volume, place)
            .map_err(|why| corrupt(path, located.offset, &why))?;
    }
    Ok(())
}

/// Every entry that can be read must be somewhere.
fn check_complete(folder: &Path, state: &State) -> Result<(), StoreError> {
    let missing = |stream: &Stream| {
        stream
            .missing()
            .map(|place| (stream.meta.name.clone(), place))
    };
    match state.streams().find_map(missing) {
        None => Ok(()),
        Some((name, (lssn, entry))) => Err(StoreError::Corrupt {
            path: folder.display().to_string(),
            detail: format!(
                "entry {entry} of log segment {lssn} of stream {name} is in none of the volumes: \
                 one was removed"
            ),
        }),
    }
}

fn missing(path: &Path, why: &str) -> StoreError {
    StoreError::Corrupt {
        path: path.display().to_string(),
        detail: format!("the file is missing: {why}"),
    }
}
