//! The stats port of a proxy or a store, and the switch of faults on it.

use core::net::SocketAddr;
use core::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::Process;

/// Returns the stats address of a process whose stats port the system chose.
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
    let answer = ask(stats, "PUT", path).await;
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}

/// Takes a fault back that was asked for with [`put`].
///
/// # Panics
/// The proxy does not know this path.
pub async fn delete(stats: SocketAddr, path: &str) {
    let answer = ask(stats, "DELETE", path).await;
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}

/// Asks until the answer has this status and its text contains `says`, and returns the text.
///
/// # Panics
/// It has neither within a minute.
pub async fn until(stats: SocketAddr, path: &str, status: u16, says: &str) -> String {
    let first = format!("HTTP/1.1 {status} ");
    let mut last = String::new();
    let asking = async {
        loop {
            last = ask(stats, "GET", path).await;
            if last.starts_with(&first) && last.contains(says) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let result = tokio::time::timeout(Duration::from_secs(60), asking).await;
    assert!(result.is_ok(), "not {status} with {says:?}, but {last}");
    last
}

async fn ask(stats: SocketAddr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(stats)
        .await
        .expect("the stats port answers");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {stats}\r\nconnection: close\r\n\
         content-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}
