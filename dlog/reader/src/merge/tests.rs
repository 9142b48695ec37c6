mod runs;

use core::num::NonZeroUsize;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::record_set::{RecordSetBuilder, SetIdentity, WriterId};
use distributedlog_testkit::Random;

use super::merger::MAX_BURST;
use super::*;
use crate::{ReadEvent, Record};
use distributedlog_store::{EntryRecord, LogStore, StoreError, StreamName};
use distributedlog_testkit::store::{MemoryStore, plain};

fn name(stream: usize) -> StreamName {
    StreamName::new(&format!("s-{stream}")).expect("a name")
}

fn id(writer: u8, sequence: u64) -> Option<SetIdentity> {
    Some(SetIdentity {
        writer: WriterId([writer; 16]),
        sequence,
    })
}

/// A set whose records are named after it.
fn set(label: &str, records: u32, identity: Option<SetIdentity>) -> EntryRecord {
    let mut buffer = vec![0; 512];
    let mut builder = RecordSetBuilder::new(buffer.len(), identity.is_some());
    for slot in 0..records {
        builder
            .append(&mut buffer, format!("{label}.{slot}").as_bytes())
            .expect("it fits");
    }
    let payload = Bytes::copy_from_slice(builder.finish(&mut buffer, identity.as_ref()));
    EntryRecord {
        payload,
        slots: records,
        is_record_set: true,
    }
}

fn settings(sequences: u32, writers: u16) -> MergeSettings {
    MergeSettings {
        sequences: sequences.try_into().expect("not zero"),
        writers: writers.try_into().expect("not zero"),
    }
}

/// A store with empty streams, and the number of entries in each.
struct Streams {
    memory: Arc<MemoryStore>,
    store: Arc<dyn LogStore>,
    entries: Vec<i64>,
}

impl Streams {
    async fn new(count: usize) -> Self {
        let memory = MemoryStore::new();
        for stream in 0..count {
            memory.create(&name(stream)).await.expect("it is new");
        }
        Self {
            store: Arc::clone(&memory) as _,
            memory,
            entries: vec![0; count],
        }
    }

    fn put(&mut self, stream: usize, record: EntryRecord) {
        self.memory.put(
            &name(stream),
            Dlsn::new(1, self.entries[stream], 0),
            vec![record],
        );
        self.entries[stream] += 1;
    }

    fn reader(&self, settings: MergeSettings) -> MultiReader {
        let starts = (0..self.entries.len()).map(|stream| (name(stream), Dlsn::INITIAL));
        MultiReader::new(&self.store, starts, settings)
    }

    /// Another reader, from a position that went through its saved form.
    fn restarted(&self, reader: &MultiReader, settings: MergeSettings) -> MultiReader {
        let text = serde_json::to_string(&reader.position()).expect("it serializes");
        MultiReader::resume(
            &self.store,
            &serde_json::from_str(&text).expect("it was just saved"),
            settings,
        )
    }
}

/// The next event, or `None` when the reader waits. The clock is a virtual one.
async fn event(reader: &mut MultiReader) -> Option<Result<MergedEvent, StreamError>> {
    tokio::time::timeout(Duration::from_millis(1), reader.next())
        .await
        .ok()
        .flatten()
}

fn text(record: &Record) -> String {
    String::from_utf8_lossy(&record.payload).into_owned()
}

/// The payloads of what is there, damaged sets as `damaged`, errors as `error`.
async fn all(reader: &mut MultiReader) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(event) = event(reader).await {
        seen.push(match event {
            Ok(MergedEvent {
                event: ReadEvent::Record(record),
                ..
            }) => text(&record),
            Ok(MergedEvent {
                event: ReadEvent::Malformed(_),
                ..
            }) => "damaged".to_owned(),
            Err(_) => "error".to_owned(),
        });
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn one_of_the_duplicates_of_a_set_is_delivered_whole_and_the_others_are_dropped() {
    let mut streams = Streams::new(3).await;
    for stream in [0, 2, 1, 0] {
        streams.put(stream, set("a", 3, id(1, 0)));
    }
    let mut reader = streams.reader(MergeSettings::default());
    assert_eq!(all(&mut reader).await, ["a.0", "a.1", "a.2"]);
    let expected = MergeCounters {
        delivered: 3,
        duplicates_dropped: 9,
        ..MergeCounters::default()
    };
    assert_eq!(reader.counters(), expected);
}

#[tokio::test(start_paused = true)]
async fn without_an_identity_every_duplicate_is_delivered() {
    let mut streams = Streams::new(2).await;
    for stream in 0..2 {
        streams.put(stream, set("a", 2, None));
        streams.put(stream, plain("b"));
    }
    let mut reader = streams.reader(MergeSettings::default());
    let mut seen = all(&mut reader).await;
    seen.sort_unstable();
    assert_eq!(seen, ["a.0", "a.0", "a.1", "a.1", "b", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_that_comes_minutes_and_a_restart_later_is_dropped() {
    let mut streams = Streams::new(2).await;
    streams.put(0, set("a", 2, id(1, 0)));
    let mut reader = streams.reader(MergeSettings::default());
    assert_eq!(all(&mut reader).await, ["a.0", "a.1"]);
    tokio::time::advance(Duration::from_secs(600)).await;
    let mut reader = streams.restarted(&reader, MergeSettings::default());
    streams.put(1, set("a", 2, id(1, 0)));
    streams.put(1, set("b", 1, id(1, 1)));
    assert_eq!(all(&mut reader).await, ["b.0"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_within_a_set_goes_on_there_or_in_a_duplicate_if_the_set_is_gone() {
    for gone in [false, true] {
        let mut streams = Streams::new(2).await;
        streams.put(0, set("a", 3, id(1, 0)));
        let mut reader = streams.reader(MergeSettings::default());
        event(&mut reader)
            .await
            .expect("there is a record")
            .expect("it is no error");
        let mut reader = streams.restarted(&reader, MergeSettings::default());
        if gone {
            streams.memory.delete(&name(0)).await.expect("it is there");
        }
        streams.put(1, set("a", 3, id(1, 0)));
        let mut seen = all(&mut reader).await;
        seen.retain(|event| event != "error");
        assert_eq!(seen, ["a.1", "a.2"], "gone: {gone}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_set_is_reported_and_its_undamaged_duplicate_is_delivered() {
    let mut streams = Streams::new(2).await;
    let mut cut = set("a", 2, id(1, 0));
    cut.payload.truncate(24);
    streams.put(0, cut);
    streams.put(1, set("a", 2, id(1, 0)));
    assert_eq!(
        all(&mut streams.reader(MergeSettings::default())).await,
        ["damaged", "a.0", "a.1"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_stream_is_reported_once_and_the_others_go_on_also_after_a_restart() {
    let mut streams = Streams::new(2).await;
    streams.put(0, set("a", 1, id(1, 0)));
    let mut reader = streams.reader(MergeSettings::default());
    assert_eq!(all(&mut reader).await, ["a.0"]);
    streams.memory.delete(&name(0)).await.expect("it is there");
    let error = event(&mut reader)
        .await
        .expect("the error is reported")
        .expect_err("it is gone");
    assert_eq!((error.stream, error.ended), (name(0), true));
    streams.put(1, set("a", 1, id(1, 0)));
    streams.put(1, set("b", 1, id(1, 1)));
    assert_eq!(all(&mut reader).await, ["b.0"]);
    assert_eq!(reader.streams().collect::<Vec<_>>(), [&name(1)]);
    assert_eq!(
        reader
            .position()
            .streams()
            .map(|(stream, _)| stream.clone())
            .collect::<Vec<_>>(),
        [name(1)]
    );
    streams.memory.delete(&name(1)).await.expect("it is there");
    reader
        .next()
        .await
        .expect("the error is reported")
        .expect_err("it is gone");
    assert_eq!(reader.next().await, None, "nothing is left to read");
}

/// The kind of the next event, which is an error.
async fn kind(reader: &mut MultiReader) -> StreamErrorKind {
    event(reader)
        .await
        .expect("an event is ready")
        .expect_err("it is an error")
        .kind
}

#[tokio::test(start_paused = true)]
async fn a_stream_recreated_between_two_readers_is_reported_and_read_from_its_beginning() {
    let mut streams = Streams::new(2).await;
    for sequence in 0..3 {
        streams.put(0, set(&format!("{sequence}"), 1, id(1, sequence)));
    }
    streams.put(1, set("other", 1, id(2, 0)));
    let mut reader = streams.reader(MergeSettings::default());
    assert_eq!(all(&mut reader).await.len(), 4);
    let position = serde_json::to_string(&reader.position()).expect("it serializes");
    drop(reader);
    streams.memory.delete(&name(0)).await.expect("it is there");
    streams.memory.create(&name(0)).await.expect("it is new");
    streams.entries[0] = 0;
    // A duplicate of a set that was delivered from the old stream, and a new one. Both are before
    // the old position.
    streams.put(0, set("2", 1, id(1, 2)));
    streams.put(0, set("new", 1, id(1, 3)));
    let resumed = |text: &str| {
        MultiReader::resume(
            &streams.store,
            &serde_json::from_str(text).expect("it was saved"),
            MergeSettings::default(),
        )
    };
    let mut reader = resumed(&position);
    assert_eq!(kind(&mut reader).await, StreamErrorKind::Recreated);
    assert_eq!(all(&mut reader).await, ["new.0"]);
    let position = serde_json::to_string(&reader.position()).expect("it serializes");
    assert!(
        all(&mut resumed(&position)).await.is_empty(),
        "reported once, and read once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_position_saved_before_the_first_read_identifies_its_stream() {
    let mut streams = Streams::new(1).await;
    streams.put(0, set("a", 1, id(1, 0)));
    let mut reader = streams.reader(MergeSettings::default());
    assert_eq!(all(&mut reader).await, ["a.0"]);
    // Resumed and saved again without a read in between.
    let reader = streams.restarted(&reader, MergeSettings::default());
    let mut reader = streams.restarted(&reader, MergeSettings::default());
    streams.memory.delete(&name(0)).await.expect("it is there");
    streams.memory.create(&name(0)).await.expect("it is new");
    assert_eq!(kind(&mut reader).await, StreamErrorKind::Recreated);
}

#[tokio::test(start_paused = true)]
async fn a_stream_recreated_while_the_store_was_unreachable_is_noticed_afterwards() {
    let mut streams = Streams::new(1).await;
    streams.put(0, set("a", 1, id(1, 0)));
    let lost = StoreError::Disconnected {
        address: "h:1".into(),
        detail: "reset".into(),
    };
    let mut reader = streams.reader(MergeSettings::default());
    event(&mut reader)
        .await
        .expect("there is a record")
        .expect("it is no error");
    streams.memory.fail_next_read(lost.clone());
    assert_eq!(kind(&mut reader).await, StreamErrorKind::Unreadable(lost));
    streams.memory.delete(&name(0)).await.expect("it is there");
    streams.memory.create(&name(0)).await.expect("it is new");
    streams.entries[0] = 0;
    streams.put(0, set("b", 1, id(1, 1)));
    assert!(event(&mut reader).await.is_none(), "it pauses");
    tokio::time::advance(FIRST_PAUSE_IS_OVER).await;
    assert_eq!(kind(&mut reader).await, StreamErrorKind::Recreated);
    assert_eq!(all(&mut reader).await, ["b.0"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_recreated_between_two_reads_is_noticed() {
    let mut streams = Streams::new(1).await;
    for sequence in 0..3 {
        streams.put(0, set(&format!("{sequence}"), 1, id(1, sequence)));
    }
    let mut reader = streams.reader(MergeSettings::default());
    event(&mut reader)
        .await
        .expect("there is a record")
        .expect("it is no error");
    // Two records more were read and are delivered without a read of the store.
    streams.memory.delete(&name(0)).await.expect("it is there");
    streams.memory.create(&name(0)).await.expect("it is new");
    streams.entries[0] = 0;
    for sequence in 3..7 {
        streams.put(0, set(&format!("{sequence}"), 1, id(1, sequence)));
    }
    for _ in 0..2 {
        event(&mut reader)
            .await
            .expect("there is a record")
            .expect("it is no error");
    }
    assert_eq!(kind(&mut reader).await, StreamErrorKind::Recreated);
    assert_eq!(all(&mut reader).await, ["3.0", "4.0", "5.0", "6.0"]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_resumes_at_a_position_that_an_older_version_saved() {
    let mut streams = Streams::new(1).await;
    streams.put(0, plain("old"));
    streams.put(0, plain("new"));
    let text = concat!(
        r#"{"format":1,"streams":[{"stream":"s-0","next":"#,
        r#"{"log_segment_sequence_no":1,"entry_id":1,"slot_id":0}}],"writers":[],"parts":[]}"#
    );
    let position: MergePosition = serde_json::from_str(text).expect("a position");
    assert_eq!(position.created_unix_ms(&name(0)), None);
    let mut reader = MultiReader::resume(&streams.store, &position, MergeSettings::default());
    assert_eq!(all(&mut reader).await, ["new"]);
    assert!(
        reader.position().created_unix_ms(&name(0)).is_some(),
        "from now on it is known"
    );
}

#[tokio::test(start_paused = true)]
async fn truncation_behind_the_reader_repeats_nothing_and_ahead_of_it_duplicates_are_delivered() {
    let mut streams = Streams::new(2).await;
    for sequence in 0..4 {
        let label = format!("{sequence}");
        streams.put(0, set(&label, 2, id(1, sequence)));
    }
    let mut reader = streams.reader(MergeSettings::default());
    for _ in 0..3 {
        event(&mut reader)
            .await
            .expect("there is a record")
            .expect("it is no error");
    }
    let mut reader = streams.restarted(&reader, MergeSettings::default());
    // Delivered: 0.0, 0.1, 1.0. Sets 0 to 2 go from their first stream.
    streams
        .memory
        .truncate(&name(0), Dlsn::new(1, 3, 0))
        .await
        .expect("it is there");
    for sequence in [2, 1, 0] {
        streams.put(1, set(&format!("{sequence}"), 2, id(1, sequence)));
    }
    let mut seen = all(&mut reader).await;
    seen.sort_unstable();
    assert_eq!(seen, ["1.1", "2.0", "2.1", "3.0", "3.1"]);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_window_nothing_is_lost_and_possible_duplicates_are_counted() {
    let mut streams = Streams::new(2).await;
    // Sequence 0 never comes, so nothing before a window's edge stays known.
    for sequence in 1..400 {
        streams.put(0, set(&format!("{sequence}"), 1, id(1, sequence)));
    }
    let mut reader = streams.reader(settings(64, 1));
    assert_eq!(all(&mut reader).await.len(), 399);
    for sequence in [0, 336, 400] {
        streams.put(1, set(&format!("late {sequence}"), 1, id(1, sequence)));
    }
    assert_eq!(
        all(&mut reader).await,
        ["late 0.0", "late 400.0"],
        "0 is unknown, 336 a duplicate, 400 new"
    );
    assert_eq!(reader.counters().beyond_window, 1);
}

#[tokio::test(start_paused = true)]
async fn duplicates_of_a_writer_are_delivered_only_after_its_window_was_dropped() {
    let mut streams = Streams::new(2).await;
    for writer in 0..4 {
        streams.put(0, set(&format!("{writer}"), 1, id(writer, 7)));
        // Writer 0 is met again and again.
        streams.put(0, set("copy", 1, id(0, 7)));
    }
    let mut reader = streams.reader(settings(64, 2));
    assert_eq!(all(&mut reader).await, ["0.0", "1.0", "2.0", "3.0"]);
    assert_eq!(reader.counters().writers_forgotten, 2);
    let mut reader = streams.restarted(&reader, settings(64, 2));
    for writer in [0, 3, 1] {
        streams.put(1, set(&format!("late {writer}"), 1, id(writer, 7)));
    }
    assert_eq!(all(&mut reader).await, ["late 1.0"]);
    assert_eq!(reader.counters().beyond_window, 1, "it came twice");
}

#[tokio::test(start_paused = true)]
async fn records_that_come_twice_because_their_writers_were_forgotten_are_counted() {
    let mut streams = Streams::new(2).await;
    for stream in 0..2 {
        for writer in 0..100 {
            streams.put(stream, set(&format!("{writer}"), 1, id(writer, 0)));
        }
    }
    let start = (name(0), Dlsn::INITIAL);
    let mut reader = MultiReader::new(&streams.store, [start], settings(64, 40));
    assert_eq!(all(&mut reader).await.len(), 100);
    let position = reader.position().with_stream(name(1), Dlsn::INITIAL);
    let mut reader = MultiReader::resume(&streams.store, &position, settings(64, 40));
    assert_eq!(
        all(&mut reader).await.len(),
        100,
        "each was forgotten when it came again"
    );
    assert_eq!(reader.counters().beyond_window, 100);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_and_a_failing_one_delay_no_other() {
    let mut streams = Streams::new(3).await;
    for sequence in 0..100 {
        for stream in 0..3 {
            streams.put(
                stream,
                set(
                    &format!("{sequence}"),
                    1,
                    id(u8::try_from(stream).expect("small"), sequence),
                ),
            );
        }
    }
    streams.memory.stall_reads_of(&name(0));
    let lost = StoreError::Disconnected {
        address: "h:1".into(),
        detail: "reset".into(),
    };
    streams.memory.fail_next_read(lost);
    let mut reader = streams.reader(MergeSettings::default());
    let seen = all(&mut reader).await;
    assert_eq!(
        (
            seen.len(),
            seen.iter().filter(|event| *event == "error").count()
        ),
        (101, 1),
        "the third stream's, and the error"
    );
    tokio::time::advance(FIRST_PAUSE_IS_OVER).await;
    assert_eq!(
        all(&mut reader).await.len(),
        100,
        "the second stream is tried again"
    );
}

const FIRST_PAUSE_IS_OVER: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn streams_take_turns_and_a_waiting_one_is_polled_although_another_has_full_buffers() {
    let mut streams = Streams::new(2).await;
    for sequence in 0..500 {
        streams.put(0, set("a", 2, id(1, sequence)));
    }
    let mut reader = streams.reader(MergeSettings::default());
    event(&mut reader)
        .await
        .expect("there is a record")
        .expect("it is no error");
    for sequence in 0..10 {
        streams.put(1, set("b", 1, id(2, sequence)));
    }
    let seen = all(&mut reader).await;
    let last = seen
        .iter()
        .rposition(|record| record == "b.0")
        .expect("they are delivered");
    let bound = 2 * usize::try_from(MAX_BURST).expect("small") + 3 * 10;
    assert!(last <= bound, "the last of ten came after {last} records");
}

#[tokio::test(start_paused = true)]
async fn repeated_calls_at_the_end_read_each_stream_once() {
    let streams = Streams::new(3).await;
    let mut reader = streams.reader(MergeSettings::default());
    for _ in 0..50 {
        assert!(event(&mut reader).await.is_none());
    }
    assert_eq!(streams.memory.reads(), 3);
}

#[test]
fn an_invalid_position_is_refused() {
    let good = concat!(
        r#"{"format":1,"streams":[{"stream":"s","next":"#,
        r#"{"log_segment_sequence_no":1,"entry_id":0,"slot_id":0}}],"writers":[],"parts":[]}"#
    );
    let read =
        |text: &str| serde_json::from_str::<MergePosition>(text).map_err(|error| error.to_string());
    read(good).expect("a position");
    let window = |known_from: u64, base: u64| {
        let writer = format!(
            "{{\"writer\":{:?},\"window\":{{\"known_from\":{known_from},\"base\":{base},\"words\":\
             [1,2]}}}}",
            [7_u8; 16]
        );
        good.replace("\"writers\":[]", &format!("\"writers\":[{writer}]"))
    };
    read(&window(5, 64)).expect("a position");
    let stream = &good[good.find("{\"stream\"").expect("it is there")
        ..good.find("],\"writers").expect("it is there")];
    for (text, said) in [
        (
            good.replace("\"format\":1", "\"format\":2"),
            "its format is 2, this program reads 1",
        ),
        (
            good.replace(stream, &format!("{stream},{stream}")),
            "names stream s twice",
        ),
        (window(65, 64), "in an impossible way"),
        (window(5, 63), "in an impossible way"),
        (window(5, u64::MAX - 63), "in an impossible way"),
        (
            good.replace("\"parts\":[]", "\"parts\":[],\"more\":1"),
            "unknown field",
        ),
        (good[..60].to_owned(), "EOF"),
    ] {
        let error = read(&text).expect_err(&text);
        assert!(error.contains(said), "{error}");
    }
}

/// One stored set; several may be duplicates of each other.
struct Written {
    label: String,
    records: u32,
    identity: Option<SetIdentity>,
}

/// Makes up to 120 sets of three writers, one of which gives no identity, with up to three
/// duplicates each, in any order. Returns the stream and the set of each.
fn written(random: &mut Random, streams: usize) -> Vec<(usize, Written)> {
    let mut duplicates = Vec::new();
    for number in 0..random.index(120) {
        let writer = u8::try_from(random.index(3)).expect("small");
        let records = u32::try_from(1 + random.index(4)).expect("small");
        for _ in 0..=random.index(3) {
            let identity = id(writer, number as u64 / 2).filter(|_| writer > 0);
            let label = format!("{writer}-{}", number / 2);
            // Two numbers share a sequence: the same set, so the same records.
            let records = if writer > 0 {
                1 + (number as u32 / 2) % 4
            } else {
                records
            };
            duplicates.push((
                random.index(streams),
                Written {
                    label,
                    records,
                    identity,
                },
            ));
        }
    }
    for index in (1..duplicates.len()).rev() {
        duplicates.swap(index, random.index(index + 1));
    }
    duplicates
}

/// Writes the sets one by one, with reads of records and of runs, dropped reads and restarts
/// between them. Every other reader reads ahead. Returns how often each record was delivered, and
/// how many were counted as beyond the window.
async fn run(
    random: &mut Random,
    duplicates: &[(usize, Written)],
    starts: &[Dlsn],
    settings: MergeSettings,
) -> (BTreeMap<String, u32>, u64) {
    let mut streams = Streams::new(starts.len()).await;
    let from = (0..).map(name).zip(starts.iter().copied());
    let mut reader = MultiReader::new(&streams.store, from, settings);
    let (mut seen, mut beyond) = (BTreeMap::new(), 0);
    let mut left = duplicates.iter();
    let mut done = false;
    while !done {
        match random.index(8) {
            0 => {
                beyond += reader.counters().beyond_window;
                reader = streams.restarted(&reader, settings);
                if random.index(2) == 0 {
                    reader = reader.reading_ahead(1 << 20);
                }
            }
            1..4 => {
                if let Some((
                    stream,
                    Written {
                        label,
                        records,
                        identity,
                    },
                )) = left.next()
                {
                    streams.put(*stream, set(label, *records, *identity));
                }
            }
            4..6 => match event(&mut reader).await {
                Some(Ok(MergedEvent {
                    event: ReadEvent::Record(record),
                    ..
                })) => *seen.entry(text(&record)).or_default() += 1,
                Some(other) => panic!("{other:?}"),
                None => done = left.len() == 0,
            },
            _ => {
                let most = NonZeroUsize::MIN.saturating_add(random.index(4));
                match runs::next(&mut reader, most).await {
                    Some(run) => {
                        assert!((1..=most.get()).contains(&run.len()), "{run:?}");
                        for (_, payload) in run.iter() {
                            let record = String::from_utf8_lossy(payload).into_owned();
                            *seen.entry(record).or_default() += 1;
                        }
                    }
                    None => done = left.len() == 0,
                }
            }
        }
    }
    (seen, beyond + reader.counters().beyond_window)
}

/// Returns how often each record at and after the starts is to be delivered: once, or once for each
/// duplicate if the set has no identity.
fn expected(duplicates: &[(usize, Written)], starts: &[Dlsn]) -> BTreeMap<String, u32> {
    let mut expected = BTreeMap::new();
    let mut entries = vec![0; starts.len()];
    for (
        stream,
        Written {
            label,
            records,
            identity,
        },
    ) in duplicates
    {
        for slot in 0..*records {
            if Dlsn::new(1, entries[*stream], i64::from(slot)) >= starts[*stream] {
                let count = expected.entry(format!("{label}.{slot}")).or_default();
                *count = if identity.is_some() { 1 } else { *count + 1 };
            }
        }
        entries[*stream] += 1;
    }
    expected
}

/// The test of R12's reading half.
#[tokio::test(start_paused = true)]
async fn each_record_is_delivered_once_in_any_order_of_duplicates_across_restarts_from_any_start() {
    for seed in 1..=1_000 {
        let mut random = Random::new(seed);
        let count = 1 + random.index(5);
        let duplicates = written(&mut random, count);
        let mut any_start = || match random.index(3) {
            0 => Dlsn::new(1, random.index(20) as i64, random.index(4) as i64),
            _ => Dlsn::INITIAL,
        };
        let starts: Vec<Dlsn> = (0..count).map(|_| any_start()).collect();
        let (seen, beyond) = run(&mut random, &duplicates, &starts, MergeSettings::default()).await;
        assert_eq!(
            (seen, beyond),
            (expected(&duplicates, &starts), 0),
            "seed {seed}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn with_any_window_nothing_is_lost_and_every_repetition_is_counted() {
    let mut doubles = 0;
    for seed in 1..=300 {
        let mut random = Random::new(seed);
        let mut duplicates = written(&mut random, 3);
        for (_, written) in &mut duplicates {
            // Gaps far wider than the window.
            written.identity = written.identity.map(|identity| SetIdentity {
                sequence: identity.sequence * 13,
                ..identity
            });
        }
        let starts = [Dlsn::INITIAL; 3];
        let (seen, beyond) = run(&mut random, &duplicates, &starts, settings(64, 8)).await;
        let expected = expected(&duplicates, &starts);
        assert!(
            seen.keys().eq(expected.keys()),
            "seed {seed}: something is lost"
        );
        let extra: u32 = seen
            .iter()
            .map(|(record, count)| count - expected[record])
            .sum();
        assert!(
            u64::from(extra) <= beyond,
            "seed {seed}: {extra} doubles, {beyond} beyond the window"
        );
        doubles += extra;
    }
    assert!(doubles > 0, "the window was never left");
}

#[tokio::test(start_paused = true)]
async fn every_missing_stream_is_named_and_the_others_are_read() {
    let mut streams = Streams::new(2).await;
    streams.put(0, plain("a"));
    streams.put(1, plain("b"));
    let starts = [5, 0, 6, 1].map(|stream| (name(stream), Dlsn::INITIAL));
    let mut reader = MultiReader::new(&streams.store, starts, MergeSettings::default());
    let (mut missing, mut read) = (Vec::new(), Vec::new());
    while let Some(event) = event(&mut reader).await {
        match event {
            Ok(MergedEvent {
                event: ReadEvent::Record(record),
                ..
            }) => read.push(text(&record)),
            Ok(merged) => panic!("{merged:?}"),
            Err(error) => {
                assert!(error.ended && error.to_string().contains(error.stream.as_str()));
                missing.push(error.stream);
            }
        }
    }
    missing.sort();
    read.sort();
    assert_eq!(missing, [name(5), name(6)]);
    assert_eq!(read, ["a", "b"]);
    let left: Vec<_> = reader.streams().cloned().collect();
    assert_eq!(left, [name(0), name(1)]);
}
