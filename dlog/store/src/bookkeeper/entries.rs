//! Entries of ledgers as a store returns them.

use distributedlog::Dlsn;
use distributedlog_bookkeeper::entry::Entry as LedgerEntry;
use distributedlog_bookkeeper::namespace::{EnvelopedEntry, NamespaceError, RecordKind};

use crate::{EntryRecord, StoredEntry};

/// Transaction ids from this on are taken for milliseconds since 1970: 2001-09-09.
const FIRST_TIME: i64 = 1_000_000_000_000;

/// Records of one entry.
pub(super) struct Decoded {
    /// The entry, or `None` if it has control records alone.
    pub(super) entry: Option<StoredEntry>,
    /// Slot of the last record of any kind.
    pub(super) last_slot: i64,
    /// Transaction id of the last record.
    pub(super) last_txid: i64,
    /// Number of the application's records of the segment up to the end of the entry.
    pub(super) last_position: u32,
    /// True if the log ends here for good.
    pub(super) is_end_of_stream: bool,
}

/// Decodes an entry of the segment with this number. `started_unix_ms` is the time of entries whose
/// transaction ids are no times.
pub(super) fn decode(
    sequence_number: i64,
    started_unix_ms: u64,
    entry: &LedgerEntry,
) -> Result<Decoded, NamespaceError> {
    let mut records = Vec::new();
    let (mut slot, mut first_slot) = (0_i64, None);
    let mut decoded = Decoded {
        entry: None,
        last_slot: 0,
        last_txid: 0,
        last_position: 0,
        is_end_of_stream: false,
    };
    for record in EnvelopedEntry::decode(&entry.payload)?.records() {
        let taken = match record.kind {
            RecordKind::User => 1,
            RecordKind::RecordSet => set_len(&record.payload)?,
            RecordKind::Control => 0,
            RecordKind::EndOfStream => {
                decoded.is_end_of_stream = true;
                0
            }
        };
        decoded.last_txid = record.txid;
        decoded.last_position = record.position + taken.saturating_sub(1);
        decoded.last_slot = slot + i64::from(taken.max(1)) - 1;
        if taken > 0 {
            first_slot.get_or_insert(slot);
        }
        if first_slot.is_some() && !decoded.is_end_of_stream {
            records.push(EntryRecord {
                payload: record.payload,
                slots: taken,
                is_record_set: record.kind == RecordKind::RecordSet,
            });
        }
        slot += i64::from(taken.max(1));
    }
    decoded.entry = first_slot.map(|slot_id| StoredEntry {
        dlsn: Dlsn {
            log_segment_sequence_no: sequence_number,
            entry_id: entry.entry,
            slot_id,
        },
        written_unix_ms: time_of(decoded.last_txid).unwrap_or(started_unix_ms),
        records,
    });
    Ok(decoded)
}

/// Number of records of a set: at 4 to 8 of its header.
fn set_len(set: &[u8]) -> Result<u32, NamespaceError> {
    let (_, rest) = set
        .split_first_chunk::<4>()
        .ok_or(NamespaceError::EntryLength)?;
    let (count, _) = rest
        .split_first_chunk::<4>()
        .ok_or(NamespaceError::EntryLength)?;
    let count = u32::from_be_bytes(*count);
    if count == 0 || count >= 1 << 31 {
        return Err(NamespaceError::EntryLength);
    }
    Ok(count)
}

/// Returns a transaction id as milliseconds since 1970 if it looks like such a time: write proxies
/// choose them so, other writers as they like.
pub(super) fn time_of(txid: i64) -> Option<u64> {
    (FIRST_TIME..i64::MAX)
        .contains(&txid)
        .then(|| txid.cast_unsigned())
}
