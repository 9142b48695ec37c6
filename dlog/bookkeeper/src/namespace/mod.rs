//! DistributedLog's layout on BookKeeper and ZooKeeper: log segments, records in entries, write
//! locks.
//!
//! A log is a sequence of log segments, each one ledger. An entry of a ledger holds one or more
//! records in an envelope. Everything encodes to the bytes that DistributedLog 4.17.3 and 0.5.0
//! write.

mod binding;
mod entry;
mod error;
mod lock;
pub mod nodes;
mod paths;
pub mod plan;
pub mod retention;
mod segment;

pub use binding::{Binding, BindingError};
pub use entry::{
    Compression, EnvelopedEntry, LogRecord, MAX_ENTRY_BYTES, MAX_RECORD_BYTES, RecordKind, Records,
};
pub use error::NamespaceError;
pub use lock::LockMember;
pub use paths::{DEFAULT_PARTITION, LogPaths, MAX_NAME_BYTES, NameError, check_name, is_reserved};
pub use retention::StoredSegment;
pub use segment::{Completed, LogSegment, SegmentState, Truncation};
