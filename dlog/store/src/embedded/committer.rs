//! Turns requests into batches: one write and one sync for all that arrived while the sync before
//! ran.

use std::sync::Arc;

use distributedlog::Dlsn;
use tokio::sync::oneshot;

use super::batch::{Answer, Batch, Effect, first_bytes};
use super::change::Change;
use super::disk::{DiskFile, store_error, unfinished};
use super::frame::{self, FRAME_HEADER};
use super::job::Job;
use super::request::{ChangeRequest, Changed, Request};
use super::shared::{Shared, lock};
use super::staging::{SegmentLimits, Staging};
use super::stream::{NewEntry, Place, position};
use super::tail_batch::{Carried, Latest};
use super::volume::{BATCH_HEADER, FileKind, VOLUME_HEADER, VolumeHeader};
use crate::{AppendDone, Entry, Lease, StoreError};

/// Small batches are written with so many zeros behind them, once for all of this region:
/// overwriting blocks that have been written before spares the filesystem a change of its own
/// metadata in each sync (a third of the time of a sync on ext4).
const ZEROED_AHEAD: u64 = 256 << 10;
/// Batches of this size and more pay for the filesystem's metadata by themselves.
const LARGE_BATCH: usize = 64 << 10;

/// The one that writes the journal. It holds the only sequence of batches; there is one for each
/// folder.
pub(super) struct Committer {
    shared: Arc<Shared>,
    staging: Staging,
    /// The volume that is written. `None` after a failure that leaves its tail in doubt, until the
    /// next one is there.
    active: Option<Active>,
    /// The newest volume: its number, where it ends, its nonce.
    latest: Latest,
    /// What the process before left to be taken over by the next volume.
    carried: Option<Carried>,
    batch: Batch,
    last_unix_ms: u64,
    /// Payload bytes of the appends that are in the batch or were refused, to be taken off the
    /// queue's.
    taken_bytes: usize,
    /// Why the next volume could not be made, for the rest of the requests that were taken
    /// together.
    no_room: Option<StoreError>,
    closing: bool,
}

/// The volume that is written. Everything before its end is durable.
pub(super) struct Active {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) next_sequence: u64,
    pub(super) sector_bytes: u32,
    /// Up to here blocks have been written, with zeros at least.
    pub(super) zeroed: u64,
}

impl Committer {
    /// A committer that goes on behind what recovery found.
    ///
    /// # Errors
    /// Why the next volume cannot be made, unless the disk is full or read-only: then what is there
    /// can be read.
    pub(super) fn new(shared: Arc<Shared>, carried: Option<Carried>) -> Result<Self, StoreError> {
        let mut committer = Self {
            latest: carried.as_ref().map_or(
                Latest {
                    number: 0,
                    end: 0,
                    nonce: 0,
                },
                |carried| carried.latest,
            ),
            shared,
            staging: Staging::default(),
            active: None,
            carried,
            batch: Batch::default(),
            last_unix_ms: 0,
            taken_bytes: 0,
            no_room: None,
            closing: false,
        };
        committer.last_unix_ms = (committer.shared.unix_ms)();
        match committer.begin_volume() {
            Err(StoreError::DiskFull { path } | StoreError::ReadOnly { path })
                if committer.latest.number > 0 =>
            {
                tracing::warn!("{path} cannot be written: there is only reading for now");
            }
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        Ok(committer)
    }

    /// Serves requests until the store is closed.
    pub(super) fn run(mut self) {
        let _ending = Ending(self.shared.clone());
        let mut taken = Vec::new();
        while !self.closing {
            self.shared.wait_for_requests(&mut taken);
            self.commit(&mut taken);
        }
    }

    /// Serves what waits. Says whether anything did.
    pub(super) fn step(&mut self) -> bool {
        let mut taken = Vec::new();
        self.shared.take_requests(&mut taken);
        let any = !taken.is_empty();
        self.commit(&mut taken);
        any
    }

    fn commit(&mut self, requests: &mut Vec<Request>) {
        self.no_room = None;
        // A clock that goes backwards must not make entries older than those before them.
        self.last_unix_ms = self.last_unix_ms.max((self.shared.unix_ms)());
        for request in requests.drain(..) {
            match request {
                Request::Append {
                    lease,
                    entry,
                    size,
                    done,
                } => self.stage_append(&lease, &entry, size, done),
                Request::Change { change, answer } => self.stage_change(change, answer),
                Request::Close => self.closing = true,
            }
            if self.batch.bytes.len() >= self.shared.settings.max_batch_bytes {
                self.write_batch();
            }
        }
        self.write_batch();
        if self.closing {
            // Behind the last batch and by itself: it shows that the last batch was synced.
            if !self.is_full(FRAME_HEADER + 64, true) {
                self.put_change(Change::End, self.last_unix_ms);
                self.write_batch();
            }
            // The keeper has the last word: the folder is given up when it does not write any more
            // either.
            self.shared.send_job(Job::Stop);
        }
    }

    fn stage_append(&mut self, lease: &Lease, entry: &Entry, size: usize, done: AppendDone) {
        self.taken_bytes += size;
        let result = self
            .make_room(FRAME_HEADER + size, false)
            .and_then(|()| self.put_entry(lease, entry));
        self.batch.answers.push(Answer::Append(done, result));
    }

    fn put_entry(&mut self, lease: &Lease, entry: &Entry) -> Result<Dlsn, StoreError> {
        let settings = &self.shared.settings;
        let limits = SegmentLimits {
            bytes: settings.segment_bytes,
            age: settings.segment_age,
        };
        let unix_ms = self.last_unix_ms;
        let payload_bytes = entry
            .records
            .iter()
            .map(|record| record.payload.len() as u64)
            .sum();
        let key =
            self.staging
                .append(&self.shared.state(), lease, payload_bytes, unix_ms, limits)?;
        let at = self.batch.begin_frame();
        let crc = frame::put_entry(&mut self.batch.bytes, key, unix_ms, entry);
        let length = self.batch.end_frame(at, crc);
        let offset = offset(self.latest.end + at as u64);
        let new = NewEntry {
            lssn: key.lssn,
            entry: key.entry,
            unix_ms,
            slots: frame::entry_slots(entry),
            payload_bytes,
            volume: self.latest.number,
            place: Place { offset, length },
        };
        self.batch.effects.push(Effect::Entry(key.stream, new));
        Ok(position(key.lssn, key.entry, 0))
    }

    fn stage_change(
        &mut self,
        change: ChangeRequest,
        answer: oneshot::Sender<Result<Changed, StoreError>>,
    ) {
        let result = self
            .make_room(FRAME_HEADER + change.size(), true)
            .and_then(|()| self.decide(change));
        self.batch.answers.push(Answer::Change(answer, result));
    }

    fn decide(&mut self, request: ChangeRequest) -> Result<Changed, StoreError> {
        let shared = self.shared.clone();
        let state = shared.state();
        let mut changed = Changed::Done;
        let change = match request {
            ChangeRequest::Create(name) => {
                Some(self.staging.create(&state, &name, self.last_unix_ms)?)
            }
            ChangeRequest::Delete(name) => {
                let (change, created_unix_ms) = self.staging.delete(&state, &name)?;
                // Readers tell streams of one name by when they were created: the next one must not
                // be of the same millisecond.
                self.last_unix_ms += u64::from(created_unix_ms == self.last_unix_ms);
                Some(change)
            }
            ChangeRequest::Truncate(name, before) => {
                self.staging.truncate(&state, &name, before)?
            }
            ChangeRequest::Release(lease) => self.staging.release(&state, &lease),
            ChangeRequest::Acquire(name, owner) => {
                let (acquired, change) = self.staging.acquire(&state, &name, &owner)?;
                changed = Changed::Acquired(acquired);
                change
            }
        };
        drop(state);
        if let Some(change) = change {
            self.put_change(change, self.last_unix_ms);
        }
        Ok(changed)
    }

    fn put_change(&mut self, change: Change, unix_ms: u64) {
        let at = self.batch.begin_frame();
        let crc = frame::put_change(&mut self.batch.bytes, unix_ms, &change);
        self.batch.end_frame(at, crc);
        self.batch.effects.push(Effect::Change(change, unix_ms));
    }

    /// Whether a frame of `length` bytes does not fit into the volume behind the batch. The last 64
    /// KiB (a sixteenth of small volumes) are for changes: a stream can be deleted when there
    /// is no room for another volume.
    fn is_full(&self, length: usize, is_change: bool) -> bool {
        let capacity = u64::from(self.shared.settings.volume_bytes);
        let reserve = if is_change {
            0
        } else {
            (capacity / 16).min(64 << 10)
        };
        let sector = self
            .active
            .as_ref()
            .map_or(512, |active| u64::from(active.sector_bytes));
        let needed = (BATCH_HEADER.max(self.batch.bytes.len()) + length) as u64;
        self.active.is_none()
            || self.latest.end + needed.next_multiple_of(sector) + reserve > capacity
    }

    /// Sees to it that a frame of `length` bytes fits into the volume: writes the batch, and begins
    /// another volume, if need be.
    fn make_room(&mut self, length: usize, is_change: bool) -> Result<(), StoreError> {
        if !self.is_full(length, is_change) {
            return Ok(());
        }
        self.write_batch();
        if !self.is_full(length, is_change) {
            return Ok(());
        }
        if let Some(error) = &self.no_room {
            return Err(error.clone());
        }
        self.begin_volume().inspect_err(|error| {
            tracing::warn!("no new volume: {error}");
            self.no_room = Some(error.clone());
        })
    }

    /// Writes and syncs the batch, makes its effects visible and answers.
    fn write_batch(&mut self) {
        let failed = if self.batch.frames == 0 {
            None
        } else {
            self.write_and_sync().err()
        };
        if let Some(error) = &failed {
            tracing::error!("a batch of {} entries failed: {error}", self.batch.frames);
            self.staging.clear();
        } else if self.batch.frames > 0 {
            self.apply();
        }
        self.shared.queue().bytes -= core::mem::take(&mut self.taken_bytes);
        for answer in self.batch.answers.drain(..) {
            answer.send(failed.as_ref());
        }
        self.batch.clear();
    }

    fn write_and_sync(&mut self) -> Result<(), StoreError> {
        let path = self.shared.path(FileKind::Volume, self.latest.number);
        let active = self
            .active
            .as_mut()
            .expect("frames are put only where there is room");
        let length = self.batch.bytes.len();
        self.batch.finish(self.latest.nonce, active.next_sequence);
        let padded = length.next_multiple_of(active.sector_bytes as usize);
        self.batch.bytes.resize(padded, 0);
        let start = self.latest.end;
        let end = start + padded as u64;
        let ahead = (end + ZEROED_AHEAD).min(u64::from(self.shared.settings.volume_bytes));
        let zeroed = if end > active.zeroed && padded < LARGE_BATCH && ahead > end {
            self.batch.bytes.resize(
                padded + usize::try_from(ahead - end).expect("at most a volume"),
                0,
            );
            ahead
        } else {
            end.max(active.zeroed)
        };
        let mut written = active.file.write_at(&self.batch.bytes, start);
        if written.is_err() && self.batch.bytes.len() > padded {
            // The zeros may be what did not fit.
            written = active.file.write_at(&self.batch.bytes[..padded], start);
        }
        if let Err(error) = written {
            let error = store_error(&path, &error);
            // Without space or permission nothing was synced, and the next batch is written over
            // whatever this one left. Of a disk that fails otherwise nothing is known.
            if !matches!(
                error,
                StoreError::DiskFull { .. } | StoreError::ReadOnly { .. }
            ) {
                self.active = None;
            }
            return Err(error);
        }
        let synced = || active.file.sync_data();
        #[cfg(seeded_bugs)]
        let synced = || {
            if distributedlog::seeded_bugs::is_on(distributedlog::seeded_bugs::Bug::AckBeforeSync) {
                Ok(())
            } else {
                synced()
            }
        };
        if let Err(error) = synced() {
            // The system may have dropped what it could not write and call it clean: no later sync
            // would tell. What is behind `end` is never trusted; the next volume's
            // header says where this one ends.
            self.active = None;
            return Err(StoreError::Io {
                path: path.display().to_string(),
                detail: format!("sync failed: {error}"),
            });
        }
        active.zeroed = zeroed;
        active.next_sequence += 1;
        self.latest.end = end;
        Ok(())
    }

    fn apply(&mut self) {
        let mut sweep = false;
        let mut state = self.shared.state_mut();
        for effect in self.batch.effects.drain(..) {
            let applied = match effect {
                Effect::Entry(stream, new) => state.apply_entry(stream, &new),
                Effect::Change(change, unix_ms) => {
                    sweep |= matches!(change, Change::Delete { .. } | Change::Truncate { .. });
                    state.apply_change(&change, unix_ms)
                }
            };
            applied.expect("the staging gave it its place");
        }
        drop(state);
        self.staging.settle();
        if sweep {
            self.shared.send_job(Job::Sweep);
        }
        let half = u64::from(self.shared.settings.volume_bytes / 2);
        if self.latest.end > half && lock(&self.shared.spare).file.is_none() {
            self.shared.send_job(Job::Spare(self.latest.number + 1));
        }
    }

    /// Makes the next volume the one that is written.
    fn begin_volume(&mut self) -> Result<(), StoreError> {
        let number = self.latest.number + 1;
        let path = self.shared.path(FileKind::Volume, number);
        let shared = self.shared.clone();
        let mut spare = lock(&shared.spare);
        let file = match spare.file.take() {
            Some(file) => file,
            None => shared.create_volume_file(number)?,
        };
        let header = VolumeHeader {
            sector_bytes: shared.settings.sector_bytes,
            number,
            nonce: mix(self.latest.nonce ^ mix(self.last_unix_ms) ^ number),
            previous_end: self.latest.end,
            created_unix_ms: self.last_unix_ms,
        };
        let (bytes, sequence) = first_bytes(&header, self.carried.as_ref(), self.last_unix_ms);
        let written = file.write_at(&bytes, 0).and_then(|()| file.sync_data());
        written.map_err(|error| store_error(&path, &error))?;
        // From here on the next volume may exist with a header that says where this one ends:
        // nothing may be written behind that.
        self.active = None;
        let folder = &shared.settings.folder;
        let named = shared
            .disk
            .rename(&unfinished(&path), &path)
            .and_then(|()| shared.disk.sync_folder(folder));
        named.map_err(|error| store_error(&path, &error))?;
        spare.latest = number;
        drop(spare);

        let mut state = shared.state_mut();
        state.add_volume(number);
        let sealed = self.latest;
        let snapshot = match self.carried.take() {
            Some(carried) => {
                let (from, to) = (offset(sealed.end), offset(VOLUME_HEADER));
                state.relocate(sealed.number, from, number, to);
                carried.snapshot
            }
            None => state.to_snapshot(number),
        };
        drop(state);
        if sealed.number > 0 {
            shared.send_job(Job::Seal {
                volume: sealed.number,
                end: sealed.end,
                snapshot: Some(snapshot),
            });
        }
        let end = bytes.len() as u64;
        self.active = Some(Active {
            file,
            next_sequence: sequence,
            sector_bytes: header.sector_bytes,
            zeroed: end,
        });
        self.latest = Latest {
            number,
            end,
            nonce: header.nonce,
        };
        Ok(())
    }
}

fn offset(offset: u64) -> u32 {
    u32::try_from(offset).expect("volumes are below 4 GiB")
}

/// Sees to it that nobody waits for a committer that a bug ended.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut queue = self.0.queue();
        queue.closed = true;
        let left = core::mem::take(&mut queue.requests);
        drop(queue);
        for request in left {
            if let Request::Append { done, .. } = request {
                done(Err(StoreError::Closed));
            }
        }
        self.0.send_job(Job::Stop);
    }
}

/// Mixes the bits of a number (SplitMix64's finisher).
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
