//! Reading: positions, log segments, limits, and the events that wake waiting readers.

use core::pin::pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;
use std::task::Wake;

use distributedlog::Dlsn;

use super::{
    ALL, Stepped, TestClock, begin_append, entry, owner, poll_once, read, record, run, small,
    stream,
};
use distributedlog_store::embedded::EmbeddedSettings;
use distributedlog_store::{
    Entry, EntryRecord, LogStore, ReadBatch, ReadLimit, StoreError, StreamName,
};
use distributedlog_testkit::store::SimDisk;

fn name() -> StreamName {
    stream("basic-stream-3")
}

fn open() -> Stepped {
    Stepped::open(&SimDisk::new(1), small(), &TestClock::default()).unwrap()
}

fn set(text: &str, slots: u32) -> EntryRecord {
    EntryRecord {
        slots,
        is_record_set: true,
        ..record(text.to_owned())
    }
}

/// Returns the positions and payloads of the records that a read returned.
fn found(batch: &ReadBatch) -> Vec<(i64, i64, i64, String)> {
    let records = batch.entries.iter().flat_map(|stored| {
        let mut at = stored.dlsn;
        stored.records.iter().map(move |record| {
            let here = at;
            at = at.slot(record.slots);
            let text = String::from_utf8(record.payload.to_vec()).unwrap();
            (
                here.log_segment_sequence_no,
                here.entry_id,
                here.slot_id,
                text,
            )
        })
    });
    records.collect()
}

#[test]
fn reading_starts_anywhere_also_within_entries_and_record_sets() {
    let mut store = open();
    let lease = store.create(&name());
    store
        .append(
            &lease,
            Entry {
                records: vec![record("a"), set("bcd", 3), record("e")],
            },
        )
        .unwrap();
    store.append(&lease, entry("f")).unwrap();
    let all = [
        (1, 0, 0, "a"),
        (1, 0, 1, "bcd"),
        (1, 0, 4, "e"),
        (1, 1, 0, "f"),
    ];
    let from = |lssn, entry, slot| {
        let batch = read(&store.store, &name(), Dlsn::new(lssn, entry, slot), ALL).unwrap();
        (found(&batch), batch.next)
    };
    let tail = |skip: usize| {
        let records: Vec<_> = all[skip..]
            .iter()
            .map(|(lssn, entry, slot, text)| (*lssn, *entry, *slot, (*text).to_owned()))
            .collect();
        (records, Dlsn::new(1, 2, 0))
    };
    for before in [
        Dlsn::INVALID,
        Dlsn::NON_INCLUSIVE_LOWER_BOUND,
        Dlsn::INITIAL,
    ] {
        assert_eq!(
            from(
                before.log_segment_sequence_no,
                before.entry_id,
                before.slot_id
            ),
            tail(0)
        );
    }
    assert_eq!(from(1, 0, 1), tail(1));
    assert_eq!(from(1, 0, 3), tail(1), "a record set is delivered whole");
    assert_eq!(from(1, 0, 4), tail(2));
    assert_eq!(
        from(1, 0, 5),
        tail(3),
        "behind an entry's last slot is the next entry"
    );
    assert_eq!(from(1, 1, 1), (vec![], Dlsn::new(1, 2, 0)));
    assert_eq!(from(7, 0, 0), (vec![], Dlsn::new(7, 0, 0)));
}

#[test]
fn a_read_returns_at_least_one_entry_and_little_more_than_its_limit() {
    let mut store = open();
    let lease = store.create(&name());
    for _ in 0..20 {
        store
            .append(
                &lease,
                Entry {
                    records: vec![record(vec![0; 500])],
                },
            )
            .unwrap();
    }
    let count = |max_bytes| {
        read(
            &store.store,
            &name(),
            Dlsn::INITIAL,
            ReadLimit { max_bytes, ..ALL },
        )
        .unwrap()
        .entries
        .len()
    };
    assert_eq!(
        [
            count(0),
            count(1),
            count(600),
            count(1200),
            count(6000),
            count(1 << 20)
        ],
        [1, 1, 1, 2, 10, 20]
    );
}

#[test]
fn nothing_is_read_before_it_is_synced() {
    let mut store = open();
    let lease = store.create(&name());
    let mut begun = begin_append(&store.store, &lease, entry("a"));
    assert_eq!(
        read(&store.store, &name(), Dlsn::INITIAL, ALL)
            .unwrap()
            .entries
            .len(),
        0
    );
    store.steps.commit();
    assert_eq!(begun.try_recv().unwrap(), Ok(Dlsn::INITIAL));
    assert_eq!(
        read(&store.store, &name(), Dlsn::INITIAL, ALL)
            .unwrap()
            .entries
            .len(),
        1
    );
}

/// Counts its wakes.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts a read that waits, runs an event, and returns the read's result. The event must have
/// woken it, and nothing before.
fn woken_by(
    store: &mut Stepped,
    happens: impl FnOnce(&mut Stepped),
) -> Result<ReadBatch, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _context = runtime.enter();
    let wakes = Arc::new(Wakes::default());
    let waker = Arc::clone(&wakes).into();
    let mut context = Context::from_waker(&waker);
    let limit = ReadLimit {
        wait: Duration::from_secs(3600),
        ..ALL
    };
    let name = name();
    let reading = Arc::clone(&store.store);
    let waiting = reading.read(&name, Dlsn::INITIAL, limit);
    let mut waiting = pin!(waiting);
    for _ in 0..5 {
        assert!(waiting.as_mut().poll(&mut context).is_pending());
    }
    wakes.0.store(0, Ordering::Relaxed);
    happens(store);
    assert!(wakes.0.load(Ordering::Relaxed) > 0, "no reader was woken");
    for _ in 0..5 {
        if let Poll::Ready(read) = waiting.as_mut().poll(&mut context) {
            return read;
        }
    }
    panic!("woken for nothing");
}

#[test]
fn a_waiting_reader_is_woken_by_the_next_entry() {
    let mut store = open();
    let lease = store.create(&name());
    let read = woken_by(&mut store, |store| drop(store.append(&lease, entry("a"))));
    assert_eq!(found(&read.unwrap()), [(1, 0, 0, "a".to_owned())]);
}

#[test]
fn a_waiting_read_fails_when_its_stream_is_deleted_even_if_another_gets_its_name() {
    let mut store = open();
    store.create(&name());
    assert_eq!(
        woken_by(&mut store, |store| store.delete(&name()).unwrap()),
        Err(StoreError::StreamNotFound(name()))
    );
    store.create(&name());
    let read = woken_by(&mut store, |store| {
        store.delete(&name()).unwrap();
        let lease = store.create(&name());
        store.append(&lease, entry("another")).unwrap();
    });
    assert_eq!(read, Err(StoreError::StreamNotFound(name())));
}

#[test]
fn a_waiting_read_fails_when_the_store_is_closed() {
    let mut store = open();
    store.create(&name());
    let read = woken_by(&mut store, |store| {
        run(&mut store.steps, store.store.close()).unwrap()
    });
    assert_eq!(read, Err(StoreError::Closed));
}

#[tokio::test]
async fn a_read_that_waited_for_its_limit_returns_an_empty_batch() {
    let mut store = open();
    store.create(&name());
    let limit = ReadLimit {
        wait: Duration::from_millis(1),
        ..ALL
    };
    let batch = store
        .store
        .read(&name(), Dlsn::INITIAL, limit)
        .await
        .unwrap();
    assert_eq!(
        batch,
        ReadBatch {
            entries: vec![],
            next: Dlsn::INITIAL,
            start: Dlsn::INITIAL,
            created_unix_ms: 0
        }
    );
}

#[test]
fn a_stream_of_the_same_name_and_millisecond_is_another_one_and_not_read_for_the_first() {
    let mut store = open();
    let created = |store: &Stepped| {
        read(&store.store, &name(), Dlsn::INITIAL, ALL)
            .unwrap()
            .created_unix_ms
    };
    store.create(&name());
    let first = created(&store);
    store.delete(&name()).unwrap();
    store.create(&name());
    let second = created(&store);
    assert_ne!(first, second, "the clock stood still");
    // All three in one batch.
    let mut changes = [store.store.delete(&name()), store.store.create(&name())];
    store.steps.run();
    assert!(
        changes
            .iter_mut()
            .all(|change| poll_once(change.as_mut()) == Poll::Ready(Ok(())))
    );
    assert_ne!(second, created(&store));
    let of = |created: u64| {
        read(
            &store.store,
            &name(),
            Dlsn::INITIAL,
            ReadLimit {
                created_unix_ms: Some(created),
                ..ALL
            },
        )
    };
    assert_eq!(of(first), Err(StoreError::StreamNotFound(name())));
    assert_eq!(of(second), Err(StoreError::StreamNotFound(name())));
    assert!(of(created(&store)).is_ok());
}

#[test]
fn a_read_returns_the_start_of_delivery_within_a_record_set() {
    let mut store = open();
    let lease = store.create(&name());
    store
        .append(
            &lease,
            Entry {
                records: vec![set("abc", 3)],
            },
        )
        .unwrap();
    let start = |store: &Stepped, slot| {
        read(&store.store, &name(), Dlsn::new(1, 0, slot), ALL)
            .unwrap()
            .start
    };
    assert_eq!(start(&store, 1), Dlsn::new(1, 0, 1));
    store.truncate(&name(), Dlsn::new(1, 0, 2)).unwrap();
    assert_eq!(
        [0, 1, 2].map(|slot| start(&store, slot)),
        [Dlsn::new(1, 0, 2); 3]
    );
}

#[test]
fn truncation_moves_the_beginning_never_back_and_never_past_the_end() {
    let mut store = open();
    let lease = store.create(&name());
    store
        .append(
            &lease,
            Entry {
                records: vec![record("a"), set("bcd", 3)],
            },
        )
        .unwrap();
    store.append(&lease, entry("e")).unwrap();
    let texts = |store: &Stepped| found(&read(&store.store, &name(), Dlsn::INITIAL, ALL).unwrap());
    let extent = |store: &mut Stepped| {
        let info = run(&mut store.steps, store.store.describe(&name())).unwrap();
        (info.first, info.last, info.truncated_before)
    };
    let (end, none) = (Some(Dlsn::new(1, 1, 0)), None);
    assert_eq!(extent(&mut store), (Some(Dlsn::INITIAL), end, none));
    store.truncate(&name(), Dlsn::new(1, 0, 2)).unwrap();
    assert_eq!(
        texts(&store),
        [(1, 0, 1, "bcd".to_owned()), (1, 1, 0, "e".to_owned())]
    );
    assert_eq!(
        extent(&mut store),
        (Some(Dlsn::new(1, 0, 2)), end, Some(Dlsn::new(1, 0, 2)))
    );
    store.truncate(&name(), Dlsn::new(1, 0, 1)).unwrap();
    assert_eq!(
        extent(&mut store),
        (Some(Dlsn::new(1, 0, 2)), end, Some(Dlsn::new(1, 0, 2)))
    );
    store.truncate(&name(), Dlsn::new(9, 9, 9)).unwrap();
    assert_eq!(texts(&store), []);
    assert_eq!(extent(&mut store), (None, None, Some(Dlsn::new(1, 2, 0))));
    assert_eq!(store.append(&lease, entry("f")), Ok(Dlsn::new(1, 2, 0)));
    assert_eq!(texts(&store), [(1, 2, 0, "f".to_owned())]);
}

#[test]
fn log_segments_end_with_leases_with_size_and_with_age() {
    let clock = TestClock::default();
    let settings = EmbeddedSettings {
        segment_bytes: 1000,
        segment_age: Duration::from_secs(60),
        ..small()
    };
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(&disk, settings.clone(), &clock).unwrap();
    let lease = store.create(&name());
    let large = || Entry {
        records: vec![record(vec![0; 500])],
    };
    let at = |store: &mut Stepped, lease: &_, entry| {
        let dlsn = store.append(lease, entry).unwrap();
        (dlsn.log_segment_sequence_no, dlsn.entry_id)
    };
    assert_eq!(
        [
            at(&mut store, &lease, large()),
            at(&mut store, &lease, large())
        ],
        [(1, 0), (1, 1)]
    );
    assert_eq!(
        [
            at(&mut store, &lease, entry("a")),
            at(&mut store, &lease, entry("b"))
        ],
        [(2, 0), (2, 1)]
    );
    clock.advance(60_000);
    assert_eq!(at(&mut store, &lease, entry("c")), (3, 0));
    let lease = store.acquire(&name());
    let again = store.acquire(&name());
    assert_eq!(
        store.append(&lease, entry("d")),
        Err(StoreError::Fenced(name()))
    );
    assert_eq!(
        at(&mut store, &again, entry("d")),
        (4, 0),
        "a lease without an append opens no log segment"
    );
    drop(store);
    let mut store = Stepped::open(&disk, settings, &clock).unwrap();
    let info = run(&mut store.steps, store.store.describe(&name())).unwrap();
    assert!(
        info.segments.iter().all(|segment| segment.completed),
        "{:?}",
        info.segments
    );
    let sizes: Vec<_> = info
        .segments
        .iter()
        .map(|segment| (segment.log_segment_sequence_no, segment.records))
        .collect();
    assert_eq!(sizes, [(1, 2), (2, 2), (3, 1), (4, 1)]);
    assert_eq!(info.segments[2].first_unix_ms, 60_000);
    assert_eq!(info.owner, None);
    let lease = store.acquire(&name());
    assert_eq!(at(&mut store, &lease, entry("e")), (5, 0));
    let info = run(&mut store.steps, store.store.describe(&name())).unwrap();
    assert_eq!(info.owner, Some(owner(1)));
    assert!(!info.segments[4].completed);
}

#[test]
fn streams_that_do_not_exist_are_not_found() {
    let mut store = open();
    let not_found = StoreError::StreamNotFound(name());
    assert_eq!(
        read(&store.store, &name(), Dlsn::INITIAL, ALL),
        Err(not_found.clone())
    );
    assert_eq!(store.delete(&name()), Err(not_found.clone()));
    assert_eq!(
        store.truncate(&name(), Dlsn::INITIAL),
        Err(not_found.clone())
    );
    assert_eq!(
        run(&mut store.steps, store.store.describe(&name())),
        Err(not_found.clone())
    );
    assert_eq!(
        run(&mut store.steps, store.store.acquire(&name(), &owner(1))),
        Err(not_found)
    );
    assert_eq!(run(&mut store.steps, store.store.list()), Ok(vec![]));
}
