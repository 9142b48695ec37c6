//! Callers' threads that commit.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::{Arc, mpsc};
use std::thread::ThreadId;
use std::time::Instant;

use distributedlog::Dlsn;

use super::panics::{Bug, LIMIT, open};
use super::{acquire, append, begin_append, entry, small, stream};
use distributedlog_store::embedded::EmbeddedStore;
use distributedlog_store::{Lease, LogStore, StoreError};
use distributedlog_testkit::store::SimDisk;

/// Result of an append, and the thread on which it was answered.
type Answer = (Result<Dlsn, StoreError>, ThreadId);

/// Appends without a flush.
fn append_later(store: &EmbeddedStore, lease: &Lease, text: &str) -> mpsc::Receiver<Answer> {
    let (done, answer) = mpsc::channel();
    store.append_later(
        lease,
        entry(text),
        Box::new(move |result| {
            let _ = done.send((result, std::thread::current().id()));
        }),
    );
    answer
}

/// Appends until a caller's thread has committed an append: syncs are quick then, and no other
/// thread is at it. A busy machine makes single syncs slow.
fn until_callers_commit(store: &EmbeddedStore, lease: &Lease) {
    let began = Instant::now();
    while began.elapsed() < LIMIT {
        let answer = append_later(store, lease, "first");
        store.flush(true);
        let (result, thread) = answer.recv_timeout(LIMIT).expect("it is answered");
        result.expect("it is written");
        if thread == std::thread::current().id() {
            return;
        }
    }
    panic!("no caller's thread ever commits");
}

async fn with_stream(store: &EmbeddedStore) -> Lease {
    store.create(&stream("s")).await.unwrap();
    acquire(store, &stream("s")).await
}

/// Runs a future to its end on this thread, which is not one of a runtime afterwards.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("it starts").block_on(future)
}

#[test]
fn appends_that_find_nobody_at_work_are_committed_together_by_the_thread_that_flushes() {
    let disk = SimDisk::new(1);
    let store = EmbeddedStore::open_on(small(), Arc::new(disk.clone()), Arc::new(|| 1)).unwrap();
    let lease = block_on(with_stream(&store));
    until_callers_commit(&store, &lease);
    let before = disk.operations();
    let answers: Vec<_> = (0..5)
        .map(|_| append_later(&store, &lease, "together"))
        .collect();
    assert_eq!(disk.operations(), before, "nobody was asked to write");
    store.flush(true);
    let threads: Vec<_> = answers
        .iter()
        .map(|answer| answer.recv_timeout(LIMIT).expect("it is answered"))
        .map(|(result, thread)| result.map(|_| thread).expect("it is written"))
        .collect();
    assert_eq!(disk.operations(), before + 2, "one write and one sync");
    assert!(threads.iter().all(|thread| *thread == threads[0]));
    disk.power_cycle();
}

#[test]
pub(super) fn a_caller_neither_waits_for_a_sync_of_another_thread_nor_overtakes_it() {
    let bug = Arc::new(Bug::default());
    let store = Arc::new(open(&bug));
    let lease = block_on(with_stream(&store));
    until_callers_commit(&store, &lease);
    bug.close_gate();
    let (first_done, first) = mpsc::channel();
    store.append(
        &lease,
        entry("of the store's own thread"),
        Box::new(move |result| drop(first_done.send(result))),
    );
    bug.until_waiting();
    let (flushed, has_flushed) = mpsc::channel();
    let second = std::thread::spawn({
        let store = store.clone();
        move || {
            let answer = append_later(&store, &lease, "of a caller");
            store.flush(true);
            flushed.send(()).unwrap();
            answer
        }
    });
    let is_free = has_flushed.recv_timeout(LIMIT).is_ok();
    bug.open_gate();
    assert!(is_free, "the caller waits for another thread's sync");
    let second = second.join().unwrap();
    let first = first
        .recv_timeout(LIMIT)
        .expect("answered")
        .expect("written");
    let (second, thread) = second.recv_timeout(LIMIT).expect("answered");
    assert!(second.expect("written") > first);
    assert_ne!(thread, std::thread::current().id());
    block_on(store.close()).expect("it closes");
}

#[test]
fn no_caller_waits_for_a_disk_whose_last_sync_was_slow() {
    let bug = Arc::new(Bug::default());
    let store = open(&bug);
    let lease = block_on(with_stream(&store));
    bug.close_gate();
    let slow = begin_append(&store, &lease, entry("slow"));
    bug.until_waiting();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(3) {
        core::hint::spin_loop();
    }
    bug.open_gate();
    block_on(slow).unwrap().unwrap();
    // Its turn ends behind its answer: this one is queued in it, or has another.
    let answer = append_later(&store, &lease, "next");
    store.flush(true);
    let (result, thread) = answer.recv_timeout(LIMIT).expect("it is answered");
    result.unwrap();
    assert_ne!(thread, std::thread::current().id());
}

#[test]
fn a_bug_in_a_callers_turn_ends_the_store_and_not_the_caller() {
    let bug = Arc::new(Bug::default());
    let store = open(&bug);
    let lease = block_on(with_stream(&store));
    until_callers_commit(&store, &lease);
    bug.syncing.store(true, Ordering::SeqCst);
    let answer = append_later(&store, &lease, "unknown");
    store.flush(true);
    let (result, _) = answer.recv_timeout(LIMIT).expect("it is answered");
    assert!(matches!(result, Err(StoreError::Io { .. })), "{result:?}");
    let ended = async {
        let late = append(&store, &lease, entry("late")).await;
        assert_eq!(late, Err(StoreError::Closed));
        store.close().await.unwrap();
    };
    block_on(ended);
}

#[test]
fn a_store_closes_while_callers_commit() {
    let disk = SimDisk::new(1);
    let store = EmbeddedStore::open_on(small(), Arc::new(disk), Arc::new(|| 1)).unwrap();
    let store = Arc::new(store);
    let lease = block_on(with_stream(&store));
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (store, lease) = (store.clone(), lease.clone());
            std::thread::spawn(move || {
                let mut last = Dlsn::INITIAL;
                loop {
                    let answer = append_later(&store, &lease, "more");
                    store.flush(true);
                    match answer.recv_timeout(LIMIT).expect("it is answered").0 {
                        Ok(dlsn) => {
                            assert!(dlsn > last || last == Dlsn::INITIAL);
                            last = dlsn;
                        }
                        Err(error) => return (last, error),
                    }
                }
            })
        })
        .collect();
    until_callers_commit_or_others(&store, &lease);
    block_on(store.close()).unwrap();
    for caller in callers {
        let (_, error) = caller.join().unwrap();
        assert_eq!(error, StoreError::Closed);
    }
}

/// Appends a while, so that the other callers do too.
fn until_callers_commit_or_others(store: &EmbeddedStore, lease: &Lease) {
    for _ in 0..1000 {
        let answer = append_later(store, lease, "mine");
        store.flush(true);
        let (result, _) = answer.recv_timeout(LIMIT).expect("it is answered");
        result.expect("it is written");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn other_tasks_of_a_runtime_go_on_while_one_commits() {
    let bug = Arc::new(Bug::default());
    let store = Arc::new(open(&bug));
    let lease = with_stream(&store).await;
    let (closed, is_closed) = mpsc::channel();
    let committed = tokio::spawn({
        let (store, lease, bug) = (store.clone(), lease.clone(), bug.clone());
        async move {
            until_callers_commit(&store, &lease);
            bug.close_gate();
            closed.send(()).unwrap();
            let answer = append_later(&store, &lease, "waits");
            store.flush(true);
            answer
        }
    });
    // Blocks this thread, which is not the runtime's only worker.
    tokio::task::block_in_place(|| {
        is_closed.recv_timeout(LIMIT).expect("callers commit");
        bug.until_waiting();
    });
    // It may be the store's own thread that waits, if the last sync was slow.
    let other = tokio::spawn(async { 7 });
    let other = tokio::time::timeout(LIMIT, other).await;
    bug.open_gate();
    assert_eq!(other.expect("the only worker is blocked").unwrap(), 7);
    let answer = committed.await.unwrap();
    let answered = tokio::task::block_in_place(|| answer.recv_timeout(LIMIT));
    answered.expect("it is answered").0.expect("it is written");
}

#[tokio::test]
async fn a_thread_that_is_a_runtimes_only_one_never_commits() {
    let disk = SimDisk::new(1);
    let store = EmbeddedStore::open_on(small(), Arc::new(disk), Arc::new(|| 1)).unwrap();
    let lease = with_stream(&store).await;
    for _ in 0..100 {
        let answer = append_later(&store, &lease, "x");
        store.flush(true);
        let (result, thread) = answer.recv_timeout(LIMIT).expect("it is answered");
        result.unwrap();
        assert_ne!(thread, std::thread::current().id());
    }
}
