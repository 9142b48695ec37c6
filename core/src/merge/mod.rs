//! Deduplication of record sets, for readers of several streams (R12).
//!
//! A writer puts a set into another stream too if the first one is slow; every duplicate carries
//! the same [identity](crate::wire::record_set::SetIdentity). [`Deduplicator`] remembers which sets
//! were delivered, in bounded memory, and can be [saved](Deduplicator::saved) and
//! [restored](Deduplicator::restored). [`MergedReader`] does it in fixed memory, without an
//! allocator, and decodes the sets.

#[cfg(feature = "std")]
mod bytes;
#[cfg(feature = "std")]
mod deduplicator;
mod fixed;
#[cfg(feature = "std")]
mod saved;
mod window;

#[cfg(feature = "std")]
pub use bytes::{SavedDedup, SavedDedupError};
#[cfg(feature = "std")]
pub use deduplicator::{Deduplicator, Delivery};
pub use fixed::{EntryError, MergedReader, MergedRecords, ReadCounts, Stored};
#[cfg(feature = "std")]
pub use saved::{MergeSettings, MissingRecords, SavedWriter};
#[cfg(feature = "std")]
pub use window::DedupWindow;
pub use window::{SetWindow, WordQueue};
