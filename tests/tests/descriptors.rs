//! A low limit of open files: connections do not take the descriptors that the store needs.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::TcpStream;
use std::path::Path;

use distributedlog_store::uri::Uri;
use distributedlog_tests::process::{Process, Starting};
use distributedlog_tests::stack::{Proxy, StoreOf};
use distributedlog_tokio::MultiStreamWriter;

/// Limit of open files of the processes under test.
const LIMIT: usize = 220;

/// Runs `dlog` with the limit, until it listens.
async fn start(arguments: &[&str]) -> (Process, SocketAddr) {
    let limit = format!("ulimit -n {LIMIT}");
    let mut process = Starting::dlog_after(&limit, arguments).start();
    let address = process.until_listening().await;
    (process, address)
}

/// Waits until the process has no room for a further connection.
async fn until_refused(process: &mut Process) {
    let lines = ["the limit is reached", "cannot accept a connection"];
    let refused = |_, line: &str| lines.iter().any(|it| line.contains(it)).then_some(());
    process.until_line("a refused connection", refused).await;
}

/// Opens more connections than the limit allows, and sends nothing on them.
fn idle_connections(address: SocketAddr) -> Vec<TcpStream> {
    let connections = (0..LIMIT + 50).map(|_| TcpStream::connect(address));
    // The last ones are closed by the server, if they are accepted at all.
    connections.filter_map(Result::ok).collect()
}

async fn connect(proxy: SocketAddr) -> MultiStreamWriter {
    let writer = MultiStreamWriter::builder(["descriptors-1", "descriptors-2"])
        .proxies(format!("inet!{proxy}"))
        .buffer_size(0)
        .request_timeout(Duration::from_secs(30));
    let writer = writer.build().await.expect("the proxy answers");
    writer.write(b"first").await.expect("written");
    writer
}

/// Writes this much, for which the store must create files: several volumes.
async fn write(writer: MultiStreamWriter, bytes: usize) {
    let record = vec![b'x'; 900 << 10];
    for index in 0..bytes.div_ceil(record.len()) {
        let written = writer.write(&record).await;
        written.unwrap_or_else(|error| panic!("record {index}: {error:?}"));
    }
    writer.close().await;
}

fn text(folder: &Path) -> &str {
    folder.to_str().expect("temporary folders have plain names")
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_a_proxy_do_not_stop_its_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = [
        "proxy",
        "-p",
        "0",
        "-sp",
        "0",
        "--data",
        text(folder.path()),
    ];
    let (mut process, address) = start(&arguments).await;
    // The writer first: further connections are refused once all room is taken.
    let writer = connect(address).await;
    let idle = idle_connections(address);
    until_refused(&mut process).await;
    write(writer, 150 << 20).await;
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_a_store_do_not_stop_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = text(folder.path());
    let mut arguments = vec!["local", "0", "--data", data];
    arguments.extend(["--volume-bytes", "16777216", "--hello-timeout", "1h"]);
    let (mut process, address) = start(&arguments).await;
    let uri = Uri::local(&address.ip().to_string(), address.port());
    let proxy = Proxy::start(StoreOf::At(&uri), 0, &[]).await;
    let writer = connect(proxy.address).await;
    let idle = idle_connections(address);
    until_refused(&mut process).await;
    write(writer, 100 << 20).await;
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_too_low_is_refused_before_anything_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("store");
    for command in [
        vec!["local", "0", "--data", text(&data)],
        vec!["proxy", "-p", "0", "--data", text(&data)],
    ] {
        let mut process = Starting::dlog_after("ulimit -n 100", &command).start();
        let refusal = |_, line: &str| {
            let found = line.contains("the limit of open files is 100, and at least");
            found.then(|| line.to_owned())
        };
        let line = process.until_line("the refusal", refusal).await;
        assert!(line.contains("are needed"), "{line}");
        assert!(!data.exists(), "{command:?}");
    }
}
