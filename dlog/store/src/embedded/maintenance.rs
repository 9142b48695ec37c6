//! The maintenance thread: writes indexes and snapshots of sealed volumes, creates the next
//! volume's file, compacts volumes, and removes those that hold nothing readable any more.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use tokio::sync::oneshot;

use super::compaction::{Compaction, NextStep};
use super::disk::{Access, store_error};
use super::index;
use super::job::Job;
use super::request::{ChangeRequest, CommitRequest};
use super::scrub::Scrub;
use super::shared::{Shared, lock};
use super::snapshot;
use super::state::Snapshot;
use super::volume::{FileKind, parse_file_name};
use super::volumes::StoreSpace;
use crate::StoreError;

/// Time between two looks at retention, in milliseconds.
const RETENTION_EVERY_MS: u64 = 5000;
/// Maximum number of streams that retention truncates at one look; the others wait for the next.
const MAX_EXPIRED: usize = 1000;

/// Runs the jobs in order. If a volume cannot be sealed, for example because the disk is full, the
/// next job tries again: until then its index stays in memory, and the older volumes stay on disk.
pub(super) struct Maintenance {
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    unsealed: VecDeque<(u64, u64, Option<Snapshot>)>,
    compaction: Compaction,
    scrub: Scrub,
    /// A snapshot of which a copy is missing or damaged.
    unwritten: Option<Snapshot>,
    /// True after another volume was requested because the disk is full, until one is sealed.
    is_rolling: bool,
    moved_bytes: u64,
    removed_volumes: u64,
    /// Number of log segments at the last look at retention.
    log_segments: u64,
    /// Time of the next look at retention, in milliseconds since 1970.
    retention_due_ms: u64,
}

/// Ends the store if the maintenance thread panics, so that no caller waits forever for it to
/// close, nor the store's owner for the committer.
struct PanicGuard(Arc<Shared>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.submit(CommitRequest::Close);
            self.0.shut_down();
        }
    }
}

impl Maintenance {
    pub(super) fn new(shared: Arc<Shared>, jobs: Receiver<Job>) -> Self {
        Self {
            shared,
            jobs,
            unsealed: VecDeque::new(),
            unwritten: None,
            compaction: Compaction::default(),
            scrub: Scrub::default(),
            is_rolling: false,
            moved_bytes: 0,
            removed_volumes: 0,
            log_segments: 0,
            retention_due_ms: 0,
        }
    }

    /// Runs jobs until the store is closed.
    pub(super) fn run(mut self) {
        let _guard = PanicGuard(self.shared.clone());
        let mut next = NextStep::Now;
        while !*self.shared.closed.borrow() {
            let job = match next {
                NextStep::Job => {
                    let wait = Duration::from_millis(RETENTION_EVERY_MS);
                    match self.jobs.recv_timeout(wait) {
                        Ok(job) => Some(job),
                        Err(RecvTimeoutError::Timeout) => None,
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
                NextStep::Pause(ms) => self.jobs.recv_timeout(Duration::from_millis(ms)).ok(),
                NextStep::Now => self.jobs.try_recv().ok(),
            };
            if let Some(job) = job {
                self.work(job);
            }
            self.apply_retention();
            next = self.compact();
            next = self.scrub(next);
        }
    }

    /// Runs all queued jobs, and the next piece of compaction. Returns true if there was anything
    /// to do.
    pub(super) fn step(&mut self) -> bool {
        let mut any = false;
        while let Ok(job) = self.jobs.try_recv() {
            self.work(job);
            any = true;
        }
        if *self.shared.closed.borrow() {
            return any;
        }
        self.apply_retention();
        while self.compact() == NextStep::Now {
            any = true;
        }
        while self.scrub(NextStep::Job) == NextStep::Now {}
        any
    }

    /// Reads the next entries that the scrub checks, unless compaction has more to do at once.
    /// Returns the earlier next step.
    fn scrub(&mut self, compaction: NextStep) -> NextStep {
        if compaction == NextStep::Now || self.shared.check_lock().is_err() {
            return compaction;
        }
        match (compaction, self.scrub.step(&self.shared)) {
            (NextStep::Pause(one), NextStep::Pause(other)) => NextStep::Pause(one.min(other)),
            (next, NextStep::Job) | (NextStep::Job, next) => next,
            (NextStep::Now, _) | (_, NextStep::Now) => NextStep::Now,
        }
    }

    fn work(&mut self, job: Job) {
        let mut spare = None;
        match job {
            Job::Seal {
                volume,
                end,
                snapshot,
            } => {
                self.is_rolling = false;
                self.unsealed.push_back((volume, end, snapshot));
            }
            Job::WriteSnapshot(snapshot) => self.unwritten = Some(snapshot),
            Job::PrepareSpare(number) => spare = Some(number),
            Job::Sweep => self.is_rolling = false,
            Job::Copied(result) => {
                self.moved_bytes += result.as_ref().unwrap_or(&0);
                self.compaction.copied(&result, (self.shared.unix_ms)());
            }
            Job::Stop => return self.shared.shut_down(),
        }
        if self.shared.check_lock().is_err() {
            // The committer reports it. The files may be another process's now.
            return;
        }
        if let Some(number) = spare {
            self.prepare_spare(number);
        }
        let base = self.shared.state().snapshot_base;
        self.unwritten.take_if(|snapshot| snapshot.base < base);
        if let Some(snapshot) = &self.unwritten {
            match self.write_snapshot(snapshot) {
                Ok(()) => self.unwritten = None,
                Err(error) => tracing::warn!("a snapshot has one copy only: {error}"),
            }
        }
        self.seal_all();
        // Removed volumes may have freed the space that sealing needs.
        if self.sweep() && !self.unsealed.is_empty() {
            self.seal_all();
            self.sweep();
        }
    }

    /// Requests the truncations that retention makes, if it is time to look at it.
    fn apply_retention(&mut self) {
        let now = (self.shared.unix_ms)();
        // A clock that went back must not put it off.
        let due = self.retention_due_ms.min(now + RETENTION_EVERY_MS);
        self.retention_due_ms = due;
        if now < due || self.shared.read_only.is_some() {
            return;
        }
        self.retention_due_ms = now + RETENTION_EVERY_MS;
        let default = self.shared.settings.retention();
        let expired = {
            let state = self.shared.state();
            self.log_segments = state.segment_count();
            state.expired(default, now, MAX_EXPIRED)
        };
        for (name, id, before, segments) in expired {
            tracing::debug!("retention discards {segments} log segments of {name}");
            let change = ChangeRequest::Expire {
                name,
                id,
                before,
                segments,
            };
            // A truncation that fails is tried again at the next look.
            let (reply, _) = oneshot::channel();
            let sent = self.shared.submit(CommitRequest::Change { change, reply });
            if sent.is_err() {
                tracing::debug!("the store is being closed");
                return;
            }
        }
    }

    /// Does the next piece of compaction, and publishes the space that the store takes.
    fn compact(&mut self) -> NextStep {
        if self.shared.read_only.is_some() {
            return NextStep::Job;
        }
        let next = self.compaction.step(&self.shared);
        if next == NextStep::Now && self.shared.check_lock().is_ok() {
            // A volume may have become empty.
            self.sweep();
        } else if self.compaction.is_idle() {
            self.roll_if_full();
        }
        self.publish(next);
        next
    }

    /// Requests another volume if the disk is full and removing or compacting the present one
    /// would free space.
    fn roll_if_full(&mut self) {
        let shared = &self.shared;
        if self.is_rolling || !shared.is_full.load(Ordering::Relaxed) {
            return;
        }
        self.is_rolling = {
            let state = shared.state();
            // Larger than what a volume begins with, or it would be followed by another at once.
            state.could_free_by_rolling(shared.settings.smallest_volume_bytes() / 2)
        };
        if self.is_rolling && shared.submit(CommitRequest::Roll).is_err() {
            tracing::debug!("the store is being closed");
        }
    }

    /// Publishes the space that the store takes, if it changed.
    fn publish(&self, next: NextStep) {
        let space = {
            let state = self.shared.state();
            StoreSpace {
                tail_in_doubt: !state.is_settled,
                moved_bytes: self.moved_bytes,
                removed_volumes: self.removed_volumes,
                expired_segments: self.shared.metrics.expired_segments.get(),
                log_segments: self.log_segments,
                damaged_entries: self.scrub.damaged_entries(),
                reserve_in_use: self.shared.is_reserve_in_use(),
                is_compact: next == NextStep::Job
                    && self.compaction.is_idle()
                    && self.unsealed.is_empty(),
                ..state.volumes.space()
            }
        };
        self.shared.space.send_if_modified(|published| {
            let changed = *published != space;
            *published = space;
            changed
        });
    }

    fn seal_all(&mut self) {
        while let Some((volume, end, snapshot)) = self.unsealed.front() {
            let sealed = self
                .shared
                .with_reserve(|| self.seal(*volume, *end, snapshot.as_ref()));
            if let Err(error) = sealed {
                tracing::warn!("cannot seal volume {volume}; the next job will try again: {error}");
                return;
            }
            self.unsealed.pop_front();
        }
    }

    fn seal(&self, volume: u64, end: u64, snapshot: Option<&Snapshot>) -> Result<(), StoreError> {
        let shared = &self.shared;
        self.trim(volume, end);
        // If only the snapshot failed before, the index is on disk, and its contents are not in
        // memory any more.
        if !is_indexed(shared, volume) {
            let extents = shared.state().unindexed(volume);
            let index = index::write(
                &*shared.disk,
                &shared.path(FileKind::Index, volume),
                volume,
                end,
                &extents,
            )?;
            let (rows, disk_bytes) = (&index.rows[..], index.disk_bytes);
            shared.state_mut().set_indexed(volume, rows, disk_bytes);
        }
        let Some(snapshot) = snapshot else {
            return Ok(());
        };
        self.write_snapshot(snapshot)?;
        shared.state_mut().snapshot_base = snapshot.base;
        self.remove_old_snapshots(snapshot.base)
    }

    /// Writes both copies of a snapshot.
    fn write_snapshot(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        for kind in [FileKind::Snapshot, FileKind::SnapshotCopy] {
            let path = self.shared.path(kind, snapshot.base);
            snapshot::write(&*self.shared.disk, &path, snapshot)?;
        }
        Ok(())
    }

    /// Frees the space that the volume reserved and did not use. If that fails, the space is freed
    /// with the volume.
    fn trim(&self, volume: u64, end: u64) {
        let path = self.shared.path(FileKind::Volume, volume);
        let cut = self
            .shared
            .disk
            .open(&path, Access::Write)
            .and_then(|file| file.set_size(end));
        if let Err(error) = cut {
            tracing::debug!("{} keeps its reserved space: {error}", path.display());
        }
    }

    fn remove_old_snapshots(&self, base: u64) -> Result<(), StoreError> {
        let folder = &self.shared.settings.folder;
        let names = self
            .shared
            .disk
            .list(folder)
            .map_err(|error| store_error(folder, &error))?;
        for name in names {
            let is_old = |(kind, number)| {
                matches!(kind, FileKind::Snapshot | FileKind::SnapshotCopy) && number < base
            };
            if parse_file_name(&name).is_some_and(is_old) {
                let path = folder.join(name);
                self.shared
                    .disk
                    .remove(&path)
                    .map_err(|error| store_error(&path, &error))?;
            }
        }
        Ok(())
    }

    fn prepare_spare(&self, number: u64) {
        // Locked while the file is being created: the committer waits for it instead of creating it
        // a second time.
        let mut spare = lock(&self.shared.spare);
        if spare.newest + 1 != number || spare.file.is_some() {
            return;
        }
        match self.shared.create_volume_file(number) {
            Ok(file) => spare.file = Some(file),
            Err(error) => tracing::warn!("cannot create the next volume ahead of time: {error}"),
        }
    }

    /// Removes the volumes that hold nothing readable. Returns true if there were any.
    fn sweep(&mut self) -> bool {
        let dead = self.shared.state_mut().take_dead_volumes();
        let mut removed = false;
        for (volume, state) in dead {
            if let Err(error) = self.remove(volume) {
                tracing::warn!(
                    "cannot remove volume {volume}; the next job will try again: {error}"
                );
                self.shared.state_mut().volumes.put_back(volume, state);
                continue;
            }
            self.removed_volumes += 1;
            removed = true;
        }
        if removed
            && self.shared.is_reserve_in_use()
            && let Err(error) = self.shared.hold_reserve()
        {
            tracing::debug!("the reserve cannot be set aside yet: {error}");
        }
        removed
    }

    /// Removes a volume, then its index: the next open would have to read a volume without an
    /// index.
    fn remove(&self, volume: u64) -> Result<(), StoreError> {
        let shared = &self.shared;
        for kind in [FileKind::Volume, FileKind::Index] {
            let path = shared.path(kind, volume);
            let removed = match shared.disk.remove(&path) {
                // An earlier attempt removed it.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                removed => removed,
            };
            removed
                .and_then(|()| shared.disk.sync_folder(&shared.settings.folder))
                .map_err(|error| store_error(&path, &error))?;
            // Afterwards, so that no reader opens it in between and keeps its space.
            shared.forget_file(kind, volume);
        }
        Ok(())
    }
}

fn is_indexed(shared: &Shared, volume: u64) -> bool {
    let state = shared.state();
    state
        .volumes
        .get(volume)
        .is_some_and(|volume| volume.indexed)
}
