//! The whole path from a writer to the disk and back: this process writes over loopback to a `dlog
//! proxy` of another process, which keeps its store in a folder. With each figure come the
//! limits of the machine in the same run: the disk's own fdatasync, and the same bytes echoed by a
//! process that does nothing else.
//!
//! `cargo bench -p distributedlog-tests --bench path`. The store's folder is made below the current
//! folder, or below `DLOG_BENCH_FOLDER`: a folder in memory would measure nothing.

use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput};
use distributedlog_tests::bench_folder::bench_folder;
use distributedlog_tests::path_writer::{PathWriter, RECORD_BYTES, patient};
use distributedlog_tests::stack::{Proxy, StoreOf};

fn main() {
    if let Ok(size) = std::env::var("DLOG_BENCH_ECHO") {
        return echo(size.parse().expect("set by this program"));
    }
    let mut criterion = Criterion::default()
        .configure_from_args()
        .measurement_time(Duration::from_secs(8))
        .sample_size(10);
    disk_limit(&mut criterion);
    loopback_limit(&mut criterion);
    path(&mut criterion);
    criterion.final_summary();
}

/// The disk alone: one write and one fdatasync after the other, into preallocated space.
fn disk_limit(criterion: &mut Criterion) {
    let folder = bench_folder("path");
    let mut group = criterion.benchmark_group("limit: write + fdatasync");
    for bytes in [128, 16 * 1024, 256 * 1024] {
        let file =
            std::fs::File::create(folder.path().join("file")).expect("the folder can be written");
        file.write_all_at(&vec![0; 64 << 20], 0)
            .expect("64 MiB fit the disk");
        file.sync_all().expect("the disk syncs");
        let block = vec![7; bytes];
        let mut at = 0;
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter(|| {
                file.write_all_at(&block, at).expect("the space is there");
                file.sync_data().expect("the disk syncs");
                at = (at + bytes as u64) % (63 << 20);
            });
        });
    }
}

/// A process that sends every `size` bytes back: the cost of two processes and the kernel without
/// dlog.
fn echo(size: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    println!("{}", listener.local_addr().expect("it is bound"));
    let (mut stream, _) = listener.accept().expect("the parent connects");
    stream.set_nodelay(true).expect("a TCP socket");
    let mut buffer = vec![0; size];
    while stream.read_exact(&mut buffer).is_ok() && stream.write_all(&buffer).is_ok() {}
}

struct Echo {
    process: Child,
    stream: TcpStream,
}

impl Echo {
    fn start(size: usize) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program has a path"))
            .env("DLOG_BENCH_ECHO", size.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let mut address = String::new();
        let mut byte = [0];
        let stdout = process.stdout.as_mut().expect("it is piped");
        while stdout
            .read(&mut byte)
            .expect("the child prints its address")
            == 1
            && byte[0] != b'\n'
        {
            address.push(byte[0].into());
        }
        let stream = TcpStream::connect(address).expect("the child listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Self { process, stream }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn loopback_limit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit: TCP echo");
    for bytes in [RECORD_BYTES, 16 * 1024] {
        let mut echo = Echo::start(bytes);
        let block = vec![7; bytes];
        let mut answer = vec![0; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("round trip", bytes), |bencher| {
            bencher.iter(|| {
                echo.stream.write_all(&block).expect("the child reads");
                echo.stream
                    .read_exact(&mut answer)
                    .expect("the child answers");
            });
        });
    }
    // The bytes of 1,500,000 records one way, in sets, as a proxy receives them.
    let set = 16 * 1024;
    let mut echo = Echo::start(set);
    let mut reader = echo.stream.try_clone().expect("a socket has two ends");
    group.throughput(Throughput::Elements((set / RECORD_BYTES) as u64));
    group.bench_function(
        "records of 100 bytes in sets of 16 KiB, echoed",
        |bencher| {
            bencher.iter_custom(|sets| {
                let began = Instant::now();
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        let mut answer = vec![0; set];
                        for _ in 0..sets {
                            reader.read_exact(&mut answer).expect("the child answers");
                        }
                    });
                    let block = vec![7; set];
                    for _ in 0..sets {
                        echo.stream.write_all(&block).expect("the child reads");
                    }
                });
                began.elapsed()
            });
        },
    );
}

fn path(criterion: &mut Criterion) {
    let folder = bench_folder("path");
    // The proxy's own process; this runtime only hears what it prints.
    let watch = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("the system has epoll");
    let proxy = watch.block_on(Proxy::start(StoreOf::In(folder.path()), 0, &[]));

    let mut group = criterion.benchmark_group("path");
    group.throughput(Throughput::Elements(1));
    let bench = PathWriter::new(&proxy, patient().buffer_size(16 * 1024));
    for in_flight in [1024, 8192] {
        group.bench_function(
            BenchmarkId::new("records, sets of 16 KiB, in flight", in_flight),
            |bencher| {
                bencher.iter_custom(|count| bench.write(count, in_flight));
            },
        );
    }
    let bench = PathWriter::new(&proxy, patient().buffer_size(0));
    for in_flight in [1, 64, 512, 1024] {
        group.bench_function(
            BenchmarkId::new("records, each a set, in flight", in_flight),
            |bencher| {
                bencher.iter_custom(|count| bench.write(count, in_flight));
            },
        );
    }
    group.finish();
    latencies(&bench);
}

/// The latency of one record at a time, as percentiles: criterion shows means.
fn latencies(bench: &PathWriter) {
    let mut micros: Vec<u128> = (0..5_000).map(|_| bench.write(1, 1).as_micros()).collect();
    micros.sort_unstable();
    let at = |share: usize| micros[micros.len() * share / 1000];
    println!(
        "one record at a time: p50 {} µs, p90 {} µs, p99 {} µs, p99.9 {} µs",
        at(500),
        at(900),
        at(990),
        at(999)
    );
}
