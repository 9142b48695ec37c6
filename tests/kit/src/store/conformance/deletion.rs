//! Deleted streams, and streams that get the name of a deleted one.

use distributedlog::Dlsn;
use distributedlog_store::{LogStore, ReadLimit, StreamName};

use super::tools::*;

async fn delete(store: &dyn LogStore, stream: &StreamName) {
    in_time(store.delete(stream))
        .await
        .expect("the stream is deleted");
}

async fn created_unix_ms(store: &dyn LogStore, stream: &StreamName) -> u64 {
    let info = in_time(store.describe(stream)).await;
    info.expect("the stream exists").created_unix_ms
}

/// After a deletion every operation on the stream fails with
/// [`StoreError::StreamNotFound`](distributedlog_store::StoreError::StreamNotFound).
pub async fn a_deleted_stream_is_not_found(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "gone").await;
    delete(store, &stream).await;
    let not_found = || not_found(&stream);
    assert_eq!(in_time(store.list()).await, Ok(vec![]));
    assert_eq!(in_time(store.delete(&stream)).await, Err(not_found()));
    assert_eq!(in_time(store.describe(&stream)).await, Err(not_found()));
    assert_eq!(
        in_time(store.read(&stream, Dlsn::INITIAL, AT_ONCE)).await,
        Err(not_found())
    );
    assert_eq!(
        in_time(store.truncate(&stream, at(1, 1, 0))).await,
        Err(not_found())
    );
}

/// A stream that gets the name of a deleted one has nothing of it: no records, no owner, no
/// truncation point, log segments from 1.
pub async fn a_stream_that_is_created_again_is_empty_and_has_another_time_of_creation(
    store: &dyn LogStore,
) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    append_one(store, &lease, "b").await;
    in_time(store.truncate(&stream, at(1, 1, 0)))
        .await
        .expect("it is truncated");
    let before = created_unix_ms(store, &stream).await;
    delete(store, &stream).await;
    create(store, "s").await;
    let info = in_time(store.describe(&stream)).await.expect("it exists");
    assert_ne!(info.created_unix_ms, before);
    assert_eq!(info.segments, []);
    assert_eq!((info.truncated_before, info.owner), (None, None));
    let batch = read(store, &stream, Dlsn::INITIAL).await;
    assert_eq!(batch.entries, []);
    assert_eq!(batch.created_unix_ms, info.created_unix_ms);
    let lease = acquire(store, &stream, 2).await;
    assert_eq!(append_one(store, &lease, "new").await, at(1, 0, 0));
}

/// Readers tell streams of one name apart by the time of creation, also when several are created
/// within a millisecond.
pub async fn a_stream_that_is_deleted_and_created_many_times_never_repeats_a_time_of_creation(
    store: &dyn LogStore,
) {
    let stream = name("s");
    let mut last = None;
    for _ in 0..20 {
        create(store, "s").await;
        let created = created_unix_ms(store, &stream).await;
        assert!(Some(created) > last, "{created} follows {last:?}");
        last = Some(created);
        delete(store, &stream).await;
    }
}

/// A lease of a stream that was deleted is fenced.
pub async fn an_append_to_a_deleted_stream_is_fenced(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    delete(store, &stream).await;
    assert_eq!(
        append(store, &lease, vec![record("late")]).await,
        Err(fenced(&stream))
    );
    assert_eq!(in_time(store.release(&lease)).await, Ok(()));
}

/// A lease of a deleted stream is no lease of the stream that gets its name.
pub async fn an_append_with_a_lease_of_a_deleted_stream_is_fenced_after_it_is_created_again(
    store: &dyn LogStore,
) {
    let (stream, old) = create_owned(store, "s").await;
    delete(store, &stream).await;
    create(store, "s").await;
    assert_eq!(
        append(store, &old, vec![record("late")]).await,
        Err(fenced(&stream))
    );
    let lease = acquire(store, &stream, 2).await;
    assert_eq!(
        append(store, &old, vec![record("late")]).await,
        Err(fenced(&stream))
    );
    append_one(store, &lease, "new").await;
    assert_eq!(first_payloads(store, &stream).await, ["new"]);
}

/// [`ReadLimit::created_unix_ms`] names the stream that is meant.
pub async fn a_read_of_the_stream_that_was_created_at_another_time_is_not_found(
    store: &dyn LogStore,
) {
    let stream = create(store, "s").await;
    let first = created_unix_ms(store, &stream).await;
    delete(store, &stream).await;
    create(store, "s").await;
    let second = created_unix_ms(store, &stream).await;
    let read = |created| {
        let limit = ReadLimit {
            created_unix_ms: Some(created),
            ..AT_ONCE
        };
        in_time(store.read(&stream, Dlsn::INITIAL, limit))
    };
    assert_eq!(read(first).await, Err(not_found(&stream)));
    assert_eq!(
        read(second).await.map(|batch| batch.created_unix_ms),
        Ok(second)
    );
}
