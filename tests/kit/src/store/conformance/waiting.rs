//! Reads that wait for the next append.

use core::time::Duration;

use distributedlog::Dlsn;
use distributedlog_store::{LogStore, ReadLimit};

use super::tools::*;

/// A wait is for streams that have nothing at or after the position.
pub async fn a_read_that_finds_records_does_not_wait(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    let batch = in_time(store.read(&stream, Dlsn::INITIAL, WAITING)).await;
    assert_eq!(batch.expect("it can be read").entries.len(), 1);
}

/// A wait of zero is none.
pub async fn a_read_without_wait_returns_at_once(store: &dyn LogStore) {
    let stream = create(store, "s").await;
    let batch = in_time(store.read(&stream, Dlsn::INITIAL, AT_ONCE)).await;
    assert_eq!(batch.expect("it can be read").entries, []);
}

/// The wait takes as long as it should, and ends with an empty batch.
pub async fn a_read_whose_time_is_up_returns_an_empty_batch(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    let limit = ReadLimit {
        wait: Duration::from_millis(100),
        ..AT_ONCE
    };
    let begun = std::time::Instant::now();
    let batch = in_time(store.read(&stream, at(1, 1, 0), limit))
        .await
        .expect("it can be read");
    // Clocks of timers have milliseconds; a store may count from its own earlier reading.
    assert!(begun.elapsed() >= Duration::from_millis(90));
    assert_eq!((batch.entries, batch.next), (vec![], at(1, 1, 0)));
}

/// The next append ends a wait with its entry.
pub async fn a_waiting_read_is_woken_by_an_append(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    let read = store.read(&stream, at(1, 1, 0), WAITING);
    let batch = while_waiting(read, async {
        append_one(store, &lease, "b").await;
    });
    let batch = batch.await.expect("it can be read");
    assert_eq!(batch.entries[0].records, [record("b")]);
    assert_eq!(batch.next, at(1, 2, 0));
}

/// The next append may be that of another owner, to another log segment.
pub async fn a_waiting_read_is_woken_by_an_append_to_the_next_log_segment(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    let read = store.read(&stream, at(1, 1, 0), WAITING);
    let batch = while_waiting(read, async {
        in_time(store.release(&lease))
            .await
            .expect("it is released");
        let lease = acquire(store, &stream, 2).await;
        append_one(store, &lease, "b").await;
    });
    let batch = batch.await.expect("it can be read");
    assert_eq!(batch.entries[0].dlsn, at(2, 0, 0));
}

/// A wait goes on through changes that add nothing to its stream.
pub async fn a_waiting_read_is_not_ended_by_an_append_to_another_stream(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    let (_, other) = create_owned(store, "other").await;
    let read = store.read(&stream, Dlsn::INITIAL, WAITING);
    let batch = while_waiting(read, async {
        append_one(store, &other, "no").await;
        in_time(store.truncate(&stream, Dlsn::INITIAL))
            .await
            .expect("it exists");
        append_one(store, &lease, "yes").await;
    });
    let batch = batch.await.expect("it can be read");
    assert_eq!(batch.entries[0].records, [record("yes")]);
}

/// A wait ends when the stream is deleted: nothing will come any more.
pub async fn a_waiting_read_fails_when_the_stream_is_deleted(store: &dyn LogStore) {
    let stream = create(store, "s").await;
    let read = store.read(&stream, Dlsn::INITIAL, WAITING);
    let ended = while_waiting(read, async {
        in_time(store.delete(&stream)).await.expect("it exists");
    });
    assert_eq!(ended.await, Err(not_found(&stream)));
}

/// A stream that gets the name of the one that is read is another stream.
pub async fn a_waiting_read_fails_when_the_stream_is_deleted_and_created_again(
    store: &dyn LogStore,
) {
    let stream = create(store, "s").await;
    let read = store.read(&stream, Dlsn::INITIAL, WAITING);
    let ended = while_waiting(read, async {
        in_time(store.delete(&stream)).await.expect("it exists");
        let (_, lease) = create_owned(store, "s").await;
        append_one(store, &lease, "of another stream").await;
    });
    assert_eq!(ended.await, Err(not_found(&stream)));
}

/// An append wakes all reads that wait for it.
pub async fn many_reads_of_one_stream_are_woken_by_one_append(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    let read = || store.read(&stream, Dlsn::INITIAL, WAITING);
    let reads = async { tokio::join!(read(), read(), read(), read(), read()) };
    let (a, b, c, d, e) = while_waiting(reads, async {
        append_one(store, &lease, "for all").await;
    })
    .await;
    for batch in [a, b, c, d, e] {
        let batch = batch.expect("it can be read");
        assert_eq!(batch.entries[0].records, [record("for all")]);
    }
}

/// A read that was given up took nothing, and its wait is over.
pub async fn dropping_a_waiting_read_loses_nothing(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    for entry in 0..3 {
        let from = at(1, entry, 0);
        let given_up = store.read(&stream, from, WAITING);
        let timeout = Duration::from_millis(20);
        assert!(tokio::time::timeout(timeout, given_up).await.is_err());
        append_one(store, &lease, "a").await;
        assert_eq!(read(store, &stream, from).await.entries.len(), 1);
    }
}
