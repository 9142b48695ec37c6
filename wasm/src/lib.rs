//! The multi stream writer for JavaScript: in a browser's page or worker, in Node, Deno, Bun and
//! workerd.
//!
//! The machines are core's; here is what drives them: a [`Transport`](distributedlog::Transport)
//! over whatever `fetch` it is given, a [`Clock`](distributedlog::Clock) over `performance.now` and
//! `setTimeout`, and tasks of JavaScript's own queue. What the npm package shows of it (`wasm/npm`)
//! is a thin layer of TypeScript, which does the two things that JavaScript does better: it calls
//! `fetch`, and it makes promises and errors.
//!
//! Nothing formats text here: errors cross as names and numbers, and become sentences on the other
//! side. That is half of the module's size.

mod answer;
mod clock;
mod connections;
mod host;
mod merge;
mod settings;
mod transport;
mod writer;

/// Constant time, and small enough for a page.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

pub use answer::{Answer, NoAnswer};
pub use clock::PerformanceClock;
pub use connections::{Connections, Step};
pub use host::Host;
pub use merge::Seen;
pub use settings::WriterSettings;
pub use transport::checksum;
pub use writer::WriterHandle;
