//! Core's async writer on another runtime than tokio: smol polls the writer, its timers and its
//! connections. tokio starts the processes beside it, nothing else.

#[path = "smol/adapter.rs"]
mod adapter;

use core::time::Duration;
use std::sync::{Arc, Mutex};

use adapter::{SmolClock, TcpTransport};
use distributedlog::Clock;
use distributedlog::async_writer::{HeapSlots, MultiStreamWriter, State};
use distributedlog::writer::{Heap, Settings, StreamCount, Writer};
use distributedlog_tests::process::STEP_TIMEOUT;
use distributedlog_tests::records::{Acknowledged, assert_read_back};
use distributedlog_tests::stack::{Local, Proxy, StoreOf};
use rustix::process::Signal;

/// Streams of the proxy that stalls, and of the other one.
const STALLS: [&str; 2] = ["smol-1", "smol-2"];
const ANSWERS: [&str; 2] = ["smol-3", "smol-4"];
const HEDGE_AFTER: Duration = Duration::from_millis(100);
/// Records that are written at once, and one after the other while a proxy stalls.
const AT_ONCE: usize = 500;
const ONE_BY_ONE: usize = 20;

type Handle = MultiStreamWriter<Arc<Mutex<State<Heap, HeapSlots, SmolClock>>>>;

/// A writer whose runner is a task of smol's.
async fn writer(proxies: [&Proxy; 2]) -> Handle {
    let clock = SmolClock::new();
    let of = |streams: [&'static str; 2], proxy: &Proxy| streams.map(|each| (each, proxy.address));
    let streams = [of(STALLS, proxies[0]), of(ANSWERS, proxies[1])].concat();
    let transport = TcpTransport::connect(clock, &streams).await;
    let transport = transport.expect("both proxies listen");
    let settings = Settings::builder()
        .request_timeout(STEP_TIMEOUT)
        .first_speculative_timeout(HEDGE_AFTER)
        .build()
        .expect("200 ms are below it");
    let count = StreamCount::new(streams.len()).expect("four");
    let machine = Writer::new(settings, count, Heap::new(&settings, count)).expect("heap grows");
    let slots = HeapSlots::new();
    let state = Arc::new(Mutex::new(State::new(machine, slots, clock)));
    let (writer, runner) = MultiStreamWriter::new(state, transport);
    smol::spawn(runner.run()).detach();
    writer
}

/// Writes a record, and returns it with its position.
async fn write(writer: &Handle, payload: String) -> Acknowledged {
    let written = writer.write(payload.as_bytes()).await;
    let written = written.unwrap_or_else(|error| panic!("{payload}: {error}"));
    let stream = [STALLS, ANSWERS].concat()[usize::from(written.stream.0)];
    Acknowledged {
        stream: stream.to_owned(),
        dlsn: written.dlsn,
        payload: payload.into_bytes(),
    }
}

/// Waits until a process has stopped: a signal takes a moment.
async fn until_stopped(id: u32) {
    let is_stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("Linux");
        // The state follows the name, which is in parentheses.
        stat.rsplit(')').next().expect("the name").starts_with(" T")
    };
    let began = std::time::Instant::now();
    while !is_stopped() {
        assert!(began.elapsed() < STEP_TIMEOUT, "it was not stopped");
        smol::future::yield_now().await;
    }
}

#[test]
fn a_writer_on_smol_writes_and_its_hedges_win_while_a_proxy_is_frozen() {
    let folder = tempfile::tempdir().expect("a folder");
    let processes = tokio::runtime::Runtime::new().expect("threads");
    let (local, frozen, other) = processes.block_on(async {
        let local = Local::start(folder.path(), 0).await;
        let store = local.uri();
        let frozen = Proxy::start(StoreOf::At(&store), 0, &[]).await;
        let other = Proxy::start(StoreOf::At(&store), 0, &[]).await;
        (local, frozen, other)
    });
    let acknowledged = smol::block_on(async {
        let writer = writer([&frozen, &other]).await;
        let tasks: Vec<_> = (0..AT_ONCE)
            .map(|index| {
                let writer = writer.clone();
                smol::spawn(async move { write(&writer, format!("at once {index}")).await })
            })
            .collect();
        let mut acknowledged = Vec::new();
        for task in tasks {
            acknowledged.push(task.await);
        }
        let before = writer.counters();
        assert_eq!(before.records_written, AT_ONCE as u64);

        frozen.process.signal(Signal::STOP);
        until_stopped(frozen.process.id().expect("it runs")).await;
        let clock = SmolClock::new();
        for index in 0..ONE_BY_ONE {
            let written = write(&writer, format!("while it is frozen {index}")).await;
            assert!(ANSWERS.contains(&written.stream.as_str()), "{written:?}");
            acknowledged.push(written);
        }
        let counters = writer.counters();
        println!(
            "{ONE_BY_ONE} records while a proxy of two is frozen: {:?}, {} hedges, {} won",
            clock.now().since(distributedlog::Instant::ZERO),
            counters.hedges_sent - before.hedges_sent,
            counters.hedges_won - before.hedges_won
        );
        assert!(counters.hedges_won > before.hedges_won, "{counters:?}");
        frozen.process.signal(Signal::CONT);
        writer.close().await;
        assert!(writer.is_closed());
        acknowledged
    });
    processes.block_on(async {
        let store = local.connect().await;
        let held = assert_read_back(&store, &acknowledged).await;
        println!("{} acknowledged, {held} held", acknowledged.len());
    });
    // The processes end with their handles, inside the runtime that has started them.
    let _inside = processes.enter();
    drop((local, frozen, other));
}
