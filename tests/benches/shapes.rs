//! The shapes that programs have which write many records: each in a process of its own, against a
//! `dlog proxy --data`, with records per second, processor time and the peak of memory.
//!
//! `cargo bench -p distributedlog-tests --bench shapes`. The folder of the store is made below the
//! current folder, or below `DLOG_BENCH_FOLDER`.

use core::time::Duration;
use std::collections::VecDeque;
use std::process::Command;
use std::time::Instant;

use distributedlog::writer::Settings;
use distributedlog_tests::bench_folder::bench_folder;
use distributedlog_tests::memory::kib;
use distributedlog_tests::processor;
use distributedlog_tests::stack::{Proxy, STREAMS, StoreOf};
use distributedlog_tokio::MultiStreamWriter;
use futures_util::{SinkExt, StreamExt, stream};
use tokio::task::JoinSet;

/// Shapes, and the number of records of each.
const SHAPES: [(&str, usize); 5] = [
    ("held", 1_000_000),
    ("await", 5_000_000),
    ("submit", 5_000_000),
    ("batch", 5_000_000),
    ("sink", 5_000_000),
];
const RECORD: [u8; 100] = [b'r'; 100];
const TASKS: usize = 1_000;
/// Acknowledgements that `submit` and `sink` hold at most.
const HELD: usize = 8_192;
const BATCH: usize = 10_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    if let [mode, proxy, shape, count] = &arguments[..]
        && mode == "write"
    {
        let count = count.parse().expect("a number of records");
        runtime.block_on(child(proxy, shape, count));
    } else {
        runtime.block_on(parent());
    }
}

async fn parent() {
    let folder = bench_folder("shapes");
    let proxy = Proxy::start(StoreOf::In(folder.path()), 0, &[]).await;
    println!("| shape | records | records/s | a second of CPU time | MB resident at most |");
    println!("|---|--:|--:|--:|--:|");
    for (shape, count) in SHAPES {
        let program = std::env::current_exe().expect("the benchmark's own path");
        let (name, count) = (proxy.name(), count.to_string());
        // Blocks a thread of two; the proxy is another process.
        let status = Command::new(program)
            .args(["write", &name, shape, &count])
            .status();
        assert!(status.expect("it starts").success(), "{shape} failed");
    }
}

async fn child(proxy: &str, shape: &str, count: usize) {
    let writer = MultiStreamWriter::builder(STREAMS)
        .proxies(proxy)
        .settings(Settings::builder().request_timeout(Duration::from_secs(60)))
        .build()
        .await
        .expect("the proxy answers");
    writer.write(&RECORD).await.expect("written");
    let (began, cpu) = (Instant::now(), processor::own_time().as_secs_f64());
    match shape {
        "held" => held(&writer, count).await,
        "await" => awaited(&writer, count).await,
        "submit" => submitted(&writer, count).await,
        "batch" => batches(&writer, count).await,
        "sink" => sunk(&writer, count).await,
        other => panic!("there is no shape {other}"),
    }
    let (took, cpu) = (
        began.elapsed().as_secs_f64(),
        processor::own_time().as_secs_f64() - cpu,
    );
    let written = writer.counters().records_written;
    assert_eq!(written, count as u64 + 1, "each record is written");
    writer.close().await;
    println!(
        "| {shape} | {count} | {:.0} | {:.0} | {} |",
        count as f64 / took,
        count as f64 / cpu,
        kib(std::process::id(), "VmHWM") / 1024
    );
}

/// Takes every record before it awaits the first result.
async fn held(writer: &MultiStreamWriter, count: usize) {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(writer.submit(&RECORD).await.expect("open"));
    }
    for acknowledgement in held {
        acknowledgement.await.expect("written");
    }
}

/// A thousand tasks, each of which awaits its write.
async fn awaited(writer: &MultiStreamWriter, count: usize) {
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let writer = writer.clone();
        tasks.spawn(async move {
            for _ in 0..count / TASKS {
                writer.write(&RECORD).await.expect("written");
            }
        });
    }
    tasks.join_all().await;
}

/// One task that awaits the oldest result when it holds many.
async fn submitted(writer: &MultiStreamWriter, count: usize) {
    let mut held = VecDeque::with_capacity(HELD);
    for _ in 0..count {
        if held.len() == HELD {
            let oldest: distributedlog_tokio::Acknowledgement = held.pop_front().expect("full");
            oldest.await.expect("written");
        }
        held.push_back(writer.submit(&RECORD).await.expect("open"));
    }
    for acknowledgement in held {
        acknowledgement.await.expect("written");
    }
}

/// Batches, one after the other.
async fn batches(writer: &MultiStreamWriter, count: usize) {
    for _ in 0..count / BATCH {
        let results = writer.write_batch((0..BATCH).map(|_| RECORD)).await;
        assert!(results.iter().all(Result::is_ok), "written");
    }
}

/// A stream that is forwarded into the sink.
async fn sunk(writer: &MultiStreamWriter, count: usize) {
    let records = stream::iter((0..count).map(|_| Ok(RECORD)));
    let mut sink = writer.sink(HELD);
    records.forward(&mut sink).await.expect("written");
    SinkExt::<[u8; 100]>::flush(&mut sink)
        .await
        .expect("written");
}
