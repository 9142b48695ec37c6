//! Durable storage of DistributedLog's streams: the [`LogStore`] trait and its implementations.
//!
//! - [`embedded`]: a store in a folder of this machine. Group commit: nothing is acknowledged
//!   before it is synced, and one sync covers everything that arrived during the previous one.
//! - `bookkeeper` (feature `bookkeeper`): a store on Apache BookKeeper, in DistributedLog's own
//!   layout.
//! - [`remote`]: a store that another process serves. [`remote::serve`] serves any `LogStore`;
//!   [`remote::RemoteStore`] is its client, itself a `LogStore`.
//!
//! A [`Uri`](uri::Uri) is the address of a namespace of streams. [`net`] has the traits with which
//! a simulation or a test replaces TCP.
//!
//! A stream is a sequence of records in log segments. An owner acquires a stream, appends entries
//! of one or more records with its lease, and gets a position, a [`Dlsn`], for each. Any number of
//! readers read from any position, and can wait for the next entry.
//!
//! # Example
//!
//! ```
//! use core::time::Duration;
//!
//! use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
//! use distributedlog_store::{
//!     Acquired, Entry, EntryRecord, LogStore, Owner, ReadLimit, StreamName,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let store = EmbeddedStore::open(EmbeddedSettings::new(folder.path()))?;
//! let stream = StreamName::new("orders")?;
//! store.create(&stream).await?;
//!
//! let owner = Owner {
//!     shard: 0,
//!     address: "127.0.0.1:8000".into(),
//! };
//! let Acquired::Granted(lease) = store.acquire(&stream, &owner).await? else {
//!     panic!("the stream has another owner");
//! };
//!
//! let record = EntryRecord {
//!     payload: "hello".into(),
//!     slots: 1,
//!     is_record_set: false,
//! };
//! let entry = Entry {
//!     records: vec![record],
//! };
//! let (sender, receiver) = tokio::sync::oneshot::channel();
//! store.append(&lease, entry, Box::new(|result| _ = sender.send(result)));
//! let dlsn = receiver.await??; // The entry is durable.
//!
//! let limit = ReadLimit {
//!     max_bytes: 1 << 20,
//!     wait: Duration::ZERO,
//!     created_unix_ms: None,
//! };
//! let batch = store.read(&stream, dlsn, limit).await?;
//! assert_eq!(batch.entries[0].records[0].payload, "hello");
//! store.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it is not
//!
//! The store does not replicate: what the disk loses is lost. It knows who a client is only as far
//! as a secret, or a certificate, admits it: it does not tell one from another. It does not batch
//! records, retry appends or detect duplicates: writers do that, through a write proxy or on their
//! own. Its files and its protocol are not those of Apache DistributedLog.

#[cfg(feature = "bookkeeper")]
pub mod bookkeeper;
pub mod budget;
pub mod descriptors;
pub mod dlsn_text;
pub mod embedded;
mod entropy;
mod error;
pub mod frames;
pub mod hash;
mod health;
pub mod log_limit;
pub mod metrics;
mod name;
pub mod net;
pub mod peer_protocol;
pub mod recorded;
pub mod remote;
mod retention;
#[cfg(seeded_bugs)]
#[doc(hidden)]
pub mod seeded_bugs;
mod store_id;
mod summary;
mod time_lookup;
pub mod tls;
mod types;
pub mod uri;
pub mod utc;
pub mod wakes;

pub use distributedlog::Dlsn;
pub use distributedlog::stream_name::StreamNameError;
pub use entropy::Entropy;
pub use error::StoreError;
pub use health::{StoreHealth, Verdict};
pub use name::{MAX_STREAM_NAME_BYTES, StreamName};
pub use retention::{RetainedSegment, Retention, RetentionInfo};
pub use store_id::{StoreId, StoreIdError};
pub use summary::{DiskUsage, StreamSummary, SummaryPage};
pub use types::{
    Acquired, AppendDone, Entry, EntryRecord, Lease, LogStore, MAX_OWNER_ADDRESS_BYTES, NamesPage,
    Owner, ReadBatch, ReadLimit, SegmentInfo, StoreFuture, StoredEntry, StreamInfo,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
