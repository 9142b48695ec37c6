use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;

use bytes::Bytes;
use distributedlog::Dlsn;
use serde::{Deserialize, Serialize};

use super::StreamName;

/// What a store's operation answers, later.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Called once with the position of an appended entry's first record, when the entry is durable, or
/// with why it is not.
///
/// Runs on the store's own thread, or on the caller's inside [`LogStore::append`] when the entry is
/// refused at once: it must hand the result over and return, never block, and the caller must not
/// hold a lock that it takes.
pub type AppendDone = Box<dyn FnOnce(Result<Dlsn, StoreError>) + Send>;

/// Keeps log streams on durable storage. All methods may be called from any thread.
pub trait LogStore: Send + Sync + 'static {
    /// Creates an empty stream. [`StoreError::StreamExists`] when there is one already.
    fn create(&self, stream: &StreamName) -> StoreFuture<'_, ()>;

    /// Deletes a stream and everything in it. [`StoreError::StreamNotFound`] when there is none.
    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()>;

    /// The streams' names, sorted.
    fn list(&self) -> StoreFuture<'_, Vec<StreamName>>;

    /// What is known of one stream.
    fn describe(&self, stream: &StreamName) -> StoreFuture<'_, StreamInfo>;

    /// Makes `owner` the one that may append to the stream, and opens its next log segment with the
    /// first append.
    ///
    /// A stream has one owner at a time: while another owner's lease lives, the answer is
    /// [`Acquired::OwnedBy`]. The same owner (same shard and address, so the same proxy or its
    /// successor after a crash) asking again gets a new lease, and the old one is fenced.
    ///
    /// A lease lives until it is released, fenced, or the store is closed; it is not kept on disk,
    /// so a store just opened has no owners. Who of the owners is alive is not the store's
    /// business: where other processes own streams, the server of the remote store releases
    /// their leases when their session ends.
    fn acquire(&self, stream: &StreamName, owner: &Owner) -> StoreFuture<'_, Acquired>;

    /// Gives a stream up: its log segment is completed and whoever asks next becomes its owner. A
    /// lease that was fenced is no error.
    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()>;

    /// Appends one entry. `done` is called exactly once, after the entry is on disk or has failed;
    /// entries of one lease get their positions in the order of the calls. Never blocks: a
    /// store that has as much to do as it takes refuses with [`StoreError::Overloaded`].
    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone);

    /// Discards the records before `before`. Readers that start earlier start there. A point beyond
    /// the stream's end means its end; one before an earlier truncation changes nothing.
    fn truncate(&self, stream: &StreamName, before: Dlsn) -> StoreFuture<'_, ()>;

    /// The records at and after `from`, in order. With nothing there yet, waits up to `limit.wait`
    /// for the next append, without polling; an empty batch says that the time was up,
    /// [`StoreError::StreamNotFound`] that the stream was deleted meanwhile.
    ///
    /// A record set is delivered whole when `from` (or the truncation point) names a slot in the
    /// middle of it: the reader drops the slots before [`ReadBatch::start`]. Whole records
    /// before that are left out, and the entry's `dlsn` tells where its first delivered
    /// record is.
    /// Dropping the future gives up the wait; nothing is lost, reads take nothing away.
    fn read(&self, stream: &StreamName, from: Dlsn, limit: ReadLimit)
    -> StoreFuture<'_, ReadBatch>;

    /// Refuses new work, makes durable what was accepted, and gives the folder or connection up.
    /// Calling it again is no error.
    fn close(&self) -> StoreFuture<'_, ()>;
}

/// A write proxy as it is known to others: DistributedLog's text for it is
/// `1;{shard};{host}:{port}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The proxy's shard id, −1 when it has none.
    pub shard: i32,
    /// Where clients reach it, `host:port`.
    pub address: String,
}

/// The right to append to a stream, until someone else acquires it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The stream.
    pub stream: StreamName,
    /// Which granting of the stream this is. An append with an older one is fenced. Never granted
    /// twice for a stream's name, also not after a restart of the store.
    pub epoch: u64,
}

/// Who owns a stream after [`LogStore::acquire`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acquired {
    /// The caller does.
    Granted(Lease),
    /// Another proxy does.
    OwnedBy(Owner),
}

/// What one append writes: one or more records that share an entry id and become durable together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The records in order. Not empty.
    pub records: Vec<EntryRecord>,
}

/// One record of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRecord {
    /// The application's bytes, or a whole record set.
    pub payload: Bytes,
    /// How many slots it takes: the number of records when `payload` is a record set, else 1; 0
    /// for a control record, which is there for its position alone and is not delivered.
    pub slots: u32,
    /// Whether `payload` is a record set.
    pub is_record_set: bool,
}

/// How much to read, of which stream, and how long to wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadLimit {
    /// Stop after this many payload bytes; at least one entry is returned when there is one.
    pub max_bytes: usize,
    /// How long to wait when there is nothing at or after the position. Zero answers at once.
    pub wait: Duration,
    /// When the stream was created that is meant: one that was created at another time has its
    /// name only, and is [not found](StoreError::StreamNotFound). `None`: whichever has the
    /// name.
    pub created_unix_ms: Option<u64>,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadBatch {
    /// The entries, in the order of their positions.
    pub entries: Vec<StoredEntry>,
    /// Where the next read should start.
    pub next: Dlsn,
    /// Records before it are not to be delivered, although an entry holds them: the read's
    /// position or the truncation point, whichever is later.
    pub start: Dlsn,
    /// When the stream was created that was read, in milliseconds since 1970.
    pub created_unix_ms: u64,
}

/// An entry as it was appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEntry {
    /// The position of the first slot of `records[0]`. Record sets count one slot for each of
    /// their records.
    pub dlsn: Dlsn,
    /// When the store wrote it: milliseconds since 1970.
    pub written_unix_ms: u64,
    /// Its records.
    pub records: Vec<EntryRecord>,
}

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// Its name.
    pub name: StreamName,
    /// Milliseconds since 1970. Together with the name it says which stream it is: one that is
    /// created when another of its name was deleted has a time of its own.
    pub created_unix_ms: u64,
    /// Its log segments that still hold records, oldest first.
    pub segments: Vec<SegmentInfo>,
    /// Position of the first record that can be read, if there is one.
    pub first: Option<Dlsn>,
    /// Position of the last record, if there is one.
    pub last: Option<Dlsn>,
    /// Where the stream was truncated, if it was.
    pub truncated_before: Option<Dlsn>,
    /// Who may append to it, if anyone.
    pub owner: Option<Owner>,
}

/// What is known of a log segment. Counts and sizes are as written: truncation in the middle of a
/// segment does not lower them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentInfo {
    /// Its number; a stream's first is 1.
    pub log_segment_sequence_no: i64,
    /// Whether no entry will be added to it.
    pub completed: bool,
    /// How many entries it holds.
    pub entries: u64,
    /// How many records (slots) it holds.
    pub records: u64,
    /// How many payload bytes it holds.
    pub payload_bytes: u64,
    /// When its first entry was written: milliseconds since 1970.
    pub first_unix_ms: u64,
    /// When its last entry was written: milliseconds since 1970.
    pub last_unix_ms: u64,
}

/// Why the store could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreError {
    /// There is no such stream. Create it first.
    StreamNotFound(StreamName),
    /// There is such a stream already.
    StreamExists(StreamName),
    /// The lease is not the stream's current one: someone else acquired the stream, or it was
    /// deleted. Nothing was written.
    Fenced(StreamName),
    /// The disk is full. Nothing of this entry was written; reads go on.
    DiskFull {
        /// The folder or file that could not grow.
        path: String,
    },
    /// The folder cannot be written. Nothing of this entry was written; reads go on.
    ReadOnly {
        /// The folder.
        path: String,
    },
    /// The entry is larger than the store takes. Nothing was written.
    TooLarge {
        /// The entry's size in bytes.
        size: usize,
        /// The largest the store takes.
        limit: usize,
    },
    /// The entry has no records, or a record set without slots. Nothing was written.
    InvalidEntry {
        /// What is wrong with it.
        detail: String,
    },
    /// A newer version of this program wrote the store's files. Nothing was touched: use that
    /// version.
    NewerVersion {
        /// The file.
        path: String,
        /// Its format version.
        found: u32,
        /// The newest format version that this program reads.
        supported: u32,
    },
    /// Another process holds the store.
    InUse {
        /// The store's folder.
        path: String,
        /// That process, as it described itself.
        holder: String,
    },
    /// The store's files are not what this version wrote. Says which file, where and what.
    Corrupt {
        /// The file.
        path: String,
        /// Where and what.
        detail: String,
    },
    /// The operating system failed an operation on the store's files. The entry may or may not be
    /// on disk.
    Io {
        /// The file or folder.
        path: String,
        /// What the system said.
        detail: String,
    },
    /// The connection to a remote store was lost while it worked on this. The entry may or may not
    /// be on disk.
    Disconnected {
        /// The store's address.
        address: String,
        /// What happened.
        detail: String,
    },
    /// A remote store cannot be reached now, so it was not asked. Nothing was written; trying again
    /// later makes sense.
    Unreachable {
        /// The store's address.
        address: String,
        /// What was tried and how it failed.
        detail: String,
    },
    /// What answers at the address is no store that can be used: another protocol, another version,
    /// or another namespace. Nothing was written; trying again makes no sense until someone
    /// changes the address or the server.
    Refused {
        /// The store's address.
        address: String,
        /// What it is instead, and what would be right.
        detail: String,
    },
    /// More waits for the store than it takes at once. Nothing was written; trying again later
    /// makes sense.
    Overloaded {
        /// How many bytes of appends, or how many reads, may wait.
        limit: usize,
    },
    /// The store is closed.
    Closed,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StreamNotFound(stream) => write!(f, "log stream {stream} is not found"),
            Self::StreamExists(stream) => write!(f, "log stream {stream} exists already"),
            Self::Fenced(stream) => write!(f, "log stream {stream} has another owner now"),
            Self::DiskFull { path } => write!(f, "the disk is full: {path} cannot grow"),
            Self::ReadOnly { path } => write!(f, "{path} is read-only"),
            Self::TooLarge { size, limit } => write!(
                f,
                "an entry of {size} bytes is larger than the limit of {limit}"
            ),
            Self::InvalidEntry { detail } => write!(f, "not an entry: {detail}"),
            Self::NewerVersion {
                path,
                found,
                supported,
            } => {
                write!(
                    f,
                    "{path} has format version {found}, this program reads up to {supported}: use \
                     the newer program"
                )
            }
            Self::InUse { path, holder } => write!(f, "the store {path} is in use by {holder}"),
            Self::Corrupt { path, detail } => write!(f, "{path} is damaged: {detail}"),
            Self::Io { path, detail } => write!(f, "{path}: {detail}"),
            Self::Disconnected { address, detail } => write!(f, "store at {address}: {detail}"),
            Self::Unreachable { address, detail } => {
                write!(f, "store at {address} cannot be reached: {detail}")
            }
            Self::Refused { address, detail } => {
                write!(f, "{address} is no store that can be used: {detail}")
            }
            Self::Overloaded { limit } => write!(
                f,
                "too much waits for the store already (the limit is {limit})"
            ),
            Self::Closed => f.write_str("the store is closed"),
        }
    }
}

impl core::error::Error for StoreError {}
