//! Clients that send too much, too slowly, or something other than HTTP.

use core::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::kit::{Client, Version, address, metric, settings, start};
use crate::{MAX_RECORD_BYTES, RunningProxy};
use distributedlog_store::LogStore;

async fn connect(proxy: &RunningProxy) -> TcpStream {
    TcpStream::connect(address(proxy))
        .await
        .expect("it listens")
}

/// Sends bytes, and reads to the end.
async fn said(proxy: &RunningProxy, bytes: &[u8]) -> String {
    let mut raw = connect(proxy).await;
    raw.write_all(bytes).await.expect("it reads");
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = raw.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_that_is_announced_as_too_large_is_refused_before_it_is_sent() {
    let (proxy, _) = start(settings()).await;
    let head = format!(
        "POST /v1/streams/s/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n",
        MAX_RECORD_BYTES + 1
    );
    for expect in ["", "expect: 100-continue\r\n"] {
        let answer = said(&proxy, format!("{head}{expect}\r\n").as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 413 Payload Too Large"),
            "{answer}"
        );
        assert!(
            answer.contains(r#""name":"TOO_LARGE_RECORD","code":413,"known":"rejected""#),
            "{answer}"
        );
        assert!(
            !answer.contains("100 Continue"),
            "the body was asked for: {answer}"
        );
    }
}

#[tokio::test]
async fn the_largest_record_is_stored_and_one_byte_more_is_not() {
    for version in [Version::One, Version::Two] {
        let (proxy, _) = start(settings()).await;
        let client = Client::new(&proxy, version);
        for (size, problem) in [
            (MAX_RECORD_BYTES, None),
            (
                MAX_RECORD_BYTES + 1,
                Some("413 TOO_LARGE_RECORD 413, rejected"),
            ),
        ] {
            let chunks = |size: usize| {
                let chunk = Bytes::from(vec![7; 64 << 10]);
                let lengths = (0..size.div_ceil(chunk.len()))
                    .map(move |index| (size - index * (64 << 10)).min(64 << 10));
                let chunks: Vec<Result<Bytes, std::io::Error>> =
                    lengths.map(|length| Ok(chunk.slice(..length))).collect();
                Body::from_stream(stream::iter(chunks))
            };
            let bodies = [Body::from(vec![7; size]), chunks(size)];
            for body in bodies {
                let answer = client.ask("POST", "/v1/streams/s/records", &[], body).await;
                assert_eq!(
                    problem.map(|_| answer.problem()).as_deref(),
                    problem,
                    "{version:?} {size}"
                );
                assert_eq!(answer.status == 200, problem.is_none(), "{answer:?}");
            }
        }
    }
}

/// The answer must not be lost because the client is busy sending when it comes.
#[tokio::test]
async fn a_client_that_continues_to_send_receives_the_refusal() {
    let (proxy, _) = start(settings()).await;
    let mut raw = connect(&proxy).await;
    raw.write_all(
        b"POST /v1/streams/s/records HTTP/1.1\r\nhost: localhost\r\n\
          transfer-encoding: chunked\r\n\r\n",
    )
    .await
    .expect("it reads");
    let chunk = [
        format!("{:x}\r\n", 256 << 10).into_bytes(),
        vec![7; 256 << 10],
        b"\r\n".to_vec(),
    ]
    .concat();
    for _ in 0..5 {
        raw.write_all(&chunk).await.expect("it reads");
    }
    // The answer is there, and the client, which has not looked, goes on.
    raw.readable().await.expect("an answer");
    for _ in 0..4 {
        raw.write_all(&chunk).await.expect("it drops what comes");
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    raw.read_to_string(&mut answer)
        .await
        .expect("an orderly end");
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn slow_headers_slow_bodies_and_silence_end_in_time() {
    let limit = Duration::from_millis(50);
    let (proxy, _) = start(
        settings()
            .handshake_timeout(limit)
            .http_header_timeout(limit)
            .frame_timeout(limit),
    )
    .await;
    for beginning in [
        "",
        "P",
        "PRI * HTTP/2.0\r\n",
        "GET /healthz HTTP/1.1\r\nhost: localh",
        "GET /healthz HTTP/1.1\r\n",
    ] {
        assert!(
            !said(&proxy, beginning.as_bytes()).await.contains("200"),
            "{beginning:?}"
        );
    }
    // On a busy machine the head may be late too, but only the body may be too late here.
    let (proxy, _) = start(settings().frame_timeout(limit)).await;
    let answer = said(
        &proxy,
        b"POST /v1/streams/s/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf",
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("BODY_TOO_SLOW"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_is_no_http_is_answered_with_400_or_the_end() {
    let (proxy, _) = start(settings()).await;
    let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200));
    let two_lengths = "POST /v1/streams/s/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: \
                       1\r\ncontent-length: 2\r\n\r\nab";
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..],
        b"\0\0\0\x0aX",
        b"GET\r\n\r\n",
        long.as_bytes(),
        many.as_bytes(),
        two_lengths.as_bytes(),
    ] {
        let mut raw = connect(&proxy).await;
        let _ = raw.write_all(bytes).await;
        let _ = raw.shutdown().await;
        let mut answer = Vec::new();
        let _ = raw.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert_eq!(
        Client::new(&proxy, Version::One)
            .get("/healthz")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn routes_and_methods_that_there_are_not_are_problems() {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    for path in [
        "/v1",
        "/v1/streams/",
        "/v1/streams/a/b",
        "/v2/streams",
        "/..%2f..%2fetc/passwd",
        "/faults/s/stal",
    ] {
        assert_eq!(
            client.get(path).await.problem(),
            "404 NO_SUCH_ROUTE, not_written",
            "{path}"
        );
    }
    for (method, path, allowed) in [
        ("PATCH", "/v1/streams/s", "PUT,GET,HEAD,DELETE"),
        ("POST", "/v1/streams", "GET,HEAD"),
        ("POST", "/metrics", "GET,HEAD"),
    ] {
        let refused = client.ask(method, path, &[], "").await;
        assert_eq!(refused.problem(), "405 METHOD_NOT_ALLOWED, not_written");
        assert_eq!(refused.headers["allow"], allowed);
    }
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed_and_the_others_served() {
    let (proxy, _) = start(settings().http_max_connections(2)).await;
    let client = Client::new(&proxy, Version::One);
    assert_eq!(client.get("/healthz").await.status, 200);
    let second = connect(&proxy).await;
    let mut third = connect(&proxy).await;
    let mut nothing = Vec::new();
    let _ = third.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty());
    assert_eq!(
        metric(&client, "dlog_proxy_connections_refused_total").await,
        1.0,
        "and who was there first is served on"
    );
    drop(second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_clients_at_once_lose_and_double_nothing() {
    let (proxy, store) = start(settings()).await;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..200_usize {
        let client = Client::new(
            &proxy,
            if number % 2 == 0 {
                Version::One
            } else {
                Version::Two
            },
        );
        clients.spawn(async move {
            let stream = format!("s{}", number % 5);
            for _ in 0..5 {
                assert_eq!(client.write(&stream, b"record").await.status, 200);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("no panic");
    }
    let mut records = 0;
    for name in store.list().await.expect("it is open") {
        records += store
            .describe(&name)
            .await
            .expect("it is there")
            .segments
            .iter()
            .map(|segment| segment.records)
            .sum::<u64>();
    }
    assert_eq!(records, 1000);
}
