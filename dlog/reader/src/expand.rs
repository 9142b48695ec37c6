use std::collections::VecDeque;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::record_set::{
    Codec, Header, LENGTH_BYTES, RecordSet, RecordSetError, SetIdentity,
};

use super::event::{MalformedSet, ReadEvent, Record};
use distributedlog_store::{EntryRecord, StoredEntry};

/// Appends the records of `entry` at and after `start` to `events`, in order.
pub(super) fn entry(entry: &StoredEntry, start: Dlsn, events: &mut VecDeque<ReadEvent>) {
    let mut dlsn = entry.dlsn;
    for stored in &entry.records {
        let end = dlsn.slot(stored.slots);
        // A control record has a position but nothing to deliver.
        if end > start && stored.slots > 0 {
            record(stored, dlsn, entry.written_unix_ms, start, events);
        }
        dlsn = end;
    }
}

/// Appends one record, or the records of one set, at and after `start`.
fn record(
    stored: &EntryRecord,
    dlsn: Dlsn,
    written_unix_ms: u64,
    start: Dlsn,
    events: &mut VecDeque<ReadEvent>,
) {
    let mut push = |set_slot, set_slots, payload, set| {
        let dlsn = dlsn.slot(set_slot);
        if dlsn >= start {
            events.push_back(ReadEvent::Record(Record {
                dlsn,
                payload,
                written_unix_ms,
                set,
                set_slot,
                set_slots,
            }));
        }
    };
    if !stored.is_record_set {
        return push(0, 1, stored.payload.clone(), None);
    }
    match split(&stored.payload) {
        Ok((records, identity)) if records.len() == stored.slots as usize => {
            for (slot, payload) in (0..).zip(records) {
                push(slot, stored.slots, payload, identity);
            }
        }
        Ok((records, _)) => events.push_back(malformed(
            stored,
            dlsn,
            start,
            format!("its header counts {} records", records.len()),
        )),
        Err(error) => events.push_back(malformed(stored, dlsn, start, error.to_string())),
    }
}

/// Makes the event of a damaged set. Positions before `start` are not counted: the reader does not
/// read them.
fn malformed(stored: &EntryRecord, dlsn: Dlsn, start: Dlsn, reason: String) -> ReadEvent {
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

/// Returns the records of a set and its identity. The records share the memory of the set, or of
/// its decompressed payload.
fn split(stored: &Bytes) -> Result<(Vec<Bytes>, Option<SetIdentity>), RecordSetError> {
    let header = Header::parse(stored)?;
    match header.codec {
        Codec::None => {
            let set = RecordSet::parse(stored, &mut [])?;
            Ok((
                set.records()
                    .map(|record| stored.slice_ref(record))
                    .collect(),
                set.identity(),
            ))
        }
        Codec::Lz4 => {
            // Bounded: the header's parser refuses payloads beyond a record set's limit.
            let mut payload = vec![0; header.payload_bytes];
            let set = RecordSet::parse(stored, &mut payload)?;
            let identity = set.identity();
            let lengths: Vec<usize> = set.records().map(<[u8]>::len).collect();
            let payload = Bytes::from(payload);
            let mut at = 0;
            let cut = |length| {
                let start = at + LENGTH_BYTES;
                at = start + length;
                payload.slice(start..at)
            };
            Ok((lengths.into_iter().map(cut).collect(), identity))
        }
    }
}
