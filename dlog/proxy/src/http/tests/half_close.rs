//! Clients that close their sending side after a complete request, which TCP and HTTP/1.1 allow.

use core::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::kit::{Client, Version, address, metric, settings, start, until_metric};

const ANY: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 0);

/// Sends a request, closes the sending side, and returns the connection.
async fn sent(address: SocketAddr, request: &str) -> TcpStream {
    let mut raw = TcpStream::connect(address).await.expect("it listens");
    raw.write_all(request.as_bytes()).await.expect("it reads");
    raw.shutdown().await.expect("it is open");
    raw
}

async fn answer(address: SocketAddr, request: &str) -> String {
    let mut answer = String::new();
    let mut raw = sent(address, request).await;
    raw.read_to_string(&mut answer).await.expect("UTF-8");
    answer
}

fn append(stream: &str, close: bool) -> String {
    let connection = if close { "connection: close\r\n" } else { "" };
    format!(
        "POST /v1/streams/{stream}/records HTTP/1.1\r\nhost: localhost\r\n{connection}\
         content-type: text/plain\r\ncontent-length: 4\r\n\r\nhc01"
    )
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

#[tokio::test]
async fn every_request_of_a_half_closed_client_is_answered() {
    let (proxy, store) = start(settings().stats_listen(Some(ANY))).await;
    let http = address(&proxy);
    for close in [false, true] {
        for _ in 0..20 {
            let answer = answer(http, &append("s", close)).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        }
    }
    // Also one whose append takes a while, and two that come at once.
    store.hold_appends();
    let two = append("s", false) + &append("s", false);
    let mut held = sent(http, &two).await;
    store.until(|store| store.held_appends() == 1).await;
    store.release_appends();
    let mut answers = String::new();
    held.read_to_string(&mut answers).await.expect("UTF-8");
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    let read = answer(http, &get("/v1/streams/s/records?follow=false")).await;
    assert_eq!(read.matches(r#""event":"record""#).count(), 42);
    let stats = proxy.stats_addr().expect("it was asked for");
    for (port, path) in [(http, "/v1/streams"), (http, "/"), (stats, "/metrics")] {
        let answer = answer(port, &get(path)).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_half_closed_reader_that_follows_gets_what_is_written_later() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", b"before").await;
    let path = "/v1/streams/s/records?from=end&payload=text&limit=1";
    let mut reader = sent(address(&proxy), &get(path)).await;
    // The heartbeats that find out whether it still receives.
    let mut came = String::new();
    while came.matches("heartbeat").count() < 4 {
        let mut space = [0; 1 << 10];
        let count = reader.read(&mut space).await.expect("it is served");
        assert!(count > 0, "it was cut off: {came}");
        came.push_str(core::str::from_utf8(&space[..count]).expect("UTF-8"));
    }
    client.write("s", b"after").await;
    reader.read_to_string(&mut came).await.expect("UTF-8");
    assert!(came.contains(r#""text":"after""#), "{came}");
}

#[tokio::test]
async fn an_append_that_does_not_start_is_answered_and_not_carried_out() {
    let (proxy, store) = start(settings().faults(true)).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", b"one").await;
    proxy.faults().expect("they are allowed").stall("s");
    let answer = answer(address(&proxy), &append("s", true)).await;
    assert!(
        answer.starts_with("HTTP/1.1 504") && answer.contains(r#""known":"not_written""#),
        "{answer}"
    );
    assert_eq!(metric(&client, "dlog_proxy_discarded_total").await, 1.0);
    until_metric(&client, "dlog_proxy_requests_unanswered", 0.0).await;
    assert_eq!(store.held_appends(), 0);
}
