//! Tools to test code that writes through the multi stream writer, and the writer itself: nothing
//! here waits for real time to pass.
//!
//! - [`VirtualClock`] and [`Executor`]: async code whose timers fire at once, in order, always the
//!   same way for the same seed.
//! - [`MemoryStreams`]: a transport to streams in memory that answers after a latency and shows
//!   what it stored.
//! - [`Faulty`]: wraps any transport and stalls, fails, delays, reorders it, or loses its answers,
//!   stream by stream, from a seed.
//! - [`NullTransport`]: answers every attempt at once; what is measured over it is the writer
//!   alone.
//! - [`script`]: plays a script of (time, event) against the machine and compares what it does,
//!   line by line.
//!
//! ```
//! use core::time::Duration;
//! use distributedlog::StreamIndex;
//! use distributedlog::writer::Settings;
//! use distributedlog_testkit::{Executor, Faulty, Faults, Latency, MemoryStreams, writer};
//!
//! let mut executor = Executor::new(1);
//! let streams = MemoryStreams::new(executor.clock(), 5, Latency::Constant(Duration::from_millis(2)), 1);
//! let (transport, faults) = Faulty::new(streams.clone(), executor.clock(), 5, 1);
//! faults.set(StreamIndex(0), Faults::stalled());
//!
//! let (handle, runner) = writer(Settings::default(), 5, executor.clock(), transport);
//! executor.spawn(runner.run());
//! for _ in 0..5 {
//!     // One of the five records starts at the stalled stream: a hedge saves it.
//!     executor.run(handle.write(b"hello")).expect("four streams are well");
//! }
//! assert_eq!(streams.sets_stored(), 5);
//! ```

mod clock;
mod executor;
mod faulty;
mod null;
mod random;
pub mod script;
mod setup;
#[cfg(feature = "store")]
pub mod store;
mod streams;

pub use clock::{VirtualClock, VirtualSleep};
pub use executor::{Executor, TaskId};
pub use faulty::{FaultControl, Faults, Faulty};
pub use null::NullTransport;
pub use random::Random;
pub use setup::{SharedState, waiter_slots, writer};
pub use streams::{Latency, MemoryStreams, StoredSet};
