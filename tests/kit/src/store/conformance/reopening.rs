//! Check of a store that is opened again.

use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_store::LogStore;

use super::tools::*;

/// Checks a store that keeps its streams beyond its own lifetime: `open` is called several times,
/// each time after the store before was closed, and opens the same streams.
///
/// - Streams, records, positions, truncation points and times of creation stay.
/// - No stream has an owner, and epochs of leases are not granted again.
/// - The log segment that was written is completed: the next append begins another one.
///
/// # Panics
///
/// If one of these does not hold.
pub async fn after_reopening(open: impl AsyncFn() -> Arc<dyn LogStore>) {
    let store = open().await;
    let (stream, lease) = create_owned(&*store, "s").await;
    for payload in ["a", "b", "c"] {
        append_one(&*store, &lease, payload).await;
    }
    in_time(store.truncate(&stream, at(1, 1, 0)))
        .await
        .expect("it exists");
    let before = in_time(store.describe(&stream)).await.expect("it exists");
    in_time(store.close()).await.expect("it is open");
    drop(store);

    let store = open().await;
    let after = in_time(store.describe(&stream)).await.expect("it stays");
    assert_eq!(after.owner, None, "a store just opened has no owners");
    assert_eq!(after.created_unix_ms, before.created_unix_ms);
    assert_eq!(after.truncated_before, before.truncated_before);
    assert_eq!(first_payloads(&*store, &stream).await, ["b", "c"]);
    assert_eq!(
        append(&*store, &lease, vec![record("late")]).await,
        Err(fenced(&stream))
    );
    let second = acquire(&*store, &stream, 2).await;
    assert!(second.epoch > lease.epoch);
    assert_eq!(append_one(&*store, &second, "d").await, at(2, 0, 0));
    in_time(store.delete(&stream)).await.expect("it exists");
    in_time(store.close()).await.expect("it is open");
    drop(store);

    let store = open().await;
    assert_eq!(in_time(store.list()).await, Ok(vec![]));
    let (_, third) = create_owned(&*store, "s").await;
    assert!(third.epoch > second.epoch, "also after a deletion");
    assert_eq!(append_one(&*store, &third, "e").await, at(1, 0, 0));
    let batch = read(&*store, &stream, Dlsn::INITIAL).await;
    assert_ne!(batch.created_unix_ms, before.created_unix_ms);
    in_time(store.close()).await.expect("it is open");
}
