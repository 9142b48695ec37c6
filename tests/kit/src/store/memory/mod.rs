//! [`MemoryStore`]: the one store in memory of all tests, in files by subject.

mod controls;
mod log_store;
mod stream;

use core::fmt;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use distributedlog::Dlsn;
use distributedlog_store::{AppendDone, Entry, Lease, Retention, StoreError, StoreId, StreamName};
use tokio::sync::watch;

pub use self::controls::{ReleaseOrder, plain};
use self::stream::Stream;

/// Largest entry that [`MemoryStore`] accepts, in payload bytes: 4 MiB.
pub const MAX_ENTRY_BYTES: usize = 4 << 20;

/// Time of entries that [`MemoryStore::put`] stores: milliseconds since 1970. Fixed, so that a test
/// can compare output that shows the time.
pub const PUT_UNIX_MS: u64 = 7;

/// A [`LogStore`](distributedlog_store::LogStore) in memory whose behaviour a test controls. It
/// keeps nothing beyond its own lifetime.
///
/// Without controls it fulfils the contract of `LogStore` (it passes the
/// [conformance suite](crate::store::conformance)) and answers appends at once, on the caller's
/// thread. A control changes one thing:
///
/// - [`hold_appends`](Self::hold_appends), [`hold_appends_of`](Self::hold_appends_of): appends
///   are not written until [`release_appends`](Self::release_appends).
/// - [`hold_results`](Self::hold_results): appends are written, but not answered until
///   [`release_results`](Self::release_results) answers them in either order.
/// - [`hold_acquires`](Self::hold_acquires): acquires wait for
///   [`release_acquires`](Self::release_acquires).
/// - [`stall_reads_of`](Self::stall_reads_of): reads of one stream are not answered.
/// - [`fail_next_append`](Self::fail_next_append), [`fail_next_read`](Self::fail_next_read),
///   [`fail_all`](Self::fail_all): operations fail.
/// - [`claim_next`](Self::claim_next): reads return a wrong next position.
/// - [`stay_open`](Self::stay_open): `close` does not end the service.
/// - [`put`](Self::put), [`set_owner`](Self::set_owner),
///   [`release_owner`](Self::release_owner): change a stream past its leases.
///
/// [`until`](Self::until), [`until_appends`](Self::until_appends) and
/// [`until_waiting_reads`](Self::until_waiting_reads) wait for what the code under test does.
///
/// ```
/// use distributedlog_store::{Acquired, Entry, LogStore, Owner, StreamName};
/// use distributedlog_testkit::store::{MemoryStore, plain};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = MemoryStore::new();
/// let stream: StreamName = "orders".parse().unwrap();
/// store.create(&stream).await.unwrap();
/// let owner = Owner { shard: 1, address: "127.0.0.1:8001".to_owned() };
/// let Acquired::Granted(lease) = store.acquire(&stream, &owner).await.unwrap() else {
///     panic!("the stream has no other owner")
/// };
///
/// store.hold_appends();
/// let entry = Entry { records: vec![plain("hello")] };
/// store.append(&lease, entry, Box::new(|result| assert!(result.is_ok())));
/// assert!(store.records("orders").is_empty());
/// assert_eq!(store.release_appends(), 1);
/// assert_eq!(store.records("orders").len(), 1);
/// # });
/// ```
#[derive(Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
    /// Counts every change; tasks that wait for a change subscribe to it.
    changed: watch::Sender<u64>,
    /// Number of reads that wait for an append.
    waiting_reads: watch::Sender<usize>,
}

#[derive(Default)]
struct Inner {
    streams: BTreeMap<StreamName, Stream>,
    last_epoch: u64,
    /// Latest time given to an entry or a stream: milliseconds since 1970.
    last_unix_ms: u64,
    identity: Option<StoreId>,
    /// Retentions that were set, which discard nothing here. `None`: the namespace's.
    retentions: BTreeMap<Option<StreamName>, Retention>,
    closed: bool,
    reads: usize,
    appends: usize,
    controls: Controls,
}

/// The faults and holds that are on.
#[derive(Default)]
struct Controls {
    held_appends: Option<HeldAppends>,
    /// Results of appends that are written but not answered; `None` while they are not held.
    held_results: Option<Vec<(AppendDone, Result<Dlsn, StoreError>)>>,
    acquires_are_held: bool,
    append_failures: VecDeque<StoreError>,
    read_failures: VecDeque<StoreError>,
    all_fail: bool,
    stays_open: bool,
    lacks_retention: bool,
    stalled_reads: Option<StreamName>,
    claimed_next: Option<Dlsn>,
}

/// Appends that are neither written nor answered, in the order of their calls.
struct HeldAppends {
    /// The stream whose appends are held; `None` holds those of every stream.
    only: Option<StreamName>,
    appends: Vec<HeldAppend>,
}

struct HeldAppend {
    lease: Lease,
    entry: Entry,
    done: AppendDone,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("streams", &self.lock().streams.len())
            .finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the state, then wakes every task that waits for a change.
    fn update<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        let result = work(&mut self.lock());
        self.changed.send_modify(|count| *count += 1);
        result
    }
}

impl Inner {
    /// Refuses every operation of a store that is closed or that fails on request.
    fn check_usable(&self) -> Result<(), StoreError> {
        if self.closed && !self.controls.stays_open {
            return Err(StoreError::Closed);
        }
        self.check_working()
    }

    fn check_working(&self) -> Result<(), StoreError> {
        if self.controls.all_fail {
            return Err(StoreError::Io {
                path: "memory".to_owned(),
                detail: "broken on purpose".to_owned(),
            });
        }
        Ok(())
    }

    fn check_retention(&self, stream: Option<&StreamName>) -> Result<(), StoreError> {
        if self.controls.lacks_retention {
            return Err(StoreError::Unsupported {
                operation: "retention".to_owned(),
            });
        }
        match stream {
            Some(stream) if !self.streams.contains_key(stream) => {
                Err(StoreError::StreamNotFound(stream.clone()))
            }
            _ => Ok(()),
        }
    }

    fn stream_mut(&mut self, name: &StreamName) -> Result<&mut Stream, StoreError> {
        self.streams
            .get_mut(name)
            .ok_or_else(|| StoreError::StreamNotFound(name.clone()))
    }

    /// Returns the current time in milliseconds since 1970; never less than the time before.
    fn unix_ms(&mut self) -> u64 {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX));
        self.last_unix_ms = self.last_unix_ms.max(now);
        self.last_unix_ms
    }

    fn create(&mut self, name: &StreamName) -> Result<(), StoreError> {
        if self.streams.contains_key(name) {
            return Err(StoreError::StreamExists(name.clone()));
        }
        let created_unix_ms = self.unix_ms();
        self.streams
            .insert(name.clone(), Stream::new(created_unix_ms));
        Ok(())
    }

    fn delete(&mut self, name: &StreamName) -> Result<(), StoreError> {
        let Some(deleted) = self.streams.remove(name) else {
            return Err(StoreError::StreamNotFound(name.clone()));
        };
        // The time of creation distinguishes streams of one name: the next one must be younger,
        // also when it is created in the same millisecond.
        self.last_unix_ms = self.last_unix_ms.max(deleted.created_unix_ms + 1);
        Ok(())
    }

    /// Writes an entry, unless an injected failure or another owner prevents it.
    fn append(&mut self, lease: &Lease, entry: Entry) -> Result<Dlsn, StoreError> {
        self.check_working()?;
        if let Some(failure) = self.controls.append_failures.pop_front() {
            return Err(failure);
        }
        let unix_ms = self.unix_ms();
        self.streams
            .get_mut(&lease.stream)
            .filter(|stream| stream.is_held_by(lease))
            .map(|stream| stream.append(entry, unix_ms))
            .ok_or_else(|| StoreError::Fenced(lease.stream.clone()))
    }
}

/// Refuses an entry that no store may write: [`StoreError::InvalidEntry`] or
/// [`StoreError::TooLarge`].
fn check_entry(entry: &Entry) -> Result<(), StoreError> {
    entry.check()?;
    let size = stream::payload_bytes(&entry.records);
    if size > MAX_ENTRY_BYTES {
        return Err(StoreError::TooLarge {
            size,
            limit: MAX_ENTRY_BYTES,
        });
    }
    Ok(())
}
