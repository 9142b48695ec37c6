//! Group commit: turns requests into batches, with one write and one sync for everything that
//! arrived during the previous sync.

mod room;
mod turns;

use std::io;
use std::sync::Arc;

use distributedlog::Dlsn;
use tokio::sync::oneshot;

use self::room::RoomFor;
pub(super) use self::turns::{commit_until_closed, flush, may_wait_here};
use super::batch::{Batch, Completion, Effect};
use super::change::Change;
use super::closed::{self, ClosedMark};
use super::disk::{DiskFile, store_error};
use super::extent::FrameLocation;
use super::frame::{self, EntryKey, FRAME_HEADER};
use super::job::Job;
use super::request::{AppendCaller, ChangeOutcome, ChangeRequest, CommitRequest, EntryCopy};
use super::shared::{Shared, lock};
use super::staging::{CreationLimits, CreationRate, SegmentLimits, Staging};
use super::stream::{NewEntry, position};
use super::tail_batch::{NewestVolume, TailBatch};
use super::volume::{BATCH_HEADER, FileKind};
use crate::log_limit::{Admitted, LogKind};
use crate::{Entry, Lease, StoreError, wakes};

/// A small batch that reaches blocks not written before is written with zeros up to this many bytes
/// behind it. Later batches then overwrite written blocks, which saves the file system a change of
/// its own metadata in each sync (a third of the time of a sync on ext4). At 512 bytes a batch, the
/// zeros are written once in 512 batches.
const ZEROED_AHEAD: u64 = 256 << 10;
/// Batches of this size and more are written without zeros: their own write outweighs the file
/// system's change of metadata.
const LARGE_BATCH: usize = 64 << 10;

/// Writes the journal. There is one for each folder, so batches have one order.
///
/// Invariant: everything before `newest.end` is durable, and nothing behind it has been
/// acknowledged.
pub(super) struct Committer {
    shared: Arc<Shared>,
    staging: Staging,
    /// The volume that is written. `None` after a failure that leaves its tail in doubt, until the
    /// next volume exists.
    active: Option<ActiveVolume>,
    /// The newest volume: its number, its end, its nonce.
    newest: NewestVolume,
    /// The previous process's last batch, until the next volume has a copy of it.
    tail_batch: Option<TailBatch>,
    /// True while the mark of the previous process's orderly closing is there.
    has_closed_mark: bool,
    batch: Batch,
    last_unix_ms: u64,
    /// Bytes of the appends that are in the batch or failed, to be subtracted from the queue's.
    taken_bytes: usize,
    /// The requests of this turn.
    pub(super) requests: Vec<CommitRequest>,
    /// Error of the last attempt to begin a volume. It fails the remaining requests of this round
    /// without another attempt.
    volume_error: Option<StoreError>,
    closing: bool,
    creation_rate: CreationRate,
}

/// The volume that is written.
pub(super) struct ActiveVolume {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) next_sequence: u64,
    pub(super) sector_bytes: u32,
    /// Size up to which the volume may grow.
    pub(super) capacity: u64,
    /// Blocks up to this offset have been written, if only with zeros.
    pub(super) zeroed: u64,
}

impl ActiveVolume {
    /// Makes sure that no recovery finds a batch at `start` whose write failed. `header` is the
    /// batch's.
    ///
    /// # Errors
    ///
    /// The system's: the batch may be found.
    fn withdraw(&self, header: &[u8], start: u64) -> io::Result<()> {
        let mut found = vec![0; header.len()];
        let length = self.file.read_at(&mut found, start)?;
        // Without its header a batch is none. With it a small one may be whole, though its padding
        // did not fit.
        if found[..length] != *header {
            return Ok(());
        }
        self.file.write_at(&vec![0; header.len()], start)?;
        self.file.sync_data()
    }
}

impl Committer {
    /// Creates a committer that continues after what recovery found, and begins a new volume.
    ///
    /// # Errors
    /// The next volume cannot be created. A full or read-only disk is an error only for a new
    /// store: an existing one is opened for reading, and each append tries again.
    pub(super) fn new(
        shared: Arc<Shared>,
        tail_batch: Option<TailBatch>,
        has_closed_mark: bool,
    ) -> Result<Self, StoreError> {
        let mut committer = Self {
            newest: tail_batch.as_ref().map_or(
                NewestVolume {
                    number: 0,
                    end: 0,
                    nonce: 0,
                },
                |tail_batch| tail_batch.newest,
            ),
            shared,
            staging: Staging::default(),
            active: None,
            tail_batch,
            has_closed_mark,
            batch: Batch::default(),
            last_unix_ms: 0,
            taken_bytes: 0,
            requests: Vec::new(),
            volume_error: None,
            closing: false,
            creation_rate: CreationRate::default(),
        };
        // Not before what the previous process wrote, even if the clock was set back since: times
        // of entries do not decrease, and a stream that gets a deleted one's name has another time
        // of creation.
        let recovered_unix_ms = committer.shared.state().last_unix_ms;
        committer.last_unix_ms = recovered_unix_ms.max((committer.shared.unix_ms)());
        match committer.begin_first_volume() {
            Err(error @ (StoreError::DiskFull { .. } | StoreError::ReadOnly { .. }))
                if committer.newest.number > 0 =>
            {
                committer.note_full(&error);
                *lock(&committer.shared.write_error) = Some(error.clone());
                let space = &committer.shared.space;
                space.send_modify(|space| space.tail_in_doubt = true);
                if committer.shared.read_only.is_none() {
                    tracing::warn!("{error}; appends fail, reads work");
                }
            }
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        Ok(committer)
    }

    /// Serves all queued requests. Returns true if there were any.
    pub(super) fn step(&mut self) -> bool {
        self.shared.queue.take_all(&mut self.requests);
        let any = !self.requests.is_empty();
        self.commit();
        any
    }

    /// Serves the requests of this turn.
    fn commit(&mut self) {
        self.volume_error = None;
        // Entries' times must not decrease even if the clock goes backwards.
        self.last_unix_ms = self.last_unix_ms.max((self.shared.unix_ms)());
        let mut requests = core::mem::take(&mut self.requests);
        for request in requests.drain(..) {
            match request {
                CommitRequest::Append {
                    lease,
                    entry,
                    size,
                    done,
                } => self.stage_append(&lease, &entry, size, done),
                CommitRequest::Change { change, reply } => self.stage_change(change, reply),
                CommitRequest::Copy(copies) => self.stage_copies(&copies),
                CommitRequest::Bury { keys, reply } => self.stage_lost(&keys, reply),
                CommitRequest::Probe(reply) => self.probe(reply),
                CommitRequest::Roll => self.roll(),
                CommitRequest::Close => self.closing = true,
            }
            // A bound on a sync's latency: without it one round could grow to the whole queue.
            if self.batch.bytes.len() >= self.shared.settings.max_batch_bytes() {
                self.write_batch();
            }
        }
        // For the memory.
        self.requests = requests;
        self.write_batch();
        if self.closing {
            // In a batch of its own after the last one: its presence proves that the last one was
            // synced, so that recovery can distinguish damage to it from a torn write.
            if !self.is_full(FRAME_HEADER + 64, RoomFor::Change) {
                self.put_change(Change::End, self.last_unix_ms);
                self.write_batch();
            }
            self.mark_closed();
            // The maintenance thread releases the folder, after its own last write.
            self.shared.send_job(Job::Stop);
        }
    }

    /// States where the journal ends, if everything before that is durable.
    fn mark_closed(&self) {
        let shared = &self.shared;
        if self.active.is_none() || shared.check_lock().is_err() {
            return;
        }
        let mark = ClosedMark {
            volume: self.newest.number,
            nonce: self.newest.nonce,
            end: self.newest.end,
        };
        if let Err(error) = closed::write(&*shared.disk, &shared.settings.folder, &mark) {
            // The next process opens the store as one that was not closed.
            tracing::debug!("the store is closed without a mark: {error}");
        }
    }

    fn stage_append(&mut self, lease: &Lease, entry: &Entry, size: usize, mut done: AppendCaller) {
        self.taken_bytes += size;
        let result = self
            .make_room(FRAME_HEADER + size, RoomFor::Append)
            .map_err(StoreError::before_writing)
            .and_then(|()| self.put_entry(lease, entry));
        done.staged = true;
        self.batch
            .completions
            .push(Completion::Append(done, result));
    }

    fn put_entry(&mut self, lease: &Lease, entry: &Entry) -> Result<Dlsn, StoreError> {
        let settings = &self.shared.settings;
        let limits = SegmentLimits {
            bytes: settings.segment_bytes,
            age: settings.segment_age,
            retention: settings.retention(),
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
        let location = self.put_frame(|out| frame::put_entry(out, key, unix_ms, entry));
        let new = NewEntry {
            lssn: key.lssn,
            entry: key.entry,
            unix_ms,
            slots: frame::entry_slots(entry),
            payload_bytes,
            volume: self.newest.number,
            location,
        };
        self.batch.effects.push(Effect::Entry(key.stream, new));
        Ok(position(key.lssn, key.entry, 0))
    }

    fn stage_change(
        &mut self,
        change: ChangeRequest,
        reply: oneshot::Sender<Result<ChangeOutcome, StoreError>>,
    ) {
        let result = self
            .make_room(FRAME_HEADER + change.size(), RoomFor::Change)
            .map_err(StoreError::before_writing)
            .and_then(|()| self.stage_metadata(change));
        self.batch
            .completions
            .push(Completion::Change(reply, result));
    }

    /// Stages a change and puts its frame into the batch. The frame's size is bounded by
    /// [`ChangeRequest::size`], for which the caller made room.
    fn stage_metadata(&mut self, request: ChangeRequest) -> Result<ChangeOutcome, StoreError> {
        let shared = self.shared.clone();
        let state = shared.state();
        let mut changed = ChangeOutcome::Done;
        let change = match request {
            ChangeRequest::Create(name) => {
                let settings = &shared.settings;
                let limits = CreationLimits {
                    streams: settings.max_streams,
                    per_second: settings.max_creations_per_second,
                };
                let (now, rate) = (self.last_unix_ms, &mut self.creation_rate);
                Some(self.staging.create(&state, &name, now, limits, rate)?)
            }
            ChangeRequest::Delete(name) => {
                let (change, created_unix_ms) = self.staging.delete(&state, &name)?;
                // Readers distinguish streams of the same name by their time of creation, in
                // milliseconds. The next one must not have the same.
                self.last_unix_ms += u64::from(created_unix_ms == self.last_unix_ms);
                Some(change)
            }
            ChangeRequest::Truncate(name, before) => {
                self.staging.truncate(&state, &name, before)?
            }
            ChangeRequest::Retain(name, retention) => {
                Some(self.staging.retain(&state, name.as_ref(), retention)?)
            }
            ChangeRequest::Expire {
                name,
                id,
                before,
                segments,
            } => {
                let change = self.staging.expire(&state, &name, id, before)?;
                if change.is_some() {
                    self.batch.effects.push(Effect::Expired(segments));
                }
                change
            }
            ChangeRequest::Release(lease) => self.staging.release(&state, &lease),
            ChangeRequest::Acquire(name, owner) => {
                let (acquired, change) = self.staging.acquire(&state, &name, &owner)?;
                changed = ChangeOutcome::Acquired(acquired);
                change
            }
        };
        drop(state);
        if let Some(change) = change {
            self.put_change(change, self.last_unix_ms);
        }
        Ok(changed)
    }

    /// Appends a frame to the batch. `put` writes it and returns its checksum.
    fn put_frame(&mut self, put: impl FnOnce(&mut Vec<u8>) -> u32) -> FrameLocation {
        let at = self.batch.begin_frame();
        let crc = put(&mut self.batch.bytes);
        let length = self.batch.end_frame(at, crc);
        let offset = offset(self.newest.end + at as u64);
        FrameLocation { offset, length }
    }

    fn put_change(&mut self, change: Change, unix_ms: u64) {
        self.put_frame(|out| frame::put_change(out, unix_ms, &change));
        self.batch.effects.push(Effect::Change(change, unix_ms));
        self.batch.uses_reserve = true;
    }

    /// Puts copies of entries into the batch, except those that are not where they were any more.
    fn stage_copies(&mut self, copies: &[EntryCopy]) {
        let mut copied = Ok(0);
        for copy in copies {
            let frame = &copy.frame;
            if let Err(error) = self.make_room(frame.len(), RoomFor::Copy) {
                copied = Err(error);
                break;
            }
            if !self.shared.state().is_in_volume(copy.key, copy.volume) {
                continue;
            }
            let location = self.put_frame(|out| frame::put_copy(out, frame));
            let volume = self.newest.number;
            #[cfg(seeded_bugs)]
            if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::CopyIsReadTooEarly) {
                let mut state = self.shared.state_mut();
                state.apply_copy(copy.key, volume, location);
            }
            self.batch
                .effects
                .push(Effect::Copy(copy.key, volume, location));
            self.batch.uses_reserve = true;
            copied = copied.map(|bytes| bytes + u64::from(location.length));
        }
        let copied = Completion::Copy(self.shared.jobs(), copied);
        self.batch.completions.push(copied);
    }

    /// Puts entries without records into the batch, in the place of those that are lost.
    fn stage_lost(
        &mut self,
        keys: &[EntryKey],
        reply: oneshot::Sender<Result<ChangeOutcome, StoreError>>,
    ) {
        let mut result = Ok(ChangeOutcome::Done);
        for key in keys {
            if let Err(error) = self.make_room(FRAME_HEADER, RoomFor::Copy) {
                result = Err(error);
                break;
            }
            let unix_ms = self.last_unix_ms;
            let location = self.put_frame(|out| frame::put_lost(out, *key, unix_ms));
            let effect = Effect::Copy(*key, self.newest.number, location);
            self.batch.effects.push(effect);
            self.batch.uses_reserve = true;
        }
        let completion = Completion::Change(reply, result);
        self.batch.completions.push(completion);
    }

    /// Writes and syncs the batch, applies its effects to the state and completes its callers, in
    /// this order: nothing is acknowledged before it is durable and readable.
    fn write_batch(&mut self) {
        let failed = if self.batch.frames == 0 {
            None
        } else {
            self.write_and_sync().err()
        };
        if self.batch.frames > 0 {
            *lock(&self.shared.write_error) = failed.clone();
        }
        if let Some(error) = &failed {
            self.shared.metrics.failed_batches.inc();
            if let Some(Admitted { left_out }) = self.shared.log_limits.admit(LogKind::BatchFailed)
            {
                let frames = self.batch.frames;
                tracing::error!(left_out, "a batch of {frames} entries failed: {error}");
            }
            self.staging.clear();
        } else if self.batch.frames > 0 {
            self.apply();
        }
        // Before the callers are completed, so that each finds room in the queue for its next
        // append.
        let taken = core::mem::take(&mut self.taken_bytes);
        self.shared.queue.subtract(taken);
        let completions = self.batch.completions.drain(..);
        wakes::together(|| completions.for_each(|caller| caller.send(failed.as_ref())));
        self.batch.clear();
    }

    fn write_and_sync(&mut self) -> Result<(), StoreError> {
        let path = self.shared.path(FileKind::Volume, self.newest.number);
        let active = self
            .active
            .as_mut()
            .expect("frames are put only where there is room");
        let length = self.batch.bytes.len();
        self.batch.finish(self.newest.nonce, active.next_sequence);
        // Each batch starts in a sector of its own: a torn write cannot damage the sectors of a
        // batch that was acknowledged.
        let padded = length.next_multiple_of(active.sector_bytes as usize);
        self.batch.bytes.resize(padded, 0);
        let start = self.newest.end;
        let end = start + padded as u64;
        let ahead = (end + ZEROED_AHEAD).min(active.capacity);
        let zeroed = if end > active.zeroed && padded < LARGE_BATCH && ahead > end {
            self.batch.bytes.resize(
                padded + usize::try_from(ahead - end).expect("at most a volume"),
                0,
            );
            ahead
        } else {
            end.max(active.zeroed)
        };
        let write = |bytes: &[u8]| {
            let written = active.file.write_at(bytes, start);
            written.map_err(|error| store_error(&path, &error))
        };
        let mut written = write(&self.batch.bytes);
        if written.is_err() && self.batch.bytes.len() > padded {
            // The zeros may be the part that did not fit. Write the batch without them.
            written = write(&self.batch.bytes[..padded]);
        }
        // File systems that never write in place need space even where it was reserved.
        if let (Err(StoreError::DiskFull { .. }), true) = (&written, self.batch.uses_reserve)
            && self.shared.release_reserve()
        {
            written = write(&self.batch.bytes[..padded]);
        }
        if let Err(error) = written {
            self.note_full(&error);
            return Err(self.refuse_batch(error));
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
        let metrics = &self.shared.metrics;
        if let Err(error) = metrics.timed(padded, self.batch.frames, synced) {
            // The system may have dropped the pages that it could not write and marked them clean,
            // and a later sync would succeed. So nothing behind the old end is trusted: the next
            // volume's header states that this one ends there.
            self.active = None;
            return Err(StoreError::Io {
                path: path.display().to_string(),
                detail: format!("sync failed: {error}"),
            });
        }
        active.zeroed = zeroed;
        active.next_sequence += 1;
        self.newest.end = end;
        // Behind the sync: see `check_lock`.
        self.shared.check_lock().inspect_err(|_| self.active = None)
    }

    /// Handles a failed write of the batch. Returns the error of its callers.
    ///
    /// Without space or permission nothing was synced, but the system may have taken the whole
    /// batch before it failed, and a recovery would find it: the callers are only answered that
    /// nothing was written once it is taken back. After any other failure the state of the disk is
    /// unknown.
    fn refuse_batch(&mut self, error: StoreError) -> StoreError {
        let nothing_synced = matches!(
            error,
            StoreError::DiskFull { .. } | StoreError::ReadOnly { .. }
        );
        let header = &self.batch.bytes[..BATCH_HEADER];
        let withdrawn = match &self.active {
            Some(active) if nothing_synced => active.withdraw(header, self.newest.end),
            Some(_) | None => {
                self.active = None;
                return error;
            }
        };
        let Err(failed) = withdrawn else {
            return error;
        };
        self.active = None;
        StoreError::Io {
            path: self
                .shared
                .path(FileKind::Volume, self.newest.number)
                .display()
                .to_string(),
            detail: format!("{error}; what the disk took is not taken back: {failed}"),
        }
    }

    /// Makes the batch's effects visible to readers.
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
                Effect::Copy(key, volume, location) => {
                    state.apply_copy(key, volume, location);
                    Ok(())
                }
                Effect::Expired(segments) => {
                    self.shared.metrics.expired_segments.inc_by(segments);
                    Ok(())
                }
            };
            applied.expect("staging checked it against the same state");
        }
        state.newest_end = self.newest.end;
        drop(state);
        self.staging.settle();
        if sweep {
            self.shared.send_job(Job::Sweep);
        }
        // From half a volume on, so that the other half is the time to create the next file in. Not
        // while the reserve is in use: what it freed is for the maintenance thread.
        let half = self
            .active
            .as_ref()
            .map_or(u64::MAX, |active| active.capacity / 2);
        if self.newest.end > half
            && !self.shared.is_reserve_in_use()
            && lock(&self.shared.spare).file.is_none()
        {
            self.shared
                .send_job(Job::PrepareSpare(self.newest.number + 1));
        }
    }
}

/// Converts an offset in a volume, which frames' locations keep in four bytes.
fn offset(offset: u64) -> u32 {
    u32::try_from(offset).expect("volumes are below 4 GiB")
}
