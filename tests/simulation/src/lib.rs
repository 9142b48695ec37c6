//! Simulation of the whole system in one thread: writers, clients, proxies, the store and merged
//! readers over a simulated network and a simulated disk, in virtual time, from one seed.
//!
//! All code of the product runs unchanged: core's writer and client state machines, the proxy with
//! its connections, the store's server and its client, the embedded store with its recovery, the
//! merged reader. TCP, the disk, time and crashes are simulated. `docs/simulation.md` lists the
//! faults of a run, the checks, and the way to replay a run.

mod clocks;
mod faults;
pub mod ledger;
mod net;
mod operator;
mod oracle;
mod process;
mod proxy;
mod reader;
mod run;
mod seeds;
mod store;
pub mod streams;
mod trace;
mod world;
mod writer;

pub use faults::{Fault, FaultCounts};
pub use oracle::RecordCounts;
pub use run::{Report, run};
pub use seeds::{SeedFailure, Summary, run_caught, run_caught_with, run_seeds};
pub use trace::Counts;
