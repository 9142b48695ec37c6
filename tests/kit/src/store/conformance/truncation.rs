//! Truncation.

use distributedlog::Dlsn;
use distributedlog_store::{LogStore, StreamName};

use super::tools::*;

async fn truncate(store: &dyn LogStore, stream: &StreamName, before: Dlsn) {
    in_time(store.truncate(stream, before))
        .await
        .expect("the stream exists");
}

/// Readers that start before the point start there.
pub async fn truncation_discards_the_records_before_the_point(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    for payload in ["a", "b", "c"] {
        append_one(store, &lease, payload).await;
    }
    truncate(store, &stream, at(1, 1, 0)).await;
    let batch = read(store, &stream, Dlsn::INITIAL).await;
    assert_eq!(batch.start, at(1, 1, 0));
    assert_eq!(batch.entries[0].dlsn, at(1, 1, 0));
    assert_eq!(first_payloads(store, &stream).await, ["b", "c"]);
    let info = in_time(store.describe(&stream)).await.expect("it exists");
    assert_eq!(
        (info.first, info.last, info.truncated_before),
        (Some(at(1, 1, 0)), Some(at(1, 2, 0)), Some(at(1, 1, 0)))
    );
}

/// The point of a truncation beyond the end is the end at that moment.
pub async fn a_truncation_beyond_the_end_means_the_end(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    truncate(store, &stream, at(9, 9, 9)).await;
    assert_eq!(first_payloads(store, &stream).await, [""; 0]);
    let info = in_time(store.describe(&stream)).await.expect("it exists");
    assert_eq!((info.first, info.last), (None, None));
    assert_eq!(info.truncated_before, Some(at(1, 1, 0)));
}

/// Records that are appended after a truncation are not before its point.
pub async fn a_truncation_beyond_the_end_keeps_what_is_appended_afterwards(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    truncate(store, &stream, at(9, 9, 9)).await;
    assert_eq!(append_one(store, &lease, "b").await, at(1, 1, 0));
    let lease = acquire(store, &stream, 1).await;
    assert_eq!(append_one(store, &lease, "c").await, at(2, 0, 0));
    assert_eq!(first_payloads(store, &stream).await, ["b", "c"]);
}

/// The truncation point does not move backwards.
pub async fn a_truncation_before_an_earlier_one_changes_nothing(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    for payload in ["a", "b", "c"] {
        append_one(store, &lease, payload).await;
    }
    truncate(store, &stream, at(1, 2, 0)).await;
    let before = in_time(store.describe(&stream)).await;
    truncate(store, &stream, at(1, 1, 0)).await;
    assert_eq!(in_time(store.describe(&stream)).await, before);
    assert_eq!(first_payloads(store, &stream).await, ["c"]);
}

/// A point at or before the first record discards nothing.
pub async fn a_truncation_before_the_first_record_changes_nothing(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    truncate(store, &stream, at(5, 0, 0)).await;
    append_one(store, &lease, "a").await;
    truncate(store, &stream, Dlsn::INITIAL).await;
    truncate(store, &stream, at(0, 7, 0)).await;
    assert_eq!(first_payloads(store, &stream).await, ["a"]);
}

/// A set that the point divides is delivered whole; `start` says which of its slots the reader
/// drops, and the first record is the point's.
pub async fn a_truncation_within_a_record_set_keeps_the_set_whole(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append(
        store,
        &lease,
        vec![record("a"), record_set("set", 3), record("b")],
    )
    .await
    .expect("it is written");
    truncate(store, &stream, at(1, 0, 2)).await;
    let batch = read(store, &stream, Dlsn::INITIAL).await;
    assert_eq!(batch.start, at(1, 0, 2));
    assert_eq!(batch.entries[0].dlsn, at(1, 0, 1));
    assert_eq!(
        batch.entries[0].records,
        [record_set("set", 3), record("b")]
    );
    let info = in_time(store.describe(&stream)).await.expect("it exists");
    assert_eq!(
        (info.first, info.last),
        (Some(at(1, 0, 2)), Some(at(1, 0, 4)))
    );
    // Counts are as written.
    assert_eq!((info.segments[0].entries, info.segments[0].records), (1, 5));
}

/// Log segments without records are not listed; the others keep their numbers.
pub async fn a_truncation_drops_the_log_segments_that_hold_no_more_records(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    for payload in ["b", "c"] {
        let lease = acquire(store, &stream, 1).await;
        append_one(store, &lease, payload).await;
    }
    let segments = async || {
        let info = in_time(store.describe(&stream)).await.expect("it exists");
        let numbers = info.segments.iter();
        numbers
            .map(|segment| segment.log_segment_sequence_no)
            .collect::<Vec<_>>()
    };
    assert_eq!(segments().await, [1, 2, 3]);
    truncate(store, &stream, at(2, 0, 0)).await;
    assert_eq!(segments().await, [2, 3]);
    truncate(store, &stream, at(2, 1, 0)).await;
    assert_eq!(segments().await, [3]);
    assert_eq!(first_payloads(store, &stream).await, ["c"]);
}

/// Positions go on after everything was discarded, in the open log segment and in the next one.
pub async fn appends_go_on_behind_a_truncation_of_everything(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    truncate(store, &stream, at(1, 1, 0)).await;
    assert_eq!(append_one(store, &lease, "b").await, at(1, 1, 0));
    in_time(store.release(&lease))
        .await
        .expect("it is released");
    truncate(store, &stream, at(2, 0, 0)).await;
    assert_eq!(first_payloads(store, &stream).await, [""; 0]);
    let lease = acquire(store, &stream, 2).await;
    assert_eq!(append_one(store, &lease, "c").await, at(2, 0, 0));
    assert_eq!(first_payloads(store, &stream).await, ["c"]);
}
