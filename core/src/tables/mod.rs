//! One kit for the tables of writer, client and session: rows that are taken and given back
//! ([`Slab`]), linked into lists by their indices ([`Queue`]), with at most one timer each
//! ([`Timers`]), and sets of small numbers ([`Bits`]).
//!
//! The rows are memory of somebody else: an array or a slice on a device, a vector that grows on a
//! host ([`Rows`]). No operation allocates but [`Rows::grow`], and none but a search walks over
//! rows.

mod bits;
#[cfg(test)]
mod properties;
mod queue;
mod rows;
mod slab;
mod timers;

pub(crate) use bits::Bits;
pub(crate) use queue::{Linked, Links, Queue, linked};
#[cfg(feature = "std")]
pub use rows::Heap;
#[cfg(feature = "std")]
pub(crate) use rows::grow;
pub use rows::{Inline, Memory};
pub(crate) use rows::{Row, Rows};
pub(crate) use slab::Slab;
pub use timers::TimerSlot;
pub(crate) use timers::Timers;
