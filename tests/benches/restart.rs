//! A write proxy that is killed or asked to end, and started again, under writers with different
//! request timeouts: how many writes fail with each, and for how long none succeeds.
//!
//! `cargo bench -p distributedlog-tests --bench restart`. Each writer writes records of 100 bytes
//! at a fixed rate, whether earlier ones are answered or not, as independent users do. The folders
//! are made below the current folder, or below `DLOG_BENCH_FOLDER`.

use core::time::Duration;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use distributedlog::WriteState;
use distributedlog::writer::{Settings, WriteResult};
use distributedlog_store::uri::Uri;
use distributedlog_tests::bench_folder::bench_folder;
use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::stack::{Local, Proxy, StoreOf};
use distributedlog_tokio::MultiStreamWriter;
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

const TIMEOUTS_MS: [u64; 6] = [500, 1_000, 2_000, 5_000, 10_000, 30_000];
const STREAMS: usize = 5;
/// Time between two records of a writer: 20 a second.
const PAUSE: Duration = Duration::from_millis(50);
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(5);
const RECORD: [u8; 100] = [b'r'; 100];

/// What happens to the proxy.
#[derive(Clone, Copy)]
struct Restart {
    name: &'static str,
    signal: Signal,
    /// Time between its end and its start: that of a supervisor, or of a machine.
    down: Duration,
    /// Bytes in its store before.
    filled: usize,
}

/// Results of one writer.
#[derive(Default)]
struct Results {
    written: usize,
    not_written: usize,
    unknown: usize,
    last_written: Option<Instant>,
    longest_gap: Duration,
    longest_write: Duration,
}

impl Results {
    fn add(&mut self, began: Instant, result: &WriteResult) {
        let now = Instant::now();
        match result {
            Ok(_) => {
                self.written += 1;
                let gap = self.last_written.map_or(Duration::ZERO, |last| now - last);
                self.longest_gap = self.longest_gap.max(gap);
                self.longest_write = self.longest_write.max(now - began);
                self.last_written = Some(now);
            }
            Err(error) if error.known == WriteState::Unknown => self.unknown += 1,
            Err(_) => self.not_written += 1,
        }
    }
}

async fn writer(proxies: &str, timeout: Duration) -> MultiStreamWriter {
    let streams = (0..STREAMS).map(|index| format!("restart-{index}"));
    MultiStreamWriter::builder(streams)
        .proxies(proxies)
        .request_timeout(timeout)
        .build()
        .await
        .expect("a proxy answers")
}

/// Writes at a fixed rate until `until`, and waits for all results.
async fn write(writer: MultiStreamWriter, until: Instant) -> Results {
    let results = Arc::new(Mutex::new(Results::default()));
    let mut writes = JoinSet::new();
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while Instant::now() < until {
        ticks.tick().await;
        let (writer, results) = (writer.clone(), Arc::clone(&results));
        writes.spawn(async move {
            let began = Instant::now();
            let result = writer.write(&RECORD).await;
            results.lock().expect("no panic").add(began, &result);
        });
        // Bounded: results are taken as they come.
        while writes.try_join_next().is_some() {}
    }
    writes.join_all().await;
    writer.close().await;
    Arc::into_inner(results)
        .expect("all writes have ended")
        .into_inner()
        .expect("no panic")
}

/// Fills the store in large sets.
async fn fill(proxies: &str, bytes: usize) {
    let settings = Settings::builder()
        .buffer_size(1 << 18)
        .request_timeout(Duration::from_secs(60));
    let writer = MultiStreamWriter::builder(["restart-0"])
        .proxies(proxies)
        .settings(settings)
        .build()
        .await
        .expect("a proxy answers");
    let record = vec![b'f'; 1 << 16];
    for _ in 0..bytes / record.len() {
        let accepted = writer.submit(&record).await.expect("it is open");
        drop(accepted);
    }
    writer.close().await;
}

fn begin(proxies: &str, until: Instant) -> JoinSet<(u64, Results)> {
    let mut writers = JoinSet::new();
    for timeout in TIMEOUTS_MS {
        let proxies = proxies.to_owned();
        writers.spawn(async move {
            let writer = writer(&proxies, Duration::from_millis(timeout)).await;
            (timeout, write(writer, until).await)
        });
    }
    writers
}

async fn report(writers: JoinSet<(u64, Results)>) {
    let mut rows = writers.join_all().await;
    rows.sort_by_key(|(timeout, _)| *timeout);
    println!(
        "| request timeout | written | not written | unknown | longest write | none written for |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    for (timeout, results) in rows {
        println!(
            "| {timeout} ms | {} | {} | {} | {} ms | {} ms |",
            results.written,
            results.not_written,
            results.unknown,
            results.longest_write.as_millis(),
            results.longest_gap.as_millis(),
        );
    }
    println!();
}

/// The only proxy, with its store.
async fn alone(restart: Restart) {
    let (folder, port) = (bench_folder("restart"), ReservedPort::new());
    let store = StoreOf::In(folder.path());
    let proxy = Proxy::start(store, port.number(), &[]).await;
    let name = proxy.name();
    fill(&name, restart.filled).await;
    let until = Instant::now() + BEFORE + restart.down + AFTER;
    let writers = begin(&name, until);
    sleep(BEFORE).await;
    let began = Instant::now();
    proxy.process.signal(restart.signal);
    let _ = proxy.process.until_exit().await;
    let ended = began.elapsed();
    sleep(restart.down).await;
    let _again = Proxy::start(store, port.number(), &[]).await;
    println!(
        "{}: gone after {} ms, listens again after {} ms",
        restart.name,
        ended.as_millis(),
        began.elapsed().as_millis()
    );
    report(writers).await;
}

/// One of two proxies over the same store, which is not started again.
async fn one_of_two(signal: Signal, name: &str) {
    let folder = bench_folder("restart");
    let local = Local::start(folder.path(), 0).await;
    let uri: Uri = local.uri();
    let (first, second) = (ReservedPort::new(), ReservedPort::new());
    let victim = Proxy::start(StoreOf::At(&uri), first.number(), &[]).await;
    let _other = Proxy::start(StoreOf::At(&uri), second.number(), &[]).await;
    let proxies = format!("inet!{},127.0.0.1:{}", victim.address, second.number());
    let writers = begin(&proxies, Instant::now() + BEFORE + AFTER);
    sleep(BEFORE).await;
    let began = Instant::now();
    victim.process.signal(signal);
    let _ = victim.process.until_exit().await;
    println!("{name}: gone after {} ms", began.elapsed().as_millis());
    report(writers).await;
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let second = Duration::from_secs(1);
    let restarts = [
        ("kill -9", Signal::KILL, Duration::ZERO, 0),
        ("SIGTERM", Signal::TERM, Duration::ZERO, 0),
        (
            "kill -9, 1 GiB stored",
            Signal::KILL,
            Duration::ZERO,
            1 << 30,
        ),
        (
            "SIGTERM, 1 GiB stored",
            Signal::TERM,
            Duration::ZERO,
            1 << 30,
        ),
        ("kill -9, down for 1 s", Signal::KILL, second, 0),
        ("kill -9, down for 3 s", Signal::KILL, 3 * second, 0),
        ("kill -9, down for 10 s", Signal::KILL, 10 * second, 0),
    ];
    runtime.block_on(async {
        for (name, signal, down, filled) in restarts {
            alone(Restart {
                name,
                signal,
                down,
                filled,
            })
            .await;
        }
        one_of_two(Signal::KILL, "kill -9 of one of two proxies").await;
        one_of_two(Signal::TERM, "SIGTERM to one of two proxies").await;
    });
}
