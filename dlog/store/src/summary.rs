//! Streams in short, for tables of many.

use crate::{Owner, RetentionInfo, StreamInfo, StreamName};

/// A stream in short: what a table of streams has in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamSummary {
    /// Name of the stream.
    pub name: StreamName,
    /// Time of creation in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Number of log segments that still hold records.
    pub segments: u64,
    /// Number of records in them.
    pub records: u64,
    /// Number of payload bytes in them.
    pub payload_bytes: u64,
    /// Time at which the first of them was written, in milliseconds since 1970. `None`: there is
    /// none.
    pub first_unix_ms: Option<u64>,
    /// Time at which the last of them was written, in milliseconds since 1970. `None`: there is
    /// none.
    pub last_unix_ms: Option<u64>,
    /// Owner of the stream. `None` if it has none.
    pub owner: Option<Owner>,
    /// Retention of the stream. `None`: the store has none, or was not asked.
    pub retention: Option<RetentionInfo>,
}

impl From<StreamInfo> for StreamSummary {
    fn from(info: StreamInfo) -> Self {
        let segments = &info.segments;
        Self {
            created_unix_ms: info.created_unix_ms,
            segments: segments.len() as u64,
            records: segments.iter().map(|segment| segment.records).sum(),
            payload_bytes: segments.iter().map(|segment| segment.payload_bytes).sum(),
            first_unix_ms: segments.first().map(|segment| segment.first_unix_ms),
            last_unix_ms: segments.last().map(|segment| segment.last_unix_ms),
            owner: info.owner,
            retention: None,
            name: info.name,
        }
    }
}

/// A page of streams in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SummaryPage {
    /// Streams, sorted by name.
    pub streams: Vec<StreamSummary>,
    /// True if further streams follow. The next page is after the last of `streams`.
    pub more: bool,
}

impl SummaryPage {
    /// Creates a page.
    #[must_use]
    pub const fn new(streams: Vec<StreamSummary>, more: bool) -> Self {
        Self { streams, more }
    }
}

/// Room of the file system that a store is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskUsage {
    /// Size of the file system in bytes.
    pub size_bytes: u64,
    /// Bytes that are left in it.
    pub free_bytes: u64,
    /// Bytes of readable entries in the store.
    pub live_bytes: u64,
    /// Bytes in the store's files that are not needed, and that compaction has not removed yet.
    pub dead_bytes: u64,
}
