//! Simulation of processes that store streams on BookKeeper: whole stores, which share bookies and
//! a ZooKeeper ensemble that behave as badly as they may, in tokio's paused time, from one seed.
//!
//! `distributedlog_store::bookkeeper` and the driver of `distributedlog-bookkeeper` run unchanged,
//! and speak the real frames with the bookies of the test kit.

mod end;
mod faults;
mod gate;
mod nodes;
mod oracle;
mod plan;
mod process;
mod records;
mod run;
mod session;
mod workload;
mod world;

pub use oracle::OutcomeCounts;
pub use run::{StreamsReport, run_streams};
