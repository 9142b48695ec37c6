//! Reading from the start: what the file gives sequentially through the page cache, the store's own
//! reads, the readers of the library, a proxy's HTTP port, and commands, in turns.
//!
//! `cargo bench -p distributedlog-tests --bench read`. `DLOG_READ_MB` (256) is the size of each
//! journal, `DLOG_READ_ROUNDS` (5) the number of turns; `DLOG_READ_ONLY=merged` leaves out what is
//! not of several streams. The folder is made below the current
//! folder, or below `DLOG_BENCH_FOLDER`. Rates are medians of the rounds; MB are those of the
//! entries, with their headers, and `of the file` compares with the row `file` of the same run. On
//! a busy machine look at the last column: it is the processor time of this process, without that
//! of the commands.

use core::hint::black_box;
use core::net::SocketAddr;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::record_set::{RecordSetBuilder, SetIdentity, WriterId};
use distributedlog_proxy::{Proxy, RunningProxy};
use distributedlog_reader::{
    HttpSource, LogReader, MergeSettings, MultiReader, MultiStreamReader, ReadEvent, RunEvent,
    Source,
};
use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
use distributedlog_store::remote::{ClientSettings, RemoteStore, ServerSettings, serve};
use distributedlog_store::uri::Uri;
use distributedlog_store::{
    Acquired, Entry, EntryRecord, Lease, LogStore, Owner, ReadLimit, StreamName,
};
use distributedlog_tests::bench_folder::bench_folder;
use distributedlog_tests::{binary, processor};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const RECORD_BYTES: usize = 100;
const STREAMS: usize = 5;
/// Entries that are appended at once.
const IN_FLIGHT: usize = 64;

/// Entries of a journal.
#[derive(Clone, Copy)]
enum Entries {
    /// Sets of 16 KiB of records of 100 bytes, as a writer makes them.
    Sets,
    /// One record of this size each.
    Single(usize),
}

impl Entries {
    /// Returns an entry, with an identity of its own if it is a set.
    fn entry(self, number: u64) -> EntryRecord {
        match self {
            Self::Single(size) => EntryRecord {
                payload: vec![7; size].into(),
                slots: 1,
                is_record_set: false,
            },
            Self::Sets => {
                let mut buffer = vec![0; 16 << 10];
                let mut builder = RecordSetBuilder::new(buffer.len(), true);
                let mut slots = 0;
                while builder.append(&mut buffer, &[7; RECORD_BYTES]).is_ok() {
                    slots += 1;
                }
                let identity = SetIdentity {
                    writer: WriterId([1; 16]),
                    sequence: number,
                };
                let set = builder.finish(&mut buffer, Some(&identity));
                EntryRecord {
                    payload: Bytes::copy_from_slice(set),
                    slots,
                    is_record_set: true,
                }
            }
        }
    }
}

/// A journal that was written.
struct Written {
    store: Arc<dyn LogStore>,
    streams: Vec<StreamName>,
    records: u64,
    /// Bytes of the entries, with their headers.
    bytes: u64,
    folder: tempfile::TempDir,
}

async fn lease(store: &EmbeddedStore, name: &StreamName) -> Lease {
    store.create(name).await.expect("the store is new");
    let owner = Owner {
        shard: 1,
        address: "127.0.0.1:8000".to_owned(),
    };
    match store.acquire(name, &owner).await {
        Ok(Acquired::Granted(lease)) => lease,
        other => panic!("{other:?}"),
    }
}

impl Written {
    /// Writes `bytes` to `streams` streams, in turn.
    async fn new(entries: Entries, streams: usize, bytes: usize) -> Self {
        let folder = bench_folder("read");
        let store = EmbeddedStore::open(EmbeddedSettings::new(folder.path())).expect("it opens");
        let names: Vec<StreamName> = (0..streams)
            .map(|number| format!("basic-stream-{number}").parse().expect("a name"))
            .collect();
        let mut leases = Vec::new();
        for name in &names {
            leases.push(lease(&store, name).await);
        }
        let (mut records, mut written, mut number) = (0, 0, 0);
        while written < bytes {
            let mut waiting = Vec::new();
            for _ in 0..IN_FLIGHT {
                let record = entries.entry(number);
                records += u64::from(record.slots);
                written += record.payload.len() + 56;
                let (done, result) = oneshot::channel();
                let entry = Entry {
                    records: vec![record],
                };
                let lease = &leases[usize::try_from(number).expect("64 bits") % streams];
                let done = Box::new(move |result| drop(done.send(result)));
                store.append(lease, entry, done);
                waiting.push(result);
                number += 1;
            }
            for result in waiting {
                let appended = result.await.expect("the store answers");
                appended.expect("the disk takes it");
            }
        }
        Self {
            store: Arc::new(store),
            streams: names,
            records,
            bytes: written as u64,
            folder,
        }
    }
}

/// Returns the volumes of a journal.
fn volumes(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).expect("the store's folder");
    let paths = files.map(|file| file.expect("a file").path());
    let mut volumes: Vec<PathBuf> = paths
        .filter(|path| path.to_string_lossy().contains("volume"))
        .collect();
    volumes.sort();
    assert!(!volumes.is_empty(), "no volumes in {}", folder.display());
    volumes
}

/// Where the bytes of the files go.
#[derive(Clone, Copy, PartialEq)]
enum Memory {
    /// Into one buffer, which stays in the processor's cache.
    OneBuffer,
    /// Into memory of its own for each read, as of a reader that hands out what it read.
    New,
    /// The same, and its checksum, which a reader must compare.
    NewAndChecked,
}

/// Reads this number of bytes from the volumes, a mebibyte at a time. Returns the number.
fn read_files(folder: &Path, bytes: u64, memory: Memory) -> u64 {
    let mut buffer = vec![0; 1 << 20];
    let mut left = bytes;
    for path in volumes(folder) {
        let mut file = File::open(path).expect("a volume").take(left);
        loop {
            if memory != Memory::OneBuffer {
                buffer = black_box(vec![0; 1 << 20]);
            }
            match file.read(&mut buffer).expect("it can be read") {
                0 => break,
                count => {
                    left -= count as u64;
                    if memory == Memory::NewAndChecked {
                        black_box(crc32c::crc32c(&buffer[..count]));
                    }
                }
            }
        }
    }
    bytes - left
}

/// Reads all entries by the store's own reads, without looking into them.
async fn read_entries(store: &dyn LogStore, stream: &StreamName) -> u64 {
    let (mut from, mut slots) = (Dlsn::INITIAL, 0);
    loop {
        let limit = ReadLimit {
            max_bytes: 1 << 20,
            wait: Duration::ZERO,
            created_unix_ms: None,
        };
        let batch = store.read(stream, from, limit).await.expect("it is read");
        if batch.entries.is_empty() {
            return slots;
        }
        let records = batch.entries.iter().flat_map(|entry| &entry.records);
        slots += records.map(|record| u64::from(record.slots)).sum::<u64>();
        from = batch.next;
    }
}

async fn read_records(store: &Arc<dyn LogStore>, stream: &StreamName) -> u64 {
    let mut reader = LogReader::new(Arc::clone(store), stream.clone(), Dlsn::INITIAL);
    let mut records = 0;
    while let Some(event) = reader.next_available().await.expect("it is read") {
        records += u64::from(matches!(event, ReadEvent::Record(_)));
    }
    records
}

/// Creates a merged reader of all streams of the store.
fn merged_reader(written: &Written) -> MultiReader {
    let starts = written.streams.iter().cloned();
    let starts = starts.map(|stream| (stream, Dlsn::INITIAL));
    MultiReader::new(&written.store, starts, MergeSettings::default())
}

async fn read_merged(mut reader: MultiReader, expected: u64) -> u64 {
    let mut records = 0;
    while records < expected {
        let merged = reader.next().await.expect("no stream ends");
        let merged = merged.expect("it is read");
        records += u64::from(matches!(merged.event, ReadEvent::Record(_)));
    }
    records
}

/// Reads sets as runs of records, and looks at each payload.
async fn read_merged_runs(mut reader: MultiReader, expected: u64) -> u64 {
    let mut records = 0;
    while records < expected {
        let merged = reader.next_run(NonZeroUsize::MAX).await;
        let merged = merged.expect("no stream ends").expect("it is read");
        let RunEvent::Run(run) = merged.event else {
            panic!("a damaged set");
        };
        for (_, payload) in run.iter() {
            black_box(payload);
            records += 1;
        }
    }
    records
}

/// Creates a reader for applications of all streams, up to their ends.
fn application_reader(written: &Written, source: impl Into<Source>) -> MultiStreamReader {
    let streams = written.streams.iter().map(StreamName::as_str);
    let reader = MultiStreamReader::builder(source).streams(streams);
    reader.follow(false).build().expect("valid settings")
}

async fn read_one_by_one(mut reader: MultiStreamReader) -> u64 {
    let mut records = 0;
    while let Some(record) = reader.next().await {
        black_box(record.expect("it is read"));
        records += 1;
    }
    records
}

/// Reads sets as runs of records, and looks at each payload.
async fn read_runs(mut reader: MultiStreamReader) -> u64 {
    let mut records = 0;
    while let Some(it) = reader.next_run(NonZeroUsize::MAX).await {
        for (_, payload) in it.expect("it is read").run.iter() {
            black_box(payload);
            records += 1;
        }
    }
    records
}

/// Reads batches with the position behind each, as an application that commits both.
async fn read_batches(mut reader: MultiStreamReader) -> u64 {
    let most = NonZeroUsize::new(1000).expect("not zero");
    let mut records = 0;
    while let Some(batch) = reader.next_batch(most).await.expect("it is read") {
        records += batch.records.len() as u64;
        black_box(batch.position);
    }
    records
}

/// Runs a command, and throws its output away.
fn command(arguments: &[&str]) {
    let mut command = Command::new(binary::dlog());
    let command = command.args(arguments).stdout(Stdio::null());
    let status = command.status().expect("dlog runs");
    assert!(status.success(), "{arguments:?}: {status}");
}

/// Times of one row, and the processor time that this process used.
struct Row {
    name: &'static str,
    took: Vec<(Duration, Duration)>,
}

/// Times of the rows, in the order in which they first came.
#[derive(Default)]
struct Table(Vec<Row>);

impl Table {
    fn add(&mut self, name: &'static str, took: (Duration, Duration)) {
        match self.0.iter_mut().find(|row| row.name == name) {
            Some(row) => row.took.push(took),
            None => self.0.push(Row {
                name,
                took: vec![took],
            }),
        }
    }

    fn print(&mut self, title: &str, bytes: u64, records: u64) {
        println!("\n| {title} | MB/s | records/s | of the file | MB per s of processor |");
        println!("|---|---|---|---|---|");
        let mut file = None;
        for Row { name, took } in &mut self.0 {
            took.sort();
            let median = took[took.len() / 2].0.as_secs_f64();
            took.sort_by_key(|(_, used)| *used);
            let used = took[took.len() / 2].1.as_secs_f64();
            let file = *file.get_or_insert(median);
            println!(
                "| {name} | {:.0} | {:.2} M | {:.0} % | {:.0} |",
                bytes as f64 / median / 1e6,
                records as f64 / median / 1e6,
                file / median * 100.0,
                bytes as f64 / used / 1e6
            );
        }
    }
}

async fn timed<T: PartialEq + core::fmt::Debug>(
    table: &mut Table,
    name: &'static str,
    expected: T,
    work: impl Future<Output = T>,
) {
    let (began, used) = (Instant::now(), processor::own_time());
    let found = work.await;
    table.add(name, (began.elapsed(), processor::own_time() - used));
    assert_eq!(found, expected, "{name}");
}

fn variable(name: &str, default: usize) -> usize {
    let set = std::env::var(name).ok();
    set.map_or(default, |set| set.parse().expect("a number"))
}

/// Makes a request of HTTP/1.1, and reads the response to its end. Returns true if there was more
/// than its head.
async fn read_response(address: SocketAddr, stream: &str, accept: &str) -> bool {
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    let request = format!(
        "GET /v1/streams/{stream}/records?follow=false HTTP/1.1\r\nhost: {address}\r\n\
         accept: {accept}\r\nconnection: close\r\n\r\n"
    );
    let written = socket.write_all(request.as_bytes()).await;
    written.expect("it reads");
    let (mut bytes, mut all) = (vec![0; 256 << 10], 0);
    loop {
        match socket.read(&mut bytes).await.expect("it answers") {
            0 => return all > 4096,
            count => all += count,
        }
    }
}

/// Starts a proxy over a store, in this process.
async fn proxy_over(store: &Arc<dyn LogStore>) -> RunningProxy {
    let any = ([127, 0, 0, 1], 0).into();
    let settings = distributedlog_proxy::Settings::builder();
    let settings = settings.listen(any).http_listen(Some(any));
    let settings = settings.build().expect("valid settings");
    let proxy = Proxy::start(settings, Arc::clone(store)).await;
    proxy.expect("it starts")
}

fn url_of(proxy: &RunningProxy) -> String {
    format!("http://{}", proxy.http_addr().expect("it has the port"))
}

async fn one_stream(title: &str, entries: Entries, bytes: usize, rounds: usize) {
    let written = Written::new(entries, 1, bytes).await;
    let (store, stream, records) = (&written.store, &written.streams[0], written.records);
    let journal = written.bytes;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let settings = ServerSettings::default();
    let server = serve(listener, Arc::clone(store), settings).expect("it serves");
    let uri = Uri::local("127.0.0.1", server.local_addr().port());
    let remote = RemoteStore::connect(&uri, ClientSettings::default()).await;
    let remote: Arc<dyn LogStore> = Arc::new(remote.expect("it connects"));
    let proxy = proxy_over(store).await;
    let (url, address) = (url_of(&proxy), proxy.http_addr().expect("it has the port"));
    let (uri, name) = (uri.to_string(), stream.as_str());
    let count = ["tool", "count", "-u", &uri, "-s", name];
    let dump = ["tool", "dump", "-u", &uri, "-s", name, "--skip-payload"];
    let raw = ["read", "--to", &uri, name, "--format", "raw"];
    let raw_http = ["read", "--to", &url, name, "--format", "raw"];
    let mut table = Table::default();
    for _ in 0..rounds {
        for (name, memory) in [
            ("file", Memory::OneBuffer),
            ("file, into new memory", Memory::New),
            ("the same, and its checksum", Memory::NewAndChecked),
        ] {
            let file = async { read_files(written.folder.path(), journal, memory) };
            timed(&mut table, name, journal, file).await;
        }
        let entries = read_entries(&**store, stream);
        timed(&mut table, "the store's reads", records, entries).await;
        let reader = read_records(store, stream);
        timed(&mut table, "reader of the library", records, reader).await;
        let reader = read_records(&remote, stream);
        timed(&mut table, "the same over loopback", records, reader).await;
        for (name, accept) in [
            ("HTTP, as stored", "application/vnd.distributedlog.entries"),
            ("HTTP, lines", "application/x-ndjson"),
        ] {
            let response = read_response(address, stream.as_str(), accept);
            timed(&mut table, name, true, response).await;
        }
        let reader = application_reader(&written, HttpSource::new([&*url]));
        let reader = read_one_by_one(reader);
        timed(&mut table, "`MultiStreamReader` over HTTP", records, reader).await;
        let reader = application_reader(&written, HttpSource::new([&*url]));
        let reader = read_runs(reader);
        timed(&mut table, "… in runs, over HTTP", records, reader).await;
        let reader = read_runs(application_reader(&written, Arc::clone(&remote)));
        timed(&mut table, "… in runs, over loopback", records, reader).await;
        let reader = read_runs(application_reader(&written, Arc::clone(store)));
        timed(&mut table, "… in runs, from the store", records, reader).await;
        for (name, arguments) in [
            ("dlog tool count", &count[..]),
            ("dlog tool dump", &dump[..]),
            ("dlog read --format raw", &raw[..]),
            ("dlog read over HTTP", &raw_http[..]),
        ] {
            let arguments = arguments.iter().map(|&it| it.to_owned());
            let arguments: Vec<String> = arguments.collect();
            let run = tokio::task::spawn_blocking(move || {
                command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
            });
            let run = async { run.await.expect("it does not panic") };
            timed(&mut table, name, (), run).await;
        }
    }
    table.print(title, journal, records);
    proxy.drain().await;
}

async fn merged(bytes: usize, rounds: usize) {
    let written = Written::new(Entries::Sets, STREAMS, bytes).await;
    let (store, records) = (&written.store, written.records);
    let mut table = Table::default();
    for _ in 0..rounds {
        let journal = written.bytes;
        let file = async { read_files(written.folder.path(), journal, Memory::OneBuffer) };
        timed(&mut table, "file", journal, file).await;
        let reader = read_merged(merged_reader(&written), records);
        timed(&mut table, "`MultiReader`", records, reader).await;
        let reader = read_merged_runs(merged_reader(&written), records);
        timed(&mut table, "… in runs", records, reader).await;
        let reader = merged_reader(&written).reading_ahead(8 << 20);
        let reader = read_merged_runs(reader, records);
        timed(&mut table, "… in runs, reading ahead", records, reader).await;
        let reader = application_reader(&written, Arc::clone(store));
        let reader = read_one_by_one(reader);
        timed(&mut table, "`MultiStreamReader`", records, reader).await;
        let reader = application_reader(&written, Arc::clone(store));
        let reader = read_batches(reader);
        timed(
            &mut table,
            "`MultiStreamReader`, in batches of 1,000",
            records,
            reader,
        )
        .await;
        let reader = read_runs(application_reader(&written, Arc::clone(store)));
        timed(&mut table, "`MultiStreamReader`, in runs", records, reader).await;
    }
    let title = "sets of 16 KiB in 5 streams";
    table.print(title, written.bytes, records);
}

/// Reads over the HTTP port of a proxy in the same process: the processor time is of both.
async fn over_http(bytes: usize, rounds: usize) {
    let written = Written::new(Entries::Sets, STREAMS, bytes).await;
    let proxy = proxy_over(&written.store).await;
    let url = url_of(&proxy);
    let mut table = Table::default();
    for _ in 0..rounds {
        let reader = application_reader(&written, HttpSource::new([&*url]));
        let reader = read_one_by_one(reader);
        timed(&mut table, "`MultiStreamReader`", written.records, reader).await;
        let reader = application_reader(&written, HttpSource::new([&*url]));
        let reader = read_batches(reader);
        timed(&mut table, "… in batches of 1,000", written.records, reader).await;
        let reader = application_reader(&written, HttpSource::new([&*url]));
        let reader = read_runs(reader);
        timed(&mut table, "… in runs", written.records, reader).await;
    }
    let title = "sets of 16 KiB in 5 streams, over HTTP";
    table.print(title, written.bytes, written.records);
    proxy.drain().await;
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bytes = variable("DLOG_READ_MB", 256) << 20;
    let rounds = variable("DLOG_READ_ROUNDS", 5).max(1);
    let only_merged = std::env::var("DLOG_READ_ONLY").is_ok_and(|only| only == "merged");
    runtime.block_on(async {
        if !only_merged {
            let title = "sets of 16 KiB of 100-byte records";
            one_stream(title, Entries::Sets, bytes, rounds).await;
            let title = "entries of 16 KiB";
            one_stream(title, Entries::Single(16 << 10), bytes, rounds).await;
            let title = "entries of 100 bytes, an eighth";
            one_stream(title, Entries::Single(100), bytes / 8, rounds).await;
        }
        merged(bytes, rounds).await;
        over_http(bytes / 4, rounds).await;
    });
}
