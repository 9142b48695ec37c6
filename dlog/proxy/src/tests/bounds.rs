//! Bounds on what clients of thriftmux and framed thrift make the proxy hold.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use distributedlog::wire::mux::Message;
use distributedlog_store::net::Listen;
use distributedlog_testkit::store::MemoryStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::kit::{framed_call, mux_frame, settings, write};
use crate::{Proxy, RunningProxy, SettingsBuilder};

/// Bytes that are on the way on each connection, at most.
const ON_THE_WAY: usize = 64 << 10;

/// Connections of a test, on tokio's paused clock: a sleep ends when nothing else can run.
struct Connections(mpsc::Receiver<(DuplexStream, SocketAddr)>);

impl Listen for Connections {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
        match self.0.recv().await {
            Some(accepted) => Ok(accepted),
            None => core::future::pending().await,
        }
    }
}

struct Bench {
    proxy: RunningProxy,
    dial: mpsc::Sender<(DuplexStream, SocketAddr)>,
}

impl Bench {
    fn new(settings: SettingsBuilder) -> Self {
        let (dial, accepted) = mpsc::channel(1);
        let address = SocketAddr::from(([127, 0, 0, 1], 8000));
        let settings = settings.build().expect("valid settings");
        let store = MemoryStore::new();
        let proxy = Proxy::start_on(
            Connections(accepted),
            address,
            settings,
            Arc::clone(&store) as _,
        )
        .expect("no port");
        Self { proxy, dial }
    }

    /// Connects from the address 10.0.0.`last`.
    async fn connect(&self, last: u8) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(ON_THE_WAY);
        let peer = SocketAddr::new(IpAddr::from([10, 0, 0, last]), 1000);
        self.dial.send((theirs, peer)).await.expect("it accepts");
        ours
    }
}

/// Sends as much as the proxy takes. Returns the number of bytes.
async fn send(stream: &mut DuplexStream, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while sent < bytes.len() {
        match timeout(Duration::from_millis(1), stream.write(&bytes[sent..])).await {
            Ok(Ok(count)) if count > 0 => sent += count,
            Ok(_) | Err(_) => break,
        }
    }
    sent
}

/// Sends a write, and waits for its answer.
async fn assert_writes(stream: &mut DuplexStream, payload: &[u8]) {
    let call = framed_call(&write("s", payload));
    stream.write_all(&call).await.expect("it reads");
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.expect("an answer");
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).await.expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn unfinished_frames_of_one_address_leave_room_for_others() {
    let bench = Bench::new(settings());
    let mut begun = vec![0; 16 << 20];
    begun[..8].copy_from_slice(&[0x00, 0xff, 0xff, 0x00, 0x80, 1, 0, 1]);
    let (mut held, mut taken) = (Vec::new(), 0);
    for _ in 0..40 {
        let mut stream = bench.connect(1).await;
        taken += send(&mut stream, &begun[..begun.len() - (1 << 16)]).await;
        held.push(stream);
    }
    // Half of the 64 MiB, of which what came may take half, one frame that may go beyond that, and
    // what no connection needs room for.
    assert!(taken < 40 << 20, "{taken} bytes were taken");
    let in_room = bench.proxy.bounds().unfinished.all().held();
    assert!(in_room <= 32 << 20, "{in_room} bytes");
    // Small frames from there, and large ones from elsewhere.
    let began = Instant::now();
    assert_writes(&mut bench.connect(1).await, b"small").await;
    assert_writes(&mut bench.connect(2).await, &vec![b'x'; 1 << 19]).await;
    assert!(began.elapsed() < Duration::from_secs(1), "they waited");
    // They end when their time is over, and what they held is free.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.proxy.bounds().unfinished.all().held(), 0);
}

#[tokio::test(start_paused = true)]
async fn large_frames_that_wait_for_each_other_are_all_received() {
    let bench = Bench::new(settings().max_unfinished_bytes(16 << 20));
    let call = framed_call(&write("s", &vec![b'x'; 1 << 20]));
    let mut streams = Vec::new();
    for _ in 0..24 {
        let mut stream = bench.connect(1).await;
        // As many are half complete as there is room for, before any is complete.
        let sent = send(&mut stream, &call[..call.len() / 2]).await;
        streams.push((stream, call[sent..].to_vec()));
    }
    let began = Instant::now();
    let mut writing = Vec::new();
    for (mut stream, rest) in streams {
        writing.push(tokio::spawn(async move {
            stream.write_all(&rest).await.expect("it reads");
            let mut length = [0; 4];
            stream.read_exact(&mut length).await.expect("an answer");
        }));
    }
    for written in writing {
        written.await.expect("it was received");
    }
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "no timeout ended one"
    );
}

#[tokio::test(start_paused = true)]
async fn replies_that_are_not_taken_hold_no_more_than_the_budget() {
    let bench = Bench::new(settings().max_reply_bytes(1 << 20));
    let pings = mux_frame(2, Message::Tping).repeat(128 << 10);
    let (mut held, mut taken) = (Vec::new(), 0);
    for last in 0..20 {
        let mut stream = bench.connect(last).await;
        taken += send(&mut stream, &pings).await;
        held.push(stream);
    }
    let answers = bench.proxy.bounds().replies.held();
    assert!(answers <= 1 << 20, "{answers} bytes");
    // What is answered, and what is on the way there and back.
    let most = (2 << 20) + 20 * (3 * ON_THE_WAY + (300 << 10));
    assert!(taken < most, "{taken} bytes were taken");
    // A client that takes its answers is served.
    assert_writes(&mut bench.connect(99).await, b"x").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_must_take_its_answers_at_the_minimum_rate() {
    let limit = Duration::from_secs(10);
    let bench = Bench::new(settings().write_timeout(limit).min_write_rate(1 << 10));
    for (bytes, is_closed) in [(1, true), (6 << 10, false)] {
        let mut stream = bench.connect(1).await;
        let pings = mux_frame(2, Message::Tping).repeat(64 << 10);
        send(&mut stream, &pings).await;
        let (began, mut closed) = (Instant::now(), false);
        while began.elapsed() < 4 * limit && !closed {
            let mut some = vec![0; bytes];
            closed = stream.read_exact(&mut some).await.is_err()
                || stream.write_all(&pings[..8]).await.is_err();
            tokio::time::sleep(limit / 2).await;
        }
        assert_eq!(closed, is_closed, "{bytes} bytes at a time");
    }
}
