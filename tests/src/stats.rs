//! A proxy's stats port, and the switch of faults on it.

use core::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::Process;

/// Returns the stats address of a proxy that was started with `-sp 0`.
pub async fn address(proxy: &mut Process) -> SocketAddr {
    proxy
        .until_line("where the stats are", |_, line| {
            line.rsplit_once("http://")?.1.parse().ok()
        })
        .await
}

/// Asks the proxy's test-only switch for a fault.
///
/// # Panics
/// The proxy was started without `--test-only-faults`, or does not know this path.
pub async fn put(stats: SocketAddr, path: &str) {
    let mut stream = TcpStream::connect(stats)
        .await
        .expect("the stats port answers");
    let request = format!(
        "PUT {path} HTTP/1.1\r\nhost: {stats}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}
