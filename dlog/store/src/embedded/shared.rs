//! The state that the store's threads and its readers share.

use core::sync::atomic::AtomicBool;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustix::io::Errno;
use tokio::sync::watch;

use super::disk::{Access, Disk, DiskFile, HeldLock, store_error, unfinished};
use super::job::Job;
use super::metrics::CommitMetrics;
use super::queue::CommitQueue;
use super::request::CommitRequest;
use super::reserve::Reserve;
use super::settings::EmbeddedSettings;
use super::state::StoreState;
use super::volume::{FileKind, file_path};
use super::volumes::StoreSpace;
use crate::log_limit::LogLimits;
use crate::{StoreError, StoreId};

/// Returns the current time in milliseconds since 1970.
pub type UnixClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The part of the store that callers, readers and both threads share.
///
/// No thread holds two of its locks at the same time, so their order does not matter; except that
/// the reserve's is taken while the spare volume's is held, and the others while the one of the
/// healed indexes is, never the other way round.
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) settings: EmbeddedSettings,
    pub(super) unix_ms: UnixClock,
    /// True for a store without threads: blocking reads run on the caller's thread.
    pub(super) stepped: bool,
    state: RwLock<StoreState>,
    pub(super) queue: CommitQueue,
    jobs: Sender<Job>,
    pub(super) spare: Mutex<SpareVolume>,
    files: Mutex<FileCache>,
    pub(super) reserve: Mutex<Reserve>,
    /// True after an append or a new volume found no room, until the reserve is set aside again.
    pub(super) is_full: AtomicBool,
    /// Error of the last write, or `None` if it succeeded.
    pub(super) write_error: Mutex<Option<StoreError>>,
    /// Sealed volumes whose indexes were compared with them, because something could not be read.
    pub(super) healed_indexes: Mutex<BTreeSet<u64>>,
    /// The store's identity.
    pub(super) id: StoreId,
    /// True once a file has the identity: it will not change.
    pub(super) is_identified: AtomicBool,
    /// Published by the maintenance thread.
    pub(super) space: watch::Sender<StoreSpace>,
    pub(super) metrics: CommitMetrics,
    /// Bounds the log lines that every write to a broken disk can cause.
    pub(super) log_limits: LogLimits,
    /// True when the store is closed and the folder's lock released.
    pub(super) closed: watch::Sender<bool>,
    /// Reason why this process writes nothing, if the folder could only be opened for reading.
    pub(super) read_only: Option<StoreError>,
    /// Keeps other processes out of the folder. `None` once the store is closed.
    pub(super) lock: Mutex<Option<Box<dyn HeldLock>>>,
}

/// The file that becomes the next volume, created ahead of time.
#[derive(Default)]
pub(super) struct SpareVolume {
    /// The number of the newest volume.
    pub(super) newest: u64,
    pub(super) file: Option<VolumeFile>,
}

/// The file of a volume that is not begun yet.
pub(super) struct VolumeFile {
    pub(super) file: Arc<dyn DiskFile>,
    /// Size up to which the volume may grow.
    pub(super) capacity: u64,
    /// Size that is reserved for the file, or 0.
    pub(super) reserved_bytes: u64,
}

#[derive(Default)]
/// Open files for readers, with the number of their last use.
struct FileCache {
    open: HashMap<(FileKind, u64), (Arc<dyn DiskFile>, u64)>,
    uses: u64,
}

/// The store's environment: its disk, its clock and its lock.
pub(super) struct StoreEnv {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) unix_ms: UnixClock,
    pub(super) stepped: bool,
    pub(super) lock: Box<dyn HeldLock>,
    /// Reason why nothing may be written.
    pub(super) read_only: Option<StoreError>,
    /// The store's identity, or `None` if its files have none yet.
    pub(super) id: Option<StoreId>,
}

impl Shared {
    pub(super) fn new(
        env: StoreEnv,
        settings: EmbeddedSettings,
        state: StoreState,
        jobs: Sender<Job>,
        newest: u64,
    ) -> Self {
        let StoreEnv {
            disk,
            unix_ms,
            stepped,
            lock,
            read_only,
            id,
        } = env;
        let is_identified = AtomicBool::new(id.is_some());
        let id = id.unwrap_or_else(|| disk.draw_store_id());
        Self {
            disk,
            settings,
            unix_ms,
            stepped,
            state: RwLock::new(state),
            queue: CommitQueue::default(),
            jobs,
            spare: Mutex::new(SpareVolume { newest, file: None }),
            files: Mutex::default(),
            reserve: Mutex::new(Reserve::Released),
            is_full: AtomicBool::new(false),
            write_error: Mutex::default(),
            healed_indexes: Mutex::default(),
            id,
            is_identified,
            space: watch::Sender::default(),
            metrics: CommitMetrics::new(),
            log_limits: LogLimits::default(),
            closed: watch::Sender::new(false),
            read_only,
            lock: Mutex::new(Some(lock)),
        }
    }

    /// Refuses with [`StoreError::Closed`] once the store is being closed.
    pub(super) fn check_open(&self) -> Result<(), StoreError> {
        if self.queue.is_closed() {
            return Err(StoreError::Closed);
        }
        Ok(())
    }

    /// Returns true if the last write succeeded, and the reserve of a full disk is not in use.
    pub(super) fn is_writable(&self) -> bool {
        lock(&self.write_error).is_none() && !self.is_reserve_in_use()
    }

    pub(super) fn path(&self, kind: FileKind, number: u64) -> PathBuf {
        file_path(&self.settings.folder, kind, number)
    }

    pub(super) fn state(&self) -> RwLockReadGuard<'_, StoreState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state_mut(&self) -> RwLockWriteGuard<'_, StoreState> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a request that is not an append. Returns it if the store is closed.
    pub(super) fn submit(&self, request: CommitRequest) -> Result<(), CommitRequest> {
        self.queue.push(request)
    }

    /// Returns a sender of jobs.
    pub(super) fn jobs(&self) -> Sender<Job> {
        self.jobs.clone()
    }

    pub(super) fn send_job(&self, job: Job) {
        // The receiver is gone only while the store is being closed, and the next open repeats the
        // remaining jobs.
        let _ = self.jobs.send(job);
    }

    /// Returns a volume or an index for reading, from the cache if it is open already.
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
            .with_descriptor(|| self.disk.open(&path, Access::Read))
            .map_err(|error| store_error(&path, &error))?;
        // Opened without the lock, so that a slow disk does not hold up readers of open files. Two
        // readers may open the same file; the later one replaces the earlier.
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

    /// Opens a file. If the process has no file descriptor left, closes those that are kept open
    /// for readers and tries again.
    fn with_descriptor<T>(&self, open: impl Fn() -> io::Result<T>) -> io::Result<T> {
        let is_out_of_descriptors = |error: &io::Error| {
            let number = error.raw_os_error();
            [Errno::MFILE, Errno::NFILE]
                .map(|errno| Some(errno.raw_os_error()))
                .contains(&number)
        };
        match open() {
            Err(error) if is_out_of_descriptors(&error) => {
                lock(&self.files).open.clear();
                open()
            }
            opened => opened,
        }
    }

    /// Drops a file from the cache, because it is about to be removed.
    pub(super) fn forget_file(&self, kind: FileKind, number: u64) {
        lock(&self.files).open.remove(&(kind, number));
    }

    /// Creates the file of a volume under its unfinished name. If the disk has no room for a whole
    /// one, makes it smaller; if the reserve is in use, as small as possible.
    pub(super) fn create_volume_file(&self, number: u64) -> Result<VolumeFile, StoreError> {
        let path = self.path(FileKind::Volume, number);
        let beside = unfinished(&path);
        let file = self
            .with_descriptor(|| self.disk.create(&beside))
            .map_err(|error| store_error(&beside, &error))?;
        let whole = u64::from(self.settings.volume_bytes);
        let smallest = self.settings.smallest_volume_bytes();
        let mut capacity = if self.is_reserve_in_use() && self.settings.preallocate {
            smallest
        } else {
            whole
        };
        let mut reserved_bytes = 0;
        // Bounded: each round halves the size.
        while self.settings.preallocate && reserved_bytes == 0 {
            match file.allocate(capacity) {
                Ok(()) => reserved_bytes = capacity,
                Err(error) if error.kind() == std::io::ErrorKind::Unsupported => break,
                Err(error) => {
                    let error = store_error(&path, &error);
                    if matches!(error, StoreError::DiskFull { .. }) && capacity / 2 >= smallest {
                        capacity /= 2;
                        continue;
                    }
                    // Frees the part that could be reserved.
                    let _ = self.disk.remove(&beside);
                    return Err(error);
                }
            }
        }
        Ok(VolumeFile {
            file,
            capacity,
            reserved_bytes,
        })
    }

    /// Ends the store: refuses new requests, releases the folder's lock and wakes the readers.
    pub(super) fn shut_down(&self) {
        self.queue.close();
        let lock = lock(&self.lock).take();
        drop(lock);
        self.closed.send_replace(true);
        for stream in self.state().streams() {
            stream.changed.notify_waiters();
        }
    }
}

/// Locks a mutex, also after a panic of a holder, which leaves no partial change behind these
/// locks.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
