//! A store in a folder of this machine: one journal for all streams, synced before anything is
//! acknowledged.
//!
//! # Guarantees
//!
//! - An acknowledged entry survives `kill -9` and power loss: it was synced before the reply. It is
//!   read back with the same bytes at the position that the reply named, after any number of
//!   crashes, also during recovery.
//! - Readers see only synced entries: a crash never takes away an entry that was read.
//!   The one exception: a process that starts on a disk without room for a copy of the journal's
//!   last batch serves it from where it is ([`StoreSpace::tail_in_doubt`]).
//! - After a crash, an entry that was not acknowledged exists with all its records or not at all;
//!   never out of order, never with a gap before it.
//! - A write torn by power loss is distinguished from damage: the first is discarded, the second is
//!   [`StoreError::Corrupt`] with file and offset. (The one case that no checksum can decide is
//!   damage to the very last batch of a store that was not closed: it looks like a torn write.)
//! - After a failed sync nothing of the batch is trusted: its appends fail with [`StoreError::Io`],
//!   the volume ends at the last batch that was synced, and the store continues in a new volume.
//!   While a new volume cannot be created, appends fail and reads work.
//! - Files that are missing or shorter than they were are damage, as far as files can tell: a
//!   volume that the next one, a snapshot, the store's identity or its orderly closing proves; a
//!   file below its reserved size; a journal that ends before the place where the store was closed.
//! - The folder's lock file keeps other processes out. If it is removed while the store is open,
//!   a process that another one may have replaced acknowledges nothing more.
//! - A full disk or a folder without write permission fails the appends concerned with
//!   [`StoreError::DiskFull`] or [`StoreError::ReadOnly`]. Reads work, and each later append tries
//!   again. Opening, deleting, truncating and compaction use space that is set aside
//!   (`reserve_bytes` of [`EmbeddedSettings`]); appends are refused until it can be set
//!   aside again.
//! - Space comes back: the volumes and indexes take at most twice the readable entries (payload, 48
//!   bytes for each entry, 8 for each record) and four volumes, once compaction has caught up. It
//!   copies at most as many bytes as it frees, no faster than
//!   [`compaction_rate`](EmbeddedSettings::compaction_rate).
//!
//! Assumptions about the disk: a sync that succeeds has made everything durable, and writing a
//! sector changes no other sector.
//!
//! # Design
//!
//! Requests go through a bounded queue to one committer. It assigns positions to entries, writes
//! everything that arrived during the previous sync as one batch, syncs it, makes it visible to
//! readers, and completes the callers in order. It has a thread of its own; a caller that appends
//! one at a time, and alone, commits on its own thread instead, which saves two changes of threads
//! for each append (`queue.rs`, `committer/turns.rs`). Changes of metadata are entries of the same
//! journal, so one sync orders everything. The journal's volumes have a fixed size; a full one is
//! sealed by the header of the next one, and a maintenance thread writes its index and a snapshot
//! of the metadata, creates the next volume's file, and removes volumes that hold nothing readable.
//! Of a volume that is mostly not needed it has the committer copy the rest to the end of the
//! journal (`compaction.rs`). Memory: about 70 bytes for each stream and volume that it has entries
//! in, 8 bytes for each entry of the volume that is written.
//!
//! The maintenance thread also reads the sealed volumes again and again (`scrub.rs`), at
//! [`scrub_rate`](EmbeddedSettings::scrub_rate), so that damage is found before a reader meets it.
//!
//! The source files `volume.rs`, `frame.rs`, `index.rs` and `snapshot.rs` describe the formats of
//! the files.

mod backup;
mod batch;
mod change;
mod check;
mod closed;
mod committer;
mod compaction;
mod disk;
mod extent;
mod frame;
mod heal;
mod identity;
mod index;
mod job;
mod lock;
mod maintenance;
mod metrics;
mod queue;
mod reader;
mod real_disk;
mod recovery;
mod repair;
mod request;
mod rescue;
mod reserve;
mod salvage;
mod scan;
mod scrub;
mod settings;
mod shared;
mod snapshot;
mod staging;
mod state;
mod stream;
mod tail_batch;
mod volume;
mod volume_entries;
mod volumes;

use core::sync::atomic::Ordering;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use distributedlog::Dlsn;
use tokio::sync::{oneshot, watch};

use self::committer::{Committer, may_wait_here};
use self::maintenance::Maintenance;
use self::recovery::Recovered;
use self::request::{AppendCaller, ChangeOutcome, ChangeRequest, CommitRequest, committer_ended};
use self::shared::{Shared, StoreEnv};
use super::metrics::Registry;
use super::{
    Acquired, AppendDone, DiskUsage, Entry, Lease, LogStore, NamesPage, Owner, ReadBatch,
    ReadLimit, Retention, RetentionInfo, StoreError, StoreFuture, StoreId, StreamInfo, StreamName,
    SummaryPage,
};

pub use self::backup::{BackupReport, backup};
pub use self::check::{CheckProgress, CheckReport, Damage, LostEntries, check};
pub use self::disk::{Access, Disk, DiskFile, DiskSpace, HeldLock, LockAttempt};
pub use self::real_disk::RealDisk;
pub use self::repair::repair;
pub use self::settings::EmbeddedSettings;
pub use self::shared::UnixClock;
pub use self::volume::is_store_file;
pub use self::volumes::StoreSpace;

/// Maximum number of names that one page has: while they are collected, nothing becomes durable.
const MAX_NAMES: usize = 8192;
/// Maximum number of streams in short that one page has, for the same reason: about 50 µs.
const MAX_SUMMARIES: usize = 256;

/// A [`LogStore`] in a folder of this machine. The [module](self) lists its guarantees.
///
/// Waiting reads need a tokio runtime with time; the other operations work on every executor. On a
/// tokio runtime, reads of older entries use its blocking threads.
///
/// [`close`](LogStore::close) releases the folder when its future completes. Dropping the store
/// does the same and blocks the thread until everything accepted is durable.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Does the work of a store without threads, one step per call: see
/// [`EmbeddedStore::open_stepped`].
pub struct StoreSteps {
    committer: Committer,
    maintenance: Maintenance,
}

impl StoreSteps {
    /// Calls [`commit`](Self::commit), then [`maintain`](Self::maintain). Returns true if there was
    /// anything to do.
    pub fn run(&mut self) -> bool {
        let committed = self.commit();
        let maintained = self.maintain();
        committed || maintained
    }

    /// Serves all queued requests. Returns true if there were any.
    pub fn commit(&mut self) -> bool {
        self.committer.step()
    }

    /// Runs the jobs of the maintenance thread: seals volumes and removes those that are not
    /// needed. Returns true if there were any.
    pub fn maintain(&mut self) -> bool {
        self.maintenance.step()
    }
}

impl EmbeddedStore {
    /// Opens the store in a folder, or creates one there.
    ///
    /// Reads the journal after the last snapshot, about one volume; earlier volumes are not read.
    /// Blocks the thread meanwhile.
    ///
    /// A store that is there and cannot be written (its folder or files may not be, or the file
    /// system is read-only) is opened for reading: whatever would write fails with
    /// [`StoreError::ReadOnly`]. Several processes can open it so, and none can open it for writing
    /// meanwhile.
    ///
    /// # Errors
    /// [`StoreError::InvalidSetting`] for a setting outside its range. [`StoreError::InUse`] names
    /// the process that holds the folder; [`StoreError::Corrupt`] the file, position and kind of
    /// damage. [`StoreError::NewerVersion`], [`StoreError::DiskFull`], [`StoreError::ReadOnly`] and
    /// [`StoreError::Io`] as documented there.
    pub fn open(settings: EmbeddedSettings) -> Result<Self, StoreError> {
        Self::open_on(settings, Arc::new(RealDisk), Arc::new(system_unix_ms))
    }

    /// Opens a store like [`open`](Self::open), on another disk and clock.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    pub fn open_on(
        settings: EmbeddedSettings,
        disk: Arc<dyn Disk>,
        unix_ms: UnixClock,
    ) -> Result<Self, StoreError> {
        let (shared, committer, maintenance) = open(settings, disk, unix_ms, false)?;
        shared.queue.start(committer);
        let of_committer = shared.clone();
        let committing = std::thread::Builder::new()
            .name("store-commit".to_owned())
            .spawn(move || committer::commit_until_closed(&of_committer));
        let keeping = std::thread::Builder::new()
            .name("store-maintain".to_owned())
            .spawn(move || maintenance.run());
        let (Ok(committing), Ok(keeping)) = (committing, keeping) else {
            let path = shared.settings.folder.display().to_string();
            return Err(StoreError::Io {
                path,
                detail: "the system cannot start another thread".to_owned(),
            });
        };
        Ok(Self {
            shared,
            threads: Mutex::new(vec![committing, keeping]),
        })
    }

    /// Opens a store without threads, for simulations: only calls of [`StoreSteps`] write, and
    /// reads run on the caller's thread. With a simulated disk and clock, the same calls in the
    /// same order have the same effects.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    pub fn open_stepped(
        settings: EmbeddedSettings,
        disk: Arc<dyn Disk>,
        unix_ms: UnixClock,
    ) -> Result<(Self, StoreSteps), StoreError> {
        let (shared, committer, maintenance) = open(settings, disk, unix_ms, true)?;
        Ok((
            Self {
                shared,
                threads: Mutex::default(),
            },
            StoreSteps {
                committer,
                maintenance,
            },
        ))
    }

    /// Returns the space that the store takes. The receiver is notified of changes.
    #[must_use]
    pub fn space(&self) -> watch::Receiver<StoreSpace> {
        self.shared.space.subscribe()
    }

    /// Queues an append. If `may_hold` returns true, it may be left to the caller.
    fn queue_append(
        &self,
        lease: &Lease,
        entry: Entry,
        done: AppendDone,
        may_hold: impl FnOnce() -> bool,
    ) {
        let (size, limit) = (
            frame::entry_size(&entry),
            self.shared.settings.max_entry_bytes(),
        );
        if let Err(invalid) = entry.check() {
            done(Err(invalid));
        } else if size > limit {
            done(Err(StoreError::TooLarge { size, limit }));
        } else {
            let (append, limit) = (
                (lease.clone(), entry, size),
                self.shared.settings.max_queued_bytes,
            );
            let caller = AppendCaller::new(done);
            let queue = &self.shared.queue;
            queue.push_append(append, caller, limit, may_hold);
        }
    }

    fn change(&self, change: ChangeRequest) -> StoreFuture<'static, ChangeOutcome> {
        let (reply, received) = oneshot::channel();
        let asked = self.shared.submit(CommitRequest::Change { change, reply });
        Box::pin(async move {
            match asked {
                Ok(()) => received.await.unwrap_or_else(|_| Err(committer_ended())),
                Err(_) => Err(StoreError::Closed),
            }
        })
    }

    fn change_only(&self, change: ChangeRequest) -> StoreFuture<'static, ()> {
        let changed = self.change(change);
        Box::pin(async move { changed.await.map(|_| ()) })
    }
}

fn open(
    settings: EmbeddedSettings,
    disk: Arc<dyn Disk>,
    unix_ms: UnixClock,
    stepped: bool,
) -> Result<(Arc<Shared>, Committer, Maintenance), StoreError> {
    settings.check()?;
    let folder = settings.folder.clone();
    let (lock, recovered, read_only) = match open_for_writing(&*disk, &folder, unix_ms()) {
        Ok((lock, recovered)) => (lock, recovered, None),
        Err(error @ StoreError::ReadOnly { .. }) => {
            let (lock, recovered) = open_for_reading(&*disk, &folder, &error)?;
            tracing::warn!("{error}; the store is open for reading only");
            let path = folder.display().to_string();
            (lock, recovered, Some(StoreError::ReadOnly { path }))
        }
        Err(error) => return Err(error),
    };
    let env = StoreEnv {
        disk,
        unix_ms,
        stepped,
        lock,
        read_only,
        id: recovered.id,
    };
    start(settings, env, recovered)
}

fn open_for_writing(
    disk: &dyn Disk,
    folder: &Path,
    unix_ms: u64,
) -> Result<(Box<dyn HeldLock>, Recovered), StoreError> {
    let created = disk.create_folder(folder);
    created.map_err(|error| disk::store_error(folder, &error))?;
    let lock = lock::acquire(disk, folder, unix_ms)?;
    Ok((lock, recovery::recover(disk, folder)?))
}

/// Opens a store whose folder cannot be written, with the error that says so.
fn open_for_reading(
    disk: &dyn Disk,
    folder: &Path,
    error: &StoreError,
) -> Result<(Box<dyn HeldLock>, Recovered), StoreError> {
    // There may be no folder either, which could not be created.
    if disk.list(folder).is_ok_and(|names| names.is_empty()) {
        return Err(error.clone());
    }
    let lock = lock::acquire_for_reading(disk, folder)?;
    let recovered = recovery::read(disk, folder)?;
    if recovered.tail_batch.is_none() {
        // A new store would have to be written.
        return Err(error.clone());
    }
    Ok((lock, recovered))
}

/// Continues a store with what was recovered: begins its next volume.
fn start(
    settings: EmbeddedSettings,
    env: StoreEnv,
    recovered: Recovered,
) -> Result<(Arc<Shared>, Committer, Maintenance), StoreError> {
    let Recovered {
        state,
        tail_batch,
        jobs,
        has_identity_file,
        has_closed_mark,
        ..
    } = recovered;
    let newest = tail_batch
        .as_ref()
        .map_or(0, |tail_batch| tail_batch.newest.number);
    let (sender, receiver) = mpsc::channel();
    let shared = Arc::new(Shared::new(env, settings, state, sender, newest));
    for job in jobs {
        shared.send_job(job);
    }
    if shared.read_only.is_none()
        && let Err(error) = shared.hold_reserve()
    {
        tracing::warn!("no space is reserved for a full disk: {error}");
    }
    let committer = Committer::new(shared.clone(), tail_batch, has_closed_mark)?;
    if !has_identity_file && shared.is_identified.load(Ordering::Relaxed) {
        // The volumes have it too: without room for the file the store opens.
        let folder = &shared.settings.folder;
        let written = shared.with_reserve(|| identity::write(&*shared.disk, folder, shared.id));
        if let Err(error) = written {
            tracing::warn!("the file with the store's identity is not written yet: {error}");
        }
    }
    let maintenance = Maintenance::new(shared.clone(), receiver);
    Ok((shared, committer, maintenance))
}

fn system_unix_ms() -> u64 {
    // A clock before 1970 counts as 1970.
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl LogStore for EmbeddedStore {
    fn create(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        if let Err(too_long) = stream.check_length() {
            return Box::pin(core::future::ready(Err(too_long)));
        }
        self.change_only(ChangeRequest::Create(stream.clone()))
    }

    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        self.change_only(ChangeRequest::Delete(stream.clone()))
    }

    fn list(&self) -> StoreFuture<'_, Vec<StreamName>> {
        let names = self
            .shared
            .check_open()
            .map(|()| self.shared.state().names().cloned().collect());
        Box::pin(core::future::ready(names))
    }

    fn list_page(
        &self,
        after: Option<&StreamName>,
        prefix: &str,
        limit: usize,
    ) -> StoreFuture<'_, NamesPage> {
        let page = self.shared.check_open().map(|()| {
            let limit = limit.min(MAX_NAMES);
            self.shared.state().names_page(after, prefix, limit)
        });
        Box::pin(core::future::ready(page))
    }

    fn summaries(&self, after: Option<&StreamName>, limit: usize) -> StoreFuture<'_, SummaryPage> {
        let page = self.shared.check_open().map(|()| {
            let retention = self.shared.settings.retention();
            let limit = limit.min(MAX_SUMMARIES);
            self.shared.state().summaries(after, limit, retention)
        });
        Box::pin(core::future::ready(page))
    }

    fn describe(&self, stream: &StreamName) -> StoreFuture<'_, StreamInfo> {
        let info = self.shared.check_open().and_then(|()| {
            self.shared
                .state()
                .named(stream)
                .map(|stream| stream.meta.info())
                .ok_or_else(|| StoreError::StreamNotFound(stream.clone()))
        });
        Box::pin(core::future::ready(info))
    }

    fn acquire(&self, stream: &StreamName, owner: &Owner) -> StoreFuture<'_, Acquired> {
        if let Err(invalid) = owner.check() {
            return Box::pin(core::future::ready(Err(invalid)));
        }
        let stream = stream.clone();
        let changed = self.change(ChangeRequest::Acquire(stream.clone(), owner.clone()));
        Box::pin(async move {
            match changed.await? {
                ChangeOutcome::Acquired(acquired) => Ok(acquired),
                ChangeOutcome::Done => Err(StoreError::StreamNotFound(stream)),
            }
        })
    }

    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()> {
        self.change_only(ChangeRequest::Release(lease.clone()))
    }

    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        self.queue_append(lease, entry, done, || false);
    }

    fn append_later(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        self.queue_append(lease, entry, done, may_wait_here);
    }

    fn flush(&self, may_wait: bool) {
        committer::flush(&self.shared, may_wait);
    }

    fn truncate(&self, stream: &StreamName, before: Dlsn) -> StoreFuture<'_, ()> {
        self.change_only(ChangeRequest::Truncate(stream.clone(), before))
    }

    fn read(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> StoreFuture<'_, ReadBatch> {
        Box::pin(reader::read(
            self.shared.clone(),
            stream.clone(),
            from,
            limit,
        ))
    }

    fn set_retention(
        &self,
        stream: Option<&StreamName>,
        retention: Option<Retention>,
    ) -> StoreFuture<'_, ()> {
        self.change_only(ChangeRequest::Retain(stream.cloned(), retention))
    }

    fn retention(&self, stream: Option<&StreamName>) -> StoreFuture<'_, RetentionInfo> {
        let info = self.shared.check_open().and_then(|()| {
            let state = self.shared.state();
            let namespace = state.retention;
            let own = match stream {
                Some(name) => {
                    let found = state.named(name);
                    let found = found.ok_or_else(|| StoreError::StreamNotFound(name.clone()))?;
                    found.meta.retention
                }
                None => namespace,
            };
            let applied = own.or(namespace);
            let applied = applied.unwrap_or_else(|| self.shared.settings.retention());
            Ok(RetentionInfo { own, applied })
        });
        Box::pin(core::future::ready(info))
    }

    fn check_health(&self) -> StoreFuture<'_, ()> {
        let checked = self.shared.check_open();
        let checked = checked.and_then(|()| self.shared.check_lock());
        if checked.is_err() || self.shared.is_writable() {
            return Box::pin(core::future::ready(checked));
        }
        // Without writers nobody would find out that the disk works again.
        let (reply, received) = oneshot::channel();
        let asked = self.shared.submit(CommitRequest::Probe(reply));
        Box::pin(async move {
            if asked.is_err() {
                return Err(StoreError::Closed);
            }
            let probed = received.await.unwrap_or_else(|_| Err(committer_ended()));
            probed.map(|_| ())
        })
    }

    fn disk_usage(&self) -> Option<DiskUsage> {
        // Not every file system says.
        let disk = self.shared.disk.space(&self.shared.settings.folder).ok()?;
        let space = *self.shared.space.borrow();
        Some(DiskUsage {
            size_bytes: disk.size_bytes,
            free_bytes: disk.free_bytes,
            live_bytes: space.live_bytes,
            dead_bytes: space.dead_bytes,
        })
    }

    fn register_metrics(&self, registry: &mut Registry) {
        metrics::register(&self.shared, registry);
    }

    fn identity(&self) -> Option<StoreId> {
        let is_identified = self.shared.is_identified.load(Ordering::Relaxed);
        is_identified.then_some(self.shared.id)
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        // A second call waits for the first one to finish.
        let _ = self.shared.submit(CommitRequest::Close);
        let mut closed = self.shared.closed.subscribe();
        Box::pin(async move {
            // Cannot fail: the sender is in `self.shared`.
            let _ = closed.wait_for(|closed| *closed).await;
            Ok(())
        })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        let threads = core::mem::take(&mut *shared::lock(&self.threads));
        if !threads.is_empty() {
            let _ = self.shared.submit(CommitRequest::Close);
        }
        for thread in threads {
            // An error means that it panicked: the panic was reported when it happened, and
            // everything waiting was received.
            let _ = thread.join();
        }
    }
}
