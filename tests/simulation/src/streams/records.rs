//! Records of the workload: their bytes tell which they are.

use bytes::{BufMut, Bytes, BytesMut};
use distributedlog_store::EntryRecord;
use distributedlog_testkit::Random;

/// Number of a record, unique in a run.
pub(super) type RecordId = u64;

/// Bytes of a record set before its first record's payload: header and length.
const SET_HEADER: usize = 16;

/// Makes a record: a plain one, or a set.
pub(super) fn record(id: RecordId) -> EntryRecord {
    let mut random = Random::new(id);
    let filler = random.index(120);
    let slots = if random.one_in(4) {
        1 + random.below(5) as u32
    } else {
        0
    };
    if slots == 0 {
        let mut payload = BytesMut::new();
        put(&mut payload, id, filler);
        return EntryRecord {
            payload: payload.freeze(),
            slots: 1,
            is_record_set: false,
        };
    }
    let mut records = BytesMut::new();
    for _ in 0..slots {
        records.put_u32(8 + filler as u32);
        put(&mut records, id, filler);
    }
    let mut payload = BytesMut::new();
    payload.put_u32(0x1000);
    payload.put_u32(slots);
    payload.put_u32(records.len() as u32);
    payload.put_u32(records.len() as u32);
    payload.put(records);
    EntryRecord {
        payload: payload.freeze(),
        slots,
        is_record_set: true,
    }
}

fn put(payload: &mut BytesMut, id: RecordId, filler: usize) {
    payload.put_u64(id);
    payload.put_bytes(id as u8, filler);
}

/// Returns the number of a record that was read, whose bytes must be those that were written.
pub(super) fn id_of(read: &EntryRecord) -> RecordId {
    let at = if read.is_record_set {
        SET_HEADER + 4
    } else {
        0
    };
    let id = number(&read.payload, at);
    assert_eq!(*read, record(id), "I1 a record's bytes are those written");
    id
}

fn number(payload: &Bytes, at: usize) -> RecordId {
    let bytes = payload.get(at..at + 8).expect("I1 a record has its bytes");
    RecordId::from_be_bytes(bytes.try_into().expect("eight bytes"))
}
