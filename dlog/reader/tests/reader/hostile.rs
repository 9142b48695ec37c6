//! Connections that break, and peers that are silent or no proxies.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use distributedlog_reader::{FaultKind, HttpSource, MultiStreamReader};
use distributedlog_testkit::Random;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::kit::{Faults, Stack, plain, set, take, until};

/// Passes what it receives on to the proxy, and cuts each connection after some bytes of its
/// response. Returns its address and the number of connections that it cut.
async fn cutting_relay(
    proxy: SocketAddr,
    seed: u64,
    most: usize,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let cut = Arc::new(AtomicUsize::new(0));
    let counted = cut.clone();
    tokio::spawn(async move {
        let mut random = Random::new(seed);
        while let Ok((client, _)) = listener.accept().await {
            let limit = random.index(most);
            let counted = counted.clone();
            tokio::spawn(async move {
                let server = TcpStream::connect(proxy).await.expect("the proxy listens");
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let request = tokio::io::copy(&mut from_client, &mut to_server);
                let response = async {
                    let mut left = limit;
                    let mut bytes = vec![0; 4096];
                    while left > 0 {
                        match from_server.read(&mut bytes).await {
                            Ok(count @ 1..) => {
                                let count = count.min(left);
                                left -= count;
                                if to_client.write_all(&bytes[..count]).await.is_err() {
                                    return;
                                }
                            }
                            Ok(0) | Err(_) => return,
                        }
                    }
                    counted.fetch_add(1, Ordering::Relaxed);
                };
                tokio::select! {
                    _ = request => {}
                    () = response => {}
                }
            });
        }
    });
    (address, cut)
}

#[tokio::test]
async fn a_connection_that_breaks_at_any_byte_loses_and_repeats_nothing() {
    let stack = Stack::start().await;
    let mut expected = Vec::new();
    for sequence in 0..200 {
        let stream = sequence % 2;
        let set = set(&format!("{sequence}"), 3, 1, sequence);
        let entry = i64::try_from(sequence / 2).expect("small");
        stack.put(&format!("s-{stream}"), entry, set);
        expected.extend((0..3).map(|slot| format!("{sequence}.{slot}")));
    }
    let proxy = stack.proxy.http_addr().expect("it was asked for");
    let (address, cut) = cutting_relay(proxy, 7, 3_000).await;
    // Plain records too: nothing but the position keeps them from being repeated.
    for entry in 0..50 {
        stack.put("plain", entry, plain(format!("plain-{entry}")));
        expected.push(format!("plain-{entry}"));
    }
    let mut reader = MultiStreamReader::builder(HttpSource::new([format!("http://{address}")]))
        .streams(["s-0", "s-1", "plain"])
        .build()
        .expect("valid");
    let mut texts = take(&mut reader, expected.len()).await;
    texts.sort();
    expected.sort();
    assert_eq!(texts, expected);
    assert_eq!(reader.stats().merge.duplicates_dropped, 0);
    let cut = cut.load(Ordering::Relaxed);
    assert!(cut > 3, "{cut} connections were cut");
}

/// A peer that answers each client's first request with these bytes, and then with nothing. Returns
/// its address.
async fn saying(bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let bytes = bytes.into();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if client
                    .read_buf(&mut request)
                    .await
                    .is_ok_and(|count| count == 0)
                {
                    break;
                }
            }
            // A client that has left already is no matter.
            let _ = client.write_all(&bytes).await;
            open.push(client);
        }
    });
    address
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\
                    transfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_silent_proxy_is_left_and_reported() {
    let line = "{\"event\":\"heartbeat\",\"next\":\"1,0,0@7\"}\n";
    for (silent, said) in [
        (String::new(), "was silent for 200ms"),
        (HEAD.to_owned(), "was silent for 200ms"),
        (
            format!("{HEAD}{:x}\r\n{line}\r\n", line.len()),
            "was silent for 200ms",
        ),
    ] {
        let address = saying(silent.clone()).await;
        let faults = Faults::default();
        let source = HttpSource::new([format!("http://{address}")]);
        let mut reader = MultiStreamReader::builder(source.silence(Duration::from_millis(200)))
            .streams(["a"])
            .on_fault(faults.callback())
            .build()
            .expect("valid");
        // More than once: it tries again.
        until(&mut reader, |_| faults.kinds().len() > 1).await;
        assert_eq!(faults.kinds()[0], FaultKind::Unavailable);
        assert!(
            faults.text().contains(said),
            "{silent:?}: {}",
            faults.text()
        );
    }
}

#[tokio::test]
async fn a_peer_that_is_no_proxy_is_reported_with_what_is_wrong() {
    let chunked = |body: &str| format!("{HEAD}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let endless = format!("{HEAD}{:x}\r\n{}", 8 << 20, "x".repeat(5 << 20));
    for (peer, said) in [
        ("SSH-2.0-OpenSSH_9.9\r\n".to_owned(), "was lost: "),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>".to_owned(),
            "ended the response",
        ),
        (chunked("<html>\n"), "a line is none of a write proxy"),
        (chunked("{}\n"), "a line is none of a write proxy"),
        (
            chunked("{\"event\":\"record\",\"dlsn\":\"1,0,0\"}\n"),
            "a line has no after",
        ),
        (
            chunked(
                "{\"event\":\"record\",\"dlsn\":\"1,0,0\",\"after\":\"x\",\"payload\":\"?\"}\n",
            ),
            "is not base64",
        ),
        (endless, "longer than any of a write proxy"),
        (
            "HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy".to_owned(),
            "answered 503",
        ),
        (
            "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "answered 404",
        ),
    ] {
        let address = saying(peer.clone()).await;
        let faults = Faults::default();
        let mut reader = MultiStreamReader::builder(HttpSource::new([format!("http://{address}")]))
            .streams(["a"])
            .on_fault(faults.callback())
            .build()
            .expect("valid");
        until(&mut reader, |_| !faults.kinds().is_empty()).await;
        assert_eq!(faults.kinds()[0], FaultKind::Unavailable);
        let text = faults.text();
        let shown: String = peer.chars().take(100).collect();
        assert!(
            text.contains(said) && text.contains(&address.to_string()),
            "{shown}: {text}"
        );
    }
}
