//! Simulates policies of hedging: which latencies a writer sees, and what load it makes, when
//! streams straggle, stall, move or are overloaded.
//!
//! A [`Simulation`] runs a [`Scenario`] under a [`Policy`] in virtual time: a million sets take a
//! second or so, and the same seed gives the same run. [`Ours`] is the product's own state machine;
//! [`Unhedged`], [`Original`], [`Percentile`] and [`Grpc`] are models of what others
//! do; [`Clairvoyant`] and [`BestDelays`] are bounds that they can be measured by. [`scenarios`]
//! are the ones that are compared in `docs/hedging.md`; `dlog sim` runs them, and others, from the
//! command line.

mod bounds;
mod distribution;
mod policy;
mod report;
mod scenario;
pub mod scenarios;
mod simulation;
mod world;

pub use bounds::{BestDelays, Clairvoyant};
pub use distribution::{Distribution, Recorded, RecordedError};
pub use policy::{
    Answer, Grpc, GrpcSettings, Original, Ours, Percentile, PercentileSettings, Policy, Start,
    Todo, Unhedged,
};
pub use report::{Latency, Read, Report, Second};
pub use scenario::{
    Arrivals, Bursts, Capacity, Fault, FaultKind, MAX_SETS, Scenario, ScenarioError, Stragglers,
};
pub use simulation::{MergedReader, Simulation, Stopped};
