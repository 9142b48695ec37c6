//! Simulator of hedging policies: the latencies that a multi stream writer sees, and the load that
//! it causes, when streams straggle, stall, change their owner or are overloaded, or share a disk.
//!
//! A [`Simulation`] runs a [`Scenario`] under a [`Policy`] in virtual time: a million sets take
//! about a second, and the same seed gives the same run on every machine.
//!
//! ```
//! use core::ops::ControlFlow;
//! use core::time::Duration;
//! use distributedlog::writer::Settings;
//! use distributedlog_sim::{Ours, Simulation, Unhedged, scenarios};
//!
//! // Scenario (a): 5 % of the attempts take ten times as long.
//! let (_, scenario) = scenarios::named("a").expect("there is a scenario a");
//! let simulation = Simulation::new(scenario.with_sets(10_000), 1)?;
//! let go_on = |_| ControlFlow::Continue(());
//!
//! let mut unhedged = Unhedged::new(5, Duration::from_millis(500));
//! let without = simulation.run(&mut unhedged, &mut (), go_on).expect("it is not stopped");
//! let mut ours = Ours::new(5, Settings::default())?;
//! let with = simulation.run(&mut ours, &mut (), go_on).expect("it is not stopped");
//!
//! assert!(with.latency(0.999) < without.latency(0.999));
//! assert!(with.extra_load() < 0.06);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Ours`] is the product's own state machine with its settings.
//! - [`Unhedged`], [`Original`], [`Percentile`] and [`Grpc`] are models of other writers.
//! - [`Clairvoyant`] and [`BestDelays`] are bounds to compare them with.
//! - [`scenarios`] has the scenarios that `docs/hedging.md` compares. `dlog sim` runs them, and
//!   others, from the command line.
//!
//! Streams are modelled by distributions of latencies, capacities and faults; there is no network
//! and no store. The simulation of the whole system, with its network and disks, is another one
//! (`tests/simulation` in the repository).
//!
//! # Features
//!
//! The crate has no features.

mod bounds;
mod copies;
mod distribution;
mod domains;
mod policy;
mod report;
mod scenario;
pub mod scenarios;
mod simulation;
mod world;

pub use bounds::{BestDelays, Clairvoyant};
pub use copies::Drops;
pub use distribution::{Distribution, Recorded, RecordedError};
pub use policy::{
    Actions, AttemptOutcome, AttemptStart, Grpc, GrpcSettings, Original, Ours, Percentile,
    PercentileSettings, Policy, Unhedged,
};
pub use report::{Latency, LoadPerSecond, ReadCounters, Report};
pub use scenario::{
    Arrivals, Bursts, Capacity, Fault, FaultKind, MAX_SETS, Scenario, ScenarioError, SharedStalls,
    Stragglers,
};
pub use simulation::{MergedReader, Simulation, Stopped};

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
