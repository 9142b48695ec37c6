use core::pin::pin;
use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_store::{LogStore, StoreError, StreamName};
use distributedlog_testkit::store::{MemoryStore, Wrapped};
use tokio::time::timeout;

use crate::locking_store::LockingStore;
use crate::{LogReader, ReadEvent};

/// Longer than a step takes on a loaded machine unless it hangs.
const STEP: Duration = Duration::from_secs(60);
const ENTRIES: usize = 100;

fn stream() -> StreamName {
    StreamName::new("s").expect("a name")
}

fn filled() -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    for entry in 0..ENTRIES {
        let entry = i64::try_from(entry).expect("small");
        store.put_plain(&stream(), entry, "payload");
    }
    store
}

fn locking() -> Arc<Wrapped<LockingStore>> {
    LockingStore::new(filled())
}

/// A reader whose batches have some entries.
fn ahead(store: Arc<dyn LogStore>) -> LogReader {
    let mut reader = LogReader::new(store, stream(), Dlsn::INITIAL).reading_ahead();
    reader.set_batch_bytes(64);
    reader
}

/// Returns the entries of the records up to the end.
async fn rest(reader: &mut LogReader) -> Vec<i64> {
    let mut entries = Vec::new();
    let read = async {
        while let Some(event) = reader.next_available().await.expect("the store answers") {
            assert!(matches!(event, ReadEvent::Record(_)), "{event:?}");
            entries.push(event.dlsn().entry_id);
        }
    };
    timeout(STEP, read).await.expect("the store answers");
    entries
}

async fn until(is_met: impl Fn() -> bool) {
    let waiting = async {
        while !is_met() {
            tokio::task::yield_now().await;
        }
    };
    timeout(STEP, waiting).await.expect("it comes");
}

fn all_from(first: i64) -> Vec<i64> {
    (first..i64::try_from(ENTRIES).expect("small")).collect()
}

#[tokio::test]
async fn the_next_read_is_begun_and_ends_before_the_reader_needs_it() {
    let store = filled();
    let mut reader = ahead(store.clone());
    reader.next().await.expect("the store answers");
    until(|| store.reads() == 2).await;
    // The error of a read that was begun ahead is met by the next one, or is over.
    store.fail_next_read(StoreError::Closed);
    assert_eq!(rest(&mut reader).await, all_from(1));
    // At the end it waits as any other.
    store.put_plain(&stream(), 100, "later");
    assert_eq!(rest(&mut reader).await, [100]);
    let reads = store.reads();
    assert_eq!(rest(&mut reader).await, [0; 0]);
    assert_eq!(store.reads(), reads + 1, "a small batch is the last one");
}

#[tokio::test]
async fn what_is_dropped_is_read_again() {
    let mut reader = ahead(filled());
    reader.next().await.expect("the store answers");
    reader.drop_buffered();
    assert_eq!(rest(&mut reader).await, all_from(1));
}

#[tokio::test]
async fn a_reader_that_is_not_polled_holds_no_lock_of_the_store() {
    let store = locking();
    let mut idle = ahead(store.clone());
    idle.next().await.expect("the store answers");
    // Whatever the read that was begun ahead has reached.
    for _ in 0..3 {
        let mut other = ahead(store.clone());
        assert_eq!(rest(&mut other).await, all_from(0));
        tokio::task::yield_now().await;
    }
    assert_eq!(rest(&mut idle).await, all_from(1));
}

#[tokio::test]
async fn waiting_for_what_is_read_ahead_can_be_given_up() {
    let store = locking();
    let mut reader = ahead(store.clone());
    reader.next().await.expect("the store answers");
    let held = store.lock.lock().await;
    let buffered = core::iter::from_fn(|| reader.next_buffered()).count();
    for _ in 0..3 {
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(reader.next()).poll(&mut context).is_pending());
        tokio::task::yield_now().await;
    }
    drop(held);
    let first = i64::try_from(1 + buffered).expect("small");
    assert_eq!(rest(&mut reader).await, all_from(first));
}

#[tokio::test]
async fn a_reader_that_is_dropped_ends_its_read() {
    let store = filled();
    let shared: Arc<dyn LogStore> = store.clone();
    let mut reader = ahead(Arc::clone(&shared));
    reader.next().await.expect("the store answers");
    store.stall_reads_of(&stream());
    // Its next read stalls.
    let buffered = core::iter::from_fn(|| reader.next_buffered()).count();
    assert!(buffered > 0);
    let reads = store.reads();
    let mut context = Context::from_waker(Waker::noop());
    let pending = async {
        // What had been read ahead before, then the stalled one.
        while pin!(reader.next()).poll(&mut context).is_ready() || store.reads() == reads {
            tokio::task::yield_now().await;
        }
    };
    timeout(STEP, pending).await.expect("it stalls");
    drop(reader);
    // The test's two.
    until(|| Arc::strong_count(&shared) == 2).await;
}
