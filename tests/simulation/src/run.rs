//! One run of a seed: faults, settling, and the final checks.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_proxy::ProxyLoad;
use distributedlog_reader::{LogReader, ReadEvent};
use distributedlog_store::{LogStore, StoreError, StreamName};

use crate::faults::FaultCounts;
use crate::net::CrashKind;
use crate::oracle::{Incarnation, RecordCounts, RecordPositions, RecordState, StreamContents};
use crate::proxy::ProxyMachine;
use crate::trace::Counts;
use crate::world::World;
use crate::writer::WriterMachine;

/// Time limit of each step after the last fault, in milliseconds.
const SETTLE_MS: u64 = 60_000;

/// Report of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Seed of the run.
    pub seed: u64,
    /// Hash of the whole trace: the same seed has the same hash.
    pub hash: u64,
    /// Duration on the simulated clock, in milliseconds.
    pub virtual_ms: u64,
    /// Number of events.
    pub counts: Counts,
    /// Number of faults.
    pub faults: FaultCounts,
    /// Number of records by result.
    pub records: RecordCounts,
}

/// Runs a seed to its end. With `prints`, every event is printed.
///
/// # Panics
///
/// If the system breaks a promise; the message names it.
#[must_use]
pub fn run(seed: u64, prints: bool) -> Report {
    let mut world = World::new(seed, prints);
    let busy = 1_500 + world.random.below(4_000);
    for _ in 0..busy {
        world.tick(true, true);
        check_periodically(&mut world);
    }
    world.stop_faults();
    settle(&mut world);
    recover(&mut world);
    settle_tasks(&mut world);
    let positions = check_store(&mut world, "at the end", CrashKind::PowerLost);
    read_everything(&mut world, &positions);
    check_idle(&mut world);
    Report {
        seed,
        hash: world.trace.hash(),
        virtual_ms: world.now,
        counts: world.trace.counts(),
        faults: world.faults,
        records: world.oracle.count_records(&positions),
    }
}

/// Checks twice in a second what a recovery would find now.
fn check_periodically(world: &mut World) {
    if world.now.is_multiple_of(500) && world.store.is_up() && !world.store.disk.has_crashed() {
        check_store(
            world,
            "in between",
            if world.now.is_multiple_of(1000) {
                CrashKind::Killed
            } else {
                CrashKind::PowerLost
            },
        );
    }
}

/// Waits until every write has completed, which must happen by its deadline under any faults.
fn settle(world: &mut World) {
    let end = world.now + SETTLE_MS;
    while world.oracle.pending() > 0 {
        assert!(
            world.now < end,
            "R1: {} records never complete",
            world.oracle.pending()
        );
        world.tick(false, false);
    }
}

/// Checks that writes succeed again after the last fault.
fn recover(world: &mut World) {
    let end = world.now + SETTLE_MS;
    for index in 0..world.writers.len() {
        loop {
            assert!(world.now < end, "writes do not succeed again");
            let now = world.instant();
            let serial = world.writers[index].write(now, &mut world.oracle);
            world.writers[index].flush();
            while serial.is_some_and(|serial| world.oracle.state_of(serial) == RecordState::Pending)
            {
                world.tick(false, false);
            }
            if serial.is_some_and(|serial| {
                matches!(world.oracle.state_of(serial), RecordState::Written(_))
            }) {
                break;
            }
            world.tick(false, false);
        }
    }
}

/// Waits until the tasks of the operator have a result or can no longer take effect.
fn settle_tasks(world: &mut World) {
    let end = world.now + SETTLE_MS;
    while world.oracle.histories.unsettled().0 > 0 {
        assert!(world.now < end, "the operator's tasks are not answered");
        world.tick(false, false);
    }
    // Tasks without a waiting operator may still be in flight: 300 ms let them arrive.
    let ticks = if world.oracle.histories.unsettled().1 > 0 {
        300
    } else {
        0
    };
    for _ in 0..ticks {
        world.tick(false, false);
    }
}

/// Opens a copy of the disk as it is after a crash, and compares its contents with the reported
/// results.
fn check_store(world: &mut World, when: &str, kind: CrashKind) -> RecordPositions {
    let (store, _steps) = match world.store.opened_copy(world.now, kind) {
        Ok(opened) => opened,
        Err(error) => panic!("{when}: the store does not open after {kind:?}: {error}"),
    };
    let store = Arc::new(store) as Arc<dyn LogStore>;
    let contents: Vec<StreamContents> = world
        .streams()
        .iter()
        .map(|stream| read_stream(&store, stream))
        .collect();
    world.oracle.check_streams(when, &contents)
}

fn read_stream(store: &Arc<dyn LogStore>, stream: &StreamName) -> StreamContents {
    let mut reader = LogReader::new(Arc::clone(store), stream.clone(), Dlsn::INITIAL);
    let mut contents = StreamContents {
        incarnation: describe_stream(store, stream),
        records: Vec::new(),
    };
    loop {
        match block_on(reader.next_available()) {
            Ok(Some(ReadEvent::Record(record))) => contents
                .records
                .push((record.dlsn, record.payload.to_vec())),
            Ok(Some(ReadEvent::Malformed(set))) => panic!("stream {stream}: {set}"),
            Ok(None) | Err(StoreError::StreamNotFound(_)) => return contents,
            Err(error) => panic!("stream {stream}: {error}"),
        }
    }
}

/// Returns the state that a stepped store shows of a stream, or `None` if it does not exist.
pub(crate) fn describe_stream(
    store: &Arc<dyn LogStore>,
    stream: &StreamName,
) -> Option<Incarnation> {
    match block_on(store.describe(stream)) {
        Ok(info) => Some(Incarnation {
            created_unix_ms: info.created_unix_ms,
            truncated_before: info.truncated_before,
        }),
        Err(StoreError::StreamNotFound(_)) => None,
        Err(error) => panic!("stream {stream}: {error}"),
    }
}

/// Polls a future of a stepped store until it is ready: it reads on the caller's thread and yields
/// now and then.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(answer) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return answer;
        }
    }
}

/// Waits until the merged reader has read all streams, and checks that it delivered each record
/// exactly once.
fn read_everything(world: &mut World, positions: &RecordPositions) {
    let end = world.now + SETTLE_MS;
    // A merged reader starts when all its streams exist, and some may never have been written to.
    while !world.store.is_up() {
        world.tick(false, false);
    }
    world.create_streams();
    while !world.reader.has_delivered(positions) && world.now < end {
        for _ in 0..20 {
            world.tick(false, false);
        }
    }
    // A duplicate delivery would arrive in these 200 ms.
    for _ in 0..200 {
        world.tick(false, false);
    }
    assert!(
        !world.reader.has_given_up(),
        "R12: the merged reader gave up"
    );
    assert_eq!(
        world.reader.malformed(),
        0,
        "R12: the merged reader met sets that cannot be read"
    );
    world
        .oracle
        .check_delivered(&world.reader.delivered(), positions);
}

/// Checks that all machines are idle and hold no requests or bytes.
fn check_idle(world: &mut World) {
    // Wait until the abandoned requests are answered or their connections time out.
    let end = world.now + SETTLE_MS;
    // Each of the two proxies may have a health check in flight.
    let is_idle =
        |[bytes, sets, requests, calls]: [usize; 4]| bytes + sets + requests == 0 && calls <= 2;
    while !world.writers.iter().all(|writer| is_idle(writer.load()))
        || world.proxies.iter().any(|proxy| proxy.load().requests > 0)
    {
        let writers: Vec<_> = world.writers.iter().map(WriterMachine::load).collect();
        let proxies: Vec<_> = world.proxies.iter().map(ProxyMachine::load).collect();
        assert!(
            world.now < end,
            "R7: at rest, writers hold bytes, sets, requests, calls on connections {writers:?}; \
             proxies hold {proxies:?}"
        );
        world.tick(false, false);
    }
    for proxy in &world.proxies {
        let ProxyLoad {
            streams,
            requests,
            bytes,
            ..
        } = proxy.load();
        assert!(
            streams <= world.streams().len(),
            "an idle proxy owns {streams} streams"
        );
        assert_eq!(
            (requests, bytes),
            (0, 0),
            "R7: an idle proxy holds requests, bytes"
        );
    }
    let (connections, bytes) = world.network.load();
    assert!(
        connections <= 40 && bytes < 100_000,
        "{connections} connections hold {bytes} bytes"
    );
}
