//! Telling the copies of record sets apart, for readers of several streams (R12).
//!
//! A writer puts a set into another stream too when the first one is slow; every copy carries the
//! same [identity](crate::wire::record_set::SetIdentity). [`Deduplicator`] remembers which were
//! delivered, in bounded memory, and can be [saved](Deduplicator::saved) and
//! [restored](Deduplicator::restored).

mod bytes;
mod deduplicator;
mod window;

use core::num::{NonZeroU16, NonZeroU32};

pub use bytes::{SavedDedup, SavedDedupError};
pub use deduplicator::{Deduplicator, Delivery};
pub use window::DedupWindow;

use crate::wire::record_set::{SetIdentity, WriterId};

/// How much a merged reader remembers of what it delivered.
///
/// Its memory is at most `writers` × `sequences` / 8 bytes, 2 MiB by default, and a few words for
/// each writer none of whose sets is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeSettings {
    /// How many sequences of one writer are told apart, counted back from the newest. Default: 65
    /// 536.
    pub sequences: NonZeroU32,
    /// How many writers are remembered; a further one takes the place of that whose sets were met
    /// longest ago. Default: 256.
    pub writers: NonZeroU16,
}

impl Default for MergeSettings {
    fn default() -> Self {
        const SEQUENCES: NonZeroU32 = NonZeroU32::new(1 << 16).expect("not zero");
        const WRITERS: NonZeroU16 = NonZeroU16::new(256).expect("not zero");
        Self {
            sequences: SEQUENCES,
            writers: WRITERS,
        }
    }
}

/// A writer as it is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SavedWriter {
    /// Which one.
    pub writer: WriterId,
    /// Which of its sets were delivered.
    pub window: DedupWindow,
}

/// Records `start..end` of a set were not delivered, others of it were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MissingRecords {
    /// Of which set.
    pub set: SetIdentity,
    /// The first that was not.
    pub start: u32,
    /// The first behind it that was, or how many there are.
    pub end: u32,
}
