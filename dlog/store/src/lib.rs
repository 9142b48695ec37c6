//! Where log streams live: the [`LogStore`] trait and what implements it.
//!
//! - [`embedded`]: in a folder of this machine, synced before anything is acknowledged.
//! - [`remote`]: a store that another process serves, and the server.
//!
//! A [`Uri`](uri::Uri) says where a namespace of streams is served.

pub mod dlsn_text;
pub mod embedded;
mod entropy;
mod name;
pub mod net;
pub mod remote;
mod types;
pub mod uri;
pub mod utc;

pub use entropy::Entropy;
pub use name::StreamName;
pub use types::{
    Acquired, AppendDone, Entry, EntryRecord, Lease, LogStore, Owner, ReadBatch, ReadLimit,
    SegmentInfo, StoreError, StoreFuture, StoredEntry, StreamInfo,
};
