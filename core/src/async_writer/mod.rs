//! The multi stream writer for async code on any runtime: [`MultiStreamWriter`] and its [`Runner`].
//!
//! Three things make one: a [`State`], which holds the [machine](crate::writer::Writer) and those
//! who wait, in whatever [`Shared`](crate::Shared) fits the runtime (a cell on one thread, a mutex
//! on several); a [`Transport`](crate::Transport), which carries record sets to streams; and a
//! [`Clock`](crate::Clock). The handle writes, the runner works. Neither needs an allocator.
//!
//! ```
//! use core::cell::RefCell;
//! use core::time::Duration;
//! use distributedlog::async_writer::{MultiStreamWriter, WaiterSlot, State};
//! use distributedlog::writer::{Fixed, Settings, StreamCount, Writer};
//! use distributedlog_testkit::{Executor, Latency, MemoryStreams};
//! use futures_lite::future::zip;
//!
//! // Virtual time and streams in memory stand for a runtime and a network.
//! let mut executor = Executor::new(1);
//! let streams = MemoryStreams::new(executor.clock(), 3, Latency::Constant(Duration::from_millis(1)), 1);
//!
//! let machine = Writer::new(Settings::default(), StreamCount::new(3)?, Fixed::<3, 3, 16, 1024>::new())?;
//! // A seat for each of the 16 records, and for four tasks that wait for room.
//! let state = RefCell::new(State::new(machine, [const { WaiterSlot::EMPTY }; 20], executor.clock()));
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

mod futures;
mod handle;
mod permit;
mod runner;
mod sealed;
mod state;
mod waiter_slots;
mod waiters;

pub use futures::{Acknowledgement, Close, Flush, Reported, Reserve, Submit, Write};
pub use handle::MultiStreamWriter;
pub use permit::Permit;
pub use runner::Runner;
pub use state::{AsyncWriterState, State};
pub use waiter_slots::{WaiterSlot, WaiterSlots};
