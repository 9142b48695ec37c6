//! Bounds on what clients of HTTP make the proxy hold.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog_store::{EntryRecord, StreamName};
use distributedlog_testkit::store::MemoryStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::kit::{Client, Version, address, settings, start, start_on};
use crate::RunningProxy;

/// Connects from 127.0.0.`last`, with little room for what comes.
async fn connect_from(proxy: &RunningProxy, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let from = SocketAddr::from(([127, 0, 0, last], 0));
    socket.bind(from).expect("an address of this machine");
    socket.set_recv_buffer_size(4 << 10).expect("a size");
    socket.connect(address(proxy)).await.expect("it listens")
}

/// Begins to read the stream, and returns the status line.
async fn read_stream(stream: &mut TcpStream, query: &str) -> String {
    let request =
        format!("GET /v1/streams/s/records?from=start{query} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.expect("an answer"));
    }
    String::from_utf8(line).expect("a status line")
}

/// A store whose stream has this many entries of this size.
fn filled(entries: i64, bytes: usize) -> Arc<MemoryStore> {
    let (store, stream) = (MemoryStore::new(), StreamName::new("s").expect("a name"));
    for id in 0..entries {
        let record = EntryRecord {
            payload: Bytes::from(vec![b'x'; bytes]),
            slots: 1,
            is_record_set: false,
        };
        store.put(&stream, Dlsn::new(1, id, 0), vec![record]);
    }
    store
}

#[tokio::test]
async fn bodies_that_are_announced_and_do_not_come_take_no_room() {
    let (proxy, _) = start(settings()).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        let mut raw = connect_from(&proxy, 1).await;
        raw.write_all(
            b"POST /v1/streams/s/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: \
              1040384\r\nexpect: 100-continue\r\n\r\n",
        )
        .await
        .expect("it reads");
        // The proxy reads the body by now.
        let mut line = [0; 25];
        raw.read_exact(&mut line).await.expect("an answer");
        assert!(line.starts_with(b"HTTP/1.1 100 Continue"));
        silent.push(raw);
    }
    assert_eq!(proxy.bounds().bodies.all().held(), 0);
    let client = Client::new(&proxy, Version::One);
    let answer = client
        .ask("POST", "/v1/streams/s/records", &[], vec![7; 1_040_384])
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn bodies_of_one_address_leave_room_for_others() {
    let (proxy, _) = start(settings().http_max_body_bytes(4 << 20)).await;
    let mut half = Vec::new();
    for _ in 0..8 {
        let mut raw = connect_from(&proxy, 1).await;
        let head = "POST /v1/streams/s/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: \
                    1040384\r\n\r\n";
        raw.write_all(head.as_bytes()).await.expect("it reads");
        // The proxy refuses some of them.
        let _ = raw.write_all(&vec![7; 1_000_000]).await;
        half.push(raw);
    }
    let bodies = &proxy.bounds().bodies;
    assert!(bodies.all().held() <= 2 << 20);
    let mut other = connect_from(&proxy, 2).await;
    let head = "POST /v1/streams/s/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: \
                1000000\r\n\r\n";
    other.write_all(head.as_bytes()).await.expect("it reads");
    other
        .write_all(&vec![7; 1_000_000])
        .await
        .expect("it reads");
    let mut line = [0; 12];
    other.read_exact(&mut line).await.expect("an answer");
    assert_eq!(&line, b"HTTP/1.1 200");
}

#[tokio::test]
async fn readers_from_one_address_leave_seats_for_others() {
    let limited = settings().http_max_readers(8).http_max_readers_per_peer(4);
    let proxy = start_on(limited, &filled(1, 1)).await;
    let mut readers = Vec::new();
    for from in [1, 1, 1, 1, 2, 3] {
        let mut reader = connect_from(&proxy, from).await;
        let status = read_stream(&mut reader, "").await;
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        readers.push(reader);
    }
    let mut refused = connect_from(&proxy, 1).await;
    let status = read_stream(&mut refused, "").await;
    assert!(status.starts_with("HTTP/1.1 503"), "{status}");
    let mut text = vec![0; 2 << 10];
    let mut length = 0;
    while !String::from_utf8_lossy(&text[..length]).contains("the limit for one address") {
        let count = refused.read(&mut text[length..]).await.expect("an answer");
        assert!(count > 0, "{}", String::from_utf8_lossy(&text));
        length += count;
    }
}

#[tokio::test]
async fn readers_that_take_nothing_hold_what_there_is_room_for() {
    let limited = settings().http_max_read_ahead_bytes(4 << 20);
    let proxy = start_on(limited, &filled(400, 10 << 10)).await;
    let mut silent = Vec::new();
    for _ in 0..30 {
        let mut reader = connect_from(&proxy, 1).await;
        let status = read_stream(&mut reader, "").await;
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        silent.push(reader);
    }
    let held = proxy.bounds().read_ahead.all().held();
    assert!(held <= 2 << 20, "{held} bytes");
    // One from there that takes its records gets them all, and one from elsewhere too.
    for from in [1, 2] {
        let mut reader = connect_from(&proxy, from).await;
        read_stream(&mut reader, "&follow=false&payload=text").await;
        let (mut all, mut some) = (0, vec![0; 64 << 10]);
        while all < 400 * (10 << 10) {
            let count = reader.read(&mut some).await.expect("records");
            assert!(count > 0, "it ended after {all} bytes");
            all += some[..count].iter().filter(|byte| **byte == b'x').count();
        }
    }
}

#[tokio::test]
async fn large_entries_wait_for_room_and_are_delivered() {
    let limited = settings().http_max_read_ahead_bytes(4 << 20);
    let proxy = start_on(limited, &filled(12, 900 << 10)).await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        let mut reader = connect_from(&proxy, 1).await;
        read_stream(&mut reader, "").await;
        silent.push(reader);
    }
    assert!(proxy.bounds().read_ahead.all().held() <= 2 << 20);
    let mut reader = connect_from(&proxy, 2).await;
    read_stream(&mut reader, "&follow=false&payload=text").await;
    let (mut all, mut some) = (0, vec![0; 64 << 10]);
    while all < 12 * (900 << 10) {
        let count = reader.read(&mut some).await.expect("records");
        assert!(count > 0, "it ended after {all} bytes");
        all += some[..count].iter().filter(|byte| **byte == b'x').count();
    }
}

#[tokio::test]
async fn a_reader_must_take_its_records_at_the_minimum_rate() {
    let limited = settings()
        .write_timeout(Duration::from_millis(300))
        .min_write_rate(1 << 20);
    let proxy = start_on(limited, &filled(4000, 10 << 10)).await;
    let mut reader = connect_from(&proxy, 1).await;
    let status = read_stream(&mut reader, "").await;
    assert!(status.starts_with("HTTP/1.1 200"), "{status}");
    // A byte at a time: the connection is closed, although it reads all the time.
    loop {
        if reader.read_u8().await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        if proxy.bounds().readers.all().held() == 0 {
            break;
        }
    }
    assert_eq!(proxy.bounds().readers.all().held(), 0);
}
