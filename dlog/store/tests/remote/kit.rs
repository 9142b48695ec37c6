use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::mux::{InitHeader, InitHeaders, Message, Tag};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use distributedlog_store::frames::FrameStream;
use distributedlog_store::remote::internals::{
    SessionKey, WELCOME, Welcome, encode_versioned, push,
};
use distributedlog_store::remote::{ClientSettings, RemoteStore, Server, ServerSettings, serve};
use distributedlog_store::uri::Uri;
use distributedlog_store::{
    Acquired, Entry, EntryRecord, Lease, LogStore, Owner, ReadLimit, StoreError, StreamName,
};
use distributedlog_testkit::store::MemoryStore;

/// Longer than any test takes.
pub(super) const LONG: Duration = Duration::from_secs(600);

pub(super) struct Running {
    pub(super) store: Arc<MemoryStore>,
    pub(super) server: Server,
    pub(super) uri: Uri,
}

pub(super) async fn running(settings: ServerSettings) -> Running {
    let store = MemoryStore::new();
    let server = serve_at("127.0.0.1:0", &store, settings).await;
    let uri = Uri::local("127.0.0.1", server.local_addr().port());
    Running { store, server, uri }
}

pub(super) async fn serve_at(
    address: &str,
    store: &Arc<MemoryStore>,
    settings: ServerSettings,
) -> Server {
    let listener = TcpListener::bind(address).await.expect("a free port");
    serve(listener, Arc::clone(store) as Arc<dyn LogStore>, settings).expect("a local address")
}

/// Settings that reconnect at once and retry for longer than any test takes.
pub(super) fn client_settings() -> ClientSettings {
    ClientSettings {
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(5),
        retry_timeout: LONG,
        ..ClientSettings::default()
    }
}

pub(super) async fn client(uri: &Uri) -> RemoteStore {
    RemoteStore::connect(uri, client_settings())
        .await
        .expect("connects")
}

pub(super) fn name(text: &str) -> StreamName {
    text.parse().expect("a valid name")
}

pub(super) fn owner(shard: i32) -> Owner {
    Owner {
        shard,
        address: format!("127.0.0.1:{}", 8000 + shard),
    }
}

pub(super) fn entry(payload: impl Into<Bytes>) -> Entry {
    Entry {
        records: vec![EntryRecord {
            payload: payload.into(),
            slots: 1,
            is_record_set: false,
        }],
    }
}

pub(super) async fn lease(store: &impl LogStore, stream: &StreamName, owner: &Owner) -> Lease {
    match store.acquire(stream, owner).await.expect("acquires") {
        Acquired::Granted(lease) => lease,
        Acquired::OwnedBy(other) => panic!("{stream} belongs to {other:?}"),
    }
}

/// Starts an append. Its result is sent to the channel.
pub(super) fn start_append(
    store: &impl LogStore,
    lease: &Lease,
    entry: Entry,
) -> oneshot::Receiver<Result<Dlsn, StoreError>> {
    let (sender, receiver) = oneshot::channel();
    store.append(
        lease,
        entry,
        Box::new(move |result| _ = sender.send(result)),
    );
    receiver
}

pub(super) async fn append(
    store: &impl LogStore,
    lease: &Lease,
    payload: &'static str,
) -> Result<Dlsn, StoreError> {
    start_append(store, lease, entry(payload))
        .await
        .expect("done is called")
}

pub(super) fn at_once() -> ReadLimit {
    ReadLimit {
        max_bytes: usize::MAX,
        wait: Duration::ZERO,
        created_unix_ms: None,
    }
}

/// Reads a client's hello and welcomes it, with this version of mux.
pub(super) async fn welcome(stream: &mut TcpStream, version: u16, ping_every_ms: u32) {
    let hello = FrameStream::new(&mut *stream, 1000, None).next().await;
    hello.expect("a hello");
    let welcome = Welcome {
        store: None,
        session: SessionKey { id: 1, secret: 1 },
        resumed: false,
        ping_every_ms,
        max_frame_bytes: 1000,
        grace_ms: 1,
    };
    let (mut value, mut frame) = (Vec::new(), Vec::new());
    encode_versioned(&welcome, &mut value);
    let headers = [InitHeader {
        key: WELCOME,
        value: &value,
    }];
    let headers = InitHeaders::new(&headers);
    push(&mut frame, Tag::ONE, Message::Rinit { version, headers });
    stream.write_all(&frame).await.expect("the welcome is sent");
}

/// A relay between a client and a server that can cut the connections.
pub(super) struct Relay {
    pub(super) uri: Uri,
    state: watch::Sender<RelayState>,
}

#[derive(Clone, Copy)]
struct RelayState {
    /// Address of the server.
    target: SocketAddr,
    /// Number of cuts.
    cuts: u64,
    /// True while it closes every new connection.
    shut: bool,
}

impl Relay {
    pub(super) async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let uri = Uri::local("127.0.0.1", listener.local_addr().expect("bound").port());
        let (state, seen) = watch::channel(RelayState {
            target,
            cuts: 0,
            shut: false,
        });
        tokio::spawn(async move {
            let mut pairs = JoinSet::new();
            loop {
                let (mut from, _) = listener.accept().await.expect("accepts");
                let mut seen = seen.clone();
                let now = *seen.borrow_and_update();
                if now.shut {
                    continue;
                }
                pairs.spawn(async move {
                    let Ok(mut to) = TcpStream::connect(now.target).await else {
                        return;
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                        _ = seen.wait_for(|later| later.cuts != now.cuts) => {}
                    }
                });
            }
        });
        Self { uri, state }
    }

    /// Cuts all current connections.
    pub(super) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Cuts all current connections and closes new ones until [`open`](Self::open).
    pub(super) fn shut(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.shut = true;
        });
    }

    /// Cuts all current connections, and leads new ones to another server.
    pub(super) fn lead_to(&self, target: SocketAddr) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.target = target;
        });
    }

    pub(super) fn open(&self) {
        self.state.send_modify(|state| state.shut = false);
    }
}
