//! Record sets that are sent again (R12), over the wire.

use core::net::SocketAddr;

use distributedlog::wire::crc;
use distributedlog::wire::record_set::{RecordSetBuilder, SetIdentity, WriterId};
use distributedlog::wire::service::{Request, WriteContext};
use distributedlog_testkit::store::ReleaseOrder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::kit::{Raw, settings, start};
use super::stats::http;

fn set(sequence: u64, records: &[&[u8]]) -> Vec<u8> {
    let mut buffer = vec![0; 512];
    let mut builder = RecordSetBuilder::new(buffer.len(), true);
    for record in records {
        builder.append(&mut buffer, record).expect("it fits");
    }
    builder
        .finish(
            &mut buffer,
            Some(&SetIdentity {
                writer: WriterId([7; 16]),
                sequence,
            }),
        )
        .to_vec()
}

fn write_set<'a>(stream: &'a str, set: &'a [u8]) -> Request<'a> {
    let context = WriteContext {
        is_record_set: Some(true),
        crc32: Some(crc::write(stream, set).into()),
        ..WriteContext::default()
    };
    Request::WriteWithContext {
        stream,
        data: set,
        context,
    }
}

#[tokio::test]
async fn a_set_that_is_sent_again_on_any_connection_gets_the_first_position_and_is_stored_once() {
    let (proxy, store) =
        start(settings().stats_listen(Some(SocketAddr::from(([127, 0, 0, 1], 0))))).await;
    let (first, second) = (set(0, &[b"a", b"b"]), set(1, &[b"c"]));
    let mut client = Raw::connect(&proxy).await;
    assert_eq!(client.ask(&write_set("s", &first)).await, "200 at 1/0/0");
    assert_eq!(client.ask(&write_set("s", &second)).await, "200 at 1/1/0");
    let mut again = Raw::connect(&proxy).await;
    assert_eq!(
        again.ask_framed(&write_set("s", &first)).await,
        "200 at 1/0/0"
    );
    let without_checksum = WriteContext {
        is_record_set: Some(true),
        ..WriteContext::default()
    };
    let request = Request::WriteWithContext {
        stream: "s",
        data: &second,
        context: without_checksum,
    };
    assert_eq!(
        client.ask(&request).await,
        "200 at 1/1/0",
        "the proxy makes the checksum where the client sends none"
    );
    assert_eq!(store.records("s").len(), 2);
    assert_eq!(client.ask(&write_set("t", &first)).await, "200 at 1/0/0");
    assert_eq!(
        store.records("t").len(),
        1,
        "a copy for another stream is stored there"
    );
    let metrics = http(
        proxy.stats_addr().expect("it was asked for"),
        "GET",
        "/metrics",
    )
    .await;
    for line in [
        "dlog_proxy_duplicates_answered_total 2",
        "dlog_proxy_identities_reused_total 0",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "no {line:?} in\n{metrics}"
        );
    }
}

#[tokio::test]
async fn a_set_whose_answer_was_lost_with_its_connection_is_stored_once() {
    let (proxy, store) = start(settings()).await;
    store.hold_results();
    let set = set(0, &[b"a"]);
    let mut lost = Raw::connect(&proxy).await;
    lost.dispatch(2, &write_set("s", &set)).await;
    store.until_appends(1).await;
    drop(lost);
    let mut client = Raw::connect(&proxy).await;
    client.dispatch(3, &write_set("s", &set)).await;
    // An answer says that the proxy has read what came before.
    client
        .dispatch(
            4,
            &Request::GetOwner {
                stream: "s",
                context: WriteContext::default(),
            },
        )
        .await;
    assert_eq!(client.heard().await.0, 4);
    store.release_results(ReleaseOrder::FirstToLast);
    assert_eq!(client.heard().await, (3, "200 at 1/0/0".to_owned()));
    assert_eq!(store.records("s").len(), 1);
}

#[tokio::test]
async fn another_set_under_the_same_identity_is_stored_too() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    assert_eq!(
        client.ask(&write_set("s", &set(0, &[b"a"]))).await,
        "200 at 1/0/0"
    );
    assert_eq!(
        client.ask(&write_set("s", &set(0, &[b"b"]))).await,
        "200 at 1/1/0"
    );
    assert_eq!(store.records("s").len(), 2);
}

#[tokio::test]
async fn copies_over_http_and_over_the_wire_are_told_from_each_other() {
    let (proxy, store) =
        start(settings().http_listen(Some(SocketAddr::from(([127, 0, 0, 1], 0))))).await;
    let set = set(0, &[b"a", b"b"]);
    let mut client = Raw::connect(&proxy).await;
    assert_eq!(client.ask(&write_set("s", &set)).await, "200 at 1/0/0");
    let mut http = TcpStream::connect(proxy.http_addr().expect("it was asked for"))
        .await
        .expect("it listens");
    let kind = "application/vnd.distributedlog.record-set";
    let head = format!(
        "POST /v1/streams/s/records HTTP/1.1\r\nhost: localhost\r\nconnection: \
         close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        set.len()
    );
    http.write_all(&[head.as_bytes(), &set].concat())
        .await
        .expect("the server reads");
    let mut answer = String::new();
    http.read_to_string(&mut answer).await.expect("UTF-8");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("\"records\":2"),
        "{answer}"
    );
    assert_eq!(store.records("s").len(), 1, "{answer}");
}
