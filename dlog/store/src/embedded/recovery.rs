//! Recovery: reads the newest snapshot, the indexes of sealed volumes, and the journal after the
//! snapshot.
//!
//! Recovery makes what it finds durable, removes files that were never completed and changes
//! nothing else, so it can be interrupted and repeated at any point. A missing index or snapshot of
//! a sealed volume becomes a job of the maintenance thread. The next volume, which begins with a
//! copy of the journal's last batch, is created like every other one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::closed;
use super::disk::{Access, Disk, DiskFile, store_error};
use super::extent::{Extent, FrameLocation};
use super::frame;
use super::identity::{self, IdentityFile};
use super::index;
use super::job::Job;
use super::salvage::{Part, salvage};
use super::scan::{LocatedFrame, VolumeEnd, scan};
use super::snapshot;
use super::state::{Snapshot, StoreState};
use super::stream::Stream;
use super::tail_batch::{NewestVolume, TailBatch};
use super::volume::{
    BATCH_HEADER, FileKind, VOLUME_HEADER, VolumeHeader, check_size, corrupt, file_path,
    is_unfinished, parse_file_name,
};
use crate::{StoreError, StoreId};

/// Contents of the folder.
pub(super) struct Recovered {
    pub(super) state: StoreState,
    /// The journal's last batch. `None` for a new store.
    pub(super) tail_batch: Option<TailBatch>,
    /// Jobs that the previous process did not finish.
    pub(super) jobs: Vec<Job>,
    /// The store's identity. `None` for a new store, and for one that versions 1 and 2 wrote.
    pub(super) id: Option<StoreId>,
    /// True if the file with the identity is there and intact.
    pub(super) has_identity_file: bool,
    /// True if the mark of an orderly closing is there.
    pub(super) has_closed_mark: bool,
    /// Damage of files that the jobs write again.
    pub(super) healing: Vec<StoreError>,
}

/// Rebuilds the store's state from its folder, and removes files that were never completed.
pub(super) fn recover(disk: &dyn Disk, folder: &Path) -> Result<Recovered, StoreError> {
    let files = Files::list(disk, folder)?;
    let recovered = read_files(disk, folder, &files)?;
    make_durable(disk, folder, &recovered)?;
    for error in &recovered.healing {
        tracing::warn!("{error}; it is made again");
    }
    // Removed only now that all files have been checked to be consistent files of this program.
    files.remove_useless(disk);
    Ok(recovered)
}

/// Rebuilds the store's state from its folder, and changes nothing.
pub(super) fn read(disk: &dyn Disk, folder: &Path) -> Result<Recovered, StoreError> {
    let files = Files::list(disk, folder)?;
    read_files(disk, folder, &files)
}

/// Makes what was recovered durable: the contents of the last volume, and all names.
///
/// The tail batch is served from the last volume until the next one has a copy of it, which can
/// take long on a full disk. The previous process may have ended between the rename of that volume
/// and the folder's sync. Until its name is durable, nothing that it makes unnecessary may be
/// removed: not the end of the volume before it, of which it has a copy.
pub(super) fn make_durable(
    disk: &dyn Disk,
    folder: &Path,
    recovered: &Recovered,
) -> Result<(), StoreError> {
    let Some(tail_batch) = &recovered.tail_batch else {
        return Ok(());
    };
    let path = file_path(folder, FileKind::Volume, tail_batch.newest.number);
    match disk.open(&path, Access::Write) {
        Ok(file) => file.sync_data(),
        // A repair continues behind a volume that is lost.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
    .map_err(|error| store_error(&path, &error))?;
    #[cfg(seeded_bugs)]
    if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::FoundNameNotSynced) {
        return Ok(());
    }
    disk.sync_folder(folder)
        .map_err(|error| store_error(folder, &error))
}

/// Rebuilds the store's state.
fn read_files(disk: &dyn Disk, folder: &Path, files: &Files) -> Result<Recovered, StoreError> {
    let (mut jobs, mut healing) = (Vec::new(), Vec::new());
    let mut state = match files.snapshots.last() {
        Some(&base) => {
            let SnapshotRead { snapshot, damage } = read_snapshot(disk, folder, base)?;
            if let Some(damage) = damage {
                jobs.push(Job::WriteSnapshot(snapshot.clone()));
                healing.push(damage);
            }
            StoreState::from_snapshot(snapshot)
        }
        None => StoreState::new(),
    };
    let base = state.snapshot_base;
    for &number in files.volumes.iter().filter(|number| **number < base) {
        let loaded = load_sealed(disk, folder, files, number, &mut state, &mut healing)?;
        jobs.extend(loaded);
    }
    let identity = identity::read(disk, folder)?;
    let closed = closed::read(disk, folder)?;
    let mut recovered = Recovered {
        state,
        tail_batch: None,
        jobs,
        id: match identity {
            IdentityFile::Names(id) => Some(id),
            IdentityFile::Missing | IdentityFile::Damaged => None,
        },
        has_identity_file: matches!(identity, IdentityFile::Names(_)),
        has_closed_mark: closed.is_some(),
        healing,
    };
    if let Some(&last) = files.volumes.last() {
        for number in base..=last {
            replay(disk, folder, (number, last), &mut recovered)?;
        }
    }
    if recovered.tail_batch.is_none() && !files.snapshots.is_empty() {
        return Err(missing(
            &file_path(folder, FileKind::Volume, base),
            "the snapshot refers to it",
        ));
    }
    if recovered.tail_batch.is_none() && identity != IdentityFile::Missing {
        return Err(missing(
            &file_path(folder, FileKind::Volume, base),
            "the folder has the identity of a store, and no volumes",
        ));
    }
    if let Some(mark) = &closed {
        closed::check(folder, mark, recovered.tail_batch.as_ref())?;
    }
    recovered.state.end_leases();
    check_complete(folder, &recovered.state)?;
    recovered.jobs.push(Job::Sweep);
    Ok(recovered)
}

/// The numbered files of a folder.
pub(super) struct Files {
    pub(super) volumes: Vec<u64>,
    pub(super) indexes: Vec<u64>,
    /// Numbers of which there is a snapshot, or its second copy.
    pub(super) snapshots: Vec<u64>,
    /// Files that were never completed, and indexes without volumes.
    useless: Vec<PathBuf>,
}

impl Files {
    /// Lists the folder. Ignores files with other names, which are not the store's.
    pub(super) fn list(disk: &dyn Disk, folder: &Path) -> Result<Self, StoreError> {
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
                FileKind::Snapshot | FileKind::SnapshotCopy => files.snapshots.push(number),
            }
        }
        for numbers in [&mut files.volumes, &mut files.indexes, &mut files.snapshots] {
            numbers.sort_unstable();
            numbers.dedup();
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
            // Space that cannot be freed does not prevent opening the store.
            if let Err(error) = disk.remove(path) {
                tracing::warn!(
                    "cannot remove {}, which is not needed: {error}",
                    path.display()
                );
            }
        }
    }
}

/// A snapshot, and what is wrong with one of its copies.
pub(super) struct SnapshotRead {
    pub(super) snapshot: Snapshot,
    /// Damage of a copy. Versions 1 and 2 wrote one copy alone, which is none.
    pub(super) damage: Option<StoreError>,
}

/// Reads a snapshot from the first of its copies that is intact.
///
/// # Errors
///
/// The first copy's, if none is intact.
pub(super) fn read_snapshot(
    disk: &dyn Disk,
    folder: &Path,
    base: u64,
) -> Result<SnapshotRead, StoreError> {
    let read = |kind| {
        let path = file_path(folder, kind, base);
        match disk.open(&path, Access::Read) {
            Ok(file) => snapshot::read(&*file, &path, base).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(store_error(&path, &error)),
        }
    };
    let whole = |snapshot, damage| Ok(SnapshotRead { snapshot, damage });
    match (read(FileKind::Snapshot), read(FileKind::SnapshotCopy)) {
        (Ok(Some(first)), other) => whole(first, other.err()),
        (Err(error), Ok(Some(copy))) => whole(copy, Some(error)),
        (Ok(None), Ok(Some(copy))) => {
            let path = file_path(folder, FileKind::Snapshot, base);
            whole(copy, Some(missing(&path, "its second copy is there")))
        }
        (Err(error), _) | (_, Err(error)) => Err(error),
        (Ok(None), Ok(None)) => {
            let path = file_path(folder, FileKind::Snapshot, base);
            Err(missing(&path, "it was there a moment ago"))
        }
    }
}

pub(super) fn read_file<T>(
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

/// Loads the extents of a volume before the snapshot from its index. If the index is missing or
/// damaged, reads the volume itself and returns the job that writes the index again.
pub(super) fn load_sealed(
    disk: &dyn Disk,
    folder: &Path,
    files: &Files,
    number: u64,
    state: &mut StoreState,
    healing: &mut Vec<StoreError>,
) -> Result<Option<Job>, StoreError> {
    state.add_volume(number);
    if files.indexes.binary_search(&number).is_ok() {
        match read_file(disk, folder, FileKind::Index, number, index::read) {
            Ok(index) => {
                state.volumes.set_indexed(number, index.disk_bytes);
                for row in index.rows {
                    state.load_extent(row.stream, row.extent(number));
                }
                return Ok(None);
            }
            Err(error @ StoreError::Corrupt { .. }) => healing.push(error),
            Err(error) => return Err(error),
        }
    }
    let header = read_file(disk, folder, FileKind::Volume, number, VolumeHeader::read)?;
    let until = end_of(disk, folder, files, number)?;
    let job = load_volume(disk, folder, &header, until, state)?;
    Ok(Some(job))
}

/// Loads the extents of a volume before the snapshot from the volume itself. Returns the job that
/// writes its index.
pub(super) fn load_volume(
    disk: &dyn Disk,
    folder: &Path,
    header: &VolumeHeader,
    until: VolumeEnd,
    state: &mut StoreState,
) -> Result<Job, StoreError> {
    let (extents, end) = read_extents(disk, folder, header, until)?;
    for (stream, extent) in extents {
        state.load_extent(stream, extent);
    }
    Ok(Job::Seal {
        volume: header.number,
        end,
        snapshot: None,
    })
}

/// Reads a volume. Returns its extents with their streams, and the offset of its end.
fn read_extents(
    disk: &dyn Disk,
    folder: &Path,
    header: &VolumeHeader,
    until: VolumeEnd,
) -> Result<(Vec<(u64, Extent)>, u64), StoreError> {
    read_file(
        disk,
        folder,
        FileKind::Volume,
        header.number,
        |file, path, number| {
            // By stream and log segment, in the order of the volume: a later copy of an entry
            // counts.
            let mut extents = BTreeMap::<(u64, u64), Vec<Extent>>::new();
            // What is damaged in a sealed volume costs its entries. Opening the store fails for
            // it only where they are needed.
            let end = salvage(file, path, header, until, &mut |part| {
                let Part::Frame(located) = part else { return };
                let (Some(key), Some(location)) = (located.frame.body.key(), located.location())
                else {
                    return;
                };
                let here = extents.entry((key.stream, key.lssn)).or_default();
                let new = Extent::of_one(number, key.lssn, key.entry, location);
                let left = match here.last_mut() {
                    Some(last) => last.join(new).err(),
                    None => Some(new),
                };
                here.extend(left);
            })?;
            let extents = extents
                .into_iter()
                .flat_map(|((stream, _), here)| here.into_iter().map(move |found| (stream, found)))
                .collect();
            Ok((extents, end))
        },
    )
}

/// Returns the end of a sealed volume, where it is known.
pub(super) fn end_of(
    disk: &dyn Disk,
    folder: &Path,
    files: &Files,
    number: u64,
) -> Result<VolumeEnd, StoreError> {
    match files.volumes.binary_search(&(number + 1)) {
        Ok(_) => end_by_successor(disk, folder, number),
        // Sealing truncated the file to its end.
        Err(_) => Ok(VolumeEnd::Tail),
    }
}

/// Reads the end of a volume from the header of the next one, which was written when it was sealed.
pub(super) fn end_by_successor(
    disk: &dyn Disk,
    folder: &Path,
    number: u64,
) -> Result<VolumeEnd, StoreError> {
    let next = number + 1;
    let header = read_file(disk, folder, FileKind::Volume, next, VolumeHeader::read)?;
    Ok(VolumeEnd::Known(header.previous_end))
}

fn location_of(path: &Path, located: &LocatedFrame<'_>) -> Result<FrameLocation, StoreError> {
    let too_large = || corrupt(path, located.offset, "the volume is larger than 4 GiB");
    located.location().ok_or_else(too_large)
}

/// Applies the entries and changes of a volume after the snapshot.
fn replay(
    disk: &dyn Disk,
    folder: &Path,
    (number, last): (u64, u64),
    recovered: &mut Recovered,
) -> Result<(), StoreError> {
    let path = file_path(folder, FileKind::Volume, number);
    let file = disk.open(&path, Access::Read).map_err(|error| {
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        if is_missing {
            missing(&path, "the journal has volumes before and after it")
        } else {
            store_error(&path, &error)
        }
    })?;
    let header = VolumeHeader::read(&*file, &path, number)?;
    recovered.id = identity::compare(&path, recovered.id, header.id)?;
    let until = if number == last {
        check_size(&*file, &path, &header)?;
        VolumeEnd::Tail
    } else {
        end_by_successor(disk, folder, number)?
    };
    let state = &mut recovered.state;
    state.last_unix_ms = state.last_unix_ms.max(header.created_unix_ms);
    state.add_volume(number);
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
    let newest = NewestVolume {
        number,
        end: VOLUME_HEADER,
        nonce: header.nonce,
    };
    recovered.tail_batch = Some(replay_tail(
        &*file,
        &path,
        &header,
        newest,
        &mut recovered.state,
    )?);
    Ok(())
}

/// Applies the entries and changes of the journal's last volume. Returns its last batch, which is
/// applied too.
fn replay_tail(
    file: &dyn DiskFile,
    path: &Path,
    header: &VolumeHeader,
    newest: NewestVolume,
    state: &mut StoreState,
) -> Result<TailBatch, StoreError> {
    let number = newest.number;
    let snapshot = Snapshot::default();
    let mut last = TailBatch {
        newest,
        end: newest.end,
        snapshot,
        frames: Vec::new(),
        count: 0,
        frames_crc: 0,
    };
    let end = scan(file, path, header, VolumeEnd::Tail, &mut |batch| {
        // Another batch follows, so the previous one is not the tail.
        apply(state, number, path, &frames_of(&last))?;
        last.newest.end = batch.start;
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
    last.end = end;
    tracing::debug!("{} ends at offset {end}", path.display());
    Ok(last)
}

/// Returns the frames of a batch that has been checked, with their locations in the volume.
fn frames_of(batch: &TailBatch) -> Vec<LocatedFrame<'_>> {
    let mut frames = Vec::new();
    let mut from = 0;
    while from < batch.frames.len() {
        let (_, length, frame) = frame::parse(&batch.frames[from..]).expect("the scan checked it");
        let offset = batch.newest.end + (BATCH_HEADER + from) as u64;
        frames.push(LocatedFrame {
            offset,
            length: u32::try_from(length).expect("a part of a batch"),
            frame,
        });
        from += length;
    }
    frames
}

fn apply(
    state: &mut StoreState,
    volume: u64,
    path: &Path,
    frames: &[LocatedFrame<'_>],
) -> Result<(), StoreError> {
    for located in frames {
        let location = location_of(path, located)?;
        state
            .apply(&located.frame, volume, location)
            .map_err(|why| corrupt(path, located.offset, &why))?;
    }
    Ok(())
}

/// Checks that every readable entry is in one of the volumes.
fn check_complete(folder: &Path, state: &StoreState) -> Result<(), StoreError> {
    let missing = |stream: &Stream| {
        stream
            .missing()
            .map(|location| (stream.meta.name.clone(), location))
    };
    // The first by name, so that the error is the same each time.
    match state.streams().filter_map(missing).min() {
        None => Ok(()),
        Some((name, (lssn, entry))) => Err(StoreError::Corrupt {
            path: folder.display().to_string(),
            detail: format!(
                "entry {entry} of log segment {lssn} of stream {name} is in none of the volumes: \
                 one was removed, or the entry is damaged (dlog store check)"
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
