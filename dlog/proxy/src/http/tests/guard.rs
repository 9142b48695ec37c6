//! Access: pages of other origins, tokens, and TLS.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::kit::{Client, Version, address, settings, start};
use crate::tests::tls::identity;
use crate::{AdminPeers, HttpToken, RunningProxy};

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn names(headers: &HeaderMap) -> Vec<&str> {
    headers
        .keys()
        .map(axum::http::HeaderName::as_str)
        .filter(|name| name.starts_with("access-control"))
        .collect()
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_with_the_flag_that_allows_them() {
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    let path = "/v1/streams/s/records";
    for origin in [
        "https://example.org",
        "null",
        "http://localhost:1",
        "https://127.0.0.1",
    ] {
        let origin = format!("origin: {origin}");
        let refused = client.ask("POST", path, &[&origin], "x").await;
        assert_eq!(refused.problem(), "403 ORIGIN_REFUSED, not_written");
        assert!(names(&refused.headers).is_empty(), "{:?}", refused.headers);
        let preflight = client
            .ask(
                "OPTIONS",
                path,
                &[&origin, "access-control-request-method: POST"],
                "",
            )
            .await;
        assert_eq!(preflight.problem(), "403 ORIGIN_REFUSED, not_written");
    }
    let refused = client
        .ask("GET", "/v1/streams", &["origin: https://example.org"], "")
        .await;
    assert_eq!(
        refused.detail(),
        "pages of \"https://example.org\" may not use this proxy: to allow them, start it with \
         --cors-origin https://example.org"
    );
    assert_eq!(
        distributedlog_store::LogStore::list(&*store)
            .await
            .expect("it is open")
            .len(),
        0
    );
}

#[tokio::test]
async fn pages_of_named_origins_and_of_the_proxy_itself_are_served() {
    let origins = vec![
        "https://example.org".parse().expect("an origin"),
        "http://localhost:5173".parse().expect("an origin"),
    ];
    let (proxy, _) = start(settings().http_origins(origins)).await;
    let client = Client::new(&proxy, Version::One);
    let path = "/v1/streams/s/records";
    for origin in ["https://example.org", "http://localhost:5173"] {
        let header = format!("origin: {origin}");
        let written = client.ask("POST", path, &[&header], "x").await;
        assert_eq!(
            (
                written.status.as_u16(),
                written.header("access-control-allow-origin")
            ),
            (200, origin)
        );
        let ask = [
            "access-control-request-method: POST",
            "access-control-request-headers: content-type,dlog-crc32",
        ];
        let preflight = client
            .ask(
                "OPTIONS",
                path,
                &[
                    &header,
                    ask[0],
                    ask[1],
                    "access-control-request-private-network: true",
                ],
                "",
            )
            .await;
        assert_eq!(preflight.status, 204);
        for (name, value) in [
            ("access-control-allow-origin", origin),
            ("access-control-allow-methods", "GET, POST, PUT, DELETE"),
            (
                "access-control-allow-headers",
                "authorization, content-type, dlog-crc32, dlog-timeout-ms, dlog-attempt, \
                 last-event-id",
            ),
            ("access-control-allow-private-network", "true"),
            ("vary", "origin"),
        ] {
            assert_eq!(preflight.headers[name], value);
        }
        let problem = client.ask("GET", "/v1/streams/none", &[&header], "").await;
        assert_eq!(
            problem.headers["access-control-allow-origin"], origin,
            "the page can read what is wrong"
        );
    }
    let own = format!("origin: http://{}", address(&proxy));
    assert_eq!(client.ask("POST", path, &[&own], "x").await.status, 200);
}

/// A stranger's name server can point a name at this machine; a page under that name is of the same
/// origin as the proxy then.
#[tokio::test]
async fn a_proxy_on_loopback_answers_to_no_name_but_its_own() {
    let (proxy, _) = start(settings().announce(Some("proxy-1.example.org".into()))).await;
    let ask = async |host: &str| {
        let mut raw = TcpStream::connect(address(&proxy))
            .await
            .expect("it listens");
        raw.write_all(
            format!("GET /v1/streams HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")
                .as_bytes(),
        )
        .await
        .expect("it reads");
        let mut answer = String::new();
        raw.read_to_string(&mut answer).await.expect("UTF-8");
        answer
    };
    for own in [
        "localhost",
        "LocalHost:8002",
        "127.0.0.1:1",
        "[::1]:8002",
        "dlog.localhost",
        "proxy-1.example.org:8002",
    ] {
        assert!(ask(own).await.starts_with("HTTP/1.1 200"), "{own}");
    }
    for foreign in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8002",
    ] {
        let answer = ask(foreign).await;
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("HOST_REFUSED"),
            "{answer}"
        );
    }
}

/// Sends a GET with these lines as its headers, and returns the response.
async fn with_headers(port: SocketAddr, method: &str, path: &str, headers: &str) -> String {
    let mut raw = TcpStream::connect(port).await.expect("it listens");
    let request = format!("{method} {path}\r\n{headers}connection: close\r\n\r\n");
    raw.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = Vec::new();
    raw.read_to_end(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The ports of a proxy that speak HTTP, each with a path that it serves.
fn ports(proxy: &RunningProxy) -> [(SocketAddr, &'static str); 2] {
    let stats = proxy.stats_addr().expect("it was asked for");
    [(address(proxy), "/v1/streams"), (stats, "/metrics")]
}

#[tokio::test]
async fn a_request_names_exactly_one_host_that_can_be_read() {
    let (proxy, _) = start(settings().stats_listen(Some(ANY))).await;
    for (port, path) in ports(&proxy) {
        for (version, headers, status) in [
            ("HTTP/1.1", "", "400"),
            ("HTTP/1.1", "host: localhost\r\nhost: localhost\r\n", "400"),
            (
                "HTTP/1.1",
                "host: localhost\r\nhost: evil.example\r\n",
                "400",
            ),
            ("HTTP/1.1", "host: evil.example/\r\n", "400"),
            ("HTTP/1.1", "host: evil example\r\n", "400"),
            ("HTTP/1.1", "host: [::1\r\n", "400"),
            ("HTTP/1.1", "host: \u{fc}.example\r\n", "400"),
            ("HTTP/1.1", "host: user@localhost\r\n", "400"),
            ("HTTP/1.1", "host: \r\n", "400"),
            ("HTTP/1.1", "host: localhost\r\n", "200"),
            ("HTTP/1.0", "", "200"),
            ("HTTP/1.0", "host: evil.example\r\n", "403"),
        ] {
            let answer = with_headers(port, "GET", &format!("{path} {version}"), headers).await;
            let status_line = format!("{version} {status}");
            assert!(answer.starts_with(&status_line), "{headers:?}: {answer}");
            if status == "400" {
                assert!(answer.contains(r#""detail":"host: "#), "{answer}");
            }
        }
    }
}

/// A page on any site can send requests to ports of the machine that shows it.
#[tokio::test]
async fn the_stats_port_has_the_guard_of_the_http_port() {
    let token = HttpToken::new("0123456789abcdef").expect("a token");
    for token in [None, Some(token)] {
        let locked = token.is_some();
        let settings = settings().faults(true).stats_listen(Some(ANY));
        let (proxy, _) = start(settings.http_token(token)).await;
        let right = "authorization: Bearer 0123456789abcdef\r\n";
        for (port, path) in ports(&proxy) {
            for (method, path, headers, status) in [
                ("GET", path, "host: evil.example\r\n", 403),
                (
                    "GET",
                    path,
                    "host: localhost\r\norigin: https://evil.example\r\n",
                    403,
                ),
                ("PUT", "/faults/s/stall", "host: evil.example\r\n", 403),
                (
                    "PUT",
                    "/faults/s/stall",
                    "host: localhost\r\norigin: https://evil.example\r\n",
                    403,
                ),
                (
                    "GET",
                    path,
                    "host: localhost\r\n",
                    if locked { 401 } else { 200 },
                ),
                (
                    "PUT",
                    "/faults/t/stall",
                    "host: localhost\r\n",
                    if locked { 401 } else { 204 },
                ),
                ("GET", "/healthz", "host: localhost\r\n", 200),
                ("GET", "/readyz", "host: localhost\r\n", 200),
            ] {
                let target = format!("{path} HTTP/1.1");
                let answer = with_headers(port, method, &target, headers).await;
                assert!(
                    answer.starts_with(&format!("HTTP/1.1 {status}")),
                    "{method} {path} {headers:?}: {answer}"
                );
            }
            let headers = format!("host: localhost\r\n{right}");
            let answer = with_headers(port, "GET", &format!("{path} HTTP/1.1"), &headers).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        let stalled = proxy.faults().expect("they are allowed").list();
        assert_eq!(stalled.len(), usize::from(!locked), "{stalled:?}");
    }
}

#[tokio::test]
async fn administration_is_refused_where_the_settings_say_so() {
    let token = HttpToken::new("0123456789abcdef").expect("a token");
    let settings = settings().faults(true).http_token(Some(token));
    let (proxy, store) = start(settings.admin_from(AdminPeers::None)).await;
    let client = Client::new(&proxy, Version::Two);
    let authorized = ["authorization: Bearer 0123456789abcdef"];
    let records = "/v1/streams/s/records";
    let written = client.ask("POST", records, &authorized, "x").await;
    assert_eq!(written.status, 200);
    for (method, path) in [
        ("DELETE", "/v1/streams/s"),
        ("DELETE", "/v1/streams/s/records?before=1,1,0"),
        ("PUT", "/v1/streams/s/retention"),
        ("DELETE", "/v1/streams/s/retention"),
        ("PUT", "/v1/retention"),
        ("DELETE", "/v1/retention"),
        ("PUT", "/faults/s/stall"),
        ("PUT", "/faults/s/fail/517"),
        ("DELETE", "/faults/s"),
    ] {
        let refused = client.ask(method, path, &authorized, "").await;
        assert_eq!(refused.problem(), "403 REQUEST_DENIED 403, not_written");
        assert!(
            refused.detail().contains("--admin-from none"),
            "{refused:?}"
        );
    }
    assert_eq!(store.records("s").len(), 1);
}

#[tokio::test]
async fn without_the_token_only_health_and_the_description_are_told() {
    let token = "0123456789abcdef";
    let (proxy, _) =
        start(settings().http_token(Some(HttpToken::new(token).expect("a token")))).await;
    let client = Client::new(&proxy, Version::One);
    for open in ["/healthz", "/readyz", "/ping", "/healthcheck"] {
        assert_eq!(client.get(open).await.status, 200, "{open}");
    }
    for header in [
        "x: y",
        "authorization: Bearer 0123456789abcdeF",
        "authorization: Bearer 0123456789abcde",
        "authorization: Basic 0123456789abcdef",
        "authorization: Bearer",
    ] {
        for path in [
            "/v1/streams",
            "/v1/streams?details=true",
            "/v1/overview",
            "/metrics",
            "/threads",
            "/nowhere",
        ] {
            let refused = client.ask("GET", path, &[header], "").await;
            assert_eq!(
                refused.problem(),
                "401 UNAUTHORIZED, not_written",
                "{header} {path}"
            );
            assert_eq!(refused.headers["www-authenticate"], "Bearer");
        }
    }
    for header in [
        "authorization: Bearer 0123456789abcdef",
        "authorization: bearer 0123456789abcdef",
    ] {
        assert_eq!(
            client.ask("GET", "/v1/streams", &[header], "").await.status,
            200
        );
    }
}

#[test]
fn tokens_come_from_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    for (text, why) in [
        ("short\n", "16 to 4096"),
        ("with blanks in the middle", "without blanks"),
        ("", "16 to 4096"),
    ] {
        std::fs::write(&file, text).expect("a file");
        let error = HttpToken::from_file(&file)
            .expect_err("no token")
            .to_string();
        assert!(error.contains("token: ") && error.contains(why), "{error}");
    }
    std::fs::write(&file, "0123456789abcdef\n").expect("a file");
    let token = HttpToken::from_file(&file).expect("a token");
    assert_eq!(format!("{token:?}"), "HttpToken", "it stays out of logs");
}

#[tokio::test]
async fn both_versions_are_spoken_over_tls() {
    let (identity, connector) = identity();
    let (proxy, _) = start(settings().tls(Some(identity))).await;
    for (protocol, version) in [(&b"http/1.1"[..], Version::One), (b"h2", Version::Two)] {
        let mut config = connector.config().as_ref().clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let socket = TcpStream::connect(address(&proxy))
            .await
            .expect("it listens");
        let stream = connector
            .connect(ServerName::try_from("localhost").expect("a name"), socket)
            .await
            .expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        let answer =
            super::kit::over(stream, version, "POST", "/v1/streams/s/records", "over TLS").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
