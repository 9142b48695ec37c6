//! One stream: its metadata, its log segments and the locations of its entries.

use std::collections::VecDeque;
use std::sync::Arc;

use distributedlog::Dlsn;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{Owner, SegmentInfo, StreamInfo, StreamName};

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

/// Consecutive entries of one log segment that are in one volume.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    pub(super) volume: u64,
    pub(super) lssn: u64,
    pub(super) first_entry: u64,
    pub(super) entries: u64,
    pub(super) locations: FrameLocations,
}

impl Extent {
    pub(super) fn end_entry(&self) -> u64 {
        self.first_entry + self.entries
    }

    /// Adds the next entry. Does nothing if the extent's locations are in an index, for its volume
    /// is sealed.
    pub(super) fn push(&mut self, location: FrameLocation) {
        if let FrameLocations::Memory(locations) = &mut self.locations {
            locations.push(location);
            self.entries += 1;
        }
    }
}

/// Locations of an extent's entries in its volume.
#[derive(Clone, Debug)]
pub(super) enum FrameLocations {
    /// In memory: the volume has no index on disk yet.
    Memory(Vec<FrameLocation>),
    /// In the volume's index, from this offset on.
    Index(u64),
}

/// Location of a frame in its volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameLocation {
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// A stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) meta: StreamMeta,
    /// Extents in the order of their entries.
    pub(super) extents: VecDeque<Extent>,
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
            self.segments.push_back(Segment {
                lssn: new.lssn,
                completed: false,
                first_entry: 0,
                next_entry: 0,
                records: 0,
                payload_bytes: 0,
                first_unix_ms: new.unix_ms,
                last_unix_ms: new.unix_ms,
                last_slots: 0,
            });
            self.next_lssn = new.lssn + 1;
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
            extents: VecDeque::new(),
            changed: Arc::default(),
        }
    }

    /// Adds an entry. Returns true if it began an extent.
    pub(super) fn add(&mut self, new: &NewEntry) -> Result<bool, String> {
        self.meta.add(new)?;
        if let Some(extent) = self.extents.back_mut()
            && (extent.volume, extent.lssn) == (new.volume, new.lssn)
        {
            extent.push(new.location);
            return Ok(false);
        }
        self.extents.push_back(Extent {
            volume: new.volume,
            lssn: new.lssn,
            first_entry: new.entry,
            entries: 1,
            locations: FrameLocations::Memory(vec![new.location]),
        });
        Ok(true)
    }

    /// Truncates the stream. Calls `dropped` with the volume of each extent that is not needed any
    /// more.
    pub(super) fn truncate(&mut self, before: Dlsn, dropped: &mut dyn FnMut(u64)) {
        self.meta.truncate(before);
        let point = lssn_and_entry(before);
        while let Some(extent) = self.extents.front()
            && (extent.lssn, extent.end_entry()) <= point
        {
            dropped(extent.volume);
            self.extents.pop_front();
        }
    }

    /// Records that the frames from offset `from` of a volume on, the journal's last, were copied
    /// to another volume, where they begin at offset `to`. Returns the number of extents that began
    /// there and that ended here.
    pub(super) fn relocate(
        &mut self,
        volume: u64,
        from: u32,
        to_volume: u64,
        to: u32,
    ) -> (usize, usize) {
        let mut moved = VecDeque::new();
        let mut ended = 0;
        while let Some(extent) = self.extents.back_mut()
            && extent.volume == volume
            && let FrameLocations::Memory(locations) = &mut extent.locations
        {
            let kept = locations.partition_point(|location| location.offset < from);
            if kept == locations.len() {
                break;
            }
            let there = locations
                .drain(kept..)
                .map(|location| FrameLocation {
                    offset: location.offset - from + to,
                    ..location
                })
                .collect::<Vec<_>>();
            let entries = there.len() as u64;
            extent.entries -= entries;
            let (lssn, first_entry) = (extent.lssn, extent.end_entry());
            moved.push_front(Extent {
                volume: to_volume,
                lssn,
                first_entry,
                entries,
                locations: FrameLocations::Memory(there),
            });
            if kept > 0 {
                break;
            }
            self.extents.pop_back();
            ended += 1;
        }
        let begun = moved.len();
        self.extents.append(&mut moved);
        (begun, ended)
    }

    /// Returns the first readable entry `(lssn, entry)` that no extent contains, or `None` if the
    /// stream is complete.
    pub(super) fn missing(&self) -> Option<(u64, u64)> {
        let mut extents = self.extents.iter().peekable();
        for segment in &self.meta.segments {
            let mut covered = segment.first_entry;
            while covered < segment.next_entry {
                let here = extents
                    .find(|extent| (extent.lssn, extent.end_entry()) > (segment.lssn, covered));
                match here {
                    Some(extent)
                        if extent.lssn == segment.lssn && extent.first_entry <= covered =>
                    {
                        covered = extent.end_entry()
                    }
                    Some(_) | None => return Some((segment.lssn, covered)),
                }
            }
        }
        None
    }
}

/// Returns the position with these parts.
pub(super) fn position(lssn: u64, entry: u64, slot: u64) -> Dlsn {
    Dlsn::new(signed(lssn), signed(entry), signed(slot))
}

fn signed(number: u64) -> i64 {
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
