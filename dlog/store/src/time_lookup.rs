//! Positions of times.

use core::time::Duration;

use distributedlog::Dlsn;

use crate::{ReadBatch, ReadLimit, SegmentInfo, StoreError, StoreFuture, StreamInfo};

/// Returns the position of the first record of a stream that was written at `unix_ms` or later, or
/// its end. `read` reads the stream.
///
/// Bounded: one read for each halving of a log segment's entries, at most 64.
pub(crate) async fn position_at<'a>(
    info: &StreamInfo,
    unix_ms: u64,
    read: &mut (dyn FnMut(Dlsn, ReadLimit) -> StoreFuture<'a, ReadBatch> + Send),
) -> Result<Dlsn, StoreError> {
    // Times do not decrease within a stream, so neither do the segments'.
    let at = info
        .segments
        .partition_point(|segment| segment.last_unix_ms < unix_ms);
    let Some(segment) = info.segments.get(at) else {
        return Ok(end(info));
    };
    let first = Dlsn::new(segment.log_segment_sequence_no, 0, 0);
    if segment.first_unix_ms >= unix_ms {
        return Ok(info.first.map_or(first, |readable| readable.max(first)));
    }
    let limit = ReadLimit {
        // One entry.
        max_bytes: 1,
        wait: Duration::ZERO,
        created_unix_ms: Some(info.created_unix_ms),
    };
    let (mut low, mut high) = (0, segment.entries);
    while low < high {
        let middle = low + (high - low) / 2;
        let position = entry(segment, middle);
        let batch = read(position, limit).await?;
        // Truncation may have discarded the entry: then the next one is later.
        let is_before = batch
            .entries
            .first()
            .is_some_and(|stored| stored.written_unix_ms < unix_ms);
        if is_before {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let found = entry(segment, low);
    Ok(info.first.map_or(found, |readable| readable.max(found)))
}

/// Returns the position after the stream's last record.
fn end(info: &StreamInfo) -> Dlsn {
    match info.last {
        Some(last) => last.slot(1),
        None => info.truncated_before.unwrap_or(Dlsn::INITIAL),
    }
}

fn entry(segment: &SegmentInfo, entry: u64) -> Dlsn {
    let entry = i64::try_from(entry).unwrap_or(i64::MAX);
    Dlsn::new(segment.log_segment_sequence_no, entry, 0)
}
