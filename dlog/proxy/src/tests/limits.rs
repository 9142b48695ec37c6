//! Limits, and the behaviour at each of them.

use distributedlog::wire::mux::Message;
use distributedlog_testkit::store::ReleaseOrder;

use super::kit::{Raw, dispatch, settings, start, write};

#[tokio::test]
async fn a_connection_beyond_the_limit_is_closed_and_the_others_are_not() {
    let (proxy, _) = start(settings().max_connections(2)).await;
    let mut first = Raw::connect(&proxy).await;
    let mut second = Raw::connect(&proxy).await;
    first.ask(&write("s", b"x")).await;
    second.ask(&write("s", b"x")).await;
    let mut third = Raw::connect(&proxy).await;
    third.closed().await;
    assert_eq!(first.ask(&write("s", b"x")).await, "200 at 1/2/0");
    drop(second);
    // The place is free as soon as the proxy has seen that the second is gone.
    loop {
        let mut fourth = Raw::connect(&proxy).await;
        fourth.stream.set_nodelay(true).ok();
        let bytes = dispatch(2, &[], &write("s", b"x"));
        use tokio::io::AsyncWriteExt;
        if fourth.stream.write_all(&bytes).await.is_ok() && fourth.frame().await.is_some() {
            break;
        }
    }
}

#[tokio::test]
async fn with_enough_unanswered_a_connection_is_not_read_until_answers_go_out() {
    let (proxy, store) = start(settings().max_requests_per_connection(4)).await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("s", b"x")).await;
    store.hold_results();
    let mut bytes = Vec::new();
    for tag in 2..12 {
        bytes.extend(dispatch(tag, &[], &write("s", b"x")));
    }
    client.send(&bytes).await;
    store.until_appends(5).await;
    // Another connection is not held up.
    let mut other = Raw::connect(&proxy).await;
    other.say(1, Message::Tping).await;
    assert_eq!(other.heard().await.1, "Rping");
    assert_eq!(store.records("s").len(), 5, "the first, and four of ten");
    store.release_results(ReleaseOrder::FirstToLast);
    for tag in 2..12 {
        assert_eq!(
            client.heard().await,
            (tag, format!("200 at 1/{}/0", tag - 1))
        );
    }
}

#[tokio::test]
async fn a_stream_that_has_enough_to_do_refuses_more_and_others_take_it() {
    let (proxy, store) = start(settings().max_requests_per_stream(2)).await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("busy", b"x")).await;
    client.ask(&write("idle", b"x")).await;
    store.hold_results();
    for tag in 2..5 {
        client.dispatch(tag, &write("busy", b"12345")).await;
    }
    assert_eq!(
        client.heard().await,
        (
            4,
            "517 (log stream busy works on 2 requests of 10 bytes already)".to_owned()
        )
    );
    client.dispatch(5, &write("idle", b"x")).await;
    store.until_appends(5).await;
    store.release_results(ReleaseOrder::FirstToLast);
    let mut answers = vec![
        client.heard().await,
        client.heard().await,
        client.heard().await,
    ];
    answers.sort();
    let all_written = [
        (2, "200 at 1/1/0"),
        (3, "200 at 1/2/0"),
        (5, "200 at 1/1/0"),
    ]
    .map(|(tag, text)| (tag, text.to_owned()));
    assert_eq!(answers, all_written);
}

#[tokio::test]
async fn a_proxy_that_has_enough_to_do_refuses_more() {
    let limited = settings().max_requests_per_stream(2).max_requests(3);
    let (proxy, store) = start(limited).await;
    let mut client = Raw::connect(&proxy).await;
    store.hold_acquires();
    for (tag, stream) in [(2, "a"), (3, "b"), (4, "c"), (5, "d")] {
        client.dispatch(tag, &write(stream, b"x")).await;
    }
    assert_eq!(
        client.heard().await,
        (
            5,
            "517 (the proxy works on 3 requests of 3 bytes already)".to_owned()
        )
    );
    store.release_acquires();
    for _ in 0..3 {
        assert_eq!(client.heard().await.1, "200 at 1/0/0");
    }
    assert_eq!(client.ask(&write("d", b"x")).await, "200 at 1/0/0");
}

#[tokio::test]
async fn a_proxy_owns_so_many_streams_and_no_more() {
    let (proxy, _) = start(settings().max_streams(2)).await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("a", b"x")).await;
    client.ask(&write("b", b"x")).await;
    assert_eq!(
        client.ask(&write("c", b"x")).await,
        "524 (the proxy owns 2 streams and takes no more)"
    );
    assert_eq!(client.ask(&write("b", b"x")).await, "200 at 1/1/0");
}

/// The answers of a client that reads nothing fill the sockets' buffers and then the proxy's own
/// bound; it is closed, and no other client is.
#[tokio::test]
async fn a_client_that_does_not_read_is_closed() {
    use core::time::Duration;
    use distributedlog::wire::service::Request;
    use tokio::io::AsyncWriteExt;
    let (proxy, _) = start(settings().write_timeout(Duration::from_millis(50))).await;
    let mut other = Raw::connect(&proxy).await;
    for number in 0..100 {
        other
            .ask(&write(
                &format!("a-stream-with-a-long-name-{number:0200}"),
                b"x",
            ))
            .await;
    }
    let mut client = Raw::connect(&proxy).await;
    let handshake = dispatch(2, &[], &Request::Handshake);
    // Each answer has 20 KiB; the proxy stops reading when it cannot send, and then writing here
    // fails.
    while client.stream.write_all(&handshake).await.is_ok() {}
    assert_eq!(
        other
            .ask(&Request::SetAcceptNewStream { enabled: true })
            .await,
        "void"
    );
}

/// The reason belongs to the code: a client that shows it need not be told by another port.
#[tokio::test]
async fn the_reason_of_a_store_is_the_same_text_on_both_ports() {
    use crate::tests::stats::http;
    use distributedlog_store::StoreError;
    let any = core::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let (proxy, store) = start(settings().http_listen(Some(any))).await;
    let port = proxy.http_addr().expect("it was asked for");
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("s", b"x")).await;
    for error in [
        StoreError::DiskFull {
            path: "/data".into(),
        },
        StoreError::ReadOnly {
            path: "/data".into(),
        },
        StoreError::Overloaded { limit: 5 },
        StoreError::Io {
            path: "/data".into(),
            detail: "gone".into(),
        },
    ] {
        let reason = error.to_string();
        store.fail_next_append(error.clone());
        let by_thrift = client.ask(&write("s", b"x")).await;
        assert!(by_thrift.ends_with(&format!("({reason})")), "{by_thrift}");
        store.fail_next_append(error.clone());
        let by_framed = Raw::connect(&proxy).await;
        let by_framed = { by_framed }.ask_framed(&write("s", b"x")).await;
        assert_eq!(by_framed, by_thrift);
        store.fail_next_append(error);
        let by_http = http(port, "POST", "/v1/streams/s/records").await;
        let detail = format!(r#""detail":{}"#, serde_json::json!(reason));
        assert!(by_http.contains(&detail), "{by_http}");
    }
}
