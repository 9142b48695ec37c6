//! Recovery of a store that is damaged: everything that is intact, and a list of what is not.
//!
//! Used by check, and by repair when the operator has seen what will be lost. Otherwise a damaged
//! store does not open.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::change::Change;
use super::check::Damage;
use super::closed::{self, ClosedMark};
use super::disk::{Access, Disk, DiskFile, read_exact, store_error};
use super::extent::FrameLocation;
use super::frame::{Body, Frame};
use super::identity::{self, IdentityFile};
use super::job::Job;
use super::recovery::{
    Files, Recovered, end_by_successor, end_of, load_sealed, load_volume, read_snapshot,
};
use super::salvage::{Part, salvage};
use super::scan::VolumeEnd;
use super::state::StoreState;
use super::tail_batch::{NewestVolume, TailBatch};
use super::volume::{BATCH_HEADER, BatchHeader, FileKind, VOLUME_HEADER, VolumeHeader, file_path};
use crate::{StoreError, StoreId, StreamName};

/// Bytes that are searched for the first batch of a volume whose header is damaged.
const SEARCHED: usize = 64 << 10;

/// Rebuilds the store's state from what is intact. Adds what is not to `damages`.
///
/// Streams whose creation is lost get names that say so; entries that are lost leave gaps.
///
/// # Errors
///
/// [`StoreError::NewerVersion`], or the disk's error.
pub(super) fn recover(
    disk: &dyn Disk,
    folder: &Path,
    damages: &mut Vec<Damage>,
) -> Result<Recovered, StoreError> {
    let mut rescue = Rescue {
        disk,
        folder,
        damages,
        first_stream: 1,
        deleted: BTreeSet::new(),
    };
    let files = Files::list(disk, folder)?;
    let mut state = rescue.snapshot(&files)?;
    rescue.first_stream = state.next_stream;
    let base = state.snapshot_base;
    let mut jobs = Vec::new();
    for &number in files.volumes.iter().filter(|number| **number < base) {
        jobs.extend(rescue.sealed(&files, number, &mut state)?);
    }
    let mark = closed::read(disk, folder)?;
    let last = files.volumes.last().copied().unwrap_or(0);
    let marked = mark.as_ref().map_or(0, |mark| mark.volume);
    // Not below the snapshot's: what was sealed stays as it is.
    let newest_number = last.max(marked).max(base);
    let mut newest = NewestVolume {
        number: newest_number,
        end: VOLUME_HEADER,
        nonce: 0,
    };
    let mut id = None;
    for volume in base..newest_number {
        if let Some((header, end)) = rescue.replayed(volume, last, &mut state)? {
            id = id.or(header.id);
            jobs.push(Job::Seal {
                volume,
                end,
                snapshot: None,
            });
        }
    }
    if let Some((header, end)) = rescue.replayed(newest_number, last, &mut state)? {
        id = id.or(header.id);
        (newest.end, newest.nonce) = (end, header.nonce);
    }
    if let Some(mark) = mark {
        rescue.closed(&mark, last, &newest)?;
    }
    let named = rescue.identity(id)?;
    id = id.or(named);
    state.end_leases();
    jobs.push(Job::Sweep);
    let tail_batch = TailBatch {
        newest,
        end: newest.end,
        snapshot: state.to_snapshot(newest.number + 1),
        frames: Vec::new(),
        count: 0,
        frames_crc: 0,
    };
    Ok(Recovered {
        state,
        tail_batch: Some(tail_batch),
        jobs,
        id,
        has_identity_file: named.is_some() && named == id,
        has_closed_mark: true,
        healing: Vec::new(),
    })
}

struct Rescue<'a> {
    disk: &'a dyn Disk,
    folder: &'a Path,
    damages: &'a mut Vec<Damage>,
    /// Streams with lower ids that the snapshot does not have were deleted before it.
    first_stream: u64,
    /// Streams that were deleted after the snapshot.
    deleted: BTreeSet<u64>,
}

impl Rescue<'_> {
    fn add(&mut self, path: String, detail: String) {
        self.damages.push(Damage {
            path,
            detail,
            heals: false,
        });
    }

    /// Adds damage as an error describes it.
    ///
    /// # Errors
    ///
    /// Other errors.
    fn note(&mut self, error: StoreError) -> Result<(), StoreError> {
        if let StoreError::Corrupt { path, detail } = error {
            self.add(path, detail);
            return Ok(());
        }
        Err(error)
    }

    /// Compares the journal's end with the one that the store was closed at.
    fn closed(
        &mut self,
        mark: &ClosedMark,
        volume: u64,
        newest: &NewestVolume,
    ) -> Result<(), StoreError> {
        let found = ClosedMark {
            volume,
            nonce: newest.nonce,
            end: newest.end,
        };
        match closed::check_end(self.folder, mark, &found) {
            Ok(()) => Ok(()),
            Err(error) => self.note(error),
        }
    }

    /// Returns the identity that the file names, which should be that of the volumes.
    fn identity(&mut self, of_volumes: Option<StoreId>) -> Result<Option<StoreId>, StoreError> {
        let IdentityFile::Names(named) = identity::read(self.disk, self.folder)? else {
            return Ok(None);
        };
        if of_volumes.is_some_and(|id| id != named) {
            let path = self.folder.join(identity::IDENTITY_FILE);
            let detail = format!("it names the store {named}, the volumes another");
            self.add(path.display().to_string(), detail);
        }
        Ok(Some(named))
    }

    /// Returns the state of the newest snapshot of which a copy is intact, or an empty one.
    fn snapshot(&mut self, files: &Files) -> Result<StoreState, StoreError> {
        for &base in files.snapshots.iter().rev() {
            match read_snapshot(self.disk, self.folder, base) {
                Ok(read) => return Ok(StoreState::from_snapshot(read.snapshot)),
                Err(error) => self.note(error)?,
            }
        }
        let mut state = StoreState::new();
        // All volumes are replayed: what has been compacted away has lost its stream's name.
        state.snapshot_base = files.volumes.first().copied().unwrap_or(1);
        Ok(state)
    }

    /// Loads a volume before the snapshot.
    fn sealed(
        &mut self,
        files: &Files,
        number: u64,
        state: &mut StoreState,
    ) -> Result<Option<Job>, StoreError> {
        let mut healing = Vec::new();
        let loaded = load_sealed(self.disk, self.folder, files, number, state, &mut healing);
        let healing = healing.iter().filter_map(Damage::that_heals);
        self.damages.extend(healing);
        let error = match loaded {
            Ok(job) => return Ok(job),
            Err(error) => error,
        };
        self.note(error)?;
        let path = file_path(self.folder, FileKind::Volume, number);
        let file = self.disk.open(&path, Access::Read);
        let file = file.map_err(|error| store_error(&path, &error))?;
        let header = guess_header(&*file, &path, number)?;
        let until = match end_of(self.disk, self.folder, files, number) {
            Err(StoreError::Corrupt { .. }) => VolumeEnd::Tail,
            until => until?,
        };
        load_volume(self.disk, self.folder, &header, until, state).map(Some)
    }

    /// Applies what is intact in a volume after the snapshot. Returns its header and its end.
    fn replayed(
        &mut self,
        number: u64,
        last: u64,
        state: &mut StoreState,
    ) -> Result<Option<(VolumeHeader, u64)>, StoreError> {
        let path = file_path(self.folder, FileKind::Volume, number);
        let file = match self.disk.open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.add(path.display().to_string(), "the file is missing".to_owned());
                return Ok(None);
            }
            Err(error) => return Err(store_error(&path, &error)),
        };
        let header = match VolumeHeader::read(&*file, &path, number) {
            Ok(header) => header,
            Err(error) => {
                self.note(error)?;
                guess_header(&*file, &path, number)?
            }
        };
        let mut until = VolumeEnd::Tail;
        if number < last {
            match end_by_successor(self.disk, self.folder, number) {
                Ok(end) => until = end,
                // It is reported with the successor.
                Err(StoreError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        state.add_volume(number);
        state.last_unix_ms = state.last_unix_ms.max(header.created_unix_ms);
        let mut found = Vec::new();
        let end = salvage(&*file, &path, &header, until, &mut |part| match part {
            Part::Frame(located) => {
                if let Some(location) = located.location() {
                    self.apply(state, &located.frame, number, location);
                }
            }
            Part::Damage(offset, why, key) => {
                found.push(format!("at offset {offset}: {why}"));
                if let Some(key) = key {
                    state.skip_lost(key, header.created_unix_ms);
                }
            }
        })?;
        for detail in found {
            self.add(path.display().to_string(), detail);
        }
        let size = file.size().map_err(|error| store_error(&path, &error))?;
        if number == last && size < header.reserved_bytes {
            let reserved = header.reserved_bytes;
            let detail =
                format!("at offset {size}: the volume is truncated: it had {reserved} bytes");
            self.add(path.display().to_string(), detail);
        }
        Ok(Some((header, end)))
    }

    /// Applies a frame although frames before it may be lost.
    fn apply(
        &mut self,
        state: &mut StoreState,
        frame: &Frame<'_>,
        volume: u64,
        location: FrameLocation,
    ) {
        match &frame.body {
            Body::Entry { key, .. } => {
                let is_deleted =
                    key.stream < self.first_stream || self.deleted.contains(&key.stream);
                if state.stream(key.stream).is_none() && !is_deleted {
                    let stream = key.stream;
                    let name = StreamName::new(&format!("recovered-{stream}"));
                    let name = name.expect("letters, digits and a hyphen");
                    // Fails if a stream has this name already: then it stays lost.
                    let _ = state.apply_change(&Change::Create { stream, name }, frame.unix_ms);
                }
                state.skip_to(key.stream, key.lssn, key.entry, frame.unix_ms);
            }
            Body::Change(Change::Delete { stream }) => {
                self.deleted.insert(*stream);
            }
            Body::Change(_) | Body::Copy { .. } => {}
        }
        // What cannot follow is older than what was applied, or of a stream that was deleted.
        let _ = state.apply(frame, volume, location);
    }
}

/// Makes up the header of a volume whose own is damaged: its first batch has the nonce.
fn guess_header(file: &dyn DiskFile, path: &Path, number: u64) -> Result<VolumeHeader, StoreError> {
    let mut header = VolumeHeader {
        sector_bytes: 512,
        number,
        nonce: 0,
        previous_end: 0,
        created_unix_ms: 0,
        id: None,
        reserved_bytes: 0,
    };
    let mut bytes = [0; BATCH_HEADER];
    for offset in (VOLUME_HEADER..VOLUME_HEADER + SEARCHED as u64).step_by(512) {
        match read_exact(file, &mut bytes, offset) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(store_error(path, &error)),
        }
        if let Some(batch) = BatchHeader::decode(&bytes) {
            header.nonce = batch.nonce;
            break;
        }
    }
    Ok(header)
}
