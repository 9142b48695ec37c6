//! Looks after the files behind the committer's back: indexes and snapshots of sealed volumes, the
//! next volume's file, and the removal of volumes in which nothing is left.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::disk::{Access, store_error};
use super::index;
use super::job::Job;
use super::shared::{Shared, lock};
use super::snapshot;
use super::state::Snapshot;
use super::volume::{FileKind, parse_file_name};
use crate::StoreError;

/// Works through the jobs. A volume that could not be sealed, because the disk is full, say, is
/// tried again with the next job: until then its index stays in memory and the journal's older part
/// stays on disk.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    unsealed: VecDeque<(u64, u64, Option<Snapshot>)>,
}

/// Sees to it that nobody waits for a keeper that a bug ended.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.finish();
        }
    }
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, jobs: Receiver<Job>) -> Self {
        Self {
            shared,
            jobs,
            unsealed: VecDeque::new(),
        }
    }

    /// Works until the store is closed.
    pub(super) fn run(mut self) {
        let _ending = Ending(self.shared.clone());
        while !*self.shared.closed.borrow() {
            let Ok(job) = self.jobs.recv() else { return };
            self.work(job);
        }
    }

    /// Works through what there is to do. Says whether there was anything.
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
            Job::Spare(number) => self.make_spare(number),
            Job::Sweep => {}
            Job::Stop => return self.shared.finish(),
        }
        self.seal_all();
        // What was removed may have been the room that the sealing needs.
        if self.sweep() && !self.unsealed.is_empty() {
            self.seal_all();
            self.sweep();
        }
    }

    fn seal_all(&mut self) {
        while let Some((volume, end, snapshot)) = self.unsealed.front() {
            if let Err(error) = self.seal(*volume, *end, snapshot.as_ref()) {
                tracing::warn!(
                    "volume {volume} could not be sealed and will be tried again: {error}"
                );
                return;
            }
            self.unsealed.pop_front();
        }
    }

    fn seal(&self, volume: u64, end: u64, snapshot: Option<&Snapshot>) -> Result<(), StoreError> {
        let shared = &self.shared;
        self.cut(volume, end);
        // When only the metadata failed before, the index is there: nothing of it is in memory any
        // more to write it again from.
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

    /// Gives back what the volume reserved and did not need. If that fails, the space is given back
    /// when the volume goes.
    fn cut(&self, volume: u64, end: u64) {
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

    fn make_spare(&self, number: u64) {
        // The committer waits here for a file that is being created, instead of creating it a
        // second time.
        let mut spare = lock(&self.shared.spare);
        if spare.latest + 1 != number || spare.file.is_some() {
            return;
        }
        match self.shared.create_volume_file(number) {
            Ok(file) => spare.file = Some(file),
            Err(error) => tracing::warn!("the next volume could not be prepared: {error}"),
        }
    }

    /// Removes the volumes in which nothing is left. Says whether there were any.
    fn sweep(&self) -> bool {
        let dead = self.shared.state_mut().take_dead_volumes();
        for &volume in &dead {
            for kind in [FileKind::Volume, FileKind::Index] {
                self.shared.forget_file(kind, volume);
                let path = self.shared.path(kind, volume);
                // The index goes last: a volume without one would be read through at the next
                // opening.
                let removed = self
                    .shared
                    .disk
                    .remove(&path)
                    .and_then(|()| self.shared.disk.sync_folder(&self.shared.settings.folder));
                if let Err(error) = removed {
                    tracing::warn!(
                        "{} could not be removed, the next opening will: {error}",
                        path.display()
                    );
                    break;
                }
            }
        }
        !dead.is_empty()
    }
}
