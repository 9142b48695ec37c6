//! R17 on a real stack: the streams of a writer change a hundred times while it writes and its
//! proxies are killed. Nothing is lost, a merged reader has each record once, and no stream is
//! preferred.
//!
//! `DLOG_CHANGES_SEED` sets the seed of the changes; it is printed.

#[path = "stream_changes/fairness.rs"]
mod fairness;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use distributedlog::StreamIndex;
use distributedlog::WriteState;
use distributedlog::writer::{Adaptive, Reason, Settings};
use distributedlog_reader::{HttpSource, MultiStreamReader, ReaderStats};
use distributedlog_store::uri::Uri;
use distributedlog_testkit::Random;
use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::process::STEP_TIMEOUT;
use distributedlog_tests::records::{Acknowledged, assert_read_back};
use distributedlog_tests::stack::{Local, Proxy, StoreOf};
use distributedlog_tokio::MultiStreamWriter;
use fairness::Fairness;
use tokio::sync::watch;
use tokio::task::JoinSet;

const CHANGES: usize = 100;
/// Changes from one kill of a proxy to the next.
const KILL_EVERY: usize = 10;
/// Names of streams, those of them that are the writer's at first, and the fewest and the most that
/// it has.
const NAMES: usize = 20;
const AT_FIRST: usize = 8;
const FEWEST: usize = 4;
const MOST: usize = 14;
/// Tasks that write one record after the other.
const TASKS: usize = 32;
/// Records that complete between two changes.
const STEP: usize = 200;
/// Records of a set are few, so that many sets start.
const BUFFER_SIZE: usize = 64;
/// Only what is not answered at all is hedged: extra attempts make the check of fairness less
/// exact. The duplicates are those of killed proxies.
const HEDGE_AFTER: Duration = Duration::from_secs(1);

/// Two proxies over one store.
struct Proxies {
    store: Uri,
    ports: [(ReservedPort, ReservedPort); 2],
    running: [Option<Proxy>; 2],
}

impl Proxies {
    async fn start(store: Uri) -> Self {
        let mut proxies = Self {
            store,
            ports: [(); 2].map(|()| (ReservedPort::new(), ReservedPort::new())),
            running: [None, None],
        };
        for index in 0..2 {
            proxies.restart(index).await;
        }
        proxies
    }

    /// Kills the proxy, if it runs, and starts it again on the same ports.
    async fn restart(&mut self, index: usize) {
        if let Some(proxy) = self.running[index].take() {
            proxy.process.kill_9().await;
        }
        let (thrift, http) = &self.ports[index];
        let http = http.number().to_string();
        let flags = ["--http-port", &http];
        let proxy = Proxy::start(StoreOf::At(&self.store), thrift.number(), &flags).await;
        self.running[index] = Some(proxy);
    }

    /// Returns their Finagle name.
    fn name(&self) -> String {
        let address = |(thrift, _): &(ReservedPort, _)| format!("127.0.0.1:{}", thrift.number());
        format!("inet!{}", self.ports.each_ref().map(address).join(","))
    }

    fn urls(&self) -> [String; 2] {
        let url = |(_, http): &(_, ReservedPort)| format!("http://127.0.0.1:{}", http.number());
        self.ports.each_ref().map(url)
    }
}

/// What became of the records.
#[derive(Default)]
struct Outcomes {
    acknowledged: Vec<Acknowledged>,
    not_written: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

/// Tasks that write until the writer is closed.
struct Load {
    outcomes: Arc<Mutex<Outcomes>>,
    completed: watch::Receiver<usize>,
    tasks: JoinSet<()>,
}

impl Load {
    fn start(writer: &MultiStreamWriter) -> Self {
        let (count, completed) = watch::channel(0);
        let count = Arc::new(count);
        let outcomes: Arc<Mutex<Outcomes>> = Arc::default();
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (writer, count) = (writer.clone(), Arc::clone(&count));
            tasks.spawn(write(writer, task, Arc::clone(&outcomes), count));
        }
        Self {
            outcomes,
            completed,
            tasks,
        }
    }

    /// Waits until this many more records have completed.
    async fn go_on(&mut self, records: usize) {
        let goal = *self.completed.borrow() + records;
        let completed = self.completed.wait_for(|count| *count >= goal);
        let completed = tokio::time::timeout(STEP_TIMEOUT, completed).await;
        completed
            .expect("records complete")
            .expect("the tasks write until the writer is closed");
    }

    /// Waits until the tasks have ended, after the writer was closed.
    async fn end(self) -> Outcomes {
        let ended = tokio::time::timeout(STEP_TIMEOUT, self.tasks.join_all()).await;
        ended.expect("writes complete");
        let mut outcomes = self.outcomes.lock().expect("no panic");
        core::mem::take(&mut outcomes)
    }
}

async fn write(
    writer: MultiStreamWriter,
    task: usize,
    outcomes: Arc<Mutex<Outcomes>>,
    count: Arc<watch::Sender<usize>>,
) {
    for number in 0.. {
        let record = format!("{task}.{number}");
        let result = writer.write(record.as_bytes()).await;
        let mut outcomes = outcomes.lock().expect("no panic");
        match result {
            Ok(written) => outcomes.acknowledged.push(Acknowledged {
                stream: writer.stream_name(written.stream).to_string(),
                dlsn: written.dlsn,
                payload: record.into_bytes(),
            }),
            Err(error) => {
                match error.known {
                    WriteState::NotWritten | WriteState::Rejected => {
                        outcomes.not_written.insert(record)
                    }
                    WriteState::Unknown => outcomes.unknown.insert(record),
                };
                if error.reason == Reason::Closed {
                    return;
                }
            }
        }
        count.send_modify(|count| *count += 1);
    }
}

/// Adds one of the names that the writer does not have, or removes one that it has. Returns the
/// stream that was removed.
fn change(
    writer: &MultiStreamWriter,
    names: &[String],
    random: &mut Random,
) -> Option<StreamIndex> {
    let members: Vec<Arc<str>> = writer.streams();
    let adds = match members.len() {
        ..=FEWEST => true,
        MOST.. => false,
        _ => random.one_in(2),
    };
    if adds {
        let is_member = |name: &str| members.iter().any(|member| **member == *name);
        let others: Vec<&String> = names.iter().filter(|name| !is_member(name)).collect();
        let name = others[random.index(others.len())];
        writer.add_stream(name).expect("it has room");
        return None;
    }
    let removed = writer.remove_stream(&members[random.index(members.len())]);
    Some(removed.expect("others are left"))
}

/// Reads all streams merged. Returns how often each record was delivered.
async fn read_merged(
    urls: [String; 2],
    names: &[String],
) -> (BTreeMap<String, usize>, ReaderStats) {
    let mut reader = MultiStreamReader::builder(HttpSource::new(urls))
        .streams(names)
        .follow(false)
        .build()
        .expect("the settings are valid");
    let mut counts = BTreeMap::new();
    while let Some(record) = reader.next().await {
        let record = record.expect("every stream can be read to its end").record;
        let text = String::from_utf8(record.payload.to_vec()).expect("the tasks write text");
        *counts.entry(text).or_default() += 1;
    }
    (counts, reader.stats())
}

/// Checks that each acknowledged record was delivered once, one whose fate is unknown at most once,
/// and no other.
fn assert_once(outcomes: &Outcomes, mut delivered: BTreeMap<String, usize>) {
    for record in &outcomes.acknowledged {
        let text = String::from_utf8_lossy(&record.payload);
        let count = delivered.remove(&*text);
        assert_eq!(
            count,
            Some(1),
            "{text} at {} {}",
            record.stream,
            record.dlsn
        );
    }
    for (record, count) in delivered {
        assert!(!outcomes.not_written.contains(&record), "{record} is there");
        assert!(
            outcomes.unknown.contains(&record),
            "{record}: not written by this test"
        );
        assert_eq!(count, 1, "{record}");
    }
}

async fn start_writer(proxies: &Proxies, names: &[String]) -> MultiStreamWriter {
    let settings = Settings::builder()
        .buffer_size(BUFFER_SIZE)
        .adaptive(Adaptive::Off);
    let writer = MultiStreamWriter::builder(names)
        .settings(settings)
        .proxies(proxies.name())
        .request_timeout(STEP_TIMEOUT)
        .speculative_timeouts(HEDGE_AFTER, 2 * HEDGE_AFTER);
    writer.build().await.expect("both proxies listen")
}

/// The writer's task, its users and the test share one thread, so that a look at its streams is of
/// one moment.
#[tokio::test]
async fn a_hundred_changes_of_the_streams_and_kills_of_proxies_lose_and_double_nothing() {
    let seed = std::env::var("DLOG_CHANGES_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("seed {seed}");
    let (mut random, began) = (Random::new(seed), std::time::Instant::now());
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    let store = local.connect().await;
    let names: Vec<String> = (0..NAMES).map(|it| format!("changing-{it:02}")).collect();
    for name in &names {
        let created = store.create(&name.parse().expect("a name")).await;
        created.expect("it is new");
    }
    let mut proxies = Proxies::start(local.uri()).await;
    let writer = start_writer(&proxies, &names[..AT_FIRST]).await;
    let mut load = Load::start(&writer);
    let mut fairness = Fairness::default();
    for number in 1..=CHANGES {
        load.go_on(STEP).await;
        fairness.look(&writer);
        let removed = change(&writer, &names, &mut random);
        if number % KILL_EVERY == 0 {
            proxies.restart(random.index(2)).await;
        }
        if let Some(removed) = removed {
            let drained = tokio::time::timeout(STEP_TIMEOUT, writer.drained(removed)).await;
            drained.unwrap_or_else(|_| panic!("seed {seed}: stream {removed:?} is not drained"));
        }
    }
    load.go_on(STEP).await;
    fairness.look(&writer);
    let counters = writer.counters();
    writer.close().await;
    let outcomes = load.end().await;

    let held = assert_read_back(&store, &outcomes.acknowledged).await;
    let (delivered, stats) = read_merged(proxies.urls(), &names).await;
    println!(
        "{CHANGES} changes, {} kills; {} records acknowledged, {} unknown, {} not \
         written; {held} held, {} duplicates dropped; {} sets, {} retries, {} hedges, {} probes; \
         {} pairs of streams compared exactly, {} with extra attempts; {:.1?}",
        CHANGES / KILL_EVERY,
        outcomes.acknowledged.len(),
        outcomes.unknown.len(),
        outcomes.not_written.len(),
        stats.merge.duplicates_dropped,
        counters.sets,
        counters.retries,
        counters.hedges_sent,
        counters.probes_sent,
        fairness.exact,
        fairness.with_extra,
        began.elapsed(),
    );
    assert_once(&outcomes, delivered);
    assert_eq!(stats.merge.beyond_window, 0, "{stats:?}");
    assert!(
        stats.merge.duplicates_dropped > 0,
        "without duplicates merging proves nothing"
    );
    assert!(
        fairness.exact > CHANGES,
        "extra attempts nearly all the time"
    );
}
