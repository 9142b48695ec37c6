//! The multi stream writer for async code on any runtime: [`MultiStreamWriter`] and its [`Runner`].

mod futures;
mod handle;
mod permit;
mod runner;
mod sealed;
mod seats;
mod state;
mod waiters;

pub use futures::{Acknowledgement, Close, Flush, Reported, Reserve, Submit, Write};
pub use handle::MultiStreamWriter;
pub use permit::Permit;
pub use runner::Runner;
pub use seats::{Seat, Seats};
pub use state::{Face, State};
