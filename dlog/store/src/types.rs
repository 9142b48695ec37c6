//! The [`LogStore`] trait and its types.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;

use bytes::Bytes;
use distributedlog::Dlsn;
use serde::{Deserialize, Serialize};

use crate::metrics::Registry;
use crate::retention::{Retention, RetentionInfo};
use crate::summary::{DiskUsage, SummaryPage};
use crate::{StoreError, StoreId, StreamName, time_lookup};

/// Future of a store's operation.
///
/// # Cancel safety
///
/// Dropping the future of an operation that changes the store does not undo it: it may or may not
/// be carried out. Dropping the future of a read, list or description has no effect.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Callback of [`LogStore::append`]. Called once, with the position of the entry's first record
/// when the entry is durable, or with the error.
///
/// Runs on the store's own thread, or on a caller's: inside [`LogStore::append`] if the entry is
/// refused at once, or inside [`LogStore::flush`]. It must pass the result on and return without
/// blocking, and the caller must not hold a lock that it takes.
pub type AppendDone = Box<dyn FnOnce(Result<Dlsn, StoreError>) + Send>;

/// Durable storage of log streams. All methods may be called from any thread.
///
/// Every operation can fail with [`StoreError::Closed`] and, depending on the store, with
/// [`StoreError::Io`], [`StoreError::DiskFull`], [`StoreError::ReadOnly`],
/// [`StoreError::Disconnected`] or [`StoreError::Unreachable`]. The methods document their further
/// errors.
pub trait LogStore: Send + Sync + 'static {
    /// Creates an empty stream.
    ///
    /// # Errors
    ///
    /// [`StoreError::StreamExists`] if a stream has this name; [`StoreError::TooManyStreams`] and
    /// [`StoreError::TooManyCreations`] if the store has a limit.
    fn create(&self, stream: &StreamName) -> StoreFuture<'_, ()>;

    /// Deletes a stream and everything in it.
    ///
    /// # Errors
    ///
    /// [`StoreError::StreamNotFound`] if no stream has this name.
    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()>;

    /// Returns the names of all streams, sorted.
    fn list(&self) -> StoreFuture<'_, Vec<StreamName>>;

    /// Returns the first `limit` names after `after` that begin with `prefix`, sorted.
    ///
    /// Stores with many streams find them without looking at all names; this default does not.
    fn list_page(
        &self,
        after: Option<&StreamName>,
        prefix: &str,
        limit: usize,
    ) -> StoreFuture<'_, NamesPage> {
        let (after, prefix) = (after.cloned(), prefix.to_owned());
        let names = self.list();
        Box::pin(async move { Ok(NamesPage::of(names.await?, after.as_ref(), &prefix, limit)) })
    }

    /// Returns a stream's metadata.
    ///
    /// # Errors
    ///
    /// [`StoreError::StreamNotFound`] if no stream has this name.
    fn describe(&self, stream: &StreamName) -> StoreFuture<'_, StreamInfo>;

    /// Returns the first `most` streams after `after` in short, sorted by name; fewer if that would
    /// hold up appends.
    ///
    /// This default refuses: a store that has to ask others about each stream is asked for single
    /// ones with [`describe`](Self::describe).
    ///
    /// # Errors
    ///
    /// [`StoreError::Unsupported`] if the store cannot do it cheaply for many streams.
    fn summaries(&self, after: Option<&StreamName>, most: usize) -> StoreFuture<'_, SummaryPage> {
        let _ = (after, most);
        unsupported("summaries of many streams")
    }

    /// Makes `owner` the owner of the stream, which alone may append to it. Its first append opens
    /// the next log segment.
    ///
    /// A stream has one owner at a time: while another owner's lease is valid, the result is
    /// [`Acquired::OwnedBy`]. If the same owner (same shard and address: the same proxy, or its
    /// successor after a crash) acquires the stream again, it gets a new lease, and the old one is
    /// fenced.
    ///
    /// A lease is valid until it is released or fenced, or the store is closed. It is not stored: a
    /// store that was just opened has no owners. The store does not check whether owners are alive;
    /// the server of a remote store releases the leases of a client when its session ends.
    ///
    /// # Errors
    ///
    /// [`StoreError::StreamNotFound`] if no stream has this name.
    fn acquire(&self, stream: &StreamName, owner: &Owner) -> StoreFuture<'_, Acquired>;

    /// Releases a stream: completes its log segment and makes it available to the next owner. Does
    /// nothing if the lease was fenced.
    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()>;

    /// Appends one entry. Calls `done` exactly once, after the entry is durable or has failed.
    /// Entries of one lease get their positions in the order of the calls. Never blocks.
    ///
    /// # Errors
    ///
    /// `done` gets [`StoreError::Fenced`], [`StoreError::TooLarge`], [`StoreError::InvalidEntry`],
    /// or [`StoreError::Overloaded`] if too many appends are waiting. After [`StoreError::Io`] and
    /// [`StoreError::Disconnected`] it is unknown whether the entry was written.
    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone);

    /// Does the same as [`append`](Self::append), but may leave the work to the caller's thread,
    /// which calls [`flush`](Self::flush) soon. This default leaves nothing.
    fn append_later(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        self.append(lease, entry, done);
    }

    /// Does what [`append_later`](Self::append_later) has left to its callers, if it has: on this
    /// thread if `may_wait`, and calls `done` there. It waits for the disk then, so the caller
    /// holds no lock that others need.
    ///
    /// On a runtime with several threads, the others go on with what this one would have done, and
    /// after a few milliseconds they are woken for that.
    fn flush(&self, may_wait: bool) {
        let _ = may_wait;
    }

    /// Discards the records before `before`. Reads from an earlier position begin there. A position
    /// beyond the stream's end counts as its end; one before an earlier truncation changes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::StreamNotFound`] if no stream has this name.
    fn truncate(&self, stream: &StreamName, before: Dlsn) -> StoreFuture<'_, ()>;

    /// Returns the records at and after `from`, in order. If there are none yet, waits up to
    /// `limit.wait` for the next append, without polling; the batch is empty if none came.
    ///
    /// If `from` (or the truncation point) is in the middle of a record set, the set is returned
    /// whole, and the caller drops the slots before [`ReadBatch::start`]. Complete records before
    /// it are left out; the entry's `dlsn` is the position of the first record returned.
    ///
    /// # Errors
    ///
    /// [`StoreError::StreamNotFound`] if there is no such stream, also if it was deleted while the
    /// read waited; [`StoreError::Corrupt`] if the entry at `from` is damaged.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait. Nothing is lost: reads do not consume entries.
    fn read(&self, stream: &StreamName, from: Dlsn, limit: ReadLimit)
    -> StoreFuture<'_, ReadBatch>;

    /// Sets how long the records of a stream are kept, or of all streams of the namespace that have
    /// no retention of their own. `None`: the stream has the namespace's, and the namespace that of
    /// the store's settings.
    ///
    /// # Errors
    ///
    /// [`StoreError::StreamNotFound`] if no stream has this name; [`StoreError::Unsupported`] if
    /// the store has no retention.
    fn set_retention(
        &self,
        stream: Option<&StreamName>,
        retention: Option<Retention>,
    ) -> StoreFuture<'_, ()> {
        let _ = (stream, retention);
        unsupported("retention")
    }

    /// Returns how long the records of a stream are kept, or of the namespace's streams.
    ///
    /// # Errors
    ///
    /// As [`set_retention`](Self::set_retention).
    fn retention(&self, stream: Option<&StreamName>) -> StoreFuture<'_, RetentionInfo> {
        let _ = stream;
        unsupported("retention")
    }

    /// Returns the position of the first record that was written at this time, in milliseconds
    /// since 1970, or later: the stream's end if there is none yet.
    ///
    /// The position is looked up in the times of the log segments and, in one of them, by
    /// bisection: about twenty reads of one entry in a segment of a million.
    ///
    /// # Errors
    ///
    /// The errors of [`describe`](Self::describe) and [`read`](Self::read).
    fn position_at(&self, stream: &StreamName, unix_ms: u64) -> StoreFuture<'_, Dlsn> {
        let stream = stream.clone();
        Box::pin(async move {
            let info = self.describe(&stream).await?;
            time_lookup::position_at(&info, unix_ms, &mut |from, limit| {
                self.read(&stream, from, limit)
            })
            .await
        })
    }

    /// Checks that the store would take a write now: that it can be reached, and that what it last
    /// tried to write did not fail.
    ///
    /// This default checks that it answers.
    ///
    /// # Errors
    ///
    /// What a write would meet, such as [`StoreError::Unreachable`] and [`StoreError::DiskFull`].
    fn check_health(&self) -> StoreFuture<'_, ()> {
        let page = self.list_page(None, "", 1);
        Box::pin(async move { page.await.map(drop) })
    }

    /// Returns the room of the file system that the store is on. `None`, as by default: it is on
    /// another machine, or the system does not say.
    fn disk_usage(&self) -> Option<DiskUsage> {
        None
    }

    /// Registers what the store counts and measures of itself, under names that begin with
    /// `dlog_store`. This default registers nothing.
    fn register_metrics(&self, registry: &mut Registry) {
        let _ = registry;
    }

    /// Returns the store's identity, or `None` if it has none: BookKeeper's namespaces are known by
    /// the ensemble that their URI names.
    fn identity(&self) -> Option<StoreId> {
        None
    }

    /// Closes the store: refuses new operations, makes accepted ones durable, and releases the
    /// folder or connection. Calling it again is no error.
    fn close(&self) -> StoreFuture<'_, ()>;
}

/// Refuses an operation that a store does not have.
fn unsupported<T: Send + 'static>(operation: &'static str) -> StoreFuture<'static, T> {
    let operation = operation.to_owned();
    Box::pin(core::future::ready(Err(StoreError::Unsupported {
        operation,
    })))
}

/// A page of the names of streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesPage {
    /// Names, sorted.
    pub names: Vec<StreamName>,
    /// True if further names follow. The next page is after the last of `names`.
    pub more: bool,
}

impl NamesPage {
    /// Returns the first `limit` of the sorted `names` after `after` that begin with `prefix`.
    #[must_use]
    pub fn of(
        names: Vec<StreamName>,
        after: Option<&StreamName>,
        prefix: &str,
        limit: usize,
    ) -> Self {
        let mut wanted = names
            .into_iter()
            .filter(|name| after.is_none_or(|after| name > after))
            .filter(|name| name.as_str().starts_with(prefix));
        let names = wanted.by_ref().take(limit).collect();
        let more = wanted.next().is_some();
        Self { names, more }
    }
}

/// A write proxy, as the owner of streams. DistributedLog's text for it is
/// `1;{shard};{host}:{port}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// Shard id of the proxy, −1 if it has none.
    pub shard: i32,
    /// Address for clients, `host:port`.
    pub address: String,
}

/// Maximum length of an owner's address in bytes: a host name of 255, a colon and a port.
pub const MAX_OWNER_ADDRESS_BYTES: usize = 261;

impl Owner {
    /// Checks what every store requires of an owner, because it keeps the address with the stream.
    ///
    /// # Errors
    ///
    /// [`StoreError::InvalidSetting`] if the address is longer than [`MAX_OWNER_ADDRESS_BYTES`], or
    /// has a control character.
    pub fn check(&self) -> Result<(), StoreError> {
        let length = self.address.len();
        let invalid = |value: String, range: String| {
            Err(StoreError::InvalidSetting {
                setting: "the owner's address".to_owned(),
                value,
                range,
            })
        };
        if length > MAX_OWNER_ADDRESS_BYTES {
            let range = format!("at most {MAX_OWNER_ADDRESS_BYTES} bytes long");
            return invalid(format!("{length} bytes long"), range);
        }
        if self.address.chars().any(char::is_control) {
            let range = "without control characters".to_owned();
            return invalid(self.address.escape_debug().to_string(), range);
        }
        Ok(())
    }
}

/// The right to append to a stream, until it is acquired again or released.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The stream.
    pub stream: StreamName,
    /// Number of this lease. Appends with an older one are fenced. No two leases of a stream's name
    /// have the same number, also across restarts of the store.
    pub epoch: u64,
}

/// Result of [`LogStore::acquire`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acquired {
    /// The caller owns the stream, with this lease.
    Granted(Lease),
    /// Another proxy owns the stream.
    OwnedBy(Owner),
}

/// The unit of an append: one or more records that share an entry id and become durable together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The records in order. Not empty.
    pub records: Vec<EntryRecord>,
}

impl Entry {
    /// Checks what every store requires of an entry, apart from its size.
    ///
    /// # Errors
    ///
    /// [`StoreError::InvalidEntry`] if the entry has no records, or a record set has no slots, or
    /// a record has 2^31 slots or more.
    pub fn check(&self) -> Result<(), StoreError> {
        let invalid = |detail: &str| {
            Err(StoreError::InvalidEntry {
                detail: detail.to_owned(),
            })
        };
        if self.records.is_empty() {
            return invalid("it has no records");
        }
        let slots_are_valid = |record: &EntryRecord| {
            record.slots < 1 << 31 && (record.slots > 0 || !record.is_record_set)
        };
        if !self.records.iter().all(slots_are_valid) {
            return invalid("a record set has no slots, or a record has 2^31 and more");
        }
        Ok(())
    }
}

/// One record of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRecord {
    /// The application's bytes, or a whole record set.
    pub payload: Bytes,
    /// Number of slots: the number of records if `payload` is a record set, otherwise 1; 0 for a
    /// control record, which only has a position and is not delivered to applications.
    pub slots: u32,
    /// True if `payload` is a record set.
    pub is_record_set: bool,
}

/// Limits of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadLimit {
    /// Maximum number of bytes to return. At least one entry is returned if there is one.
    pub max_bytes: usize,
    /// Maximum time to wait if there is nothing at or after the position. Zero: do not wait.
    pub wait: Duration,
    /// Time of creation of the stream to read, in milliseconds since 1970. If the stream of this
    /// name was created at another time, it is [not found](StoreError::StreamNotFound). `None`:
    /// read any stream of this name.
    pub created_unix_ms: Option<u64>,
}

/// Result of a read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadBatch {
    /// Entries in the order of their positions.
    pub entries: Vec<StoredEntry>,
    /// Position at which the next read should start.
    pub next: Dlsn,
    /// The read's position or the truncation point, whichever is later. Record sets may contain
    /// records before it, which must not be delivered.
    pub start: Dlsn,
    /// Time of creation of the stream that was read, in milliseconds since 1970.
    pub created_unix_ms: u64,
}

/// An entry as it was appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEntry {
    /// Position of the first slot of `records[0]`. Record sets have one slot for each of their
    /// records.
    pub dlsn: Dlsn,
    /// Time at which the store wrote it, in milliseconds since 1970.
    pub written_unix_ms: u64,
    /// The records.
    pub records: Vec<EntryRecord>,
}

/// Metadata of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// Name of the stream.
    pub name: StreamName,
    /// Time of creation in milliseconds since 1970. Name and time of creation identify a stream:
    /// one that is created after another of its name was deleted has a different time.
    pub created_unix_ms: u64,
    /// Log segments that still hold records, oldest first.
    pub segments: Vec<SegmentInfo>,
    /// Position of the first readable record. `None` if there is none.
    pub first: Option<Dlsn>,
    /// Position of the last record. `None` if there is none.
    pub last: Option<Dlsn>,
    /// Position before which the stream was truncated. `None` if it was not.
    pub truncated_before: Option<Dlsn>,
    /// Owner of the stream. `None` if it has none.
    pub owner: Option<Owner>,
}

/// Metadata of a log segment. Counts and sizes are those of all entries written: truncation in the
/// middle of a segment does not lower them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentInfo {
    /// Number of the segment. A stream's first is 1.
    pub log_segment_sequence_no: i64,
    /// True if no further entry will be added.
    pub completed: bool,
    /// Number of entries.
    pub entries: u64,
    /// Number of records (slots).
    pub records: u64,
    /// Number of payload bytes.
    pub payload_bytes: u64,
    /// Time at which the first entry was written, in milliseconds since 1970.
    pub first_unix_ms: u64,
    /// Time at which the last entry was written, in milliseconds since 1970.
    pub last_unix_ms: u64,
}
