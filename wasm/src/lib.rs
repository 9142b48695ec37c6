//! The multi stream writer for JavaScript: in a browser's page or worker, in Node, Deno, Bun and
//! workerd.
//!
//! The state machines are core's. This crate drives them: a
//! [`Transport`](distributedlog::Transport) over the `fetch` that the user passes, a
//! [`Clock`](distributedlog::Clock) over `performance.now` and `setTimeout`, and tasks in
//! JavaScript's microtask queue. The npm package (`wasm/npm`) is a thin layer of TypeScript on top,
//! which does the two things that JavaScript does better: it calls `fetch`, and it makes promises
//! and errors.
//!
//! Nothing here formats text: errors cross the boundary as names and numbers, and TypeScript turns
//! them into sentences. That halves the module's size.

mod clock;
mod connections;
mod host;
mod merge;
mod response;
mod settings;
mod tasks;
mod transport;
mod writer;

/// TLSF: constant time, and small enough for a page.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

pub use clock::PerformanceClock;
pub use connections::{Connections, Step};
pub use host::Host;
pub use merge::DeduplicatorHandle;
pub use response::{ErrorResponse, NoResponse};
pub use transport::checksum;
pub use writer::WriterHandle;
