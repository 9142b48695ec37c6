//! A web service that is built from the packaged crates alone: it is ended by SIGTERM while
//! requests come, and every record that it has acknowledged is there. It shows metrics and spans.

use core::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use distributedlog_tests::process::{From, STEP_TIMEOUT, Starting};
use distributedlog_tests::records::{Acknowledged, assert_read_back};
use distributedlog_tests::stack::{Local, Proxy, StoreOf};
use distributedlog_tests::stats;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Names the built service. `tests/parts/packaged` sets it.
const VARIABLE: &str = "SERVICE_BINARY";
const STREAMS: [&str; 3] = ["orders-0", "orders-1", "orders-2"];
const CLIENTS: usize = 16;
/// Records that are written before the metrics are looked at.
const BEFORE: usize = 200;

/// Answer to an order: the status and the text.
type Answer = (u16, String);

/// Sends an order over a connection of its own. `None` if the service has ended.
async fn order(service: SocketAddr, body: &str) -> Option<Answer> {
    let mut socket = TcpStream::connect(service).await.ok()?;
    let request = format!(
        "POST /orders HTTP/1.1\r\nhost: {service}\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.ok()?;
    let status = answer.strip_prefix("HTTP/1.1 ")?.split(' ').next()?;
    let (_, text) = answer.split_once("\r\n\r\n")?;
    Some((status.parse().ok()?, text.trim().to_owned()))
}

/// Sends an order, which the service acknowledges. `None` if it has ended.
async fn acknowledged(service: SocketAddr, payload: String) -> Option<Acknowledged> {
    let (status, text) = order(service, &payload).await?;
    assert_eq!(status, 201, "{payload}: {text}");
    let (stream, dlsn) = text.split_once(' ').expect("the stream and the position");
    Some(Acknowledged {
        stream: stream.to_owned(),
        dlsn: dlsn.parse().expect("a position"),
        payload: payload.into_bytes(),
    })
}

/// Orders until the service has ended. Returns what was acknowledged.
async fn orders(service: SocketAddr, client: usize, busy: Arc<Notify>) -> Vec<Acknowledged> {
    let mut all = Vec::new();
    while let Some(order) = acknowledged(service, format!("order {client}.{}", all.len())).await {
        all.push(order);
        busy.notify_one();
    }
    all
}

fn service_binary() -> String {
    std::env::var(VARIABLE)
        .unwrap_or_else(|_| panic!("{VARIABLE} is not set: run tests/run packaged"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the service that tests/parts/packaged builds"]
async fn a_packaged_web_service_drains_on_sigterm_and_shows_metrics_and_spans() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    let proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &[]).await;
    let name = proxy.name();
    let arguments = [&[name.as_str()], &STREAMS[..]].concat();
    let mut service = Starting::program(Path::new(&service_binary()), arguments).start();
    let address = service.until_listening().await;

    let mut all = Vec::new();
    for number in 0..BEFORE {
        let order = acknowledged(address, format!("before {number}")).await;
        all.push(order.expect("the service answers"));
    }
    // Totals are recorded once a second.
    let written = format!("distributedlog_writer_records_written_total{{writer=\"1\"}} {BEFORE}\n");
    let metrics = stats::until(address, "/metrics", 200, &written).await;
    for metric in [
        "distributedlog_write_seconds",
        "distributedlog_stream_healthy",
    ] {
        assert!(metrics.contains(metric), "no {metric} in {metrics}");
    }

    let (mut clients, busy) = (JoinSet::new(), Arc::new(Notify::new()));
    for client in 0..CLIENTS {
        clients.spawn(orders(address, client, Arc::clone(&busy)));
    }
    busy.notified().await;
    service.signal(Signal::TERM);
    let ended = service.until_exit().await.with_code(0);
    let ordered = tokio::time::timeout(STEP_TIMEOUT, clients.join_all()).await;
    all.extend(ordered.expect("they end").into_iter().flatten());

    let said = ended.text(From::Stdout);
    let held = assert_read_back(&local.connect().await, &all).await;
    println!(
        "{} orders acknowledged, {held} records held; {said}",
        all.len()
    );
    assert!(all.len() > BEFORE, "orders came while it ended");
    assert!(said.contains("0 failed at the end"), "{said}");
    let spans = ended.text(From::Stderr);
    for part in ["write{", "attempt{", "messaging.destination.name=\"orders-"] {
        assert!(
            spans.contains(part),
            "no {part} in {}",
            &spans[..spans.len().min(4000)]
        );
    }
}

#[tokio::test]
#[ignore = "needs the service that tests/parts/packaged builds"]
async fn a_service_that_finds_no_proxy_says_which_and_why_when_main_returns_the_error() {
    let mut arguments = vec!["inet!127.0.0.1:1"];
    arguments.extend(STREAMS);
    let service = Starting::program(Path::new(&service_binary()), arguments).start();
    let ended = service.until_exit().await.with_code(1);
    let said = ended.text(From::Stderr);
    let line = said.lines().find(|line| line.starts_with("Error: "));
    let line = line.unwrap_or_else(|| panic!("no error in {said}"));
    println!("{line}");
    for part in [
        "no write proxy of \"inet!127.0.0.1:1\"",
        "Connection refused",
    ] {
        assert!(line.contains(part), "{line}");
    }
}
