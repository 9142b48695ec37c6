use std::collections::VecDeque;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::record_set::{
    Codec, HEADER_BYTES, Header, LENGTH_BYTES, RecordSet, RecordSetError, SetIdentity,
};
#[cfg(feature = "store")]
use distributedlog_store::StoredEntry;

use super::entries::StoredRecord;
use super::event::{MalformedSet, ReadEvent, Record};
use super::run::{Cut, RecordRun};

/// Appends the records of `entry` at and after `start` to `events`, in order.
#[cfg(feature = "store")]
pub(super) fn entry(entry: StoredEntry, start: Dlsn, events: &mut VecDeque<ReadEvent>) {
    for stored in stored_records(entry) {
        record(&stored, start, events);
    }
}

/// Returns the records and sets of an entry that have something to deliver: a control record has a
/// position alone.
#[cfg(feature = "store")]
pub(super) fn stored_records(entry: StoredEntry) -> impl Iterator<Item = StoredRecord> {
    let mut next = entry.dlsn;
    let stored = entry.records.into_iter().map(move |record| {
        let dlsn = next;
        next = dlsn.slot(record.slots);
        StoredRecord {
            dlsn,
            written_unix_ms: entry.written_unix_ms,
            slots: record.slots,
            is_record_set: record.is_record_set,
            payload: record.payload,
        }
    });
    stored.filter(|stored| stored.slots > 0)
}

/// Appends one record, or the records of one set, at and after `start`.
pub(super) fn record(stored: &StoredRecord, start: Dlsn, events: &mut VecDeque<ReadEvent>) {
    if stored.dlsn.slot(stored.slots) <= start {
        return;
    }
    if !stored.is_record_set {
        let payload = stored.payload.clone();
        return records([payload].into_iter(), None, stored, start, events);
    }
    if let Err(reason) = set(stored, start, events) {
        events.push_back(malformed(stored, start, reason));
    }
}

/// Returns a record or the records of a set as one run.
///
/// # Errors
///
/// The set is damaged.
pub(super) fn run(stored: &StoredRecord) -> Result<RecordRun, String> {
    if !stored.is_record_set {
        let (dlsn, payload) = (stored.dlsn, stored.payload.clone());
        let record = Record::new(dlsn, payload, stored.written_unix_ms);
        return Ok(RecordRun::alone(record));
    }
    let OpenSet { records, identity } = open(stored)?;
    let (dlsn, written) = (stored.dlsn, stored.written_unix_ms);
    Ok(RecordRun::of_set(
        dlsn,
        written,
        identity,
        records,
        stored.slots,
    ))
}

/// A set whose records were checked.
struct OpenSet {
    /// The records, each behind its length, and what follows them. They share the memory of the
    /// set, or are its decompressed payload.
    records: Bytes,
    identity: Option<SetIdentity>,
}

/// Checks a set from end to end.
///
/// # Errors
///
/// The set is damaged.
fn open(stored: &StoredRecord) -> Result<OpenSet, String> {
    let damaged = |error: RecordSetError| error.to_string();
    let counted = |set: &RecordSet<'_>| {
        if set.len() == stored.slots as usize {
            return Ok(set.identity());
        }
        Err(format!("its header counts {} records", set.len()))
    };
    let header = Header::parse(&stored.payload).map_err(damaged)?;
    match header.codec {
        Codec::None => {
            let set = RecordSet::parse(&stored.payload, &mut []).map_err(damaged)?;
            Ok(OpenSet {
                identity: counted(&set)?,
                records: stored.payload.slice(HEADER_BYTES..),
            })
        }
        Codec::Lz4 => {
            // Bounded: the header's parser refuses payloads beyond a record set's limit.
            let mut payload = vec![0; header.payload_bytes];
            let set = RecordSet::parse(&stored.payload, &mut payload).map_err(damaged)?;
            Ok(OpenSet {
                identity: counted(&set)?,
                records: payload.into(),
            })
        }
    }
}

/// Appends the records of a set. They share the memory of the set, or of its decompressed payload.
///
/// # Errors
///
/// The set is damaged: none of its records was appended.
fn set(stored: &StoredRecord, start: Dlsn, events: &mut VecDeque<ReadEvent>) -> Result<(), String> {
    let OpenSet {
        records: bytes,
        identity,
    } = open(stored)?;
    let mut at = 0;
    let cut = Cut {
        bytes: &bytes,
        left: stored.slots,
    };
    let payloads = cut.map(|record| {
        let begin = at + LENGTH_BYTES;
        at = begin + record.len();
        bytes.slice(begin..at)
    });
    records(payloads, identity, stored, start, events);
    Ok(())
}

/// Appends those of the records that are at and after `start`.
fn records(
    payloads: impl Iterator<Item = Bytes>,
    set: Option<SetIdentity>,
    stored: &StoredRecord,
    start: Dlsn,
    events: &mut VecDeque<ReadEvent>,
) {
    let records = (0..).zip(payloads).map(|(set_slot, payload)| {
        ReadEvent::Record(Record {
            dlsn: stored.dlsn.slot(set_slot),
            payload,
            written_unix_ms: stored.written_unix_ms,
            set,
            set_slot,
            set_slots: stored.slots,
        })
    });
    // Most often none is before the start: a comparison for each would cost more than it finds.
    if stored.dlsn >= start {
        events.extend(records);
    } else {
        events.extend(records.filter(|event| event.dlsn() >= start));
    }
}

/// Makes the event of a damaged set. Positions before `start` are not counted: the reader does not
/// read them.
fn malformed(stored: &StoredRecord, start: Dlsn, reason: String) -> ReadEvent {
    let dlsn = stored.dlsn;
    let skipped = if dlsn < start {
        start.slot_id.abs_diff(dlsn.slot_id)
    } else {
        0
    };
    let skipped = u32::try_from(skipped).unwrap_or(u32::MAX).min(stored.slots);
    ReadEvent::Malformed(MalformedSet {
        dlsn: dlsn.slot(skipped),
        slots: stored.slots - skipped,
        stored_bytes: stored.payload.len(),
        reason,
    })
}
