//! Bugs that end a task: every request is answered, and every gauge is right.

use core::net::SocketAddr;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_store::net::Listen;
use distributedlog_store::{
    Acquired, AppendDone, Entry, Lease, LogStore, Owner, ReadBatch, ReadLimit, StoreFuture,
    StreamName,
};
use distributedlog_testkit::store::{MemoryStore, StoreWrapper, Wrapped};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::kit::{Raw, settings, write};
use super::stats::http;
use crate::{Proxy, RunningProxy};

const ANY: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 0);
/// Generous limit for what happens at once.
const LIMIT: Duration = Duration::from_secs(20);

/// A listener whose connections panic when they are read, once the bug is armed.
struct BuggyListener(TcpListener, Arc<AtomicBool>);

struct BuggyStream(TcpStream, Arc<AtomicBool>);

impl Listen for BuggyListener {
    type Stream = BuggyStream;

    async fn accept(&mut self) -> io::Result<(BuggyStream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((BuggyStream(stream, self.1.clone()), peer))
    }
}

impl AsyncRead for BuggyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.0).poll_read(cx, buf);
        assert!(
            poll.is_pending() || !self.1.swap(false, Ordering::SeqCst),
            "the bug of this test"
        );
        poll
    }
}

impl AsyncWrite for BuggyStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Waits until the stats port shows this line.
async fn until_line(proxy: &RunningProxy, line: &str) {
    let stats = proxy.stats_addr().expect("it was asked for");
    let waiting = async {
        while !http(stats, "GET", "/metrics")
            .await
            .lines()
            .any(|it| it == line)
        {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(LIMIT, waiting).await;
    assert!(waited.is_ok(), "no {line:?}");
}

#[tokio::test]
async fn a_connection_that_a_bug_ends_leaves_its_stream_and_the_gauges_right() {
    let store = MemoryStore::new();
    let bug = Arc::new(AtomicBool::new(false));
    let listener = TcpListener::bind(ANY).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let settings = settings().stats_listen(Some(ANY));
    let settings = settings.build().expect("valid settings");
    let listener = BuggyListener(listener, bug.clone());
    let proxy = Proxy::start_on(listener, address, settings, store.clone()).expect("free ports");
    let mut observer = Raw::connect(&proxy).await;
    assert_eq!(observer.ask(&write("s", b"x")).await, "200 at 1/0/0");
    store.hold_appends();
    let mut client = Raw::connect(&proxy).await;
    client.dispatch(2, &write("s", b"y")).await;
    store.until(|store| store.held_appends() == 1).await;
    until_line(&proxy, "dlog_proxy_connections 2").await;
    bug.store(true, Ordering::SeqCst);
    client.send(b"anything").await;
    client.closed().await;
    until_line(&proxy, "dlog_proxy_connections 1").await;
    store.release_appends();
    assert_eq!(observer.ask(&write("s", b"z")).await, "200 at 1/2/0");
    until_line(&proxy, "dlog_proxy_requests_unanswered 0").await;
    let drained = tokio::time::timeout(LIMIT, proxy.drain()).await;
    assert_eq!(drained.expect("it ends").streams_released, 1);
}

/// Operation of a [`BuggyStore`] that fails next.
const NONE: u8 = 0;
const ACQUIRE: u8 = 1;
const APPEND: u8 = 2;
const READ: u8 = 3;
const CREATE: u8 = 4;
const DELETE: u8 = 5;

/// A store with a bug in its next operation of one kind: it panics, or drops the callback.
struct BuggyStore {
    store: Arc<MemoryStore>,
    bug: Arc<AtomicU8>,
}

impl BuggyStore {
    fn is_due(&self, bug: u8) -> bool {
        let due = self
            .bug
            .compare_exchange(bug, NONE, Ordering::SeqCst, Ordering::SeqCst);
        due.is_ok()
    }

    fn check(&self, bug: u8) {
        assert!(!self.is_due(bug), "the bug of this test");
    }
}

impl StoreWrapper for BuggyStore {
    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    fn create(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        let stream = stream.clone();
        Box::pin(async move {
            self.check(CREATE);
            self.store.create(&stream).await
        })
    }

    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        let stream = stream.clone();
        Box::pin(async move {
            self.check(DELETE);
            self.store.delete(&stream).await
        })
    }

    fn acquire(&self, stream: &StreamName, owner: &Owner) -> StoreFuture<'_, Acquired> {
        let (stream, owner) = (stream.clone(), owner.clone());
        Box::pin(async move {
            self.check(ACQUIRE);
            self.store.acquire(&stream, &owner).await
        })
    }

    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        if self.is_due(APPEND) {
            return drop(done);
        }
        self.store.append(lease, entry, done);
    }

    fn read(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> StoreFuture<'_, ReadBatch> {
        let stream = stream.clone();
        Box::pin(async move {
            self.check(READ);
            self.store.read(&stream, from, limit).await
        })
    }
}

async fn start_buggy() -> (RunningProxy, Arc<AtomicU8>) {
    let bug = Arc::new(AtomicU8::new(NONE));
    let store = Wrapped(BuggyStore {
        store: MemoryStore::new(),
        bug: bug.clone(),
    });
    let settings = settings().stats_listen(Some(ANY)).http_listen(Some(ANY));
    let settings = settings.build().expect("valid settings");
    let proxy = Proxy::start(settings, Arc::new(store)).await;
    (proxy.expect("free ports"), bug)
}

#[tokio::test]
async fn every_write_is_answered_whichever_operation_of_the_store_a_bug_ends() {
    use distributedlog::wire::service::{Request, WriteContext};
    let (proxy, bug) = start_buggy().await;
    let http_port = proxy.http_addr().expect("it was asked for");
    let answers = async {
        for (due, stream, over_http) in [
            (CREATE, "created", false),
            (ACQUIRE, "acquired", false),
            (APPEND, "appended", false),
            (CREATE, "created-http", true),
            (ACQUIRE, "acquired-http", true),
            (APPEND, "appended-http", true),
        ] {
            let mut client = Raw::connect(&proxy).await;
            bug.store(due, Ordering::SeqCst);
            if over_http {
                let path = format!("/v1/streams/{stream}/records");
                let answer = http(http_port, "POST", &path).await;
                assert!(answer.starts_with("HTTP/1.1 50"), "{stream}: {answer}");
            } else {
                let answer = client.ask(&write(stream, b"x")).await;
                assert!(
                    !answer.starts_with("200") && answer.contains("bug"),
                    "{answer}"
                );
            }
            assert_eq!(bug.load(Ordering::SeqCst), NONE, "the bug was not met");
            let answer = client.ask(&write(stream, b"x")).await;
            assert!(answer.starts_with("200 at"), "{stream} goes on: {answer}");
        }
        let mut client = Raw::connect(&proxy).await;
        bug.store(DELETE, Ordering::SeqCst);
        let request = Request::Delete {
            stream: "created",
            context: WriteContext::default(),
        };
        let answer = client.ask(&request).await;
        assert!(answer.contains("bug"), "{answer}");
    };
    let answered = tokio::time::timeout(LIMIT, answers).await;
    answered.expect("all are answered");
    until_line(&proxy, "dlog_proxy_requests_unanswered 0").await;
}

#[tokio::test]
async fn a_read_that_a_bug_ends_is_not_counted_any_more() {
    let (proxy, bug) = start_buggy().await;
    let address = proxy.http_addr().expect("it was asked for");
    http(address, "PUT", "/v1/streams/s").await;
    bug.store(READ, Ordering::SeqCst);
    let mut reader = TcpStream::connect(address).await.expect("it listens");
    reader
        .write_all(b"GET /v1/streams/s/records HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .expect("it reads");
    // The connection ends without an end of the response.
    let mut answer = Vec::new();
    let _ = reader.read_to_end(&mut answer).await;
    assert_eq!(bug.load(Ordering::SeqCst), NONE, "the bug was not met");
    until_line(&proxy, "dlog_proxy_http_readers 0").await;
    until_line(&proxy, "dlog_proxy_connections 0").await;
}
