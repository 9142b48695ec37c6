//! The maintenance thread: writes indexes and snapshots of sealed volumes, creates the next
//! volume's file, and removes volumes that hold nothing readable any more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::disk::{Access, store_error};
use super::index;
use super::job::Job;
use super::request::CommitRequest;
use super::shared::{Shared, lock};
use super::snapshot;
use super::state::Snapshot;
use super::volume::{FileKind, parse_file_name};
use crate::StoreError;

/// Runs the jobs in order. If a volume cannot be sealed, for example because the disk is full, the
/// next job tries again: until then its index stays in memory, and the older volumes stay on disk.
pub(super) struct Maintenance {
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    unsealed: VecDeque<(u64, u64, Option<Snapshot>)>,
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
        }
    }

    /// Runs jobs until the store is closed.
    pub(super) fn run(mut self) {
        let _guard = PanicGuard(self.shared.clone());
        while !*self.shared.closed.borrow() {
            let Ok(job) = self.jobs.recv() else { return };
            self.work(job);
        }
    }

    /// Runs all queued jobs. Returns true if there were any.
    pub(super) fn step(&mut self) -> bool {
        let mut any = false;
        while let Ok(job) = self.jobs.try_recv() {
            self.work(job);
            any = true;
        }
        any
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Seal {
                volume,
                end,
                snapshot,
            } => self.unsealed.push_back((volume, end, snapshot)),
            Job::PrepareSpare(number) => self.prepare_spare(number),
            Job::Sweep => {}
            Job::Stop => return self.shared.shut_down(),
        }
        self.seal_all();
        // Removed volumes may have freed the space that sealing needs.
        if self.sweep() && !self.unsealed.is_empty() {
            self.seal_all();
            self.sweep();
        }
    }

    fn seal_all(&mut self) {
        while let Some((volume, end, snapshot)) = self.unsealed.front() {
            if let Err(error) = self.seal(*volume, *end, snapshot.as_ref()) {
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
        if !shared.state().is_indexed(volume) {
            let extents = shared.state().unindexed(volume);
            let places = index::write(
                &*shared.disk,
                &shared.path(FileKind::Index, volume),
                volume,
                end,
                &extents,
            )?;
            shared.state_mut().set_indexed(volume, places.into_iter());
        }
        let Some(snapshot) = snapshot else {
            return Ok(());
        };
        snapshot::write(
            &*shared.disk,
            &shared.path(FileKind::Snapshot, snapshot.base),
            snapshot,
        )?;
        shared.state_mut().snapshot_base = snapshot.base;
        self.remove_old_snapshots(snapshot.base)
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
            if parse_file_name(&name)
                .is_some_and(|(kind, number)| kind == FileKind::Snapshot && number < base)
            {
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
    fn sweep(&self) -> bool {
        let dead = self.shared.state_mut().take_dead_volumes();
        for &volume in &dead {
            for kind in [FileKind::Volume, FileKind::Index] {
                self.shared.forget_file(kind, volume);
                let path = self.shared.path(kind, volume);
                // The index is removed last: the next open would have to read a volume without an
                // index.
                let removed = self
                    .shared
                    .disk
                    .remove(&path)
                    .and_then(|()| self.shared.disk.sync_folder(&self.shared.settings.folder));
                if let Err(error) = removed {
                    tracing::warn!(
                        "cannot remove {}; the next open will try again: {error}",
                        path.display()
                    );
                    break;
                }
            }
        }
        !dead.is_empty()
    }
}
