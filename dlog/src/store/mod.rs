//! Where streams live: the [`LogStore`] trait and what implements it.

pub mod embedded;
pub mod memory;
mod name;
pub mod remote;
pub mod sim_disk;
mod types;

pub use name::StreamName;
pub use types::{
    Acquired, AppendDone, Entry, EntryRecord, Lease, LogStore, Owner, ReadBatch, ReadLimit,
    SegmentInfo, StoreError, StoreFuture, StoredEntry, StreamInfo,
};
