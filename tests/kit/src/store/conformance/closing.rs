//! Closing a store.

use distributedlog::Dlsn;
use distributedlog_store::{LogStore, StoreError};

use super::tools::*;

/// After `close` every operation fails with [`StoreError::Closed`].
pub async fn a_closed_store_refuses_every_operation(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    append_one(store, &lease, "a").await;
    assert_eq!(in_time(store.close()).await, Ok(()));
    let closed = StoreError::Closed;
    assert_eq!(
        append(store, &lease, vec![record("late")]).await,
        Err(closed.clone())
    );
    assert_eq!(in_time(store.create(&name("t"))).await, Err(closed.clone()));
    assert_eq!(in_time(store.delete(&stream)).await, Err(closed.clone()));
    assert_eq!(in_time(store.list()).await, Err(closed.clone()));
    assert_eq!(in_time(store.describe(&stream)).await, Err(closed.clone()));
    assert_eq!(
        in_time(store.acquire(&stream, &owner(1))).await,
        Err(closed.clone())
    );
    assert_eq!(in_time(store.release(&lease)).await, Err(closed.clone()));
    assert_eq!(
        in_time(store.truncate(&stream, at(1, 1, 0))).await,
        Err(closed.clone())
    );
    assert_eq!(
        in_time(store.read(&stream, Dlsn::INITIAL, AT_ONCE)).await,
        Err(closed)
    );
}

/// `close` may be called any number of times, also at once.
pub async fn closing_again_is_no_error(store: &dyn LogStore) {
    let both = async { tokio::join!(store.close(), store.close()) };
    assert_eq!(in_time(both).await, (Ok(()), Ok(())));
    assert_eq!(in_time(store.close()).await, Ok(()));
}

/// `close` completes when the accepted appends are durable and answered; later ones are refused.
pub async fn closing_answers_the_appends_that_were_accepted(store: &dyn LogStore) {
    let (_, lease) = create_owned(store, "s").await;
    let accepted: Vec<_> = (0..50)
        .map(|_| start_append(store, &lease, vec![record("a")]))
        .collect();
    assert_eq!(in_time(store.close()).await, Ok(()));
    for (entry, mut answer) in (0..).zip(accepted) {
        let answer = answer.try_recv().expect("it was answered before");
        assert_eq!(answer, Ok(at(1, entry, 0)));
    }
}

/// A wait does not outlive the store.
pub async fn a_waiting_read_ends_when_the_store_is_closed(store: &dyn LogStore) {
    let stream = create(store, "s").await;
    let read = store.read(&stream, Dlsn::INITIAL, WAITING);
    let ended = while_waiting(read, async {
        in_time(store.close()).await.expect("it is open");
    });
    assert_eq!(ended.await, Err(StoreError::Closed));
}
