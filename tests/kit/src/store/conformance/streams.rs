//! Creating, listing and describing streams.

use distributedlog::Dlsn;
use distributedlog_store::{LogStore, NamesPage, StoreError, StreamSummary};

use super::tools::*;

/// A stream that was created has no records, no segments and no owner.
pub async fn a_created_stream_exists_and_is_empty(store: &dyn LogStore) {
    let stream = create(store, "s").await;
    let info = in_time(store.describe(&stream))
        .await
        .expect("it was created");
    assert_eq!(info.name, stream);
    assert_eq!(info.segments, []);
    assert_eq!(
        (info.first, info.last, info.truncated_before, info.owner),
        (None, None, None, None)
    );
    assert_eq!(read(store, &stream, Dlsn::INITIAL).await.entries, []);
}

/// A second creation fails with [`StoreError::StreamExists`] and leaves the stream alone.
pub async fn a_stream_that_exists_is_not_created_again(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "kept").await;
    assert_eq!(
        in_time(store.create(&stream)).await,
        Err(StoreError::StreamExists(stream.clone()))
    );
    assert_eq!(first_payloads(store, &stream).await, ["kept"]);
}

/// Every operation on a stream that was never created fails with [`StoreError::StreamNotFound`].
pub async fn a_stream_that_does_not_exist_is_not_found(store: &dyn LogStore) {
    create(store, "other").await;
    let stream = name("s");
    let not_found = || not_found(&stream);
    assert_eq!(in_time(store.delete(&stream)).await, Err(not_found()));
    assert_eq!(in_time(store.describe(&stream)).await, Err(not_found()));
    assert_eq!(
        in_time(store.acquire(&stream, &owner(1))).await,
        Err(not_found())
    );
    assert_eq!(
        in_time(store.truncate(&stream, at(1, 1, 0))).await,
        Err(not_found())
    );
    for limit in [AT_ONCE, WAITING] {
        let read = in_time(store.read(&stream, Dlsn::INITIAL, limit)).await;
        assert_eq!(read, Err(not_found()));
    }
}

/// The list has every stream once, sorted by name, in any order of creation.
pub async fn streams_are_listed_in_the_order_of_their_names(store: &dyn LogStore) {
    assert_eq!(in_time(store.list()).await, Ok(vec![]));
    for text in ["b", "a/2", "c", "a", "B", "a-1"] {
        create(store, text).await;
    }
    in_time(store.delete(&name("c")))
        .await
        .expect("it was created");
    let sorted = ["B", "a", "a-1", "a/2", "b"].map(name);
    assert_eq!(in_time(store.list()).await, Ok(sorted.to_vec()));
}

/// Pages of names have those after a name that begin with a prefix, and say whether more follow.
pub async fn names_are_listed_page_by_page(store: &dyn LogStore) {
    for text in ["b", "a/2", "c", "a", "B", "a-1", "a/1"] {
        create(store, text).await;
    }
    for (after, prefix, limit, expected, more) in [
        (None, "", 3, &["B", "a", "a-1"][..], true),
        (Some("a-1"), "", 3, &["a/1", "a/2", "b"], true),
        (Some("b"), "", 3, &["c"], false),
        (None, "a/", 10, &["a/1", "a/2"], false),
        (None, "a", 4, &["a", "a-1", "a/1", "a/2"], false),
        (Some("a/1"), "a/", 10, &["a/2"], false),
        (Some("B"), "a/", 1, &["a/1"], true),
        (Some("c"), "a/", 10, &[], false),
        (None, "d", 10, &[], false),
    ] {
        let after = after.map(name);
        let page = in_time(store.list_page(after.as_ref(), prefix, limit)).await;
        let names = expected.iter().map(|text| name(text)).collect();
        assert_eq!(
            page,
            Ok(NamesPage { names, more }),
            "{after:?} {prefix} {limit}"
        );
    }
}

/// A store that has streams in short says the same of them as [`LogStore::describe`], page by page.
pub async fn streams_in_short_agree_with_their_descriptions(store: &dyn LogStore) {
    for text in ["b", "empty"] {
        create(store, text).await;
    }
    let (_, lease) = create_owned(store, "a").await;
    for payload in ["abc", "de"] {
        append_one(store, &lease, payload).await;
    }
    let first = match in_time(store.summaries(None, 2)).await {
        Err(StoreError::Unsupported { .. }) => return,
        page => page.expect("the store is open"),
    };
    assert!(first.more);
    let last = &first.streams.last().expect("there are three").name;
    let second = in_time(store.summaries(Some(last), 2))
        .await
        .expect("the store is open");
    assert!(!second.more);
    let listed = [first.streams, second.streams].concat();
    assert_eq!(listed.len(), 3);
    for mut summary in listed {
        let described = in_time(store.describe(&summary.name)).await;
        summary.retention = None;
        assert_eq!(
            summary,
            StreamSummary::from(described.expect("it is listed"))
        );
    }
}

/// A description counts entries, records (slots) and payload bytes of each log segment.
pub async fn a_description_has_the_segments_with_their_counts_and_the_first_and_last_position(
    store: &dyn LogStore,
) {
    let (stream, lease) = create_owned(store, "s").await;
    append(
        store,
        &lease,
        vec![record("abc"), record_set("three records", 3)],
    )
    .await
    .expect("it is written");
    append_one(store, &lease, "de").await;
    let lease = acquire(store, &stream, 1).await;
    append(store, &lease, vec![record_set("two", 2)])
        .await
        .expect("it is written");
    let info = in_time(store.describe(&stream)).await.expect("it exists");
    let counts = info.segments.iter().map(|segment| {
        assert!(segment.first_unix_ms <= segment.last_unix_ms);
        (
            segment.log_segment_sequence_no,
            segment.entries,
            segment.records,
            segment.payload_bytes,
        )
    });
    assert_eq!(counts.collect::<Vec<_>>(), [(1, 2, 5, 18), (2, 1, 2, 3)]);
    assert_eq!(
        (info.first, info.last),
        (Some(at(1, 0, 0)), Some(at(2, 0, 1)))
    );
    assert_eq!(info.owner, Some(owner(1)));
}

/// A log segment is open while its lease is current; a release completes it.
pub async fn a_segment_that_is_written_is_open_and_the_ones_before_it_are_completed(
    store: &dyn LogStore,
) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    let lease = acquire(store, &stream, 1).await;
    append_one(store, &lease, "b").await;
    let completed = async || {
        let info = in_time(store.describe(&stream)).await.expect("it exists");
        info.segments
            .iter()
            .map(|segment| segment.completed)
            .collect::<Vec<_>>()
    };
    assert_eq!(completed().await, [true, false]);
    in_time(store.release(&lease))
        .await
        .expect("it is released");
    assert_eq!(completed().await, [true, true]);
}
