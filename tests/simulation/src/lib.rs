//! The whole system in one thread: writers, clients, proxies, the store and merged readers as they
//! are, over a simulated network and a simulated disk, in virtual time, from one seed.
//!
//! Everything of the product runs as it is: core's writer and client state machines, the proxy with
//! its connections, the store's server and its client, the embedded store with its recovery, the
//! merged reader. What is simulated is what surrounds it: TCP, the disk, the time, and who is
//! alive. `docs/simulation.md` says what goes wrong in a run, what is checked, and how to replay
//! one.

mod clocks;
mod faults;
mod net;
mod operator;
mod oracle;
mod process;
mod proxy;
mod reader;
mod run;
mod seeds;
mod store;
mod trace;
mod world;
mod writer;

pub use faults::{Fault, FaultCounts};
pub use oracle::Fates;
pub use run::{Report, run};
pub use seeds::{Broken, Summary, run_caught, run_seeds};
pub use trace::Counts;
