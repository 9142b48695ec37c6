//! The stats port.

use core::net::SocketAddr;

use distributedlog::wire::service::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::kit::{Raw, settings, start, write};

pub(super) async fn http(address: SocketAddr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the stats port listens");
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the server reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("UTF-8");
    response
}

#[tokio::test]
async fn metrics_and_health_are_served() {
    let (proxy, _) =
        start(settings().stats_listen(Some(SocketAddr::from(([127, 0, 0, 1], 0))))).await;
    let stats = proxy.stats_addr().expect("it was asked for");
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("s", b"hello")).await;
    let metrics = http(stats, "GET", "/metrics").await;
    for line in [
        r#"dlog_proxy_requests_total{method="writeWithContext",outcome="200"} 1"#,
        "dlog_proxy_written_bytes_total 5",
        "dlog_proxy_connections 1",
        "dlog_proxy_streams 1",
        "dlog_proxy_requests_unanswered 0",
        "dlog_proxy_ready 1",
        r#"dlog_proxy_store_request_seconds_count{operation="append"} 1"#,
        r#"dlog_proxy_store_request_seconds_count{operation="acquire"} 2"#,
        "content-type: text/plain; version=0.0.4; charset=utf-8",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "no {line:?} in\n{metrics}"
        );
    }
    assert!(http(stats, "GET", "/healthz").await.ends_with("ok\n"));
    let ready = http(stats, "GET", "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(
        ready.contains("\r\n\r\nready\nproxy: accepts streams\nstore: it took writes "),
        "{ready}"
    );
    // As probes of the original ask.
    assert!(
        http(stats, "GET", "/ping")
            .await
            .ends_with("\r\n\r\npong\n")
    );
    assert!(
        http(stats, "GET", "/healthcheck")
            .await
            .ends_with("\r\n\r\nOK\n")
    );
    let threads = http(stats, "GET", "/threads").await;
    assert!(
        threads.contains("\r\n\r\nthreads of the runtime: 1\ntasks: "),
        "{threads}"
    );
    client
        .ask(&Request::SetAcceptNewStream { enabled: false })
        .await;
    assert!(
        http(stats, "GET", "/readyz")
            .await
            .starts_with("HTTP/1.1 503")
    );
    assert!(
        http(stats, "PUT", "/faults/s/stall")
            .await
            .starts_with("HTTP/1.1 404"),
        "no faults unless the settings say so"
    );
}

#[tokio::test]
async fn single_streams_have_series_only_on_request_and_only_so_many() {
    let stats = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let (proxy, _) = start(settings().stats_listen(stats)).await;
    let stats = proxy.stats_addr().expect("it was asked for");
    let mut client = Raw::connect(&proxy).await;
    for (stream, size) in [("a-1", 5), ("a-2", 7), ("a-3", 6), ("b", 100)] {
        client.ask(&write(stream, &vec![b'x'; size])).await;
    }
    let without = http(stats, "GET", "/metrics").await;
    assert!(!without.contains("a-1"), "{without}");
    let found = http(stats, "GET", "/metrics?streams=a-&limit=2").await;
    let found: Vec<&str> = found
        .lines()
        .filter(|line| line.starts_with("dlog_proxy_stream_"))
        .filter(|line| !line.contains("failures"))
        .collect();
    let mut expected = [
        r#"dlog_proxy_stream_writes_total{stream="a-2"} 1"#,
        r#"dlog_proxy_stream_writes_total{stream="a-3"} 1"#,
        r#"dlog_proxy_stream_written_bytes_total{stream="a-2"} 7"#,
        r#"dlog_proxy_stream_written_bytes_total{stream="a-3"} 6"#,
        "dlog_proxy_stream_left_out 1",
    ];
    let mut sorted = found.clone();
    sorted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sorted, expected);
    for (query, status) in [("streams=&limit=1000", 200), ("limit=1001", 400)] {
        let response = http(stats, "GET", &format!("/metrics?{query}")).await;
        let status = format!("HTTP/1.1 {status}");
        assert!(response.starts_with(&status), "{query}: {response}");
    }
}

#[tokio::test]
async fn faults_are_injected_over_the_stats_port() {
    let (proxy, store) = start(
        settings()
            .faults(true)
            .stats_listen(Some(SocketAddr::from(([127, 0, 0, 1], 0)))),
    )
    .await;
    let stats = proxy.stats_addr().expect("it was asked for");
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("s", b"x")).await;
    assert!(
        http(stats, "PUT", "/faults/s/stall")
            .await
            .starts_with("HTTP/1.1 204")
    );
    client.dispatch(2, &write("s", b"waits")).await;
    assert_eq!(
        client.ask(&write("other", b"x")).await,
        "200 at 1/0/0",
        "other streams are as they were"
    );
    assert_eq!(store.records("s").len(), 1);
    assert!(
        http(stats, "DELETE", "/faults/s")
            .await
            .starts_with("HTTP/1.1 204")
    );
    assert_eq!(client.heard().await, (2, "200 at 1/1/0".to_owned()));
    let faults = proxy.faults().expect("the settings allow it");
    faults.fail("s", distributedlog::StatusCode::OverCapacity);
    assert_eq!(
        client.ask(&write("s", b"x")).await,
        "517 (log stream s has an injected fault)"
    );
    faults.clear("s");
    assert_eq!(client.ask(&write("s", b"x")).await, "200 at 1/2/0");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    use crate::{Proxy, ProxyError};
    let (proxy, store) = start(settings()).await;
    let taken = proxy.local_addr();
    let again = settings().listen(taken).build().expect("valid settings");
    let error = Proxy::start(again, store)
        .await
        .expect_err("the address is taken");
    assert!(matches!(error, ProxyError::AddressInUse { address, .. } if address == taken));
    let text = error.to_string();
    assert!(
        text.starts_with(&format!(
            "{taken} (for clients) is in use by another process"
        )) && text.contains("ss -ltnp"),
        "{text}"
    );
}
