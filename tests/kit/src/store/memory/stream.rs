//! One stream of a [`MemoryStore`](super::MemoryStore): its entries, log segments and owner.

use distributedlog::Dlsn;
use distributedlog_store::{
    Entry, EntryRecord, Lease, Owner, ReadBatch, SegmentInfo, StoredEntry, StreamInfo, StreamName,
};

pub(super) struct Stream {
    pub(super) created_unix_ms: u64,
    /// The owner and the epoch of its lease.
    owner: Option<(Owner, u64)>,
    /// Every log segment that was begun, oldest first. Only the last may be open.
    segments: Vec<SegmentInfo>,
    /// Entries that were not truncated, in the order of their positions.
    pub(super) entries: Vec<StoredEntry>,
    pub(super) truncated_before: Option<Dlsn>,
}

impl Stream {
    pub(super) fn new(created_unix_ms: u64) -> Self {
        Self {
            created_unix_ms,
            owner: None,
            segments: Vec::new(),
            entries: Vec::new(),
            truncated_before: None,
        }
    }

    pub(super) fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref().map(|(owner, _)| owner)
    }

    pub(super) fn is_held_by(&self, lease: &Lease) -> bool {
        self.owner
            .as_ref()
            .is_some_and(|(_, epoch)| *epoch == lease.epoch)
    }

    /// Changes the owner and completes the log segment that the one before wrote.
    pub(super) fn set_owner(&mut self, owner: Option<(Owner, u64)>) {
        self.owner = owner;
        if let Some(last) = self.segments.last_mut() {
            last.completed = true;
        }
    }

    /// Appends an entry behind the stream's end; returns its position.
    pub(super) fn append(&mut self, entry: Entry, unix_ms: u64) -> Dlsn {
        let dlsn = self.end();
        self.put(dlsn, entry.records, unix_ms);
        dlsn
    }

    /// Stores an entry at a position at or behind the stream's end. The log segment with that
    /// number is begun if it does not exist.
    ///
    /// # Panics
    ///
    /// If the position is before the stream's end.
    pub(super) fn put(&mut self, dlsn: Dlsn, records: Vec<EntryRecord>, unix_ms: u64) {
        let last = self.segments.last();
        let last_segment = last.map_or(0, |last| last.log_segment_sequence_no);
        assert!(
            dlsn.log_segment_sequence_no > last_segment
                || dlsn.log_segment_sequence_no == last_segment
                    && last.is_some_and(|last| dlsn.entry_id >= entry_id(last.entries)),
            "{dlsn} is before the stream's end"
        );
        if dlsn.log_segment_sequence_no > last_segment {
            // A segment is completed at the latest when the next one begins.
            if let Some(last) = self.segments.last_mut() {
                last.completed = true;
            }
            self.segments.push(SegmentInfo {
                log_segment_sequence_no: dlsn.log_segment_sequence_no,
                completed: false,
                entries: 0,
                records: 0,
                payload_bytes: 0,
                first_unix_ms: unix_ms,
                last_unix_ms: unix_ms,
            });
        }
        let segment = self
            .segments
            .last_mut()
            .expect("the entry's segment was the last one or was pushed above");
        segment.entries = u64::try_from(dlsn.entry_id + 1).unwrap_or(0);
        segment.records += u64::from(slots(&records));
        segment.payload_bytes += payload_bytes(&records) as u64;
        segment.last_unix_ms = unix_ms;
        self.entries.push(StoredEntry {
            dlsn,
            written_unix_ms: unix_ms,
            records,
        });
    }

    /// Returns the position that the next append gets.
    fn end(&self) -> Dlsn {
        self.segments.last().map_or(Dlsn::INITIAL, |last| {
            if last.completed {
                Dlsn::new(last.log_segment_sequence_no + 1, 0, 0)
            } else {
                Dlsn::new(last.log_segment_sequence_no, entry_id(last.entries), 0)
            }
        })
    }

    pub(super) fn truncate(&mut self, before: Dlsn) {
        // Behind the end there will be records that this call does not mean.
        let before = before.min(self.end());
        if before <= self.truncated_before.unwrap_or(Dlsn::INITIAL) {
            return;
        }
        self.entries.retain(|entry| last_slot(entry) >= before);
        self.truncated_before = Some(before);
    }

    /// Returns the records at and after `from`, at least one entry if there is one, else at most
    /// `max_bytes` of payload.
    pub(super) fn read(&self, from: Dlsn, max_bytes: usize) -> ReadBatch {
        let from = from.max(self.truncated_before.unwrap_or(from));
        let mut batch = ReadBatch {
            entries: Vec::new(),
            next: from,
            start: from,
            created_unix_ms: self.created_unix_ms,
        };
        let first = self
            .entries
            .partition_point(|entry| last_slot(entry) < from);
        let mut bytes = 0;
        for entry in &self.entries[first..] {
            let entry = without_records_before(entry, from);
            bytes += payload_bytes(&entry.records);
            if !batch.entries.is_empty() && bytes > max_bytes {
                break;
            }
            batch.next = Dlsn::new(
                entry.dlsn.log_segment_sequence_no,
                entry.dlsn.entry_id + 1,
                0,
            );
            batch.entries.push(entry);
        }
        batch
    }

    pub(super) fn info(&self, name: &StreamName) -> StreamInfo {
        let first = self.entries.first().map(|entry| entry.dlsn);
        let has_records = |segment: &&SegmentInfo| {
            first.is_some_and(|first| {
                segment.log_segment_sequence_no >= first.log_segment_sequence_no
            })
        };
        StreamInfo {
            name: name.clone(),
            created_unix_ms: self.created_unix_ms,
            segments: self.segments.iter().filter(has_records).cloned().collect(),
            first: first.map(|first| first.max(self.truncated_before.unwrap_or(first))),
            last: self.entries.last().map(last_slot),
            truncated_before: self.truncated_before,
            owner: self.owner().cloned(),
        }
    }
}

/// Returns the entry without the whole records before `start`. A record set that `start` divides
/// stays whole.
fn without_records_before(entry: &StoredEntry, start: Dlsn) -> StoredEntry {
    let mut dlsn = entry.dlsn;
    let mut records = &entry.records[..];
    while let [first, rest @ ..] = records {
        let next = dlsn.slot(first.slots);
        // A control record takes no slot: it is before `start` only if it begins before it.
        if dlsn >= start || next > start {
            break;
        }
        (dlsn, records) = (next, rest);
    }
    StoredEntry {
        dlsn,
        written_unix_ms: entry.written_unix_ms,
        records: records.to_vec(),
    }
}

pub(super) fn payload_bytes(records: &[EntryRecord]) -> usize {
    records.iter().map(|record| record.payload.len()).sum()
}

fn slots(records: &[EntryRecord]) -> u32 {
    records.iter().map(|record| record.slots).sum()
}

/// Returns the position of the entry's last slot; that of the entry itself if it has control
/// records only.
fn last_slot(entry: &StoredEntry) -> Dlsn {
    entry.dlsn.slot(slots(&entry.records).saturating_sub(1))
}

fn entry_id(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
