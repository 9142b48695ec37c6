//! Clients of both versions of HTTP, and the proxies that they talk to.

use core::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use distributedlog::wire::record_set::{RecordSetBuilder, SetIdentity, WriterId};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::{Proxy, RunningProxy, Settings, SettingsBuilder};
use distributedlog_testkit::store::MemoryStore;

const ANY: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 0);

/// Which HTTP to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// The defaults with HTTP, on ports of the system's choice.
pub(super) fn settings() -> SettingsBuilder {
    Settings::builder()
        .listen(ANY)
        .http_listen(Some(ANY))
        .shard(1)
}

pub(super) async fn start(settings: SettingsBuilder) -> (RunningProxy, Arc<MemoryStore>) {
    let store = MemoryStore::new();
    (start_on(settings, &store).await, store)
}

pub(super) async fn start_on(settings: SettingsBuilder, store: &Arc<MemoryStore>) -> RunningProxy {
    Proxy::start(settings.build().expect("valid settings"), store.clone())
        .await
        .expect("a free port")
}

/// Where its HTTP port is.
pub(super) fn address(proxy: &RunningProxy) -> SocketAddr {
    proxy.http_addr().expect("it was asked for")
}

/// A client that keeps its connections.
pub(super) struct Client {
    pool: Pool<HttpConnector, Body>,
    address: SocketAddr,
}

/// A whole response.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A response whose body is read line by line.
pub(super) struct Lines {
    pub(super) headers: HeaderMap,
    body: Body,
    read: Vec<u8>,
}

impl Client {
    pub(super) fn new(proxy: &RunningProxy, version: Version) -> Self {
        let pool = Pool::builder(TokioExecutor::new())
            .http2_only(version == Version::Two)
            .build_http();
        Self {
            pool,
            address: address(proxy),
        }
    }

    /// Sends a request; `headers` are `name: value`.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: impl Into<Body>,
    ) -> axum::http::Response<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for header in headers {
            let (name, value) = header.split_once(": ").expect("a name and a value");
            request = request.header(name, value);
        }
        let request = request.body(body.into()).expect("a valid request");
        self.pool
            .request(request)
            .await
            .expect("an answer")
            .map(Body::new)
    }

    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: impl Into<Body>,
    ) -> Answered {
        let (parts, body) = self.send(method, path, headers, body).await.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answered {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(super) async fn get(&self, path: &str) -> Answered {
        self.ask("GET", path, &[], Body::empty()).await
    }

    /// Appends a record.
    pub(super) async fn write(&self, stream: &str, record: &'static [u8]) -> Answered {
        self.ask(
            "POST",
            &format!("/v1/streams/{stream}/records"),
            &["content-type: application/octet-stream"],
            record,
        )
        .await
    }

    /// The time of creation of a stream.
    pub(super) async fn created_ms(&self, stream: &str) -> u64 {
        let described = self.get(&format!("/v1/streams/{stream}")).await.json();
        described["created_ms"].as_u64().expect("a number")
    }

    /// Begins to read a stream.
    pub(super) async fn tail(&self, stream: &str, query: &str, headers: &[&str]) -> Lines {
        let response = self
            .send(
                "GET",
                &format!("/v1/streams/{stream}/records?{query}"),
                headers,
                Body::empty(),
            )
            .await;
        assert_eq!(response.status(), 200);
        let (parts, body) = response.into_parts();
        Lines {
            headers: parts.headers,
            body,
            read: Vec::new(),
        }
    }
}

impl Answered {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A problem in short: status, name, code and what is known.
    pub(super) fn problem(&self) -> String {
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{self:?}"
        );
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16(), "{body}");
        assert!(
            body["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{body}"
        );
        let code = body["code"]
            .as_i64()
            .map_or_else(String::new, |code| format!(" {code}"));
        let known = body["known"]
            .as_str()
            .map_or_else(String::new, |known| format!(", {known}"));
        format!(
            "{} {}{code}{known}",
            self.status.as_u16(),
            body["name"].as_str().expect("a name")
        )
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name}: {self:?}"))
            .to_str()
            .expect("a text")
    }

    pub(super) fn detail(&self) -> String {
        self.json()["detail"].as_str().expect("a detail").to_owned()
    }
}

impl Lines {
    /// The next line; `None` at the end.
    pub(super) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(
                    String::from_utf8(line)
                        .expect("UTF-8")
                        .trim_end()
                        .to_owned(),
                );
            }
            match self.body.frame().await {
                Some(frame) => self.read.extend_from_slice(
                    &frame
                        .expect("the body goes on")
                        .into_data()
                        .expect("no trailers"),
                ),
                None => {
                    assert!(
                        self.read.is_empty(),
                        "a line was cut off: {:?}",
                        String::from_utf8_lossy(&self.read)
                    );
                    return None;
                }
            }
        }
    }

    /// The next line as JSON.
    pub(super) async fn json(&mut self) -> Value {
        let line = self.line().await.expect("another line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// All lines up to the end.
    pub(super) async fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        lines
    }
}

/// A record set.
pub(super) fn record_set(records: &[&[u8]], identity: Option<(u128, u64)>) -> Vec<u8> {
    let mut buffer = vec![0; 64 << 10];
    let mut set = RecordSetBuilder::new(buffer.len(), identity.is_some());
    for record in records {
        set.append(&mut buffer, record).expect("there is room");
    }
    let identity = identity.map(|(writer, sequence)| SetIdentity {
        writer: WriterId(writer.to_be_bytes()),
        sequence,
    });
    set.finish(&mut buffer, identity.as_ref()).to_vec()
}

/// The value of a metric without labels.
pub(super) async fn metric(client: &Client, name: &str) -> f64 {
    let metrics = client.get("/metrics").await;
    let text = String::from_utf8(metrics.body.to_vec()).expect("UTF-8");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
        .parse()
        .expect("a number")
}

/// Waits until a metric has this value.
pub(super) async fn until_metric(client: &Client, name: &str, value: f64) {
    let waiting = async {
        while metric(client, name).await != value {
            tokio::task::yield_now().await;
        }
    };
    let limit = core::time::Duration::from_secs(20);
    assert!(
        tokio::time::timeout(limit, waiting).await.is_ok(),
        "{name} is not {value} after {limit:?}"
    );
}

/// One request over a connection that is there already.
pub(super) async fn over(
    stream: impl distributedlog_store::net::ByteStream + 'static,
    version: Version,
    method: &str,
    path: &str,
    body: &'static str,
) -> Answered {
    let io = hyper_util::rt::TokioIo::new(stream);
    let request = Request::builder()
        .method(method)
        .uri(format!("https://localhost{path}"))
        .header("host", "localhost");
    let request = request.body(Body::from(body)).expect("a valid request");
    let response = match version {
        Version::One => {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
                .await
                .expect("a connection");
            tokio::spawn(connection);
            sender.send_request(request).await
        }
        Version::Two => {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                    .await
                    .expect("a connection");
            tokio::spawn(connection);
            sender.send_request(request).await
        }
    };
    let (parts, body) = response.expect("an answer").into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Answered {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}
