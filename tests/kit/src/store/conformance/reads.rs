//! Reads that find records, or nothing, without a wait.

use distributedlog::Dlsn;
use distributedlog_store::{LogStore, ReadLimit};

use super::tools::*;

/// An empty batch says where the next read starts.
pub async fn a_read_of_an_empty_stream_is_empty(store: &dyn LogStore) {
    let stream = create(store, "s").await;
    let batch = read(store, &stream, Dlsn::INITIAL).await;
    assert_eq!(batch.entries, []);
    assert_eq!(batch.next, Dlsn::INITIAL);
}

/// The first record that a read delivers is the first one at or after its position.
pub async fn a_read_begins_at_its_position(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    for payload in ["0", "1", "2", "3"] {
        append_one(store, &lease, payload).await;
    }
    for entry in 0..4_i64 {
        let batch = read(store, &stream, at(1, entry, 0)).await;
        assert_eq!(batch.entries[0].dlsn, at(1, entry, 0));
        assert_eq!(
            batch.entries[0].records,
            [record(entry.to_string().into_bytes())]
        );
        assert_eq!(batch.start, at(1, entry, 0));
        assert_eq!(batch.next, at(1, 4, 0));
    }
}

/// A read behind the end loses nothing of what is appended there later.
pub async fn a_read_behind_the_end_is_empty_and_goes_on_there(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    let batch = read(store, &stream, at(1, 1, 0)).await;
    assert_eq!(batch.entries, []);
    let dlsn = append_one(store, &lease, "b").await;
    assert!(batch.next <= dlsn, "{} is behind {dlsn}", batch.next);
    let batch = read(store, &stream, batch.next).await;
    assert_eq!(batch.entries[0].dlsn, dlsn);
}

/// Reads of one entry each, from next position to next position, deliver the stream in order.
pub async fn reads_that_follow_the_next_position_deliver_every_record_once(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    let mut appended = Vec::new();
    for number in 0..30_u8 {
        let slots = u32::from(number % 3);
        let records = match slots {
            0 => vec![record(vec![number]), control_record("c")],
            1 => vec![record(vec![number])],
            _ => vec![record(vec![number]), record_set("set", slots)],
        };
        let dlsn = append(store, &lease, records).await;
        appended.push((dlsn.expect("it is written"), number));
    }
    for max_bytes in [0, 1, 10, 100] {
        let limit = ReadLimit {
            max_bytes,
            ..AT_ONCE
        };
        let (mut from, mut seen) = (Dlsn::INITIAL, Vec::new());
        loop {
            let batch = in_time(store.read(&stream, from, limit))
                .await
                .expect("it can be read");
            if batch.entries.is_empty() {
                break;
            }
            from = batch.next;
            for entry in batch.entries {
                seen.push((entry.dlsn, entry.records[0].payload[0]));
            }
        }
        assert_eq!(seen, appended, "{max_bytes} bytes at a time");
    }
}

/// A batch has at most `max_bytes` of payload, if it has more than one entry.
pub async fn a_read_stops_at_its_limit_of_bytes(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    for _ in 0..20 {
        append_one(store, &lease, vec![7; 1000]).await;
    }
    for max_bytes in [1, 999, 1000, 2500, 10_000] {
        let limit = ReadLimit {
            max_bytes,
            ..AT_ONCE
        };
        let batch = in_time(store.read(&stream, Dlsn::INITIAL, limit))
            .await
            .expect("it can be read");
        let count = batch.entries.len();
        assert!(
            count == 1 || count >= 1 && count * 1000 <= max_bytes,
            "{count} entries of 1000 bytes within {max_bytes} bytes"
        );
        let next = i64::try_from(count).expect("at most 20");
        assert_eq!(batch.next, at(1, next, 0));
    }
}

/// A reader must get on: the first entry is delivered, however large it is.
pub async fn a_read_returns_an_entry_that_is_larger_than_its_limit(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, vec![1; 50_000]).await;
    append_one(store, &lease, "small").await;
    let limit = ReadLimit {
        max_bytes: 1,
        ..AT_ONCE
    };
    let batch = in_time(store.read(&stream, Dlsn::INITIAL, limit))
        .await
        .expect("it can be read");
    assert_eq!(batch.entries.len(), 1);
    assert_eq!(batch.entries[0].records[0].payload.len(), 50_000);
}

/// The whole records before the position are left out, and the entry's position is that of the
/// first record that is delivered.
pub async fn a_read_that_begins_within_an_entry_leaves_out_the_whole_records_before(
    store: &dyn LogStore,
) {
    let (stream, lease) = create_owned(store, "s").await;
    let records = [
        record("a"),
        record_set("set", 3),
        control_record("c"),
        record("b"),
    ];
    append(store, &lease, records.to_vec())
        .await
        .expect("it is written");
    // By slot of the read: the first record that is delivered, and its slot. The control record
    // has slot 4, as the record behind it.
    let expected = [(0, 0), (1, 1), (1, 1), (1, 1), (2, 4)];
    for (slot, (index, first_slot)) in (0..).zip(expected) {
        let batch = read(store, &stream, at(1, 0, slot)).await;
        assert_eq!(batch.start, at(1, 0, slot));
        assert_eq!(batch.entries[0].records, records[index..], "slot {slot}");
        assert_eq!(batch.entries[0].dlsn, at(1, 0, first_slot), "slot {slot}");
    }
    assert_eq!(read(store, &stream, at(1, 0, 5)).await.entries, []);
}

/// A position in the middle of a record set delivers the whole set; `start` says which of its
/// slots the reader drops.
pub async fn a_read_that_begins_within_a_record_set_delivers_it_whole(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append(store, &lease, vec![record_set("set", 5)])
        .await
        .expect("it is written");
    append_one(store, &lease, "behind").await;
    for slot in 0..5 {
        let batch = read(store, &stream, at(1, 0, slot)).await;
        assert_eq!(batch.entries[0].dlsn, at(1, 0, 0));
        assert_eq!(batch.entries[0].records, [record_set("set", 5)]);
        assert_eq!(batch.start, at(1, 0, slot));
    }
    let batch = read(store, &stream, at(1, 0, 5)).await;
    assert_eq!(batch.entries[0].dlsn, at(1, 1, 0));
}

/// The same read twice finds the same.
pub async fn reads_take_nothing_away(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    append_one(store, &lease, "b").await;
    let first = read(store, &stream, Dlsn::INITIAL).await;
    assert_eq!(read(store, &stream, Dlsn::INITIAL).await, first);
    assert_eq!(first.entries.len(), 2);
}

/// The next position of a log segment's last entry leads to the segment behind it.
pub async fn reads_go_on_from_one_log_segment_to_the_next(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    let end_of_first = read(store, &stream, Dlsn::INITIAL).await.next;
    let lease = acquire(store, &stream, 1).await;
    append_one(store, &lease, "b").await;
    in_time(store.release(&lease))
        .await
        .expect("it is released");
    let lease = acquire(store, &stream, 2).await;
    append_one(store, &lease, "c").await;
    assert_eq!(first_payloads(store, &stream).await, ["a", "b", "c"]);
    let batch = read(store, &stream, end_of_first).await;
    assert_eq!(batch.entries[0].dlsn, at(2, 0, 0));
}

/// An append is visible to every read that begins after its answer.
pub async fn an_append_is_visible_to_reads_after_its_answer(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    for entry in 0..50 {
        let dlsn = append_one(store, &lease, "a").await;
        assert_eq!(dlsn, at(1, entry, 0));
        let batch = read(store, &stream, dlsn).await;
        assert_eq!(batch.entries.len(), 1, "{dlsn}");
    }
}
