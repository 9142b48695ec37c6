//! The store on this machine's disk: one journal for all streams, synced before anything is
//! acknowledged.
//!
//! # What is promised
//!
//! - An acknowledged entry survives `kill -9` and power loss: it was synced before the answer. It
//!   is read back with the same bytes at the position that the answer named, after any number of
//!   crashes, also during recovery.
//! - What is read was synced: a reader never sees an entry that a crash takes away again.
//! - An entry that was not acknowledged is there after a crash with all its records, or not at all;
//!   never out of order, never with a gap before it.
//! - A write that the power cut short is told apart from damage: the first is cut, the second is
//!   [`StoreError::Corrupt`] with file and offset. (The one case that no checksum can decide is
//!   damage to the very last batch of a store that was not closed: it looks like a write that was
//!   cut short.)
//! - After a failed sync nothing of the batch is trusted: its appends fail with [`StoreError::Io`],
//!   the volume is closed at the last batch that was synced, and the store goes on in a new volume.
//!   While a new volume cannot be made, appends fail and reads go on.
//! - A full disk or a folder without write permission fails the appends concerned with
//!   [`StoreError::DiskFull`] or [`StoreError::ReadOnly`]. Reads go on, each further append tries
//!   again, and deleting and truncating has some room in reserve.
//!
//! Assumed of the disk: a sync that says so has made everything durable, and writing a sector
//! touches no other one.
//!
//! # How
//!
//! Requests go through a bounded queue to one committer thread. It gives entries their positions,
//! writes all that arrived while the sync before ran as one batch, syncs it, makes it visible to
//! readers and answers in order. Metadata are entries of the same journal, so one sync orders
//! everything. The journal's volumes have a fixed size; a full one is sealed by the header of the
//! next one, and a keeper thread writes its index and a snapshot of the metadata, prepares the next
//! volume's file, and removes volumes in which no stream has anything left. Memory: about 60 bytes
//! for each stream and volume that it has entries in, 8 bytes for each entry of the volume that is
//! written.
//!
//! The files' formats are described where they are written: `volume.rs`, `frame.rs`, `index.rs`,
//! `snapshot.rs`.

mod batch;
mod change;
mod committer;
mod disk;
mod frame;
mod index;
mod job;
mod lock;
mod maintenance;
mod reader;
mod real_disk;
mod recovery;
mod request;
mod scan;
mod settings;
mod shared;
mod snapshot;
mod staging;
mod state;
mod stream;
mod tail_batch;
mod volume;

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use distributedlog::Dlsn;
use tokio::sync::oneshot;

use self::committer::Committer;
use self::maintenance::Keeper;
use self::recovery::Recovered;
use self::request::{ChangeRequest, Changed, Request};
use self::shared::{Outside, Shared};
use super::{
    Acquired, AppendDone, Entry, Lease, LogStore, Owner, ReadBatch, ReadLimit, StoreError,
    StoreFuture, StreamInfo, StreamName,
};

pub use self::disk::{Access, Disk, DiskFile, LockAttempt};
pub use self::real_disk::RealDisk;
pub use self::settings::EmbeddedSettings;
pub use self::shared::UnixClock;

/// A [`LogStore`] in a folder of this machine. The module's documentation says what it promises.
///
/// [`close`](LogStore::close) it to give the folder up at a known moment; dropping it does the same
/// and blocks the thread until what was accepted is durable.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Does a stepped store's work when it is told to: see [`EmbeddedStore::open_stepped`].
pub struct StoreSteps {
    committer: Committer,
    keeper: Keeper,
}

impl StoreSteps {
    /// Serves all requests that wait, then does what there is to do behind them. Says whether there
    /// was anything to do.
    pub fn run(&mut self) -> bool {
        let committed = self.commit();
        let kept = self.keep();
        committed || kept
    }

    /// Serves all requests that wait. Says whether there were any.
    pub fn commit(&mut self) -> bool {
        self.committer.step()
    }

    /// Does what the keeper thread of a running store does: seals volumes, removes what is not
    /// needed. Says whether there was anything.
    pub fn keep(&mut self) -> bool {
        self.keeper.step()
    }
}

impl EmbeddedStore {
    /// Opens the store in a folder, or makes a new one there.
    ///
    /// Reads the journal behind the last snapshot, about one volume; what was sealed before is not
    /// read.
    ///
    /// # Errors
    /// [`StoreError::InUse`] names the process that holds the folder; [`StoreError::Corrupt`] the
    /// file, place and kind of damage; [`StoreError::NewerVersion`], [`StoreError::DiskFull`],
    /// [`StoreError::ReadOnly`], [`StoreError::Io`] as they say.
    pub fn open(settings: EmbeddedSettings) -> Result<Self, StoreError> {
        Self::open_on(settings, Arc::new(RealDisk), Arc::new(system_unix_ms))
    }

    /// [`open`](Self::open) on another disk and clock.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(
        settings: EmbeddedSettings,
        disk: Arc<dyn Disk>,
        unix_ms: UnixClock,
    ) -> Result<Self, StoreError> {
        let (shared, committer, keeper) = open(settings, disk, unix_ms, false)?;
        let committing = std::thread::Builder::new()
            .name("store-commit".to_owned())
            .spawn(move || committer.run());
        let keeping = std::thread::Builder::new()
            .name("store-keep".to_owned())
            .spawn(move || keeper.run());
        let (Ok(committing), Ok(keeping)) = (committing, keeping) else {
            let path = shared.settings.folder.display().to_string();
            return Err(StoreError::Io {
                path,
                detail: "the system gives no more threads".to_owned(),
            });
        };
        Ok(Self {
            shared,
            threads: Mutex::new(vec![committing, keeping]),
        })
    }

    /// Opens a store without threads, for simulations: nothing is written except in
    /// [`StoreSteps::run`], and reads run on the caller's thread. With a simulated disk and
    /// clock, the same calls in the same order have the same effects.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_stepped(
        settings: EmbeddedSettings,
        disk: Arc<dyn Disk>,
        unix_ms: UnixClock,
    ) -> Result<(Self, StoreSteps), StoreError> {
        let (shared, committer, keeper) = open(settings, disk, unix_ms, true)?;
        Ok((
            Self {
                shared,
                threads: Mutex::default(),
            },
            StoreSteps { committer, keeper },
        ))
    }

    fn change(&self, change: ChangeRequest) -> StoreFuture<'static, Changed> {
        let (answer, answered) = oneshot::channel();
        let asked = self.shared.ask(Request::Change { change, answer });
        Box::pin(async move {
            match asked {
                Ok(()) => answered.await.unwrap_or(Err(StoreError::Closed)),
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
) -> Result<(Arc<Shared>, Committer, Keeper), StoreError> {
    let settings = settings.normalised();
    let folder = settings.folder.clone();
    disk.create_folder(&folder)
        .map_err(|error| disk::store_error(&folder, &error))?;
    let lock = lock::take(&*disk, &folder, unix_ms())?;
    let Recovered {
        state,
        carried,
        jobs,
    } = recovery::recover(&*disk, &folder)?;
    let latest = carried.as_ref().map_or(0, |carried| carried.latest.number);
    let (sender, receiver) = mpsc::channel();
    let outside = Outside {
        disk,
        unix_ms,
        stepped,
        lock,
    };
    let shared = Arc::new(Shared::new(outside, settings, state, sender, latest));
    for job in jobs {
        shared.send_job(job);
    }
    let committer = Committer::new(shared.clone(), carried)?;
    let keeper = Keeper::new(shared.clone(), receiver);
    Ok((shared, committer, keeper))
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
        self.change_only(ChangeRequest::Create(stream.clone()))
    }

    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        self.change_only(ChangeRequest::Delete(stream.clone()))
    }

    fn list(&self) -> StoreFuture<'_, Vec<StreamName>> {
        let mut names: Vec<_> = self.shared.state().names().cloned().collect();
        names.sort_unstable();
        Box::pin(core::future::ready(Ok(names)))
    }

    fn describe(&self, stream: &StreamName) -> StoreFuture<'_, StreamInfo> {
        let info = self
            .shared
            .state()
            .named(stream)
            .map(|stream| stream.meta.info());
        Box::pin(core::future::ready(
            info.ok_or_else(|| StoreError::StreamNotFound(stream.clone())),
        ))
    }

    fn acquire(&self, stream: &StreamName, owner: &Owner) -> StoreFuture<'_, Acquired> {
        let stream = stream.clone();
        let changed = self.change(ChangeRequest::Acquire(stream.clone(), owner.clone()));
        Box::pin(async move {
            match changed.await? {
                Changed::Acquired(acquired) => Ok(acquired),
                Changed::Done => Err(StoreError::StreamNotFound(stream)),
            }
        })
    }

    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()> {
        self.change_only(ChangeRequest::Release(lease.clone()))
    }

    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        let (size, limit) = (
            frame::entry_size(&entry),
            self.shared.settings.max_entry_bytes,
        );
        let invalid = |detail: &str| StoreError::InvalidEntry {
            detail: detail.to_owned(),
        };
        if entry.records.is_empty() {
            done(Err(invalid("it has no records")));
        } else if entry
            .records
            .iter()
            .any(|record| (record.slots == 0 && record.is_record_set) || record.slots >= 1 << 31)
        {
            done(Err(invalid(
                "a record set has no slots, or a record has 2^31 and more",
            )));
        } else if size > limit {
            done(Err(StoreError::TooLarge { size, limit }));
        } else {
            self.shared.ask_append(lease.clone(), entry, size, done);
        }
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

    fn close(&self) -> StoreFuture<'_, ()> {
        // Who comes second waits with the first.
        let _ = self.shared.ask(Request::Close);
        let mut closed = self.shared.closed.subscribe();
        Box::pin(async move {
            // The sender lives in what `self` shares.
            let _ = closed.wait_for(|closed| *closed).await;
            Ok(())
        })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        let threads = core::mem::take(&mut *shared::lock(&self.threads));
        if !threads.is_empty() {
            let _ = self.shared.ask(Request::Close);
        }
        for thread in threads {
            // It panicked: the panic was reported when it happened, and everything waiting was
            // answered.
            let _ = thread.join();
        }
    }
}
