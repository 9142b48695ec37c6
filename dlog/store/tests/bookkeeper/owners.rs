//! Streams that move between processes.

use core::time::Duration;

use distributedlog_store::{Acquired, LogStore, StoreError};
use tokio::time::sleep;

use crate::kit::{Kit, name};

#[tokio::test(start_paused = true)]
async fn a_stream_has_one_owner_until_it_is_released() {
    let kit = Kit::new(20, 3);
    let (one, two) = (kit.process(1).await, kit.process(2).await);
    let lease = one.own("s").await;
    let first = one.append(&lease, "one").await.expect("stored");
    let refused = two.store.acquire(&name("s"), two.owner()).await;
    assert_eq!(refused, Ok(Acquired::OwnedBy(one.owner().clone())));
    one.store.release(&lease).await.expect("released");
    let fenced = one.append(&lease, "late").await;
    assert_eq!(fenced, Err(StoreError::Fenced(name("s"))));

    let lease = two.acquire("s").await.expect("nobody owns it");
    let second = two.append(&lease, "two").await.expect("stored");
    assert_eq!(
        (
            first.log_segment_sequence_no,
            second.log_segment_sequence_no
        ),
        (1, 2)
    );
    let expected = vec![(first, "one".into()), (second, "two".into())];
    assert_eq!(one.payloads("s").await, expected);
    assert_eq!(two.payloads("s").await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_leaves_its_streams_with_everything_acknowledged() {
    let kit = Kit::new(21, 3);
    let (one, two) = (kit.process(1).await, kit.process(2).await);
    let lease = one.own("s").await;
    let mut written = Vec::new();
    for number in 0..10 {
        let payload = format!("record {number}");
        let at = one.append(&lease, payload.clone()).await.expect("stored");
        written.push((at, payload.into()));
    }
    let session = distributedlog_bookkeeper::zookeeper::ZooKeeper::session(&one.sessions.current());
    // Its last acknowledgement, and nothing after it.
    drop(one);
    let refused = two.store.acquire(&name("s"), two.owner()).await;
    assert!(matches!(refused, Ok(Acquired::OwnedBy(_))), "{refused:?}");
    kit.cluster.ensemble.expire(session);
    let lease = two.acquire("s").await.expect("the session has ended");
    let at = two.append(&lease, "next").await.expect("stored");
    written.push((at, "next".into()));
    assert_eq!(two.payloads("s").await, written);
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_session_ends_is_fenced_and_can_acquire_again() {
    let kit = Kit::new(22, 3);
    let one = kit.process(1).await;
    let lease = one.own("s").await;
    let first = one.append(&lease, "one").await.expect("stored");
    let session = distributedlog_bookkeeper::zookeeper::ZooKeeper::session(&one.sessions.current());
    kit.cluster.ensemble.expire(session);
    sleep(Duration::from_secs(1)).await;
    let fenced = one.append(&lease, "late").await;
    assert_eq!(fenced, Err(StoreError::Fenced(name("s"))));
    let lease = one.acquire("s").await.expect("nobody owns it");
    let second = one.append(&lease, "two").await.expect("stored");
    let expected = vec![(first, "one".into()), (second, "two".into())];
    assert_eq!(one.payloads("s").await, expected);
}

/// The old owner does not know that it lost the stream: it was cut off from ZooKeeper alone.
#[tokio::test(start_paused = true)]
async fn of_two_that_believe_to_own_a_stream_the_later_one_writes_and_the_other_is_fenced() {
    let kit = Kit::new(23, 3);
    let (one, two) = (kit.process(1).await, kit.process(2).await);
    let lease = one.own("s").await;
    let first = one.append(&lease, "one").await.expect("stored");
    let session = distributedlog_bookkeeper::zookeeper::ZooKeeper::session(&one.sessions.current());
    kit.cluster.ensemble.partition(session);
    kit.cluster.ensemble.expire(session);
    let later = two.acquire("s").await.expect("the session has ended");
    let late = one.append(&lease, "late").await;
    assert!(late.is_err(), "{late:?}");
    let second = two.append(&later, "two").await.expect("stored");
    let expected = vec![(first, "one".into()), (second, "two".into())];
    assert_eq!(two.payloads("s").await, expected);
    assert_ne!(
        late,
        Err(StoreError::Disconnected {
            address: String::new(),
            detail: String::new()
        })
    );
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_does_not_hear_zookeeper_stops_before_another_can_begin() {
    let kit = Kit::new(24, 3);
    let one = kit.process(1).await;
    let lease = one.own("s").await;
    one.append(&lease, "one").await.expect("stored");
    let session = distributedlog_bookkeeper::zookeeper::ZooKeeper::session(&one.sessions.current());
    kit.cluster.ensemble.partition(session);
    sleep(Duration::from_secs(7)).await;
    let refused = one.append(&lease, "two").await;
    assert!(
        matches!(refused, Err(StoreError::Unreachable { .. })),
        "{refused:?}"
    );
    kit.cluster.ensemble.heal(session);
    sleep(Duration::from_secs(4)).await;
    one.append(&lease, "three")
        .await
        .expect("the session lives");
    let payloads = one.payloads("s").await;
    assert_eq!(payloads.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_same_owner_again_gets_a_new_lease_and_the_old_one_is_fenced() {
    let kit = Kit::new(25, 3);
    let one = kit.process(1).await;
    let old = one.own("s").await;
    let first = one.append(&old, "one").await.expect("stored");
    let new = one.acquire("s").await.expect("it is the owner");
    assert_ne!(old.epoch, new.epoch);
    assert_eq!(
        one.append(&old, "old").await,
        Err(StoreError::Fenced(name("s")))
    );
    let second = one.append(&new, "two").await.expect("stored");
    let expected = vec![(first, "one".into()), (second, "two".into())];
    assert_eq!(one.payloads("s").await, expected);
}
