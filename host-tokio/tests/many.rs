//! Many requests at once, and futures that are dropped.

mod support;

use std::collections::HashSet;

use distributedlog::Dlsn;
use distributedlog::wire::mux::Message;
use support::{Proxy, Received};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_thousand_requests_are_in_flight_on_one_connection() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let mut writes = JoinSet::new();
    for i in 0..1_000_i64 {
        let client = client.clone();
        writes.spawn(async move { (i, client.write("s", &i.to_be_bytes()).await) });
    }
    let mut calls = Vec::new();
    while calls.len() < 1_000 {
        calls.push(peer.call().await);
    }
    assert_eq!(
        calls
            .iter()
            .map(|call| call.tag)
            .collect::<HashSet<_>>()
            .len(),
        1_000,
        "all of them were under way at once"
    );
    // The last one first: replies come in any order.
    for call in calls.iter().rev() {
        let i = i64::from_be_bytes((*call.data).try_into().unwrap());
        peer.answer_written(call, Dlsn::new(1, i, 0)).await;
    }
    while let Some(written) = writes.join_next().await {
        let (i, written) = written.unwrap();
        assert_eq!(written, Ok(Dlsn::new(1, i, 0)));
    }
    tokio::select! {
        () = async { drop(proxy.accept().await) } => panic!("there is one connection per proxy"),
        () = client.close() => {}
        () = async {
            while peer.receive().await != Received::End {}
            drop(peer);
            core::future::pending().await
        } => {}
    }
}

/// More operations than may be in flight, again and again, all dropped halfway: if a permit leaked,
/// the last writes would never be sent.
#[tokio::test]
async fn dropped_futures_leak_no_room() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy
        .built(
            proxy
                .client()
                .max_in_flight(4)
                .max_in_flight_bytes(4 * 1024),
        )
        .await;
    for _ in 0..50 {
        let mut writes = JoinSet::new();
        for _ in 0..8 {
            let client = client.clone();
            writes.spawn(async move { client.write("s", &[7; 1_000]).await });
        }
        let call = peer.call_or_discarded().await;
        writes.shutdown().await;
        drop(call);
    }
    let mut writes = JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        writes.spawn(async move { client.write("s", b"last").await });
    }
    let mut left = 8;
    while left > 0 {
        match peer.receive().await {
            Received::Call(call) if call.data == b"last" => {
                peer.answer_written(&call, Dlsn::INITIAL).await;
                left -= 1;
            }
            Received::Discarded(tag) => peer.send(tag, Message::Rdiscarded).await,
            Received::Call(_) | Received::Ping(_) => {}
            other @ (Received::Check | Received::Init | Received::Drained(_) | Received::End) => {
                panic!("{other:?}")
            }
        }
    }
    while let Some(written) = writes.join_next().await {
        assert_eq!(written.unwrap(), Ok(Dlsn::INITIAL));
    }
}

#[tokio::test]
async fn a_record_larger_than_all_the_room_goes_alone() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.built(proxy.client().max_in_flight_bytes(1_024)).await;
    let record = vec![5; 1_000_000];
    let (written, ()) = tokio::join!(client.write("s", &record), async {
        let call = peer.call().await;
        assert_eq!(call.data.len(), 1_000_000);
        peer.answer_written(&call, Dlsn::INITIAL).await;
    });
    assert_eq!(written, Ok(Dlsn::INITIAL));
}
