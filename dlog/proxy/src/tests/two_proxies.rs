//! Two proxies over one store: ownership of streams, and the death of an owner.

use super::kit::{Raw, settings, start, start_on, write};
use distributedlog_store::StoreError;

#[tokio::test]
async fn each_redirects_to_the_other() {
    let (one, store) = start(settings().announce(Some("one:8000".into()))).await;
    let two = start_on(
        settings().shard(2).announce(Some("two:8000".into())),
        &store,
    )
    .await;
    let (mut to_one, mut to_two) = (Raw::connect(&one).await, Raw::connect(&two).await);
    assert_eq!(to_one.ask(&write("a", b"x")).await, "200 at 1/0/0");
    assert_eq!(to_two.ask(&write("b", b"x")).await, "200 at 1/0/0");
    assert_eq!(to_two.ask(&write("a", b"x")).await, "302 -> 1;1;one:8000");
    assert_eq!(to_one.ask(&write("b", b"x")).await, "302 -> 1;2;two:8000");
}

#[tokio::test]
async fn the_other_takes_over_when_the_owner_is_dead() {
    let (one, store) = start(settings()).await;
    let two = start_on(settings().shard(2), &store).await;
    let mut to_two = Raw::connect(&two).await;
    Raw::connect(&one).await.ask(&write("s", b"x")).await;
    let owner = one.owner().clone();
    drop(one);
    store.release_owner(&owner);
    assert_eq!(to_two.ask(&write("s", b"x")).await, "200 at 2/0/0");
}

#[tokio::test]
async fn an_orderly_end_hands_the_streams_over() {
    let (one, store) = start(settings()).await;
    // The first proxy closes its connection to the store that the second one goes on using.
    store.stay_open();
    let two = start_on(settings().shard(2), &store).await;
    Raw::connect(&one).await.ask_framed(&write("s", b"x")).await;
    assert_eq!(one.drain().await.streams_released, 1);
    assert_eq!(
        Raw::connect(&two).await.ask(&write("s", b"x")).await,
        "200 at 2/0/0"
    );
}

/// A proxy that was cut off and lost its streams finds out by being fenced, writes nothing, and
/// says where to go.
#[tokio::test]
async fn a_fenced_owner_redirects_what_it_could_not_write() {
    let (one, store) = start(settings()).await;
    let two = start_on(
        settings().shard(2).announce(Some("two:8000".into())),
        &store,
    )
    .await;
    let (mut to_one, mut to_two) = (Raw::connect(&one).await, Raw::connect(&two).await);
    to_one.ask(&write("s", b"x")).await;
    store.release_owner(one.owner());
    to_two.ask(&write("s", b"y")).await;
    assert_eq!(to_one.ask(&write("s", b"z")).await, "302 -> 1;2;two:8000");
    assert_eq!(store.records("s").len(), 2);
}

/// If no other proxy took the stream meanwhile, its owner takes it again and the client notices
/// nothing.
#[tokio::test]
async fn a_fenced_owner_goes_on_when_the_stream_is_free() {
    let (one, store) = start(settings()).await;
    let mut client = Raw::connect(&one).await;
    client.ask(&write("s", b"x")).await;
    store.release_owner(one.owner());
    assert_eq!(client.ask(&write("s", b"y")).await, "200 at 2/0/0");
    let name = distributedlog_store::StreamName::new("s").expect("a valid name");
    store.fail_next_append(StoreError::Fenced(name.clone()));
    store.fail_next_append(StoreError::Fenced(name));
    assert_eq!(
        client.ask(&write("s", b"z")).await,
        "515 (log stream s has another owner now)",
        "it does not try for ever"
    );
}
