//! Bounds and saved state of a deduplicator.

use core::num::{NonZeroU16, NonZeroU32};

use super::DedupWindow;
use crate::wire::record_set::{SetIdentity, WriterId};

/// Bounds of a merged reader's memory of delivered sets.
///
/// Its memory is at most `writers` × `sequences` / 8 bytes, 2 MiB by default, a few words for each
/// writer none of whose sets is missing, and 24 bytes for each of the first 65,536 writers that
/// were forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeSettings {
    /// Number of sequences of one writer in its dedup window, counted back from the newest.
    /// Default: 65,536.
    pub sequences: NonZeroU32,
    /// Number of writers that are remembered; a further one replaces the writer whose last set is
    /// the oldest. Default: 256.
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

/// Saved state of a writer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SavedWriter {
    /// Id of the writer.
    pub writer: WriterId,
    /// Sequences of its delivered sets.
    pub window: DedupWindow,
    /// Sequences up to this one may have been delivered before the window began, because the writer
    /// was forgotten, or because it may have been. `None`: none was.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub uncertain_to: Option<u64>,
}

/// Records `start..end` of a set were not delivered, others of it were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct MissingRecords {
    /// Of which set.
    pub set: SetIdentity,
    /// The first that was not.
    pub start: u32,
    /// The first behind it that was, or how many there are.
    pub end: u32,
}
