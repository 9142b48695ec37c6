//! The proxy as its clients see it: over real sockets, byte for byte.

mod access;
mod bounds;
mod drain;
mod duplicates;
mod foreign;
#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../../../../core/tests/wire/golden_files.rs"]
mod golden_files;
mod hostile;
mod kit;
mod limits;
mod log_lines;
mod methods;
mod metrics;
mod panics;
mod replay;
mod session;
mod stats;
pub(crate) mod tls;
mod two_proxies;
