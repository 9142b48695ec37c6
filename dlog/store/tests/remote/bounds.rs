//! Bounds on what the peers of a served store can make it hold.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::mux::{Frame, InitHeader, InitHeaders, Message, Tag};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::kit::*;
use distributedlog_store::remote::ServerSettings;
use distributedlog_store::remote::internals::{
    HELLO, Hello, Operation, PeersOfServer, Request, encode_versioned, push, push_request,
};
use distributedlog_store::{
    EntryRecord, Lease, LogStore, MAX_OWNER_ADDRESS_BYTES, NamesPage, ReadBatch, ReadLimit,
    StoreError, StoreFuture, StreamName,
};
use distributedlog_testkit::store::{MemoryStore, StoreWrapper, Wrapped};

/// A store that counts the payload bytes and names that it returned.
struct Counting {
    store: Arc<MemoryStore>,
    returned: AtomicUsize,
}

impl Counting {
    fn new() -> Arc<Wrapped<Self>> {
        let (store, returned) = (MemoryStore::new(), AtomicUsize::new(0));
        Arc::new(Wrapped(Self { store, returned }))
    }

    fn returned(&self) -> usize {
        self.returned.load(Ordering::Relaxed)
    }
}

impl StoreWrapper for Counting {
    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    fn list_page(
        &self,
        after: Option<&StreamName>,
        prefix: &str,
        limit: usize,
    ) -> StoreFuture<'_, NamesPage> {
        let (after, prefix) = (after.cloned(), prefix.to_owned());
        Box::pin(async move {
            let page = self.store.list_page(after.as_ref(), &prefix, limit).await?;
            let bytes = page.names.iter().map(|name| name.as_str().len()).sum();
            self.returned.fetch_add(bytes, Ordering::Relaxed);
            Ok(page)
        })
    }

    fn read(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> StoreFuture<'_, ReadBatch> {
        let stream = stream.clone();
        Box::pin(async move {
            let batch = self.store.read(&stream, from, limit).await?;
            let records = batch.entries.iter().flat_map(|entry| &entry.records);
            let bytes = records.map(|record| record.payload.len()).sum();
            self.returned.fetch_add(bytes, Ordering::Relaxed);
            Ok(batch)
        })
    }
}

/// A peer of a server. Its clock is tokio's paused one: a sleep ends when nothing else can run.
struct Peer {
    stream: DuplexStream,
    served: JoinHandle<Result<(), String>>,
}

impl Peer {
    /// Shakes hands, and reads the welcome.
    async fn of(server: &PeersOfServer) -> Self {
        let mut peer = Self::silent(server);
        let hello = Hello {
            namespace: "/messaging/distributedlog",
            description: "a test's",
            max_frame_bytes: 64 << 20,
            resume: None,
        };
        let (mut body, mut frame) = (Vec::new(), Vec::new());
        encode_versioned(&hello, &mut body);
        let headers = [InitHeader {
            key: HELLO,
            value: &body,
        }];
        let message = Message::Tinit {
            version: 1,
            headers: InitHeaders::new(&headers),
        };
        push(&mut frame, Tag::ONE, message);
        peer.stream.write_all(&frame).await.expect("it reads");
        peer.frame().await;
        peer
    }

    /// A peer that has sent nothing. Up to 4 KiB are on the way to it.
    fn silent(server: &PeersOfServer) -> Self {
        let (stream, theirs) = tokio::io::duplex(4 << 10);
        let server = server.clone();
        let served = tokio::spawn(async move { server.serve(theirs).await });
        Self { stream, served }
    }

    async fn frame(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).await.expect("a frame");
        let mut frame = length.to_vec();
        let rest = u32::from_be_bytes(length) as usize;
        frame.resize(4 + rest, 0);
        self.stream
            .read_exact(&mut frame[4..])
            .await
            .expect("a frame");
        frame
    }

    /// Sends the frames, as many as the server takes. Returns the bytes that it took.
    async fn send(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            let write = self.stream.write(&bytes[sent..]);
            match tokio::time::timeout(Duration::from_millis(10), write).await {
                Ok(Ok(count)) if count > 0 => sent += count,
                Ok(_) | Err(_) => break,
            }
        }
        // Everything that can run has run by then.
        tokio::time::sleep(Duration::from_millis(10)).await;
        sent
    }
}

fn server(store: &Arc<Wrapped<Counting>>, settings: ServerSettings) -> PeersOfServer {
    PeersOfServer::new(Arc::clone(store) as Arc<dyn LogStore>, settings)
}

/// A stream with 4 MiB in entries of 64 KiB.
fn fill(store: &Counting, stream: &StreamName) {
    for id in 0..64 {
        let record = EntryRecord {
            payload: Bytes::from(vec![b'x'; 64 << 10]),
            slots: 1,
            is_record_set: false,
        };
        store.store.put(stream, Dlsn::new(1, id, 0), vec![record]);
    }
}

fn read_at(out: &mut Vec<u8>, tag: u32, stream: &StreamName, wait: Duration) {
    let request = Request::Read {
        stream: stream.clone(),
        from: Dlsn::INITIAL,
        limit: ReadLimit {
            max_bytes: usize::MAX,
            wait,
            created_unix_ms: None,
        },
    };
    push_request(out, Tag::new(tag).expect("a tag"), &request);
}

fn reads(stream: &StreamName, count: u32) -> Vec<u8> {
    let mut out = Vec::new();
    for tag in 2..2 + count {
        read_at(&mut out, tag, stream, Duration::ZERO);
    }
    out
}

#[tokio::test(start_paused = true)]
async fn reads_of_a_peer_that_takes_no_answers_hold_its_share_and_no_more() {
    let (store, stream) = (Counting::new(), name("s"));
    fill(&store, &stream);
    let settings = ServerSettings {
        max_answer_bytes: 8 << 20,
        max_total_answer_bytes: 64 << 20,
        ..ServerSettings::default()
    };
    let mut peer = Peer::of(&server(&store, settings)).await;
    let requests = reads(&stream, 1900);
    assert!(requests.len() < 64 << 10, "{} bytes", requests.len());
    assert_eq!(peer.send(&requests).await, requests.len());
    let held = store.returned();
    assert!(
        (4 << 20..=8 << 20).contains(&held),
        "{held} bytes of answers"
    );
    // It gets the others once it takes these.
    for _ in 0..50 {
        peer.frame().await;
    }
    assert!(store.returned() >= 50 << 20, "{} bytes", store.returned());
}

#[tokio::test(start_paused = true)]
async fn all_peers_together_hold_no_more_than_the_total() {
    let (store, stream) = (Counting::new(), name("s"));
    fill(&store, &stream);
    let settings = ServerSettings {
        max_answer_bytes: 8 << 20,
        max_total_answer_bytes: 32 << 20,
        ..ServerSettings::default()
    };
    let server = server(&store, settings);
    let mut peers = Vec::new();
    for _ in 0..20 {
        let mut peer = Peer::of(&server).await;
        peer.send(&reads(&stream, 20)).await;
        peers.push(peer);
    }
    let held = store.returned();
    assert!((24 << 20..=32 << 20).contains(&held), "{held} bytes");
    assert!(server.answer_bytes() <= 32 << 20);
    drop(peers);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(server.answer_bytes(), 0, "what was held is free again");
}

#[tokio::test(start_paused = true)]
async fn lists_of_a_peer_that_takes_no_answers_hold_its_share_and_no_more() {
    let store = Counting::new();
    for index in 0..200 {
        let text = format!("{}-{index}", "x".repeat(900));
        store.create(&name(&text)).await.expect("it is new");
    }
    let settings = ServerSettings {
        max_answer_bytes: 1 << 20,
        ..ServerSettings::default()
    };
    let mut peer = Peer::of(&server(&store, settings)).await;
    let mut requests = Vec::new();
    for tag in 2..2000 {
        let list = Operation::List {
            after: None,
            prefix: String::new(),
            limit: u32::MAX,
        };
        push_request(
            &mut requests,
            Tag::new(tag).expect("a tag"),
            &Request::Do(list),
        );
    }
    peer.send(&requests).await;
    let held = store.returned();
    assert!((1..=2 << 20).contains(&held), "{held} bytes of names");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_answers_is_not_read_whatever_it_sends() {
    let unknown_lease = Lease {
        stream: name("s"),
        epoch: 1,
    };
    let mut append = Vec::new();
    push_request(
        &mut append,
        Tag::new(2).expect("a tag"),
        &Request::Append {
            lease: unknown_lease,
            records: Vec::new(),
        },
    );
    let frame = |message| {
        let mut out = Vec::new();
        push(&mut out, Tag::new(2).expect("a tag"), message);
        out
    };
    for one in [
        frame(Message::Tping),
        frame(Message::Tdrain),
        frame(Message::Tdispatch {
            contexts: Default::default(),
            destination: "",
            delegations: Default::default(),
            payload: b"no request",
        }),
        append,
    ] {
        let store = Counting::new();
        let server = server(&store, ServerSettings::default());
        let mut peer = Peer::of(&server).await;
        let many = one.repeat((32 << 20) / one.len());
        let taken = peer.send(&many).await;
        assert!(
            taken < 1 << 20,
            "{taken} bytes of {:?}",
            Frame::decode(&one)
        );
        let held = server.answer_bytes();
        assert!((1..=512 << 10).contains(&held), "{held} bytes of answers");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_before_its_hello_is_not_read_when_it_takes_no_answers() {
    let store = Counting::new();
    let mut peer = Peer::silent(&server(&store, ServerSettings::default()));
    let mut check = Vec::new();
    push(
        &mut check,
        Tag::new(2).expect("a tag"),
        Message::BadRerr {
            error: "tinit check",
        },
    );
    let many = check.repeat((32 << 20) / check.len());
    let taken = peer.send(&many).await;
    assert!(taken < 1 << 20, "{taken} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_peer_must_take_its_answers_at_the_minimum_rate() {
    let (store, stream) = (Counting::new(), name("s"));
    fill(&store, &stream);
    let settings = ServerSettings {
        min_write_rate: 1 << 10,
        ..ServerSettings::default()
    };
    let window = settings.idle_timeout;
    let server = server(&store, settings);
    for (bytes, is_closed) in [(1, true), (6 << 10, false)] {
        let mut peer = Peer::of(&server).await;
        peer.send(&reads(&stream, 4)).await;
        let began = Instant::now();
        while began.elapsed() < 4 * window && !peer.served.is_finished() {
            let mut some = vec![0; bytes];
            if peer.stream.read_exact(&mut some).await.is_err() {
                break;
            }
            // Pings, so that the connection is not closed because it is silent.
            let mut ping = Vec::new();
            push(&mut ping, Tag::ONE, Message::Tping);
            if peer.stream.write_all(&ping).await.is_err() {
                break;
            }
            tokio::time::sleep(window / 2).await;
        }
        assert_eq!(peer.served.is_finished(), is_closed, "{bytes} bytes");
        if is_closed {
            let why = peer.served.await.expect("no panic").expect_err("closed");
            assert!(
                why.contains("the peer took less than 1024 bytes a second"),
                "{why}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unfinished_frames_hold_what_came_up_to_the_total() {
    let store = Counting::new();
    let settings = ServerSettings {
        max_unfinished_bytes: 8 << 20,
        ..ServerSettings::default()
    };
    let server = server(&store, settings);
    let mut peers = Vec::new();
    let mut taken = 0;
    for _ in 0..20 {
        let mut peer = Peer::of(&server).await;
        let mut begun = vec![0; 3 << 20];
        begun[..4].copy_from_slice(&(4_u32 << 20).saturating_sub(4).to_be_bytes());
        taken += peer.send(&begun).await;
        peers.push(peer);
    }
    assert!(taken <= 10 << 20, "{taken} bytes of unfinished frames");
    // Small frames have room in any case.
    let mut other = Peer::of(&server).await;
    let mut ping = Vec::new();
    push(&mut ping, Tag::ONE, Message::Tping);
    other.send(&ping).await;
    other.frame().await;
}

#[tokio::test(start_paused = true)]
async fn waiting_reads_are_limited_over_all_connections() {
    let (store, stream) = (Counting::new(), name("s"));
    store.create(&stream).await.expect("it is new");
    let settings = ServerSettings {
        max_reads: 10,
        ..ServerSettings::default()
    };
    let server = server(&store, settings);
    let mut peers = Vec::new();
    for _ in 0..2 {
        let mut peer = Peer::of(&server).await;
        let mut waiting = Vec::new();
        for tag in 2..10 {
            read_at(&mut waiting, tag, &stream, LONG);
        }
        peer.send(&waiting).await;
        peers.push(peer);
    }
    store.store.until_waiting_reads(10).await;
    let frame = peers[1].frame().await;
    let text = format!("{:?}", Frame::decode(&frame).expect("a frame"));
    assert!(text.contains("Rdispatch"), "{text}");
}

#[tokio::test]
async fn the_address_of_an_owner_is_limited() {
    let Running {
        store,
        server: _server,
        uri,
    } = running(ServerSettings::default()).await;
    let (client, stream) = (client(&uri).await, name("s"));
    client.create(&stream).await.expect("it is new");
    let mut owner = owner(1);
    owner.address = "x".repeat(MAX_OWNER_ADDRESS_BYTES);
    client.acquire(&stream, &owner).await.expect("acquires");
    owner.address.push('x');
    let error = client.acquire(&stream, &owner).await.expect_err("too long");
    assert!(
        matches!(error, StoreError::InvalidSetting { .. }),
        "{error}"
    );
    owner.address = "a\u{1b}[2Jb:1".to_owned();
    let error = client.acquire(&stream, &owner).await.expect_err("control");
    assert!(
        matches!(error, StoreError::InvalidSetting { .. }),
        "{error}"
    );
    assert_eq!(
        store.owner(&stream).expect("an owner").address.len(),
        MAX_OWNER_ADDRESS_BYTES
    );
}
