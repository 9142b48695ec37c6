//! Peers that took a port for one of another protocol: each is named, and one of HTTP is answered.

use core::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::RunningProxy;

use super::kit::{dispatch, framed_call, settings, start, write};
use super::log_lines::Warnings;
use super::tls::identity;

const ANY: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 0);

const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and more of it";
const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Sends bytes, and returns what comes back until the end.
async fn said(port: SocketAddr, bytes: &[u8]) -> String {
    let mut raw = TcpStream::connect(port).await.expect("it listens");
    raw.write_all(bytes).await.expect("it reads");
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = raw.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A port, what a client of another protocol sends there, the warning about it, and a part of the
/// response.
type Case = (SocketAddr, Vec<u8>, String, String);

fn cases(plain: &RunningProxy, secure: &RunningProxy) -> Vec<Case> {
    let thrift = plain.local_addr();
    let (http, stats) = (
        plain.http_addr().expect("it was asked for"),
        plain.stats_addr().expect("it was asked for"),
    );
    let secure_http = secure.http_addr().expect("it was asked for");
    let mux = dispatch(2, &[], &write("s", b"x"));
    let framed = framed_call(&write("s", b"x"));
    let here = format!("and HTTP is at port {}", http.port());
    let there = format!("thriftmux and framed thrift are at {thrift}");
    let port = secure_http.port();
    let secure_here = format!("requires TLS: and HTTP is at port {port}");
    let cases: [(SocketAddr, &[u8], &str, &str); 12] = [
        (
            thrift,
            GET,
            "the client speaks HTTP: this is the port for thriftmux",
            &*here,
        ),
        (
            thrift,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "the client speaks HTTP/2: this",
            &here,
        ),
        (
            thrift,
            CLIENT_HELLO,
            "the client speaks TLS: this is the port for thriftmux",
            "",
        ),
        (
            http,
            CLIENT_HELLO,
            "the client speaks TLS, and this port is plain",
            "",
        ),
        (
            http,
            &mux,
            &*format!("the client speaks mux, and this is the port for HTTP: {there}"),
            "",
        ),
        (
            http,
            &framed,
            "the client speaks framed thrift, and this is the port for HTTP",
            "",
        ),
        (
            stats,
            CLIENT_HELLO,
            "the client speaks TLS, and this port is plain",
            "",
        ),
        (
            stats,
            &mux,
            "the client speaks mux, and this is the port for HTTP",
            "",
        ),
        (
            secure.local_addr(),
            &mux,
            "the client speaks mux without TLS",
            "",
        ),
        (
            secure.local_addr(),
            GET,
            "the client speaks HTTP without TLS",
            &secure_here,
        ),
        (
            secure_http,
            GET,
            "the client speaks HTTP without TLS",
            "requires TLS: use https://",
        ),
        (
            secure_http,
            &framed,
            "the client speaks framed thrift without TLS",
            "",
        ),
    ];
    cases
        .map(|(port, bytes, warning, response)| {
            (
                port,
                bytes.to_vec(),
                warning.to_owned(),
                response.to_owned(),
            )
        })
        .to_vec()
}

#[tokio::test]
async fn a_peer_of_another_protocol_is_named_on_every_port() {
    let warnings = Warnings::default();
    let _default = tracing::subscriber::set_default(warnings.clone());
    let settings = || settings().http_listen(Some(ANY)).stats_listen(Some(ANY));
    for index in 0..12 {
        // Other proxies for each: a proxy logs one line of a kind in a minute.
        let (plain, _) = start(settings()).await;
        let (secure, _) = start(settings().tls(Some(identity().0))).await;
        let (port, bytes, warning, response) = cases(&plain, &secure).swap_remove(index);
        let answer = said(port, &bytes).await;
        if !response.is_empty() {
            assert!(
                answer.starts_with("HTTP/1.1 400 Bad Request") && answer.contains(&response),
                "{warning}: {answer}"
            );
        }
        warnings.until(&warning).await;
        warnings.clear();
    }
}
