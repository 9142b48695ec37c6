//! Appends: positions, answers, and entries that are refused.

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog_store::{LogStore, StoreError};

use super::tools::*;

/// Entries of one lease get consecutive positions in the order of the calls, also when many are
/// in flight.
pub async fn entries_get_their_positions_in_the_order_of_the_calls(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    let in_flight: Vec<_> = (0..200_u32)
        .map(|number| start_append(store, &lease, vec![record(number.to_be_bytes().to_vec())]))
        .collect();
    for (entry, answer) in (0..).zip(in_flight) {
        assert_eq!(in_time(answer).await, Ok(Ok(at(1, entry, 0))));
    }
    let expected = (0..200_u32).map(|number| number.to_be_bytes().to_vec());
    assert_eq!(
        first_payloads(store, &stream).await,
        expected.collect::<Vec<_>>()
    );
}

/// All methods may be called from any thread.
pub async fn appends_to_several_streams_from_several_threads_keep_the_order_of_each_stream(
    store: &dyn LogStore,
) {
    let mut leases = Vec::new();
    for text in ["a", "b", "c", "d"] {
        leases.push(create_owned(store, text).await.1);
    }
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = leases
            .iter()
            .map(|lease| {
                scope.spawn(move || {
                    (0..50_u8)
                        .map(|number| start_append(store, lease, vec![record(vec![number])]))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no append panics"))
            .collect()
    });
    for (lease, answers) in leases.iter().zip(answers) {
        for (entry, answer) in (0..).zip(answers) {
            assert_eq!(in_time(answer).await, Ok(Ok(at(1, entry, 0))));
        }
        let expected: Vec<_> = (0..50_u8).map(|number| vec![number]).collect();
        assert_eq!(first_payloads(store, &lease.stream).await, expected);
    }
}

/// `done` is called for entries that are written, fenced and refused alike. (It cannot be called
/// twice: it is an `FnOnce`.)
pub async fn every_append_is_answered_once_whether_it_succeeds_or_fails(store: &dyn LogStore) {
    let (stream, old) = create_owned(store, "s").await;
    let lease = acquire(store, &stream, 1).await;
    let answers: Vec<_> = (0..30)
        .map(|number| match number % 3 {
            0 => start_append(store, &lease, vec![record("written")]),
            1 => start_append(store, &old, vec![record("fenced")]),
            _ => start_append(store, &lease, vec![]),
        })
        .collect();
    for (number, answer) in (0..).zip(answers) {
        let answer = in_time(answer).await.expect("`done` is called");
        match number % 3 {
            0 => assert_eq!(answer, Ok(at(1, number / 3, 0))),
            1 => assert_eq!(answer, Err(fenced(&stream))),
            _ => assert!(
                matches!(answer, Err(StoreError::InvalidEntry { .. })),
                "{answer:?}"
            ),
        }
    }
}

/// An entry comes back with the same records, at the position that was answered.
pub async fn entries_are_read_back_as_they_were_appended(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    let all_bytes: Vec<u8> = (0..=u8::MAX).cycle().take(70_000).collect();
    let entries = [
        vec![record("one")],
        vec![record("two"), record_set("a set", 4), record("three")],
        vec![record(all_bytes)],
        (0..500_u32).map(|i| record(i.to_string())).collect(),
    ];
    let mut positions = Vec::new();
    for records in &entries {
        let dlsn = append(store, &lease, records.clone()).await;
        positions.push(dlsn.expect("it is written"));
    }
    let batch = read(store, &stream, Dlsn::INITIAL).await;
    assert_eq!(batch.start, Dlsn::INITIAL);
    for ((stored, records), dlsn) in batch.entries.iter().zip(&entries).zip(positions) {
        assert_eq!((&stored.records, stored.dlsn), (records, dlsn));
    }
    assert_eq!(batch.entries.len(), entries.len());
}

/// A record may have no bytes.
pub async fn an_empty_payload_is_a_record(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append(store, &lease, vec![record(""), record("")])
        .await
        .expect("it is written");
    assert_eq!(
        read_all(store, &stream, Dlsn::INITIAL).await,
        [(at(1, 0, 0), vec![Bytes::new(), Bytes::new()])]
    );
    let info = in_time(store.describe(&stream)).await.expect("it exists");
    assert_eq!(info.last, Some(at(1, 0, 1)));
}

/// Slots count the records of a set, so the record behind a set of three is three slots further.
pub async fn a_record_set_takes_one_slot_for_each_of_its_records(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append(store, &lease, vec![record_set("set", 3), record("behind")])
        .await
        .expect("it is written");
    let batch = read(store, &stream, at(1, 0, 3)).await;
    assert_eq!(batch.entries[0].records, [record("behind")]);
    assert_eq!(batch.entries[0].dlsn, at(1, 0, 3));
    let info = in_time(store.describe(&stream)).await.expect("it exists");
    assert_eq!(info.last, Some(at(1, 0, 3)));
}

/// A control record has a position of its own and is not counted as a record.
pub async fn a_control_record_takes_an_entry_but_no_slot(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    for (entry, records) in [
        vec![control_record("c")],
        vec![record("a")],
        vec![control_record("d")],
    ]
    .into_iter()
    .enumerate()
    {
        let entry = i64::try_from(entry).expect("there are three");
        assert_eq!(append(store, &lease, records).await, Ok(at(1, entry, 0)));
    }
    let batch = read(store, &stream, Dlsn::INITIAL).await;
    assert_eq!(batch.entries.len(), 3);
    assert_eq!(batch.entries[0].records, [control_record("c")]);
    assert_eq!(batch.next, at(1, 3, 0));
    // A read that begins at a control record finds it.
    let batch = read(store, &stream, at(1, 2, 0)).await;
    assert_eq!(batch.entries[0].records, [control_record("d")]);
    let info = in_time(store.describe(&stream)).await.expect("it exists");
    assert_eq!((info.segments[0].entries, info.segments[0].records), (3, 1));
}

/// An entry has at least one record.
pub async fn an_entry_without_records_is_refused(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    let refused = append(store, &lease, vec![]).await;
    assert!(
        matches!(refused, Err(StoreError::InvalidEntry { .. })),
        "{refused:?}"
    );
    assert_eq!(append_one(store, &lease, "a").await, at(1, 0, 0));
    assert_eq!(first_payloads(store, &stream).await, ["a"]);
}

/// A record set has at least one slot: only control records have none.
pub async fn a_record_set_without_slots_is_refused(store: &dyn LogStore) {
    let (_, lease) = create_owned(store, "s").await;
    let refused = append(store, &lease, vec![record("a"), record_set("set", 0)]).await;
    assert!(
        matches!(refused, Err(StoreError::InvalidEntry { .. })),
        "{refused:?}"
    );
    assert_eq!(append_one(store, &lease, "a").await, at(1, 0, 0));
}

/// An entry of 1 GiB is larger than any store accepts. Its records share one buffer of 1 MiB.
pub async fn an_entry_that_is_too_large_is_refused_and_nothing_of_it_is_written(
    store: &dyn LogStore,
) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "before").await;
    let payload = Bytes::from(vec![0; 1 << 20]);
    let records = vec![record(payload); 1 << 10];
    let refused = append(store, &lease, records).await;
    assert!(
        matches!(refused, Err(StoreError::TooLarge { size, limit }) if size > limit),
        "{refused:?}"
    );
    assert_eq!(append_one(store, &lease, "after").await, at(1, 1, 0));
    assert_eq!(first_payloads(store, &stream).await, ["before", "after"]);
}

/// Entries have the time at which the store wrote them, in the order of their positions.
pub async fn an_entry_has_a_time_that_does_not_go_backwards(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    for _ in 0..10 {
        append_one(store, &lease, "a").await;
    }
    let batch = read(store, &stream, Dlsn::INITIAL).await;
    assert!(
        batch
            .entries
            .is_sorted_by_key(|entry| entry.written_unix_ms)
    );
    let info = in_time(store.describe(&stream)).await.expect("it exists");
    let (first, last) = (&batch.entries[0], &batch.entries[9]);
    assert_eq!(info.segments[0].first_unix_ms, first.written_unix_ms);
    assert_eq!(info.segments[0].last_unix_ms, last.written_unix_ms);
    assert!(first.written_unix_ms >= info.created_unix_ms);
}
