use bytes::Bytes;
use distributedlog::wire::record_set::{Lz4Table, RecordSetBuilder, SetIdentity, WriterId};
use distributedlog_testkit::Random;

use super::*;
use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
use distributedlog_store::{Acquired, Entry, EntryRecord, Lease, Owner};
use distributedlog_testkit::store::{MemoryStore, plain};

fn stream() -> StreamName {
    StreamName::new("s").expect("a name")
}

fn reader(store: &Arc<MemoryStore>, from: Dlsn) -> LogReader {
    LogReader::new(Arc::clone(store) as Arc<dyn LogStore>, stream(), from)
}

fn set(records: &[&str], identity: Option<SetIdentity>, slots: u32) -> EntryRecord {
    let mut buffer = vec![0; 4096];
    let mut builder = RecordSetBuilder::new(buffer.len(), identity.is_some());
    for record in records {
        builder
            .append(&mut buffer, record.as_bytes())
            .expect("it fits");
    }
    let payload = Bytes::copy_from_slice(builder.finish(&mut buffer, identity.as_ref()));
    EntryRecord {
        payload,
        slots,
        is_record_set: true,
    }
}

fn lz4_set(records: &[&str]) -> EntryRecord {
    let (mut buffer, mut out) = (vec![0; 1024], vec![0; 2048]);
    let mut builder = RecordSetBuilder::new(buffer.len(), false);
    for record in records {
        builder
            .append(&mut buffer, record.as_bytes())
            .expect("it fits");
    }
    let set = builder
        .finish_lz4(&mut buffer, None, &mut Lz4Table::new(), &mut out)
        .expect("there is room");
    assert_eq!(set[3], 1, "it was worth compressing");
    EntryRecord {
        payload: Bytes::copy_from_slice(set),
        slots: builder.record_count(),
        is_record_set: true,
    }
}

/// Reads to the end. Records are `entry.slot payload`, damaged sets `entry.slot +slots damaged`.
async fn all(reader: &mut LogReader) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(event) = reader.next_available().await.expect("the store answers") {
        let at = event.dlsn();
        seen.push(match event {
            ReadEvent::Record(record) => format!(
                "{}.{} {}",
                at.entry_id,
                at.slot_id,
                String::from_utf8_lossy(&record.payload)
            ),
            ReadEvent::Malformed(set) => {
                format!("{}.{} +{} damaged", at.entry_id, at.slot_id, set.slots)
            }
        });
    }
    seen
}

#[tokio::test]
async fn records_alone_in_sets_and_compressed_have_their_own_positions() {
    let store = MemoryStore::new();
    store.put(
        &stream(),
        Dlsn::INITIAL,
        vec![plain("a"), set(&["b", "", "c"], None, 3), plain("d")],
    );
    store.put(
        &stream(),
        Dlsn::new(1, 2, 0),
        vec![lz4_set(&["eeeeeeeeeeeeeeeeeeeeeeee", "", "f"])],
    );
    let seen = all(&mut reader(&store, Dlsn::INITIAL)).await;
    assert_eq!(
        seen,
        [
            "0.0 a",
            "0.1 b",
            "0.2 ",
            "0.3 c",
            "0.4 d",
            "2.0 eeeeeeeeeeeeeeeeeeeeeeee",
            "2.1 ",
            "2.2 f"
        ]
    );
}

#[tokio::test]
async fn a_reader_that_starts_within_a_set_skips_the_slots_before_its_start() {
    let store = MemoryStore::new();
    store.put(
        &stream(),
        Dlsn::INITIAL,
        vec![plain("a"), set(&["b", "c", "d"], None, 3)],
    );
    store.put_plain(&stream(), 1, "e");
    for (from, expected) in [(0, 5), (1, 4), (2, 3), (4, 1), (9, 1)] {
        let seen = all(&mut reader(&store, Dlsn::new(1, 0, from))).await;
        assert_eq!(seen.len(), expected, "from slot {from}: {seen:?}");
        assert_eq!(seen.last().map(String::as_str), Some("1.0 e"));
    }
}

#[tokio::test]
async fn a_damaged_set_is_reported_with_its_positions_and_reading_goes_on_behind_it() {
    let store = MemoryStore::new();
    let mut cut = set(&["lost", "lost too"], None, 2);
    cut.payload.truncate(20);
    // The proxy counted three records, the set has two: it is unknown which slots they have.
    store.put(
        &stream(),
        Dlsn::INITIAL,
        vec![
            plain("a"),
            cut,
            plain("b"),
            set(&["c", "d"], None, 3),
            plain("e"),
        ],
    );
    assert_eq!(
        all(&mut reader(&store, Dlsn::INITIAL)).await,
        [
            "0.0 a",
            "0.1 +2 damaged",
            "0.3 b",
            "0.4 +3 damaged",
            "0.7 e"
        ]
    );
    assert_eq!(
        all(&mut reader(&store, Dlsn::new(1, 0, 2))).await,
        ["0.2 +1 damaged", "0.3 b", "0.4 +3 damaged", "0.7 e"]
    );
}

#[tokio::test]
async fn the_message_of_a_damaged_set_has_its_position_and_the_damage() {
    let store = MemoryStore::new();
    store.put(
        &stream(),
        Dlsn::INITIAL,
        vec![EntryRecord {
            payload: Bytes::from_static(b"nonsense"),
            slots: 2,
            is_record_set: true,
        }],
    );
    let event = reader(&store, Dlsn::INITIAL)
        .next()
        .await
        .expect("the store answers");
    let ReadEvent::Malformed(set) = event else {
        panic!("{event:?}")
    };
    assert_eq!(
        set.to_string(),
        "the record set of 2 records and 8 bytes at DLSN{logSegmentSequenceNo=1, entryId=0, \
         slotId=0} cannot be read: not a valid record set: at offset 0: 8 bytes, a header has 16"
    );
}

#[tokio::test]
async fn a_set_that_decompresses_beyond_the_limit_is_refused_before_it_is_decompressed() {
    let store = MemoryStore::new();
    let bomb: Vec<u8> = [0x1001_u32, 1, 0x7fff_ffff, 4, 0]
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .collect();
    store.put(
        &stream(),
        Dlsn::INITIAL,
        vec![EntryRecord {
            payload: bomb.into(),
            slots: 1,
            is_record_set: true,
        }],
    );
    assert_eq!(
        all(&mut reader(&store, Dlsn::INITIAL)).await,
        ["0.0 +1 damaged"]
    );
}

#[tokio::test]
async fn records_of_a_set_with_an_identity_have_it_outside_their_payload() {
    let identity = SetIdentity {
        writer: WriterId([7; 16]),
        sequence: 41,
    };
    let store = MemoryStore::new();
    store.put(
        &stream(),
        Dlsn::INITIAL,
        vec![set(&["a"], Some(identity), 1), plain("b")],
    );
    let mut reader = reader(&store, Dlsn::INITIAL);
    let mut sets = Vec::new();
    while let Some(ReadEvent::Record(record)) =
        reader.next_available().await.expect("the store answers")
    {
        sets.push((record.payload, record.set));
    }
    assert_eq!(
        sets,
        [
            (Bytes::from_static(b"a"), Some(identity)),
            (Bytes::from_static(b"b"), None)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn at_the_end_a_reader_waits_for_the_next_record_without_polling() {
    let store = MemoryStore::new();
    store.put_plain(&stream(), 0, "a");
    let mut reader = reader(&store, Dlsn::INITIAL);
    assert!(matches!(reader.next().await, Ok(ReadEvent::Record(record)) if record.payload == "a"));
    let late = Arc::clone(&store);
    tokio::spawn(async move {
        // Longer than one read waits; the clock is a virtual one.
        tokio::time::sleep(2 * WAIT + Duration::from_secs(1)).await;
        late.put_plain(&stream(), 1, "b");
    });
    assert!(matches!(reader.next().await, Ok(ReadEvent::Record(record)) if record.payload == "b"));
    assert_eq!(
        store.reads(),
        4,
        "one for the first record, three waits of half a minute at most"
    );
}

#[tokio::test(start_paused = true)]
async fn dropping_a_waiting_next_loses_nothing() {
    let store = MemoryStore::new();
    store.put(&stream(), Dlsn::INITIAL, vec![set(&["a", "b"], None, 2)]);
    let mut reader = reader(&store, Dlsn::INITIAL);
    let mut seen = Vec::new();
    for round in 0..4 {
        while let Ok(event) = tokio::time::timeout(Duration::from_millis(1), reader.next()).await {
            seen.push(event.expect("the store answers").dlsn());
        }
        store.put_plain(&stream(), round + 1, "x");
    }
    let expected: Vec<Dlsn> = [(0, 0), (0, 1), (1, 0), (2, 0), (3, 0)]
        .map(|(entry, slot)| Dlsn::new(1, entry, slot))
        .to_vec();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn after_an_error_a_reader_continues_where_it_was() {
    let store = MemoryStore::new();
    store.put_plain(&stream(), 0, "a");
    let mut reader = reader(&store, Dlsn::INITIAL);
    let lost = StoreError::Disconnected {
        address: "h:1".into(),
        detail: "reset".into(),
    };
    store.fail_next_read(lost.clone());
    assert_eq!(reader.next().await, Err(lost));
    assert_eq!(all(&mut reader).await, ["0.0 a"]);
}

#[tokio::test]
async fn another_reader_continues_at_a_readers_position() {
    let store = MemoryStore::new();
    store.put(&stream(), Dlsn::INITIAL, vec![set(&["a", "b"], None, 2)]);
    store.put_plain(&stream(), 1, "c");
    let mut first = reader(&store, Dlsn::INITIAL);
    for rest in [&["0.1 b", "1.0 c"][..], &["1.0 c"], &[]] {
        first.next().await.expect("the store answers");
        assert_eq!(all(&mut reader(&store, first.position())).await, rest);
    }
}

#[tokio::test]
async fn a_store_whose_next_position_makes_no_progress_is_an_error() {
    let store = MemoryStore::new();
    store.put_plain(&stream(), 0, "a");
    store.claim_next(Dlsn::INITIAL);
    let error = reader(&store, Dlsn::INITIAL)
        .next()
        .await
        .expect_err("the next position is the one that was asked for");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

const LONG: &str = "compressible compressible compressible compressible compressible compressible \
                    compressible compressible";
const PAYLOADS: [&str; 5] = ["", "a", "bb", "ccc", LONG];

/// A stream of up to eight entries of up to four stored records each, with gaps between them, and
/// what a reader of all of it sees.
fn any_stream(random: &mut Random) -> (Arc<MemoryStore>, Vec<(Dlsn, &'static str)>) {
    let store = MemoryStore::new();
    let mut expected = Vec::new();
    let mut start = Dlsn::INITIAL;
    for _ in 0..=random.below(8) {
        let mut dlsn = start;
        let mut records = Vec::new();
        for _ in 0..=random.below(3) {
            let (stored, payloads) = any_record(random);
            records.push(stored);
            for payload in payloads {
                expected.push((dlsn, payload));
                dlsn = dlsn.slot(1);
            }
        }
        store.put(&stream(), start, records);
        start.entry_id += 1 + i64::try_from(random.below(2)).expect("small");
    }
    (store, expected)
}

/// A plain record, a set, or a compressed set, and its payloads.
fn any_record(random: &mut Random) -> (EntryRecord, Vec<&'static str>) {
    let kind = random.below(3);
    let mut any_payload = || PAYLOADS[usize::try_from(random.below(5)).expect("small")];
    let mut payloads = vec![any_payload()];
    if kind == 0 {
        return (plain(payloads[0]), payloads);
    }
    while payloads.len() < 5 && any_payload() != LONG {
        payloads.push(any_payload());
    }
    if kind == 1 {
        return (
            set(
                &payloads,
                None,
                u32::try_from(payloads.len()).expect("small"),
            ),
            payloads,
        );
    }
    payloads.push(LONG);
    (lz4_set(&payloads), payloads)
}

#[tokio::test]
async fn a_reader_from_any_position_delivers_every_record_from_there_on() {
    for seed in 1..=500 {
        let mut random = Random::new(seed);
        let (store, expected) = any_stream(&mut random);
        let entry = i64::try_from(random.below(16)).expect("small");
        let slot = i64::try_from(random.below(12)).expect("small");
        let start = Dlsn::new(1, entry, slot - 1);
        let mut reader = reader(&store, start);
        let mut seen = Vec::new();
        while let Some(event) = reader.next_available().await.expect("the store answers") {
            let ReadEvent::Record(record) = event else {
                panic!("seed {seed}: {event:?}")
            };
            seen.push((record.dlsn, record.payload));
        }
        let expected = expected.into_iter().filter(|(dlsn, _)| *dlsn >= start);
        let from_there: Vec<(Dlsn, Bytes)> = expected
            .map(|(dlsn, payload)| (dlsn, Bytes::from(payload)))
            .collect();
        assert_eq!(seen, from_there, "seed {seed}, from {start}");
    }
}

#[tokio::test]
async fn a_reader_that_waits_at_the_end_of_a_stored_stream_is_woken_by_the_next_append() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store: Arc<dyn LogStore> = Arc::new(
        EmbeddedStore::open(EmbeddedSettings::new(folder.path())).expect("an empty folder"),
    );
    store.create(&stream()).await.expect("it is new");
    let (reading, waiting) = (Arc::clone(&store), tokio::sync::oneshot::channel());
    let read = tokio::spawn(async move {
        // A day: only the append can end the wait during the test.
        let limit = ReadLimit {
            max_bytes: 1,
            wait: Duration::from_secs(86_400),
            created_unix_ms: None,
        };
        let name = stream();
        let mut read = reading.read(&name, Dlsn::INITIAL, limit);
        let first = core::future::poll_fn(|context| {
            core::task::Poll::Ready(read.as_mut().poll(context).is_pending())
        })
        .await;
        waiting.0.send(first).expect("the test waits for it");
        read.await
    });
    assert_eq!(waiting.1.await, Ok(true), "there is nothing to read yet");
    let owner = Owner {
        shard: 1,
        address: "h:1".to_owned(),
    };
    let Acquired::Granted(lease) = store
        .acquire(&stream(), &owner)
        .await
        .expect("it has no owner")
    else {
        panic!("it has no owner")
    };
    let (done, appended) = tokio::sync::oneshot::channel();
    let answer = Box::new(move |result| drop(done.send(result)));
    store.append(
        &lease,
        Entry {
            records: vec![plain("late")],
        },
        answer,
    );
    assert_eq!(appended.await, Ok(Ok(Dlsn::INITIAL)));
    let batch = read
        .await
        .expect("it does not panic")
        .expect("the stream is there");
    assert_eq!(batch.entries.len(), 1);
    store.close().await.expect("it is open");
}

/// A store on disk with one stream, and the right to append to it.
async fn on_disk() -> (tempfile::TempDir, Arc<dyn LogStore>, Lease) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store: Arc<dyn LogStore> = Arc::new(
        EmbeddedStore::open(EmbeddedSettings::new(folder.path())).expect("an empty folder"),
    );
    store.create(&stream()).await.expect("it is new");
    let owner = Owner {
        shard: 1,
        address: "h:1".to_owned(),
    };
    let Acquired::Granted(lease) = store
        .acquire(&stream(), &owner)
        .await
        .expect("it has no owner")
    else {
        panic!("it has no owner")
    };
    (folder, store, lease)
}

#[tokio::test]
async fn records_of_a_set_before_the_truncation_point_are_not_delivered() {
    let (_folder, store, lease) = on_disk().await;
    let (done, appended) = tokio::sync::oneshot::channel();
    store.append(
        &lease,
        Entry {
            records: vec![set(&["a", "b", "c"], None, 3)],
        },
        Box::new(move |result| drop(done.send(result))),
    );
    assert_eq!(appended.await, Ok(Ok(Dlsn::INITIAL)));
    store
        .truncate(&stream(), Dlsn::INITIAL.slot(2))
        .await
        .expect("it is there");
    let mut reader = LogReader::new(Arc::clone(&store), stream(), Dlsn::INITIAL);
    assert_eq!(all(&mut reader).await, ["0.2 c"]);
    store.close().await.expect("it is open");
}

#[tokio::test]
async fn a_control_record_is_not_delivered_and_reading_goes_on_behind_it() {
    let (_folder, store, lease) = on_disk().await;
    let control = || EntryRecord {
        slots: 0,
        ..plain("heartbeat")
    };
    for (entry, record) in [
        control(),
        plain("a"),
        control(),
        control(),
        plain("b"),
        control(),
    ]
    .into_iter()
    .enumerate()
    {
        let (done, at) = tokio::sync::oneshot::channel();
        store.append(
            &lease,
            Entry {
                records: vec![record],
            },
            Box::new(|result| done.send(result).expect("the test waits for it")),
        );
        let at = at.await.expect("it is answered").expect("it is stored");
        assert_eq!(
            at,
            Dlsn::new(1, i64::try_from(entry).expect("a few"), 0),
            "each takes an entry"
        );
    }
    // From each entry on, also from a control record itself.
    for (from, expected) in [
        (0, &["1.0 a", "4.0 b"][..]),
        (1, &["1.0 a", "4.0 b"]),
        (2, &["4.0 b"]),
        (4, &["4.0 b"]),
        (5, &[]),
        (6, &[]),
    ] {
        let mut reader = LogReader::new(Arc::clone(&store), stream(), Dlsn::new(1, from, 0));
        assert_eq!(all(&mut reader).await, expected, "from entry {from}");
        assert_eq!(
            reader.position(),
            Dlsn::new(1, 6, 0),
            "behind the last control record"
        );
    }
    let info = store.describe(&stream()).await.expect("it is there");
    assert_eq!(
        info.segments
            .iter()
            .map(|segment| segment.records)
            .sum::<u64>(),
        2,
        "control records are not counted"
    );
}
