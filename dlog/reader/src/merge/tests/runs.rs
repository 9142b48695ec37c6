//! Records of a set that are taken at once, and reading ahead.

use core::pin::pin;
use core::task::{Context, Poll, Waker};

use distributedlog_testkit::store::Wrapped;

use super::*;
use crate::locking_store::LockingStore;
use crate::{MalformedSet, RecordRun};

/// Longer than a step takes on a loaded machine unless it hangs.
const STEP: Duration = Duration::from_secs(60);
const ALL: NonZeroUsize = NonZeroUsize::MAX;

/// The next run, or what else comes. `None` when the reader waits. The clock is a virtual one.
async fn next_event(
    reader: &mut MultiReader,
    most: NonZeroUsize,
) -> Option<Result<MergedRun, StreamError>> {
    let next = tokio::time::timeout(Duration::from_millis(1), reader.next_run(most));
    next.await.ok().flatten()
}

/// The next run, or `None` when the reader waits.
pub(super) async fn next(reader: &mut MultiReader, most: NonZeroUsize) -> Option<RecordRun> {
    match next_event(reader, most)
        .await?
        .expect("it is no error")
        .event
    {
        RunEvent::Run(run) => Some(run),
        RunEvent::Malformed(set) => panic!("{set}"),
    }
}

/// What a reader delivers up to the ends of its streams.
#[derive(Default)]
struct Delivered {
    texts: Vec<String>,
    damaged: Vec<MalformedSet>,
    /// Position of the last record of each stream.
    last: BTreeMap<StreamName, Dlsn>,
}

impl Delivered {
    fn add(&mut self, stream: &StreamName, dlsn: Dlsn, payload: &[u8]) {
        let before = self.last.insert(stream.clone(), dlsn);
        assert!(
            before.is_none_or(|before| before < dlsn),
            "{stream}: {before:?}, {dlsn}"
        );
        self.texts
            .push(String::from_utf8_lossy(payload).into_owned());
    }

    /// Sorts the records: which of two duplicates comes first may differ.
    fn sorted(mut self) -> Self {
        self.texts.sort();
        self
    }
}

async fn one_by_one(reader: &mut MultiReader) -> Delivered {
    let mut delivered = Delivered::default();
    while let Some(next) = event(reader).await {
        let MergedEvent { stream, event } = next.expect("it is no error");
        match event {
            ReadEvent::Record(it) => delivered.add(&stream, it.dlsn, &it.payload),
            ReadEvent::Malformed(set) => delivered.damaged.push(set),
        }
    }
    delivered.sorted()
}

async fn in_runs(reader: &mut MultiReader, most: NonZeroUsize) -> Delivered {
    let mut delivered = Delivered::default();
    while let Some(next) = next_event(reader, most).await {
        let MergedRun { stream, event } = next.expect("it is no error");
        match event {
            RunEvent::Run(run) => {
                assert!((1..=most.get()).contains(&run.len()), "{run:?}");
                for (dlsn, payload) in run.iter() {
                    delivered.add(&stream, dlsn, payload);
                }
            }
            RunEvent::Malformed(set) => delivered.damaged.push(set),
        }
    }
    delivered.sorted()
}

/// Two streams with sets, records alone, an entry of both, a damaged set, and duplicates.
async fn mixed() -> Streams {
    let mut streams = Streams::new(2).await;
    let mut damaged = set("damaged", 2, id(7, 100));
    damaged.payload.truncate(20);
    for record in [set("one", 3, id(7, 1)), plain("alone")] {
        streams.put(0, record);
    }
    let both = vec![plain("beside"), set("two", 2, id(7, 2))];
    streams.memory.put(&name(0), Dlsn::new(1, 2, 0), both);
    streams.entries[0] += 1;
    for record in [damaged, set("three", 4, id(7, 3))] {
        streams.put(0, record);
    }
    for (label, records, sequence) in [
        ("four", 2, 4),
        ("one", 3, 1),
        ("three", 4, 3),
        ("two", 2, 2),
        ("five", 5, 5),
    ] {
        streams.put(1, set(label, records, id(7, sequence)));
    }
    streams
}

#[tokio::test(start_paused = true)]
async fn runs_have_the_records_that_are_delivered_one_by_one() {
    let streams = mixed().await;
    let mut of_one = streams.reader(MergeSettings::default());
    let expected = one_by_one(&mut of_one).await;
    assert_eq!((expected.texts.len(), expected.damaged.len()), (18, 1));
    let at = |reader: &MultiReader| -> Vec<(StreamName, Dlsn)> {
        let position = reader.position();
        let streams = position.streams();
        streams.map(|(name, dlsn)| (name.clone(), dlsn)).collect()
    };
    for ahead in [None, Some(0), Some(8 << 20)] {
        for most in [1, 2, 3, usize::MAX] {
            let mut reader = streams.reader(MergeSettings::default());
            if let Some(bytes) = ahead {
                reader = reader.reading_ahead(bytes);
            }
            let most = NonZeroUsize::new(most).expect("not zero");
            let found = in_runs(&mut reader, most).await;
            let case = format!("at most {most}, ahead: {ahead:?}");
            assert_eq!(found.texts, expected.texts, "{case}");
            assert_eq!(found.damaged, expected.damaged, "{case}");
            assert_eq!(reader.counters(), of_one.counters(), "{case}");
            assert_eq!(at(&reader), at(&of_one), "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_set_is_one_run_behind_a_read_too() {
    // More than one burst, and more than one batch.
    const SETS: u32 = 2 * MAX_BURST + 3;
    let mut streams = Streams::new(2).await;
    for sequence in 0..SETS {
        let stream = sequence as usize % 2;
        streams.put(stream, set("x", 40, id(1, u64::from(sequence))));
    }
    for buffer in [0, 1 << 20] {
        let mut reader = streams
            .reader(MergeSettings::default())
            .reading_ahead(buffer);
        let mut runs = 0;
        while let Some(run) = next(&mut reader, ALL).await {
            assert_eq!(run.len(), 40);
            runs += 1;
        }
        assert_eq!(runs, SETS);
    }
}

const ENTRY_BYTES: usize = 5_000;

fn entry() -> EntryRecord {
    EntryRecord {
        payload: Bytes::from_static(&[7; ENTRY_BYTES]),
        slots: 1,
        is_record_set: false,
    }
}

/// Streams of a store that holds a lock within reads, with this many entries each.
async fn locking(count: usize, entries: usize) -> (Streams, Arc<Wrapped<LockingStore>>) {
    let mut streams = Streams::new(count).await;
    for stream in 0..count {
        for _ in 0..entries {
            streams.put(stream, entry());
        }
    }
    let store = LockingStore::new(Arc::clone(&streams.memory));
    streams.store = Arc::clone(&store) as _;
    (streams, store)
}

/// Takes the next run, on the real clock.
async fn take(reader: &mut MultiReader) -> RecordRun {
    let next = tokio::time::timeout(STEP, reader.next_run(ALL));
    let next = next.await.expect("it comes").expect("no stream ends");
    match next.expect("it is no error").event {
        RunEvent::Run(run) => run,
        RunEvent::Malformed(set) => panic!("{set}"),
    }
}

async fn until(is_met: impl Fn() -> bool) {
    let waiting = async {
        while !is_met() {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(STEP, waiting).await;
    waited.expect("it comes");
}

#[tokio::test]
async fn what_all_streams_read_ahead_stays_within_the_bound() {
    const STREAMS: usize = 4;
    const ENTRIES: usize = 400;
    for buffer in [64 << 10, 1 << 20, 2 << 20] {
        let (streams, store) = locking(STREAMS, ENTRIES).await;
        let mut reader = streams
            .reader(MergeSettings::default())
            .reading_ahead(buffer);
        // A read may go one entry beyond what it is asked for, and there are two batches.
        let bound = buffer + 2 * STREAMS * ENTRY_BYTES;
        let mut most = 0;
        for taken in 1..=STREAMS * ENTRIES {
            assert_eq!(take(&mut reader).await.len(), 1);
            // Whatever is begun comes to its end.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            most = most.max(store.returned() - taken * ENTRY_BYTES);
        }
        println!("{buffer}: at most {most} bytes");
        assert!(most > buffer / 4 && most <= bound, "{buffer}: {most} bytes");
        assert!(store.largest() <= buffer / STREAMS, "{}", store.largest());
    }
}

#[tokio::test]
async fn a_reader_that_is_not_polled_holds_no_lock_of_the_store_and_reads_ahead() {
    const BUFFER: usize = 3 << 18;
    let (streams, store) = locking(3, 200).await;
    let reader = || {
        let reader = streams.reader(MergeSettings::default());
        reader.reading_ahead(BUFFER)
    };
    let mut idle = reader();
    take(&mut idle).await;
    // Two batches of each stream.
    until(|| store.returned() >= BUFFER / 4 * 3).await;
    let mut other = reader();
    for _ in 0..3 * 200 {
        take(&mut other).await;
    }
    for _ in 1..3 * 200 {
        take(&mut idle).await;
    }
}

#[tokio::test]
async fn waiting_for_what_is_read_can_be_given_up() {
    let (streams, store) = locking(2, 300).await;
    let mut reader = streams
        .reader(MergeSettings::default())
        .reading_ahead(1 << 20);
    let mut taken = 0;
    while taken < 2 * 300 {
        let held = store.lock.lock().await;
        for _ in 0..300 {
            let mut context = Context::from_waker(Waker::noop());
            match pin!(reader.next_run(ALL)).poll(&mut context) {
                Poll::Ready(next) => {
                    next.expect("no stream ends").expect("it is no error");
                    taken += 1;
                }
                Poll::Pending => tokio::task::yield_now().await,
            }
        }
        drop(held);
        if taken < 2 * 300 {
            take(&mut reader).await;
            taken += 1;
        }
    }
}

#[tokio::test]
async fn a_reader_that_is_dropped_ends_its_reads() {
    let (streams, store) = locking(2, 300).await;
    for stalled in [false, true] {
        let mut reader = streams
            .reader(MergeSettings::default())
            .reading_ahead(1 << 20);
        if stalled {
            store.store.stall_reads_of(&name(1));
        }
        take(&mut reader).await;
        assert!(Arc::strong_count(&store) > 2);
        drop(reader);
        // The test's two.
        until(|| Arc::strong_count(&store) == 2).await;
    }
}

#[tokio::test]
async fn a_stream_that_was_created_again_is_read_ahead_within_the_bound_too() {
    let (mut streams, store) = locking(1, 1).await;
    let mut reader = streams
        .reader(MergeSettings::default())
        .reading_ahead(300 << 10);
    take(&mut reader).await;
    streams.memory.delete(&name(0)).await.expect("it is there");
    streams.memory.create(&name(0)).await.expect("it is new");
    streams.entries[0] = 0;
    for _ in 0..200 {
        streams.put(0, entry());
    }
    let next = tokio::time::timeout(STEP, reader.next_run(ALL)).await;
    let error = next.expect("it comes").expect("a stream is left");
    assert_eq!(
        error.expect_err("it is gone").kind,
        StreamErrorKind::Recreated
    );
    for _ in 0..200 {
        take(&mut reader).await;
    }
    assert_eq!(store.largest(), 150 << 10);
}
