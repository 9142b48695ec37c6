//! Room in the journal: volumes that are begun when the present one is full, and the reserve of a
//! full disk.

use core::sync::atomic::Ordering;
use std::io;
use std::path::Path;

use super::super::batch::{Completion, volume_start};
use super::super::closed;
use super::super::disk::{Access, DiskFile, store_error, unfinished};
use super::super::job::Job;
use super::super::request::ChangeOutcome;
use super::super::shared::{VolumeFile, lock};
use super::super::tail_batch::NewestVolume;
use super::super::volume::{
    BATCH_HEADER, CUT_MARK, FileKind, VOLUME_HEADER, VolumeHeader, cut_mark,
};
use super::{ActiveVolume, Committer, offset};
use crate::StoreError;
use crate::log_limit::{Admitted, LogKind};
use tokio::sync::oneshot;

/// Purpose of room in a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoomFor {
    /// An entry of a client, which never uses the reserve.
    Append,
    /// A change of the metadata.
    Change,
    /// A copy that compaction makes.
    Copy,
}

impl RoomFor {
    const fn may_use_reserve(self) -> bool {
        match self {
            Self::Append => false,
            Self::Change | Self::Copy => true,
        }
    }
}

impl Committer {
    /// Returns true if a frame of `length` bytes does not fit into the volume after the batch. The
    /// last 64 KiB (a sixteenth in volumes below 1 MiB) are reserved for changes, so that a stream
    /// can be deleted when the disk has no room for another volume.
    pub(super) fn is_full(&self, length: usize, purpose: RoomFor) -> bool {
        let Some(active) = &self.active else {
            return true;
        };
        let capacity = active.capacity;
        let reserve = match purpose {
            RoomFor::Change => 0,
            RoomFor::Append | RoomFor::Copy => (capacity / 16).min(64 << 10),
        };
        let sector = u64::from(active.sector_bytes);
        let needed = (BATCH_HEADER.max(self.batch.bytes.len()) + length) as u64;
        self.newest.end + needed.next_multiple_of(sector) + reserve > capacity
    }

    /// Makes a frame of `length` bytes fit into the volume: if necessary, writes the batch, and
    /// begins another volume.
    pub(super) fn make_room(&mut self, length: usize, purpose: RoomFor) -> Result<(), StoreError> {
        if purpose == RoomFor::Append {
            self.check_reserve()?;
        }
        if !self.is_full(length, purpose) {
            return Ok(());
        }
        self.write_batch();
        if !self.is_full(length, purpose) {
            return Ok(());
        }
        if let Some(error) = &self.volume_error
            && !(purpose.may_use_reserve() && self.shared.has_reserve())
        {
            return Err(error.clone());
        }
        let begun = if purpose.may_use_reserve() {
            self.begin_volume_with_reserve()
        } else {
            self.begin_volume()
        };
        begun.inspect_err(|error| {
            self.log_no_volume(error);
            self.volume_error = Some(error.clone());
            *lock(&self.shared.write_error) = Some(error.clone());
            self.note_full(error);
        })
    }

    /// Refuses appends while the reserve is in use. Tries to set it aside again, once in a round.
    pub(super) fn check_reserve(&mut self) -> Result<(), StoreError> {
        if !self.shared.is_reserve_in_use() {
            return Ok(());
        }
        if let Some(error) = &self.volume_error {
            return Err(error.clone());
        }
        self.shared.hold_reserve().inspect_err(|error| {
            self.volume_error = Some(error.clone());
            self.note_full(error);
        })
    }

    /// Begins another volume. If the disk is full, uses the reserve.
    pub(super) fn begin_volume_with_reserve(&mut self) -> Result<(), StoreError> {
        match self.begin_volume() {
            Err(StoreError::DiskFull { .. }) if self.shared.release_reserve() => {
                self.begin_volume()
            }
            begun => begun,
        }
    }

    /// Lets the maintenance thread look for space if the error says that the disk is full.
    pub(super) fn note_full(&self, error: &StoreError) {
        if matches!(error, StoreError::DiskFull { .. }) {
            self.shared.is_full.store(true, Ordering::Relaxed);
            self.shared.send_job(Job::Sweep);
        }
    }

    fn log_no_volume(&self, error: &StoreError) {
        if let Some(Admitted { left_out }) = self.shared.log_limits.admit(LogKind::NoVolume) {
            tracing::warn!(left_out, "no new volume: {error}");
        }
    }

    /// Tries whether an append would be written after a failure, without the reserve.
    pub(super) fn probe(&mut self, reply: oneshot::Sender<Result<ChangeOutcome, StoreError>>) {
        self.write_batch();
        let probed = if self.shared.is_writable() {
            // A write has succeeded meanwhile.
            Ok(())
        } else {
            self.check_reserve().and_then(|()| self.begin_volume())
        };
        *lock(&self.shared.write_error) = probed.clone().err();
        let completion = Completion::Change(reply, probed.map(|()| ChangeOutcome::Done));
        self.batch.completions.push(completion);
    }

    /// Begins another volume, with the reserve if necessary.
    pub(super) fn roll(&mut self) {
        self.write_batch();
        if let Err(error) = self.begin_volume_with_reserve() {
            self.log_no_volume(&error);
        }
    }

    /// Begins the first volume of this process. If the disk is full, uses the reserve, and the
    /// space that the previous process reserved for its last volume and did not use.
    pub(super) fn begin_first_volume(&mut self) -> Result<(), StoreError> {
        let begun = self.begin_volume_with_reserve();
        let (Err(StoreError::DiskFull { .. }), Some(tail_batch)) = (&begun, &self.tail_batch)
        else {
            return begun;
        };
        let path = self.shared.path(FileKind::Volume, tail_batch.newest.number);
        let (nonce, end) = (tail_batch.newest.nonce, tail_batch.end);
        let cut = self
            .shared
            .disk
            .open(&path, Access::Write)
            .and_then(|file| cut_behind(&*file, nonce, end));
        match cut {
            Ok(()) => self.begin_volume(),
            Err(_) => begun,
        }
    }

    /// Begins the next volume: writes its header, gives it its name, and hands the previous volume
    /// to the maintenance thread.
    ///
    /// The order makes it safe to stop anywhere: the header is synced before the file gets its
    /// name, and nothing is written to the previous volume after that, because the header states
    /// where it ends.
    pub(super) fn begin_volume(&mut self) -> Result<(), StoreError> {
        let number = self.newest.number + 1;
        let path = self.shared.path(FileKind::Volume, number);
        let shared = self.shared.clone();
        // The file must not replace one of another process.
        shared.check_lock()?;
        let mut spare = lock(&shared.spare);
        let VolumeFile {
            file,
            capacity,
            reserved_bytes,
        } = match spare.file.take() {
            Some(file) => file,
            None => shared.create_volume_file(number)?,
        };
        let header = self.next_header(reserved_bytes);
        let (bytes, sequence) = volume_start(&header, self.tail_batch.as_ref(), self.last_unix_ms);
        let end = bytes.len() as u64;
        self.write_start(&path, &*file, &bytes)?;
        spare.newest = number;
        drop(spare);
        shared.is_identified.store(true, Ordering::Relaxed);
        if core::mem::take(&mut self.has_closed_mark) {
            closed::remove(&*shared.disk, &shared.settings.folder);
        }

        let mut state = shared.state_mut();
        state.add_volume(number);
        // The tail batch is in this volume, and so is all that is written from now on.
        state.is_settled = true;
        state.newest_end = end;
        let sealed = self.newest;
        let snapshot = match self.tail_batch.take() {
            Some(tail_batch) => {
                let (from, to) = (offset(sealed.end), offset(VOLUME_HEADER));
                state.relocate((sealed.number, from), (number, to));
                tail_batch.snapshot
            }
            None => state.to_snapshot(number),
        };
        drop(state);
        shared
            .space
            .send_if_modified(|space| core::mem::take(&mut space.tail_in_doubt));
        if sealed.number > 0 {
            shared.send_job(Job::Seal {
                volume: sealed.number,
                end: sealed.end,
                snapshot: Some(snapshot),
            });
        }
        self.active = Some(ActiveVolume {
            file,
            next_sequence: sequence,
            sector_bytes: header.sector_bytes,
            capacity,
            zeroed: end,
        });
        self.newest = NewestVolume {
            number,
            end,
            nonce: header.nonce,
        };
        Ok(())
    }

    /// Returns the header of the next volume.
    fn next_header(&self, reserved_bytes: u64) -> VolumeHeader {
        let number = self.newest.number + 1;
        VolumeHeader {
            sector_bytes: self.shared.settings.sector_bytes,
            number,
            // Depends on all volumes before it, on the time and on the number, so that volumes
            // whose files reuse the same blocks of the disk have different nonces.
            nonce: mix(self.newest.nonce ^ mix(self.last_unix_ms) ^ number),
            previous_end: self.newest.end,
            created_unix_ms: self.last_unix_ms,
            id: Some(self.shared.id),
            reserved_bytes,
        }
    }

    /// Makes the first bytes of a volume durable, then its name.
    fn write_start(
        &mut self,
        path: &Path,
        file: &dyn DiskFile,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let shared = &self.shared;
        let folder = &shared.settings.folder;
        let written = file.write_at(bytes, 0).and_then(|()| file.sync_data());
        written.map_err(|error| store_error(path, &error))?;
        // From here on the next volume may exist, with a header that states where this one ends:
        // nothing may be written behind that.
        self.active = None;
        let named = shared
            .disk
            .rename(&unfinished(path), path)
            .and_then(|()| shared.disk.sync_folder(folder));
        named.map_err(|error| store_error(path, &error))
    }
}

/// Frees the reserved space behind the last batch of a volume, which ends at `end`. The mark of
/// that is durable first.
///
/// # Errors
///
/// The system's.
fn cut_behind(file: &dyn DiskFile, nonce: u64, end: u64) -> io::Result<()> {
    let cut = end + CUT_MARK as u64;
    if file.size()? <= cut {
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.write_at(&cut_mark(nonce, end), end)?;
    file.sync_data()?;
    file.set_size(cut)
}

/// Mixes the bits of a number (SplitMix64's finalizer).
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
