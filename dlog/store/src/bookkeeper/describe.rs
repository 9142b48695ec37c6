//! Descriptions of streams.

use distributedlog::Dlsn;
use distributedlog_bookkeeper::driver::LedgerReader;
use distributedlog_bookkeeper::namespace::{LogSegment, SegmentState};
use distributedlog_bookkeeper::{EntryId, NO_ENTRY};

use super::entries::{Decoded, decode, time_of};
use super::read::{Reading, is_completed};
use super::view::Segments;
use crate::{SegmentInfo, StoreError};

/// Entries that are read from a segment's end to find its last record: control records follow it.
const MAX_LOOK_BACK: i64 = 64;

/// Segments of a stream, and its ends.
pub(super) struct Described {
    pub(super) segments: Vec<SegmentInfo>,
    pub(super) first: Option<Dlsn>,
    pub(super) last: Option<Dlsn>,
}

/// End of a segment.
#[derive(Default)]
struct End {
    /// Bytes of all entries up to the last one.
    length: u64,
    /// The last entry that has a record of an application.
    record: Option<(EntryId, Decoded)>,
}

impl Reading<'_> {
    /// Describes a stream's segments that are not truncated as a whole.
    pub(super) async fn describe(&self, segments: &Segments) -> Result<Described, StoreError> {
        let mut described = Described {
            segments: Vec::new(),
            first: None,
            last: None,
        };
        for segment in segments.active() {
            let (reader, last_entry, is_open) = match self.end(segment).await {
                // It ended empty, and its node is deleted next: Java deletes the ledger first.
                Err(StoreError::Corrupt { .. }) if !is_completed(segment) => continue,
                end => end?,
            };
            let mut info = SegmentInfo {
                log_segment_sequence_no: segment.sequence_number,
                completed: !is_open,
                entries: u64::try_from(last_entry + 1).unwrap_or(0),
                records: 0,
                payload_bytes: reader.metadata().metadata.length,
                first_unix_ms: time_of(segment.first_txid).unwrap_or(0),
                last_unix_ms: 0,
            };
            let (min_entry, min_slot) = segment.min_active;
            let end = self.last_record(segment, &reader, last_entry).await?;
            // The metadata has the length of a ledger that is closed; its last entry has it too.
            info.payload_bytes = info.payload_bytes.max(end.length);
            if let Some((entry, decoded)) = end.record {
                info.records = u64::from(decoded.last_position);
                info.last_unix_ms = time_of(decoded.last_txid).unwrap_or(info.first_unix_ms);
                let last = last_position(segment.sequence_number, entry, &decoded);
                let min = Dlsn::new(segment.sequence_number, min_entry, min_slot);
                if last >= min {
                    described.first = described.first.or(Some(min));
                    described.last = Some(last);
                }
            }
            if let SegmentState::Completed(end) = segment.state {
                info.records = u64::try_from(end.record_count).unwrap_or(0);
                info.last_unix_ms = u64::try_from(end.completed_unix_ms).unwrap_or(0);
            }
            described.segments.push(info);
        }
        Ok(described)
    }

    /// Reads a segment from its end back to the last record of an application.
    async fn last_record(
        &self,
        segment: &LogSegment,
        reader: &LedgerReader,
        last_entry: EntryId,
    ) -> Result<End, StoreError> {
        let started = time_of(segment.first_txid).unwrap_or(0);
        let first = (last_entry - MAX_LOOK_BACK).max(NO_ENTRY + 1);
        let mut end = End::default();
        let mut entry = last_entry;
        while entry >= first {
            let read = self.entry(segment, reader, entry).await?;
            end.length = end.length.max(read.length);
            let decoded = decode(segment.sequence_number, started, &read)
                .map_err(|error| self.damaged(segment, entry, &error.to_string()))?;
            if decoded.entry.is_some() {
                end.record = Some((entry, decoded));
                break;
            }
            entry -= 1;
        }
        Ok(end)
    }
}

/// Position of the last record of an application in an entry.
fn last_position(sequence_number: i64, entry: EntryId, decoded: &Decoded) -> Dlsn {
    let slot = decoded.entry.as_ref().map_or(0, |stored| {
        let mut slot = stored.dlsn.slot_id;
        let mut last = slot;
        for record in &stored.records {
            slot += i64::from(record.slots.max(1));
            if record.slots > 0 {
                last = slot - 1;
            }
        }
        last
    });
    Dlsn::new(sequence_number, entry, slot)
}
