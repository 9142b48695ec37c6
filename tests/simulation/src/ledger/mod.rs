//! Simulation of one ledger: its writer and any number of recoveries, over bookies and a ZooKeeper
//! that behave as badly as they may, in virtual time, from one seed.
//!
//! The state machines of `distributedlog-bookkeeper` run unchanged, and speak the real frames.
//! Bookies follow the rules recorded from real ones: an entry is visible before it is durable, a
//! fence holds at once and is durable later, a crash loses what was not.

mod bookie;
mod clients;
mod node;
mod oracle;
mod plan;
mod world;

pub use world::{LedgerReport, run_ledger};
