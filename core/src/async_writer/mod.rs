//! The multi stream writer for async code on any runtime: [`MultiStreamWriter`] and its [`Runner`].
//!
//! A writer consists of three parts: a [`State`], which holds the
//! [state machine](crate::writer::Writer) and the waiting tasks, inside a
//! [`Shared`](crate::Shared) that fits the runtime (a cell on one thread, a mutex on several); a
//! [`Transport`](crate::Transport), which carries record sets to streams; and a
//! [`Clock`](crate::Clock). The handle accepts records, the runner does the work. Neither needs an
//! allocator.
//!
//! # Example
//!
//! ```
//! use core::cell::RefCell;
//! use core::time::Duration;
//! use distributedlog::async_writer::{MultiStreamWriter, State, WaiterSlot};
//! use distributedlog::writer::{Fixed, Settings, StreamCount, Writer};
//! use distributedlog_testkit::{Executor, Latency, MemoryStreams};
//! use futures_lite::future::zip;
//!
//! // Virtual time and streams in memory take the place of a runtime and a network.
//! let mut executor = Executor::new(1);
//! let latency = Latency::Constant(Duration::from_millis(1));
//! let streams = MemoryStreams::new(executor.clock(), 3, latency, 1);
//!
//! let storage = Fixed::<3, 3, 16, 1024>::new();
//! let machine = Writer::new(Settings::default(), StreamCount::new(3)?, storage)?;
//! // A slot for each of the 16 records, and for four tasks that wait for room.
//! let slots = [const { WaiterSlot::EMPTY }; 20];
//! let state = RefCell::new(State::new(machine, slots, executor.clock()));
//! let (writer, runner) = MultiStreamWriter::new(&state, streams);
//!
//! let user = async {
//!     let written = writer.write(b"hello").await?;
//!     println!("{} of stream {}", written.dlsn, written.stream.0);
//!     writer.close().await;
//!     Ok::<(), distributedlog::writer::WriteError>(())
//! };
//! // A runtime would spawn the runner.
//! let (result, ()) = executor.run(zip(user, runner.run()));
//! result?;
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # Timeouts and several writes at once
//!
//! The futures are ordinary ones, so the combinators of any library work on them.
//! [futures-lite](https://docs.rs/futures-lite) needs no allocator either: `or` bounds the time
//! that a write may take, `zip` waits for two of them, `poll_once` polls one without waiting. Each
//! method says under "Cancel safety" what dropping its future does to the record.
//!
//! ```
//! use core::time::Duration;
//! use distributedlog::writer::Settings;
//! use distributedlog::{Clock, StreamIndex};
//! use distributedlog_testkit::{Executor, Faults, Faulty, Latency, MemoryStreams, writer};
//! use futures_lite::future::{or, poll_once, zip};
//!
//! let mut executor = Executor::new(1);
//! let clock = executor.clock();
//! let latency = Latency::Constant(Duration::from_millis(5));
//! let streams = MemoryStreams::new(clock.clone(), 1, latency, 1);
//! let (transport, faults) = Faulty::new(streams, clock.clone(), 1, 1);
//! let (writer, runner) = writer(Settings::default(), 1, clock.clone(), transport);
//! executor.spawn(runner.run());
//!
//! executor.run(async {
//!     // Both records, which may share a set.
//!     let (first, second) = zip(writer.write(b"first"), writer.write(b"second")).await;
//!     first.and(second).expect("the stream is healthy");
//!
//!     // An acknowledgement that is not there yet.
//!     let mut acknowledgement = writer.submit(b"third").await.expect("there is room");
//!     assert!(poll_once(&mut acknowledgement).await.is_none());
//!     acknowledgement.await.expect("the stream is healthy");
//!
//!     // At most 20 ms for this caller. The writer goes on with the record (R14): a caller that
//!     // writes it again may duplicate it.
//!     faults.set(StreamIndex(0), Faults::stalled());
//!     let timeout = async {
//!         clock.sleep_until(clock.now() + Duration::from_millis(20)).await;
//!         None
//!     };
//!     let written = or(async { Some(writer.write(b"fourth").await) }, timeout).await;
//!     assert_eq!(written, None);
//! });
//! ```

mod acknowledgement;
mod futures;
mod handle;
#[cfg(feature = "std")]
mod heap_slots;
mod permit;
mod runner;
mod sealed;
mod state;
mod waiter_slots;
mod waiters;

pub use acknowledgement::{Acknowledgement, MapAttempts, WithAttempts};
pub use futures::{Close, Drained, Flush, Submit, Write};
pub use handle::MultiStreamWriter;
#[cfg(feature = "std")]
pub use heap_slots::{GrowingSlots, HeapSlots};
pub use permit::{Permit, Reserve};
pub use runner::Runner;
pub use state::{AsyncWriterState, State};
pub use waiter_slots::{WaiterSlot, WaiterSlots};
