//! One run from its seed: faults, calm, and the questions at the end.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_proxy::ProxyLoad;
use distributedlog_reader::{LogReader, ReadEvent};
use distributedlog_store::{LogStore, StoreError, StreamName};

use crate::faults::FaultCounts;
use crate::net::Death;
use crate::oracle::{Fate, Fates, Held, Life, Places};
use crate::proxy::ProxyMachine;
use crate::trace::Counts;
use crate::world::World;
use crate::writer::WriterMachine;

/// How long a run takes for everything to come to its end once nothing goes wrong any more, in
/// milliseconds.
const CALM_MS: u64 = 60_000;

/// What a run was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// A number that depends on everything that happened: the same seed has the same one.
    pub hash: u64,
    /// How long it took on the simulated clock, in milliseconds.
    pub virtual_ms: u64,
    /// How much happened.
    pub counts: Counts,
    /// What went wrong.
    pub faults: FaultCounts,
    /// What became of the records.
    pub fates: Fates,
}

/// Runs a seed to its end. With `prints`, everything that happens is printed.
///
/// # Panics
///
/// When the system breaks a promise; the message says which.
#[must_use]
pub fn run(seed: u64, prints: bool) -> Report {
    let mut world = World::new(seed, prints);
    let busy = 1_500 + world.random.below(4_000);
    for _ in 0..busy {
        world.tick(true, true);
        check_now_and_then(&mut world);
    }
    world.calm_down();
    settle(&mut world);
    recover(&mut world);
    finish_tasks(&mut world);
    let places = check_store(&mut world, "at the end", Death::PowerLost);
    read_everything(&mut world, &places);
    check_rest(&mut world);
    Report {
        seed,
        hash: world.trace.hash(),
        virtual_ms: world.now,
        counts: world.trace.counts(),
        faults: world.faults,
        fates: world.oracle.fates(&places),
    }
}

/// What must be true at any time: here, what a recovery would find now.
fn check_now_and_then(world: &mut World) {
    if world.now.is_multiple_of(500) && world.store.is_up() && !world.store.disk.has_crashed() {
        check_store(
            world,
            "in between",
            if world.now.is_multiple_of(1000) {
                Death::Killed
            } else {
                Death::PowerLost
            },
        );
    }
}

/// Every write comes to its end by its deadline, whatever happened.
fn settle(world: &mut World) {
    let end = world.now + CALM_MS;
    while world.oracle.pending() > 0 {
        assert!(
            world.now < end,
            "R1: {} records never complete",
            world.oracle.pending()
        );
        world.tick(false, false);
    }
}

/// Once nothing goes wrong any more, writes succeed again.
fn recover(world: &mut World) {
    let end = world.now + CALM_MS;
    for index in 0..world.writers.len() {
        loop {
            assert!(world.now < end, "writes do not succeed again");
            let now = world.instant();
            let serial = world.writers[index].write(now, &mut world.oracle);
            world.writers[index].flush();
            while serial.is_some_and(|serial| world.oracle.fate(serial) == Fate::Pending) {
                world.tick(false, false);
            }
            if serial.is_some_and(|serial| matches!(world.oracle.fate(serial), Fate::Written(_))) {
                break;
            }
            world.tick(false, false);
        }
    }
}

/// What the operator was told to do is done, or will never be.
fn finish_tasks(world: &mut World) {
    let end = world.now + CALM_MS;
    while world.oracle.lives.unsettled().0 > 0 {
        assert!(world.now < end, "the operator's tasks are not answered");
        world.tick(false, false);
    }
    // What is on its way of tasks that nobody waits for arrives.
    let ticks = if world.oracle.lives.unsettled().1 > 0 {
        300
    } else {
        0
    };
    for _ in 0..ticks {
        world.tick(false, false);
    }
}

/// Opens a copy of the disk, as it is after a crash, and compares what is in it with what was said.
fn check_store(world: &mut World, when: &str, death: Death) -> Places {
    let (store, _steps) = match world.store.opened_copy(world.now, death) {
        Ok(opened) => opened,
        Err(error) => panic!("{when}: the store does not open after {death:?}: {error}"),
    };
    let store = Arc::new(store) as Arc<dyn LogStore>;
    let held: Vec<Held> = world
        .streams()
        .iter()
        .map(|stream| read_stream(&store, stream))
        .collect();
    world.oracle.check_streams(when, &held)
}

fn read_stream(store: &Arc<dyn LogStore>, stream: &StreamName) -> Held {
    let mut reader = LogReader::new(Arc::clone(store), stream.clone(), Dlsn::INITIAL);
    let mut held = Held {
        life: life_of(store, stream),
        records: Vec::new(),
    };
    loop {
        match finish(reader.next_available()) {
            Ok(Some(ReadEvent::Record(record))) => {
                held.records.push((record.dlsn, record.payload.to_vec()))
            }
            Ok(Some(ReadEvent::Malformed(set))) => panic!("stream {stream}: {set}"),
            Ok(None) | Err(StoreError::StreamNotFound(_)) => return held,
            Err(error) => panic!("stream {stream}: {error}"),
        }
    }
}

/// What a stepped store shows of a stream.
pub(crate) fn life_of(store: &Arc<dyn LogStore>, stream: &StreamName) -> Option<Life> {
    match finish(store.describe(stream)) {
        Ok(info) => Some(Life {
            created_unix_ms: info.created_unix_ms,
            truncated_before: info.truncated_before,
        }),
        Err(StoreError::StreamNotFound(_)) => None,
        Err(error) => panic!("stream {stream}: {error}"),
    }
}

/// What a future of a stepped store answers: it reads on the caller's thread, and gives others
/// their turn now and then.
fn finish<T>(future: impl Future<Output = T>) -> T {
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

/// The merged reader comes to the end of all streams, and has delivered each record once.
fn read_everything(world: &mut World, places: &Places) {
    let end = world.now + CALM_MS;
    // A merged reader begins when all its streams are there, and some may never have been written
    // to.
    while !world.store.is_up() {
        world.tick(false, false);
    }
    world.create_streams();
    while !world.reader.has_delivered(places) && world.now < end {
        for _ in 0..20 {
            world.tick(false, false);
        }
    }
    // A copy too many would come now.
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
        .check_delivered(&world.reader.delivered(), places);
}

/// When all is done, nothing is held any more.
fn check_rest(world: &mut World) {
    // What was given up is answered all the same, or its connection counts as dead.
    let end = world.now + CALM_MS;
    // Each of two proxies may be asked for its health just now.
    let is_idle =
        |[bytes, sets, requests, calls]: [usize; 4]| bytes + sets + requests == 0 && calls <= 2;
    while !world.writers.iter().all(|writer| is_idle(writer.load()))
        || world.proxies.iter().any(|proxy| proxy.load().requests > 0)
    {
        let writers: Vec<_> = world.writers.iter().map(WriterMachine::load).collect();
        let proxies: Vec<_> = world.proxies.iter().map(ProxyMachine::load).collect();
        assert!(
            world.now < end,
            "R7: at rest, writers hold bytes, sets, requests, places on connections {writers:?}; \
             proxies hold {proxies:?}"
        );
        world.tick(false, false);
    }
    for proxy in &world.proxies {
        let ProxyLoad {
            streams,
            requests,
            bytes,
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
