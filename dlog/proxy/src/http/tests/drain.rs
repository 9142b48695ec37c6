//! Draining of the HTTP port, and requests whose clients have gone.

use axum::body::Body;
use serde_json::json;

use super::kit::{Client, Version, metric, settings, start, until_metric};
use distributedlog_store::{LogStore, StreamName};

#[tokio::test]
async fn draining_finishes_requests_in_flight_ends_reads_and_makes_the_proxy_unready() {
    for version in [Version::One, Version::Two] {
        let (proxy, store) = start(settings()).await;
        let client = Client::new(&proxy, version);
        client.write("s", b"one").await;
        let next = format!("1,0,1@{}", client.created_ms("s").await);
        let mut lines = client.tail("s", "from=end", &[]).await;
        lines.line().await;
        store.hold_appends();
        let writing = client.write("s", b"two");
        let draining = async {
            store.until(|store| store.held_appends() == 1).await;
            let drain = proxy.drain();
            tokio::pin!(drain);
            let during = async {
                assert_eq!(
                    lines.json().await,
                    json!({"event": "end", "reason": "draining", "next": next})
                );
                assert_eq!(lines.line().await, None);
                // A client that connects now is refused.
                let late = Client::new(&proxy, version);
                assert_eq!(late.get("/readyz").await.status, 503);
                assert_eq!(late.get("/healthz").await.status, 200);
                assert_eq!(late.get("/metrics").await.status, 200);
                assert_eq!(
                    late.write("s", b"three").await.problem(),
                    "503 SERVICE_UNAVAILABLE 503, not_written"
                );
                store.release_appends();
            };
            tokio::join!(drain, during).0
        };
        let (written, drained) = tokio::join!(writing, draining);
        assert_eq!(written.json()["dlsn"]["text"], "1,1,0", "{version:?}");
        assert_eq!(drained.streams_released, 1);
    }
}

#[tokio::test]
async fn a_write_that_has_not_started_is_taken_back_when_its_client_goes() {
    for version in [Version::One, Version::Two] {
        let (proxy, store) = start(settings().faults(true)).await;
        let (client, observer) = (
            Client::new(&proxy, version),
            Client::new(&proxy, Version::One),
        );
        let faults = proxy.faults().expect("the settings allow it");
        client.write("s", b"one").await;
        faults.stall("s");
        {
            let abandoned = client.write("s", b"two");
            tokio::pin!(abandoned);
            tokio::select! {
                answer = &mut abandoned => panic!("the stream stalls: {answer:?}"),
                () = until_metric(&observer, "dlog_proxy_requests_unanswered", 1.0) => {}
            }
        }
        until_metric(&observer, "dlog_proxy_http_aborted_total", 1.0).await;
        // Over HTTP/1.1 a client that closed its sending side has a second to go.
        until_metric(&observer, "dlog_proxy_discarded_total", 1.0).await;
        until_metric(&observer, "dlog_proxy_requests_unanswered", 0.0).await;
        faults.clear("s");
        assert_eq!(
            client.write("s", b"three").await.json()["dlsn"]["text"],
            "1,1,0"
        );
        let info = store
            .describe(&StreamName::new("s").expect("a name"))
            .await
            .expect("it is there");
        assert_eq!(info.segments[0].records, 2, "{version:?}");
    }
}

#[tokio::test]
async fn a_write_that_has_started_goes_on_without_its_client_and_leaves_nothing_behind() {
    let (proxy, store) = start(settings()).await;
    let (client, observer) = (
        Client::new(&proxy, Version::Two),
        Client::new(&proxy, Version::One),
    );
    store.hold_appends();
    {
        let abandoned = client.write("s", b"one");
        tokio::pin!(abandoned);
        tokio::select! {
            answer = &mut abandoned => panic!("it is held: {answer:?}"),
            () = store.until(|store| store.held_appends() == 1) => {}
        }
    }
    until_metric(&observer, "dlog_proxy_http_aborted_total", 1.0).await;
    assert_eq!(metric(&observer, "dlog_proxy_discarded_total").await, 0.0);
    store.release_appends();
    assert_eq!(
        client.write("s", b"two").await.json()["dlsn"]["text"],
        "1,1,0",
        "the first is in the stream"
    );
    assert_eq!(
        metric(&observer, "dlog_proxy_requests_unanswered").await,
        0.0
    );
    assert_eq!(
        proxy.drain().await.streams_released,
        1,
        "nothing of it is left in the machine"
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_is_counted_and_nothing_is_written() {
    use tokio::io::AsyncWriteExt;
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    let mut raw = tokio::net::TcpStream::connect(super::kit::address(&proxy))
        .await
        .expect("it listens");
    raw.write_all(
        b"POST /v1/streams/s/records HTTP/1.1\r\nhost: localhost\r\n\
          content-length: 100\r\n\r\nhalf",
    )
    .await
    .expect("it reads");
    drop(raw);
    until_metric(&client, "dlog_proxy_http_aborted_total", 1.0).await;
    assert!(store.list().await.expect("it is open").is_empty());
    assert_eq!(
        client
            .ask("GET", "/v1/streams", &[], Body::empty())
            .await
            .json(),
        json!({"streams": []})
    );
}
