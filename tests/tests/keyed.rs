//! Records with keys on a real stack: the proxies are killed and frozen while they are written, and
//! the records of a key keep their order.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog::writer::SettingsBuilder;
use distributedlog_tests::process::STEP_TIMEOUT;
use distributedlog_tests::records::{Acknowledged, assert_read_back};
use distributedlog_tests::stack::{Local, Proxy, STREAMS, StoreOf};
use distributedlog_tokio::{KeyedWriter, MultiStreamWriter};
use rustix::process::Signal;
use tokio::sync::Notify;

const KEYS: usize = 24;
/// Records of a key that wait for their acknowledgement.
const WINDOW: usize = 32;
/// Records that are acknowledged between two faults.
const BETWEEN: usize = 2_000;
const FAULTS: usize = 8;

/// What the keys' tasks share.
#[derive(Default)]
struct Progress {
    acknowledged: AtomicUsize,
    news: Notify,
    stop: AtomicBool,
}

impl Progress {
    /// Waits until so many more records are acknowledged.
    async fn more(&self, records: usize) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + records;
        let reached = async {
            while self.acknowledged.load(Ordering::Relaxed) < goal {
                self.news.notified().await;
            }
        };
        let done = tokio::time::timeout(2 * STEP_TIMEOUT, reached).await;
        done.expect("records are acknowledged");
    }
}

/// Writes records of one key until it is told to stop. Returns those that were acknowledged, in
/// order.
async fn write_key(
    writer: KeyedWriter,
    key: usize,
    progress: Arc<Progress>,
) -> Vec<(usize, Acknowledged)> {
    let name = format!("key-{key}");
    let (mut all, mut waiting) = (Vec::new(), VecDeque::new());
    for number in 0.. {
        let stops = progress.stop.load(Ordering::Relaxed);
        if !stops {
            let payload = format!("{name} {number}");
            let submitted = writer.submit(name.as_bytes(), payload.as_bytes());
            let acknowledgement = submitted.await.expect("the writer is open");
            waiting.push_back((number, payload, acknowledgement));
        }
        if waiting.len() < WINDOW && !stops {
            continue;
        }
        let Some((number, payload, acknowledgement)) = waiting.pop_front() else {
            break;
        };
        // None fails: the request timeout is longer than what happens here.
        let written = acknowledgement.await.expect("the record is written");
        let stream = writer.lanes()[0].stream_name(written.stream).to_string();
        let payload = payload.into_bytes();
        let dlsn = written.dlsn;
        all.push((
            number,
            Acknowledged {
                stream,
                dlsn,
                payload,
            },
        ));
        progress.acknowledged.fetch_add(1, Ordering::Relaxed);
        progress.news.notify_one();
    }
    all
}

fn settings() -> SettingsBuilder {
    SettingsBuilder::default()
        .request_timeout(Duration::from_secs(60))
        .max_speculative_timeout(Duration::from_millis(200))
}

/// Kills one proxy after the other, or freezes it.
async fn faults(local: &Local, mut proxies: [Proxy; 2], progress: &Progress) -> [Proxy; 2] {
    for fault in 0..FAULTS {
        progress.more(BETWEEN).await;
        let proxy = &mut proxies[fault % 2];
        if fault % 4 < 2 {
            let port = proxy.address.port();
            proxy.process.signal(Signal::KILL);
            proxy.process.until_gone().await;
            progress.more(BETWEEN / 10).await;
            *proxy = Proxy::start(StoreOf::At(&local.uri()), port, &[]).await;
        } else {
            proxy.process.signal(Signal::STOP);
            progress.more(BETWEEN / 10).await;
            proxy.process.signal(Signal::CONT);
        }
    }
    progress.more(BETWEEN).await;
    proxies
}

/// R20 for the keys of a writer, on a real stack.
#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_a_key_are_in_order_in_every_stream_while_proxies_die_and_freeze() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["--idle-timeout", "1s", "--session-grace", "500ms"];
    let local = Local::start_with(folder.path(), 0, &flags).await;
    let uri = local.uri();
    let first = Proxy::start(StoreOf::At(&uri), 0, &[]).await;
    let second = Proxy::start(StoreOf::At(&uri), 0, &[]).await;
    let name = format!("inet!{},{}", first.address, second.address);
    let builder = MultiStreamWriter::builder(STREAMS).settings(settings());
    let writer = builder.proxies(name).build_keyed().await;
    let writer = writer.expect("a proxy answers");

    // While every stream is healthy, a key's records are in its own.
    for key in 0..KEYS {
        let key = format!("key-{key}");
        let written = writer.write(key.as_bytes(), b"first").await;
        let stream = written.expect("the record is written").stream;
        let stream = writer.lanes()[0].stream_name(stream);
        assert_eq!(stream, writer.stream_of(key.as_bytes()), "{key}");
    }

    let progress = Arc::new(Progress::default());
    let tasks = (0..KEYS).map(|key| {
        let task = write_key(writer.clone(), key, Arc::clone(&progress));
        tokio::spawn(task)
    });
    let tasks: Vec<_> = tasks.collect();
    let proxies = faults(&local, [first, second], &progress).await;
    progress.stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    let mut moves = 0;
    for task in tasks {
        let records = task.await.expect("the task ends");
        let mut last: BTreeMap<&str, Dlsn> = BTreeMap::new();
        for (number, record) in &records {
            let before = last.insert(&record.stream, record.dlsn);
            assert!(
                before.is_none_or(|before| before < record.dlsn),
                "record {number} is at {} in {}, and one before it at {before:?}",
                record.dlsn,
                record.stream
            );
        }
        let streams = records.iter().map(|(_, record)| &record.stream);
        moves += streams
            .clone()
            .zip(streams.skip(1))
            .filter(|(one, next)| one != next)
            .count();
        acknowledged.extend(records.into_iter().map(|(_, record)| record));
    }
    println!("{} records, {moves} moves of keys", acknowledged.len());
    assert!(moves > 0, "no fault has moved a key");

    // Every key returns to its stream.
    let returned = async {
        for key in 0..KEYS {
            let key = format!("key-{key}");
            let home = writer.stream_of(key.as_bytes());
            loop {
                let written = writer.write(key.as_bytes(), b"last").await;
                let stream = written.expect("the record is written").stream;
                if writer.lanes()[0].stream_name(stream) == home {
                    break;
                }
            }
        }
    };
    let returned = tokio::time::timeout(2 * STEP_TIMEOUT, returned).await;
    returned.expect("every stream is healthy again");
    writer.close().await;
    assert_read_back(&local.connect().await, &acknowledged).await;
    drop(proxies);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyed_writer_closes_once_everything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Proxy::start(StoreOf::In(folder.path()), 0, &[]).await;
    let builder = MultiStreamWriter::builder(STREAMS).settings(settings());
    let writer = builder.proxies(proxy.name()).build_keyed().await;
    let writer = writer.expect("the proxy answers");
    let mut acknowledgements = Vec::new();
    for number in 0..1_000_u32 {
        let record = number.to_le_bytes();
        let submitted = writer.submit(&record[..1], &record).await;
        acknowledgements.push(submitted.expect("the writer is open"));
    }
    let closing = tokio::time::timeout(STEP_TIMEOUT, writer.close()).await;
    let closed = closing.expect("it closes");
    assert_eq!(closed.failed, 0);
    for acknowledgement in acknowledgements {
        acknowledgement.await.expect("the record is written");
    }
    assert!(writer.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_of_one_task_keeps_the_order_of_all_its_records() {
    use distributedlog::writer::Order;

    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Proxy::start(StoreOf::In(folder.path()), 0, &[]).await;
    let order = settings().order(Order::Kept { home: 3 });
    let builder = MultiStreamWriter::builder(STREAMS).settings(order);
    let writer = builder.proxies(proxy.name()).build().await;
    let writer = writer.expect("the proxy answers");
    let records: Vec<String> = (0..5_000).map(|it| it.to_string()).collect();
    let mut last = Dlsn::NON_INCLUSIVE_LOWER_BOUND;
    for written in writer.write_batch(&records).await {
        let written = written.expect("the record is written");
        assert_eq!(&*writer.stream_name(written.stream), STREAMS[3]);
        assert!(written.dlsn > last);
        last = written.dlsn;
    }
    writer.close().await;
}
