//! What the store's threads and its readers share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use tokio::sync::watch;

use super::disk::{Access, Disk, DiskFile, store_error, unfinished};
use super::job::Job;
use super::request::Request;
use super::settings::EmbeddedSettings;
use super::state::State;
use super::volume::{FileKind, file_path};
use crate::{AppendDone, Entry, Lease, StoreError};

/// Tells the time: milliseconds since 1970.
pub type UnixClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Requests on their way to the committer.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) requests: Vec<Request>,
    pub(super) bytes: usize,
    pub(super) closed: bool,
}

/// The part of the store that everyone has.
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) settings: EmbeddedSettings,
    pub(super) unix_ms: UnixClock,
    /// Whether blocking reads may run on the caller's thread: the store is stepped by a
    /// simulation.
    pub(super) stepped: bool,
    state: RwLock<State>,
    queue: Mutex<Queue>,
    queued: Condvar,
    jobs: Sender<Job>,
    pub(super) spare: Mutex<Spare>,
    files: Mutex<FileCache>,
    /// True when the store is closed and the folder given up.
    pub(super) closed: watch::Sender<bool>,
    /// Keeps other processes out of the folder.
    pub(super) lock: Mutex<Option<Box<dyn Send + Sync>>>,
}

/// The file that becomes the next volume.
#[derive(Default)]
pub(super) struct Spare {
    /// The number of the newest volume.
    pub(super) latest: u64,
    pub(super) file: Option<Arc<dyn DiskFile>>,
}

#[derive(Default)]
struct FileCache {
    open: HashMap<(FileKind, u64), (Arc<dyn DiskFile>, u64)>,
    uses: u64,
}

/// What a store has of the world.
pub(super) struct Outside {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) unix_ms: UnixClock,
    pub(super) stepped: bool,
    pub(super) lock: Box<dyn Send + Sync>,
}

impl Shared {
    pub(super) fn new(
        outside: Outside,
        settings: EmbeddedSettings,
        state: State,
        jobs: Sender<Job>,
        latest: u64,
    ) -> Self {
        let Outside {
            disk,
            unix_ms,
            stepped,
            lock,
        } = outside;
        Self {
            disk,
            settings,
            unix_ms,
            stepped,
            state: RwLock::new(state),
            queue: Mutex::default(),
            queued: Condvar::new(),
            jobs,
            spare: Mutex::new(Spare { latest, file: None }),
            files: Mutex::default(),
            closed: watch::Sender::new(false),
            lock: Mutex::new(Some(lock)),
        }
    }

    pub(super) fn path(&self, kind: FileKind, number: u64) -> PathBuf {
        file_path(&self.settings.folder, kind, number)
    }

    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// Queues a request that is not an append. Gives it back when the store is closed.
    pub(super) fn ask(&self, request: Request) -> Result<(), Request> {
        let mut queue = self.queue();
        if queue.closed {
            return Err(request);
        }
        queue.closed = matches!(request, Request::Close);
        queue.requests.push(request);
        drop(queue);
        self.queued.notify_one();
        Ok(())
    }

    /// Queues an append, or refuses it: the store is closed, or has as much to do as it takes.
    pub(super) fn ask_append(&self, lease: Lease, entry: Entry, size: usize, done: AppendDone) {
        let mut queue = self.queue();
        let limit = self.settings.max_queued_bytes;
        let refused = if queue.closed {
            StoreError::Closed
        } else if queue.bytes.saturating_add(size) > limit {
            StoreError::Overloaded { limit }
        } else {
            queue.bytes += size;
            queue.requests.push(Request::Append {
                lease,
                entry,
                size,
                done,
            });
            let first = queue.requests.len() == 1;
            drop(queue);
            // The committer sleeps only on an empty queue.
            if first {
                self.queued.notify_one();
            }
            return;
        };
        drop(queue);
        done(Err(refused));
    }

    /// Takes the requests that wait, after waiting for the first one. The vector that is handed in
    /// becomes the next queue.
    pub(super) fn wait_for_requests(&self, taken: &mut Vec<Request>) {
        let queue = self.queue();
        let mut queue = self
            .queued
            .wait_while(queue, |queue| queue.requests.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        core::mem::swap(&mut queue.requests, taken);
    }

    /// Takes the requests that wait.
    pub(super) fn take_requests(&self, taken: &mut Vec<Request>) {
        core::mem::swap(&mut self.queue().requests, taken);
    }

    pub(super) fn send_job(&self, job: Job) {
        // The keeper is gone only when the store is being closed, and opening it does again what
        // was left.
        let _ = self.jobs.send(job);
    }

    /// A volume or an index for reading, opened before or now.
    pub(super) fn open_file(
        &self,
        kind: FileKind,
        number: u64,
    ) -> Result<Arc<dyn DiskFile>, StoreError> {
        let mut files = lock(&self.files);
        files.uses += 1;
        let now = files.uses;
        if let Some((file, used)) = files.open.get_mut(&(kind, number)) {
            *used = now;
            return Ok(file.clone());
        }
        drop(files);
        let path = self.path(kind, number);
        let file = self
            .disk
            .open(&path, Access::Read)
            .map_err(|error| store_error(&path, &error))?;
        let mut files = lock(&self.files);
        if files.open.len() >= self.settings.open_files {
            let oldest = files
                .open
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(key, _)| *key);
            oldest.and_then(|key| files.open.remove(&key));
        }
        files.open.insert((kind, number), (file.clone(), now));
        Ok(file)
    }

    pub(super) fn forget_file(&self, kind: FileKind, number: u64) {
        lock(&self.files).open.remove(&(kind, number));
    }

    /// Creates the file of a volume under its unfinished name.
    pub(super) fn create_volume_file(&self, number: u64) -> Result<Arc<dyn DiskFile>, StoreError> {
        let path = self.path(FileKind::Volume, number);
        let beside = unfinished(&path);
        let file = self
            .disk
            .create(&beside)
            .map_err(|error| store_error(&beside, &error))?;
        if self.settings.preallocate
            && let Err(error) = file.allocate(u64::from(self.settings.volume_bytes))
            && error.kind() != std::io::ErrorKind::Unsupported
        {
            // What could be reserved is given back.
            let _ = self.disk.remove(&beside);
            return Err(store_error(&path, &error));
        }
        Ok(file)
    }

    /// The folder's last moment: nobody appends, readers are told, the lock is given up.
    pub(super) fn finish(&self) {
        self.queue().closed = true;
        let lock = lock(&self.lock).take();
        drop(lock);
        self.closed.send_replace(true);
        for stream in self.state().streams() {
            stream.changed.notify_waiters();
        }
    }
}

/// Locks; a panic elsewhere left nothing half done behind these locks.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
