//! R12 from end to end: a plain reader delivers duplicates that were stored late, a merged reader
//! each record once.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog::writer::{Budget, Health, Settings};
use distributedlog_proxy::Proxy;
use distributedlog_reader::{MergeCounters, MergeSettings, MultiReader, ReadEvent};
use distributedlog_store::LogStore;
use distributedlog_testkit::store::MemoryStore;
use distributedlog_tests::load::{RawClient, WriteReply};
use distributedlog_tests::process::{From, Process, Starting};
use distributedlog_tests::records;
use distributedlog_tests::stack::{self, Local, STREAMS, StoreOf};
use distributedlog_tokio::MultiStreamWriter;
use rustix::process::Signal;

/// Delay after which a set is sent to a second stream.
const FIRST_SPECULATIVE_TIMEOUT: Duration = Duration::from_millis(50);
/// Records of each phase.
const RECORDS: usize = 100;
/// Last record of each stream.
const END: &str = "the end";

/// Writes the records of a phase at once, each named after the phase and its number. Every write
/// succeeds.
async fn write(writer: &MultiStreamWriter, phase: &str) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..RECORDS {
        let (writer, record) = (writer.clone(), format!("{phase} {number}"));
        tasks.spawn(async move {
            writer
                .write(record.as_bytes())
                .await
                .unwrap_or_else(|error| panic!("{record}: {error:?}"));
        });
    }
    tasks.join_all().await;
}

/// Records that a merged reader delivered.
#[derive(Debug, Default)]
struct Delivered {
    counts: BTreeMap<String, usize>,
    ends: usize,
}

impl Delivered {
    /// Reads until this number of records was delivered in total; without a number, until every
    /// stream has ended.
    async fn read(&mut self, reader: &mut MultiReader, records: Option<usize>) {
        while self.ends < STREAMS.len() && records.is_none_or(|records| self.counts.len() < records)
        {
            let merged = reader
                .next()
                .await
                .expect("no stream is deleted")
                .expect("every stream can be read");
            let ReadEvent::Record(record) = merged.event else {
                panic!("{merged:?}")
            };
            match String::from_utf8(record.payload.to_vec()).expect("the tests write text") {
                end if end == END => self.ends += 1,
                text => *self.counts.entry(text).or_default() += 1,
            }
        }
    }

    fn assert_each_once(&self) {
        let phases = ["healthy", "stalled", "released"];
        let expected: BTreeSet<String> = phases
            .iter()
            .flat_map(|phase| (0..RECORDS).map(move |number| format!("{phase} {number}")))
            .collect();
        assert!(
            self.counts.keys().eq(&expected),
            "{} of {} records were delivered",
            self.counts.len(),
            expected.len()
        );
        let doubled: Vec<_> = self
            .counts
            .iter()
            .filter(|(_, count)| **count > 1)
            .collect();
        assert!(doubled.is_empty(), "{doubled:?}");
    }
}

fn reader(store: &Arc<dyn LogStore>) -> MultiReader {
    let starts = STREAMS.map(|stream| (stream.parse().expect("a name"), Dlsn::INITIAL));
    MultiReader::new(store, starts, MergeSettings::default())
}

/// The end-to-end test of R12.
#[tokio::test(flavor = "multi_thread")]
async fn late_duplicates_are_stored_and_a_merged_reader_delivers_each_record_once_across_restarts()
{
    let memory = MemoryStore::new();
    let store: Arc<dyn LogStore> = Arc::clone(&memory) as _;
    for stream in STREAMS {
        store
            .create(&stream.parse().expect("a name"))
            .await
            .expect("it is new");
    }
    let settings = distributedlog_proxy::Settings::builder()
        .listen(([127, 0, 0, 1], 0).into())
        .build()
        .expect("the address is valid");
    let proxy = Proxy::start(settings, Arc::clone(&store))
        .await
        .expect("it starts");
    // On a busy machine healthy streams are hedged too. Neither may that put the stream that will
    // stall on probation, which would leave it without duplicates, nor use up the hedges.
    let settings = Settings::builder().health(Health::Off).budget(Budget::Off);
    let writer = MultiStreamWriter::builder(STREAMS)
        .settings(settings)
        .proxies(format!("inet!{}", proxy.local_addr()))
        .buffer_size(0)
        .request_timeout(Duration::from_secs(60))
        .speculative_timeouts(FIRST_SPECULATIVE_TIMEOUT, Duration::from_secs(2));
    let writer = writer.build().await.expect("connects");

    write(&writer, "healthy").await;
    // The proxy's own switch keeps requests before they are carried out, where the writer's
    // cancelling still reaches them. A disk that hangs keeps them behind that point, and what it
    // stores once it goes on are the late duplicates.
    memory.hold_appends_of(&STREAMS[2].parse().expect("a name"));
    write(&writer, "stalled").await;
    // A reader delivers the first duplicates, and is dropped before the others are stored.
    let mut delivered = Delivered::default();
    let mut first = reader(&store);
    delivered
        .read(&mut first, Some(RECORDS + RECORDS / 2))
        .await;
    let saved = serde_json::to_string(&first.position()).expect("it serializes");
    drop(first);
    let late = memory.release_appends();
    write(&writer, "released").await;
    writer.close().await;
    let mut client = RawClient::connect(proxy.local_addr())
        .await
        .expect("connects");
    for stream in STREAMS {
        let said = client
            .write(stream, END.as_bytes())
            .await
            .expect("answered");
        assert!(matches!(said, WriteReply::Stored(_)), "{said:?}");
    }

    let mut stored = 0;
    for stream in STREAMS {
        stored += records::read_all(&store, stream).await.len() - 1;
    }
    let duplicates = stored - 3 * RECORDS;
    println!(
        "{stored} records stored, {duplicates} duplicates, {late} sets were stored late; saved \
         position: {} bytes",
        saved.len()
    );
    assert!(duplicates > 0, "without duplicates nothing is proved");

    let position = serde_json::from_str(&saved).expect("it was just saved");
    delivered
        .read(
            &mut MultiReader::resume(&store, &position, MergeSettings::default()),
            None,
        )
        .await;
    delivered.assert_each_once();

    let (mut whole, mut all) = (Delivered::default(), reader(&store));
    whole.read(&mut all, None).await;
    whole.assert_each_once();
    let (delivered, duplicates) = ((3 * RECORDS + STREAMS.len()) as u64, duplicates as u64);
    let mut expected = MergeCounters::default();
    expected.delivered = delivered;
    expected.duplicates_dropped = duplicates;
    assert_eq!(all.counters(), expected);
    proxy.drain().await;
}

/// Writes these messages by `dlog console-multi-writer`.
async fn type_messages(proxy: &stack::Proxy, messages: &[String]) {
    let mut writer = Starting::dlog(["console-multi-writer", &proxy.name(), &STREAMS.join(",")])
        .with_stdin()
        .start();
    writer.type_in(&format!("{}\n", messages.join("\n"))).await;
    writer.end_input();
    let _ = writer.until_exit().await.with_code(0);
}

async fn next_messages(reader: &mut Process, count: usize) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    while seen.len() < count {
        seen.insert(
            reader
                .until_line("a message", |_, line| {
                    line.starts_with("message-").then(|| line.to_owned())
                })
                .await,
        );
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn the_merging_reader_goes_on_where_it_was_interrupted() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(&folder.path().join("store"), 0).await;
    let proxy = stack::Proxy::start(StoreOf::At(&local.uri()), 0, &[]).await;
    let store = local.connect().await;
    for stream in STREAMS {
        store
            .create(&stream.parse().expect("a name"))
            .await
            .expect("it is new");
    }
    let (uri, streams, file) = (
        local.uri().to_string(),
        STREAMS.join(","),
        folder.path().join("position"),
    );
    let file = file.to_str().expect("temporary folders have plain names");
    let read = |more: &[&str]| {
        let flags = [
            "multi-reader",
            "-v",
            "--merge",
            "--position",
            file,
            "--from",
            "oldest",
            &uri,
            &streams,
        ];
        Starting::dlog(flags.iter().chain(more)).start()
    };
    let messages: Vec<String> = (1..=20)
        .map(|number| format!("message-{number:02}"))
        .collect();
    let (before, after) = messages.split_at(12);
    type_messages(&proxy, before).await;
    let mut reader = read(&[]);
    assert_eq!(
        next_messages(&mut reader, before.len()).await,
        before.iter().cloned().collect()
    );
    reader.signal(Signal::INT);
    let ended = reader.until_exit().await.with_code(0);
    assert!(
        ended
            .text(From::Stderr)
            .contains("12 records read, 0 duplicates dropped"),
        "{}",
        ended.text(From::Stderr)
    );
    type_messages(&proxy, after).await;
    let ended = read(&["--count", "8"]).until_exit().await.with_code(0);
    let text = ended.text(From::Stdout);
    let printed: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("message-"))
        .collect();
    assert_eq!(
        printed.iter().copied().collect::<BTreeSet<_>>(),
        after.iter().map(String::as_str).collect()
    );
    assert_eq!(printed.len(), after.len());
}
