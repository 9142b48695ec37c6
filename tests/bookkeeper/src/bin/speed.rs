//! Ours beside Java's core on the same bookies, in turns. `tests/parts/bookkeeper --speed
//! [SECONDS [ROUNDS [LOAD]]]` prints a table, of the loads whose names contain LOAD.

use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use distributedlog::writer::{Settings, WriteResult};
use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_bookkeeper_tests::peer::{BenchPeer, Measured};
use distributedlog_store::bookkeeper::{BookKeeperSettings, connect};
use distributedlog_store::{
    Acquired, Dlsn, Entry, EntryRecord, Lease, LogStore, Owner, ReadLimit, StreamName,
};
use distributedlog_tests::stack::{Proxy, StoreOf};
use distributedlog_tokio::MultiStreamWriter;

/// Streams that are written.
const STREAMS: usize = 5;

/// Bytes of a record.
const RECORD_BYTES: usize = 100;

/// Loads: name, records in flight, records of a set (1: no set).
const LOADS: [(&str, usize, usize); 5] = [
    ("16 KiB sets, 8,192 records in flight", 8192, 157),
    ("16 KiB sets, 1,024 records in flight", 1024, 157),
    ("single records, 512 in flight", 512, 1),
    ("single records, 64 in flight", 64, 1),
    ("single records, one at a time", 1, 1),
];

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let number = |text: Option<String>, default: u64| {
        text.map_or(default, |it| it.parse().expect("a number"))
    };
    let seconds = number(arguments.next(), 4);
    let rounds = number(arguments.next(), 3);
    let only = arguments.next().unwrap_or_default();
    let cluster = Cluster::builder(Version::V4_17).measured().start().await;
    let uri = cluster.namespace();
    let mut java = BenchPeer::start(Version::V4_17, &uri, &[]).await;
    println!("| load | round | who | records/s | sets/s | p50 ms | p99 ms | CPU us/record |");
    println!("|---|---|---|---|---|---|---|---|");
    let chosen = LOADS.into_iter().filter(|(name, ..)| name.contains(&only));
    for (load, (name, window, per_set)) in chosen.enumerate() {
        for round in 0..rounds {
            let settings = format!(
                "window={window} per_set={per_set} logs={STREAMS} record={RECORD_BYTES} \
                 seconds={seconds} warm_up=1"
            );
            let theirs = java.write(&format!("java-{load}-{round}"), &settings).await;
            print(name, round, "Java", &theirs);
            let prefix = format!("ours-{load}-{round}");
            let ours = ours(&uri, &prefix, window, per_set, seconds).await;
            print(name, round, "ours, engine", &ours);
            let prefix = format!("proxy-{load}-{round}");
            let ours = through_proxy(&uri, &prefix, window, per_set, seconds).await;
            print(name, round, "ours, client and proxy", &ours);
        }
        for who in ["java", "ours", "proxy"] {
            println!(
                "{}",
                sizes(&uri, name, who, &format!("{who}-{load}-0")).await
            );
        }
        let prefix = format!("java-{load}-0");
        let theirs = java.read(&prefix, &format!("logs={STREAMS}")).await;
        print(name, 0, "Java reads", &theirs);
        print(name, 0, "ours reads", &read(&uri, &prefix).await);
    }
}

/// Returns a row with what the streams take on the bookies: entries and bytes for each record. The
/// bytes are those of the ledgers' entries without BookKeeper's own headers, once for all copies.
async fn sizes(uri: &str, name: &str, who: &str, prefix: &str) -> String {
    let store = connect(&uri.parse().expect("a URI"), BookKeeperSettings::default()).await;
    let store = store.expect("the cluster is up");
    let (mut entries, mut records, mut bytes) = (0, 0, 0);
    for stream in 0..STREAMS {
        let stream: StreamName = format!("{prefix}-{stream}").parse().expect("a name");
        let info = store.describe(&stream).await.expect("it was written");
        for segment in info.segments {
            entries += segment.entries;
            records += segment.records;
            bytes += segment.payload_bytes;
        }
    }
    store.close().await.expect("closed");
    let each = |total: u64| total as f64 / records.max(1) as f64;
    format!(
        "| {name} | | {who} | {records} records | {:.4} entries and {:.1} bytes for each | | | |",
        each(entries),
        each(bytes)
    )
}

fn print(name: &str, round: u64, who: &str, measured: &Measured) {
    let number = |it: Option<f64>| it.map_or_else(String::new, |it| format!("{it:.2}"));
    println!(
        "| {name} | {round} | {who} | {:.0} | {:.0} | {} | {} | {:.2} |",
        measured.records_per_s,
        measured.sets_per_s.unwrap_or(0.0),
        number(measured.p50_ms),
        number(measured.p99_ms),
        measured.cpu_s * 1e6 / measured.records.max(1) as f64
    );
}

fn record(per_set: usize) -> EntryRecord {
    let payload = Bytes::from(vec![b'x'; RECORD_BYTES]);
    if per_set == 1 {
        return EntryRecord {
            payload,
            slots: 1,
            is_record_set: false,
        };
    }
    let mut set = BytesMut::new();
    let length = u32::try_from(per_set * (RECORD_BYTES + 4)).expect("a small set");
    set.put_u32(0x1000);
    set.put_u32(per_set as u32);
    set.put_u32(length);
    set.put_u32(length);
    for _ in 0..per_set {
        set.put_u32(RECORD_BYTES as u32);
        set.put_slice(&payload);
    }
    EntryRecord {
        payload: set.freeze(),
        slots: per_set as u32,
        is_record_set: true,
    }
}

/// Writes with the engine in this process.
async fn ours(uri: &str, prefix: &str, window: usize, per_set: usize, seconds: u64) -> Measured {
    let settings = BookKeeperSettings::default();
    let store = connect(&uri.parse().expect("a URI"), settings).await;
    let store = Arc::new(store.expect("the cluster is up"));
    let mut leases = Vec::new();
    for stream in 0..STREAMS {
        let name: StreamName = format!("{prefix}-{stream}").parse().expect("a name");
        store.create(&name).await.expect("created");
        let owner = Owner {
            shard: 0,
            address: "127.0.0.1:1".into(),
        };
        match store.acquire(&name, &owner).await.expect("acquired") {
            Acquired::Granted(lease) => leases.push(lease),
            Acquired::OwnedBy(other) => panic!("owned by {other:?}"),
        }
    }
    let run = Arc::new(Run {
        measures: AtomicBool::new(false),
        ends: AtomicBool::new(false),
        sets: AtomicU64::new(0),
        errors: AtomicU64::new(0),
        latencies: Mutex::default(),
    });
    let tasks: Vec<_> = (0..(window / per_set).max(1))
        .map(|slot| {
            let lease = leases[slot % STREAMS].clone();
            tokio::spawn(Arc::clone(&run).write(Arc::clone(&store) as _, lease, record(per_set)))
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (began, cpu) = (Instant::now(), processor_seconds("self"));
    run.measures.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    run.measures.store(false, Ordering::Relaxed);
    let (took, cpu) = (
        began.elapsed().as_secs_f64(),
        processor_seconds("self") - cpu,
    );
    run.ends.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("no panic");
    }
    store.close().await.expect("closed");
    let sets = run.sets.load(Ordering::Relaxed);
    let mut latencies = core::mem::take(&mut *run.latencies.lock().expect("no panic"));
    latencies.sort_unstable();
    let at = |share: usize| {
        let index = latencies.len().saturating_sub(1) * share / 100;
        latencies.get(index).map(|it| it.as_secs_f64() * 1e3)
    };
    Measured {
        records_per_s: sets as f64 * per_set as f64 / took,
        sets_per_s: Some(sets as f64 / took),
        p50_ms: at(50),
        p99_ms: at(99),
        cpu_s: cpu,
        seconds: took,
        records: sets * per_set as u64,
        errors: Some(run.errors.load(Ordering::Relaxed)),
    }
}

struct Run {
    measures: AtomicBool,
    ends: AtomicBool,
    sets: AtomicU64,
    errors: AtomicU64,
    latencies: Mutex<Vec<Duration>>,
}

impl Run {
    async fn write(self: Arc<Self>, store: Arc<dyn LogStore>, lease: Lease, record: EntryRecord) {
        while !self.ends.load(Ordering::Relaxed) {
            let began = Instant::now();
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let entry = Entry {
                records: vec![record.clone()],
            };
            store.append(&lease, entry, Box::new(move |it| _ = sender.send(it)));
            match receiver.await.expect("an outcome") {
                Ok(_) if self.measures.load(Ordering::Relaxed) => {
                    self.sets.fetch_add(1, Ordering::Relaxed);
                    self.latencies
                        .lock()
                        .expect("no panic")
                        .push(began.elapsed());
                }
                Ok(_) => {}
                Err(error) => {
                    eprintln!("{error}");
                    self.errors.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// Writes with the multi stream writer in this process, through a proxy in another. The processor
/// time is that of both.
async fn through_proxy(
    uri: &str,
    prefix: &str,
    window: usize,
    per_set: usize,
    seconds: u64,
) -> Measured {
    let proxy = Proxy::start(StoreOf::At(&uri.parse().expect("a URI")), 0, &[]).await;
    let settings = Settings::builder()
        .original_features()
        .request_timeout(Duration::from_secs(30))
        .first_speculative_timeout(Duration::from_secs(5))
        .max_speculative_timeout(Duration::from_secs(10))
        .in_flight_sets(2048)
        .buffer_size(if per_set == 1 { 0 } else { 16 * 1024 });
    let streams: Vec<String> = (0..STREAMS).map(|it| format!("{prefix}-{it}")).collect();
    let builder = MultiStreamWriter::builder(streams)
        .settings(settings)
        .proxies(proxy.name());
    let writer = builder.build().await.expect("the proxy answers");
    let mut pending = VecDeque::with_capacity(window);
    let mut latencies = Vec::new();
    let warm = Instant::now() + Duration::from_secs(1);
    let mut began = None;
    let processor = || processor_seconds("self") + processor_seconds(&proxy_id(&proxy));
    let mut cpu = 0.0;
    let mut records = 0_u64;
    loop {
        let now = Instant::now();
        if began.is_none() && now >= warm {
            (began, cpu, records) = (Some(now), processor(), 0);
            latencies.clear();
        }
        if began.is_some_and(|it| now >= it + Duration::from_secs(seconds)) {
            break;
        }
        if pending.len() == window {
            let (at, oldest): (Instant, Acknowledged) = pending.pop_front().expect("it is full");
            oldest.await.expect("the record is written");
            records += 1;
            latencies.push(at.elapsed());
        }
        // From here, not from before the wait for the oldest record.
        let submitted = Instant::now();
        let acknowledgement = writer.submit(&[b'x'; RECORD_BYTES]).await.expect("open");
        pending.push_back((submitted, Box::pin(acknowledgement) as _));
    }
    let took = began.expect("it was warm").elapsed().as_secs_f64();
    let cpu = processor() - cpu;
    writer.flush().await;
    for (_, acknowledgement) in pending {
        acknowledgement.await.expect("the record is written");
    }
    latencies.sort_unstable();
    let at = |share: usize| {
        let index = latencies.len().saturating_sub(1) * share / 100;
        latencies.get(index).map(|it| it.as_secs_f64() * 1e3)
    };
    Measured {
        records_per_s: records as f64 / took,
        sets_per_s: Some(records as f64 / took / per_set as f64),
        p50_ms: at(50),
        p99_ms: at(99),
        cpu_s: cpu,
        seconds: took,
        records,
        errors: Some(0),
    }
}

/// Result of a record on its way.
type Acknowledged = Pin<Box<dyn Future<Output = WriteResult> + Send>>;

fn proxy_id(proxy: &Proxy) -> String {
    proxy.process.id().expect("it runs").to_string()
}

/// Reads the streams of a prefix from the start, one after the other.
async fn read(uri: &str, prefix: &str) -> Measured {
    let settings = BookKeeperSettings::default();
    let store = connect(&uri.parse().expect("a URI"), settings).await;
    let store = store.expect("the cluster is up");
    let (began, cpu) = (Instant::now(), processor_seconds("self"));
    let mut records = 0;
    for stream in 0..STREAMS {
        let name: StreamName = format!("{prefix}-{stream}").parse().expect("a name");
        let mut next = Dlsn::new(1, 0, 0);
        loop {
            let limit = ReadLimit {
                max_bytes: 1 << 20,
                wait: Duration::ZERO,
                created_unix_ms: None,
            };
            let batch = store.read(&name, next, limit).await.expect("readable");
            if batch.entries.is_empty() {
                break;
            }
            next = batch.next;
            let slots = batch.entries.iter().flat_map(|it| &it.records);
            records += slots.map(|it| u64::from(it.slots)).sum::<u64>();
        }
    }
    let took = began.elapsed().as_secs_f64();
    Measured {
        records_per_s: records as f64 / took,
        sets_per_s: None,
        p50_ms: None,
        p99_ms: None,
        cpu_s: processor_seconds("self") - cpu,
        seconds: took,
        records,
        errors: None,
    }
}

/// Processor time of a process.
fn processor_seconds(process: &str) -> f64 {
    // Fields 14 and 15 of the process's state: ticks of a hundredth of a second.
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux");
    let (_, rest) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks = rest.split_whitespace().skip(11).take(2);
    ticks
        .map(|it| it.parse::<f64>().expect("a number"))
        .sum::<f64>()
        / 100.0
}
