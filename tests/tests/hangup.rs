//! SIGHUP: a proxy reads its token and its certificate again, other commands end in order, and one
//! that was started to ignore it goes on.

use core::net::SocketAddr;
use std::fs;

use distributedlog_tests::load::write_until_the_end;
use distributedlog_tests::process::Starting;
use distributedlog_tests::stack::{Local, Proxy, STREAMS, StoreOf};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Returns the status line of the answer to a request with this token.
async fn ask_with(token: &str, stats: SocketAddr) -> String {
    let mut stream = TcpStream::connect(stats).await.expect("it listens");
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: {stats}\r\nauthorization: Bearer {token}\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_reads_its_token_again_and_keeps_the_former_one_if_that_cannot_be_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    let flag = file.to_str().expect("a plain name");
    let (first, second) = ("first-0123456789ab", "second-0123456789ab");
    fs::write(&file, first).expect("a file");
    let (store, flags) = (folder.path().join("store"), ["--http-token-file", flag]);
    let (mut proxy, stats) = Proxy::start_with_stats(StoreOf::In(&store), 0, &flags).await;
    assert_eq!(ask_with(first, stats).await, "HTTP/1.1 200 OK");
    fs::write(&file, second).expect("a file");
    proxy.process.signal(Signal::HUP);
    said(&mut proxy, "read the token").await;
    assert_eq!(ask_with(first, stats).await, "HTTP/1.1 401 Unauthorized");
    assert_eq!(ask_with(second, stats).await, "HTTP/1.1 200 OK");
    fs::write(&file, "short").expect("a file");
    proxy.process.signal(Signal::HUP);
    said(&mut proxy, "keeps the former token").await;
    assert_eq!(ask_with(second, stats).await, "HTTP/1.1 200 OK");
    let written = write_until_the_end(proxy.address, &STREAMS, "after", 1, 10).await;
    assert_eq!(written.acknowledged.len(), 10);
    proxy.process.signal(Signal::TERM);
    let _ = proxy.process.until_exit().await.with_code(0);
}

async fn said(proxy: &mut Proxy, text: &str) {
    let find = |_, line: &str| line.contains(text).then_some(());
    proxy.process.until_line(text, find).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_without_files_to_read_again_end_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(&folder.path().join("served"), 0).await;
    local.process.signal(Signal::HUP);
    let _ = local.process.until_exit().await.with_code(0);
    let proxy = Proxy::start(StoreOf::In(&folder.path().join("own")), 0, &[]).await;
    proxy.process.signal(Signal::HUP);
    let _ = proxy.process.until_exit().await.with_code(0);
    let mut quickstart = Starting::dlog(["quickstart", "-p", "0", "--http-port", "0"])
        .with_stdin()
        .start();
    quickstart
        .until_line("its first screen", |_, line| {
            line.contains("Ctrl-D ends").then_some(())
        })
        .await;
    quickstart.signal(Signal::HUP);
    let _ = quickstart.until_exit().await.with_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_started_to_ignore_it_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a plain name");
    let arguments = ["proxy", "-p", "0", "--data", data];
    let mut process = Starting::dlog_after("trap '' HUP", arguments).start();
    let address = process.until_listening().await;
    process.signal(Signal::HUP);
    let written = write_until_the_end(address, &STREAMS, "after", 1, 100).await;
    assert_eq!(written.acknowledged.len(), 100);
    process.signal(Signal::TERM);
    let _ = process.until_exit().await.with_code(0);
}
