//! A store that keeps house for as long as one likes: ten streams, one of them quiet, retention by
//! bytes, random deletions and truncations, `kill -9` of the store, and compaction that is on and
//! off in turns. After each turn every acknowledged record that is not discarded is read back, and
//! after each turn with compaction the folder must be within the bound of docs/operations.md.
//!
//! `cargo bench -p distributedlog-tests --bench soak`. `DLOG_SOAK_MINUTES` (1) says for how long,
//! `DLOG_SOAK_SEED` (1) seeds the choices. The folder is made below the current folder, or below
//! `DLOG_BENCH_FOLDER`.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use distributedlog::Dlsn;
use distributedlog_store::{LogStore, Retention, StoreError, StreamInfo, StreamName};
use distributedlog_tests::bench_folder::bench_folder;
use distributedlog_tests::load::{RawClient, WriteReply};
use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::records::read_all;
use distributedlog_tests::stack::{Local, Proxy, StoreOf};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;

const STREAMS: usize = 10;
/// The first stream: a small record a second, and nothing of it is ever discarded, so that every
/// volume has something that is needed.
const QUIET: usize = 0;
const TURN: Duration = Duration::from_secs(60);
const VOLUME_BYTES: u64 = 8 << 20;
const RETENTION_BYTES: u64 = 8 << 20;
/// Beside the volumes: metadata of ten streams, twice, and the small files.
const METADATA_BYTES: u64 = 1 << 20;
/// Time in which compaction must have caught up after a turn.
const CATCH_UP: Duration = Duration::from_secs(60);

/// Random numbers (xorshift) from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What is known of a stream. Its writer holds the lock while a write is in flight.
#[derive(Default)]
struct Model {
    /// Acknowledged records of the present life, in order: position, size and first byte.
    acknowledged: VecDeque<(Dlsn, usize, u8)>,
    written: u64,
}

/// Everything that the tasks of a turn share.
struct Turn {
    proxy: SocketAddr,
    models: Vec<Mutex<Model>>,
    ends: AtomicBool,
    /// False around a kill, when appends wait for the store.
    is_measured: AtomicBool,
    refused: AtomicUsize,
}

/// Sums over the turns of one kind.
#[derive(Default)]
struct Sums {
    micros: Vec<u32>,
    payload_bytes: u64,
    disk_written_bytes: u64,
    highest_ratio: f64,
}

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn name(stream: usize) -> StreamName {
    StreamName::new(&format!("soak-{stream}")).expect("a name")
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(soak());
}

async fn soak() {
    let until = Instant::now() + Duration::from_secs(60 * number("DLOG_SOAK_MINUTES", 1));
    let folder = bench_folder("soak");
    let mut random = Random(number("DLOG_SOAK_SEED", 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let port = ReservedPort::new();
    let mut sums = [Sums::default(), Sums::default()];
    let mut models: Vec<Mutex<Model>> = (0..STREAMS).map(|_| Mutex::default()).collect();
    let (mut kills, mut turns, mut checked) = (0, 0, 0);
    while Instant::now() < until || turns % 2 != 0 {
        let compacts = turns % 2 == 1;
        let flags = flags(compacts);
        let mut local = Some(Local::start_with(folder.path(), port.number(), &flags).await);
        let uri = local.as_ref().expect("it runs").uri();
        let proxy = Proxy::start(StoreOf::At(&uri), 0, &[]).await;
        let store = local.as_ref().expect("it runs").connect().await;
        keep_quiet(store.as_ref()).await;
        let turn = Arc::new(Turn {
            proxy: proxy.address,
            models,
            ends: AtomicBool::new(false),
            is_measured: AtomicBool::new(true),
            refused: AtomicUsize::new(0),
        });
        let mut writers = JoinSet::new();
        for stream in 0..STREAMS {
            writers.spawn(write(turn.clone(), stream, random.below(u64::MAX)));
        }
        let sum = &mut sums[usize::from(compacts)];
        let ends = Instant::now() + TURN;
        while Instant::now() < ends {
            let running = local.take().expect("it runs");
            sleep(Duration::from_millis(500 + random.below(1_000))).await;
            let store = running.connect().await;
            change(&turn, store.as_ref(), &mut random).await;
            let ratio = folder_bytes(folder.path()) as f64 / bound(store.as_ref()).await as f64;
            sum.highest_ratio = sum.highest_ratio.max(ratio);
            if random.below(15) > 0 {
                local = Some(running);
                continue;
            }
            turn.is_measured.store(false, Ordering::SeqCst);
            sum.disk_written_bytes += disk_written(&running);
            running.process.kill_9().await;
            kills += 1;
            local = Some(Local::start_with(folder.path(), port.number(), &flags).await);
            // Until the proxy is connected again, and its backlog is gone.
            sleep(Duration::from_secs(3)).await;
            turn.is_measured.store(true, Ordering::SeqCst);
        }
        let running = local.expect("it runs");
        turn.ends.store(true, Ordering::SeqCst);
        while let Some(written) = writers.join_next().await {
            let (micros, bytes) = written.expect("writers do not panic");
            sum.micros.extend(micros);
            sum.payload_bytes += bytes;
        }
        sum.disk_written_bytes += disk_written(&running);
        let store = running.connect().await;
        let bound = bound(store.as_ref()).await;
        let peak = folder_bytes(folder.path());
        if compacts {
            within(folder.path(), bound).await;
        }
        let after = folder_bytes(folder.path());
        let refused = turn.refused.load(Ordering::SeqCst);
        models = Arc::into_inner(turn)
            .expect("the writers have ended")
            .models;
        checked += check(&store, &mut models).await;
        println!(
            "turn {turns}, compaction {}: folder {} MB at the end, {} MB after catching up, bound \
             {} MB; {refused} writes without an acknowledgement; {kills} kills and {checked} \
             records read back so far",
            if compacts { "on" } else { "off" },
            peak >> 20,
            after >> 20,
            bound >> 20,
        );
        drop(proxy);
        running.process.signal(rustix::process::Signal::INT);
        let _ = running.process.until_exit().await.with_code(0);
        turns += 1;
    }
    report(&mut sums, kills, checked);
}

/// Creates the quiet stream, of which nothing is discarded.
async fn keep_quiet(store: &dyn LogStore) {
    match store.create(&name(QUIET)).await {
        Ok(()) | Err(StoreError::StreamExists(_)) => {}
        Err(error) => panic!("{error}"),
    }
    let all = Some(Retention::default());
    let kept = store.set_retention(Some(&name(QUIET)), all).await;
    kept.expect("the store has retention");
}

fn flags(compacts: bool) -> Vec<String> {
    let rate: u64 = if compacts { 32 << 20 } else { 0 };
    [
        ("--volume-bytes", VOLUME_BYTES),
        ("--retention-bytes", RETENTION_BYTES),
        ("--compaction-rate", rate),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value.to_string()])
    .collect()
}

/// Writes to a stream, one record at a time, until the turn ends. Returns the times of the appends
/// in microseconds, and the payload bytes that were acknowledged.
async fn write(turn: Arc<Turn>, stream: usize, seed: u64) -> (Vec<u32>, u64) {
    let mut random = Random(seed | 1);
    let (mut micros, mut bytes) = (Vec::new(), 0);
    let mut client = None;
    let stream_name = name(stream);
    while !turn.ends.load(Ordering::SeqCst) {
        let (size, pause) = match stream {
            QUIET => (100, Duration::from_secs(1)),
            _ => (100 + random.below(8_000) as usize, Duration::from_millis(5)),
        };
        sleep(pause).await;
        let mut model = turn.models[stream].lock().await;
        let fill = random.below(256) as u8;
        let payload = vec![fill; size];
        let mut connected = match client.take() {
            Some(connected) => connected,
            None => match RawClient::connect(turn.proxy).await {
                Ok(connected) => connected,
                Err(_) => continue,
            },
        };
        let since = Instant::now();
        let reply = connected.write(stream_name.as_str(), &payload).await;
        match reply {
            Ok(WriteReply::Stored(dlsn)) => {
                model.acknowledged.push_back((dlsn, size, fill));
                model.written += size as u64;
                bytes += size as u64;
                if turn.is_measured.load(Ordering::SeqCst) {
                    micros.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
                client = Some(connected);
            }
            Ok(WriteReply::Failed(..)) => {
                turn.refused.fetch_add(1, Ordering::SeqCst);
                client = Some(connected);
            }
            Err(_) => _ = turn.refused.fetch_add(1, Ordering::SeqCst),
        }
    }
    (micros, bytes)
}

/// Truncates a stream, or deletes one, or does neither. The quiet one is left alone.
async fn change(turn: &Turn, store: &dyn LogStore, random: &mut Random) {
    let stream = 1 + random.below(STREAMS as u64 - 1) as usize;
    let mut model = turn.models[stream].lock().await;
    match random.below(10) {
        0 if store.delete(&name(stream)).await.is_ok() => *model = Model::default(),
        1..=3 if !model.acknowledged.is_empty() => {
            let at = random.below(model.acknowledged.len() as u64) as usize;
            let before = model.acknowledged[at].0;
            if store.truncate(&name(stream), before).await.is_ok() {
                model.acknowledged.drain(..at);
            }
        }
        _ => {}
    }
}

/// Reads everything back. Returns the number of acknowledged records that were there.
async fn check(store: &Arc<dyn LogStore>, models: &mut [Mutex<Model>]) -> usize {
    let mut checked = 0;
    for (stream, model) in models.iter_mut().enumerate() {
        let model = model.get_mut();
        if model.acknowledged.is_empty() {
            continue;
        }
        let info = store.describe(&name(stream)).await.expect("it is there");
        let found = read_all(store, name(stream).as_str()).await;
        let kept: u64 = found.values().map(|it| it.len() as u64).sum();
        let first = info.first.unwrap_or(Dlsn::INITIAL);
        let is_discarded = |it: &&(Dlsn, usize, u8)| it.0 < first;
        let discarded = model.acknowledged.iter().take_while(is_discarded).count();
        if discarded > 0 {
            assert_ne!(stream, QUIET, "nothing of the quiet stream is discarded");
            assert!(
                kept >= RETENTION_BYTES,
                "{stream}: only {kept} bytes are kept"
            );
        }
        model.acknowledged.drain(..discarded);
        for (dlsn, size, fill) in &model.acknowledged {
            let record = found
                .get(dlsn)
                .unwrap_or_else(|| panic!("{stream} at {dlsn}: lost"));
            assert!(record.len() == *size && record.iter().all(|byte| byte == fill));
        }
        checked += model.acknowledged.len();
    }
    checked
}

/// Waits until the folder is within the bound.
async fn within(folder: &Path, bound: u64) {
    let until = Instant::now() + CATCH_UP;
    while folder_bytes(folder) > bound {
        assert!(
            Instant::now() < until,
            "{} bytes in the folder, {bound} allowed",
            folder_bytes(folder)
        );
        sleep(Duration::from_millis(100)).await;
    }
}

/// Returns the bytes that the folder may have.
async fn bound(store: &dyn LogStore) -> u64 {
    let mut readable = 0;
    for stream in 0..STREAMS {
        if let Ok(StreamInfo { segments, .. }) = store.describe(&name(stream)).await {
            let bytes = segments
                .iter()
                .map(|it| it.payload_bytes + 48 * it.entries + 8 * it.records);
            readable += bytes.sum::<u64>();
        }
    }
    2 * readable + 4 * VOLUME_BYTES + METADATA_BYTES
}

/// Returns the bytes that the folder's files take on the disk.
fn folder_bytes(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    // A file may be removed between the two.
    let blocks = files.filter_map(|file| Some(file.metadata().ok()?.blocks()));
    blocks.sum::<u64>() * 512
}

/// Returns the bytes that a process has written to disks.
fn disk_written(local: &Local) -> u64 {
    let id = local.process.id().expect("it runs");
    let text = fs::read_to_string(format!("/proc/{id}/io")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

fn report(sums: &mut [Sums; 2], kills: usize, checked: usize) {
    println!("{kills} kills, {checked} records read back, none lost");
    println!(
        "compaction | appends | p50 ms | p99 ms | p99.9 ms | max ms | written/payload | disk/bound"
    );
    for (kind, sum) in ["off", "on"].into_iter().zip(sums) {
        sum.micros.sort_unstable();
        let count = sum.micros.len();
        let at = |share: f64| {
            let index = ((count as f64 * share) as usize).min(count.saturating_sub(1));
            f64::from(sum.micros.get(index).copied().unwrap_or(0)) / 1e3
        };
        println!(
            "{kind} | {count} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2}",
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
            sum.disk_written_bytes as f64 / sum.payload_bytes as f64,
            sum.highest_ratio,
        );
    }
}
