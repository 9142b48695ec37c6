//! One stream: its metadata, its log segments and the locations of its entries.

use std::collections::VecDeque;
use std::sync::Arc;

use distributedlog::Dlsn;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::extent::{Extent, Extents, FrameLocation};
use super::volumes::Volumes;
use crate::{
    Owner, RetainedSegment, Retention, RetentionInfo, SegmentInfo, StreamInfo, StreamName,
    StreamSummary,
};

/// Metadata of a stream, the part that snapshots store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamMeta {
    pub(super) id: u64,
    pub(super) name: StreamName,
    pub(super) created_unix_ms: u64,
    pub(super) owner: Option<Owner>,
    /// Epoch of the current lease, or of the last one.
    pub(super) epoch: u64,
    pub(super) truncated_before: Option<Dlsn>,
    /// Number of the next log segment.
    pub(super) next_lssn: u64,
    /// Log segments that still have entries, oldest first. Only the last one may be open.
    pub(super) segments: VecDeque<Segment>,
    /// Retention of its own. Snapshots have it in a list behind the streams, which older ones lack.
    #[serde(skip)]
    pub(super) retention: Option<Retention>,
}

/// A log segment. Entries `first_entry..next_entry` are readable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub(super) lssn: u64,
    pub(super) completed: bool,
    pub(super) first_entry: u64,
    pub(super) next_entry: u64,
    pub(super) records: u64,
    pub(super) payload_bytes: u64,
    pub(super) first_unix_ms: u64,
    pub(super) last_unix_ms: u64,
    /// Number of slots of the last entry.
    pub(super) last_slots: u64,
}

/// A stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) meta: StreamMeta,
    pub(super) extents: Extents,
    /// Wakes the readers that wait for this stream's next entry or its end.
    pub(super) changed: Arc<Notify>,
}

/// A new entry of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewEntry {
    pub(super) lssn: u64,
    pub(super) entry: u64,
    pub(super) unix_ms: u64,
    pub(super) slots: u64,
    pub(super) payload_bytes: u64,
    pub(super) volume: u64,
    pub(super) location: FrameLocation,
}

impl StreamMeta {
    pub(super) fn new(id: u64, name: StreamName, created_unix_ms: u64) -> Self {
        let segments = VecDeque::new();
        Self {
            id,
            name,
            created_unix_ms,
            owner: None,
            epoch: 0,
            truncated_before: None,
            next_lssn: 1,
            segments,
            retention: None,
        }
    }

    pub(super) fn open_segment(&self) -> Option<&Segment> {
        self.segments.back().filter(|segment| !segment.completed)
    }

    pub(super) fn complete_open_segment(&mut self) {
        if let Some(segment) = self.segments.back_mut() {
            segment.completed = true;
            if segment.first_entry == segment.next_entry {
                self.segments.pop_back();
            }
        }
    }

    /// Adds an entry. `Err` contains the reason why it cannot be the next one.
    pub(super) fn add(&mut self, new: &NewEntry) -> Result<(), String> {
        let expected = self.open_segment().map_or((self.next_lssn, 0), |segment| {
            (segment.lssn, segment.next_entry)
        });
        if (new.lssn, new.entry) != expected {
            if (new.lssn, new.entry) != (self.next_lssn, 0) {
                let (lssn, entry) = expected;
                return Err(format!(
                    "stream {} continues with entry {} of log segment {}, but {entry} of {lssn} \
                     was expected",
                    self.name, new.entry, new.lssn
                ));
            }
            self.complete_open_segment();
        }
        if self.open_segment().is_none() {
            self.open(new.lssn, new.unix_ms);
        }
        let segment = self
            .segments
            .back_mut()
            .expect("pushed above unless it was there");
        segment.next_entry += 1;
        segment.records += new.slots;
        segment.payload_bytes += new.payload_bytes;
        segment.last_unix_ms = new.unix_ms;
        segment.last_slots = new.slots;
        Ok(())
    }

    /// Opens a log segment.
    fn open(&mut self, lssn: u64, unix_ms: u64) {
        self.segments.push_back(Segment {
            lssn,
            completed: false,
            first_entry: 0,
            next_entry: 0,
            records: 0,
            payload_bytes: 0,
            first_unix_ms: unix_ms,
            last_unix_ms: unix_ms,
            last_slots: 0,
        });
        self.next_lssn = lssn + 1;
    }

    /// Returns true if the entry can be the next one.
    pub(super) fn is_next(&self, lssn: u64, entry: u64) -> bool {
        let open = self.open_segment();
        (lssn, entry) == (self.next_lssn, 0)
            || open.is_some_and(|open| (open.lssn, open.next_entry) == (lssn, entry))
    }

    /// Makes an entry the next one although entries before it are lost, which leaves a gap. Does
    /// nothing if the entry is older than the next one.
    pub(super) fn skip_to(&mut self, lssn: u64, entry: u64, unix_ms: u64) {
        let open = self.open_segment().map(|open| (open.lssn, open.next_entry));
        match open {
            Some((open, next)) if open == lssn && next >= entry => return,
            Some((open, _)) if open == lssn => {}
            _ if lssn < self.next_lssn => return,
            Some(_) | None => {
                self.complete_open_segment();
                if entry == 0 && lssn == self.next_lssn {
                    return;
                }
                self.open(lssn, unix_ms);
            }
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.next_entry = entry;
        }
    }

    pub(super) fn truncate(&mut self, before: Dlsn) {
        let (lssn, entry) = lssn_and_entry(before);
        while self
            .segments
            .front()
            .is_some_and(|segment| segment.lssn < lssn)
        {
            self.segments.pop_front();
        }
        if let Some(segment) = self
            .segments
            .front_mut()
            .filter(|segment| segment.lssn == lssn)
        {
            segment.first_entry = segment.first_entry.max(entry.min(segment.next_entry));
            if segment.completed && segment.first_entry == segment.next_entry {
                self.segments.pop_front();
            }
        }
        self.truncated_before = Some(before);
    }

    /// Returns the log segment, or `None` if there is none of this number.
    fn segment(&self, lssn: u64) -> Option<&Segment> {
        let at = self.segments.partition_point(|segment| segment.lssn < lssn);
        self.segments.get(at).filter(|segment| segment.lssn == lssn)
    }

    /// Returns the part of an extent that was written and not truncated, or `None`.
    pub(super) fn readable_part(&self, extent: Extent) -> Option<Extent> {
        let segment = self.segment(extent.lssn)?;
        extent.part(segment.first_entry, segment.next_entry)
    }

    /// Returns the position before which retention discards all records and the number of log
    /// segments before it, or `None` if it discards none.
    pub(super) fn expired(&self, retention: &Retention, unix_ms: u64) -> Option<(Dlsn, u64)> {
        let readable = self
            .segments
            .iter()
            .filter(|segment| segment.first_entry < segment.next_entry);
        let retained = readable.clone().map(|segment| RetainedSegment {
            is_completed: segment.completed,
            payload_bytes: segment.payload_bytes,
            last_unix_ms: segment.last_unix_ms,
        });
        let count = retention.expired(retained, unix_ms);
        let last = readable.take(count).last()?;
        let before = position(last.lssn, last.next_entry, 0);
        Some((before, count as u64))
    }

    /// Returns the position of the first readable record, or `None`.
    pub(super) fn first(&self) -> Option<Dlsn> {
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.first_entry < segment.next_entry)?;
        let first = position(segment.lssn, segment.first_entry, 0);
        Some(
            self.truncated_before
                .map_or(first, |before| before.max(first)),
        )
    }

    /// Returns the position of the last readable record, or `None`.
    pub(super) fn last(&self) -> Option<Dlsn> {
        let segment = self
            .segments
            .iter()
            .rev()
            .find(|segment| segment.first_entry < segment.next_entry)?;
        Some(position(
            segment.lssn,
            segment.next_entry - 1,
            segment.last_slots.saturating_sub(1),
        ))
    }

    pub(super) fn info(&self) -> StreamInfo {
        let segments = self
            .segments
            .iter()
            .filter(|segment| segment.first_entry < segment.next_entry);
        StreamInfo {
            name: self.name.clone(),
            created_unix_ms: self.created_unix_ms,
            segments: segments.map(Segment::info).collect(),
            first: self.first(),
            last: self.last(),
            truncated_before: self.truncated_before,
            owner: self.owner.clone(),
        }
    }

    /// Returns the stream in short, without a list of its log segments. `retention` applies if it
    /// has none of its own.
    pub(super) fn summary(&self, retention: Retention) -> StreamSummary {
        let mut summary = StreamSummary {
            name: self.name.clone(),
            created_unix_ms: self.created_unix_ms,
            segments: 0,
            records: 0,
            payload_bytes: 0,
            first_unix_ms: None,
            last_unix_ms: None,
            owner: self.owner.clone(),
            retention: Some(RetentionInfo {
                own: self.retention,
                applied: self.retention.unwrap_or(retention),
            }),
        };
        let segments = self.segments.iter();
        for segment in segments.filter(|segment| segment.first_entry < segment.next_entry) {
            summary.segments += 1;
            summary.records += segment.records;
            summary.payload_bytes += segment.payload_bytes;
            summary.first_unix_ms.get_or_insert(segment.first_unix_ms);
            summary.last_unix_ms = Some(segment.last_unix_ms);
        }
        summary
    }
}

impl Segment {
    fn info(&self) -> SegmentInfo {
        SegmentInfo {
            log_segment_sequence_no: signed(self.lssn),
            completed: self.completed,
            entries: self.next_entry,
            records: self.records,
            payload_bytes: self.payload_bytes,
            first_unix_ms: self.first_unix_ms,
            last_unix_ms: self.last_unix_ms,
        }
    }
}

impl Stream {
    pub(super) fn new(meta: StreamMeta) -> Self {
        Self {
            meta,
            extents: Extents::default(),
            changed: Arc::default(),
        }
    }

    /// Adds an entry. `Err` contains the reason why it cannot be the next one.
    pub(super) fn add(&mut self, new: &NewEntry, volumes: &mut Volumes) -> Result<(), String> {
        self.meta.add(new)?;
        let extent = Extent::of_one(new.volume, new.lssn, new.entry, new.location);
        self.extents.push(self.meta.id, extent, volumes);
        Ok(())
    }

    /// Records that an entry was copied to another volume. Does nothing if it is not readable any
    /// more.
    pub(super) fn place_copy(&mut self, copy: Extent, volumes: &mut Volumes) {
        if let Some(copy) = self.meta.readable_part(copy) {
            self.extents.place(self.meta.id, copy, volumes);
        }
    }

    /// Truncates the stream.
    pub(super) fn truncate(&mut self, before: Dlsn, volumes: &mut Volumes) {
        self.meta.truncate(before);
        self.extents
            .truncate(self.meta.id, lssn_and_entry(before), volumes);
    }

    /// Returns the first readable entry `(lssn, entry)` that no extent contains, or `None` if the
    /// stream is complete.
    pub(super) fn missing(&self) -> Option<(u64, u64)> {
        self.gaps(1).first().map(|(lssn, first, _)| (*lssn, *first))
    }

    /// Returns the first `limit` gaps: log segment, first and end of readable entries that no
    /// extent contains.
    pub(super) fn gaps(&self, limit: usize) -> Vec<(u64, u64, u64)> {
        let mut gaps = Vec::new();
        for segment in &self.meta.segments {
            let lssn = segment.lssn;
            let mut covered = segment.first_entry;
            for extent in self.extents.from(lssn, covered) {
                if gaps.len() == limit || extent.lssn != lssn || covered >= segment.next_entry {
                    break;
                }
                if extent.first_entry > covered {
                    gaps.push((lssn, covered, extent.first_entry.min(segment.next_entry)));
                }
                covered = covered.max(extent.end_entry());
            }
            if covered < segment.next_entry && gaps.len() < limit {
                gaps.push((lssn, covered, segment.next_entry));
            }
        }
        gaps
    }
}

/// Returns the position with these parts.
pub(super) fn position(lssn: u64, entry: u64, slot: u64) -> Dlsn {
    Dlsn::new(signed(lssn), signed(entry), signed(slot))
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("counted from 0 or 1 by ones")
}

/// Returns log segment and entry of a position. Positions before the first count as the first.
pub(super) fn lssn_and_entry(dlsn: Dlsn) -> (u64, u64) {
    match (
        u64::try_from(dlsn.log_segment_sequence_no),
        u64::try_from(dlsn.entry_id),
    ) {
        (Ok(lssn), Ok(entry)) => (lssn, entry),
        (Ok(lssn), Err(_)) => (lssn, 0),
        (Err(_), Ok(_) | Err(_)) => (0, 0),
    }
}
