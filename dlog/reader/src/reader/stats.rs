use core::time::Duration;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::merge::MergeCounters;

/// Counters of a [`MultiStreamReader`](crate::MultiStreamReader) since it was created, and the
/// state of its streams.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReaderStats {
    /// Records delivered, duplicates dropped, and writers forgotten.
    pub merge: MergeCounters,
    /// Record sets that could not be decoded.
    pub malformed: u64,
    /// Problems of single streams, also those that were malformed sets.
    pub faults: u64,
    /// Connections made. 0 with a store, which has its own.
    pub connections: u64,
    /// Bytes that were read ahead of the application.
    pub buffered_bytes: usize,
    /// The streams, in the order in which they were named.
    pub streams: Vec<StreamStats>,
}

/// State of one stream of a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStats {
    /// The stream.
    pub stream: Arc<str>,
    /// True if every record of the stream was delivered when the source last said so: a store at
    /// once, a proxy by its silence, half of [`silence`](crate::HttpSource::silence) after the last
    /// record. A proxy that is slow may say so too early; [`lag`](crate::MultiStreamReader::lag)
    /// is exact.
    pub caught_up: bool,
    /// Time at which the last record delivered was written, in milliseconds since 1970. `None`
    /// before the first.
    pub last_written_unix_ms: Option<u64>,
    /// True if the stream is read no more: it was read to its end, deleted, or given up.
    pub ended: bool,
}

impl StreamStats {
    /// Returns how old the last record delivered was at `now`, and zero if the reader has caught
    /// up: an upper bound of the lag that costs no request, for a gauge. `None` before the first
    /// record of a stream that has not been caught up with.
    #[must_use]
    pub fn lag_at(&self, now: SystemTime) -> Option<Duration> {
        if self.caught_up {
            return Some(Duration::ZERO);
        }
        let since = Duration::from_millis(self.last_written_unix_ms?);
        // A time beyond those of the system is one that a server made up.
        let written = UNIX_EPOCH.checked_add(since)?;
        Some(now.duration_since(written).unwrap_or_default())
    }
}
