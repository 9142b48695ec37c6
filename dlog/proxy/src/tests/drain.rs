//! Draining a proxy without losing a request.

use core::time::Duration;
use std::sync::Arc;

use distributedlog::wire::mux::Message;
use distributedlog::wire::service::Request;
use distributedlog_testkit::store::ReleaseOrder;
use tokio::net::TcpStream;

use super::kit::{Raw, dispatch, framed_call, settings, start, write};
use crate::DrainReport;

#[tokio::test]
async fn draining_answers_what_is_in_flight_and_gives_the_streams_back() {
    let (proxy, store) = start(settings()).await;
    let proxy = Arc::new(proxy);
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("s", b"x")).await;
    store.hold_results();
    for tag in 2..5 {
        client.dispatch(tag, &write("s", b"x")).await;
    }
    store.until_appends(4).await;
    let draining = tokio::spawn({
        let proxy = proxy.clone();
        async move { proxy.drain().await }
    });
    assert_eq!(client.heard().await, (1, "Tdrain".to_owned()));
    // What was sent before the client read that is still taken.
    client.dispatch(5, &write("s", b"x")).await;
    client.dispatch(6, &Request::Handshake).await;
    assert_eq!(
        client.heard().await,
        (6, format!("server 300 [\"s=1;1;{}\"]", proxy.local_addr()))
    );
    client.say(1, Message::Rdrain).await;
    client.dispatch(7, &write("s", b"x")).await;
    assert_eq!(
        client.heard().await,
        (
            7,
            "Nack: not started: the proxy is shutting down".to_owned()
        )
    );
    store.release_results(ReleaseOrder::FirstToLast);
    for tag in 2..6 {
        assert_eq!(
            client.heard().await,
            (tag, format!("200 at 1/{}/0", tag - 1))
        );
    }
    client.closed().await;
    let drained = draining.await.expect("no panic");
    assert_eq!(
        drained,
        DrainReport {
            connections_finished: 1,
            connections_cut: 0,
            streams_released: 1
        }
    );
    assert_eq!(
        proxy.drain().await,
        drained,
        "a second call returns the same"
    );
    assert_eq!((store.owner("s"), store.is_closed()), (None, true));
    assert!(
        TcpStream::connect(proxy.local_addr()).await.is_err(),
        "the port is closed"
    );
}

#[tokio::test]
async fn draining_closes_framed_connections_when_they_are_answered() {
    let (proxy, store) = start(settings()).await;
    let mut idle = Raw::connect(&proxy).await;
    idle.ask_framed(&write("s", b"x")).await;
    let mut silent = Raw::connect(&proxy).await;
    let mut busy = Raw::connect(&proxy).await;
    store.hold_results();
    busy.send(
        &[
            framed_call(&write("s", b"a")),
            framed_call(&write("s", b"b")),
        ]
        .concat(),
    )
    .await;
    store.until_appends(2).await;
    let answering = async {
        idle.closed().await;
        silent.closed().await;
        store.release_results(ReleaseOrder::FirstToLast);
        assert_eq!(busy.heard_framed().await, "200 at 1/1/0");
        assert_eq!(
            busy.heard_framed().await,
            "200 at 1/2/0",
            "what had come with it is answered too"
        );
        busy.closed().await;
    };
    let (drained, ()) = tokio::join!(proxy.drain(), answering);
    assert_eq!(
        (drained.connections_finished, drained.connections_cut),
        (3, 0)
    );
}

#[tokio::test]
async fn new_streams_are_not_taken_while_draining() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("s", b"x")).await;
    let answering = async {
        assert_eq!(client.heard().await.1, "Tdrain");
        let answer = client.ask(&write("new", b"x")).await;
        assert!(
            answer.starts_with("503 (proxy 1;1;") && answer.ends_with("is shutting down)"),
            "{answer}"
        );
        client.say(1, Message::Rdrain).await;
        client.closed().await;
    };
    tokio::join!(proxy.drain(), answering);
    assert!(store.records("new").is_empty());
}

#[tokio::test]
async fn a_connection_that_does_not_finish_in_time_is_cut() {
    let (proxy, store) = start(settings().drain_timeout(Duration::from_millis(50))).await;
    let mut client = Raw::connect(&proxy).await;
    store.hold_results();
    client.dispatch(2, &write("s", b"x")).await;
    store.until_appends(1).await;
    let drained = proxy.drain().await;
    assert_eq!(client.heard().await.1, "Tdrain");
    client.closed().await;
    assert_eq!(drained.connections_finished, 0);
}

#[tokio::test]
async fn a_client_that_does_not_answer_the_drain_is_closed() {
    let (proxy, _) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("s", b"x")).await;
    let answering = async {
        assert_eq!(client.heard().await.1, "Tdrain");
        client.closed().await;
    };
    let (drained, ()) = tokio::join!(proxy.drain(), answering);
    assert_eq!(
        (drained.connections_finished, drained.connections_cut),
        (1, 0)
    );
}

/// Eight clients write as fast as they can while the proxy drains. Each of their writes is either
/// answered, or was never started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_under_load_loses_nothing() {
    let (proxy, store) = start(settings()).await;
    let mut clients = tokio::task::JoinSet::new();
    let (began, mut begun) = tokio::sync::mpsc::channel(8);
    for number in 0..8_u32 {
        let mut client = Raw::connect(&proxy).await;
        let began = began.clone();
        clients.spawn(async move {
            let stream = format!("s{number}");
            let mut acknowledged = Vec::new();
            let mut drain_seen = false;
            for round in 0.. {
                if drain_seen {
                    break;
                }
                let payload = [number.to_be_bytes(), u32::to_be_bytes(round)].concat();
                client
                    .send(&dispatch(2, &[], &write(&stream, &payload)))
                    .await;
                loop {
                    let (_, answer) = client.heard().await;
                    match answer.as_str() {
                        "Tdrain" => {
                            drain_seen = true;
                            client.say(1, Message::Rdrain).await;
                        }
                        answer if answer.starts_with("200") => break acknowledged.push(payload),
                        answer => {
                            assert!(answer.starts_with("Nack"), "{answer}");
                            break;
                        }
                    }
                }
                if round == 20 {
                    began.send(()).await.expect("the test waits");
                }
            }
            client.closed().await;
            (stream, acknowledged)
        });
    }
    for _ in 0..8 {
        begun.recv().await.expect("every client gets going");
    }
    assert_eq!(proxy.drain().await.connections_cut, 0);
    while let Some(client) = clients.join_next().await {
        let (stream, acknowledged) = client.expect("no panic");
        let stored: Vec<_> = store
            .records(&stream)
            .into_iter()
            .map(|(_, payload)| payload)
            .collect();
        assert_eq!(stored, acknowledged);
    }
}
