//! The client of devices, over real sockets to the real proxy.

mod net;

use core::cell::RefCell;
use core::future::Future;
use core::net::{IpAddr, Ipv4Addr};
use core::ops::Range;
use core::time::Duration;
use std::collections::VecDeque;

use distributedlog::async_writer::{MultiStreamWriter, State, WaiterSlot};
use distributedlog::client::routing::Counters;
use distributedlog::writer::{Fixed, Settings, StreamCount, WriteResult, Writer};
use distributedlog_embedded::{
    BufferName, Buffers, BuildError, Config, Endpoint, NoDns, ProxyClient,
};
use distributedlog_tests::load::{RawClient, WriteReply};
use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::process::STEP_TIMEOUT;
use distributedlog_tests::records::{Acknowledged, assert_read_back};
use distributedlog_tests::stack::{Local, Proxy, STREAMS, StoreOf};
use distributedlog_tokio::TokioClock;
use embedded_nal_async::Dns;
use net::{Resolver, Sockets};
use rustix::process::Signal;

const REQUESTS: usize = 8;
const SET_BYTES: usize = 512;
/// Maximum number of records that are written and not yet acknowledged.
const PENDING: usize = 16;

type WriterState = State<Fixed<5, 3, PENDING, SET_BYTES>, [WaiterSlot; PENDING + 2], TokioClock>;
type Handle<'a> = MultiStreamWriter<&'a RefCell<WriterState>>;
type Client<'a, const HOSTS: usize> = ProxyClient<'a, TokioClock, HOSTS, 5, REQUESTS>;

/// Runs a device with these proxies until `work` is done. Returns the result of `work`, and the
/// client's counters.
async fn run_device<const HOSTS: usize, R>(
    proxies: &[Endpoint<'_>],
    dns: &impl Dns,
    work: impl AsyncFnOnce(&Handle<'_>, &Client<'_, HOSTS>) -> R,
) -> (R, Counters) {
    let clock = TokioClock::new();
    let (mut sets, mut incoming, mut outgoing) = (
        vec![0; REQUESTS * SET_BYTES],
        vec![0; HOSTS * 1024],
        vec![0; HOSTS * 1024],
    );
    let mut config = Config::new("device", proxies, &STREAMS);
    config.resolve_backoff = Duration::from_millis(20);
    let buffers = Buffers {
        sets: &mut sets,
        incoming: &mut incoming,
        outgoing: &mut outgoing,
    };
    let client = Client::<HOSTS>::new(config, clock, buffers).expect("the buffers are large");

    let settings = Settings::builder()
        .buffer_size(128)
        .in_flight_sets(2)
        .pending_records(PENDING)
        .request_timeout(Duration::from_secs(50))
        .first_speculative_timeout(Duration::from_millis(200))
        .seed(7);
    let settings = settings.build().expect("within the bounds");
    let streams = StreamCount::new(STREAMS.len()).expect("between 1 and the most");
    let machine = Writer::new(settings, streams, Fixed::new()).expect("the tables are large");
    let slots = [const { WaiterSlot::EMPTY }; PENDING + 2];
    let state = RefCell::new(State::new(machine, slots, clock));
    let (writer, runner) = MultiStreamWriter::new(&state, client.transport());
    let result = tokio::select! {
        result = work(&writer, &client) => result,
        never = client.run(&Sockets, dns) => match never {},
        () = runner.run() => panic!("the writer was not closed"),
    };
    (result, client.counters())
}

/// Writes these records, [`PENDING`] at a time, and returns where they are.
///
/// # Panics
/// One fails.
async fn write(writer: &Handle<'_>, numbers: Range<u32>) -> Vec<Acknowledged> {
    let (mut pending, mut stored) = (VecDeque::new(), Vec::new());
    for number in numbers {
        if pending.len() == PENDING {
            stored.extend(take(&mut pending).await);
        }
        let payload = format!("record-{number}").into_bytes();
        let accepted = writer.submit(&payload).await.expect("it is not closed");
        pending.push_back((payload, accepted));
    }
    while let Some(record) = take(&mut pending).await {
        stored.push(record);
    }
    stored
}

/// Waits for the result of the oldest record.
async fn take<A: Future<Output = WriteResult>>(
    pending: &mut VecDeque<(Vec<u8>, A)>,
) -> Option<Acknowledged> {
    let (payload, acknowledgement) = pending.pop_front()?;
    let written = acknowledgement.await;
    let written = written.unwrap_or_else(|error| panic!("{}: {error}", payload.escape_ascii()));
    Some(Acknowledged {
        stream: STREAMS[usize::from(written.stream.0)].to_owned(),
        dlsn: written.dlsn,
        payload,
    })
}

/// Waits for a state of the device, which changes when its futures are polled.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(STEP_TIMEOUT, waiting).await;
    assert!(waited.is_ok(), "{what}");
}

#[tokio::test]
async fn what_a_device_acknowledged_is_there_when_its_proxy_was_killed_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let reserved = ReservedPort::new();
    let port = reserved.number();
    let start = || Proxy::start(StoreOf::In(folder.path()), port, &[]);
    let first = start().await;
    let proxies = [Endpoint::Address(first.address)];
    let work = async |writer: &Handle<'_>, client: &Client<'_, 1>| {
        let mut proxy = first;
        let mut stored = write(writer, 0..100).await;
        for begin in [100, 400] {
            let before = client.counters().succeeded;
            let restart = async {
                until("some are written", || client.counters().succeeded > before).await;
                proxy.process.kill_9().await;
                start().await
            };
            let (more, restarted) = tokio::join!(write(writer, begin..begin + 300), restart);
            stored.extend(more);
            proxy = restarted;
        }
        // It is connected, also if the last records were written before the kill.
        stored.extend(write(writer, 700..800).await);
        assert!(client.is_connected());
        proxy.process.kill_9().await;
        stored
    };
    let (stored, counters) = run_device(&proxies, &NoDns, work).await;
    println!("{counters:?}");
    assert_eq!(stored.len(), 800);
    assert!(counters.disconnects >= 2 && counters.connects >= 3);
    let local = Local::start(folder.path(), 0).await;
    assert_read_back(&local.connect().await, &stored).await;
}

#[tokio::test]
async fn a_name_is_looked_up_until_it_leads_to_a_proxy() {
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Proxy::start(StoreOf::In(folder.path()), 0, &[]).await;
    let nothing_listens = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 99));
    let results = [
        None,
        None,
        Some(nothing_listens),
        None,
        Some(proxy.address.ip()),
    ];
    let dns = Resolver::new("proxy.example", &results);
    let proxies = [Endpoint::Name("proxy.example", proxy.address.port())];
    let work = async |writer: &Handle<'_>, _: &Client<'_, 1>| write(writer, 0..100).await;
    let (stored, counters) = run_device(&proxies, &dns, work).await;
    assert_eq!((stored.len(), counters.connects), (100, 1));
    assert!(counters.connect_failures >= 1);
    assert_eq!(*dns.lookups.borrow(), results.len());
}

#[tokio::test]
async fn a_device_follows_its_streams_from_one_proxy_to_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    let uri = local.uri();
    let known = Proxy::start(StoreOf::At(&uri), 0, &[]).await;
    let owner = Proxy::start(StoreOf::At(&uri), 0, &[]).await;
    let mut client = RawClient::connect(owner.address).await.expect("it listens");
    for stream in STREAMS {
        let reply = client.write(stream, b"mine").await.expect("it answers");
        assert!(matches!(reply, WriteReply::Stored(_)), "{reply:?}");
    }
    let proxies = [Endpoint::Address(known.address)];
    let work = async |writer: &Handle<'_>, client: &Client<'_, 2>| {
        let mut stored = write(writer, 0..100).await;
        let there = client.counters();
        assert!(there.redirects > 0 && there.connects == 2, "{there:?}");
        // The owner gives its streams up, and the other one takes them.
        owner.process.signal(Signal::TERM);
        stored.extend(write(writer, 100..300).await);
        let _ = owner.process.until_exit().await.with_code(0);
        stored.extend(write(writer, 300..400).await);
        stored
    };
    let (stored, counters) = run_device(&proxies, &NoDns, work).await;
    println!("{counters:?}");
    assert_eq!(stored.len(), 400);
    assert_read_back(&local.connect().await, &stored).await;
}

#[tokio::test]
async fn a_connection_whose_peer_is_silent_is_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Proxy::start(StoreOf::In(folder.path()), 0, &[]).await;
    let proxies = [Endpoint::Address(proxy.address)];
    let work = async |writer: &Handle<'_>, client: &Client<'_, 1>| {
        let mut stored = write(writer, 0..20).await;
        // The socket stays open, and nothing comes from it.
        proxy.process.signal(Signal::STOP);
        let wake = async {
            until("it is given up", || client.counters().disconnects > 0).await;
            proxy.process.signal(Signal::CONT);
        };
        let (more, ()) = tokio::join!(write(writer, 20..60), wake);
        stored.extend(more);
        stored
    };
    let (stored, counters) = run_device(&proxies, &NoDns, work).await;
    println!("{counters:?}");
    assert_eq!(stored.len(), 60);
}

#[tokio::test]
async fn dropping_the_run_of_a_client_ends_its_connections_and_another_run_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Proxy::start(StoreOf::In(folder.path()), 0, &[]).await;
    let clock = TokioClock::new();
    let (mut sets, mut incoming, mut outgoing) =
        (vec![0; REQUESTS * SET_BYTES], vec![0; 1024], vec![0; 1024]);
    let buffers = Buffers {
        sets: &mut sets,
        incoming: &mut incoming,
        outgoing: &mut outgoing,
    };
    let proxies = [Endpoint::Address(proxy.address)];
    let config = Config::new("device", &proxies, &STREAMS);
    let client = Client::<1>::new(config, clock, buffers).expect("the buffers are large");
    for turn in 1..=3 {
        let connected = until("it is connected", || client.is_connected());
        tokio::select! {
            () = connected => {}
            never = client.run(&Sockets, &NoDns) => match never {},
        }
        assert_eq!(client.counters().connects, turn);
        assert!(!client.is_connected());
    }
}

#[test]
fn a_client_says_which_buffer_is_too_small_and_how_large_it_must_be() {
    let proxies = [Endpoint::Name("proxy", 8000); 2];
    let config = Config::new("device", &proxies, &["stream-1"]);
    let (mut sets, mut incoming, mut outgoing) = ([0; 4096], [0; 2048], [0; 1500]);
    let buffers = Buffers {
        sets: &mut sets,
        incoming: &mut incoming,
        outgoing: &mut outgoing,
    };
    let built = Client::<2>::new(config.clone(), TokioClock::new(), buffers);
    // Two hosts; a set of 512 bytes, the stream's name and the rest of the frame.
    let min = 2 * (512 + 8 + 256);
    let expected = BuildError::BufferTooSmall {
        buffer: BufferName::Outgoing,
        bytes: 1500,
        min,
    };
    assert_eq!(built.err(), Some(expected));
    assert_eq!(
        expected.to_string(),
        "buffer outgoing has 1500 bytes, and needs 1552"
    );

    let buffers = Buffers {
        sets: &mut sets,
        incoming: &mut incoming,
        outgoing: &mut outgoing,
    };
    let built = Client::<1>::new(config, TokioClock::new(), buffers);
    assert_eq!(built.err(), Some(BuildError::Proxies { count: 2, max: 1 }));
}
