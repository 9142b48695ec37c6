//! Real clusters for tests: ZooKeeper and bookies as Java processes of their own, faults that are
//! injected into them, and Java's clients as peers. Run by tests/parts/bookkeeper, which compiles
//! the Java programs in tests/bookkeeper/java.
//!
//! - [`cluster`]: [`Cluster`](cluster::Cluster) starts servers; kills, stops, fills, wipes them.
//! - [`relay`]: TCP relays between clients and servers that hold, swallow or cut.
//! - [`peer`]: Java's BookKeeper client and DistributedLog core, told what to do line by line.
//! - [`shared`]: one cluster for all tests of a binary that do it no harm.

pub mod cluster;
pub mod java;
pub mod peer;
pub mod relay;
pub mod shared;
