//! Leases: who may append.

use std::collections::BTreeSet;

use distributedlog_store::{Acquired, LogStore, Owner};

use super::tools::*;

/// While one owner's lease lives, another one that asks learns who the owner is.
pub async fn a_stream_has_one_owner_at_a_time(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    assert_eq!(
        in_time(store.acquire(&stream, &owner(2))).await,
        Ok(Acquired::OwnedBy(owner(1)))
    );
    let info = in_time(store.describe(&stream)).await.expect("it exists");
    assert_eq!(info.owner, Some(owner(1)));
    append_one(store, &lease, "still the owner's").await;
}

/// The same owner (a proxy after a crash) gets a new lease at once; the one before is fenced.
pub async fn an_owner_that_acquires_again_fences_its_earlier_lease(store: &dyn LogStore) {
    let (stream, old) = create_owned(store, "s").await;
    append_one(store, &old, "a").await;
    let lease = acquire(store, &stream, 1).await;
    assert_ne!(lease.epoch, old.epoch);
    assert_eq!(
        append(store, &old, vec![record("late")]).await,
        Err(fenced(&stream))
    );
    append_one(store, &lease, "b").await;
    assert_eq!(first_payloads(store, &stream).await, ["a", "b"]);
}

/// An owner is a shard and an address: both must be the same.
pub async fn the_same_address_with_another_shard_is_another_owner(store: &dyn LogStore) {
    let (stream, _) = create_owned(store, "s").await;
    let other = Owner {
        shard: 2,
        ..owner(1)
    };
    assert_eq!(
        in_time(store.acquire(&stream, &other)).await,
        Ok(Acquired::OwnedBy(owner(1)))
    );
}

/// A released stream has no owner, until the next acquire.
pub async fn a_released_stream_goes_to_the_owner_that_asks_next(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    in_time(store.release(&lease))
        .await
        .expect("it is released");
    let info = in_time(store.describe(&stream)).await.expect("it exists");
    assert_eq!(info.owner, None);
    acquire(store, &stream, 2).await;
    let info = in_time(store.describe(&stream)).await.expect("it exists");
    assert_eq!(info.owner, Some(owner(2)));
}

/// A lease ends with its release.
pub async fn an_append_with_a_released_lease_is_fenced(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    in_time(store.release(&lease))
        .await
        .expect("it is released");
    assert_eq!(
        append(store, &lease, vec![record("late")]).await,
        Err(fenced(&stream))
    );
}

/// The release of a lease that is not the current one succeeds and leaves the owner alone.
pub async fn releasing_a_fenced_lease_is_no_error_and_changes_nothing(store: &dyn LogStore) {
    let (stream, old) = create_owned(store, "s").await;
    let lease = acquire(store, &stream, 1).await;
    append_one(store, &lease, "a").await;
    assert_eq!(in_time(store.release(&old)).await, Ok(()));
    assert_eq!(append_one(store, &lease, "b").await, at(1, 1, 0));
    let info = in_time(store.describe(&stream)).await.expect("it exists");
    assert_eq!(info.owner, Some(owner(1)));
    for _ in 0..2 {
        assert_eq!(in_time(store.release(&lease)).await, Ok(()));
    }
}

/// Every lease of a stream's name has another epoch, also after the stream was deleted.
pub async fn epochs_are_never_granted_twice_for_a_name(store: &dyn LogStore) {
    let mut granted = BTreeSet::new();
    for _ in 0..3 {
        let stream = create(store, "s").await;
        for shard in 1..4 {
            for _ in 0..2 {
                let lease = acquire(store, &stream, shard).await;
                assert!(granted.insert(lease.epoch), "{} again", lease.epoch);
            }
            let lease = acquire(store, &stream, shard).await;
            assert!(granted.insert(lease.epoch), "{} again", lease.epoch);
            in_time(store.release(&lease))
                .await
                .expect("it is released");
        }
        in_time(store.delete(&stream)).await.expect("it exists");
    }
}

/// Log segments are numbered from 1 without gaps: a lease without appends takes no number.
pub async fn each_lease_begins_a_log_segment_with_its_first_append(store: &dyn LogStore) {
    let (stream, lease) = create_owned(store, "s").await;
    assert_eq!(append_one(store, &lease, "a").await, at(1, 0, 0));
    assert_eq!(append_one(store, &lease, "b").await, at(1, 1, 0));
    acquire(store, &stream, 1).await;
    acquire(store, &stream, 1).await;
    let lease = acquire(store, &stream, 1).await;
    assert_eq!(append_one(store, &lease, "c").await, at(2, 0, 0));
    in_time(store.release(&lease))
        .await
        .expect("it is released");
    let lease = acquire(store, &stream, 2).await;
    assert_eq!(append_one(store, &lease, "d").await, at(3, 0, 0));
}

/// A lease of one stream says nothing of another one.
pub async fn streams_are_owned_independently_of_each_other(store: &dyn LogStore) {
    let (a, lease_a) = create_owned(store, "a").await;
    let b = create(store, "b").await;
    let lease_b = acquire(store, &b, 2).await;
    in_time(store.release(&lease_a))
        .await
        .expect("it is released");
    append_one(store, &lease_b, "b").await;
    assert_eq!(
        in_time(store.acquire(&b, &owner(1))).await,
        Ok(Acquired::OwnedBy(owner(2)))
    );
    acquire(store, &a, 2).await;
}
