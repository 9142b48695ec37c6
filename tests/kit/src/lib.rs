//! Tools to test code that writes through the multi stream writer, and the writer itself. No test
//! over them waits for real time to pass.
//!
//! - [`VirtualClock`] and [`Executor`]: run async code whose timers fire at once and in order, and
//!   which behaves in the same way for the same seed.
//! - [`MemoryStreams`]: a transport to streams in memory, which answers after a latency and shows
//!   what it stored.
//! - [`Faulty`]: wraps any transport, and for each stream stalls, fails, delays or reorders
//!   attempts, or loses answers, from a seed.
//! - [`NullTransport`]: answers every attempt at once, to measure the writer alone.
//! - [`ports`]: ports of this machine that no other test takes.
//! - [`script`]: plays a script of (time, event) against the state machine and compares its
//!   actions, line by line.
//!
//! ```
//! use core::time::Duration;
//! use distributedlog::StreamIndex;
//! use distributedlog::writer::Settings;
//! use distributedlog_testkit::{Executor, Faulty, Faults, Latency, MemoryStreams, writer};
//!
//! let mut executor = Executor::new(1);
//! let latency = Latency::Constant(Duration::from_millis(2));
//! let streams = MemoryStreams::new(executor.clock(), 5, latency, 1);
//! let (transport, faults) = Faulty::new(streams.clone(), executor.clock(), 5, 1);
//! faults.set(StreamIndex(0), Faults::stalled());
//!
//! let (handle, runner) = writer(Settings::default(), 5, executor.clock(), transport);
//! executor.spawn(runner.run());
//! for _ in 0..5 {
//!     // One of the five records starts at the stalled stream, and a hedge completes it.
//!     executor.run(handle.write(b"hello")).expect("four streams are healthy");
//! }
//! assert_eq!(streams.sets_stored(), 5);
//! ```
//!
//! # Features
//!
//! With the feature `store` (not a default), the module `store` has a `LogStore` in memory with
//! holds and faults, a disk that loses what was not synced, and a conformance suite that every
//! implementation of `LogStore` can run. With the feature `bookies`, the module `bookies` has
//! bookies in memory.
//!
//! With the feature `zookeeper` (not a default), the module `zookeeper` has a ZooKeeper ensemble in
//! memory that loses replies and sessions on purpose.

#[cfg(feature = "bookies")]
pub mod bookies;
mod clock;
mod executor;
mod faulty;
mod null;
pub mod ports;
mod random;
pub mod script;
mod setup;
#[cfg(feature = "store")]
pub mod store;
mod streams;
#[cfg(feature = "zookeeper")]
pub mod zookeeper;

pub use clock::{VirtualClock, VirtualSleep};
pub use executor::{Executor, TaskId};
pub use faulty::{FaultControl, Faults, Faulty};
pub use null::NullTransport;
pub use random::Random;
pub use setup::{SharedState, writer};
pub use streams::{Latency, MemoryStreams, StoredSet};

/// The README's example is compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
