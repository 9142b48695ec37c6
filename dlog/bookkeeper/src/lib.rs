//! A client of [Apache BookKeeper](https://bookkeeper.apache.org), as state machines without I/O.
//!
//! A ledger is a sequence of entries that one writer appends, and that a number of servers, the
//! bookies, store in copies. Its metadata lies in ZooKeeper.
//!
//! - `driver`: the state machines on tokio, with real bookies (feature `tokio`).
//! - [`wire`]: the frames of protocol v3.
//! - [`entry`]: bodies of entries with their digests.
//! - [`ledger`]: writing a ledger, recovering one that its writer left, and reading one.
//! - [`metadata`]: a ledger's metadata in its three formats, and the paths of ZooKeeper nodes.
//! - [`cluster`]: ledgers' nodes in ZooKeeper: create, read, change, delete, list.
//! - [`namespace`]: DistributedLog's log segments, records and locks on top of it.
//! - [`zookeeper`]: the part of ZooKeeper that this needs, as a trait.
//! - `driver` (feature `tokio`, a default): the trait over real servers.
#![forbid(unsafe_code)]

pub mod cluster;
#[cfg(feature = "tokio")]
pub mod driver;
pub mod entry;
pub mod ledger;
pub mod metadata;
pub mod namespace;
#[cfg(seeded_bugs)]
pub mod seeded_bugs;
pub mod wire;
pub mod zookeeper;

/// Number of a ledger.
pub type LedgerId = i64;

/// Number of an entry of a ledger, counted from 0; [`NO_ENTRY`] where the protocol means none.
pub type EntryId = i64;

/// The number before the first entry: the last add confirmed of a ledger without confirmed entries,
/// and in a read the bookie's last entry.
pub const NO_ENTRY: EntryId = -1;

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
