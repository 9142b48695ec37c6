//! What many writers in one process cost: memory and processor time of each, made, after one record
//! each, and after 1,000 records each; against a `dlog proxy --data`.
//!
//! `cargo bench -p distributedlog-tests --bench writers`. The folder of the store is made below the
//! current folder, or below `DLOG_BENCH_FOLDER`.

use std::process::Command;

use distributedlog_tests::bench_folder::bench_folder;
use distributedlog_tests::limits::raise_open_files;
use distributedlog_tests::memory::kib;
use distributedlog_tests::processor;
use distributedlog_tests::stack::{Proxy, STREAMS, StoreOf};
use distributedlog_tokio::MultiStreamWriter;

/// Numbers of writers.
const WRITERS: [usize; 3] = [1, 100, 1_000];
const RECORD: [u8; 100] = [b'r'; 100];
/// Records that each writer writes at last, in batches of this many.
const RECORDS: usize = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    if let [mode, proxy, writers] = &arguments[..]
        && mode == "write"
    {
        let writers = writers.parse().expect("a number of writers");
        runtime.block_on(child(proxy, writers));
    } else {
        runtime.block_on(parent());
    }
}

async fn parent() {
    let folder = bench_folder("writers");
    let proxy = Proxy::start(StoreOf::In(folder.path()), 0, &[]).await;
    println!(
        "| writers | CPU ms each | KiB each, made | after one record | after 1,000 at once \
         | MiB of all at most |"
    );
    println!("|--:|--:|--:|--:|--:|--:|");
    for writers in WRITERS {
        let program = std::env::current_exe().expect("the benchmark's own path");
        // Blocks a thread of two; the proxy is another process.
        let status = Command::new(program)
            .args(["write", &proxy.name(), &writers.to_string()])
            .status();
        assert!(status.expect("it starts").success(), "{writers} failed");
    }
}

async fn child(proxy: &str, count: usize) {
    let files = count as u64 + 64;
    assert!(raise_open_files(files) >= files, "a file for each writer");
    let (cpu, memory) = (processor::own_time(), resident_kib());
    let mut writers = Vec::with_capacity(count);
    for _ in 0..count {
        let writer = MultiStreamWriter::builder(STREAMS).proxies(proxy);
        writers.push(writer.build().await.expect("the proxy answers"));
    }
    let cpu = processor::own_time() - cpu;
    let each = |kib: u64| (kib - memory) / count as u64;
    let made = each(resident_kib());
    for writer in &writers {
        writer.write(&RECORD).await.expect("written");
    }
    let written = each(resident_kib());
    for writer in &writers {
        let results = writer.write_batch((0..RECORDS).map(|_| RECORD)).await;
        assert!(results.iter().all(Result::is_ok), "written");
    }
    let busy = each(resident_kib());
    println!(
        "| {count} | {:.2} | {made} | {written} | {busy} | {} |",
        cpu.as_secs_f64() * 1e3 / count as f64,
        kib(std::process::id(), "VmHWM") / 1024
    );
    for writer in writers {
        writer.close().await;
    }
}

fn resident_kib() -> u64 {
    kib(std::process::id(), "VmRSS")
}
