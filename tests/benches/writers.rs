//! What many writers in one process cost: memory and processor time of each, made, after one record
//! each, after 1,000 records each, and after they were idle; with connections of their own and over
//! one shared client; against a `dlog proxy --data`.
//!
//! `cargo bench -p distributedlog-tests --bench writers`. The folder of the store is made below the
//! current folder, or below `DLOG_BENCH_FOLDER`.

use core::time::Duration;
use std::fs;
use std::process::Command;
use std::time::Instant;

use distributedlog_tests::bench_folder::bench_folder;
use distributedlog_tests::limits::raise_open_files;
use distributedlog_tests::memory::kib;
use distributedlog_tests::processor;
use distributedlog_tests::stack::{Proxy, STREAMS, StoreOf};
use distributedlog_tokio::{MultiStreamWriter, ProxyClient};
use tokio::task::JoinSet;

/// Numbers of writers.
const WRITERS: [usize; 3] = [1, 100, 1_000];
const RECORD: [u8; 100] = [b'r'; 100];
/// Records that each writer writes at last, in batches of this many.
const RECORDS: usize = 1_000;
/// Records that are written at the same time by all writers together, in batches of [`RECORDS`].
const AT_ONCE: usize = 1_000_000;
/// Longer than the time after which an idle writer frees its memory.
const IDLE: Duration = Duration::from_secs(15);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    if let [mode, proxy, writers] = &arguments[..]
        && let Some(mode) = Mode::ALL.into_iter().find(|it| it.name() == mode)
    {
        let writers = writers.parse().expect("a number of writers");
        runtime.block_on(child(mode, proxy, writers));
    } else {
        runtime.block_on(parent());
    }
}

/// Connections of the writers.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Own,
    Shared,
}

impl Mode {
    const ALL: [Self; 2] = [Self::Own, Self::Shared];

    const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Shared => "shared",
        }
    }
}

async fn parent() {
    let folder = bench_folder("writers");
    let proxy = Proxy::start(StoreOf::In(folder.path()), 0, &[]).await;
    println!(
        "| client | writers | CPU ms each | sockets in all | KiB each, made | after one record \
         | after 1,000 at once | idle since | records a second | MiB of all at most |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for writers in WRITERS {
        for mode in Mode::ALL {
            let program = std::env::current_exe().expect("the benchmark's own path");
            // Blocks a thread of two; the proxy is another process.
            let status = Command::new(program)
                .args([mode.name(), &proxy.name(), &writers.to_string()])
                .status();
            assert!(status.expect("it starts").success(), "{writers} failed");
        }
    }
}

/// Makes the writers.
async fn make(mode: Mode, proxy: &str, count: usize) -> Vec<MultiStreamWriter> {
    let client = match mode {
        Mode::Own => None,
        Mode::Shared => {
            let builder = ProxyClient::builder().proxies(proxy);
            Some(builder.build().await.expect("the proxy answers"))
        }
    };
    let mut writers = Vec::with_capacity(count);
    for _ in 0..count {
        let builder = MultiStreamWriter::builder(STREAMS);
        let builder = match &client {
            None => builder.proxies(proxy),
            Some(client) => builder.shared_client(client.clone()),
        };
        writers.push(builder.build().await.expect("the proxy answers"));
    }
    writers
}

async fn child(mode: Mode, proxy: &str, count: usize) {
    let files = count as u64 + 64;
    assert!(raise_open_files(files) >= files, "a file for each writer");
    let (cpu, memory) = (processor::own_time(), resident_kib());
    let writers = make(mode, proxy, count).await;
    let cpu = processor::own_time() - cpu;
    let each = |kib: u64| kib.saturating_sub(memory) / count as u64;
    let (made, sockets) = (each(resident_kib()), sockets());
    for writer in &writers {
        writer.write(&RECORD).await.expect("written");
    }
    let written = each(resident_kib());
    for writer in &writers {
        write_batch(writer).await;
    }
    let busy = each(resident_kib());
    tokio::time::sleep(IDLE).await;
    let idle = each(resident_kib());
    let (rate, highest) = (rate(&writers).await, kib(std::process::id(), "VmHWM"));
    println!(
        "| {} | {count} | {:.2} | {sockets} | {made} | {written} | {busy} | {idle} | {rate:.0} \
         | {} |",
        mode.name(),
        cpu.as_secs_f64() * 1e3 / count as f64,
        highest / 1024
    );
    for writer in writers {
        writer.close().await;
    }
}

async fn write_batch(writer: &MultiStreamWriter) {
    let results = writer.write_batch((0..RECORDS).map(|_| RECORD)).await;
    assert!(results.iter().all(Result::is_ok), "written");
}

/// Returns the records a second that all writers write at the same time.
async fn rate(writers: &[MultiStreamWriter]) -> f64 {
    let batches = AT_ONCE / RECORDS / writers.len();
    let (began, mut tasks) = (Instant::now(), JoinSet::new());
    for writer in writers {
        let writer = writer.clone();
        tasks.spawn(async move {
            for _ in 0..batches {
                write_batch(&writer).await;
            }
        });
    }
    tasks.join_all().await;
    (batches * RECORDS * writers.len()) as f64 / began.elapsed().as_secs_f64()
}

/// Returns the number of sockets that this process has open.
fn sockets() -> usize {
    let files = fs::read_dir("/proc/self/fd").expect("Linux");
    let links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    links
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}

fn resident_kib() -> u64 {
    kib(std::process::id(), "VmRSS")
}
