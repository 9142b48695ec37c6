//! Readers of DistributedLog's streams: records one by one, each with its own position, also those
//! that were written as record sets.
//!
//! [`MultiStreamReader`] is the one for applications. It merges several streams and delivers each
//! record once, although a multi stream writer may have stored duplicates of it in several of them
//! (R12). It reads over the HTTP port of write proxies ([`HttpSource`]) or from a store, and
//! resumes at a [saved position](ReaderPosition) over either.
//!
//! ```no_run
//! use distributedlog_reader::{HttpSource, MultiStreamReader};
//!
//! # async fn print_all() -> Result<(), Box<dyn std::error::Error>> {
//! let mut reader = MultiStreamReader::builder(HttpSource::new(["http://127.0.0.1:8002"]))
//!     .streams(["orders-1", "orders-2", "orders-3"])
//!     .follow(false)
//!     .build()?;
//! while let Some(record) = reader.next().await.transpose()? {
//!     println!("{} {}", record.stream, record.record.dlsn);
//! }
//! let saved = reader.position().to_json();
//! # Ok(())
//! # }
//! ```
//!
//! - [Exactly once](MultiStreamReader#exactly-once): the position is committed with the
//!   application's own data.
//! - [Back pressure](MultiStreamReader#back-pressure): the reader works only while it is polled,
//!   and what it reads ahead is bounded in bytes.
//! - Waiting methods are cancel safe; [`MultiStreamReader`] is a `Stream` too.
//! - [`ReadError`] ends a reader; [`StreamFault`]s are problems of single streams, which do not.
//!
//! With the feature `store` there are two lower-level readers of a `LogStore`: `LogReader` reads
//! one stream in order, and waits at its end without polling; `MultiReader` merges several, and
//! returns each problem as an item. Both deliver the records of a set one by one or at once, and
//! can have the store read ahead.
//!
//! A damaged record set does not end a stream. It is reported with its positions and the reason,
//! and reading goes on behind it. An operator can inspect such a set in the store; a reader that
//! stopped there would make every record behind it unreadable.
//!
//! Readers keep no position in the store or at the proxy: the application saves it, together with
//! what it did with the records.
//!
//! # Features
//!
//! - `http` (default): `HttpSource`.
//! - `tls` (default): `https` URLs and `Tls`. The cryptography is that of the process's default
//!   provider of rustls, or that of a `ClientConfig` of yours.
//! - `ring` (default): ring is the cryptography of a process without a default provider. Implies
//!   `tls`.
//! - `native-roots` (default): the authorities that the machine's owner trusts. Implies `tls`.
//! - `store`: sources that are a `LogStore`, `LogReader` and `MultiReader`.

#[cfg(any(feature = "http", feature = "store"))]
pub mod entries;
mod event;
#[cfg(any(feature = "http", feature = "store"))]
mod expand;
#[cfg(all(test, feature = "store"))]
mod locking_store;
#[cfg(feature = "store")]
mod log_reader;
#[cfg(any(feature = "http", feature = "store"))]
mod merge;
mod position;
#[cfg(any(feature = "http", feature = "store"))]
mod reader;
#[cfg(any(feature = "http", feature = "store"))]
mod run;
#[cfg(any(feature = "http", feature = "store"))]
mod source;
#[cfg(any(feature = "http", feature = "store"))]
mod start;
mod stream_position;

pub use event::{MalformedSet, ReadEvent, Record};
#[cfg(feature = "store")]
pub use log_reader::LogReader;
#[cfg(any(feature = "http", feature = "store"))]
pub use merge::{MergeCounters, MergeSettings};
#[cfg(feature = "store")]
pub use merge::{
    MergePosition, MergePositionError, MergedEvent, MergedRun, MultiReader, RunEvent, StreamError,
    StreamErrorKind,
};
pub use position::{PositionError, ReaderPosition};
#[cfg(any(feature = "http", feature = "store"))]
pub use reader::{
    BuildError, FaultKind, MultiStreamReader, MultiStreamReaderBuilder, ReadError, ReaderStats,
    RecordBatch, StreamFault, StreamLag, StreamRecord, StreamStats,
};
#[cfg(any(feature = "http", feature = "store"))]
pub use run::{RecordRun, StreamRun};
#[cfg(feature = "http")]
pub use source::HttpSource;
#[cfg(any(feature = "http", feature = "store"))]
pub use source::Source;
#[cfg(any(feature = "http", feature = "store"))]
pub use start::ReadFrom;
pub use stream_position::StreamPosition;
#[cfg(feature = "store")]
pub use stream_position::StreamPositionError;

#[cfg(feature = "tls")]
pub use distributedlog_tokio::{ClientCertificate, Tls};

/// The examples of the README compile.
#[cfg(all(doctest, feature = "http", feature = "store"))]
#[doc = include_str!("../README.md")]
struct Readme;
