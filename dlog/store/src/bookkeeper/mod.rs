//! A store on Apache BookKeeper, in DistributedLog's own layout.
//!
//! What it writes, DistributedLog's readers, writers, proxies and tools in Java read and continue,
//! and the other way round, stream by stream and owner by owner. The bookies are Java's.
//!
//! # Guarantees
//!
//! - An acknowledged entry is on the disks of the ack quorum of its bookies, and every recovery of
//!   its log segment, by whomever, finds it.
//! - An append that failed is resolved by the end of its ledger, which is final: it is written, and
//!   its position is returned, or it is not and never will be. Only when nobody could close the
//!   ledger its outcome is unknown ([`StoreError::Disconnected`](crate::StoreError::Disconnected)).
//! - With the ack quorum of its bookies a segment goes on; bookies that failed are replaced as soon
//!   as others are there.
//! - A stream has one writer. The write lock in ZooKeeper says who; two that both believe it
//!   exclude each other by fences of the ledgers and by the versions of ZooKeeper's nodes. A lease
//!   ends with the session in ZooKeeper; before the ensemble could have ended a session that it
//!   does not hear, appends are refused.
//! - Deletion, truncation and retention may end anywhere: readers and the next owner find a valid
//!   log, or none. A ledger may be left that no log names.
//!
//! # Design
//!
//! A stream is a sequence of log segments, each one ledger. The lock is taken when a stream is
//! acquired, which first completes what an earlier owner left; the first append starts a segment.
//! Appends that arrive in the same turn of the runtime, or while several entries are in flight, are
//! gathered into one entry of the ledger. When nothing is in flight any more, a control record
//! follows, so that readers see the last entry. The next segment starts before the one that is full
//! is completed, so that a change of segments delays no append.

mod batch;
mod connect;
mod describe;
mod entries;
mod gathering;
mod log;
mod log_writer;
mod names;
pub mod operator;
mod owner;
mod reach;
mod read;
#[cfg(seeded_bugs)]
#[doc(hidden)]
pub mod seeded_bugs;
mod segment_writer;
mod settings;
mod store;
mod view;

pub use connect::{BookKeeper, Ensembles, connect};
pub use settings::BookKeeperSettings;
pub use store::BookKeeperStore;
